"""Numbers, text and arrays out of a pickle, read so that nothing in the file can run.

A pickle is a program. This one is run by an unpickler that knows seven names, all of them stand-ins defined here: even numpy's
own constructors, which believe what a pickle tells them about memory, are never called. An array's bytes stay where they were
read, and become an array only when :func:`as_array` has compared their number with the shape.

The unpickler is the standard library's in Python, as the Algonauts development kits use it: the one in C sets memory aside
for as many objects as a file of nine bytes says it has.
"""

from __future__ import annotations

import math
import pickle
import re
import struct
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from encoding.datasets._arrays import BAD_HEADER

DAMAGED = (
    pickle.UnpicklingError, *BAD_HEADER, AttributeError, LookupError, ArithmeticError, RecursionError, MemoryError, AssertionError,
    struct.error,
)  # fmt: skip
MOST_STEPS = 5_000  # a thing nested much deeper could exhaust the stack; a file of arrays takes a hundred
NUMBERS = re.compile(r"[biuf][1248]")


def load_plain(file: IO[bytes], *, what: str) -> Any:
    """What the pickle in ``file`` holds, by numpy 1 or 2, Python 2 or 3, any protocol.

    Dicts, lists, tuples, numbers and text come as themselves (Python 2's text as bytes, see :func:`as_text`), numpy's
    numbers as plain ones, and arrays as :class:`StoredArray`.

    Parameters
    ----------
    what : what the file should be, such as "a file of names", for the error.

    Raises
    ------
    One of :data:`DAMAGED`, where the file is cut short or asks for anything else. Nothing in it was executed then.
    """
    return _PlainUnpickler(file, what).load()


def as_text(found: Any) -> Any:
    """Python 2's text as text; anything else as it is."""
    return found.decode("latin1") if isinstance(found, bytes) else found


class StoredArray:
    """An array as a pickle holds it: shape, dtype and bytes, not believed yet.

    Attributes
    ----------
    items : the bytes, or of an array of objects the list of them.
    """

    def __init__(self) -> None:
        self.shape: Any = (0,)
        self.dtype: Any = None
        self.fortran: Any = False
        self.items: Any = []

    def __setstate__(self, state: Any) -> None:
        _version, self.shape, self.dtype, self.fortran, self.items = state


def as_array(found: Any) -> np.ndarray:
    """The array itself, read-only and without a copy of its bytes (Python 3's at protocol 2 are text, and are copied).

    Raises
    ------
    ValueError where it is none, holds objects or anything but numbers, or its bytes are fewer or more than its shape says.
    """
    if not isinstance(found, StoredArray):
        raise ValueError(f"it holds {type(found).__name__} where an array belongs")
    if not isinstance(found.dtype, _DType) or not isinstance(found.items, bytes | bytearray):
        raise ValueError("it holds an array of objects where numbers belong")
    dtype = found.dtype.resolved()
    if type(found.shape) is not tuple or not all(type(n) is int and n >= 0 for n in found.shape):
        raise ValueError("it holds an array without a shape")
    if math.prod(found.shape) * dtype.itemsize != len(found.items):
        raise ValueError(f"it holds {len(found.items):,} bytes for an array of {dtype} with shape {found.shape}")
    array = np.frombuffer(found.items, dtype).reshape(found.shape, order="F" if found.fortran else "C")
    array.setflags(write=False)
    return array


class _DType:
    """Stands in for a dtype: keeps its code, such as ``i8``, and its byte order."""

    def __init__(self, code: Any) -> None:
        self.code, self.order = str(as_text(code)), "<"

    def __setstate__(self, state: Any) -> None:
        self.order = as_text(state[1])

    def resolved(self) -> np.dtype:
        """The dtype; ValueError unless it is one of plain numbers."""
        if not NUMBERS.fullmatch(self.code) or self.order not in ("<", ">", "|", "="):
            raise ValueError(f"it holds values of type {self.code[:20]} where numbers belong")
        return np.dtype(self.order + self.code)


class _Maker:
    """What a pickle gets for a name: it can be called, and nothing about it can be changed."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes what it calls")


class _PlainUnpickler(pickle._Unpickler):
    """Knows what numpy writes around its arrays and numbers, and nothing else."""

    def __init__(self, file: IO[bytes], what: str) -> None:
        super().__init__(file, encoding="bytes")
        self._what = what
        self.dispatch = _Steps()

    def find_class(self, module: str, name: str) -> _Maker:
        found = ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which {self._what} has no use for")
        return found


class _Steps:
    """The standard steps of a pickle, by their code, and :data:`MOST_STEPS` of them at most."""

    def __init__(self) -> None:
        self._n = 0

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        self._n += 1
        if self._n > MOST_STEPS:
            raise pickle.UnpicklingError(f"it takes more than {MOST_STEPS:,} steps")
        return pickle._Unpickler.dispatch[code]


def _scalar(dtype: _DType, content: Any) -> int | float | bool:
    """One of numpy's numbers as a plain one."""
    kind, content = dtype.resolved(), bytes(content)
    if len(content) != kind.itemsize:
        raise pickle.UnpicklingError(f"it holds {len(content)} bytes for a number of type {kind}")
    return np.frombuffer(content, kind)[0].item()


def _encode(text: str, encoding: Any) -> bytes:
    """How Python 3 spells bytes at protocol 2."""
    if as_text(encoding) not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for text in {encoding!r}")
    return text.encode("latin1")


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> StoredArray:
    """How numpy spells an array at protocol 5."""
    array = StoredArray()
    array.__setstate__((1, shape, dtype, order == "F", content))
    return array


ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _Maker(lambda *ignored: StoredArray()),
    ("numpy.core.multiarray", "scalar"): _Maker(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _Maker(_from_buffer),
    ("numpy", "ndarray"): _Maker(lambda *ignored: StoredArray()),
    ("numpy", "dtype"): _Maker(lambda code, *ignored: _DType(code)),
    ("_codecs", "encode"): _Maker(_encode),
    ("__builtin__", "bytes"): _Maker(lambda: b""),
}
