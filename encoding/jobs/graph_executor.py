"""Carry out the tasks of an experiment on Dask workers.

Each task is one Dask task. It is submitted when those before it are done, so the scheduler holds a few tasks a worker at any time,
whatever the size of the experiment: cancelling is quick, a fit that somebody waits for goes before all of them by its priority, and a
scheduler that was lost is replaced by submitting those few again. Results travel through the Store.
"""

from __future__ import annotations

import pickle
import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from encoding.experiments.graph import LATE, Task
from encoding.experiments.progress import Run
from encoding.experiments.stages import run_task
from encoding.jobs import scheduler as dask
from encoding.storage.store import Store

if TYPE_CHECKING:
    from distributed import Client, Future

    from encoding.jobs.scheduler import Scheduler

PRIORITY, LATE_PRIORITY = -1, -2  # of tasks; a single fit has 0
MOST_DEATHS = 3  # of workers under one task, after which it is not tried again
TICK_SECONDS = 0.2
COUNT_SECONDS = 2.0  # between two looks at how many workers there are
RECONNECT_SECONDS = 60.0  # in which a scheduler that was lost may come back
QUIET_SECONDS = 0.5  # in which a task that was taken back may say that it had begun
STOP_SECONDS = 4.0  # for workers to stop when the experiment is cancelled


@dataclass
class Attempt:
    """A task that was handed to the scheduler."""

    task: Task
    name: str
    client: Client
    future: Future
    n_begun: int = 0
    worker: str | None = None
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
        tasks: list[Task] = []
        while len(self._attempts) + len(tasks) < max(1, self._window) and (task := self._run.take()) is not None:
            tasks.append(task)
        try:
            if tasks:
                client = self._scheduler.connect()
                self._count_workers()
            while tasks:
                late = tasks[0].stage in LATE
                some = [task for task in tasks if (task.stage in LATE) == late]
                self._submit(client, some, LATE_PRIORITY if late else PRIORITY)
                tasks = [task for task in tasks if task not in some]
        finally:
            for task in tasks:  # no scheduler took them
                self._run.put_back(task)

    def _count_workers(self) -> None:
        """Adapt to the number of workers, and note what is missing where there is none."""
        if time.monotonic() - self._counted >= COUNT_SECONDS:
            n_workers = max(1, self._scheduler.n_ready())
            self._run.n_workers, self._window, self._counted = n_workers, 8 * n_workers + 24, time.monotonic()
            self._run.note = self._scheduler.missing_workers()

    def _submit(self, client: Client, tasks: Sequence[Task], priority: int) -> None:
        self._n_submitted.update(task.key for task in tasks)
        named = {f"stage-{task.key}#{self._n_submitted[task.key]}": task for task in tasks}
        works = {name: pickle.dumps((run_task, task)) for name, task in named.items()}
        futures = dask.submit_stages(client, works, str(self._store.root), self._store_identity, priority=priority)
        for (name, task), future in zip(named.items(), futures, strict=True):
            self._attempts[name] = Attempt(task, name, client, future)
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
            self._run.report(attempt.task.key, 0.0, "starting")
        elif "fraction" in message:
            self._run.report(attempt.task.key, message["fraction"], message["text"])

    def _settle(self, name: str) -> None:
        attempt = self._attempts.pop(name, None)
        if attempt is None:
            return
        key, future = attempt.task.key, attempt.future
        if future.status == "finished":
            self._run.done(key)
        else:
            try:
                state, error, kind = dask.outcome(future, attempt.task.stage)
            except dask.GONE:  # its client was closed
                state, error, kind = "failed", "", "ConnectionLost"
            if state == "failed" and kind not in ("WorkerDied", "ConnectionLost"):
                self._run.fail(key, kind, error)
            elif self._n_lost[key] >= MOST_DEATHS or (kind == "WorkerDied" and attempt.n_begun and self._is_deadly(attempt)):
                self._run.fail(key, "WorkerDied", f"{MOST_DEATHS} workers died at it, perhaps out of memory.")
            else:  # lost with its worker or scheduler, or cancelled by somebody else who asked for the same
                self._run.put_back(attempt.task)
        future.release()

    def _is_deadly(self, attempt: Attempt) -> bool:
        """Note that a worker died under an attempt; returns whether too many have under its task."""
        self._n_lost[attempt.task.key] += 1
        return self._n_lost[attempt.task.key] >= MOST_DEATHS

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
