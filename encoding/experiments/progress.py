"""State of an experiment while it runs: of every task, of every cell, and the time left."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from encoding.experiments.graph import Graph
from encoding.experiments.task import Task
from encoding.runtime.progress import Cancelled, Report

State = Literal["waiting", "running", "done", "failed", "cancelled"]

PASSES = 0.5  # share of the work that is passes of stimuli through networks, as a bar of progress shows it
LEAST_FRACTION = 0.02  # of a running task, from which its whole duration is guessed


@dataclass(frozen=True)
class CellState:
    """State of one fit of an experiment.

    Attributes
    ----------
    state : ``waiting``, ``running``, ``done``, ``failed`` or ``cancelled``; done once the scores are stored.
    stage : stage that runs now; empty unless running.
    fraction : progress of that stage, 0 to 1.
    text : its last report.
    error_kind, error : type name and message of what made the cell fail, or what is missing of a done one (its intervals); else empty.
    """

    state: State
    stage: str = ""
    fraction: float = 0.0
    text: str = ""
    error_kind: str = ""
    error: str = ""


@dataclass(frozen=True)
class Status:
    """State of an experiment at one moment.

    Attributes
    ----------
    cells : state of each fit, in the experiment's order.
    n_tasks, n_ended : tasks of this run, and how many of them are done, failed or cancelled.
    seconds : since the run began.
    seconds_left : estimated from the durations measured so far; None while a stage has not been measured.
    note : what keeps tasks waiting, such as that no worker is there; else empty.
    """

    cells: tuple[CellState, ...]
    n_tasks: int
    n_ended: int
    seconds: float
    seconds_left: float | None
    note: str = ""

    def count(self, state: State) -> int:
        """Number of cells in a state."""
        return sum(cell.state == state for cell in self.cells)


class Run:
    """Tasks of a graph as they are carried out; thread-safe.

    Parameters
    ----------
    graph : the compiled experiment.
    n_workers : how many tasks run side by side, for the time left.
    """

    def __init__(self, graph: Graph, *, n_workers: int = 1) -> None:
        self.graph, self.n_workers = graph, n_workers
        self.note = ""  # what keeps tasks waiting, such as that no worker is there
        self._lock = threading.RLock()
        self._states: dict[str, State] = dict.fromkeys(graph.tasks, "waiting")
        self._errors: dict[str, tuple[str, str]] = {}
        self._reports: dict[str, tuple[float, str, float]] = {}  # of running tasks: fraction, text, when it began
        self._seconds: dict[str, tuple[float, int]] = {}  # stage to the seconds of its finished tasks, and their number
        self._waits_for = {key: len(task.needs) for key, task in graph.tasks.items()}
        self._needed_by: dict[str, list[str]] = {}
        for key, task in graph.tasks.items():
            for needed in task.needs:
                self._needed_by.setdefault(needed, []).append(key)
        self._order = {key: (task.late, place, key) for place, (key, task) in enumerate(graph.tasks.items())}
        self._ready = [self._order[key] for key, n in self._waits_for.items() if n == 0]
        heapq.heapify(self._ready)
        self._n_ended = 0
        n_passes = sum(task.stage == "features" for task in graph.tasks.values())
        others = (1 - PASSES) / max(1, len(graph.tasks) - n_passes)
        self._shares = {key: PASSES / n_passes if task.stage == "features" else others for key, task in graph.tasks.items()}
        self._ended_shares, self._reached = 0.0, 0.0
        self._started = time.monotonic()
        self._stop = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        return self._stop.is_set()

    @property
    def fraction(self) -> float:
        """Progress of all tasks, 0 to 1; never falls."""
        with self._lock:
            done = self._ended_shares + sum(self._shares[key] * fraction for key, (fraction, _, _) in self._reports.items())
            self._reached = max(self._reached, min(1.0, done / (sum(self._shares.values()) or 1.0)))
            return self._reached

    @property
    def finished(self) -> bool:
        """Whether every task has ended."""
        return self._n_ended == len(self._states)

    def cancel(self) -> None:
        """Ask the run to stop; tasks that have not ended count as cancelled."""
        with self._lock:
            self._stop.set()
            for key, state in self._states.items():
                if state in ("waiting", "running"):
                    self._end(key, "cancelled")

    def take(self) -> Task | None:
        """Take the first task whose needs are done; None where there is none now."""
        with self._lock:
            while self._ready:
                _, _, key = heapq.heappop(self._ready)
                if self._states[key] == "waiting":
                    return self.graph.tasks[key]
            return None

    def report_of(self, task: Task) -> Report:
        """Progress callback of a task that runs in this process; raises Cancelled once the run was asked to stop."""

        def report(fraction: float, text: str) -> None:
            if self.cancelled:
                raise Cancelled("The experiment was cancelled.")
            self.report(task.key, fraction, text)

        return report

    def report(self, key: str, fraction: float, text: str) -> None:
        """Note how far a running task is."""
        with self._lock:
            if self._states[key] in ("waiting", "running"):
                self._states[key] = "running"
                began = self._reports[key][2] if key in self._reports else time.monotonic()
                self._reports[key] = (fraction, text, began)

    def put_back(self, task: Task) -> None:
        """Let a task that was lost with its worker be taken again."""
        with self._lock:
            if self._states[task.key] in ("waiting", "running"):
                self._states[task.key] = "waiting"
                self._reports.pop(task.key, None)
                heapq.heappush(self._ready, self._order[task.key])

    def done(self, key: str, seconds: float | None = None) -> None:
        """Note that a task is done, after so many seconds of work (by default since its first report), and release those that need it."""
        with self._lock:
            if self._states[key] in ("waiting", "running"):
                if seconds is None and key in self._reports:
                    seconds = time.monotonic() - self._reports[key][2]
                if seconds is not None:
                    stage = self.graph.tasks[key].stage
                    total, n = self._seconds.get(stage, (0.0, 0))
                    self._seconds[stage] = (total + seconds, n + 1)
                self._end(key, "done")
                for follower in self._needed_by.get(key, ()):
                    self._waits_for[follower] -= 1
                    if self._waits_for[follower] == 0 and self._states[follower] == "waiting":
                        heapq.heappush(self._ready, self._order[follower])

    def fail(self, key: str, kind: str, message: str) -> None:
        """Note that a task failed, and with it all that need it."""
        with self._lock:
            doomed = [key]
            while doomed:
                failing = doomed.pop()
                if self._states[failing] in ("waiting", "running"):
                    self._errors[failing] = (kind, message)
                    self._end(failing, "failed")
                    doomed += self._needed_by.get(failing, ())

    def status(self) -> Status:
        """State of every cell, and the time left."""
        with self._lock:
            cells = tuple(self._cell_state(number) for number in range(len(self.graph.cells)))
            return Status(cells, len(self._states), self._n_ended, time.monotonic() - self._started, self._seconds_left(), self.note)

    def errors(self) -> Iterator[tuple[Task, str, str]]:
        """Tasks that failed by themselves, with type name and message."""
        with self._lock:
            failed = dict(self._errors)
        for key, (kind, message) in failed.items():
            if not any(needed in failed for needed in self.graph.tasks[key].needs):
                yield self.graph.tasks[key], kind, message

    def _end(self, key: str, state: State) -> None:
        self._states[key] = state
        self._reports.pop(key, None)
        self._n_ended += 1
        self._ended_shares += self._shares[key]

    def _cell_state(self, number: int) -> CellState:
        planned, keys = self.graph.cells[number], self.graph.tasks_of[number]
        if planned.problem is not None:
            return CellState("failed", error_kind=planned.problem[0], error=planned.problem[1])
        fit = self._states.get(planned.fit_key, "done")
        failed = next((self._errors[key] for key in keys if key in self._errors), ("", "")) if self._errors else ("", "")
        if fit in ("done", "failed", "cancelled"):
            return CellState(fit, error_kind=failed[0], error=failed[1])
        for key in keys:
            if key in self._reports:
                fraction, text, _ = self._reports[key]
                return CellState("running", self.graph.tasks[key].stage, fraction, text)
        return CellState("waiting")

    def _seconds_left(self) -> float | None:
        now = time.monotonic()
        known = {stage: total / n for stage, (total, n) in self._seconds.items()}
        total = 0.0
        for key, (fraction, _, began) in self._reports.items():
            stage = self.graph.tasks[key].stage
            if fraction >= LEAST_FRACTION:
                guess = (now - began) / fraction
                known.setdefault(stage, guess)
                total += guess * (1 - fraction)
            elif stage in known:
                total += max(0.0, known[stage] - (now - began))
            else:
                return None
        waiting = Counter(self.graph.tasks[key].stage for key, state in self._states.items() if state == "waiting")
        if any(stage not in known for stage in waiting):
            return None
        total += sum(known[stage] * n for stage, n in waiting.items())
        return total / max(1, min(self.n_workers, len(self._states) - self._n_ended))
