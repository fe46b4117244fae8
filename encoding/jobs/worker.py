"""Worker process: run one job, report progress, stop on request.

Also a Dask preload (``--preload encoding.jobs.worker``) that imports the heavy libraries before the first job needs them.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import re
import shutil
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.jobs.version import code_fingerprint
from encoding.runtime.progress import Cancelled
from encoding.runtime.threads import at_most_threads, let_waiting_threads_sleep
from encoding.storage.store import Store

if TYPE_CHECKING:
    from distributed import Nanny, Worker

PROGRESS = "encoding-progress"  # topic of Dask events that says how jobs go on
ATTEMPTS = "encoding-attempts"  # topic that says which attempts began and ended
STAGE_THREADS = "ENCODING_STAGE_THREADS"  # variable that says how many threads a stage of an experiment may use; a job uses all
REPORT_SECONDS = 0.2  # shortest time between two messages of one job
WARM_UP_SECONDS = 0.5  # lets a worker register with its scheduler before the imports take the processor

Task = Callable[..., Any]
"""``task(spec, store, report, device)``: its results are in the Store; what it may return is a short message to the submitter."""

_running: dict[str, bool] = {}  # attempts in this process, and whether each was asked to stop
_seen: set[tuple[str, str]] = set()  # folders and identities of Stores that this process saw
_ending = threading.Lock()  # so that a process ended for one attempt is never ended under the next


class TaskFailed(Exception):
    """A task raised: ``TaskFailed(type name, message)``, as plain text, since unpickling the original exception could import torch."""


class OtherVersion(Exception):
    """The worker runs another version of the code than the web server."""


class OtherStore(Exception):
    """The worker does not see the Store of whoever submitted the work."""


class WorkerDied(Exception):
    """The process that ran this attempt ended before the attempt did."""


def run(work: bytes, store_root: str, attempt: str, submission: str | None, code: str, store_identity: str) -> None:
    """Run ``work``, a pickled task and its spec, in this worker as the named attempt.

    Parameters
    ----------
    submission : name of this submission, of which only the first run is carried out; None where work that was lost with its worker is
        to be done again.
    code : :func:`encoding.jobs.version.code_fingerprint` of whoever submits.
    store_identity : :meth:`encoding.storage.store.Store.identity` there.

    Raises
    ------
    TaskFailed
        For any exception of the task, and where this worker runs other code, whose keys or numbers could differ, or sees another Store.
    Cancelled
        When requested to stop.
    WorkerDied
        If Dask resubmits an attempt whose earlier process died, since the same would probably kill the next process.
    """
    messages = Messages(attempt)
    _running[attempt] = False
    try:
        _check_surroundings(code, store_root, store_identity)
        if submission is None:
            messages.send(begun=True)
        else:
            _begin_once(attempt, submission)
            messages.report(0.0, "Starting")
        n_threads = int(os.environ.get(STAGE_THREADS, 0)) if submission is None else 0
        with warnings.catch_warnings(), at_most_threads(n_threads):
            warnings.showwarning = lambda message, category, *_: messages.send(line=f"{category.__name__}: {message}")
            task, spec = pickle.loads(work)
            returned = task(spec, Store(store_root), messages.report, device())
            if returned is not None:
                messages.send(returned=returned)
    except (Cancelled, WorkerDied):
        raise
    except Exception as error:
        logging.getLogger(__name__).exception("%s failed", attempt)
        raise TaskFailed(type(error).__name__, str(error)) from None
    finally:
        with _ending:
            asked_to_stop = _running.pop(attempt)
        if asked_to_stop or submission is not None:
            messages.send(let_go=True)


def _check_surroundings(code: str, store_root: str, store_identity: str) -> None:
    """Raise where this worker runs other code than whoever submitted the work, or sees another Store."""
    host = socket.gethostname()
    if code != code_fingerprint():
        raise OtherVersion(
            f"This worker, on {host}, runs another version of Encoding Explorer than where the work was submitted. "
            "Install the same one and restart it."
        )
    if (store_root, store_identity) in _seen:
        return
    found = Store(store_root).identity(make=False)
    if found != store_identity:
        what = f"another Store at {store_root}" if found else f"no Store at {store_root}"
        raise OtherStore(
            f"This worker, on {host}, sees {what}. Give all machines one shared folder under the same path, through ENCODING_CACHE_DIR."
        )
    _seen.add((store_root, store_identity))


class Messages:
    """Send messages about one attempt as Dask events, rate-limited to a few per second."""

    def __init__(self, attempt: str) -> None:
        from distributed import get_worker

        self._worker = get_worker()
        self._attempt = attempt
        self._began = time.monotonic()
        self._sent = 0.0
        self._waiting: tuple[float, str] | None = None
        self._measured: list[dict[str, float]] = []  # since the last message

    def report(self, fraction: float, text: str) -> None:
        """Report progress; the last message always arrives, within 0.2 s, and so do all measurements of a ``Step``.

        Raises
        ------
        Cancelled
            When the attempt was requested to stop.
        """
        if _running.get(self._attempt):
            raise Cancelled(f"{self._attempt} was cancelled.")
        already_waiting = self._waiting is not None
        if measured := getattr(text, "measured", None):
            self._measured.append(dict(measured))
        self._waiting = (float(fraction), text)
        wait = self._sent + REPORT_SECONDS - time.monotonic()
        if wait <= 0 or fraction >= 1:
            self._flush()
        elif not already_waiting:
            self._worker.loop.add_callback(self._worker.loop.call_later, wait, self._flush)

    def send(self, **message: Any) -> None:
        """Publish an event about this attempt."""
        self._worker.log_event(PROGRESS, {"attempt": self._attempt, "worker": self._worker.address} | message)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._sent = time.monotonic()
            measured, self._measured = self._measured, []
            more = {"measured": measured} if measured else {}
            if stage := getattr(waiting[1], "stage", ""):
                more["stage"] = stage
            self.send(fraction=min(1.0, max(0.0, waiting[0])), text=str(waiting[1]), seconds=self._sent - self._began, **more)


def _begin_once(attempt: str, submission: str) -> None:
    """Note in the scheduler that this submission of an attempt begins; WorkerDied where it had begun before."""
    from distributed import get_worker
    from distributed.utils import sync

    worker = get_worker()
    begun = {"attempt": attempt, "begun": submission}
    events = sync(worker.loop, worker.scheduler.events, topic=ATTEMPTS)
    if any(event == begun for _, event in events):
        raise WorkerDied(attempt)
    sync(worker.loop, worker.scheduler.log_event, topic=ATTEMPTS, msg=begun)


def ask_to_stop(attempt: str, grace: float) -> None:
    """Run in the worker: the attempt's next report raises Cancelled; without one the process ends after ``grace`` seconds."""
    if attempt in _running:
        _running[attempt] = True
        timer = threading.Timer(grace, _end_if_running, [attempt])
        timer.daemon = True
        timer.start()


