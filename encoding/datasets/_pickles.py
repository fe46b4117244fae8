"""Read arrays, numbers and text from a pickle without executing anything in it.

A pickle is a program, and even numpy's own constructors trust its statements about memory. The standard unpickler's ``find_class``
therefore resolves seven names only, all to stand-ins defined here, and :func:`check_opcodes` bounds time and memory before anything
is built. :func:`as_array` compares an array's bytes with its shape.
"""

from __future__ import annotations

import math
import pickle
import pickletools
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from encoding.datasets._arrays import BAD_HEADER
from encoding.storage.files import open_regular

DAMAGED = (
    pickle.UnpicklingError, *BAD_HEADER, AttributeError, LookupError, ArithmeticError, RecursionError, MemoryError, AssertionError,
    struct.error,
)  # fmt: skip
MAX_OPCODES = 5_000  # a file of arrays has about a hundred; deeper nesting could exhaust the stack
MAX_BYTES = 4 * 2**30  # the largest file of Algonauts 2021 has about 0.5 GB
NUMBERS = re.compile(r"[biuf][1248]")
TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "BUILD"}  # after these a tuple may be on the top of the stack
READERS = {"STRING": lambda stream: stream.readline()}  # Python 2's at protocol 0, which pickletools takes for ASCII
MEMO = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
GETS = {"GET", "BINGET", "LONG_BINGET"}
REFUSED = {
    "DUP", "POP", "POP_MARK", "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EMPTY_SET",
    "ADDITEMS", "FROZENSET", "NEXT_BUFFER", "READONLY_BUFFER",
}  # fmt: skip


def load_plain(path: Path, *, what: str, start: int = 0, max_bytes: int = MAX_BYTES) -> Any:
    """Load a pickle of plain data, written by numpy 1 or 2, Python 2 or 3, with any protocol.

    Parameters
    ----------
    path : the file, of ``max_bytes`` bytes at most.
    what : what the file should be, such as "a file of names", for the error.
    start : the byte at which the pickle begins.

    Returns
    -------
    Dicts, lists, tuples, numbers and text as themselves (Python 2's text as bytes, see :func:`as_text`), numpy's numbers as
    plain ones, and arrays as :class:`StoredArray`.

    Raises
    ------
    One of :data:`DAMAGED`, where the file is too large, cut short or asks for anything else. Nothing in it was executed then.
    """
    if (size := path.stat().st_size) > max_bytes:
        raise ValueError(f"it has {size:,} bytes, and {what} has {max_bytes:,} at most")
    with open_regular(path) as file:
        stream = _Bounded(file, size)
        file.seek(start)
        check_opcodes(stream)
        file.seek(start)
        return _PlainUnpickler(stream, what).load()


def check_opcodes(stream: _Bounded | IO[bytes]) -> None:
    """Raise UnpicklingError where the pickle in a stream could take unbounded time or memory; nothing is built.

    Bounded are the number of opcodes, the size of the memo and, by the length of the stream, every argument. A tuple may not occur
    twice: as a key of a dict, sixty tuples that each hold the one before twice would be hashed for ever.
    """
    tuples, previous, n_memo, opcode = set(), "", 0, None
    for _ in range(MAX_OPCODES):
        opcode = pickletools.code2op.get(stream.read(1).decode("latin1"))
        if opcode is None or opcode.name in REFUSED:
            raise pickle.UnpicklingError(f"it uses {opcode.name}, which arrays need not" if opcode else "it is cut short or damaged")
        if opcode.name == "STOP":
            return
        argument = READERS.get(opcode.name, opcode.arg and opcode.arg.reader)
        argument = argument and argument(stream)
        if opcode.name in MEMO:
            place = n_memo if opcode.name == "MEMOIZE" else argument
            n_memo += 1
            if not 0 <= place < MAX_OPCODES:
                raise pickle.UnpicklingError(f"it remembers an object as number {place:,}")
            tuples = tuples | {place} if previous in TUPLES else tuples - {place}
        if opcode.name in GETS and argument in tuples:
            raise pickle.UnpicklingError("it uses a tuple twice")
        if opcode.name not in MEMO:
            previous = opcode.name
    raise pickle.UnpicklingError(f"it takes more than {MAX_OPCODES:,} steps")


