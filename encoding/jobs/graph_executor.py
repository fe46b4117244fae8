"""Carry out the tasks of an experiment on Dask workers.

A task is submitted when those before it are done, so the scheduler holds a few a worker at any time, whatever the size of the
experiment: cancelling is quick, a fit that somebody waits for goes before all of them by its priority, and a scheduler that was lost is
replaced by submitting those few again. Results travel through the Store.

Dask takes some 5 ms of processor time for whatever it is given. Tasks that took a few milliseconds each so far therefore travel in bundles,
of a fifth of a second of work at most; all others are a Dask task each.
"""

from __future__ import annotations

import pickle
import queue
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from encoding.experiments.progress import Run
from encoding.experiments.stages import run_in_turn, run_task
from encoding.experiments.task import Task
from encoding.jobs import scheduler as dask
from encoding.storage.store import Store

if TYPE_CHECKING:
    from distributed import Client, Future

    from encoding.jobs.scheduler import Scheduler

PRIORITY, LATE_PRIORITY = -1, -2  # of tasks; a single fit has 0
MOST_DEATHS = 3  # of workers under one task, after which it is not tried again
QUEUED, QUEUED_PER_WORKER = 24, 8  # bundles that the scheduler holds
TICK_SECONDS = 0.2
COUNT_SECONDS = 2.0  # between two looks at how many workers there are
RECONNECT_SECONDS = 60.0  # in which a scheduler that was lost may come back
QUIET_SECONDS = 0.5  # in which a task that was taken back may say that it had begun
STOP_SECONDS = 4.0  # for workers to stop when the experiment is cancelled
BUNDLE_SECONDS, MOST_BUNDLED = 0.2, 50  # expected work of a bundle, and its tasks
N_RECENT = 8  # tasks of a kind, of which the slowest says what the next takes


@dataclass
class Attempt:
    """Tasks that were handed to the scheduler as one piece of work; ``returned`` is what :func:`run_in_turn` says of them."""

    tasks: tuple[Task, ...]
    name: str
    client: Client
    future: Future
    n_begun: int = 0
    worker: str | None = None
    returned: Sequence[tuple[float, str, str]] = ()
    let_go: threading.Event = field(default_factory=threading.Event)