def _end_if_running(attempt: str) -> None:
    with _ending:
        if attempt in _running:
            end_process(os.getpid())


def end_worker(dask_worker: Nanny) -> None:
    """Run in the nanny: kill a worker process that does not respond because its task holds the GIL; the nanny starts another."""
    if dask_worker.pid is not None:  # else it has just ended
        end_process(dask_worker.pid)


def end_process(pid: int) -> None:
    """Kill a process and its children."""
    import psutil

    process = psutil.Process(pid)
    for each in [*process.children(recursive=True), process]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


@functools.cache
def gpus() -> list[str]:
    """Identifiers of the GPUs that this process may use, as in CUDA_VISIBLE_DEVICES; found without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    names = re.findall(r"UUID: ((?:GPU|MIG)-[^)]+)\)", listed)
    return [name for name in names if name.startswith("MIG")] or names  # of a divided GPU CUDA sees the parts


def device() -> str:
    """``cuda`` where this worker has a GPU that torch can use, else ``cpu``."""
    if not gpus() and not Path("/dev/kfd").exists():  # AMD's; torch calls it cuda too
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def warm_up() -> None:
    """Import the libraries that a fit needs."""
    with suppress(ImportError):
        import torch  # noqa: F401

        import encoding.pipeline  # noqa: F401


def dask_setup(worker: Worker) -> None:
    """Called by Dask in each new worker process. Its setting ``encoding.warm-up`` says whether libraries are imported ahead of a job."""
    import dask

    let_waiting_threads_sleep()
    if not dask.config.get("encoding.warm-up", True):
        return
    timer = threading.Timer(WARM_UP_SECONDS, warm_up)
    timer.daemon = True
    timer.start()
