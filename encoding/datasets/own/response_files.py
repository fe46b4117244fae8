"""Responses in files of any format as one matrix of rows: masked, z-scored within sessions and averaged over repeats where that is asked.

A single .npy matrix is read where it lies (:mod:`encoding.datasets._responses`). Everything else is written once to the Store as float32,
block by block, under a key of the bytes of every file that takes part and of what is done with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from math import prod
from pathlib import Path

import numpy as np

from encoding.datasets._arrays import BLOCK_ROWS, as_float32_advice, open_responses, require_finite, response_facts
from encoding.datasets._base import BadData
from encoding.datasets._responses import BLOCK_BYTES, FACTS, read_responses, require_real, responses_are_known
from encoding.datasets.own.array_files import find_reader, is_volume, open_array, split_member
from encoding.datasets.own.arrays import ArrayFile
from encoding.datasets.own.grids import require_same_grid
from encoding.datasets.own.masks import mask_volume
from encoding.datasets.own.runs import RunWork
from encoding.evaluation.noise_ceiling import ncsnr_of_correlations, ncsnr_of_repeats
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.fingerprints import file_facts, file_fingerprint, is_remembered
from encoding.storage.keys import digest
from encoding.storage.npy import NpyRows, NpyWriter
from encoding.storage.store import Store

VERSION = 1  # raised when other numbers are made of the same files
CEILING_VERSION = 2


@dataclass(frozen=True)
class RowWork:
    """What is done with the rows of a subject's responses.

    Attributes
    ----------
    sessions : (n_rows,) int, the session of each row, within which every column is z-scored; None leaves the numbers as they are.
    stimuli : (n_rows,) int, equal for the rows of one stimulus, which become their mean in order of first appearance; None keeps rows.
    runs : what is done with the rows of each run; None where rows are no samples of runs.
    """

    sessions: np.ndarray | None = None
    stimuli: np.ndarray | None = None
    runs: RunWork | None = None


class ResponseMatrix:
    """The responses of one block as (n_rows, n_columns), from one file or several whose rows follow one another.

    Volumes (x, y, z, n_rows) give the voxels of a mask in C order; a volume of one axis (GLMsingle's, FreeSurfer's) needs none.

    Parameters
    ----------
    transposed : whether matrices in the files are (n_columns, n_rows).
    mask : file of the volume of zeros and ones; None where there is none.

    Attributes
    ----------
    rows_of_file : number of rows of each file.
    is_plain : whether this is one .npy matrix, which may be read where it lies.

    Raises
    ------
    BadData where a file has another shape or, of volumes, another affine than the mask or the first file, or no real numbers.
    """

    def __init__(self, paths: Sequence[Path], *, transposed: bool = False, mask: Path | None = None) -> None:
        self.paths, self.transposed, self.mask = tuple(paths), transposed, mask
        found = []
        for path in self.paths:
            array = open_array(path)  # and let go: some formats are in memory as a whole then
            found.append(self._shape_of(array))
            if found[-1][1] != found[0][1]:
                raise BadData(
                    f"{path} has {found[-1][0]:,} rows of {found[-1][1]:,} columns, but {self.paths[0]} has {found[0][1]:,} columns. "
                    "Files of one block hold the same vertices or voxels, in the same order."
                )
            if self._voxels is not None and array.ndim > 2:
                require_same_grid(split_member(path)[0], split_member(self.paths[0])[0])
            if 0 in found[-1]:
                raise BadData(f"{path} has shape {array.shape}: it holds no responses. Save it again.")
        self.rows_of_file = tuple(n_rows for n_rows, _ in found)
        self.shape = (sum(self.rows_of_file), found[0][1])
        self.is_plain = len(self.paths) == 1 and _is_plain(path) and array.ndim == 2 and not self._is_last(array)

    @cached_property
    def _voxels(self) -> np.ndarray | None:
        return None if self.mask is None else np.flatnonzero(mask_volume(self.mask)[1])

    def _shape_of(self, array: ArrayFile) -> tuple[int, int]:
        if array.dtype.kind not in "iuf":
            advice = as_float32_advice(split_member(array.path)[0], array.dtype)
            raise BadData(f"{array.path} holds {array.dtype} where real numbers are needed. {advice}")
        if _is_plain(array.path) and array.ndim not in (2, 4):
            require_real(array.path)  # which says how to save a matrix
        if array.ndim == 2:
            return array.shape[::-1] if self._is_last(array) else array.shape
        if array.ndim not in (3, 4) or (array.ndim == 3 and not is_volume(array.path)):
            raise BadData(f"{array.path} has shape {array.shape} where (n_rows, n_columns) or volumes (x, y, z, n_rows) are needed.")
        n_rows, space = (array.shape[3] if array.ndim == 4 else 1), array.shape[:3]
        if self._voxels is None:
            if sum(n > 1 for n in space) > 1:
                raise BadData(
                    f"{array.path} holds volumes {'x'.join(map(str, space))}, so say which voxels are columns: below the subject write "
                    'vertices = { mask = "mask.nii.gz" }, and space = "native" in it where they are not in MNI space.'
                )
            return n_rows, prod(space)
        if (there := mask_volume(self.mask)[1].shape) != space:
            raise BadData(f"{array.path} holds volumes {space}, but {self.mask} is {there}. Save the mask on the grid of the responses.")
        require_same_grid(split_member(array.path)[0], self.mask)
        return n_rows, len(self._voxels)

    def _is_last(self, array: ArrayFile) -> bool:
        return array.ndim > 2 or array.rows_last or self.transposed

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, in blocks (b, n_columns) of bounded size."""
        for path, n_rows in zip(self.paths, self.rows_of_file, strict=True):
            array = open_array(path)
            if array.ndim == 3:
                yield self._columns(array[(...,)].reshape(1, -1))
                continue
            last = self._is_last(array)
            n_bytes = array.dtype.itemsize * max(1, prod(array.shape) // max(1, n_rows))
            at_once = max(1, BLOCK_BYTES // n_bytes) if last else min(BLOCK_ROWS, max(1, BLOCK_BYTES // n_bytes))
            for start in range(0, n_rows, at_once):
                block = array.rows(start, min(start + at_once, n_rows), last=last)
                yield block if array.ndim == 2 else self._columns(block.reshape(len(block), -1))

    def _columns(self, rows: np.ndarray) -> np.ndarray:
        return rows if self._voxels is None else rows[:, self._voxels]

    @property
    def files(self) -> list[Path]:
        """Every file of which a change is a change of the responses."""
        return [*(split_member(path)[0] for path in self.paths), *([] if self.mask is None else [self.mask])]

    def key(self, store: Store, sessions: np.ndarray | None) -> str:
        """Key of the float32 matrix that is made of the files, z-scored within ``sessions`` where these are given."""
        made = {"files": [[file_fingerprint(split_member(path)[0], store), split_member(path)[1]] for path in self.paths]}
        return digest(
            "own-responses",
            VERSION,
            **made,
            transposed=self.transposed,
            mask="" if self.mask is None else file_fingerprint(self.mask, store),
            sessions="" if sessions is None else _partition(sessions),
        )


def open_matrix(paths: Sequence[Path], *, transposed: bool, mask: Path | None) -> ResponseMatrix:
    """A :class:`ResponseMatrix`, looked into once until one of its files changes: some formats can only be read as a whole."""
    states = []
    for path in (*(split_member(path)[0] for path in paths), *([] if mask is None else [mask])):
        if not path.is_file():
            return ResponseMatrix(paths, transposed=transposed, mask=mask)  # which says so
        about = path.stat()
        states += [about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino]
    return _opened(tuple(paths), transposed, mask, *states)


@lru_cache(maxsize=64)
def _opened(paths: tuple[Path, ...], transposed: bool, mask: Path | None, *states: int) -> ResponseMatrix:
    return ResponseMatrix(paths, transposed=transposed, mask=mask)


def read_single_rows(matrix: ResponseMatrix, work: RowWork, store: Store, report: Report = silent) -> tuple[NpyRows, str]:
    """Rows as they were measured, z-scored within sessions where that is asked: (n_rows, n_columns) float32, and their fingerprint.

    Raises
    ------
    BadData where a file is damaged, or a response NaN or infinite. StoreFull.
    """
    if matrix.is_plain and work.sessions is None:
        return read_responses(matrix.paths[0], store, report)
    key = matrix.key(store, work.sessions)
    with store.lock(key):
        if store.get(key) is None:
            centre, scale = (None, None) if work.sessions is None else _moments_of_sessions(matrix, work.sessions)
            made_from = {"files": [str(path) for path in matrix.paths]}
            with store.writing(key, made_from) as folder, NpyWriter(folder / "Y.npy", matrix.shape) as file:
                start = 0
                for block in matrix.blocks():
                    report(0.8 * start / matrix.shape[0], f"Reading {matrix.paths[0].name}: row {start:,} of {matrix.shape[0]:,}")
                    if work.sessions is not None:
                        of = work.sessions[start : start + len(block)]
                        block = (block - centre[of]) / scale[of]
                    with np.errstate(over="ignore"):  # an infinity is found, and named, afterwards
                        file.write(block)
                    start += len(block)
    path = store.path(key) / "Y.npy"
    require_finite(matrix.paths[0], file_facts([path], store, name=FACTS, learn=response_facts, report=subprogress(report, 0.8, 1))[0])
    return open_responses(path), key


def read_rows_of(matrix: ResponseMatrix, work: RowWork, store: Store, report: Report = silent) -> tuple[NpyRows, str]:
    """The responses of a block with everything done that ``work`` asks, (n, n_columns) float32, and their fingerprint."""
    rows, fingerprint = read_single_rows(matrix, work, store, subprogress(report, 0, 0.7))
    if work.runs is not None and work.runs.changes:
        return _read_runs(rows, fingerprint, work.runs, store, subprogress(report, 0.7, 1))
    if work.stimuli is None:
        return rows, fingerprint
    key = _mean_key(fingerprint, work.stimuli)
    with store.lock(key):
        if store.get(key) is None:
            order = np.argsort(work.stimuli, kind="stable")
            members = np.split(order, np.flatnonzero(np.diff(work.stimuli[order])) + 1)
            members.sort(key=lambda rows: rows[0])
            made_from = {"mean of": fingerprint}
            with store.writing(key, made_from) as folder, NpyWriter(folder / "Y.npy", (len(members), rows.shape[1])) as file:
                for number, of in enumerate(members):
                    report(0.7 + 0.3 * number / len(members), "Averaging the rows of each stimulus")
                    file.write(np.mean([rows[row] for row in of], axis=0, dtype=np.float64)[None])
    return open_responses(store.path(key) / "Y.npy"), key


def _read_runs(rows: NpyRows, fingerprint: str, work: RunWork, store: Store, report: Report) -> tuple[NpyRows, str]:
    """What is made of the rows of each run, and its fingerprint; computed once."""
    key = work.key(fingerprint)
    with store.lock(key):
        if store.get(key) is None:
            report(0, "Taking trends out of each run")
            shape = (int(work.kept.sum()), rows.shape[1])
            with store.writing(key, {"runs of": fingerprint}) as folder, NpyWriter(folder / "Y.npy", shape) as file:
                work.write(rows, file)
    return open_responses(store.path(key) / "Y.npy"), key


def rows_are_known(matrix: ResponseMatrix, work: RowWork, store: Store) -> bool:
    """Whether :func:`read_rows_of` would return without reading the files."""
    if matrix.is_plain and work.sessions is None:
        if not responses_are_known(matrix.paths[0], store):
            return False
        fingerprint = file_fingerprint(matrix.paths[0], store) if work.stimuli is not None or work.runs is not None else ""
    else:
        if not is_remembered(matrix.files, store):
            return False
        fingerprint = matrix.key(store, work.sessions)
        if fingerprint not in store:
            return False
    if work.runs is not None and work.runs.changes:
        return work.runs.key(fingerprint) in store
    return work.stimuli is None or _mean_key(fingerprint, work.stimuli) in store


def ncsnr_from_rows(
    rows: NpyRows,
    fingerprint: str,
    stimuli: np.ndarray,
    method: str,
    store: Store,
    report: Report = silent,
    *,
    sessions: np.ndarray | None = None,
) -> np.ndarray:
    """Signal over noise of single rows, (n_columns,) float64, from rows of the same stimulus; computed once.

    Parameters
    ----------
    rows : (n_rows, n_columns), as :func:`read_single_rows` gives them with their ``fingerprint``.
    stimuli : (n_rows,) int, equal for the rows of one stimulus.
    method : ``ncsnr`` for NSD's estimate from variances, ``split-half`` for the correlation of repeats.
    sessions : (n_rows,) int, within which rows were z-scored; None where they were not.

    Raises
    ------
    ValueError where fewer than two stimuli have repeats.
    """

    def make() -> dict[str, np.ndarray]:
        estimate = partial(ncsnr_of_repeats, sessions=sessions) if method == "ncsnr" else ncsnr_of_correlations
        parts = []
        at_once = max(1, BLOCK_BYTES // (4 * len(rows)))
        for start in range(0, rows.shape[1], at_once):
            report(start / rows.shape[1], "Estimating noise ceilings from repeats")
            block = np.concatenate([rows[i : i + BLOCK_ROWS][:, start : start + at_once] for i in range(0, len(rows), BLOCK_ROWS)])
            parts.append(estimate(block, stimuli))
        return {"ncsnr": np.concatenate(parts)}

    within = "" if sessions is None else _partition(sessions)
    key = digest("own-ceiling", CEILING_VERSION, rows=fingerprint, stimuli=_partition(stimuli), sessions=within, method=method)
    return store.memo(key, make, {"method": method})["ncsnr"]


def _moments_of_sessions(matrix: ResponseMatrix, sessions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n_sessions, n_columns) of every column within each session; 1 where a column never varies."""
    n_sessions = int(sessions.max()) + 1
    count = np.bincount(sessions, minlength=n_sessions)[:, None]
    total, squares = np.zeros((2, n_sessions, matrix.shape[1]))
    start, offset = 0, np.float64(0)
    for block in matrix.blocks():
        offset = block[0].astype(np.float64) if start == 0 else offset  # keeps the sums of squares small
        block = block.astype(np.float64) - offset
        for session in np.unique(of := sessions[start : start + len(block)]):
            total[session] += block[of == session].sum(0)
            squares[session] += (block[of == session] ** 2).sum(0)
        start += len(of)
    mean = total / count
    sd = np.sqrt(np.maximum(squares / count - mean**2, 0))
    flat = sd <= 1e-7 * np.maximum(np.abs(mean), np.abs(mean + offset))
    return mean + offset, np.where(flat, 1, sd)


def _mean_key(fingerprint: str, stimuli: np.ndarray) -> str:
    return digest("own-means", VERSION, rows=fingerprint, stimuli=_partition(stimuli))


def _partition(labels: np.ndarray) -> str:
    """Digest of whole numbers, one for each row."""
    return digest("rows", 1, labels=np.asarray(labels).tolist())


def _is_plain(path: Path) -> bool:
    return path.suffix.lower() == ".npy" or find_reader(split_member(path)[0]) is None