class GraphExecutor:
    """Carry out one run; messages of workers and finished tasks arrive through a queue and are taken in by one thread.

    Parameters
    ----------
    scheduler : connection to the cluster.
    run : what to carry out.
    store : where results go.
    """

    def __init__(self, scheduler: Scheduler, run: Run, store: Store) -> None:
        self._scheduler, self._run, self._store = scheduler, run, store
        self._store_identity = store.identity()
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._attempts: dict[str, Attempt] = {}
        self._n_submitted: Counter[str] = Counter()
        self._n_lost: Counter[str] = Counter()
        self._seconds: defaultdict[tuple[str, str], deque[float]] = defaultdict(partial(deque, maxlen=N_RECENT))  # by stage and readout
        self._window, self._counted = 0, -float("inf")

    def hear(self, message: dict[str, Any]) -> None:
        """Take in a message of a worker, from any thread."""
        if message["attempt"] in self._attempts:
            self._events.put(("message", message))

    def carry_out(self) -> None:
        """Submit tasks as they become ready until all have ended; on any error, and when cancelled, stop those that run."""
        lost_at = None  # when the scheduler was last found to be gone
        try:
            while not self._run.finished and not self._run.cancelled:
                try:
                    self._fill()
                    lost_at = None
                except ConnectionError:
                    lost_at = lost_at or time.monotonic()
                    if not self._n_submitted or time.monotonic() - lost_at > RECONNECT_SECONDS:
                        raise
                self._take_in(TICK_SECONDS)
        finally:
            self._stop()

    def _fill(self) -> None:
        """Submit ready tasks while the scheduler holds few of them."""
        bundles: list[tuple[Task, ...]] = []
        while len(self._attempts) + len(bundles) < max(1, self._window) and (bundle := self._take_bundle()):
            bundles.append(bundle)
        try:
            if bundles:
                client = self._scheduler.connect()
                self._count_workers()
            while bundles:
                late = bundles[0][0].late
                some = [bundle for bundle in bundles if bundle[0].late == late]
                self._submit(client, some, LATE_PRIORITY if late else PRIORITY)
                bundles = [bundle for bundle in bundles if bundle not in some]
        finally:
            for task in (task for bundle in bundles for task in bundle):  # no scheduler took them
                self._run.put_back(task)

    def _take_bundle(self) -> tuple[Task, ...]:
        """Take the next ready task, and with it those that follow as long as all of them are quick; empty where none is ready."""
        bundle: list[Task] = []
        seconds = 0.0
        while len(bundle) < MOST_BUNDLED and (task := self._run.take()) is not None:
            seconds += self._expected_seconds(task)
            if bundle and (seconds > BUNDLE_SECONDS or task.late != bundle[0].late):
                self._run.put_back(task)
                break
            bundle.append(task)
            if seconds > BUNDLE_SECONDS:
                break
        return tuple(bundle)

    def _expected_seconds(self, task: Task) -> float:
        """What tasks of the same stage and readout took lately; infinite before enough were measured, and for one that was lost."""
        recent = self._seconds[task.stage, task.spec.readout]
        return max(recent) if len(recent) == N_RECENT and not self._n_lost[task.key] else float("inf")

    def _count_workers(self) -> None:
        """Adapt to the number of workers, and note what is missing where there is none."""
        if time.monotonic() - self._counted >= COUNT_SECONDS:
            n_workers = max(1, self._scheduler.n_ready())
            self._run.n_workers, self._counted = n_workers, time.monotonic()
            self._window = QUEUED + QUEUED_PER_WORKER * n_workers
            self._run.note = self._scheduler.missing_workers()

    def _submit(self, client: Client, bundles: Sequence[tuple[Task, ...]], priority: int) -> None:
        self._n_submitted.update(bundle[0].key for bundle in bundles)
        named = {f"stage-{bundle[0].key}#{self._n_submitted[bundle[0].key]}": bundle for bundle in bundles}
        works = {name: pickle.dumps((partial(run_in_turn, run_task), bundle)) for name, bundle in named.items()}
        futures = dask.submit_stages(client, works, str(self._store.root), self._store_identity, priority=priority)
        for (name, bundle), future in zip(named.items(), futures, strict=True):
            self._attempts[name] = Attempt(bundle, name, client, future)
            future.add_done_callback(partial(self._settled, name))

    def _settled(self, name: str, future: Future) -> None:
        self._events.put(("settled", name))

    def _take_in(self, seconds: float) -> None:
        """Take in what has happened, after at most so many seconds."""
        try:
            kind, about = self._events.get(timeout=seconds)
            while True:
                if kind == "message":
                    self._message(about)
                else:
                    self._settle(about)
                kind, about = self._events.get_nowait()
        except queue.Empty:
            return

    def _message(self, message: dict[str, Any]) -> None:
        attempt = self._attempts.get(message["attempt"])
        if attempt is None:
            return
        if message.get("let_go"):
            attempt.let_go.set()
        elif message.get("begun"):
            attempt.n_begun, attempt.worker = attempt.n_begun + 1, message["worker"]
            if attempt.n_begun > 1 and self._is_deadly(attempt):
                attempt.client.cancel([attempt.future], force=True)
            self._run.report(attempt.tasks[0].key, 0.0, "starting")
        elif "returned" in message:
            attempt.returned = message["returned"]
        elif "fraction" in message:
            place = message["fraction"] * len(attempt.tasks)
            number = min(int(place), len(attempt.tasks) - 1)
            self._run.report(attempt.tasks[number].key, place - number, message["text"])

    def _settle(self, name: str) -> None:
        attempt = self._attempts.pop(name, None)
        if attempt is None:
            return
        if attempt.future.status == "finished":
            for task, (seconds, kind, error) in zip(attempt.tasks, attempt.returned, strict=False):
                self._seconds[task.stage, task.spec.readout].append(seconds)
                if kind:
                    self._run.fail(task.key, kind, error)
                else:
                    self._run.done(task.key, seconds)
            for task in attempt.tasks[len(attempt.returned) :]:  # that would have made a bundle long
                self._run.put_back(task)
        else:
            self._settle_failed(attempt)
        attempt.future.release()

    def _settle_failed(self, attempt: Attempt) -> None:
        """Take in that an attempt ended without an answer: its tasks are taken again unless that makes no sense."""
        try:
            state, error, kind = dask.outcome(attempt.future, attempt.tasks[0].stage)
        except dask.GONE:  # its client was closed
            state, error, kind = "failed", "", "ConnectionLost"
        if kind == "WorkerDied" and attempt.n_begun:
            self._is_deadly(attempt)
        for task in attempt.tasks:
            if state == "failed" and kind not in ("WorkerDied", "ConnectionLost"):
                self._run.fail(task.key, kind, error)
            elif self._n_lost[task.key] >= MOST_DEATHS:
                self._run.fail(task.key, "WorkerDied", f"{MOST_DEATHS} workers died at it, perhaps out of memory.")
            else:  # lost with its worker or scheduler, or cancelled by somebody else who asked for the same
                self._run.put_back(task)

    def _is_deadly(self, attempt: Attempt) -> bool:
        """Note that a worker died under an attempt; returns whether Dask shall not try it again: a bundle is taken apart."""
        self._n_lost.update(task.key for task in attempt.tasks)
        return len(attempt.tasks) > 1 or self._n_lost[attempt.tasks[0].key] >= MOST_DEATHS

    def _stop(self) -> None:
        """Take back all that waits, and stop what runs, also what begins meanwhile."""
        waiting = [attempt for attempt in self._attempts.values() if attempt.worker is None]
        for client in {id(attempt.client): attempt.client for attempt in waiting}.values():
            with suppress(*dask.GONE):
                client.cancel([attempt.future for attempt in waiting if attempt.client is client], force=True)
        stopping: dict[str, threading.Thread] = {}
        started = time.monotonic()
        while self._attempts and (now := time.monotonic() - started) < STOP_SECONDS:
            for name, attempt in self._attempts.items():
                if attempt.worker is not None and name not in stopping:
                    arguments = (attempt.client, name, attempt.future, attempt.worker, attempt.let_go)
                    stopping[name] = threading.Thread(target=dask.stop, args=arguments, daemon=True)
                    stopping[name].start()
            if now > QUIET_SECONDS and not any(thread.is_alive() for thread in stopping.values()):
                break
            with suppress(queue.Empty):
                kind, about = self._events.get(timeout=0.05)
                if kind == "message":
                    self._message(about)
        self._attempts.clear()
