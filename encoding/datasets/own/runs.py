"""Rows that are samples (TRs) of runs: the run of each, which are kept, the stimulus of each, and what is done with a run's responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._films import Window
from encoding.datasets.own.array_files import split_member
from encoding.datasets.own.columns import read_numbers
from encoding.datasets.own.description import SubjectFiles
from encoding.datasets.own.stimuli import event_rows
from encoding.runtime.wording import counted
from encoding.storage.keys import digest
from encoding.storage.npy import NpyRows, NpyWriter

if TYPE_CHECKING:
    from encoding.datasets.own.response_files import ResponseMatrix

VERSION = 1  # raised when other numbers are made of the same rows
COLUMNS_AT_ONCE = 4_096  # of a run, in float64
LEAST_SAMPLES = 2  # of a run that are kept
MAX_SHOWN = 6  # numbers of rows that a message lists
ALIKE = 0.5  # share of its samples that a run shows as another does, for both to be of one film


@dataclass(frozen=True)
class Runs:
    """The runs of a subject's rows.

    Attributes
    ----------
    of_row : (n_rows,) int64, the run of each row of the files, from 0 in their order.
    names : of each run.
    """

    of_row: np.ndarray
    names: tuple[str, ...]

    @property
    def places(self) -> np.ndarray:
        """(n_rows,) int64, the number of each row within its run, from 0."""
        starts = np.searchsorted(self.of_row, np.arange(len(self.names)))
        return np.arange(len(self.of_row)) - starts[self.of_row]

    def kept(self, drop: tuple[int, int]) -> np.ndarray:
        """(n_rows,) bool, false for so many samples at the beginning and the end of each run.

        Raises
        ------
        BadData where fewer than two samples of a run are left.
        """
        lengths = np.bincount(self.of_row)
        if (short := np.flatnonzero(lengths < sum(drop) + LEAST_SAMPLES)).size:
            run = int(short[0])
            raise BadData(
                f"{self.names[run]} has {lengths[run]:,} samples, of which drop = {list(drop)} leaves fewer than {LEAST_SAMPLES}."
            )
        places = self.places
        return (places >= drop[0]) & (places < lengths[self.of_row] - drop[1])


def divided_by_files(matrices: Mapping[str, ResponseMatrix]) -> ResponseMatrix | None:
    """The responses whose files tell the sessions or runs of the rows: the first of several files; None where every block is one file.

    Raises
    ------
    BadData where the files of two blocks divide the rows in different places.
    """
    several = {block: matrix for block, matrix in matrices.items() if len(matrix.paths) > 1}
    for block, matrix in several.items():
        first = next(iter(several))
        if matrix.rows_of_file != several[first].rows_of_file:
            counts = " but ".join(f"those of {each} {_counted(several[each].rows_of_file)}" for each in (first, block))
            raise BadData(
                f"Sessions and runs are taken from files, {counts} ({several[first].paths[0]}, {matrix.paths[0]}). "
                "Divide the rows of all blocks alike, or name the session or run of each row: sessions, or runs in [time]."
            )
    return next(iter(several.values()), None)


def _counted(rows: Sequence[int]) -> str:
    return f"have {', '.join(map(str, rows[:MAX_SHOWN]))}{' …' if len(rows) > MAX_SHOWN else ''} rows"


def read_runs(files: SubjectFiles, matrices: Mapping[str, ResponseMatrix], n_rows: int) -> Runs:
    """Find the run of each row: as given, else the file of responses that it stands in.

    Raises
    ------
    BadData where rows of a run do not follow one another, or the files of two blocks divide the rows differently.
    """
    source = files.time.runs
    names: list[str] = []
    if isinstance(source, Path):
        labels = read_numbers(source, n_rows, "the responses' rows are").tolist()
        names = [f"run {label}" for label in dict.fromkeys(labels)]
    elif source is not None:
        if not files.images.events:
            raise BadData(f"runs = {source!r} is a column of the events, but there are none. Name a file with the run of each row.")
        labels = [row[source] for _, _, row in event_rows(files.images, source)]
        names = list(dict.fromkeys(labels))
        if len(labels) != n_rows:
            raise BadData(f"The events give the runs of {len(labels):,} rows, but the responses have {n_rows:,}.")
    else:
        matrix = divided_by_files(matrices) or next(iter(matrices.values()))
        labels = np.repeat(np.arange(len(matrix.paths)), matrix.rows_of_file).tolist()
        stems = [member.rpartition("/")[2] or file.name.partition(".")[0] for file, member in map(split_member, matrix.paths)]
        names = stems if len(set(stems)) == len(stems) else [f"run {number}" for number in range(1, len(stems) + 1)]
    number = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    of_row = np.array([number[label] for label in labels], np.int64)
    if len(torn := np.flatnonzero(np.diff(of_row) < 0)):
        row = int(torn[0]) + 1
        raise BadData(f"Row {row} goes back to {names[of_row[row]]}. Rows of a run follow one another in time.")
    return Runs(of_row, tuple(names))


def sample_paths(files: SubjectFiles, runs: Runs) -> list[Path]:
    """Name the stimulus of each sample by a path that no file has: its film and time in samples, or its run and number."""
    if not files.images.films:
        return [Path("samples") / runs.names[run] / f"{place:05d}" for run, place in zip(runs.of_row, runs.places, strict=True)]
    _check_films(files, runs)
    tr, films = files.time.tr, files.images.films
    first = [round(start / tr) for start in files.images.starts or (0.0,) * len(films)]  # once a run: its samples differ by 1
    return [films[run] / f"{first[run] + place:05d}" for run, place in zip(runs.of_row, runs.places, strict=True)]


def windows(files: SubjectFiles, runs: Runs, rows: np.ndarray) -> list[Window]:
    """The window of a film that each of some rows of the files shows."""
    _check_films(files, runs)
    starts = files.images.starts or (0.0,) * len(runs.names)
    tr, places = files.time.tr, runs.places
    made = ((run, starts[run] + tr * int(place)) for run, place in zip(runs.of_row[rows], places[rows], strict=True))
    return [Window(files.images.films[run], round(start, 6), files.images.window or tr) for run, start in made]


def _check_films(files: SubjectFiles, runs: Runs) -> None:
    if len(files.images.films) != len(runs.names):
        raise BadData(
            f"There are {len(files.images.films):,} films and {len(runs.names):,} runs ({', '.join(runs.names[:4])} …). Name the film of "
            "each run, in their order; one that was shown twice stands there twice."
        )


def check_lengths(shown: Sequence[Window], seconds: Mapping[Path, float], runs: Runs, rows: np.ndarray) -> None:
    """Check that films last as long as their runs.

    Parameters
    ----------
    shown : the window of each of the ``rows``. seconds : of each film.

    Raises
    ------
    BadData naming the first run that goes on after the end of its film, and how many samples to leave out.
    """
    for window, row in zip(shown, rows, strict=True):
        if window.start >= seconds[window.film]:
            run = runs.of_row[row]
            late = sum(each.start >= seconds[each.film] for each, other in zip(shown, rows, strict=True) if runs.of_row[other] == run)
            raise BadData(
                f"{window.film} lasts {seconds[window.film]:,.1f} s, and {counted(late, 'sample')} of {runs.names[run]} "
                f"{'was' if late == 1 else 'were'} taken after its end. "
                "Leave them out: drop = [0, n], with n of the run that has the most."
            )


def film_groups(runs: np.ndarray, stimuli: np.ndarray) -> np.ndarray:
    """Group runs that show the same stimuli in half of their samples at least, such as a film that was seen twice.

    Single samples that are alike (a blank screen) do not make a group.

    Parameters
    ----------
    runs, stimuli : (n,) int, the run and the stimulus of each sample.

    Returns
    -------
    (n,) int64, the first run of each sample's group.
    """
    shown = {int(run): np.unique(stimuli[runs == run]) for run in np.unique(runs)}
    group = {run: run for run in shown}
    for run, own in shown.items():
        for other in (earlier for earlier in shown if earlier < run):
            common = len(np.intersect1d(own, shown[other], assume_unique=True))
            if common >= ALIKE * min(len(own), len(shown[other])):
                first, last = sorted((group[run], group[other]))
                group = {each: first if of == last else of for each, of in group.items()}
    return np.array([group[int(run)] for run in runs], np.int64)


@dataclass(frozen=True)
class RunWork:
    """What is done with the responses of each run, one after the other: trends are taken out, ends left out, columns z-scored.

    Attributes
    ----------
    of_row, kept : (n_rows,), the run of each row and whether it stays.
    tr, detrend, high_pass, zscore : as in :class:`encoding.datasets.own.description.Timing`.
    """

    of_row: np.ndarray
    kept: np.ndarray
    tr: float
    detrend: int | None = None
    high_pass: float | None = None
    zscore: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything is done."""
        return not self.kept.all() or self.detrend is not None or self.high_pass is not None or self.zscore

    def key(self, fingerprint: str) -> str:
        """Key of the rows that are made of those of a fingerprint."""
        done = {"detrend": self.detrend, "high_pass": self.high_pass, "zscore": self.zscore}
        done |= {"tr": self.tr} if self.high_pass is not None else {}
        return digest("own-runs", VERSION, rows=fingerprint, runs=self.of_row.tolist(), kept=self.kept.tolist(), **done)

    def write(self, rows: NpyRows, file: NpyWriter) -> None:
        """Write what is made of ``rows`` (n_rows, n_columns), a run in memory at a time."""
        starts = np.flatnonzero(np.diff(self.of_row, prepend=-1))
        for start, stop in zip(starts, [*starts[1:], len(self.of_row)], strict=True):
            run, kept = np.asarray(rows[int(start) : int(stop)], np.float32), self.kept[start:stop]
            made = np.empty((int(kept.sum()), run.shape[1]), np.float32)
            for first in range(0, run.shape[1], COLUMNS_AT_ONCE):
                some = slice(first, first + COLUMNS_AT_ONCE)
                cleaned = without_trends(run[:, some].astype(np.float64), self.tr, degree=self.detrend, high_pass=self.high_pass)[kept]
                made[:, some] = _zscored(cleaned) if self.zscore else cleaned
            file.write(made)


