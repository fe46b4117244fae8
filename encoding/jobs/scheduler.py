"""Client of the Dask scheduler: connect, submit an attempt, stop it, read its outcome.

Each attempt at a key is a separate Dask task, named ``<key>#1``, ``<key>#2``, …, since Dask may return the remembered outcome of an
earlier task of the same name. The scheduler's event log records which attempts have ended, so all clients derive the same name
for a key, and Dask runs it once.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from encoding.jobs import worker
from encoding.jobs.cluster import Cluster
from encoding.jobs.job import State
from encoding.jobs.version import code_fingerprint
from encoding.runtime.progress import Cancelled

if TYPE_CHECKING:
    from distributed import Client, Future

    from encoding.storage.store import Store

CONNECT_SECONDS = 5.0
OWN_CONNECT_SECONDS = 30.0  # to a scheduler that was just started here: it is there, but the machine may be busy
REFUSED_SECONDS = 10.0  # in which a scheduler that did not answer is not asked again
LOOK_SECONDS = 2.0  # between two looks at a cluster's workers
ANSWER_SECONDS = 5.0
GRACE_SECONDS = 1.5  # to stop when asked, before the process ends; a new one is ready about a second later
DEAF_SECONDS = 0.5  # after which a worker that should have ended itself is ended

GONE = (KeyError, OSError, RuntimeError)  # raised for a worker, a scheduler or a client that is no longer there

Outcome = tuple[State, str | None, str | None]  # state, error, error_kind


class Scheduler:
    """Connection to a Dask scheduler, opened on demand and reopened when lost.

    Parameters
    ----------
    address : of the scheduler; None starts one on this machine.
    hear : callback for every ``(time, message)`` that a worker sends about its job.
    n_workers : processes that a scheduler on this machine starts; by default those of :func:`encoding.jobs.serve.worker_environments`.
    """

    def __init__(self, address: str | None, hear: Callable[[tuple[float, Any]], None], *, n_workers: int | None = None) -> None:
        self._address, self._hear, self._n_workers = address, hear, n_workers
        self._connecting = threading.Lock()
        self._client: Client | None = None
        self._cluster: Cluster | None = None
        self._refused: tuple[float, str] | None = None  # when, and why
        self._looked = (-float("inf"), "")  # when workers were last looked for, and what is missing
        self._closed = False

    @property
    def is_external(self) -> bool:
        """Whether the workers are not this server's own, and may see other files."""
        return self._address is not None

    def connect(self) -> Client:
        """Return the client of a live scheduler.

        Raises
        ------
        ConnectionError
            If no scheduler answers.
        RuntimeError
            After :meth:`close`.
        """
        with self._connecting:
            if self._closed:
                raise RuntimeError("These jobs were closed.")
            if not self._is_alive():
                self._disconnect()
                self._client = self._new_client()
            self._client.subscribe_topic(worker.PROGRESS, self._hear)  # each time: the scheduler may have restarted
            return self._client

    def close(self) -> None:
        """Disconnect; stops the local scheduler and its workers."""
        with self._connecting:
            self._closed = True
            self._disconnect()

    def _is_alive(self) -> bool:
        if self._client is None:
            return False
        if self._cluster is not None:  # a scheduler of our own that was lost is not coming back, even if its process is not yet gone
            return self._cluster.alive and self._client.status == "running"
        return self._client.status in ("running", "connecting")

    def _new_client(self) -> Client:
        from distributed import Client

        if self._address is None:
            self._cluster = Cluster(n_workers=self._n_workers)
            return Client(self._cluster.address, timeout=OWN_CONNECT_SECONDS, security=self._cluster.security(), set_as_default=False)
        if self._refused is not None and time.monotonic() - self._refused[0] < REFUSED_SECONDS:
            raise ConnectionError(self._refused[1])
        try:
            return Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as error:  # of TLS: no credentials, or others than the scheduler's
            message = (
                f"No Dask scheduler answers at {self._address} ({error}). Start one with `dask scheduler`, "
                "or unset ENCODING_SCHEDULER to compute on this machine."
            )
        gc.collect()  # the client that failed: found by the collector while the next one starts, Dask would wait for itself
        self._refused = (time.monotonic(), message)
        raise ConnectionError(message)

    def missing_workers(self) -> str:
        """Message that no worker of an external scheduler accepts fits, or that it does not answer; empty where one does."""
        client, now = self._client, time.monotonic()
        if self._address is None or client is None:
            return ""
        if now - self._looked[0] >= LOOK_SECONDS:
            try:
                workers = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=LOOK_SECONDS)["workers"].values()
            except GONE:
                hint = f"The Dask scheduler at {self._address} does not answer"
            else:
                ready = any(each.get("resources", {}).get("fit", 0) >= 1 for each in workers)
                start = (
                    f"start one with python -m dask worker {self._address} --nthreads 1 --resources fit=1 --preload encoding.jobs.worker"
                )
                hint = "" if ready else f"None of the {len(workers)} workers of {self._address} takes fits; {start}"
            self._looked = (now, hint)
        return self._looked[1]

    def n_ready(self) -> int:
        """Number of connected workers that accept fits; 0 where the scheduler does not answer."""
        client = self._client
        try:
            workers = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=LOOK_SECONDS)["workers"].values()
        except (*GONE, AttributeError):
            return 0
        return sum(each.get("resources", {}).get("fit", 0) >= 1 for each in workers)

    def _disconnect(self) -> None:
        client, cluster, self._client, self._cluster = self._client, self._cluster, None, None
        if client is not None:
            client.close()
        if cluster is not None:
            cluster.close()


