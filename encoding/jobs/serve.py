"""The program behind :class:`encoding.jobs.cluster.Cluster`: a scheduler, and a worker process per GPU, or one or more on the CPU.

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
from contextlib import AsyncExitStack, suppress

HOST = "127.0.0.1"
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

    parts = worker_environments()
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, str(max(1, CPU_COUNT // len(parts))))  # where Dask would set 1
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
    """Environment variables of each worker process: one a GPU; on the CPU ``ENCODING_WORKERS`` of them, by default one.

    One worker uses every core for one fit, which is what somebody who waits for it wants; several, with a share of the cores each, finish
    an experiment sooner.

    Raises
    ------
    ValueError
        Where ENCODING_WORKERS is not a whole number of 1 or more.
    """
    from encoding.jobs.worker import gpus

    wanted = os.environ.get("ENCODING_WORKERS") or "1"
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(f"ENCODING_WORKERS must be a whole number of 1 or more, not {wanted!r}.")
    return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus()] or [{}] * int(wanted)


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
