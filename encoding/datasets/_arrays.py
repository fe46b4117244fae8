"""Arrays of a data set on disk: ``.npy`` files opened without pickle, responses memory-mapped and checked once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets._base import BadData
from encoding.storage.npy import BAD_HEADER

BLOCK_ROWS = 256  # of 20,000 float32 vertices are 20 MB
AGAIN = "Copy this file again from the original data set."


def open_npy(path: Path) -> np.ndarray:
    """A ``.npy`` file as a read-only memory map of whatever shape and dtype it has.

    Raises
    ------
    BadData where the file is missing, cut short, or no ``.npy`` of plain numbers. No pickle is ever read.
    """
    if not path.is_file():
        raise BadData(f"{path} is missing. {AGAIN}")
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except BAD_HEADER as error:
        raise BadData(f"{path} is damaged or cut short ({error}). {AGAIN}") from error


def open_responses(path: Path) -> np.ndarray:
    """The memory map of a ``(n_stimuli, n_vertices)`` float32 file; :class:`BadData` where it is anything else."""
    responses = open_npy(path)
    if responses.ndim != 2:
        raise BadData(f"{path} has shape {responses.shape} where (n_stimuli, n_vertices) is needed. {AGAIN}")
    if responses.dtype != np.float32:
        mend = f"Save it as float32: np.save({path.name!r}, np.load({path.name!r}).astype('float32'))."
        raise BadData(f"{path} holds {responses.dtype} where float32 is needed. {mend}")
    return responses


def open_vector(path: Path, length: int, what: str) -> np.ndarray:
    """A ``(length,)`` array of whole numbers as int64; :class:`BadData` where it is anything else.

    ``what`` says in the error why the length is what it must be. Floats are taken where they are whole.
    """
    values = open_npy(path)
    if values.shape != (length,):
        raise BadData(f"{path} has shape {values.shape}, but {what} {length:,}. {AGAIN}")
    if values.dtype.kind not in "biuf" or (values.dtype.kind == "f" and not np.array_equal(values, np.floor(values))):
        raise BadData(f"{path} holds {values.dtype} where whole numbers are needed. {AGAIN}")
    return values.astype(np.int64)


def response_facts(path: Path) -> dict[str, Any]:
    """What one pass over a file of responses tells, as :func:`encoding.storage.fingerprints.file_facts` remembers it.

    ``minimum`` and ``maximum`` of the finite values (None where there are none), ``bad_rows`` and
    ``bad_vertices``, how many hold a NaN or an infinity, and ``first_bad``, the row and vertex of the first.
    """
    n_rows, n_vertices = open_responses(path).shape
    lowest, highest, first_bad = np.inf, -np.inf, None
    bad_rows, bad_vertices = 0, np.zeros(n_vertices, bool)
    for start in range(0, n_rows, BLOCK_ROWS):
        block = np.array(open_responses(path)[start : start + BLOCK_ROWS])  # mapped anew, so that old pages can go
        if block.size and not np.isfinite([block.min(), block.max()]).all():
            bad = ~np.isfinite(block)
            rows = np.flatnonzero(bad.any(axis=1))
            first_bad = first_bad or [start + int(rows[0]), int(np.argmax(bad[rows[0]]))]
            bad_rows, bad_vertices = bad_rows + len(rows), bad_vertices | bad.any(axis=0)
            block = block[~bad]
        if block.size:
            lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
    known = {"minimum": lowest, "maximum": highest} if lowest <= highest else {"minimum": None, "maximum": None}
    return known | {"bad_rows": bad_rows, "bad_vertices": int(bad_vertices.sum()), "first_bad": first_bad}


def require_finite(path: Path, facts: dict[str, Any]) -> None:
    """:class:`BadData` where :func:`response_facts` found a NaN or an infinity."""
    if facts["first_bad"]:
        row, vertex = facts["first_bad"]
        raise BadData(
            f"{path} holds NaN or infinite responses in {facts['bad_vertices']:,} vertices and {facts['bad_rows']:,} rows, "
            f"first in row {row}, vertex {vertex} (both counted from 0). {AGAIN} Or leave those vertices out of it and of the masks."
        )
