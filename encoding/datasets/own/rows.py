"""Rows of a subject's responses: the stimulus that each answers, its session and its group."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._images import not_listed
from encoding.datasets.own.columns import read_numbers
from encoding.datasets.own.description import SubjectFiles
from encoding.datasets.own.response_files import ResponseMatrix, RowWork
from encoding.datasets.own.runs import Runs, RunWork, divided_by_files, film_groups, read_runs, sample_paths
from encoding.datasets.own.stimuli import event_rows
from encoding.runtime.progress import Report, silent
from encoding.runtime.wording import counted
from encoding.storage.fingerprints import first_equal, first_equal_files
from encoding.storage.store import Store

FROM_ONE = "repeats counts images from 0; where it counts from 1, save repeats - 1."


@dataclass(frozen=True)
class Rows:
    """What is known of the rows of a subject's responses.

    Attributes
    ----------
    paths : the stimulus file of each row that is kept. groups : (n_rows,) int64, of rows that must not be split.
    measured : (n_measured,) int64, the row of the first measurement of its stimulus, for each row of the files.
    work : what makes the rows that are kept of those in the files.
    listed : the stimulus files, as given, of all rows or of those without repeats.
    runs : the runs of the rows in the files where these are samples; else None.
    """

    paths: list[Path]
    groups: np.ndarray
    measured: np.ndarray
    work: RowWork
    listed: list[Path]
    runs: Runs | None = None

    @property
    def samples(self) -> dict[str, Any]:
        """Where rows are samples of runs, the rows of the files that are ``kept`` and ``n_samples``, how many there are; else empty."""
        work = self.work.runs
        return {} if work is None else {"kept": np.flatnonzero(work.kept), "n_samples": len(work.kept)}


def read_rows(
    files: SubjectFiles, paths: list[Path], matrices: Mapping[str, ResponseMatrix], store: Store | None = None, report: Report = silent
) -> Rows:
    """Find the stimulus of each row, its session and group. Rows of one stimulus are always of one group.

    Where rows of one stimulus are averaged or give the noise ceiling, or are samples of runs, files with the same bytes are one stimulus.

    Parameters
    ----------
    paths : the stimulus files, as :func:`read_image_paths` gives them.
    matrices : per block, its responses.
    store : remembers the fingerprints of files; None reads none, so that copies of a file count as different stimuli.

    Raises
    ------
    BadData where counts disagree, a row has no image, or ``groups`` parts the rows of an image.
    """
    shapes = {block: matrix.shape for block, matrix in matrices.items()}
    n_rows = _same_rows(files, shapes)
    listed, runs = paths, None if files.time is None else read_runs(files, matrices, n_rows)
    if files.images.of_runs:
        paths = listed = sample_paths(files, runs)
        if files.repeats is not None:
            raise BadData(f"{files.repeats}: repeats gives the image of each row, and rows are samples of runs. Take repeats out.")
    elif files.repeats is not None:
        if files.images.events:
            raise BadData(f"{files.repeats}: repeats gives the image of each row, which the events give already. Take repeats out.")
        ids = read_numbers(files.repeats, n_rows, "the responses' rows are")
        if not 0 <= ids.min() <= ids.max() < len(paths):
            from_one = " It counts from 1: save repeats - 1." if (ids.min(), ids.max()) == (1, len(paths)) else ""
            raise BadData(
                f"{files.repeats} holds {ids.min()} to {ids.max()}. It gives the image of each row, counted from 0: "
                f"of {len(paths):,} images the last is {len(paths) - 1}.{from_one}"
            )
        if ids.min() == 1:
            warnings.warn(f"{files.repeats} never names image 0. {FROM_ONE}", stacklevel=2)
        paths = [paths[i] for i in ids]
    elif len(paths) != n_rows:
        raise BadData(_miscounted(files, len(paths), shapes))
    same_image = same_bytes = first_equal(paths)
    if store is not None and (files.average or files.ceiling_from or runs is not None) and files.images.names is None:
        same_bytes = _same_bytes(files, paths, store, report)
    if runs is not None:
        return _samples(files, paths, listed, same_bytes, runs, matrices)
    groups = same_image
    if files.groups is not None:
        groups = read_numbers(files.groups, n_rows, "the responses' rows are")
        check_groups(files, groups, paths, same_image)
        check_groups(files, groups, paths, same_bytes)
    sessions = _sessions(files, matrices, n_rows) if files.zscore else None
    if not files.average:
        return Rows(paths, groups, same_bytes, RowWork(sessions), listed)
    kept = np.unique(same_bytes)
    groups = np.unique(groups[kept], return_inverse=True)[1]
    return Rows([paths[row] for row in kept], groups, same_bytes, RowWork(sessions, same_bytes), listed)


def _same_bytes(files: SubjectFiles, paths: list[Path], store: Store, report: Report) -> np.ndarray:
    """For each row the first whose stimulus has the same bytes, (n_rows,) int64; samples of films are at the same time, too."""
    if not files.images.of_runs:
        return first_equal_files(paths, store, report)
    films = list(dict.fromkeys(files.images.films))
    content = dict(zip(films, first_equal_files(films, store, report).tolist(), strict=True)) if films else {}
    return first_equal([(content.get(path.parent, path.parent), path.name) for path in paths])


def check_groups(files: SubjectFiles, groups: np.ndarray, paths: Sequence[Path], equal: np.ndarray) -> None:
    """Check that the file of ``groups`` keeps an image and its copies under other names in one group.

    Parameters
    ----------
    groups, paths : (n_rows,) of the rows. equal : (n_rows,) int64, for each row the first that is of the same stimulus.

    Raises
    ------
    BadData naming the first two rows that are parted.
    """
    if len(torn := np.flatnonzero(groups != groups[equal])):
        first, row = int(equal[torn[0]]), int(torn[0])
        why = f"both answer {paths[row].name}" if paths[first] == paths[row] else _copy_of(paths[first], paths[row])
        raise BadData(
            f"{files.groups} puts rows {first} and {row} into different groups, but {why}. "
            "Give all rows of an image one number, or a split could test on an image it was trained on."
        )


def _copy_of(image: Path, copy: Path) -> str:
    """Say which file is a copy of which, with their folders where these differ."""
    one, other = (path.name if copy.parent == image.parent else f"{path.parent.name}/{path.name}" for path in (copy, image))
    return f"{one} is a copy of {other}"


def _samples(
    files: SubjectFiles, paths: list[Path], listed: list[Path], same_image: np.ndarray, runs: Runs, matrices: Mapping[str, ResponseMatrix]
) -> Rows:
    """Rows that are samples of runs: those between the ends of each are kept. Runs of one film are a group, unless ``groups`` says more.

    Raises
    ------
    BadData where ``groups`` parts a run, or nothing is left of one.
    """
    time, kept = files.time, runs.kept(files.time.drop)
    groups = film_groups(runs.of_row, same_image)
    if files.groups is not None:
        groups = read_numbers(files.groups, len(paths), "the responses' rows are")
        for run, name in enumerate(runs.names):
            if len(np.unique(groups[runs.of_row == run])) > 1:
                raise BadData(f"{files.groups} parts the samples of {name}. Give all samples of a run one number.")
    rows = np.flatnonzero(kept)
    measured = first_equal(same_image[rows].tolist())
    sessions = _sessions(files, matrices, len(paths)) if files.zscore else None
    work = RunWork(runs.of_row, kept, time.tr, detrend=time.detrend, high_pass=time.high_pass, zscore=time.zscore)
    return Rows([paths[row] for row in rows], groups[rows], measured, RowWork(sessions, runs=work), listed, runs)


def _sessions(files: SubjectFiles, matrices: Mapping[str, ResponseMatrix], n_rows: int) -> np.ndarray:
    """Session of each row, (n_rows,) int64 from 0: as given, else that of the file of responses, or of events, that the row stands in."""
    if isinstance(files.sessions, Path):
        labels: Any = read_numbers(files.sessions, n_rows, "the responses' rows are")
    elif files.sessions is not None:
        if not files.images.events:
            raise BadData(
                f"sessions = {files.sessions!r} is a column of the events, but there are none. Name a file with the session of each row."
            )
        labels = [(table, row[files.sessions]) for table, _, row in event_rows(files.images, files.sessions)]
    else:
        divided = divided_by_files(matrices)
        events = [] if divided else [table for table, _, _ in event_rows(files.images)]
        labels = np.repeat(np.arange(len(divided.paths)), divided.rows_of_file) if divided else events
        if divided is None and len(files.images.events) < 2:
            raise BadData(
                'zscore = "session" needs the session of each row: sessions = "sessions.npy", the name of a column of the events, or '
                "several files of responses or of events, one for each session."
            )
    numbers: dict[Any, int] = {}
    labels = labels.tolist() if isinstance(labels, np.ndarray) else labels
    sessions = np.array([numbers.setdefault(label, len(numbers)) for label in labels])
    n_of_row = np.bincount(sessions)[sessions]
    if len(alone := np.flatnonzero(n_of_row == 1)):
        source = files.sessions if isinstance(files.sessions, Path) else next(iter(files.responses.values()))[0]
        raise BadData(
            f'{source}: row {alone[0]} (counted from 0) is alone in its session, so zscore = "session" would make all of its values 0. '
            "Name the session of each row so that none has a single one, or take zscore out."
        )
    return sessions


def _same_rows(files: SubjectFiles, shapes: Mapping[str, tuple[int, ...]]) -> int:
    block, (n_rows, _) = next(iter(shapes.items()))
    for other, shape in shapes.items():
        if shape[0] != n_rows:
            raise BadData(
                f"{files.responses[block][0]} has {counted(n_rows, 'row')} but {files.responses[other][0]} has {shape[0]:,}. "
                "Every block answers the same stimuli, one a row."
            )
    return n_rows


def _miscounted(files: SubjectFiles, n_images: int, shapes: Mapping[str, tuple[int, ...]]) -> str:
    block, (n_rows, n_vertices) = next(iter(shapes.items()))
    path = files.responses[block][0]
    place = files.images.files or files.images.names or (files.images.events[0] if files.images.events else files.images.folder)
    path = f"{path} and {len(files.responses[block]) - 1} more" if len(files.responses[block]) > 1 else path
    found = f"{place} holds {counted(n_images, 'name' if files.images.names else 'image')} but {path} has {counted(n_rows, 'row')}."
    if n_vertices == n_images:
        return f"{found} It has {n_vertices:,} columns, so it looks transposed: save Y.T, or write transposed = true below the subject."
    if files.images.events:
        return (
            f"{found} Each row of the events that names a stimulus is a row of the responses; n/a in {files.images.column} leaves one out."
        )
    if files.images.folder and files.images.files is None and (hint := not_listed(files.images.folder)):
        return f"{found} {hint}"
    return f'{found} Each row answers one image; where images were repeated, say which row answers which: repeats = "repeats.npy".'
