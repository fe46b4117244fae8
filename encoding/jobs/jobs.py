"""Background jobs of one web server, shared by all sessions."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.experiments.progress import Run
from encoding.jobs import scheduler
from encoding.jobs.graph_executor import GraphExecutor
from encoding.jobs.job import Job, NotTheOwner, Record
from encoding.jobs.scheduler import Scheduler, number_of
from encoding.jobs.worker import Task
from encoding.storage.store import Store

if TYPE_CHECKING:
    from distributed import Client, Future

    from encoding.fits.plan import Plan

REMEMBERED = 200  # finished jobs
LAUNCHES = 3  # of a job whose workers died before it began
OPTIONAL_PRIORITY = -100  # below that of late stages of experiments


class Jobs:
    """Submit, follow and cancel background work on Dask; thread-safe.

    The workers end with this process, however it ends; :meth:`close` ends them earlier.

    Parameters
    ----------
    store_root : folder of the Store where jobs write their results.
    address : of a Dask scheduler; by default ``$ENCODING_SCHEDULER``. Without either, workers start on this machine with the first
        job.
    n_workers : processes that start on this machine; by default ``$ENCODING_WORKERS``, else as
        :func:`encoding.jobs.serve.default_workers` says.
    """

    def __init__(self, store_root: str | Path, *, address: str | None = None, n_workers: int | None = None) -> None:
        self._store = Store(store_root)
        self._root = str(self._store.root)
        self._scheduler = Scheduler(address or os.environ.get("ENCODING_SCHEDULER"), self._hear, n_workers=n_workers)
        self._experiments: set[GraphExecutor] = set()
        self._changed = threading.Condition()  # guards every record; notified of every change
        self._records: dict[str, Record] = {}  # the latest at each key, newest last
        self._attempts: dict[str, Record] = {}  # all that a worker may still speak of, by attempt

    def start(self) -> None:
        """Start the workers in advance, so that the first job does not wait for them; returns within about a second.

        Raises
        ------
        ConnectionError
            If no scheduler answers.
        """
        self._scheduler.connect()

    def submit(
        self, task: Task, spec: Any, *, key: str, planned: Plan | Iterable[Plan] | None = None, optional: bool = False, owner: str = ""
    ) -> Job:
        """Run ``task(spec, store, report, device)`` in a worker; returns immediately.

        A key that is queued or running, here or through another client of the same scheduler, is not submitted twice; one that has
        finished runs again.

        Parameters
        ----------
        task : function at the top level of a module that workers can import.
        spec : picklable argument.
        key : identifies the work; equal work has an equal key.
        planned : plans of the fits that the task is about, or of the one; of a composed fit those of its members count. A worker of an
            external cluster then does the task only where it sees the same stimuli, responses and weights, and else says which differ.
        optional : whether the job steps aside for others: it waits behind them, and where it runs while one of them finds no free worker,
            it is stopped and begins again after them.
        owner : name of whoever asks for it; one who joins work that is under way does not become its owner.

        Raises
        ------
        ConnectionError
            If no scheduler answers.
        TypeError, AttributeError, pickle.PicklingError
            If task or spec cannot be pickled.
        """
        if planned is not None and self._scheduler.is_external:
            from encoding.jobs.tasks import AsPlanned  # imports the whole pipeline

            task = AsPlanned.of(task, planned)
        work = pickle.dumps((task, spec))
        self._store.identity()  # raises here, where the Store cannot be written to
        client = self._scheduler.connect()
        with self._changed:
            known = self._records.get(key)
            if known is not None and not known.finished:
                return self._snapshot(known)
            record = Record(key, spec, work, optional, owner)
            if known is not None:
                record.n_ended = max(known.n_ended, number_of(known.attempt))
            self._records.pop(key, None)
            self._records[key] = record
            _forget_oldest(self._records)
        self._launch(client, record)
        if not optional:
            self._make_room()
        with self._changed:
            return self._snapshot(record)

    def get(self, key: str) -> Job | None:
        """Current state of a job; None if this key was never submitted here."""
        with self._changed:
            record = self._records.get(key)
            job = None if record is None else self._snapshot(record)
        if job is not None and job.position == 1 and not job.running and (missing := self._scheduler.missing_workers()):
            return replace(job, text=missing)  # asked without the lock, which Dask's thread takes to report
        return job

    def all(self) -> list[Job]:
        """List all jobs, newest last."""
        with self._changed:
            return [self._snapshot(record) for record in self._records.values()]

    def wait(self, key: str, *, timeout: float | None = None) -> Job:
        """Wait until a job has finished, ``timeout`` seconds at most, and return its state.

        Raises
        ------
        KeyError
            If this key was never submitted here.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._records[key].finished, timeout)
            return self._snapshot(self._records[key])

    def cancel(self, key: str, *, owner: str | None = None) -> bool:
        """Cancel a queued or running job.

        The job counts as cancelled at once. A worker that runs it is asked to stop at its next progress report, and its process
        is ended after a second or two otherwise. Queued jobs continue either way.

        Parameters
        ----------
        owner : who cancels it, if only the owner may; None cancels anybody's.

        Returns
        -------
        bool
            Whether there was a job to cancel.

        Raises
        ------
        NotTheOwner
            If another owner asked for it.
        """
        with self._changed:
            record = self._records.get(key)
            if record is None or record.finished:
                return False
            if owner is not None and owner != record.owner:
                raise NotTheOwner("Somebody else started this job, and only they can cancel it.")
            self._end(record, "cancelled")
            if record.attempt is not None:  # else it is about to be launched, which sees that it was cancelled
                self._stop(record)
        return True

    def retry(self, key: str, *, owner: str = "") -> Job:
        """Run a failed or cancelled job again, as a job of ``owner``; a running one is left alone.

        Raises
        ------
        KeyError
            If this key was never submitted here.
        ConnectionError
            If no scheduler answers.
        """
        with self._changed:
            task, spec = pickle.loads(self._records[key].work)
            optional = self._records[key].optional
        return self.submit(task, spec, key=key, optional=optional, owner=owner)

    def carry_out(self, run: Run, store: Store, device: str = "auto") -> None:
        """Carry out the tasks of an experiment on the workers: an :data:`encoding.experiments.run.Executor`; returns when all have ended.

        Raises
        ------
        ConnectionError
            If no scheduler answers, or one that was lost does not come back.
        """
        executor = GraphExecutor(self._scheduler, run, self._store)
        self._experiments.add(executor)
        try:
            executor.carry_out()
        finally:
            self._experiments.discard(executor)

    def close(self) -> None:
        """Stop the local workers, or disconnect from the external cluster; unfinished jobs are cancelled."""
        with self._changed:
            for record in self._records.values():
                if not record.finished:
                    self._end(record, "cancelled")
        self._scheduler.close()

    def _launch(self, client: Client, record: Record) -> None:
        """Hand a record to the scheduler as the next attempt at its key."""
        try:
            attempt = scheduler.next_attempt(client, record.key, max(record.n_ended, number_of(record.attempt)))
            with self._changed:
                if record.finished:
                    return
                record.client, record.attempt, record.launches = client, attempt, record.launches + 1
                record.let_go[attempt] = threading.Event()
                priority = OPTIONAL_PRIORITY if record.optional else 0
                record.future = scheduler.submit(client, attempt, record.work, self._store, priority=priority)
                self._attempts[attempt] = record
                _forget_oldest(self._attempts)
            record.future.add_done_callback(partial(self._settle, record))
        except Exception as error:
            if isinstance(error, OSError) and not isinstance(error, ConnectionError):
                error = ConnectionError(f"The Dask scheduler stopped answering ({error or type(error).__name__}). Nothing was started.")
            with self._changed:
                self._end(record, "failed", str(error), type(error).__name__)
            raise error

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take in one message of a worker, in the thread of Dask's client."""
        _, message = event
        for executor in tuple(self._experiments):
            executor.hear(message)
        with self._changed:
            record = self._attempts.get(message["attempt"])
            if record is None:
                return
            if message.get("let_go"):
                record.let_go[message["attempt"]].set()
            if message["attempt"] != record.attempt or record.stepping_aside:
                return
            just_begun, record.worker = record.worker is None, message["worker"]
            if record.state == "cancelled" and just_begun:  # it left the queue as it was cancelled
                self._stop(record)
            elif "line" in message:
                record.note(message["line"])
            elif "fraction" in message and not record.finished:
                standing = (message["fraction"], message["text"], message["seconds"])
                record.advance(*standing, message.get("stage", ""), message.get("measured", ()))
            self._changed.notify_all()

    def _settle(self, record: Record, future: Future) -> None:
        """Take in that Dask is done with an attempt, in the thread of Dask's callbacks."""
        if not record.finished and record.stepping_aside and future.status != "finished":
            with self._changed:
                record.requeue()
                self._changed.notify_all()
            with suppress(ConnectionError):  # the record says so
                self._launch(record.client, record)
            return
        if not record.finished:
            state, error, error_kind = scheduler.outcome(future, record.text)
            scheduler.note_ended(record.client, record.attempt)
            if error_kind == "WorkerDied" and record.worker is None and record.launches < LAUNCHES:
                self._launch(record.client, record)  # it only waited while other jobs took worker after worker down
                return
            with self._changed:
                if not record.finished:
                    self._end(record, state, error, error_kind)
        record.future = None  # lets the scheduler forget it

    def _make_room(self) -> None:
        """Let the optional job that began last step aside where more jobs want a worker than there are."""
        with self._changed:
            optional = [each for each in self._records.values() if each.optional and each.state == "running" and not each.stepping_aside]
            wanted = sum(not each.finished and not each.optional for each in self._records.values())
        if not optional or wanted + len(optional) <= self._scheduler.n_ready():
            return
        with self._changed:
            newest = max(optional, key=lambda each: each.started or 0.0)
            if newest.state == "running" and not newest.stepping_aside:
                newest.stepping_aside = True
                self._stop(newest)

    def _stop(self, record: Record) -> None:
        """Free the queue or the worker of the attempt at a record, in a thread of its own."""
        arguments = (record.client, record.attempt, record.future, record.worker, record.let_go[record.attempt])
        threading.Thread(target=scheduler.stop, args=arguments, daemon=True).start()

    def _end(self, record: Record, *how: Any) -> None:
        record.end(*how)
        self._changed.notify_all()

    def _snapshot(self, record: Record) -> Job:
        if record.state != "queued":
            return record.snapshot(None)
        queue = [each for each in self._records.values() if each.state == "queued"]
        running = tuple(each.spec for each in self._records.values() if each.state == "running")
        return record.snapshot(queue.index(record) + 1 if record in queue else None, running)


def _forget_oldest(records: dict[str, Record]) -> None:
    finished = [name for name, record in records.items() if record.finished]
    for name in finished[:-REMEMBERED]:
        del records[name]
