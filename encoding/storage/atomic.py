"""Write files and folders whole or not at all: into a scratch path beside the target, renamed when the block ends well.

A scratch path carries the host, the process and its start time in its name, so that :func:`leftovers` knows what a killed process
left behind. Files and folders get the permissions of the process's umask.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

PREFIX = ".writing-"
SAME_START_SECONDS = 600  # the system's start, from which those of processes are counted, moves when the clock is set
UNKNOWN_OWNER_SECONDS = 24 * 3600  # after which a scratch path of another host counts as left behind


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new folder in ``parent`` (made where it is missing) that is removed, with what is left in it, when the block ends."""
    parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch_path(parent)
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def atomic_folder(target: str | Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``target`` when the block ends well.

    Raises
    ------
    FileExistsError where ``target`` exists, before the block.
    """
    target = Path(target)
    _refuse_existing(target)
    with scratch_folder(target.parent) as scratch, _errors_of(target, scratch):
        content = scratch / target.name
        content.mkdir()
        yield content
        content.rename(target)


@contextmanager
def atomic_files_into(folder: str | Path) -> Iterator[Path]:
    """A scratch folder whose files move into ``folder`` when the block ends well, in place of older ones of the same names."""
    folder = Path(folder)
    with scratch_folder(folder) as scratch, _errors_of(folder, scratch):
        yield scratch
        for path in sorted(path for path in scratch.rglob("*") if path.is_file()):
            target = folder / path.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)


@contextmanager
def atomic_file(target: str | Path, mode: str = "wb", *, overwrite: bool = True) -> Iterator[IO]:
    """An open file whose content becomes ``target`` when the block ends well; text is UTF-8.

    Raises
    ------
    FileExistsError where ``target`` exists and ``overwrite`` is false, before the block. OSError with the name of ``target``.
    """
    target = Path(target)
    if not overwrite:
        _refuse_existing(target)
    with _errors_of(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch_path(target.parent)
    with _errors_of(target, scratch):
        try:
            with scratch.open(mode, encoding=None if "b" in mode else "utf-8") as file:
                yield file
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """The scratch paths in ``folder`` whose process has ended; those of other hosts after :data:`UNKNOWN_OWNER_SECONDS`."""
    leftovers = []
    for path in folder.glob(f"{PREFIX}*"):
        try:
            if not _owner_is_alive(path):
                leftovers.append(path)
        except FileNotFoundError:  # finished meanwhile
            continue
    return leftovers


def scratch_path(parent: Path) -> Path:
    """Make up a new name in ``parent`` that holds the process that owns it."""
    return parent / f"{PREFIX}{socket.gethostname()}-{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}"


@cache
def _started(pid: int) -> int:
    import psutil

    return int(psutil.Process(pid).create_time())


def _owner_is_alive(path: Path) -> bool:
    import psutil

    host, _, rest = path.name.removeprefix(PREFIX).rpartition(f"{socket.gethostname()}-")
    words = rest.split("-")
    if host or len(words) != 3 or not (words[0].isdecimal() and words[1].isdecimal()):
        return time.time() - path.stat().st_mtime < UNKNOWN_OWNER_SECONDS
    try:
        return abs(int(psutil.Process(int(words[0])).create_time()) - int(words[1])) <= SAME_START_SECONDS
    except psutil.NoSuchProcess:
        return False


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise FileExistsError(f"{target} exists already. Remove it first, or name another.")


@contextmanager
def _errors_of(target: Path, scratch: Path | None = None) -> Iterator[None]:
    """Within the block an OSError about no file, or about the scratch path, is about ``target``."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and (error.filename is None or (scratch is not None and str(error.filename).startswith(str(scratch)))):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