def as_text(value: Any) -> Any:
    """Decode Python 2 text (bytes) to str; return anything else unchanged."""
    return value.decode("latin1") if isinstance(value, bytes) else value


class StoredArray:
    """An array as a pickle describes it, not yet checked.

    Attributes
    ----------
    items : its bytes (protocol 2 of Python 3 spells them as text in Latin-1), or the list of items of an array of objects.
    """

    def __init__(self) -> None:
        self.shape: Any = (0,)
        self.dtype: Any = None
        self.fortran: Any = False
        self.items: Any = []

    def __setstate__(self, state: Any) -> None:
        _version, self.shape, self.dtype, self.fortran, self.items = state


def as_array(stored: Any) -> np.ndarray:
    """Return the array of numbers that a :class:`StoredArray` describes, read-only and where possible without a copy.

    Raises
    ------
    ValueError where it is none, holds objects or anything but numbers, or its bytes are fewer or more than its shape says.
    """
    if not isinstance(stored, StoredArray):
        raise ValueError(f"it holds {type(stored).__name__} where an array belongs")
    if not isinstance(stored.dtype, _DType) or not isinstance(stored.items, bytes | bytearray | str):
        raise ValueError("it holds an array of objects where numbers belong")
    dtype = stored.dtype.resolved()
    if type(stored.shape) is not tuple or not all(type(n) is int and n >= 0 for n in stored.shape):
        raise ValueError("it holds an array without a shape")
    if math.prod(stored.shape) * dtype.itemsize != len(stored.items):
        raise ValueError(f"it holds {len(stored.items):,} bytes for an array of {dtype} with shape {stored.shape}")
    content = stored.items.encode("latin1") if isinstance(stored.items, str) else stored.items
    array = np.frombuffer(content, dtype).reshape(stored.shape, order="F" if stored.fortran else "C")
    array.setflags(write=False)
    return array


class _DType:
    """Stand-in for a dtype: its code, such as ``i8``, and its byte order."""

    def __init__(self, code: Any) -> None:
        self.code, self.order = str(as_text(code)), "<"

    def __setstate__(self, state: Any) -> None:
        self.order = as_text(state[1])

    def resolved(self) -> np.dtype:
        """Return the dtype; ValueError unless it is one of plain numbers."""
        if not NUMBERS.fullmatch(self.code) or self.order not in ("<", ">", "|", "="):
            raise ValueError(f"it holds values of type {self.code[:20]} where numbers belong")
        return np.dtype(self.order + self.code)


class _Maker:
    """What a pickle gets for a name: callable, and immutable."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes what it calls")


class _Bounded:
    """A file of which no more is asked than it has: a pickle of 12 bytes may announce 4 GB."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size, self.readline = file, size, file.readline

    def read(self, n: int) -> bytes:
        return self._file.read(min(n, self._size))


class _PlainUnpickler(pickle.Unpickler):
    """The standard unpickler with an allow-list of what numpy writes around its arrays and numbers."""

    def __init__(self, stream: _Bounded, what: str) -> None:
        super().__init__(stream, encoding="bytes")
        self._what = what

    def find_class(self, module: str, name: str) -> _Maker:
        found = ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which {self._what} has no use for")
        return found


def _scalar(dtype: _DType, content: Any) -> int | float | bool:
    """Return one of numpy's numbers as a plain one."""
    kind = dtype.resolved()
    if not isinstance(content, bytes | str) or len(content) != kind.itemsize:
        raise pickle.UnpicklingError(f"it holds no {kind.itemsize} bytes for a number of type {kind}")
    return np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, kind)[0].item()


def _encode(text: Any, encoding: Any) -> str:
    """Return the text by which Python 3 spells bytes at protocol 2; made into bytes only where they are needed, and once."""
    if not isinstance(text, str) or as_text(encoding) not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for text in {encoding!r}")
    return text


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> StoredArray:
    """Return an array as numpy spells it at protocol 5."""
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
