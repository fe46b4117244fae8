"""Results on disk, named by what made them: a folder of ``.npy`` files with their provenance beside them.

A result is written to a temporary folder and renamed when whole, so a reader sees all of it or none.
No file holds a pickle. A damaged result is a miss with a warning, never a number.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from encoding.runtime.progress import Report, silent
from encoding.storage.keys import stage_of
from encoding.storage.provenance import environment

Arrays = Mapping[str, np.ndarray]

PROVENANCE = "provenance.json"
LEFTOVER_SECONDS = 24 * 3600  # a temporary folder older than this belongs to a process that died
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)  # what reading a damaged result raises


class DamagedResult(Warning):
    """A result on disk was cut short or changed; it is computed again."""


class InUse(Exception):
    """Somebody else holds the lock of a result."""


class StoreFull(OSError):
    """The disk that holds the Store has no room for a result."""


class Store:
    """Arrays named by digest below one folder, shared by any number of processes.

    Parameters
    ----------
    root : the folder; by default ``$ENCODING_CACHE_DIR``, else ``cache`` beside the project.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        root = root or os.environ.get("ENCODING_CACHE_DIR") or Path(__file__).parents[2] / "cache"
        self.root = Path(root).expanduser().resolve()  # jobs outlive a change of directory
        self._sound: dict[Path, tuple[int, int, int]] = {}  # files whose checksum was right, as they were then

    def path(self, key: str) -> Path:
        """The folder that holds, or would hold, the result named ``key``."""
        return self.root / stage_of(key) / key

    def __contains__(self, key: str) -> bool:
        return (self.path(key) / PROVENANCE).exists()

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays of a result, memory-mapped and read-only; None where there is none or it is damaged.

        Each file's checksum is compared the first time this process opens it.
        """
        try:
            return self._read(key)
        except UNREADABLE as error:
            self._lose(key, error)
            return None

    def is_sound(self, key: str) -> bool:
        """Whether :meth:`get` would return a result; a file of which this process knows the checksum is not opened for it."""
        try:
            provenance = self.provenance(key)
            for name, about in provenance["files"].items() if provenance else ():
                self._check(self.path(key) / f"{name}.npy", about)
        except UNREADABLE as error:
            self._lose(key, error)
            return False
        return provenance is not None

    def provenance(self, key: str) -> dict[str, Any] | None:
        """What made a result: parents, parameters, versions, device, seconds, and a checksum per file."""
        path = self.path(key) / PROVENANCE
        return json.loads(path.read_text()) if path.exists() else None

    def put(self, key: str, arrays: Arrays, made_from: Mapping[str, Any]) -> None:
        """Write a result. Where another process wrote the same key first, its copy stays."""
        with self.writing(key, made_from) as folder:
            for name, array in arrays.items():
                np.save(folder / f"{name}.npy", np.asarray(array), allow_pickle=False)

    @contextmanager
    def writing(self, key: str, made_from: Mapping[str, Any]) -> Iterator[Path]:
        """A temporary folder to write ``.npy`` files into; it becomes the result when the block ends well.

        Raises
        ------
        StoreFull where the disk is full. Nothing is left behind then, or after any other error.
        """
        target = self.path(key)
        started = time.perf_counter()
        scratch = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent))
            yield scratch
            about = {"key": key, "made_from": dict(made_from), "seconds": time.perf_counter() - started}
            about |= environment() | {"files": {path.stem: _fingerprint(path) for path in sorted(scratch.glob("*.npy"))}}
            (scratch / PROVENANCE).write_text(json.dumps(about, indent=1, sort_keys=True))
            written = {path.name: _state(path) for path in scratch.glob("*.npy")}
            _rename(scratch, target)
            self._sound |= {target / name: state for name, state in written.items()}  # its checksums were taken a moment ago
        except OSError as error:
            if error.errno in (28, 122):  # ENOSPC, EDQUOT
                hint = "`python -m encoding cache prune` frees some."
                raise StoreFull(f"No room left on the disk of {self.root} for {key}. {hint}") from error
            raise
        finally:
            if scratch is not None and scratch.exists():
                shutil.rmtree(scratch, ignore_errors=True)

    @contextmanager
    def lock(self, key: str, *, wait: bool = True) -> Iterator[None]:
        """Held by the one process that makes ``key``; others wait, or get InUse where they will not. It is let go when its holder dies."""
        path = self.root / "locks" / f"{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout as error:
            raise InUse(f"{key} is being made or read by somebody else.") from error
        try:
            yield
        finally:
            lock.release()

    def memo(self, key: str, make: Callable[[], Arrays], made_from: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The result named ``key``, made and stored first where it is not there; made once whoever asks."""
        found = self.get(key)
        if found is not None:
            return found
        with self.lock(key):
            found = self.get(key)
            if found is None:
                self.put(key, make(), made_from)
                found = self.get(key)
        if found is None:
            raise OSError(f"{self.path(key)} could not be read back after it was written.")
        return found

    def keys(self) -> list[str]:
        """Every result that is whole, oldest first."""
        found = [path.parent for path in self.root.glob(f"*/*/{PROVENANCE}")]
        return [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime)]

    def size(self, key: str) -> int:
        """Bytes that a result takes on disk."""
        return sum(path.stat().st_size for path in self.path(key).iterdir())

    def verify(self, *, remove: bool = True, report: Report = silent) -> list[str]:
        """Compare every checksum; the keys of damaged results, which are removed unless told otherwise."""
        self._sound.clear()
        damaged, keys = [], self.keys()
        for number, key in enumerate(keys):
            report(number / len(keys), f"Checking results: {number:,} of {len(keys):,}")
            try:
                self._read(key)
            except UNREADABLE:
                damaged.append(key)
                if remove:
                    self.remove(key)
        return damaged

    def remove(self, key: str) -> None:
        """Forget one result."""
        shutil.rmtree(self.path(key), ignore_errors=True)

    def leftovers(self) -> list[Path]:
        """The folders that processes which died left half written."""
        return [path for path in self.root.glob("*/.writing-*/") if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS]

    def sweep(self) -> int:
        """Remove the leftovers; returns how many there were."""
        old = self.leftovers()
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)

    def _lose(self, key: str, error: Exception) -> None:
        warnings.warn(f"{self.path(key)} is damaged ({error}); it is computed again.", DamagedResult, stacklevel=3)
        self.remove(key)

    def _read(self, key: str) -> dict[str, np.ndarray] | None:
        provenance = self.provenance(key)
        if provenance is None:
            return None
        return {name: self._open(self.path(key) / f"{name}.npy", about) for name, about in provenance["files"].items()}

    def _open(self, path: Path, about: Mapping[str, Any]) -> np.ndarray:
        self._check(path, about)
        return np.load(path, mmap_mode="r", allow_pickle=False)

    def _check(self, path: Path, about: Mapping[str, Any]) -> None:
        seen = _state(path)
        if self._sound.get(path) != seen:
            if _fingerprint(path) != dict(about):
                raise ValueError(f"{path.name} is not what was written")
            self._sound[path] = seen


def _state(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_mtime_ns, about.st_size, about.st_ino


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _rename(scratch: Path, target: Path) -> None:
    try:
        scratch.rename(target)
    except OSError:
        if not (target / PROVENANCE).exists():  # not another writer's whole copy: a half-removed folder
            shutil.rmtree(target, ignore_errors=True)
            scratch.rename(target)
