"""``.npy`` files without pickles: written block by block with the true error of the disk, read whole or mapped by size."""

from __future__ import annotations

import os
import tokenize
from math import prod
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from encoding.storage.files import open_regular

BAD_HEADER = (ValueError, TypeError, EOFError, OverflowError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError)
"""What numpy raises of a damaged header."""

MAPPED_BYTES = 16 * 2**20  # arrays from this size are memory-mapped, smaller ones are read: a map keeps a descriptor open
WRITTEN_BYTES = 16 * 2**20  # handed to the system at a time
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

Header = tuple[tuple[int, ...], bool, np.dtype]
"""Shape, whether columns come first (Fortran order), dtype."""


class NpyWriter:
    """A ``.npy`` file in C order that grows by blocks of rows.

    Written as a plain file: on a full disk that is an OSError to handle, where a memory map would kill the process.

    Parameters
    ----------
    shape : of the whole array; ``dtype`` is that of the file, to which blocks are cast.
    columns_first : the file is in Fortran order, and blocks are columns, (b, …) of the transposed array.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str | np.dtype = "<f4", *, columns_first: bool = False) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self._file: BinaryIO = path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": columns_first, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._n_bytes = 0

    def write(self, block: np.ndarray) -> None:
        """Append rows, (b, …)."""
        data = memoryview(np.ascontiguousarray(block, self.dtype)).cast("B") if block.size else memoryview(b"")
        for start in range(0, len(data), WRITTEN_BYTES):
            self._file.write(data[start : start + WRITTEN_BYTES])
        self._n_bytes += len(data)

    def close(self) -> None:
        """Close the file.

        Raises
        ------
        OSError where the last bytes do not reach the disk.
        """
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *about: object) -> None:
        self.close()
        expected = prod(self.shape) * self.dtype.itemsize
        if kind is None and self._n_bytes != expected:
            raise ValueError(f"{self.path.name} got {self._n_bytes:,} bytes of {expected:,}.")


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write a whole array.

    Raises
    ------
    ValueError for arrays of Python objects, which no file here holds. OSError of the disk.
    """
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise ValueError(f"{path.stem} holds Python objects, which are never stored (allow_pickle=False).")
    columns_first = array.flags.f_contiguous and not array.flags.c_contiguous
    with NpyWriter(path, array.shape, array.dtype, columns_first=columns_first) as writer:
        writer.write(array.T if columns_first else array)


def read_header(file: BinaryIO, *, objects: bool = False) -> Header:
    """Shape, Fortran order and dtype of an open ``.npy`` file, which then stands at its data.

    Raises
    ------
    One of :data:`BAD_HEADER` where it is none, or holds Python objects and ``objects`` is false.
    """
    version = np.lib.format.read_magic(file)
    if version not in HEADER_READERS:
        raise ValueError(f"version {version} of .npy is not read")
    shape, columns_first, dtype = HEADER_READERS[version](file)
    if dtype.hasobject and not objects:
        raise ValueError("it holds Python objects")
    return shape, columns_first, dtype


def read_npy(path: Path, *, mapped_from: int = MAPPED_BYTES) -> np.ndarray:
    """Read the array of a ``.npy`` file, read-only: in memory, or memory-mapped where it has ``mapped_from`` bytes or more.

    Raises
    ------
    ValueError where it is no sound ``.npy``, or shorter or longer than its header says: a map of a shortened file would kill the
    process. OSError with the file's name where it cannot be read.
    """
    with open_regular(path) as file:
        about = os.fstat(file.fileno())
        try:
            shape, columns_first, dtype = read_header(file)
        except BAD_HEADER as error:
            raise ValueError(f"{path.name} has a damaged header ({error})") from error
        n_bytes, start = prod(shape) * dtype.itemsize, file.tell()
        if start + n_bytes != about.st_size:
            raise ValueError(f"{path.name} has {about.st_size:,} bytes where its header says {start + n_bytes:,}")
        order = "F" if columns_first else "C"
        if n_bytes >= max(1, mapped_from):
            return np.memmap(path, dtype, "r", start, shape, order)
        data = file.read(n_bytes)
        if len(data) != n_bytes:
            raise ValueError(f"{path.name} was shortened while it was read")
    array = np.frombuffer(data, dtype).reshape(shape, order=order) if n_bytes else np.zeros(shape, dtype)
    array.flags.writeable = False
    return array


