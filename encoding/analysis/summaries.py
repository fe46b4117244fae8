"""Summaries of a finished fit for pages, reports and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.evaluation.scores import pearson
from encoding.fits.result import Result
from encoding.fits.score_tables import EVERY_VERTEX, ScoreTables

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, np.ndarray]


def best_roi(table: pd.DataFrame) -> str:
    """ROI of the highest mean r over both hemispheres in :meth:`encoding.fits.result.Result.rois`; ``all`` where there is none."""
    rois = table[(table["roi"] != EVERY_VERTEX) & (table["n_vertices"] > 0)]
    return rois.groupby("roi")["r_mean"].mean().idxmax() if len(rois) else EVERY_VERTEX


def highest_r(result: ScoreTables) -> dict[str, np.ndarray] | None:
    """Upper bound of r per hemisphere, (n_vertices,): the root of the noise ceiling; None where it is unknown."""
    return None if result.plan.subject.ceiling is None else {hemi: np.sqrt(result.ceiling(hemi)) for hemi in result.plan.hemis}


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
