"""Describe measured responses: tuning of a vertex, response map of a stimulus, label means, distribution over all.

Responses may be memory-mapped files of 10,000 rows by 20,000 columns. Single rows and columns are read on demand and the
overall distribution is estimated from a sample of rows, so no function here loads all responses into memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.analysis.lookup import check_vertex
from encoding.datasets import Subject
from encoding.evaluation.scores import pearson
from encoding.runtime.registry import unknown
from encoding.storage.npy import read_block

if TYPE_CHECKING:
    import pandas as pd

N_SAMPLED = 256  # rows that stand for all; of 40,000 vertices they are 40 MB
N_BINS = 60
TAIL = 0.1  # percent of responses beyond either end of their histogram
MOST_LABELS = 60  # different values of a label by which stimuli are filtered; more are no kinds of things


@dataclass(frozen=True)
class Overview:
    """Distribution of responses over a sample of stimuli.

    Attributes
    ----------
    n_rows : number of sampled stimuli, evenly spaced.
    mean, sd : per block (n_vertices,) float32, mean and standard deviation of each vertex over them.
    edges : (n_bins + 1,) histogram edges in response units, equal for all blocks; the extreme 0.1 % at either end lie outside.
    counts : per block (n_bins,) number of responses.
    """

    n_rows: int
    mean: Mapping[str, np.ndarray]
    sd: Mapping[str, np.ndarray]
    edges: np.ndarray
    counts: Mapping[str, np.ndarray]

    @property
    def ends(self) -> tuple[float, float]:
        """Colour range of response maps: covers nearly all responses; symmetric about 0 where both signs occur. Equal for all stimuli."""
        low, high = float(self.edges[0]), float(self.edges[-1])
        return (-max(-low, high), max(-low, high)) if low < 0 < high else (low, high)

    def standardised(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Convert responses to z scores of each vertex, per block (n_vertices,); NaN where a vertex is constant."""
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = {block: (responses - self.mean[block]) / self.sd[block] for block, responses in values.items()}
        return {block: np.where(self.sd[block] > 0, responses, np.nan).astype(np.float32) for block, responses in scaled.items()}


def overview(subject: Subject, *, most: int = N_SAMPLED) -> Overview:
    """Estimate the distribution of a subject's responses from at most ``most`` stimuli."""
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
    """Rows that show the same stimulus as ``row``, including ``row``."""
    return np.flatnonzero(subject.stimulus_of_row == subject.stimulus_of_row[row])


def repeat_counts(subject: Subject) -> dict[int, int]:
    """Number of presentations -> number of different stimuli. Repeats averaged on disk count as one presentation."""
    _, times = np.unique(subject.stimulus_of_row, return_counts=True)
    return {int(n): int((times == n).sum()) for n in np.unique(times)}


def response_map(subject: Subject, row: int) -> dict[str, np.ndarray]:
    """Measured response to one stimulus, averaged over its :func:`repeats`; per block (n_vertices,) float32.

    Raises
    ------
    ValueError
        If there is no such row.
    """
    if not 0 <= row < subject.n_stimuli:
        raise ValueError(f"{subject.dataset} {subject.name} has the stimuli 1 to {subject.n_stimuli:,}, so no {row + 1:,}.")
    rows = repeats(subject, row)
    return {block: np.asarray(values[rows], np.float32).mean(0) for block, values in subject.responses.items()}


def roi_sizes(subject: Subject) -> pd.DataFrame:
    """Number of vertices per ROI and block: columns roi, hemi, n_vertices; empty ROIs included."""
    import pandas as pd

    names = dict.fromkeys(name for block in subject.hemis for name in subject.rois[block])
    rows = [(name, block, len(subject.rois[block].get(name, ()))) for name in names for block in subject.hemis]
    return pd.DataFrame(rows, columns=["roi", "hemi", "n_vertices"])