def read_block(matrix: np.ndarray | NpyRows, rows: np.ndarray | slice, columns: np.ndarray) -> np.ndarray:
    """``matrix[rows][:, columns]``, of which only the columns from the first to the last are read from a file.

    Parameters
    ----------
    rows : row numbers, or a slice. columns : (n,) column numbers from 0, in any order.
    """
    first, stop = (int(columns.min()), int(columns.max()) + 1) if len(columns) else (0, 0)
    block = matrix[rows, first:stop]
    return block if stop - first == len(columns) and (np.diff(columns) == 1).all() else block[:, columns - first]


class NpyRows:
    """Matrix in a ``.npy`` file, (n_rows, n_columns) in C or Fortran order, whose rows are read on access.

    Indexed as a numpy array is, it gives new arrays in memory. Nothing is mapped and nothing kept open: a file that is truncated
    meanwhile is an error, where a memory map would kill the process. In Fortran order, rows that lie far apart are dear: all between
    them are read too.

    Attributes
    ----------
    columns_first : whether the file is in Fortran order.

    Raises
    ------
    ValueError where the file is no such matrix, or no longer as long as it was.
    """

    ndim = 2

    def __init__(self, path: Path) -> None:
        with open_regular(path) as file:
            self.shape, self.columns_first, self.dtype = read_header(file)
            self._start = file.tell()
        self.path = path
        if len(self.shape) != 2:
            raise ValueError(f"{path.name} is no matrix")
        self._check(path.stat().st_size)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :], dtype)

    def __getitem__(self, index: object) -> np.ndarray:
        rows, columns = index if isinstance(index, tuple) else (index, slice(None))
        numbers = np.arange(self.shape[0])[rows]
        if numbers.ndim > 1 or (np.ndim(rows) and np.ndim(columns)):  # numpy pairs lists of rows and columns
            return self[:, :][index]
        wanted = np.atleast_1d(numbers)
        if self.columns_first:
            first, stop = (wanted.min(), wanted.max() + 1) if len(wanted) else (0, 0)
            columns = np.arange(self.shape[1])[columns]
            block = self._read(np.atleast_1d(columns), slice(first, stop), self.shape[0])[:, wanted - first].T
            block = block if columns.ndim else block[:, 0]
        else:
            block = self._read(wanted, columns if isinstance(columns, slice) else slice(None), self.shape[1])
            block = block if isinstance(columns, slice) else block[:, columns]
        return block if numbers.ndim else block[0]

    def _read(self, rows: np.ndarray, columns: slice, width: int) -> np.ndarray:
        """Rows as the file holds them, of ``width`` numbers each, in runs that lie side by side; of each only the columns of a slice."""
        first, last, step = columns.indices(width)
        whole = step != 1 or (first, last) == (0, width)
        left, right = (0, width) if whole else (first, max(first, last))
        out = np.empty((len(rows), right - left), self.dtype)
        item = self.dtype.itemsize
        edges = np.flatnonzero(np.diff(rows) != 1) + 1 if whole else np.arange(1, len(rows))
        with self.path.open("rb", buffering=0) as file:
            self._check(os.fstat(file.fileno()).st_size)
            for run in np.split(np.arange(len(rows)), edges) if out.size else ():
                block = memoryview(out[run[0] : run[-1] + 1]).cast("B")
                offset, done = self._start + (int(rows[run[0]]) * width + left) * item, 0
                while done < len(block):
                    n_bytes = os.preadv(file.fileno(), [block[done:]], offset + done)
                    if not n_bytes:
                        raise ValueError(f"{self.path} was shortened while it was read")
                    done += n_bytes
        return out[:, columns] if whole and step != 1 else out

    def _check(self, n_bytes: int) -> None:
        if n_bytes != self._start + self.nbytes:
            raise ValueError(f"{self.path} has {n_bytes:,} bytes where its header says {self._start + self.nbytes:,}: it was changed")