def without_trends(Y: np.ndarray, tr: float, *, degree: int | None = None, high_pass: float | None = None) -> np.ndarray:
    """Take slow trends out of the samples of a run.

    Parameters
    ----------
    Y : (n, t) float64. tr : seconds between samples.
    degree : of the polynomial in time that is fitted by least squares and subtracted, its constant too.
    high_pass : Hz; cosines of lower ones are subtracted, as nilearn's ``signal.clean`` does with ``filter="cosine"``; the mean stays.
    """
    if degree is not None:
        times = np.linspace(-1, 1, len(Y))
        basis = np.linalg.qr(np.polynomial.legendre.legvander(times, min(degree, len(Y) - 1)))[0]
        Y = Y - basis @ (basis.T @ Y)
    if high_pass is not None:
        order = min(len(Y) - 1, int(2 * len(Y) * high_pass * tr))
        basis = np.cos(np.pi / len(Y) * np.outer(np.arange(len(Y)) + 0.5, np.arange(1, order + 1))) * np.sqrt(2 / len(Y))  # orthonormal
        Y = Y - basis @ (basis.T @ Y)
    return Y


def _zscored(Y: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1; 0 where a column is constant."""
    centred = Y - Y.mean(0)
    deviation = centred.std(0)
    flat = deviation <= 1e-7 * np.abs(Y).max(0)
    return np.where(flat, 0, centred / np.where(flat, 1, deviation))
