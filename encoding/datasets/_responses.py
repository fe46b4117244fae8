"""Open responses of any real dtype as float32: memory-mapped in place, or converted once into the Store block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets._arrays import BLOCK_ROWS, as_float32_advice, open_npy, open_responses, require_finite, response_facts
from encoding.datasets._base import BadData
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.fingerprints import file_facts, file_fingerprint, is_remembered
from encoding.storage.keys import digest
from encoding.storage.npy import NpyWriter
from encoding.storage.store import Store

FACTS = "responses-1"  # what response_facts learns; raise the number when it learns something else
CONVERSION_VERSION = 1


def read_responses(path: Path, store: Store, report: Report = silent) -> tuple[np.ndarray, str]:
    """Open the responses in a ``.npy`` file, (n_rows, n_vertices) float32, memory-mapped and read-only, and the sha256 of its bytes.

    float32 in C order is mapped where it lies. Other real numbers are copied to ``store`` as float32, once for each content,
    without ever holding more than :data:`BLOCK_ROWS` rows in memory.

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


def require_real(path: Path) -> np.ndarray:
    """Memory-map a file of responses.

    Raises
    ------
    BadData unless it holds (n_rows, n_vertices) real numbers.
    """
    responses = open_npy(path)
    if responses.ndim != 2:
        fix = f"Save a matrix with one row a stimulus: np.save({path.name!r}, Y.reshape(len(Y), -1)); average repeats first."
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
    shape = open_npy(path).shape
    made_from = {"file": path.name, "dtype": str(open_npy(path).dtype)}
    with store.writing(key, made_from) as folder, NpyWriter(folder / "Y.npy", shape) as file:
        for start in range(0, shape[0], BLOCK_ROWS):
            report(start / shape[0], f"Converting {path.name} to float32: row {start:,} of {shape[0]:,}")
            block = open_npy(path)[start : start + BLOCK_ROWS]  # mapped anew, so that old pages can go
            with np.errstate(over="ignore"):  # an infinity is found, and named, afterwards
                file.write(block)
