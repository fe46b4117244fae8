"""Names of labels out of a pickled dict, read so that nothing in the file can run.

``np.save(path, {1: "V1v"})`` writes a ``.npy`` header followed by a pickle, and a pickle is a program. This one
is run by an unpickler that knows six names, all of them stand-ins defined here: even numpy's own constructors,
which believe what a pickle tells them about memory, are never called.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from encoding.datasets._arrays import BAD_HEADER
from encoding.datasets._base import BadData

DAMAGED = (pickle.UnpicklingError, *BAD_HEADER, AttributeError, LookupError, ArithmeticError, RecursionError, MemoryError)
MOST_BYTES = 1_000_000  # a file of names takes about 500
MEND = "Copy this file again from the original data set; a file of ROI names holds one plain dict of label: name."


def read_label_names(path: Path) -> dict[int, str]:
    """Label to name out of ``np.save(path, {label: name, ...})``, by numpy 1 or 2, Python 2 or 3.

    Raises
    ------
    BadData where the file is missing or damaged, or holds anything but a dict of whole numbers to text.
    Nothing in the file is executed before it is refused.
    """
    if not path.is_file():
        raise BadData(f"{path} is missing. {MEND}")
    if path.stat().st_size > MOST_BYTES:
        raise BadData(f"{path} holds {path.stat().st_size:,} bytes, too many for a dict of names. {MEND}")
    try:
        with path.open("rb") as file:
            _skip_header(file)
            content = file.read()
        _check_sizes(content)
        found = _NamesUnpickler(io.BytesIO(content), encoding="latin1").load()
    except DAMAGED as error:
        raise BadData(f"{path} is refused, and nothing in it was run: {error}. {MEND}") from error
    return _names(found, path)


def _names(found: Any, path: Path) -> dict[int, str]:
    if isinstance(found, _Array) and len(found.items) == 1:
        found = found.items[0]
    if type(found) is not dict:
        raise BadData(f"{path} holds no dict. {MEND}")
    wrong = [(label, name) for label, name in found.items() if type(label) is not int or type(name) is not str]
    if wrong:
        label, name = wrong[0]
        raise BadData(f"{path} holds {type(label).__name__}: {type(name).__name__} where a whole number: text belongs. {MEND}")
    return found


def _skip_header(file: IO[bytes]) -> None:
    """Leave ``file`` where the pickle starts; ValueError unless one single object was saved."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"a .npy file of version {version} is not one of names")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype != np.dtype(object) or shape != ():
        raise ValueError(f"it holds an array of {dtype} with shape {shape}")


def _check_sizes(content: bytes) -> None:
    """ValueError where the pickle is cut short or would make the unpickler set memory aside for what is not in it."""
    for code, argument, _ in pickletools.genops(content):
        if "PUT" in code.name and int(argument) > len(content):
            raise ValueError(f"it counts {argument} objects in {len(content)} bytes")


class _NamesUnpickler(pickle.Unpickler):
    """Knows what numpy writes around a dict, and nothing else."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        found = ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a file of names has no use for")
        return found


class _Array:
    """Stands in for an object array: keeps the list of what it held."""

    def __init__(self, *ignored: Any) -> None:
        self.items: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        _version, _shape, _dtype, _fortran, self.items = state


class _DType:
    """Stands in for a dtype: keeps its code, such as ``i8``, and its byte order."""

    def __init__(self, code: Any, *ignored: Any) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


def _scalar(dtype: _DType, content: bytes) -> int:
    """A numpy integer as a plain one."""
    if dtype.code[:1] not in ("i", "u"):
        raise pickle.UnpicklingError(f"it holds a number of type {dtype.code} where labels are whole numbers")
    return int.from_bytes(content, "big" if dtype.order == ">" else "little", signed=dtype.code.startswith("i"))


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 spells bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for text in {encoding}")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
}
