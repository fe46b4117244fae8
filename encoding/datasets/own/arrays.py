"""An array in a file of any format: its shape and dtype, read where it is indexed, with errors that name the file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np

from encoding.datasets._base import BadData
from encoding.storage.files import passing_errors_of, raise_passing
from encoding.storage.npy import BAD_HEADER

WELL_KNOWN = ("betasmd", "modelmd")  # single-trial betas of GLMsingle in Python and MATLAB: (x, y, z, trials) or (units, trials)
MAX_SHOWN = 12  # members of a file that a message lists
UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError, ArithmeticError, MemoryError, AttributeError, SyntaxError,
    ExpatError, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""What the libraries raise for damaged files."""


class ArrayFile:
    """An array in a file, with its shape and dtype, read where it is indexed with a tuple of slices.

    Attributes
    ----------
    file : where it is. path : file and name of the array, as :func:`~encoding.datasets.own.array_files.split_member` takes them.
    rows_last : whether rows (trials, volumes) are the last axis by the format's own rule: volumes and GLMsingle's betas.
    """

    def __init__(self, file: Path, values: Any, member: str = "", *, rows_last: bool = False) -> None:
        self.file, self._values = file, values
        self.path = Path(f"{file}:{member}") if member else file
        self.rows_last = rows_last or member.rpartition("/")[2] in WELL_KNOWN
        self.shape, self.dtype = tuple(map(int, values.shape)), np.dtype(values.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def rows(self, start: int, stop: int, *, last: bool = False) -> np.ndarray:
        """Rows ``start`` to ``stop``, (b, ...): along the first axis, or along the ``last``, which then comes first."""
        part = self[(..., slice(start, stop))] if last else self[slice(start, stop),]
        return np.moveaxis(part, -1, 0) if last else part

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        if index[0] is Ellipsis:
            index = (slice(None),) * (self.ndim - len(index) + 1) + index[1:]
        with errors_of(self.file):
            return np.asarray(self._values[index])

    def whole(self) -> np.ndarray:
        """The whole array as its format gives it, a memory map among them."""
        return self._values if isinstance(self._values, np.ndarray) else self[(...,)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self[(...,)]
        return whole if dtype is None else whole.astype(dtype)


@contextmanager
def errors_of(file: Path) -> Iterator[None]:
    """Raise BadData in place of what the libraries raise for a damaged file; a passing error of the system is raised as it is."""
    try:
        with passing_errors_of(file):
            yield
    except BadData:
        raise
    except (*UNREADABLE, *BAD_HEADER) as error:
        raise_passing(error, file)
        raise BadData(f"{file} is damaged or cut short ({error}). Copy this file again from where it came.") from error


def choose_member(path: Path, member: str, headers: Mapping[str, tuple[tuple[int, ...], Any]]) -> str:
    """The name of the array to read: the one asked for, the only one, or that of GLMsingle's betas.

    Parameters
    ----------
    headers : shape and dtype of the arrays of numbers in the file, by name.

    Raises
    ------
    BadData where there is no such array, or several and none is named.
    """
    known = [f"{name} {'x'.join(map(str, shape)) or 'one number'}" for name, (shape, _) in headers.items()]
    listed = ", ".join(known[:MAX_SHOWN]) + (f" and {len(known) - MAX_SHOWN} more" if len(known) > MAX_SHOWN else "")
    if member in headers:
        return member
    if not headers:
        raise BadData(f"{path} holds no array of numbers. Save the array in it as a plain matrix.")
    first = next(iter(headers))
    if member:
        raise BadData(f'{path} holds no array {member!r}; it holds {listed}. Write one of these, such as "{path.name}:{first}".')
    if len(headers) == 1:
        return first
    if found := [name for name in WELL_KNOWN if name in headers]:
        return found[0]
    raise BadData(f'{path} holds {len(headers)} arrays: {listed}. Name one, such as "{path.name}:{first}".')


def refuse_member(path: Path, member: str, reason: str) -> None:
    """Raise BadData where an array is named in a file of one array."""
    if member:
        raise BadData(f'{path}:{member} names an array in the file, but {reason}. Write "{path.name}".')
