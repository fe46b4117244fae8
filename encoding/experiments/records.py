"""Experiments that were run on a Store: their files, their state, and the request to cancel one."""

from __future__ import annotations

import datetime
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoding.experiments.experiment import Experiment
from encoding.experiments.progress import CellState, Run, Status
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.atomic import atomic_file
from encoding.storage.files import open_regular
from encoding.storage.inventory import is_locked
from encoding.storage.locks import InUse
from encoding.storage.store import Store

FOLDER = "experiments"
WRITE_SECONDS = 0.5  # between two looks for a request to cancel, and two writes of the state at least
WRITE_SHARE = 0.02  # of the time, at most, that writing the state takes
KEY_STAGE = "experiment-"


class AlreadyRunning(RuntimeError):
    """An equal experiment is running on the same Store."""


@dataclass(frozen=True)
class Record:
    """An experiment that was run on a Store.

    Attributes
    ----------
    key : of the experiment.
    toml : its text; :meth:`Experiment.from_toml` reads it.
    title : its title; may be empty.
    labels : label of each fit, in order.
    started : when it last began, UTC, ISO 8601.
    running : whether a process runs it now.
    status : its state when it was last written; of one whose process ended before it did, what had not ended is ``cancelled``.
    """

    key: str
    toml: str
    title: str
    labels: tuple[str, ...]
    started: str
    running: bool
    status: Status

    @property
    def state(self) -> str:
        """``running``, ``interrupted``, ``done``, or ``done, n failed``."""
        if self.running:
            return "running"
        if self.status.count("done") + self.status.count("failed") < len(self.status.cells):
            return "interrupted"
        n_failed = self.status.count("failed")
        return f"done, {n_failed} failed" if n_failed else "done"


@contextmanager
def recording(experiment: Experiment, store: Store) -> Iterator[Recorder]:
    """Keep the state of an experiment in the Store while the block runs it.

    Raises
    ------
    AlreadyRunning
        Where another process runs the same experiment.
    """
    key = experiment.key
    try:
        with store.lock(key, wait=False):
            recorder = Recorder(experiment, key, store)
            try:
                yield recorder
            finally:
                recorder.close()
    except InUse as error:
        raise AlreadyRunning(
            f"This experiment is running already. `python -m encoding experiment show {key}` shows it, `… cancel {key}` stops it."
        ) from error


class Recorder:
    """Write the state of a run to the Store twice a second, of a large one more rarely; cancel the run where that was asked for."""

    def __init__(self, experiment: Experiment, key: str, store: Store) -> None:
        self._store, self._folder, self._key, self._run = store, _folder(store), key, None
        self._about: dict[str, Any] = {"key": key, "title": experiment.title, "toml": experiment.to_toml()}
        self._about["started"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="experiment-record", daemon=True)
        _request(key, store).unlink(missing_ok=True)

    def follow(self, run: Run) -> None:
        """Begin to record a run.

        Raises
        ------
        StoreFull, or another OSError, where its state cannot be written.
        """
        self._run = run
        self._about["labels"] = [planned.cell.label for planned in run.graph.cells]
        with self._store.writable(self._key):
            self._write()
        self._thread.start()

    def close(self) -> None:
        """Write the last state, where that is possible."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()
            with suppress(OSError):  # the fits are kept, and so says the next run of the same experiment
                self._write()

    def _watch(self) -> None:
        due = 0.0
        while not self._closed.wait(WRITE_SECONDS):
            with suppress(OSError):  # a full disk or a lost share must not end the experiment that it is the record of
                if (self._folder / f"{self._key}.cancel").exists():
                    self._run.cancel()
                if (began := time.monotonic()) >= due:
                    self._write()
                    due = time.monotonic() + (time.monotonic() - began) / WRITE_SHARE

    def _write(self) -> None:
        status = self._run.status()
        text = json.dumps(self._about | {"status": vars(status) | {"cells": [vars(cell) for cell in status.cells]}})
        with atomic_file(self._folder / f"{self._key}.json", "w") as file:
            file.write(text)


def request_cancel(key: str, store: Store) -> bool:
    """Ask the process that runs an experiment to stop, wherever it is; returns whether one runs it."""
    if not is_running(key, store):
        return False
    _request(key, store).touch()
    return True


def is_running(key: str, store: Store) -> bool:
    """Whether a process runs the experiment now."""
    try:
        return is_locked(store, key)
    except OSError:  # a Store that may only be read runs nothing
        return False


def records(store: Store) -> list[Record]:
    """All experiments that were run on a Store, the latest first; damaged files are left out. OSError where one cannot be read now."""
    found = []
    for path in _folder(store).glob("*.json"):
        with suppress(FileNotFoundError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            found.append(_read(path, store))
    return sorted(found, key=lambda record: record.started, reverse=True)


def find_record(text: str, store: Store) -> Record:
    """Find an experiment by its key, a prefix of it, or of its digest.

    Raises
    ------
    UnknownName
        Unless exactly one matches.
    """
    known = {record.key: record for record in records(store)}
    matches = [key for key in known if text and (key.startswith(text) or key.removeprefix(KEY_STAGE).startswith(text))]
    if len(matches) == 1:
        return known[matches[0]]
    if len(matches) > 1:
        raise UnknownName(f"{text!r} begins the keys of {len(matches)} experiments: {', '.join(matches[:5])}. Give more of the one meant.")
    if not known:
        raise UnknownName(
            f"No experiment {text!r}: none was run on {store.root} yet. `python -m encoding experiment run FILE.toml` runs one."
        )
    raise UnknownName(unknown("experiment", text, known, show=5))


def _read(path: Path, store: Store) -> Record:
    with open_regular(path) as file:
        found = json.loads(file.read())
    running, status = is_running(found["key"], store), found["status"]
    cells = [CellState(**cell) for cell in status.pop("cells")]
    if not running:
        cells = [CellState("cancelled") if cell.state in ("waiting", "running") else cell for cell in cells]
    if found["key"] != path.stem or len(cells) != len(found["labels"]):
        raise ValueError(f"{path} is not the record of an experiment.")
    named = {name: str(found[name]) for name in ("key", "toml", "title", "started")}
    return Record(**named, labels=tuple(found["labels"]), running=running, status=Status(cells=tuple(cells), **status))


def _folder(store: Store) -> Path:
    return store.root / FOLDER


def _request(key: str, store: Store) -> Path:
    folder = _folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{key}.cancel"
