"""Start a Dask scheduler on the login node of a SLURM cluster, and workers as jobs; run inside tmux. Needs dask-jobqueue."""

import signal

from dask_jobqueue import SLURMCluster

cluster = SLURMCluster(
    queue="gpu",
    cores=1,  # threads of the worker: one fit at a time
    processes=1,
    memory="32 GB",
    job_cpu=8,
    job_extra_directives=["--gres=gpu:1"],
    walltime="08:00:00",
    worker_extra_args=["--resources", "fit=1", "--preload", "encoding.jobs.worker"],
    job_script_prologue=["cd /shared/encoding-explorer", ". .venv/bin/activate", ". /shared/cluster.env"],
    scheduler_options={"port": 8786, "dashboard_address": None},
    protocol="tls",
)
cluster.adapt(minimum_jobs=0, maximum_jobs=8)  # workers come and go; a task whose job ends is done again
print(cluster.scheduler_address, flush=True)
signal.pause()
