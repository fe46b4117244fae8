"""What was measured, before any model: by stimulus, by vertex, by label, and spread over all.

Responses may be ten thousand rows by twenty thousand columns on disk. A stimulus is a row, read alone; a vertex is a column, one
number out of every row; all of them together are looked at in a sample of rows. Nothing here holds more than that in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.datasets import Subject
from encoding.evaluation.scores import pearson
from encoding.runtime.registry import unknown

if TYPE_CHECKING:
    import pandas as pd

N_SAMPLED = 256  # rows that stand for all; of 40,000 vertices they are 40 MB
N_BINS = 60
TAIL = 0.1  # percent of responses beyond either end of their histogram
MOST_LABELS = 60  # different values of a label by which stimuli are filtered; more are no kinds of things


@dataclass(frozen=True)
class Overview:
    """How responses are spread, from a sample of stimuli.

    Attributes
    ----------
    n_rows : how many stimuli were looked at, evenly spaced among all of them.
    mean, sd : per block (n_vertices,) float32, each vertex's mean and standard deviation over them.
    edges : (n_bins + 1,) of the histogram, in the unit of the responses, the same for all blocks. The outermost 0.1 % at either
        end lie outside. counts : per block (n_bins,) responses.
    """

    n_rows: int
    mean: Mapping[str, np.ndarray]
    sd: Mapping[str, np.ndarray]
    edges: np.ndarray
    counts: Mapping[str, np.ndarray]

    @property
    def ends(self) -> tuple[float, float]:
        """The range that holds nearly all responses: what a map's colours run over, equal for every stimulus.

        Around 0, and equally far to both sides, where responses are of both signs.
        """
        low, high = float(self.edges[0]), float(self.edges[-1])
        return (-max(-low, high), max(-low, high)) if low < 0 < high else (low, high)

    def standardised(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Per block (n_vertices,) responses -> how many of its own standard deviations each lies from its vertex's mean; NaN where
        a vertex never varies."""
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = {block: (found - self.mean[block]) / self.sd[block] for block, found in values.items()}
        return {block: np.where(self.sd[block] > 0, found, np.nan).astype(np.float32) for block, found in scaled.items()}