def roi_profile(subject: Subject, values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """:func:`roi_sizes` with the mean over each ROI's vertices, and the quartiles low and high; NaN for an empty ROI.

    ``values`` holds (n_vertices,) per block, such as a :func:`response_map`.
    """
    table = roi_sizes(subject)
    quartiles = []
    for roi, block, _ in table.itertuples(index=False):
        inside = values[block][subject.rois[block].get(roi, [])]
        inside = inside[np.isfinite(inside)]
        quartiles.append((inside.mean(dtype=float), *np.percentile(inside, [25, 75])) if len(inside) else (np.nan,) * 3)
    table[["mean", "low", "high"]] = quartiles
    return table


@dataclass(frozen=True)
class Tuning:
    """Responses of one vertex, or mean responses of an ROI, to all stimuli.

    Attributes
    ----------
    values : (n_stimuli,) float32, measured response in every row.
    rows : (n_different,) int, first row of each different stimulus, ascending.
    means : (n_different,) float64, response to each of them, averaged over repeats.
    """

    values: np.ndarray
    rows: np.ndarray
    means: np.ndarray

    @classmethod
    def of(cls, subject: Subject, values: np.ndarray) -> Tuning:
        """Average responses (n_stimuli,) over the repeats of each stimulus."""
        _, first, group = np.unique(subject.stimulus_of_row, return_index=True, return_inverse=True)
        order = np.argsort(first)
        means = np.bincount(group.ravel(), values) / np.bincount(group.ravel())
        return cls(values, first[order], means[order])

    def highest(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the ``n`` stimuli with the highest responses, and these responses, in descending order."""
        order = np.argsort(-self.means, kind="stable")[:n]
        return self.rows[order], self.means[order]

    def lowest(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the ``n`` stimuli with the lowest responses, and these responses, in ascending order."""
        order = np.argsort(self.means, kind="stable")[:n]
        return self.rows[order], self.means[order]


def tuning(subject: Subject, block: str, column: int) -> Tuning:
    """Read the responses of one vertex to every stimulus.

    Raises
    ------
    ValueError
        If there is no such vertex.

    Notes
    -----
    One value is read from every row, so the first access to a file that is not in the page cache reads all of it (0.7 s for 750 MB on
    an SSD; 0.03 s for the next vertex).
    """
    check_vertex(subject, block, column)
    return Tuning.of(subject, np.array(subject.responses[block][:, column], np.float32))


def roi_tuning(subject: Subject, roi: str) -> Tuning:
    """Read the mean response of an ROI's vertices, of all blocks together, to every stimulus; :data:`N_SAMPLED` rows at a time.

    Raises
    ------
    ValueError
        If there is no such ROI, or it has no vertices in this subject.
    """
    if roi not in (names := dict.fromkeys(name for rois in subject.rois.values() for name in rois)):
        raise ValueError(unknown("ROI", roi, names))
    columns = {block: rois[roi] for block, rois in subject.rois.items() if len(rois.get(roi, ()))}
    if not columns:
        raise ValueError(f"{roi} has no {subject.unit.many} in this subject.")
    values = np.zeros(subject.n_stimuli)
    for start in range(0, subject.n_stimuli, N_SAMPLED):
        some = slice(start, start + N_SAMPLED)
        for block, chosen in columns.items():
            values[some] += np.asarray(read_block(subject.responses[block], some, chosen), np.float32).sum(1, dtype=float)
    return Tuning.of(subject, (values / sum(map(len, columns.values()))).astype(np.float32))


def selectivity(subject: Subject, tuning: Tuning, label: str) -> tuple[str, float] | None:
    """Find the category that drives a vertex or ROI most, and how well its responses set that category apart: d'.

    Returns
    -------
    The category with the highest mean among those of two or more stimuli, and the difference between its mean and that of all
    other stimuli over the root mean of their two variances; None where fewer than two stimuli are of it, or of others, or nothing varies.
    """
    of_each = np.asarray(subject.labels[label]).astype(str)[tuning.rows]
    candidates = [name for name, n in zip(*np.unique(of_each, return_counts=True), strict=True) if 2 <= n <= len(of_each) - 2]
    if not candidates:
        return None
    best = max(candidates, key=lambda name: tuning.means[of_each == name].mean())
    inside, outside = tuning.means[of_each == best], tuning.means[of_each != best]
    spread = np.sqrt((inside.var(ddof=1) + outside.var(ddof=1)) / 2)
    return (best, float((inside.mean() - outside.mean()) / spread)) if spread > 0 else None


def rois_at(subject: Subject, block: str, column: int) -> tuple[str, ...]:
    """ROIs that contain a vertex, smallest first."""
    holding = {roi: len(columns) for roi, columns in subject.rois[block].items() if (columns == column).any()}
    return tuple(sorted(holding, key=holding.get))


def region_numbers(subject: Subject, names: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """Number the vertices of some ROIs, for a map with one colour a region; where ROIs overlap, the smaller one counts.

    Returns
    -------
    numbers : block to (n_vertices,) float64: the place of the vertex's region in ``named``, from 1; NaN in none.
    named : regions with vertices, in the order of ``names``.
    empty : regions without.
    """
    columns = {name: {block: np.asarray(rois.get(name, ()), int) for block, rois in subject.rois.items()} for name in names}
    sizes = {name: sum(map(len, blocks.values())) for name, blocks in columns.items()}
    named, empty = [name for name in columns if sizes[name]], [name for name in columns if not sizes[name]]
    numbers = {block: np.full(responses.shape[1], np.nan) for block, responses in subject.responses.items()}
    for name in sorted(named, key=sizes.get, reverse=True):
        for block, chosen in columns[name].items():
            numbers[block][chosen] = named.index(name) + 1
    return numbers, named, empty


def kinds(subject: Subject) -> dict[str, list[str]]:
    """Categorical stimulus labels, each with its values in alphabetical order."""
    texts = {name: np.asarray(label) for name, label in subject.labels.items() if np.asarray(label).dtype.kind in "UOSib"}
    values = {name: sorted(map(str, np.unique(label.astype(str)))) for name, label in texts.items()}
    return {name: by_category for name, by_category in values.items() if len(by_category) <= MOST_LABELS}


def measures(subject: Subject) -> tuple[str, ...]:
    """Numeric stimulus labels, such as the share of a face in an image."""
    return tuple(name for name, label in subject.labels.items() if np.asarray(label).dtype.kind == "f")


def label_means(subject: Subject, vertex: Tuning, label: str) -> pd.DataFrame:
    """Mean response of a vertex or ROI to the stimuli of each category.

    Returns
    -------
    DataFrame
        One row per value of the label, highest mean first: label, n (different stimuli), mean, low and high (95 % interval, 1.96
        standard errors over stimuli; NaN for a single one).
    """
    import pandas as pd

    of_each = np.asarray(subject.labels[label]).astype(str)[vertex.rows]
    table = pd.DataFrame({"label": of_each, "response": vertex.means}).groupby("label")["response"].agg(["size", "mean", "sem"])
    table = table.rename(columns={"size": "n"}).sort_values("mean", ascending=False, kind="stable").reset_index()
    table["low"], table["high"] = table["mean"] - 1.96 * table["sem"], table["mean"] + 1.96 * table["sem"]
    return table.drop(columns="sem")


def measure_correlations(subject: Subject, vertex: Tuning) -> pd.DataFrame:
    """Correlate a vertex's responses with each of the :func:`measures`: label and Pearson r over different stimuli, highest first."""
    import pandas as pd

    values = {name: np.asarray(subject.labels[name], float)[vertex.rows] for name in measures(subject)}
    rows = [(name, float(pearson(each, vertex.means))) for name, each in values.items() if each.std() and vertex.means.std()]
    return pd.DataFrame(rows, columns=["label", "r"]).sort_values("r", ascending=False, kind="stable", ignore_index=True)


def chosen_rows(subject: Subject, *, words: str = "", wanted: Mapping[str, Sequence[str]] | None = None, order: str = "") -> np.ndarray:
    """Filter and sort the rows of stimuli.

    Parameters
    ----------
    words : words that must all occur in the stimulus name, case-insensitive.
    wanted : label to accepted values; an empty sequence accepts all.
    order : one of the :func:`measures`, descending; else the order of rows.
    """
    passes = np.ones(subject.n_stimuli, bool)
    for word in words.lower().split():
        passes &= np.fromiter((word in name.lower() for name in subject.stimuli.names), bool, subject.n_stimuli)
    for label, values in (wanted or {}).items():
        if len(values):
            passes &= np.isin(np.asarray(subject.labels[label]).astype(str), list(values))
    rows = np.flatnonzero(passes)
    return rows[np.argsort(-np.asarray(subject.labels[order], float)[rows], kind="stable")] if order else rows
