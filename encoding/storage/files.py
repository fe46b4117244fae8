"""Open regular files only, and keep passing errors of the system apart from damage."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

DAMAGE_ERRNOS = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)  # a file that is missing, or is none: damage
BAD_NAME_ERRNOS = (errno.ENAMETOOLONG, errno.EINVAL)  # what a name, or a place within a file, that cannot be gives


class NoHome(OSError):
    """A folder lies in a home folder that does not exist. The message says which environment variable names another."""


class NotRegular(ValueError):
    """A folder, pipe, socket or device stands where a file is expected. The message names it."""


def default_folder(name: str) -> Path:
    """A folder in the project's own, or, where the package was installed without it (from a wheel), in the one that is worked in."""
    project = Path(__file__).parents[2]
    return (project if (project / "pyproject.toml").is_file() else Path.cwd()) / name


def in_home(path: str | Path, variable: str) -> Path:
    """Replace a leading ``~`` by the home folder.

    Parameters
    ----------
    variable : environment variable that names another place.

    Raises
    ------
    NoHome where there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise NoHome(f"{path} is in a home folder, and there is none here. Set {variable}, or HOME, to a folder of your own.") from error


def require_regular(path: Path) -> None:
    """Check that a path is a regular file: reading a pipe or a device would never end.

    Raises
    ------
    NotRegular where it is something else. OSError where it is missing or cannot be looked at.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotRegular(f"{path} is no regular file but a folder, a pipe or a device. Replace it by the file itself.")


@contextmanager
def passing_errors_of(path: Path) -> Iterator[None]:
    """Within the block an OSError without a file's name, such as one of reading, gets that of ``path``."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading bytes within a block, whose errors get the file's name.

    Raises
    ------
    As :func:`require_regular`, before anything is opened.
    """
    require_regular(path)
    with passing_errors_of(path), path.open("rb") as file:
        yield file


def is_passing(error: BaseException) -> bool:
    """Whether an error is of the system (EIO, ESTALE, ENOMEM, EMFILE, EACCES …) and says nothing about a file's content."""
    known = isinstance(error, OSError) and error.errno in errno.errorcode
    return known and error.errno not in (*DAMAGE_ERRNOS, *BAD_NAME_ERRNOS)


def raise_passing(error: BaseException, path: Path) -> None:
    """Raise an error again, with the file's name, where it :func:`is_passing`; return otherwise."""
    if is_passing(error):
        with passing_errors_of(path):
            raise error
