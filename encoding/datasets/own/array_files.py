"""Open arrays in the formats that laboratories keep them in (:mod:`~encoding.datasets.own.formats`), found by the ending of the name.

A file of several arrays is named with the array's name after a colon: ``betas.mat:Y``, ``betas.h5:session1/Y``, ``trials.csv:session``,
``betas.dscalar.nii:lh``. Nothing is unpickled by Python.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets._arrays import open_npy
from encoding.datasets._base import BadData
from encoding.datasets._images import require_regular
from encoding.datasets._other_formats import N_BYTES, other_format, unpacked
from encoding.datasets._spelling import near_name
from encoding.datasets.own.arrays import ArrayFile, errors_of
from encoding.datasets.own.formats import ARRAY_READERS, NPY, TEXT, ArrayReader
from encoding.storage.files import passing_errors_of


def split_member(path: Path) -> tuple[Path, str]:
    """Split ``folder/betas.mat:Y`` into the file and the name of the array in it, which is empty where none is given.

    Examples
    --------
    >>> split_member(Path("data/betas.h5:session1/Y"))
    (PosixPath('data/betas.h5'), 'session1/Y')
    >>> split_member(Path("data/betas.npy"))
    (PosixPath('data/betas.npy'), '')
    """
    text = str(path)
    for place in (i for i, letter in enumerate(text) if letter == ":"):
        file = Path(text[:place])
        if find_reader(file) and not path.exists():
            return file, text[place + 1 :]
    return path, ""


def find_reader(path: Path) -> ArrayReader | None:
    """The reader for the ending of a file's name; None where no reader has it."""
    name = path.name.lower()
    return next((reader for reader in ARRAY_READERS for suffix in reader.suffixes if name.endswith(suffix)), None)


def is_volume(path: Path) -> bool:
    """Whether a file is a volume by its name: NIfTI or MGH."""
    return split_member(path)[0].name.lower().endswith((".nii", ".nii.gz", ".mgh", ".mgz"))


def open_array(path: Path) -> ArrayFile:
    """Open an array in any of :data:`ARRAY_READERS`, without reading it where the format allows that.

    Parameters
    ----------
    path : a file, or a file, a colon and the name of one of its arrays (:func:`split_member`).

    Raises
    ------
    BadData where the file is missing, special, damaged or of another format than its ending says, or holds several arrays of which
    none is named. The message lists the arrays with their shapes, and the line that names one.
    """
    file, member = split_member(path)
    if not file.exists():
        raise BadData(f"{file} is missing. {near_name(file) or 'Copy it there, or name another.'}")
    require_regular(file)
    with passing_errors_of(file), file.open("rb") as stream:
        start = unpacked(stream.read(N_BYTES))
    reader = find_reader(file)
    if reader is None or not reader.is_one(start):
        actual = next((each for each in ARRAY_READERS if each.is_one(start) and each.what != TEXT), None)
        if actual is None or (reader and reader.what == TEXT and other_format(start, file).startswith("text")):
            if reader is None or reader.what == NPY:
                return ArrayFile(file, open_npy(file), member)  # whose message says what the file is
            raise BadData(f"{file} is no {reader.what.split(' ', 1)[1]}, but {other_format(start, file)}")
        raise BadData(f"{file} is {actual.what} by its content. Rename it, so that its name ends with {actual.suffixes[0]}.")
    with errors_of(file):
        return reader.open(file, member)


def member_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name to shape of the arrays of numbers in an archive (``.npz``, MATLAB, HDF5), in its order; empty for a file of one array.

    Raises
    ------
    BadData as :func:`open_array`.
    """
    require_regular(path)
    with errors_of(path):
        reader = find_reader(path)
        if reader is None or reader.members is None:
            return {}
        with path.open("rb") as stream:
            start = stream.read(N_BYTES)
        return {name: shape for name, (shape, _) in reader.members(path).items()} if reader.is_one(start) else {}


def read_array(path: Path) -> np.ndarray:
    """Read a whole array, in its own shape and dtype; a ``.npy`` file is memory-mapped. BadData as :func:`open_array`."""
    return open_array(path).whole()
