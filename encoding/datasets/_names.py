"""Read the names of ROI labels from a pickled dict without executing anything in it.

``np.save(path, {1: "V1v"})`` writes a ``.npy`` header followed by a pickle, which ``_pickles.py`` reads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._pickles import DAMAGED, StoredArray, as_text, load_plain
from encoding.storage.files import open_regular
from encoding.storage.npy import read_header

MAX_BYTES = 1_000_000  # a file of names has about 500
ADVICE = "Copy this file again from the original data set; a file of ROI names holds one plain dict of label: name."


def read_label_names(path: Path) -> dict[int, str]:
    """Read label to name from ``np.save(path, {label: name, ...})``, written by numpy 1 or 2, Python 2 or 3.

    Raises
    ------
    BadData where the file is missing or damaged, or holds anything but a dict of whole numbers to text.
    Nothing in the file is executed before it is refused.
    """
    if not path.exists():
        raise BadData(f"{path} is missing. {ADVICE}")
    if path.stat().st_size > MAX_BYTES:
        raise BadData(f"{path} holds {path.stat().st_size:,} bytes, too many for a dict of names. {ADVICE}")
    try:
        names = load_plain(path, what="a file of names", start=_header_length(path), max_bytes=MAX_BYTES)
    except DAMAGED as error:
        raise BadData(f"{path} is refused, and nothing in it was run: {error}. {ADVICE}") from error
    if isinstance(names, StoredArray) and isinstance(names.items, list) and len(names.items) == 1:
        names = names.items[0]
    if type(names) is not dict:
        raise BadData(f"{path} holds no dict. {ADVICE}")
    names = {label: as_text(name) for label, name in names.items()}
    for label, name in names.items():
        if type(label) is not int or type(name) is not str:
            raise BadData(f"{path} holds {type(label).__name__}: {type(name).__name__} where a whole number: text belongs. {ADVICE}")
    return names


def _header_length(path: Path) -> int:
    """Return the byte at which the pickle starts; ValueError unless one single object was saved."""
    with open_regular(path) as file:
        shape, _, dtype = read_header(file, objects=True)
        if dtype != np.dtype(object) or shape != ():
            raise ValueError(f"it holds an array of {dtype} with shape {shape}")
        return file.tell()