def next_attempt(client: Client, key: str, n_ended: int) -> str:
    """Name of the running attempt at ``key``, else of a new one; ``n_ended`` attempts are known here to have ended."""
    events = client.sync(client.scheduler.events, topic=worker.ATTEMPTS, callback_timeout=ANSWER_SECONDS)
    ended = [event["attempt"] for _, event in events if "ended" in event]
    numbers = [number_of(attempt) for attempt in ended if attempt.rpartition("#")[0] == key]
    return f"{key}#{max([n_ended, *numbers]) + 1}"


def number_of(attempt: str | None) -> int:
    """Number of an attempt at its key, from 1; 0 for None.

    Examples
    --------
    >>> number_of("study-1#2")
    2
    """
    return int(attempt.rpartition("#")[2]) if attempt else 0


def note_ended(client: Client, attempt: str) -> None:
    """Record in the scheduler's event log that an attempt has ended, so that the next request for its key begins a new one."""
    if client.status == "running":
        message = {"attempt": attempt, "ended": True}
        with suppress(OSError):  # a scheduler that is gone remembers no attempts
            client.sync(client.scheduler.log_event, topic=worker.ATTEMPTS, msg=message, callback_timeout=ANSWER_SECONDS)


def submit(client: Client, attempt: str, work: bytes, store: Store, *, priority: int = 0) -> Future:
    """Queue an attempt for a worker with a free ``fit`` resource; joins it where another client has queued it already.

    Parameters
    ----------
    priority : of work that waits; higher goes first.
    """
    arguments = (work, str(store.root), attempt, uuid4().hex, code_fingerprint(), store.identity())
    return client.submit(worker.run, *arguments, key=attempt, resources={"fit": 1}, pure=False, priority=priority)


def submit_stages(client: Client, works: Mapping[str, bytes], store_root: str, store_identity: str, *, priority: int) -> list[Future]:
    """Queue several attempts at once; one that is lost with its worker is done again by another.

    Parameters
    ----------
    works : name of each attempt to its pickled task.
    priority : of work that waits; higher goes first, :func:`submit` has 0.
    """
    names = list(works)
    columns = (list(works.values()), [store_root] * len(names), names, [None] * len(names))
    how = {"code": code_fingerprint(), "store_identity": store_identity}
    return client.map(worker.run, *columns, key=names, resources={"fit": 1}, pure=False, priority=priority, **how)


def outcome(future: Future, doing: str) -> Outcome:
    """Read how an attempt ended; ``doing`` is its last reported step."""
    from distributed import CancelledError, KilledWorker

    if future.status == "finished":
        return "done", None, None
    try:
        error = future.exception(timeout=ANSWER_SECONDS) or future.result(timeout=ANSWER_SECONDS)
    except CancelledError as cancelled:
        error = cancelled
    match error:
        case Cancelled():
            return "cancelled", None, None
        case CancelledError(reason="scheduler-connection-lost"):
            why = "The scheduler that ran this job is gone. Stages that were finished are kept: submitting again resumes."
            return "failed", why, "ConnectionLost"
        case CancelledError():
            return "cancelled", None, None
        case worker.WorkerDied() | KilledWorker():
            why = f"The worker process died while it said “{doing}”, perhaps out of memory. "
            return "failed", why + "Stages that were finished are kept: submitting again resumes.", "WorkerDied"
        case worker.TaskFailed(args=(kind, message)):
            return "failed", message, kind
    return "failed", str(error), type(error).__name__


def stop(client: Client, attempt: str, future: Future, address: str | None, let_go: threading.Event) -> None:
    """Remove an attempt from the queue for all clients, and stop it on the worker at ``address`` where it has begun.

    The worker requests the task to stop, and ends itself otherwise; its supervisor, such as Dask's nanny, starts another. It is killed
    from outside only where it does not respond.
    """
    with suppress(*GONE):
        note_ended(client, attempt)
        client.cancel([future], force=True)
    if address is None:
        return
    asking = (client, address, worker.ask_to_stop, attempt, GRACE_SECONDS)
    threading.Thread(target=_call, args=asking, daemon=True).start()
    if not let_go.wait(GRACE_SECONDS + DEAF_SECONDS):
        _call(client, address, worker.end_worker, nanny=True)


def _call(client: Client, address: str, function: Callable, *arguments: Any, nanny: bool = False) -> None:
    """Call a function in a worker process or its nanny, past the queue; nothing happens where there is none (any more)."""
    with suppress(*GONE, AttributeError, UnboundLocalError):  # the last two of a client that closes meanwhile
        client.run(function, *arguments, workers=[address], nanny=nanny, on_error="ignore")
