"""Scores: agreement of predicted and measured responses, per vertex and per ROI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SCORES_VERSION = 1
FLAT = 1e-6  # variance over mean square (about the shift) that rounding alone can make
TINY = 1e-24  # the same about the mean in float64
LEAST_CEILING = 0.05  # vertices with a lower noise ceiling are left out of normalised scores
STATISTICS = ("mean", "median", "best")
"""Summaries of a score over the vertices of an ROI; ``best`` is the highest, or of an error the lowest."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score of a fit: its name, what it measures, and how it may be summarised.

    Attributes
    ----------
    key : name in tables, links and files.
    title, unit : of an axis; ``unit`` may be empty.
    short : of a control or a legend.
    definition : one sentence for a caption, with ``{unit}`` and ``{units}`` for
        what a column is called (:class:`~encoding.datasets._unit.Unit`).
    lower_is_better : whether smaller values are better predictions.
    needs_ceiling : whether it is computed from r and the noise ceiling.
    has_median : whether a median over the vertices of an ROI is defined beside the mean.
    ceiling_level : what a vertex at its noise ceiling scores; None where there is no such bound, or it differs between vertices.
    ceiling_column : column of tables that holds the highest mean that noise leaves possible; empty where there is none.
    no_skill : name of the level 0, where that is what a prediction without skill scores.
    images_only : whether it is the score of a challenge whose stimuli are images, and meaningless for clips.
    pooled : whether it is one score over the predictions of all folds together, instead of the mean of the folds' scores. With one fold
        it equals ``r`` and is not offered.
    """

    key: str
    title: str
    short: str
    definition: str
    unit: str = ""
    lower_is_better: bool = False
    needs_ceiling: bool = False
    has_median: bool = True
    ceiling_level: float | None = None
    ceiling_column: str = ""
    no_skill: str = ""
    images_only: bool = False
    pooled: bool = False

    @property
    def stored(self) -> bool:
        """Whether a fit stores it for every fold; else it is computed from r and the noise ceiling, or over all folds' predictions."""
        return not self.needs_ceiling and not self.pooled

    @property
    def mean_column(self) -> str:
        """Column of :meth:`encoding.fits.result.Result.rois` that holds the mean over an ROI's vertices."""
        return f"{self.key}_mean" if self.key in ("r", "r2") else self.key

    @property
    def median_column(self) -> str:
        """Column of :meth:`encoding.fits.result.Result.rois` that holds the median; exists only where :attr:`has_median`."""
        return f"{self.key}_median"

    @property
    def statistics(self) -> tuple[str, ...]:
        """Those of :data:`STATISTICS` that are defined."""
        return tuple(name for name in STATISTICS if name != "median" or self.has_median)

    def column(self, statistic: str) -> str:
        """Column of :meth:`encoding.fits.result.Result.rois` that holds one of :data:`STATISTICS`; ValueError where it is not defined."""
        if statistic not in self.statistics:
            raise ValueError(f"The {self.title} of an ROI is defined as a mean over vertices; there is no {statistic}.")
        return self.mean_column if statistic == "mean" else f"{self.key}_{statistic}"

    def summary(self, values: np.ndarray) -> dict[str, float]:
        """Column to statistic over the finite ones of some vertices' values (n_vertices,); NaN where there is none."""
        over = {"mean": np.mean, "median": np.median, "best": np.min if self.lower_is_better else np.max}
        finite = values[np.isfinite(values)]
        return {self.column(name): float(over[name](finite)) if len(finite) else float("nan") for name in self.statistics}


SCORES: Mapping[str, Score] = {
    score.key: score
    for score in (
        Score(
            key="r",
            title="Pearson correlation r",
            short="r",
            definition="Pearson correlation of predicted and measured responses over test images, -1 … 1.",
            ceiling_column="ceiling_r",
            no_skill="Chance, r = 0",
        ),
        Score(
            key="pooled_r",
            title="r, pooled over folds",
            short="r, pooled",
            definition="One Pearson correlation over the predictions of all folds together, -1 … 1. It also counts that the folds' means "
            "differ, which usually makes it lower than the mean of the folds' r.",
            ceiling_column="ceiling_r",
            no_skill="Chance, r = 0",
            pooled=True,
        ),
        Score(
            key="r2",
            title="R²",
            short="R²",
            unit="coefficient of determination",
            definition="Coefficient of determination: 1 less squared error over variance about the test mean; negative where the mean "
            "would do better.",
            ceiling_column="ceiling_r2",
            no_skill="No better than the mean, R² = 0",
        ),
        Score(
            key="rmse",
            title="root mean squared error",
            short="RMSE",
            unit="response units",
            definition="Root of the mean squared error, in the responses' units.",
            lower_is_better=True,
        ),
        Score(
            key="mae",
            title="absolute error",
            short="MAE",
            unit="response units",
            definition="Mean absolute error, in the responses' units.",
            lower_is_better=True,
        ),
        Score(
            key="smooth_l1",
            title="smooth L1 loss",
            short="smooth L1",
            unit="of errors in response units",
            definition="Huber loss with threshold 1: half the squared error below 1, the absolute error less a half above.",
            lower_is_better=True,
        ),
        Score(
            key="normalised_r2",
            title="noise-normalised r²",
            short="r² / ceiling",
            unit="share of explainable variance",
            definition="r² over the noise ceiling, the share of explainable variance that is explained, negative r counted as 0; "
            f"{{units}} with a ceiling under {LEAST_CEILING} are left out.",
            needs_ceiling=True,
            ceiling_level=1.0,
        ),
        Score(
            key="normalised_r",
            title="r / highest possible r",
            short="r / highest r",
            unit="the Algonauts 2021 score",
            definition="r over the highest r that noise leaves possible (the root of the ceiling), the score of Algonauts 2021; "
            f"{{units}} with a ceiling under {LEAST_CEILING} are left out. From few repeats it is rough: single {{units}} may exceed 1.",
            needs_ceiling=True,
            ceiling_level=1.0,
        ),
        Score(
            key="algonauts2023",
            title="Algonauts 2023 score",
            short="Algonauts 2023 score",
            unit="percent",
            definition="100 r² over the noise ceiling, clipped at 100, negative r counted as 0; submissions are ranked by its mean. "
            "A {unit} with a ceiling of 0 scores 100 once r > 0: compare r² / ceiling.",
            needs_ceiling=True,
            has_median=False,
            ceiling_level=100.0,
            images_only=True,
        ),
    )
}
"""Every score there is, by key. What shows scores reads their names and units here."""

