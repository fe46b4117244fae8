"""Names of labels out of a pickled dict, read so that nothing in the file can run.

``np.save(path, {1: "V1v"})`` writes a ``.npy`` header followed by a pickle, which ``_pickles.py`` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._pickles import DAMAGED, StoredArray, as_text, load_plain

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
            found = load_plain(file, what="a file of names")
    except DAMAGED as error:
        raise BadData(f"{path} is refused, and nothing in it was run: {error}. {MEND}") from error
    return _names(found, path)


def _names(found: Any, path: Path) -> dict[int, str]:
    if isinstance(found, StoredArray) and isinstance(found.items, list) and len(found.items) == 1:
        found = found.items[0]
    if type(found) is not dict:
        raise BadData(f"{path} holds no dict. {MEND}")
    found = {label: as_text(name) for label, name in found.items()}
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
