"""Run fits, searches and sweeps in background processes, on one machine or a Dask cluster.

A page submits a fit and comes back for its :class:`Job`; the fit itself runs in a worker process, so CUDA, its
memory and a crash stay out of the web server. Dask does the queueing:

- Without an address a scheduler and worker processes (:func:`encoding.jobs.serve.default_workers`) start on this machine with the first
  job, reachable with this process's credentials alone, and end with this process however it ends.
- With ``ENCODING_SCHEDULER=tls://…`` jobs go to that Dask cluster (docs/shared_server.md says how to make credentials). Scheduler, workers
  and web server run the same version of this project and see the Store under the same path. Start each worker for one fit at a time::

      python -m dask worker tls://… --nthreads 1 --resources fit=1 --preload encoding.jobs.worker

  with Dask's nanny (the default), which is what restarts a worker that does not stop when a job is cancelled.

A job's key is the digest of what it computes, so equal work runs once, whoever asks for it.
"""

from encoding.jobs.job import Job, NotTheOwner
from encoding.jobs.jobs import Jobs

__all__ = ["Job", "Jobs", "NotTheOwner"]