STORED_SCORES = tuple(key for key, score in SCORES.items() if score.stored)
FORMER_SCORES = {
    "normalised": "normalised_r2",
    "relative": "normalised_r",
    "official": "algonauts2023",
}  # name in the first release to today's


class ScoreAccumulator:
    """Accumulate scores of many targets over blocks of rows in one pass, without storing predictions.

    Parameters
    ----------
    shift : (t,) a value near each target's mean, which keeps the sums accurate.
    """

    def __init__(self, shift: np.ndarray) -> None:
        self.n, self.shift = 0, shift.astype(np.float32)
        self._sums = {name: np.zeros(len(shift)) for name in ("p", "m", "pp", "mm", "pm", "absolute", "huber")}

    def add(self, predicted: np.ndarray, measured: np.ndarray) -> None:
        """Add a block of rows.

        Parameters
        ----------
        predicted, measured : (b, t), in the same units.
        """
        p, m = predicted - self.shift, measured - self.shift
        sums = self._sums
        self.n += len(p)
        sums["p"] += p.sum(0, dtype=np.float64)
        sums["m"] += m.sum(0, dtype=np.float64)
        for name, a, b in (("pp", p, p), ("mm", m, m), ("pm", p, m)):
            sums[name] += np.einsum("ij,ij->j", a, b)
        error = np.abs(np.subtract(p, m, out=p), out=p)
        sums["absolute"] += error.sum(0, dtype=np.float64)
        inside = np.minimum(error, 1, out=m)
        sums["huber"] += np.einsum("ij,ij->j", inside, error - 0.5 * inside)

    def scores(self) -> dict[str, np.ndarray]:
        """Compute all of :data:`STORED_SCORES` from the accumulated moments.

        Returns
        -------
        Score name to (t,) float64. r is 0 where the prediction is constant and NaN where the response is.
        """
        n, s = self.n, self._sums
        var_p, var_m, cov = s["pp"] - s["p"] ** 2 / n, s["mm"] - s["m"] ** 2 / n, s["pm"] - s["p"] * s["m"] / n
        squared_error = np.maximum(s["pp"] + s["mm"] - 2 * s["pm"], 0)
        flat_p, flat_m = var_p <= FLAT * s["pp"], var_m <= FLAT * s["mm"]
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = 1 - squared_error / var_m
        return {
            "r": r_from_moments(cov, var_p, var_m, flat_p, flat_m),
            "r2": np.where(flat_m, np.nan, r2),
            "rmse": np.sqrt(squared_error / n),
            "mae": s["absolute"] / n,
            "smooth_l1": s["huber"] / n,
        }


def r_from_moments(covariance: np.ndarray, var_p: np.ndarray, var_m: np.ndarray, flat_p: np.ndarray, flat_m: np.ndarray) -> np.ndarray:
    """Compute Pearson's r from second central moments, ``r = covariance / sqrt(var_p var_m)``.

    Parameters
    ----------
    covariance, var_p, var_m : covariance and variances of predictions p and measurements m, arrays of one shape.
    flat_p, flat_m : bool, same shape; whether the prediction or the measurement is constant.

    Returns
    -------
    r of the same shape in -1 … 1; 0 where ``flat_p``, NaN where ``flat_m`` whatever the prediction.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.clip(covariance / np.sqrt(var_p * var_m), -1, 1)
    return np.where(flat_m, np.nan, np.where(flat_p, 0.0, r))


def pearson(predicted: np.ndarray, measured: np.ndarray, axis: int = 0) -> np.ndarray:
    """Pearson correlation of two arrays along one axis.

    Parameters
    ----------
    predicted, measured : arrays of one shape, or of shapes that broadcast.
    axis : the axis of the observations.

    Returns
    -------
    float64 of the common shape less ``axis``, -1 … 1. 0 where ``predicted`` is constant, NaN where ``measured`` is constant or
    where either holds a NaN.
    """
    p, m = np.asarray(predicted, np.float64), np.asarray(measured, np.float64)
    dp, dm = p - p.mean(axis, keepdims=True), m - m.mean(axis, keepdims=True)
    var_p, var_m = (dp * dp).mean(axis), (dm * dm).mean(axis)
    flat_p, flat_m = var_p <= TINY * (p * p).mean(axis), var_m <= TINY * (m * m).mean(axis)
    return r_from_moments((dp * dm).mean(axis), var_p, var_m, flat_p, flat_m)


def score(predicted: np.ndarray, measured: np.ndarray) -> dict[str, np.ndarray]:
    """Compute all of :data:`STORED_SCORES` for predictions (n, t) and responses (n, t).

    Returns
    -------
    Score name to (t,) float64.
    """
    accumulator = ScoreAccumulator(np.asarray(measured, np.float64).mean(0))
    accumulator.add(np.array(predicted, np.float32), np.array(measured, np.float32))
    return accumulator.scores()
