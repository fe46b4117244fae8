"""File locks between processes, which the kernel releases when the holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InUse(Exception):
    """Another process or thread holds the lock."""


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[int]:
    """Hold the lock file ``path`` within the block; yields its descriptor. The file is removed before the lock is released.

    Raises
    ------
    InUse where it is held and ``wait`` is false. OSError with the file's name where it cannot be made.
    """
    descriptor = _acquire(path, wait=wait)
    try:
        yield descriptor
    finally:
        try:
            path.unlink(missing_ok=True)  # while it is held: who waits on this file finds it gone and makes another
        finally:
            os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock file ``path``. Looking makes no file, and keeps nobody from taking the lock.

    Raises
    ------
    OSError with the file's name where it cannot be looked at.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _may_share(descriptor) and _is_same_file(descriptor, path)  # else its holder removed it and is letting it go
    finally:
        os.close(descriptor)


def _acquire(path: Path, *, wait: bool) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_same_file(descriptor, path):
                return descriptor
        except BlockingIOError as error:
            is_looked_at = _may_share(descriptor)
            os.close(descriptor)
            if is_looked_at:
                continue
            raise InUse(f"{path.stem} is being made or read by another process.") from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it before letting it go


def _may_share(descriptor: int) -> bool:
    """Whether nobody holds the lock to himself: those who only look share it for an instant."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        own, there = os.fstat(descriptor), path.stat()
    except FileNotFoundError:
        return False
    return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
