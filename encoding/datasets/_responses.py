"""Open responses of any real dtype and order as float32: in place, or converted once into the Store block by block."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from encoding.datasets._arrays import BLOCK_ROWS, as_float32_advice, open_npy, open_responses, require_finite, response_facts
from encoding.datasets._base import BadData
from encoding.datasets._other_formats import saved
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.fingerprints import file_facts, file_fingerprint, is_remembered
from encoding.storage.keys import digest
from encoding.storage.npy import NpyRows, NpyWriter
from encoding.storage.store import Store

FACTS = "responses-1"  # what response_facts learns; raise the number when it learns something else
CONVERSION_VERSION = 1
BLOCK_BYTES = 128 * 2**20  # of a file in Fortran order, read at a time: every block reads a piece of every column


def read_responses(path: Path, store: Store, report: Report = silent) -> tuple[NpyRows, str]:
    """Open the responses in a ``.npy`` file, (n_rows, n_vertices) float32, whose rows are read on access, and the sha256 of its bytes.

    float32 in C order is read where it lies. Other real numbers, and Fortran order, are copied to ``store`` as float32 in C order, once
    for each content, without ever holding more than :data:`BLOCK_ROWS` rows, or :data:`BLOCK_BYTES` of Fortran order, in memory.

    Raises
    ------
    BadData where the file is damaged, no (n_rows, n_vertices) of real numbers, or holds a NaN or an infinity. StoreFull.
    """
    require_real(path)
    fingerprint = file_fingerprint(path, store)
    report(0.3, f"Reading {path.name}")
    usable = as_float32(path, fingerprint, store, subprogress(report, 0.3, 0.7))
    require_finite(path, file_facts([usable], store, name=FACTS, learn=response_facts, report=subprogress(report, 0.7, 1))[0])
    return open_responses(usable), fingerprint


def read_blocks(paths: Mapping[str, Path], store: Store, report: Report = silent) -> tuple[dict[str, NpyRows], dict[str, str]]:
    """Apply :func:`read_responses` to the file of each block: the responses by block, and the fingerprints by block."""
    read = {
        block: read_responses(path, store, subprogress(report, i / len(paths), (i + 1) / len(paths)))
        for i, (block, path) in enumerate(paths.items())
    }
    return {block: responses for block, (responses, _) in read.items()}, {block: name for block, (_, name) in read.items()}


def require_real(path: Path) -> np.ndarray:
    """Memory-map a file of responses.

    Raises
    ------
    BadData unless it holds (n_rows, n_vertices) real numbers.
    """
    responses = open_npy(path)
    if responses.ndim != 2:
        fix = f"Save a matrix with one row a stimulus: {saved(path, 'Y.reshape(len(Y), -1)', 'matrix')}; average repeats first."
        raise BadData(f"{path} has shape {responses.shape} where (n_rows, n_vertices) is needed. {fix}")
    if responses.dtype.kind not in "iuf":
        raise BadData(f"{path} holds {responses.dtype} where real numbers are needed. {as_float32_advice(path, responses.dtype)}")
    if 0 in responses.shape:
        raise BadData(f"{path} has shape {responses.shape}: it holds no responses. Save it again.")
    return responses


def as_float32(path: Path, fingerprint: str, store: Store, report: Report = silent) -> Path:
    """Return the path of the responses as float32 in C order: the file itself, or a copy in the Store, created where missing."""
    if _is_usable(require_real(path)):
        return path
    key = _key(fingerprint)
    with store.lock(key):
        if store.get(key) is None:
            _convert(path, key, store, report)
    return store.path(key) / "Y.npy"


def responses_are_known(path: Path, store: Store) -> bool:
    """Whether :func:`read_responses` would return without reading the file."""
    if not is_remembered([path], store):
        return False
    if _is_usable(require_real(path)):
        return is_remembered([path], store, name=FACTS)
    key = _key(file_fingerprint(path, store))
    return key in store and is_remembered([store.path(key) / "Y.npy"], store, name=FACTS)


def _is_usable(responses: np.ndarray) -> bool:
    return responses.dtype == np.float32 and bool(responses.flags.c_contiguous)


def _key(fingerprint: str) -> str:
    return digest("float32", CONVERSION_VERSION, sha256=fingerprint)


def _convert(path: Path, key: str, store: Store, report: Report) -> None:
    rows = NpyRows(path)
    n_rows, at_once = len(rows), BLOCK_ROWS
    if rows.columns_first:
        at_once = max(BLOCK_ROWS, BLOCK_BYTES // (rows.shape[1] * rows.dtype.itemsize))
    with store.writing(key, {"file": path.name, "dtype": str(rows.dtype)}) as folder, NpyWriter(folder / "Y.npy", rows.shape) as file:
        for start in range(0, n_rows, at_once):
            report(start / n_rows, f"Converting {path.name} to float32: row {start:,} of {n_rows:,}")
            block = rows[start : start + at_once]
            with np.errstate(over="ignore"):  # an infinity is found, and named, afterwards
                file.write(block)
