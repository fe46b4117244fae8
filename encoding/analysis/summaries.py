"""Summaries of a finished fit for pages, reports and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.evaluation.normalised_scores import mean_of_roi_means
from encoding.evaluation.scores import SCORES, pearson
from encoding.fits.result import Result
from encoding.fits.score_tables import EVERY_VERTEX, ScoreTables

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, np.ndarray]

N_BINS = 60  # of a density, along each axis
PAIR_COLUMNS = 500  # vertices whose predictions are in memory at a time
EDGE_BLOCKS, EDGE_COLUMNS = 8, 40  # of blocks, and vertices of each, whose values say where the bins lie
EDGE_TAIL = 5e-4  # share of these values beyond either end


def best_roi(table: pd.DataFrame) -> str:
    """ROI of the highest mean r over its vertices of both hemispheres.

    Parameters
    ----------
    table : as :meth:`encoding.fits.result.Result.rois`; a hemisphere counts by its number of vertices.

    Returns
    -------
    Its name; ``all`` where none has an r.
    """
    rois = table[(table["roi"] != EVERY_VERTEX) & (table["n_vertices"] > 0) & table["r_mean"].notna()]
    if not len(rois):
        return EVERY_VERTEX
    sums = rois.assign(total=rois["r_mean"] * rois["n_vertices"]).groupby("roi")[["total", "n_vertices"]].sum()
    return (sums["total"] / sums["n_vertices"]).idxmax()


def highest_possible(result: ScoreTables, score: str = "r") -> dict[str, np.ndarray] | None:
    """Highest score that noise leaves possible, per hemisphere (n_vertices,): of r the root of the noise ceiling, of R² the ceiling.

    None where the ceiling is unknown, and of scores that have no such bound or the same one in every vertex.
    """
    if result.plan.subject.ceiling is None or not (column := SCORES[score].ceiling_column):
        return None
    ceiling = {hemi: result.ceiling(hemi) for hemi in result.plan.hemis}
    return {hemi: np.sqrt(each) for hemi, each in ceiling.items()} if column == "ceiling_r" else ceiling


def over_columns(values: Columns, columns: Columns) -> np.ndarray:
    """Concatenate selected columns (last axis) of all hemispheres."""
    return np.concatenate([np.asarray(values[hemi])[..., chosen] for hemi, chosen in columns.items()], axis=-1)


@dataclass(frozen=True)
class MeanPrediction:
    """Responses and predictions averaged over vertices.

    Attributes
    ----------
    measured, predicted : (n_test,) means over the vertices, in the order of :meth:`encoding.fits.result.Result.test_rows`.
    r : Pearson correlation of the two, averaged over folds. Averaging removes noise that vertices do not share, so it may exceed the
        noise ceiling of single vertices.
    mean_r : mean of the vertices' own r, as in bars and tables; equals ``r`` for a single vertex.
    """

    measured: np.ndarray
    predicted: np.ndarray
    r: float
    mean_r: float


def mean_prediction(result: Result, columns: Columns) -> MeanPrediction:
    """Average responses and predictions of the test stimuli over ``columns`` of all hemispheres."""
    measured = np.concatenate([result.measured(hemi, chosen) for hemi, chosen in columns.items()], axis=1).mean(1)
    predicted = np.concatenate([result.predicted(hemi, chosen) for hemi, chosen in columns.items()], axis=1).mean(1)
    own = over_columns({hemi: result.score(hemi) for hemi in columns}, columns)
    return MeanPrediction(
        measured, predicted, result.test_r(predicted, measured), float(np.nanmean(own)) if np.isfinite(own).any() else float("nan")
    )


@dataclass(frozen=True)
class ResidualDensity:
    """Counts of residuals over predicted responses, of every pair of a test stimulus and a vertex.

    Attributes
    ----------
    counts : (n_residual_bins, n_predicted_bins) int64; pairs beyond the ends are counted in the outermost bins.
    predicted_edges, residual_edges : (n_bins + 1,) ends of the bins, in the unit of the responses.
    means : (n_predicted_bins,) mean residual; NaN for an empty bin.
    mean, sd : of all residuals.
    """

    counts: np.ndarray
    predicted_edges: np.ndarray
    residual_edges: np.ndarray
    means: np.ndarray
    mean: float
    sd: float

    @property
    def n_pairs(self) -> int:
        """Number of pairs with a measured and a predicted response."""
        return int(self.counts.sum())


def residual_density(result: Result, columns: Columns) -> ResidualDensity:
    """Count residuals (measured minus predicted) of every pair of a test stimulus and one of the ``columns``, block by block.

    Raises
    ------
    ValueError
        Where no column has a prediction.
    """
    blocks = [
        (hemi, chosen[start : start + PAIR_COLUMNS])
        for hemi, chosen in ((hemi, np.asarray(each)) for hemi, each in columns.items())
        for start in range(0, len(chosen), PAIR_COLUMNS)
    ]
    chosen = [blocks[place] for place in np.linspace(0, len(blocks) - 1, min(len(blocks), EDGE_BLOCKS), dtype=int)] if blocks else []
    some = [_pairs(result, hemi, block[:: max(1, len(block) // EDGE_COLUMNS)]) for hemi, block in chosen]
    predicted, residual = (np.concatenate([pair[part] for pair in some]) if some else np.zeros(0) for part in (0, 1))
    if not len(predicted):
        raise ValueError("No vertex that was chosen has a prediction.")
    edges = [_edges(values) for values in (predicted, residual)]
    counts, sums = np.zeros((N_BINS, N_BINS), np.int64), np.zeros((3, N_BINS))
    for hemi, block in blocks:
        predicted, residual = _pairs(result, hemi, block)
        x, y = (
            np.clip(np.searchsorted(ends, values) - 1, 0, N_BINS - 1) for ends, values in zip(edges, (predicted, residual), strict=True)
        )
        counts += np.bincount(y * N_BINS + x, minlength=N_BINS**2).reshape(N_BINS, N_BINS)
        sums += [np.bincount(x, weights, N_BINS) for weights in (None, residual, residual.astype(float) ** 2)]
    n, total, squares = sums
    with np.errstate(invalid="ignore"):
        means, mean = total / n, total.sum() / n.sum()
    return ResidualDensity(counts, *edges, means, float(mean), float(np.sqrt(max(0.0, squares.sum() / n.sum() - mean**2))))


def _pairs(result: Result, hemi: str, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicted responses and residuals of all test stimuli, flat, without those that are NaN."""
    predicted = result.predicted(hemi, columns)
    residual = result.measured(hemi, columns) - predicted
    both = np.isfinite(residual)
    return predicted[both], residual[both]


