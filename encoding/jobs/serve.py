"""The program behind :class:`encoding.jobs.cluster.Cluster`: a scheduler, and worker processes: one a GPU, or on the CPU as many
as cores and memory allow.

``python -m encoding.jobs.serve SCRATCH`` keeps the workers' temporary files in the folder SCRATCH and removes it at the end.

It prints one line of JSON (the scheduler's address, and the certificate and private key that it and its workers accept), then works
until its standard input closes. That happens when the process that
started it closes it, exits, crashes or is killed; so no worker outlives its web server.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress

from encoding.jobs.worker import STAGE_THREADS
from encoding.runtime.device import available_memory

HOST = "127.0.0.1"
CORES_A_WORKER, MEMORY_A_WORKER = 4, 6e9
QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical"}  # read on import, by workers too; jobs write their own tracebacks
SETTINGS = {
    "distributed.worker.daemon": False,  # a job may start processes of its own, such as a loader of images
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.worker-ttl": None,  # a long call into C answers no heartbeat and is not dead
    "distributed.scheduler.allowed-failures": 1000,  # jobs that wait survive any number of workers; see worker.run
    "distributed.scheduler.http.routes": [],  # no pages: the web server shows the jobs
    "distributed.worker.http.routes": [],
}


async def serve(scratch: str) -> None:
    """Run scheduler and workers until standard input closes."""
    from dask.system import CPU_COUNT
    from distributed import Nanny, Scheduler
    from distributed.security import Security

    try:
        parts = worker_environments()
    except ValueError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    os.environ |= thread_variables(os.environ, len(parts), CPU_COUNT)
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # threads that wait sleep at once: the web server and the browser want the cores
    security = Security.temporary()
    async with AsyncExitStack() as stack:
        scheduler = await stack.enter_async_context(
            Scheduler(host=HOST, port=0, protocol="tls", security=security, dashboard_address=f"{HOST}:0")
        )
        credentials = {"certificate": security.tls_client_cert, "private_key": security.tls_client_key}
        print(json.dumps({"address": scheduler.address} | credentials), flush=True)
        os.dup2(2, 1)  # all later output goes to standard error: nobody reads on, and a full pipe would block
        for part in parts:
            worker = Nanny(
                scheduler.address,
                nthreads=1,
                resources={"fit": 1},
                memory_limit=0,
                host=HOST,
                protocol="tls",
                security=security,  # a nanny hands it to its worker process through a pipe
                dashboard_address=f"{HOST}:0",
                env=part,
                preload=["encoding.jobs.worker"],
            )
            await stack.enter_async_context(worker)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        _end(scratch)


def worker_environments() -> list[dict[str, str]]:
    """Environment variables of each worker process: ``ENCODING_WORKERS`` of them, by default :func:`default_workers`; GPUs in turn.

    Raises
    ------
    ValueError
        Where ENCODING_WORKERS is not a whole number of 1 or more.
    """
    import psutil
    from dask.system import CPU_COUNT

    from encoding.jobs.worker import gpus

    found = gpus()
    n_cores = min(CPU_COUNT, psutil.cpu_count(logical=False) or CPU_COUNT)
    wanted = os.environ.get("ENCODING_WORKERS") or str(default_workers(len(found), n_cores, available_memory()))
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(f"ENCODING_WORKERS must be a whole number of 1 or more, not {wanted!r}.")
    return [{"CUDA_VISIBLE_DEVICES": found[number % len(found)]} if found else {} for number in range(int(wanted))]


def thread_variables(given: Mapping[str, str], n_workers: int, n_cores: int) -> dict[str, str]:
    """Variables that say how many threads a worker uses: every core for a job by itself, a share of them for a stage of an experiment.

    Parameters
    ----------
    given : the environment; its OMP_NUM_THREADS is kept, and is then that of stages, too.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    share = {} if "OMP_NUM_THREADS" in given else {STAGE_THREADS: str(max(1, n_cores // n_workers))}
    return share | {name: given.get(name, str(n_cores)) for name in names}  # where Dask would set 1


def default_workers(n_gpus: int, n_cores: int, memory: float) -> int:
    """Number of worker processes of one machine: one a GPU; without any, one for four cores and 6 GB of free memory, at least one.

    Parameters
    ----------
    n_cores : physical processor cores that may be used.
    memory : free bytes, within the limits of the process's control group.

    Notes
    -----
    A network's layers use two to four cores well, and a fit at NSD size takes about 3 GB beside the libraries. More processes than that
    would compete for memory, not finish sooner.

    Examples
    --------
    >>> default_workers(0, 2, 8e9), default_workers(0, 16, 64e9), default_workers(0, 16, 16e9), default_workers(4, 16, 64e9)
    (1, 4, 2, 4)
    """
    return n_gpus or max(1, min(n_cores // CORES_A_WORKER, int(memory // MEMORY_A_WORKER)))


def _end(scratch: str) -> None:
    """Kill the workers, whatever they are doing, and leave nothing behind."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    os.environ.update(QUIET)
    import dask

    dask.config.set(SETTINGS | {"temporary-directory": sys.argv[1]})
    asyncio.run(serve(sys.argv[1]))
