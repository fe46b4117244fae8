"""Content-addressed store of results: each a folder of ``.npy`` files with its provenance.

A result is written to a scratch folder and renamed when whole, so a reader sees all of it or none. No file holds a pickle.

Damage and a passing error are different things. A wrong checksum or length, a missing file, a damaged header, or a key that is not the
folder's own is damage: the result is moved aside (:data:`DAMAGED`), a :class:`DamagedResult` warning names it, and it is computed again.
An error of the system (EIO, ESTALE, ENOMEM, EMFILE, EACCES …) is raised with the file's name, and nothing is moved or removed.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from encoding.runtime.progress import Report, silent
from encoding.storage import atomic
from encoding.storage.files import DAMAGE_ERRNOS, default_folder, open_regular, passing_errors_of
from encoding.storage.keys import stage_of
from encoding.storage.locks import InUse, file_lock
from encoding.storage.npy import read_npy, write_npy
from encoding.storage.provenance import environment
from encoding.storage.verification import PROVENANCE, Damage, check_file, checksum, file_state, layout, read_provenance

Arrays = Mapping[str, np.ndarray]

DAMAGED = "damaged"  # the folder below a Store's root that damaged results are moved into
LOCKS = "locks"
IDENTITY = "identity"  # the file in a Store's root that names it
READ_ONLY_ERRNOS = (errno.EROFS, errno.EACCES, errno.EPERM)
OTHER_FOLDER = "Set ENCODING_CACHE_DIR to a folder of your own, or ask its owner."
FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)


class DamagedResult(Warning):
    """A result on disk was cut short or changed; it is computed again."""


class StoreFull(OSError):
    """The disk that holds the Store has no room for a result."""


class StoreReadOnly(OSError):
    """The Store may be read but not written to."""


class StoredArrays(Mapping[str, np.ndarray]):
    """Arrays of one result by name, read-only; each is read, or memory-mapped where it is large, on access.

    No file stays open between accesses, so that hundreds of results can be used at once.
    """

    def __init__(self, folder: Path, sizes: Mapping[str, int]) -> None:
        self._folder, self._sizes = folder, sizes

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._sizes:
            raise KeyError(name)
        path = self._folder / f"{name}.npy"
        with passing_errors_of(path):
            return read_npy(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, name: object) -> bool:
        return name in self._sizes


class Store:
    """Store of arrays by key below one folder, safe to share between processes.

    Parameters
    ----------
    root : the folder; by default ``$ENCODING_CACHE_DIR``, else ``cache`` as :func:`encoding.storage.files.default_folder` says.

    Raises
    ------
    StoreReadOnly where ``root`` is a file, or in a home folder that does not exist.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        root = root or os.environ.get("ENCODING_CACHE_DIR") or default_folder("cache")
        try:
            self.root = Path(root).expanduser().resolve()  # jobs outlive a change of directory
        except RuntimeError as error:
            raise StoreReadOnly(f"{root} names a home folder that does not exist here. {OTHER_FOLDER}") from error
        if self.root.exists() and not self.root.is_dir():
            raise StoreReadOnly(f"{self.root} is no folder. {OTHER_FOLDER}")
        self._sound: dict[Path, tuple[int, int, int]] = {}  # files whose checksum was right, as they were then
        self._is_swept = False

    def path(self, key: str) -> Path:
        """The folder that holds, or would hold, the result named ``key``."""
        return self.root / stage_of(key) / key

    def __contains__(self, key: str) -> bool:
        return (self.path(key) / PROVENANCE).exists()

    def identity(self, *, make: bool = True) -> str:
        """Return a random name of this Store, the same wherever its folder is mounted.

        Parameters
        ----------
        make : whether a Store without one is given one; else its name is empty.

        Raises
        ------
        StoreReadOnly or StoreFull where it has none yet and cannot be written to. OSError where it cannot be read now.
        """
        path = self.root / IDENTITY
        if make and not path.exists():
            with self.lock(IDENTITY), self.writable():
                if not path.exists():
                    with atomic.atomic_file(path, "w") as file:
                        file.write(secrets.token_hex(16))
        if not path.exists():
            return ""
        with open_regular(path) as file:
            return file.read().decode()

    def get(self, key: str) -> StoredArrays | None:
        """Read the arrays of a result; None where there is none or it is damaged.

        Each file's checksum is compared the first time this process opens it.

        Raises
        ------
        OSError, with the file's name, where the system cannot read it now.
        """
        try:
            return self._checked(key)
        except Damage as error:
            warnings.warn(f"{self.path(key)} is damaged ({error}); it is computed again.", DamagedResult, stacklevel=3)
            self._move_aside(key, error)
            return None

    def is_sound(self, key: str) -> bool:
        """Whether :meth:`get` would return a result; a file of which this process knows the checksum is not opened for it."""
        return self.get(key) is not None

    def provenance(self, key: str) -> dict[str, Any] | None:
        """Read a result's provenance: parents, parameters, versions, device, seconds and checksums; None where there is none.

        Raises
        ------
        Damage where it cannot be understood or names another key.
        """
        path = self.path(key) / PROVENANCE
        if not path.exists():
            if os.path.lexists(self.path(key)) and not self._is_half_removed(key):
                raise Damage(f"{key} has no {PROVENANCE}")
            return None
        return read_provenance(path, key)

    def put(self, key: str, arrays: Arrays, made_from: Mapping[str, Any]) -> None:
        """Write a result. Where another process wrote the same key first, its copy stays."""
        with self.writing(key, made_from) as folder:
            for name, array in arrays.items():
                write_npy(folder / f"{name}.npy", array)

    @contextmanager
    def writing(self, key: str, made_from: Mapping[str, Any]) -> Iterator[Path]:
        """A scratch folder to write ``.npy`` files into; it becomes the result when the block ends well.

        Raises
        ------
        StoreFull where the disk is full. Nothing is left behind then, or after any other error.
        """
        target, started = self.path(key), time.perf_counter()
        if not self._is_swept:
            self.sweep()
        with self.writable(key), atomic.scratch_folder(target.parent) as scratch:
            yield scratch
            about = {"key": key, "made_from": dict(made_from), "seconds": time.perf_counter() - started} | environment()
            paths = sorted(scratch.glob("*.npy"))
            about |= {"files": {path.stem: checksum(path) for path in paths}, "arrays": {path.stem: layout(path) for path in paths}}
            (scratch / PROVENANCE).write_text(json.dumps(about, indent=1, sort_keys=True))
            states = {path.name: file_state(path) for path in paths}
            _rename(scratch, target)
            self._sound |= {target / name: state for name, state in states.items()}  # their checksums were taken a moment ago

    @contextmanager
    def writable(self, key: str = "a result") -> Iterator[None]:
        """Within the block an OSError of writing says what is full, or that this Store is read-only."""
        try:
            yield
        except OSError as error:
            short_write = error.errno is None and "requested and" in str(error)  # numpy's words where fewer bytes were taken
            if error.errno in FULL_ERRNOS or (short_write and shutil.disk_usage(self.root).free < 2**20):
                hint = "`python -m encoding cache prune` frees some."
                raise StoreFull(f"No room left on the disk of {self.root} for {key}. {hint}") from error
            cannot_be_made = error.errno in DAMAGE_ERRNOS and not self.root.is_dir()
            if cannot_be_made or (error.errno in READ_ONLY_ERRNOS and str(error.filename or "").startswith(str(self.root))):
                raise StoreReadOnly(f"{self.root} cannot be written to ({error.strerror}: {error.filename}). {OTHER_FOLDER}") from error
            raise

    @contextmanager
    def lock(self, key: str, *, wait: bool = True) -> Iterator[None]:
        """Hold the lock of the process that computes ``key``; others wait, or get InUse if not ``wait``. Released when the holder dies."""
        with ExitStack() as stack:
            with self.writable():
                stack.enter_context(file_lock(self.root / LOCKS / f"{key}.lock", wait=wait))
            yield

    @contextmanager
    def in_use(self, keys: Sequence[str]) -> Iterator[None]:
        """Within the block, or until this process dies, :meth:`keys_in_use` names ``keys``."""
        with ExitStack() as uses:
            with self.lock("prune"), self.writable():  # not between somebody's look at what is in use and the removal of the rest
                descriptor = uses.enter_context(file_lock(self.root / LOCKS / f"{secrets.token_hex(8)}.uses"))
                with open(descriptor, "wb", closefd=False) as file:
                    file.write(json.dumps(list(keys)).encode())
            yield

    def keys_in_use(self) -> set[str]:
        """Keys of the results that running fits read or write."""
        used: set[str] = set()
        for path in (self.root / LOCKS).glob("*.uses"):
            try:
                with file_lock(path, wait=False):  # its process has ended
                    continue
            except InUse:
                with suppress(FileNotFoundError, ValueError):
                    used |= set(json.loads(path.read_bytes()))
        return used

    def memo(self, key: str, make: Callable[[], Arrays], made_from: Mapping[str, Any]) -> StoredArrays:
        """Read the result ``key``; where it is missing, compute it by ``make`` and store it, in one process only."""
        arrays = self.get(key)
        if arrays is not None:
            return arrays
        with self.lock(key):
            arrays = self.get(key)
            if arrays is None:
                self.put(key, make(), made_from)
                arrays = self.get(key)
        if arrays is None:
            raise OSError(f"{self.path(key)} could not be read back after it was written.")
        return arrays

    def keys(self) -> list[str]:
        """Keys of all results that have a provenance, oldest first."""
        results = []
        for path in self._folders():
            with suppress(FileNotFoundError, NotADirectoryError):
                results.append(((path / PROVENANCE).lstat().st_mtime, path.name))
        return [key for _, key in sorted(results)]

    def _folders(self) -> list[Path]:
        """Where results are or should be: ``<root>/<stage>/<stage>-<digest>``."""
        return [path for path in self.root.glob("*/*-*") if stage_of(path.name) == path.parent.name and "." not in path.name]

    def size(self, key: str) -> int:
        """Size of a result on disk in bytes."""
        return sum(path.stat().st_size for path in self.path(key).iterdir())

    def verify(self, *, remove: bool = True, report: Report = silent) -> list[str]:
        """Compare every checksum and return the keys of damaged results, which are moved aside where ``remove`` is true.

        Raises
        ------
        OSError, with the file's name, where one cannot be read now.
        """
        self._sound.clear()
        damaged, keys = [], [path.name for path in self._folders()]
        for number, key in enumerate(keys):
            report(number / len(keys), f"Checking results: {number:,} of {len(keys):,}")
            try:
                self._checked(key)
            except Damage as error:
                damaged.append(key)
                if remove:
                    self._move_aside(key, error)
        return damaged

    def remove(self, key: str) -> None:
        """Remove one result; nothing where there is none.

        Raises
        ------
        OSError where it may not be removed; then all of it is still there.
        """
        path = self.path(key)
        if path.is_symlink() or path.is_file():
            path.unlink(missing_ok=True)
        elif path.exists():
            doomed = atomic.scratch_path(path.parent)
            with suppress(FileNotFoundError):
                path.rename(doomed)  # at once, so that no reader sees a part of it
                shutil.rmtree(doomed)

    def leftovers(self) -> list[Path]:
        """Paths of unfinished writes of dead processes."""
        stages = [path for path in self.root.glob("*/") if path.name != DAMAGED]
        return [path for stage in stages for path in atomic.leftovers(stage)] + atomic.leftovers(self.root)

    def set_aside(self) -> list[Path]:
        """Paths of damaged results that were moved aside."""
        return sorted(self.root.glob(f"{DAMAGED}/*/*"))

    def sweep(self) -> int:
        """Remove the :meth:`leftovers`, and locks whose holder died; returns how many leftovers there were."""
        self._is_swept = True
        old = self.leftovers()
        for path in old:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        for path in (self.root / LOCKS).glob("*"):
            with suppress(InUse, OSError), file_lock(path, wait=False):
                pass
        return len(old)

    def _move_aside(self, key: str, error: Damage) -> None:
        target = self.root / DAMAGED / stage_of(key) / f"{key}-{secrets.token_hex(4)}"
        with suppress(OSError):  # where nothing can be moved the result stays, and is no result
            target.parent.mkdir(parents=True, exist_ok=True)
            self.path(key).rename(target)

    def _is_half_removed(self, key: str) -> bool:
        """Whether the folder is what an interrupted removal of an earlier release left: one without provenance and with nothing else."""
        path = self.path(key)
        return path.is_dir() and not any(path.iterdir())

    def _checked(self, key: str) -> StoredArrays | None:
        provenance = self.provenance(key)
        if provenance is None:
            return None
        for name, about in provenance["files"].items():
            path = self.path(key) / f"{name}.npy"
            try:
                self._sound[path] = check_file(path, about, provenance.get("arrays", {}).get(name), known=self._sound.get(path))
            except Damage:
                if os.path.lexists(self.path(key)):
                    raise
                return None  # removed meanwhile
        return StoredArrays(self.path(key), {name: about["bytes"] for name, about in provenance["files"].items()})


def _rename(scratch: Path, target: Path) -> None:
    try:
        scratch.rename(target)
    except OSError:
        if not target.exists() and not target.is_symlink():
            raise
        if not (target / PROVENANCE).exists():  # not another writer's whole copy: a half-removed folder, or no folder
            shutil.rmtree(target, ignore_errors=True) if target.is_dir() and not target.is_symlink() else target.unlink(missing_ok=True)
            scratch.rename(target)