def overview(subject: Subject, *, most: int = N_SAMPLED) -> Overview:
    """The spread of a subject's responses, from ``most`` stimuli at most."""
    rows = np.unique(np.linspace(0, subject.n_stimuli - 1, min(most, subject.n_stimuli)).round().astype(int))
    blocks = {block: np.array(values[rows], np.float32) for block, values in subject.responses.items()}
    every = np.concatenate([values.ravel()[:: max(1, values.size // 500_000)] for values in blocks.values()])
    low, high = np.percentile(every, [TAIL, 100 - TAIL])
    edges = np.linspace(low, high if high > low else low + 1, N_BINS + 1)
    return Overview(
        len(rows),
        {block: values.mean(0) for block, values in blocks.items()},
        {block: values.std(0) for block, values in blocks.items()},
        edges,
        {block: np.histogram(values, edges)[0] for block, values in blocks.items()},
    )


def repeats(subject: Subject, row: int) -> np.ndarray:
    """The rows that show what ``row`` shows, itself among them."""
    return np.flatnonzero(subject.groups == subject.groups[row])


def repeat_counts(subject: Subject) -> dict[int, int]:
    """How often shown -> how many different stimuli were shown so often. Repeats that were averaged on disk count as one."""
    _, times = np.unique(subject.groups, return_counts=True)
    return {int(n): int((times == n).sum()) for n in np.unique(times)}


def response_map(subject: Subject, row: int) -> dict[str, np.ndarray]:
    """Per block (n_vertices,) float32: the measured response to one stimulus, the mean over its :func:`repeats`.

    Raises
    ------
    ValueError where there is no such row.
    """
    if not 0 <= row < subject.n_stimuli:
        raise ValueError(f"{subject.dataset} {subject.name} has the stimuli 1 to {subject.n_stimuli:,}, so no {row + 1:,}.")
    rows = repeats(subject, row)
    return {block: np.asarray(values[rows], np.float32).mean(0) for block, values in subject.responses.items()}


def roi_sizes(subject: Subject) -> pd.DataFrame:
    """One row for each ROI and block: roi, hemi, n_vertices. Empty ROIs are there too."""
    import pandas as pd

    names = dict.fromkeys(name for block in subject.hemis for name in subject.rois[block])
    rows = [(name, block, len(subject.rois[block].get(name, ()))) for name in names for block in subject.hemis]
    return pd.DataFrame(rows, columns=["roi", "hemi", "n_vertices"])


def roi_profile(subject: Subject, values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """:func:`roi_sizes` with the mean over an ROI's vertices, and low and high, between which the middle half of them lies.

    ``values`` are per block (n_vertices,), such as a :func:`response_map`. NaN for an empty ROI.
    """
    table = roi_sizes(subject)
    quartiles = []
    for roi, block, _ in table.itertuples(index=False):
        found = values[block][subject.rois[block].get(roi, [])]
        found = found[np.isfinite(found)]
        quartiles.append((found.mean(dtype=float), *np.percentile(found, [25, 75])) if len(found) else (np.nan,) * 3)
    table[["mean", "low", "high"]] = quartiles
    return table


@dataclass(frozen=True)
class Tuning:
    """The responses of one vertex.

    Attributes
    ----------
    block, column : which vertex.
    values : (n_stimuli,) float32, its response in every row, as measured.
    rows : (n_different,) int, the first row of each different stimulus, ascending.
    means : (n_different,) float64, its response to each of them, the mean over repeats.
    """

    block: str
    column: int
    values: np.ndarray
    rows: np.ndarray
    means: np.ndarray

    def highest(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the ``n`` stimuli that drive it most, and its responses to them; the first of equals first."""
        order = np.argsort(-self.means, kind="stable")[:n]
        return self.rows[order], self.means[order]

    def lowest(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the ``n`` stimuli that drive it least, the lowest first, and its responses to them."""
        order = np.argsort(self.means, kind="stable")[:n]
        return self.rows[order], self.means[order]


def tuning(subject: Subject, block: str, column: int) -> Tuning:
    """What drives a vertex: its response to every stimulus.

    One number is taken from every row; the first look at a large file that is not in memory reads all of it (750 MB took 0.7 s
    from a quick disk, the next vertex 0.03 s).

    Raises
    ------
    ValueError where there is no such vertex.
    """
    check_vertex(subject, block, column)
    values = np.array(subject.responses[block][:, column], np.float32)
    _, first, group = np.unique(subject.groups, return_index=True, return_inverse=True)
    order = np.argsort(first)
    means = np.bincount(group.ravel(), values) / np.bincount(group.ravel())
    return Tuning(block, column, values, first[order], means[order])


def check_vertex(subject: Subject, block: str, column: int) -> None:
    """ValueError, saying which there are, unless the subject has this vertex."""
    if block not in subject.responses:
        raise ValueError(unknown("hemisphere", block, subject.hemis))
    n_vertices = subject.responses[block].shape[1]
    if not 0 <= column < n_vertices:
        raise ValueError(f"{block} has the {subject.unit.many} 0 to {n_vertices - 1}, so no {column}.")


def rois_at(subject: Subject, block: str, column: int) -> tuple[str, ...]:
    """The ROIs that hold a vertex, the smallest first."""
    holding = {roi: len(columns) for roi, columns in subject.rois[block].items() if (columns == column).any()}
    return tuple(sorted(holding, key=holding.get))


def kinds(subject: Subject) -> dict[str, list[str]]:
    """The labels that sort stimuli into kinds, each with its values in alphabetical order; not those that are measures."""
    texts = {name: np.asarray(label) for name, label in subject.labels.items() if np.asarray(label).dtype.kind in "UOSib"}
    values = {name: sorted(map(str, np.unique(label.astype(str)))) for name, label in texts.items()}
    return {name: found for name, found in values.items() if len(found) <= MOST_LABELS}


def measures(subject: Subject) -> tuple[str, ...]:
    """The labels that are numbers of degree, such as how much of a face a picture shows."""
    return tuple(name for name, label in subject.labels.items() if np.asarray(label).dtype.kind == "f")


def label_means(subject: Subject, found: Tuning, label: str) -> pd.DataFrame:
    """A vertex's mean response to the stimuli of each kind.

    Returns
    -------
    One row for each value of the label: label, n (different stimuli), mean, and low and high, the ends of the mean's 95 % interval
    (1.96 standard errors over stimuli; NaN for a single one). Highest mean first.
    """
    import pandas as pd

    of_each = np.asarray(subject.labels[label]).astype(str)[found.rows]
    table = pd.DataFrame({"label": of_each, "response": found.means}).groupby("label")["response"].agg(["size", "mean", "sem"])
    table = table.rename(columns={"size": "n"}).sort_values("mean", ascending=False, kind="stable").reset_index()
    table["low"], table["high"] = table["mean"] - 1.96 * table["sem"], table["mean"] + 1.96 * table["sem"]
    return table.drop(columns="sem")


def measure_correlations(subject: Subject, found: Tuning) -> pd.DataFrame:
    """How a vertex's response goes with each of the :func:`measures`: label and Pearson r over different stimuli, highest first."""
    import pandas as pd

    values = {name: np.asarray(subject.labels[name], float)[found.rows] for name in measures(subject)}
    rows = [(name, float(pearson(each, found.means))) for name, each in values.items() if each.std() and found.means.std()]
    return pd.DataFrame(rows, columns=["label", "r"]).sort_values("r", ascending=False, kind="stable", ignore_index=True)


def chosen_rows(subject: Subject, *, words: str = "", wanted: Mapping[str, Sequence[str]] | None = None, order: str = "") -> np.ndarray:
    """The rows of the stimuli that pass a filter.

    Parameters
    ----------
    words : each of them is in the stimulus' name, in any case.
    wanted : label to the values that pass; one without values lets everything pass.
    order : one of the :func:`measures`, from the highest down; else the order of the rows.
    """
    passes = np.ones(subject.n_stimuli, bool)
    for word in words.lower().split():
        passes &= np.fromiter((word in name.lower() for name in subject.stimuli.names), bool, subject.n_stimuli)
    for label, values in (wanted or {}).items():
        if len(values):
            passes &= np.isin(np.asarray(subject.labels[label]).astype(str), list(values))
    rows = np.flatnonzero(passes)
    return rows[np.argsort(-np.asarray(subject.labels[order], float)[rows], kind="stable")] if order else rows


def find_stimulus(subject: Subject, text: str) -> int:
    """The row of the stimulus that is meant: by its number, which is counted from 1 in the order of rows, or by its name.

    Digits alone are a number, unless they begin with 0.

    Raises
    ------
    ValueError with the nearest name where there is none.
    """
    text, names = text.strip(), subject.stimuli.names
    if text in names and (text.startswith("0") or not text.isdecimal()):
        return names.index(text)
    if not text.isdecimal():
        raise ValueError(unknown("stimulus", text, names, show=3))
    if not 1 <= int(text) <= subject.n_stimuli:
        raise ValueError(f"{subject.dataset} {subject.name} has the stimuli 1 to {subject.n_stimuli:,}, so no {int(text):,}.")
    return int(text) - 1


def find_vertex(subject: Subject, text: str) -> tuple[str, int]:
    """Read the block and column of text such as ``lh 120``, or ``lh fsaverage 5274`` for the number that the surface mesh has.

    Raises
    ------
    ValueError that says how a vertex is written, or which there are.
    """
    where, _, number = text.strip().replace("-", " ").rpartition(" ")
    block = where.strip().removesuffix("fsaverage").strip()
    if block not in subject.responses or not number.isdecimal():
        known = ", ".join(subject.hemis)
        raise ValueError(f"No {subject.unit} {text!r}. Write where it is ({known}) and its number, such as {subject.hemis[0]} 120.")
    column = int(number)
    if where.strip() != block:
        there = np.flatnonzero(subject.vertices[block] == column) if subject.vertices and block in subject.vertices else ()
        if not len(there):
            raise ValueError(f"{block} has no response at fsaverage vertex {column:,}.")
        column = int(there[0])
    check_vertex(subject, block, column)
    return block, column


def vertex_name(subject: Subject, block: str, column: int) -> str:
    """Name a column of the responses, with its number on the fsaverage mesh where it has one: ``vertex 784 of lh (fsaverage 5274)``."""
    placed = subject.vertices is not None and block in subject.vertices
    mesh = f" (fsaverage {int(subject.vertices[block][column])})" if placed else ""
    return f"{subject.unit} {column} of {block}{mesh}"
