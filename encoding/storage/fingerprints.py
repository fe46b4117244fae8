"""SHA-256 fingerprints (and other facts) of files, computed once per file and cached in the Store until the file changes.

A file counts as unchanged while its absolute path, size, modification time, change time and inode are the
same. They are kept in small JSON tables, one per folder and kind of fact; a damaged table is ignored
and written anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from encoding.runtime.progress import Report, silent
from encoding.storage.atomic import atomic_file
from encoding.storage.files import DAMAGE_ERRNOS, open_regular
from encoding.storage.store import Store

N_THREADS = 4  # hashing releases the GIL, and disks like a few readers at once
SETTLED_SECONDS = 0.1  # a file changed twice within one tick of the clock would look unchanged: wait the tick out


def file_fingerprint(path: str | Path, store: Store) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; cached.

    Raises
    ------
    OSError where the file cannot be read.
    """
    return file_facts([path], store, name="sha256", learn=sha256)[0]


def files_fingerprint(paths: Iterable[str | Path], store: Store, report: Report = silent) -> str:
    """Fingerprint of many files in their order: the SHA-256 of their SHA-256s. File names do not enter.

    Raises
    ------
    OSError where a file cannot be read; whatever ``report`` raises, and then what was learnt so far is kept.
    """
    every = file_facts(paths, store, name="sha256", learn=sha256, report=report)
    return hashlib.sha256("".join(every).encode()).hexdigest()


def first_equal_files(paths: Iterable[str | Path], store: Store, report: Report = silent) -> np.ndarray:
    """For each of n files, the index of the first with the same bytes, (n,) int64; a file without an equal gives its own.

    Rows of equal stimuli, whatever their files are called, are one stimulus: no split may part them. Fingerprints that the Store
    remembers are not computed again.
    """
    return first_equal(file_facts(paths, store, name="sha256", learn=sha256, report=report))


def first_equal(values: Sequence[Any]) -> np.ndarray:
    """For each of n values, the index of the first that equals it, (n,) int64."""
    first = {value: index for index, value in reversed(list(enumerate(values)))}
    return np.array([first[value] for value in values], np.int64)


def is_remembered(paths: Iterable[str | Path], store: Store, *, name: str = "sha256") -> bool:
    """Whether this fact is cached for all of the files, so that none would be read."""
    return None not in _recalled(_absolute(paths), store, name)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, computed now.

    Raises
    ------
    NotRegular for a pipe or a device, which is not opened. OSError with the file's name where it cannot be read.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_facts(paths: Iterable[str | Path], store: Store, *, name: str, learn: Callable[[Path], Any], report: Report = silent) -> list[Any]:
    """Compute ``learn(path)`` for every file, in order, cached under ``name`` until the file changes.

    Parameters
    ----------
    name : names the kind of fact and its version, for instance ``"sha256"``; part of a file name.
    learn : a file's path to anything JSON can hold, other than None. Called from several threads.
    """
    paths = _absolute(paths)
    facts = _recalled(paths, store, name)
    missing = [Path(path) for path, fact in dict(zip(paths, facts, strict=True)).items() if fact is None]
    if missing:
        learnt: dict[Path, list[Any]] = {}
        try:
            _learn_all(missing, learn, learnt, report)
        finally:  # also when cancelled half-way
            _remember(learnt, name, store)
        new = {str(path): entry[-1] for path, entry in learnt.items()}
        facts = [new.get(path) if fact is None else fact for path, fact in zip(paths, facts, strict=True)]
    return facts


def _learn_all(paths: Sequence[Path], learn: Callable[[Path], Any], learnt: dict[Path, list[Any]], report: Report) -> None:
    """Fill ``learnt`` with the state of each file followed by the fact."""
    newest = max(path.stat().st_ctime for path in paths)
    time.sleep(min(max(0.0, newest + SETTLED_SECONDS - time.time()), SETTLED_SECONDS))

    def entry(path: Path) -> list[Any]:
        before = _state(path)
        fact = learn(path)
        if _state(path) != before:
            raise OSError(f"{path} changed while it was read. Wait until it is whole, then try again.")
        return [*before, fact]

    pool = ThreadPoolExecutor(min(N_THREADS, len(paths)))
    try:
        waiting = {pool.submit(entry, path): path for path in paths}
        for done, future in enumerate(as_completed(waiting), start=1):
            learnt[waiting[future]] = future.result()
            report(done / len(paths), f"Checking files: {done:,} of {len(paths):,}")
    finally:
        pool.shutdown(cancel_futures=True)


def _state(path: str | Path) -> list[int]:
    about = os.stat(path)  # noqa: PTH116 - ten thousand files are looked at, and a Path of each takes five times as long
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


def _recalled(paths: Iterable[str], store: Store, name: str) -> list[Any]:
    """What is known of each file; None where nothing is, or where it has changed or is gone."""
    tables: dict[str, dict[str, Any]] = {}
    found = []
    for path in paths:
        folder, _, file = path.rpartition(os.sep)
        if folder not in tables:
            tables[folder] = {}
            with suppress(OSError):  # then files are read again, which costs only time
                tables[folder] = _read_table(_table_path(folder, name, store))
        found.append(_recall(tables[folder].get(file), path))
    return found


def _recall(entry: Any, path: str) -> Any:
    if not isinstance(entry, list) or len(entry) != 5:
        return None
    try:
        return entry[4] if entry[:4] == _state(path) else None
    except OSError as error:
        if error.errno in DAMAGE_ERRNOS:
            return None
        raise


def _remember(learnt: Mapping[Path, list[Any]], name: str, store: Store) -> None:
    """Add to the tables. A Store that cannot be written to costs only time, so it is a warning."""
    try:
        for folder in {path.parent for path in learnt}:
            target = _table_path(folder, name, store)
            with store.lock(f"fingerprints-{target.stem}"):  # two processes may know different files of one folder
                table = _read_table(target) | {path.name: entry for path, entry in learnt.items() if path.parent == folder}
                with atomic_file(target, "w") as file:
                    json.dump(table, file)
    except OSError as error:
        warnings.warn(f"Fingerprints could not be remembered in {store.root} ({error}); files are read again next time.", stacklevel=2)


def _read_table(path: Path) -> dict[str, Any]:
    """A table; empty where there is none or it is damaged. OSError where it cannot be read now, so that it is not written anew."""
    try:
        with open_regular(path) as file:
            table = json.loads(file.read())
    except (FileNotFoundError, IsADirectoryError, ValueError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}


def _table_path(folder: str | Path, name: str, store: Store) -> Path:
    return store.root / "fingerprints" / f"{name}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.json"


def _absolute(paths: Iterable[str | Path]) -> list[str]:
    here = Path.cwd()  # links stay as they are, unlike with resolve()
    return [os.path.normpath(os.path.join(here, path)) for path in paths]  # noqa: PTH118
