"""State of a background job: the public snapshot :class:`Job` and the mutable :class:`Record` behind it."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "cancelled"]


class NotTheOwner(PermissionError):
    """Raised where somebody cancels a job or an experiment that somebody else asked for."""


FINISHED = ("done", "failed", "cancelled")
LOG_LINES = 100
STORED_SECONDS = 2.0  # what is done within so many was read from the Store
SENSIBLE_SECONDS = 2.0  # no guess of the time left before this much progress was watched
LEAST_PROGRESS, PATIENT_SECONDS = 0.05, 30.0  # a pace of less would be that of starting


@dataclass(frozen=True, kw_only=True)
class Job:
    """Immutable snapshot of a job; :meth:`Jobs.get` returns a later one.

    Attributes
    ----------
    key : key of the result in the Store.
    spec : argument of the task.
    state : ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``.
    position : position in the queue, from 1; None unless queued.
    running : specs of this server's running jobs while this one is queued.
    fraction : share of the job's time that has passed, by the estimate of ``seconds_left``; without one the progress that the task reports.
    text : current step.
    stage : of the work, where the task names its stages; else empty.
    owner : first user who submitted it, as given to :meth:`Jobs.submit`; empty where none was given.
    epochs : losses and learning rate of each epoch of the training under way, or that ended last; empty where none was.
    seconds : run time so far, or in total.
    seconds_left : estimated from the pace so far; None while no estimate is possible.
    error, error_kind : message and type name of the exception that made it fail; else None.
    log : progress messages and warnings, oldest first.
    """

    key: str
    spec: Any
    state: State
    position: int | None
    fraction: float
    text: str
    seconds: float
    seconds_left: float | None
    error: str | None
    error_kind: str | None
    log: tuple[str, ...]
    running: tuple[Any, ...] = ()
    stage: str = ""
    epochs: tuple[Mapping[str, float], ...] = ()
    owner: str = ""

    @property
    def finished(self) -> bool:
        """Whether the state is final: done, failed or cancelled."""
        return self.state in FINISHED


class Record:
    """Mutable state of a job on the web server, guarded by the lock of the :class:`Jobs` that owns it."""

    def __init__(self, key: str, spec: Any, work: bytes, optional: bool = False, owner: str = "") -> None:
        self.key, self.spec, self.owner = key, spec, owner
        self.optional = optional  # whether it steps aside for a job that is not
        self.stepping_aside = False  # its attempt is being stopped, and another follows
        self.work = work  # the task and its spec, pickled
        self.attempt: str | None = None  # its name in the scheduler
        self.n_ended = 0  # attempts at this key before it
        self.launches = 0
        self.client: Any = None
        self.future: Any = None  # Dask forgets a task of which nobody holds a future
        self.worker: str | None = None  # address of the worker that runs it
        self.let_go: dict[str, Event] = {}  # attempt to what is set when its worker has stopped working on it
        self.state: State = "queued"
        self.fraction, self.text, self.stage = 0.0, "Waiting for a worker", ""
        self.epochs: list[Mapping[str, float]] = []
        self.error: str | None = None
        self.error_kind: str | None = None
        self.started: float | None = None
        self.ended: float | None = None
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.pace: list[tuple[float, float]] = []  # (time, fraction) of the first progress that was not stored, and of the last

    @property
    def finished(self) -> bool:
        """Whether the job has ended, in whichever way."""
        return self.state in FINISHED

    def advance(self, fraction: float, text: str, seconds: float, stage: str = "", measured: Iterable[Mapping[str, float]] = ()) -> None:
        """Record a progress report, ``seconds`` after the worker began, and the epochs that were ``measured`` since the last."""
        now = time.monotonic()
        if self.started is None:
            self.started = now - seconds
        self.state, self.fraction, self.text, self.stage = "running", fraction, text, stage
        for each in measured:
            if self.epochs and each["epoch"] <= self.epochs[-1]["epoch"]:  # of the next network
                self.epochs.clear()
            self.epochs.append(each)
        here = (self.started + seconds, fraction)  # by the worker's clock, as messages may arrive late and several at once
        self.pace = [here] if not self.pace or seconds < STORED_SECONDS else [self.pace[0], here]
        self.note(text)

    def requeue(self) -> None:
        """Put it back where it waits for a worker."""
        self.state, self.fraction, self.text, self.stage = "queued", 0.0, "Waiting for a fit that was asked for", ""
        self.worker, self.started, self.stepping_aside, self.launches = None, None, False, 0
        self.pace.clear()

    def note(self, line: str) -> None:
        """Append a line to the log; a line that differs from the last only in its numbers replaces it."""
        if self.log and _without_numbers(self.log[-1]) == _without_numbers(line):
            self.log.pop()
        self.log.append(line)

    def end(self, state: State, error: str | None = None, error_kind: str | None = None) -> None:
        """Set a final state."""
        self.state, self.error, self.error_kind, self.ended = state, error, error_kind, time.monotonic()
        if state == "done":
            self.fraction = 1.0
        if error:
            self.note(f"{error_kind}: {error}")

    def snapshot(self, position: int | None, running: tuple[Any, ...] = ()) -> Job:
        """Create the current :class:`Job`."""
        now = time.monotonic()
        seconds = 0.0 if self.started is None else (self.ended or now) - self.started
        left = seconds_left(self.pace, now) if self.state == "running" else None
        return Job(
            key=self.key,
            spec=self.spec,
            state=self.state,
            position=position,
            fraction=self.fraction if left is None else seconds / (seconds + left),
            text=self.text,
            seconds=seconds,
            seconds_left=left,
            error=self.error,
            error_kind=self.error_kind,
            log=tuple(self.log),
            running=running,
            stage=self.stage,
            epochs=tuple(self.epochs),
            owner=self.owner,
        )


def seconds_left(pace: Sequence[tuple[float, float]], now: float) -> float | None:
    """Estimate the remaining seconds by extrapolating the pace.

    Parameters
    ----------
    pace : pairs of (time, fraction), times in seconds.
    now : current time, seconds.

    Returns
    -------
    float or None
        None before two seconds of progress were recorded, and in the first half minute before a twentieth of the work was.

    Notes
    -----
    A job's pace begins after its first seconds, since stages read from the Store take no time and would make the rest seem fast. It is of
    the whole run, as a step that stands still for a while would make the rest seem endless.

    Examples
    --------
    >>> seconds_left([(0.0, 0.0), (10.0, 0.25)], now=10.0)
    30.0
    """
    if len(pace) < 2:
        return None
    (first_time, first), (_, last) = pace[0], pace[-1]
    if now - first_time < SENSIBLE_SECONDS or last <= first:
        return None
    if last - first < LEAST_PROGRESS and now - first_time < PATIENT_SECONDS:
        return None
    return (1.0 - last) * (now - first_time) / (last - first)


def _without_numbers(line: str) -> str:
    return re.sub(r"[\d.,]+", "0", line)
