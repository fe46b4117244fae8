"""Open the ``.npy`` files of a data set without pickle; responses are memory-mapped and checked once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._images import require_regular
from encoding.datasets._other_formats import N_BYTES, other_format, saved
from encoding.datasets._spelling import near_name
from encoding.runtime.wording import counted
from encoding.storage.files import passing_errors_of
from encoding.storage.npy import BAD_HEADER, NpyRows, read_header

BLOCK_ROWS = 256  # of 20,000 float32 vertices are 20 MB
AGAIN = "Copy this file again from the original data set."


def open_npy(path: Path) -> np.ndarray:
    """Open a ``.npy`` file of any shape and dtype as a read-only memory map; pickles are never read.

    Raises
    ------
    BadData where the file is missing, special, truncated or of another format; the message then gives the line of Python that converts it.
    """
    if not path.exists():
        raise BadData(f"{path} is missing. {near_name(path) or AGAIN}")
    require_regular(path)
    _refuse_other_formats(path)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except BAD_HEADER as error:
        raise BadData(f"{path} is damaged or cut short ({error}). {AGAIN}") from error
    n_bytes, expected = path.stat().st_size, array.offset + array.nbytes
    if n_bytes > expected:
        raise BadData(f"{path} is damaged: it has {n_bytes:,} bytes where its header says {expected:,}. {AGAIN}")
    return array


def _refuse_other_formats(path: Path) -> None:
    """Raise BadData for a file that is not ``.npy``, or holds Python objects. A damaged header is found when it is read."""
    with passing_errors_of(path), path.open("rb") as file:
        start = file.read(N_BYTES)
        if not start.startswith(b"\x93NUMPY"):
            raise BadData(f"{path} is {other_format(start, path)}")
        file.seek(0)
        try:
            _, _, dtype = read_header(file, objects=True)
        except BAD_HEADER:
            return
    if dtype.hasobject:
        expression = f"np.array(np.load({path.name!r}, allow_pickle=True).tolist(), dtype=float)"
        raise BadData(
            f"{path} is an array of Python objects and not of plain numbers. Where you trust the file, save it as numbers "
            f"under another name: {saved(path, expression)}"
        )


def open_responses(path: Path) -> NpyRows:
    """Open a file of responses as (n_stimuli, n_vertices) float32, whose rows are read on access.

    Raises
    ------
    BadData where the file holds anything else.
    """
    responses = open_npy(path)
    if responses.ndim != 2:
        raise BadData(f"{path} has shape {responses.shape} where (n_stimuli, n_vertices) is needed. {AGAIN}")
    if responses.dtype != np.float32:
        raise BadData(f"{path} holds {responses.dtype} where float32 is needed. {as_float32_advice(path, responses.dtype)}")
    return NpyRows(path)


def as_float32_advice(path: Path, dtype: np.dtype) -> str:
    """Explain how to convert an array of another dtype to float32 without loss."""
    if dtype.kind == "c":
        return "Complex numbers have no single real value: save what you mean, such as np.abs(Y) or Y.real, and keep the original."
    if dtype.names:
        return f"Save one of its fields as float32, such as Y[{dtype.names[0]!r}], and keep the original."
    call = saved(path, f"np.load({path.name!r}).astype('float32')", "float32")
    return f"Save it as float32 under another name, and keep the original: {call}."


def open_vector(path: Path, length: int, what: str) -> np.ndarray:
    """Read a ``(length,)`` array of whole numbers as int64; floats are accepted where they are whole.

    Parameters
    ----------
    path : ``.npy`` file.
    length : required length.
    what : reason for that length, for the error message.

    Raises
    ------
    BadData where the file holds anything else.
    """
    values = open_npy(path)
    if values.shape != (length,):
        raise BadData(f"{path} has shape {values.shape}, but {what} {length:,}. {AGAIN}")
    if values.dtype.kind not in "biuf" or (values.dtype.kind == "f" and not np.array_equal(values, np.floor(values))):
        raise BadData(f"{path} holds {values.dtype} where whole numbers are needed. {AGAIN}")
    return values.astype(np.int64)


def response_facts(path: Path) -> dict[str, Any]:
    """Check a file of responses in one pass, for :func:`encoding.storage.fingerprints.file_facts` to remember.

    Returns
    -------
    ``minimum`` and ``maximum`` of the finite values (None where there are none), ``bad_rows`` and
    ``bad_vertices``, how many hold a NaN or an infinity, and ``first_bad``, the row and vertex of the first.
    """
    responses = open_responses(path)
    n_rows, n_vertices = responses.shape
    lowest, highest, first_bad = np.inf, -np.inf, None
    bad_rows, bad_vertices = 0, np.zeros(n_vertices, bool)
    for start in range(0, n_rows, BLOCK_ROWS):
        block = responses[start : start + BLOCK_ROWS]
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
    """Check the result of :func:`response_facts` for NaN and infinity.

    Raises
    ------
    BadData where there are any.
    """
    if facts["first_bad"]:
        row, vertex = facts["first_bad"]
        raise BadData(
            f"{path} holds NaN or infinite responses in {counted(facts['bad_vertices'], 'vertex', 'vertices')} "
            f"and {counted(facts['bad_rows'], 'row')}, "
            f"first in row {row}, vertex {vertex} (both counted from 0). {AGAIN} Or leave those vertices out of it and of the masks."
        )
