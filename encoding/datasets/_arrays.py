"""Open the ``.npy`` files of a data set without pickle; responses are memory-mapped and checked once."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._images import require_regular
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
        raise BadData(f"{path} is missing. {AGAIN}")
    require_regular(path)
    if found := other_format(path):
        raise BadData(f"{path} is {found}")
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except BAD_HEADER as error:
        raise BadData(f"{path} is damaged or cut short ({error}). {AGAIN}") from error


def other_format(path: Path) -> str:
    """Identify a file that holds no plain ``.npy`` array by its first bytes, with advice on how to convert it; empty where unknown."""
    with passing_errors_of(path), path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(b"\x93NUMPY"):
        try:
            with path.open("rb") as file:
                _, _, dtype = read_header(file, objects=True)
        except BAD_HEADER:
            return ""
        if not dtype.hasobject:
            return ""
        return (
            "an array of Python objects and not of plain numbers. Where you trust the file, save it as numbers "
            f"under another name: {_save(path, f'np.array(np.load({path.name!r}, allow_pickle=True).tolist(), dtype=float)', again=True)}"
        )
    for begins, what, advice in FORMATS:
        if begins(start):
            return f"{what}, not .npy. {advice.format(name=path.name, save=_save(path, advice_of(what, path)))}"
    return ""


def advice_of(what: str, path: Path) -> str:
    """Return the Python expression that loads the array of a file in another format."""
    name = repr(path.name)
    return {
        "a MATLAB file": f"scipy.io.loadmat({name})['Y']",
        "a MATLAB file of version 7.3": f"h5py.File({name})['Y'][()].T",
        "an HDF5 file": f"h5py.File({name})['Y'][()]",
        "a NIfTI volume": f"nibabel.load({name}).get_fdata()[mask == 1].T",
        "a FreeSurfer volume": f"np.asarray(nibabel.load({name}).dataobj).squeeze()",
        "a zip archive such as an .npz": f"np.load({name})['Y']",
        "text": f"np.loadtxt({name}, delimiter=',')",
        "a table in Parquet": f"pandas.read_parquet({name}).to_numpy()",
    }.get(what, "Y")


def _save(path: Path, expression: str, *, again: bool = False) -> str:
    stem = path.name.split(".")[0] or "array"
    return f"np.save({f'{stem}_numbers.npy' if again else f'{stem}.npy'!r}, {expression})"


def _is_nifti(start: bytes) -> bool:
    if start[:2] == b"\x1f\x8b":
        with suppress(zlib.error):
            start = zlib.decompressobj(31).decompress(start, 600)
    return start[344:347] in (b"n+1", b"ni1") or start[4:7] in (b"n+2", b"ni2")


def _starts(*begins: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.lower().lstrip(b"\xef\xbb\xbf \r\n\t").startswith(begins)


SAVE_AS = "Save it as .npy and name that: {save}"
FORMATS: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (lambda start: not start, "an empty file", "Copy it again; a download or a save may have failed."),
    (lambda start: start.startswith(b"MATLAB 7.3"), "a MATLAB file of version 7.3", SAVE_AS),
    (lambda start: start.startswith(b"MATLAB 5.0"), "a MATLAB file", SAVE_AS),
    (lambda start: start.startswith(b"\x89HDF\r\n\x1a\n"), "an HDF5 file", SAVE_AS),
    (_is_nifti, "a NIfTI volume", SAVE_AS + ", where mask is the volume of the voxels that you want."),
    (lambda start: start.startswith(b"PK\x03\x04"), "a zip archive such as an .npz", SAVE_AS),
    (lambda start: start.startswith(b"\0\0\0\1\0\0"), "a FreeSurfer volume", SAVE_AS),
    (lambda start: start.startswith(b"PAR1"), "a table in Parquet", SAVE_AS),
    (lambda start: start.startswith(b"\x1f\x8b"), "compressed with gzip", "Unpack it first: gunzip {name}"),
    (_starts(b"version https://git-lfs"), "a Git LFS pointer and not the array itself", "Fetch it: git lfs pull"),
    (_starts(b"<!doctype html", b"<html", b"<?xml"), "a web page", "The download failed or needs a login; download it again."),
    (
        lambda start: start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5",
        "a Python pickle",
        "Pickles can run programs and are not read. Where you trust it, load it yourself and save the array in it: {save}",
    ),
    (lambda start: re.fullmatch(rb"[\x09\x0a\x0d\x20-\x7e\xef\xbb\xbf]+", start) is not None, "text", SAVE_AS),
)
"""Whether the first bytes are of a format, its name, and the advice."""


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
    return f"Save it as float32, and keep the original: Y = np.load({path.name!r}); np.save({path.name!r}, Y.astype('float32'))."


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
            f"{path} holds NaN or infinite responses in {facts['bad_vertices']:,} vertices and {facts['bad_rows']:,} rows, "
            f"first in row {row}, vertex {vertex} (both counted from 0). {AGAIN} Or leave those vertices out of it and of the masks."
        )
