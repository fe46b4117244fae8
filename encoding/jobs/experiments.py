"""Experiments that a web server runs, each in a thread of its own, with their tasks on the server's workers."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from encoding.experiments.experiment import Experiment
from encoding.experiments.progress import Run, Status
from encoding.experiments.records import request_cancel
from encoding.experiments.run import Executor, run_experiment
from encoding.jobs.job import NotTheOwner
from encoding.storage.store import Store


@dataclass(frozen=True)
class ExperimentState:
    """State of an experiment that was started here.

    Attributes
    ----------
    title : its title; may be empty.
    text : what happens before the first task, such as the planning of the fits.
    status : state of every fit; None before the tasks are listed.
    labels : label of every fit, in the order of ``status.cells``.
    error : why it ended, where it did not run to its end; else empty.
    finished : whether its thread has ended.
    owner : who started it; empty where nobody in particular did.
    """

    title: str
    text: str
    status: Status | None
    labels: tuple[str, ...]
    error: str
    finished: bool
    owner: str = ""


class Experiments:
    """Start, follow and cancel experiments; thread-safe.

    Parameters
    ----------
    store : where their fits are kept.
    executor : carries out the tasks, such as :meth:`encoding.jobs.Jobs.carry_out`.
    """

    def __init__(self, store: Store, executor: Executor) -> None:
        self._store, self._executor = store, executor
        self._lock = threading.Lock()
        self._started: dict[str, _Started] = {}

    def start(self, experiment: Experiment, *, owner: str = "") -> str:
        """Run an experiment in the background and return its key; one that runs already is left alone."""
        key = experiment.key
        with self._lock:
            known = self._started.get(key)
            if known is None or known.finished:
                self._started[key] = _Started(experiment, self._store, self._executor, owner)
        return key

    def get(self, key: str) -> ExperimentState | None:
        """State of an experiment; None where it was not started here."""
        with self._lock:
            known = self._started.get(key)
        return None if known is None else known.state()

    def all(self) -> dict[str, ExperimentState]:
        """State of every experiment by its key, the newest last."""
        with self._lock:
            started = dict(self._started)
        return {key: each.state() for key, each in started.items()}

    def cancel(self, key: str, *, owner: str | None = None) -> bool:
        """Stop an experiment, also one that another process runs on the same Store; returns whether there was one to stop.

        ``owner`` is who stops it, if only the owner may: NotTheOwner where another started it here, or nobody did.
        """
        with self._lock:
            known = self._started.get(key)
        if owner is not None and (known is None or owner != known.owner):
            raise NotTheOwner("Somebody else started this experiment, and only they can cancel it.")
        if known is not None and not known.finished:
            known.cancel()
            return True
        return request_cancel(key, self._store)


class _Started:
    """One experiment and the thread that runs it."""

    def __init__(self, experiment: Experiment, store: Store, executor: Executor, owner: str) -> None:
        self._experiment, self._store, self._executor, self.owner = experiment, store, executor, owner
        self._run: Run | None = None
        self._stop = threading.Event()
        self._text, self._error = "planning", ""
        self._thread = threading.Thread(target=self._work, name="experiment", daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        return not self._thread.is_alive()

    def cancel(self) -> None:
        self._stop.set()
        if self._run is not None:
            self._run.cancel()

    def state(self) -> ExperimentState:
        run = self._run
        labels = () if run is None else tuple(planned.cell.label for planned in run.graph.cells)
        status = None if run is None else run.status()
        return ExperimentState(self._experiment.title, self._text, status, labels, self._error, self.finished, self.owner)

    def _work(self) -> None:
        try:
            run_experiment(self._experiment, self._store, self._plan, executor=self._executor, watch=self._follow)
        except Exception as error:  # shown on the page, where the server's log is out of sight
            self._error = "" if self._stop.is_set() else f"{type(error).__name__}: {error}"

    def _plan(self, fraction: float, text: str) -> None:
        if self._stop.is_set():
            raise InterruptedError
        self._text = text

    def _follow(self, run: Run) -> None:
        self._run = run
        if self._stop.is_set():
            run.cancel()