def _edges(values: np.ndarray) -> np.ndarray:
    """Ends of equal bins that hold all but the outermost of the values."""
    low, high = np.quantile(values, [EDGE_TAIL, 1 - EDGE_TAIL])
    margin = 0.1 * (high - low) or 1e-3
    return np.linspace(low - margin, high + margin, N_BINS + 1)


def mean_curves(curve: Columns, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Mean training and test r, (n_sizes,) each, over ``columns``, from :func:`encoding.analysis.learning_curve.learning_curve`."""
    train, test = (over_columns({hemi: curve[f"{hemi}_{part}"] for hemi in columns}, columns) for part in ("train", "test"))
    return np.nanmean(train, 1), np.nanmean(test, 1)


def mean_layer_shares(result: ScoreTables, rois: Sequence[str]) -> dict[str, np.ndarray]:
    """Mean share of R² of each layer over each ROI's vertices, (n_rois,); empty unless the readout separates layers."""
    shares = {hemi: result.layer_shares(hemi) for hemi in result.plan.hemis}

    def mean(layer: str, roi: str) -> float:
        values = np.concatenate([shares[hemi][layer][result.columns(roi, hemi)] for hemi in shares])
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else float("nan")

    return {layer: np.array([mean(layer, roi) for roi in rois]) for layer in next(iter(shares.values()), {})}


def largest_share(result: ScoreTables) -> dict[str, np.ndarray]:
    """Layer with the largest share of each vertex's R², hemisphere to (n_vertices,).

    Returns
    -------
    Position of the layer, from 0, as float; NaN where the shares add up to no positive R². Empty unless the readout separates layers.
    """
    found = {}
    for hemi in result.plan.hemis:
        if shares := result.layer_shares(hemi):
            stacked = np.stack(list(shares.values()))  # (n_layers, n_vertices)
            total = stacked.sum(axis=0)
            found[hemi] = np.where(total > 0, np.argmax(np.nan_to_num(stacked), axis=0), np.nan)
    return found


def pattern_correlation(predicted: Columns, measured: Columns, columns: Columns) -> tuple[float, int]:
    """Correlate two response patterns over ``columns``, leaving out those where either is NaN.

    Returns
    -------
    r : float
        Pearson correlation; NaN over fewer than three columns or where either pattern is constant.
    n : int
        Number of columns used.
    """
    one, other = over_columns(predicted, columns), over_columns(measured, columns)
    usable = np.isfinite(one) & np.isfinite(other)
    n = int(usable.sum())
    if n < 3 or not one[usable].std():
        return float("nan"), n
    return float(pearson(one[usable], other[usable])), n


OVERALL = (
    "Mean and median are over every {unit} of all hemispheres that has the score. *of regions* is the mean of the regions' means, to which "
    "each region counts alike: of r / highest r it is the score of the mini track of Algonauts 2021."
)


def overall_scores(result: ScoreTables) -> pd.DataFrame:
    """Tabulate every score of a fit over all vertices of its hemispheres.

    Returns
    -------
    DataFrame
        A row for each of :attr:`ScoreTables.score_names`: ``score`` (its short name), ``unit``, ``better`` (higher or lower), ``mean`` and
        ``median`` over vertices (NaN where no median is defined), and ``of regions``, the mean over ROIs of each ROI's mean
        (:func:`~encoding.evaluation.normalised_scores.mean_of_roi_means`); NaN where there is no ROI.
    """
    import pandas as pd

    hemis, rows = result.plan.hemis, []
    starts = np.cumsum([0, *(result.plan.subject.responses[hemi].shape[1] for hemi in hemis)])[:-1]
    members = {
        roi: np.concatenate([start + result.columns(roi, hemi) for start, hemi in zip(starts, hemis, strict=True)])
        for roi in result.selected_rois
    }
    fitted = np.unique(np.concatenate(list(members.values())))
    rois = {roi: columns for roi, columns in members.items() if roi != EVERY_VERTEX}
    for key in result.score_names:
        score = SCORES[key]
        values = np.concatenate([result.score(hemi, key) for hemi in hemis])
        known = values[fitted][np.isfinite(values[fitted])]
        row = {"score": score.short, "unit": score.unit, "better": "lower" if score.lower_is_better else "higher"}
        row |= {"mean": known.mean() if len(known) else np.nan}
        row |= {"median": np.median(known) if len(known) and score.has_median else np.nan, "of regions": mean_of_roi_means(values, rois)}
        rows.append(row)
    return pd.DataFrame(rows)


def side_by_side(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join :func:`overall_scores` of several fits: a row for each score that some fit has, columns such as ``mean A`` and ``mean B``."""
    import pandas as pd

    about = ["score", "unit", "better"]
    parts = [table.set_index(about).add_suffix(f" {name}") for name, table in tables.items()]
    joined = pd.concat(parts, axis=1).reset_index()
    return joined[[*about, *(f"{column} {name}" for column in ("mean", "median", "of regions") for name in tables)]]
