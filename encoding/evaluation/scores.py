"""Scores: how close predicted responses come to measured ones, per vertex and per ROI."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

SCORES_VERSION = 1

SCORES = {
    "r": "Pearson correlation of predicted and measured responses over test images, -1 … 1.",
    "r2": "Coefficient of determination: 1 less squared error over variance about the test mean; negative where the mean would do better.",
    "rmse": "Root of the mean squared error, in the responses' units.",
    "mae": "Mean absolute error, in the responses' units.",
    "smooth_l1": "Huber loss with threshold 1: half the squared error below 1, the absolute error less a half above.",
}
LOWER_IS_BETTER = ("rmse", "mae", "smooth_l1")
FLAT = 1e-6  # variance over mean square (about the shift) that rounding alone can make
UNDEFINED_CEILING = 1e-14  # the challenge's own stand-in for a noise ceiling of 0


class ScoreAccumulator:
    """Scores of many targets from blocks of rows, in one reading and with no prediction kept.

    Parameters
    ----------
    shift : (t,) a value near each target's mean, which keeps the sums accurate.
    """

    def __init__(self, shift: np.ndarray) -> None:
        self.n, self.shift = 0, shift.astype(np.float32)
        self._sums = {name: np.zeros(len(shift)) for name in ("p", "m", "pp", "mm", "pm", "absolute", "huber")}

    def add(self, predicted: np.ndarray, measured: np.ndarray) -> None:
        """Add rows of both (b, t), in the same units."""
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
        """Every score in :data:`SCORES` as (t,) float64. r is 0 where the prediction is constant; NaN where the response is."""
        n, s = self.n, self._sums
        var_p, var_m, cov = s["pp"] - s["p"] ** 2 / n, s["mm"] - s["m"] ** 2 / n, s["pm"] - s["p"] * s["m"] / n
        squared_error = np.maximum(s["pp"] + s["mm"] - 2 * s["pm"], 0)
        flat_p, flat_m = var_p <= FLAT * s["pp"], var_m <= FLAT * s["mm"]
        with np.errstate(divide="ignore", invalid="ignore"):
            r = np.where(flat_p, 0, np.clip(cov / np.sqrt(var_p * var_m), -1, 1))
            r2 = 1 - squared_error / var_m
        return {
            "r": np.where(flat_m, np.nan, r),
            "r2": np.where(flat_m, np.nan, r2),
            "rmse": np.sqrt(squared_error / n),
            "mae": s["absolute"] / n,
            "smooth_l1": s["huber"] / n,
        }


def score(predicted: np.ndarray, measured: np.ndarray) -> dict[str, np.ndarray]:
    """Every score of predictions (n, t) against responses (n, t). -> name to (t,)"""
    accumulator = ScoreAccumulator(np.asarray(measured, np.float64).mean(0))
    accumulator.add(np.array(predicted, np.float32), np.array(measured, np.float32))
    return accumulator.scores()


def normalised_r2(r: np.ndarray, ceiling: np.ndarray, *, least: float = 0.0) -> np.ndarray:
    """Share of the explainable variance that is explained, r² / ceiling, in 0 … 1; negative r counts as 0.

    Parameters
    ----------
    ceiling : noise ceiling, the explainable share of variance, 0 … 1.
    least : vertices with a lower ceiling, or one of 0, are left out (NaN).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.clip(np.maximum(r, 0) ** 2 / ceiling, 0, 1)
    return np.where((ceiling > 0) & (ceiling >= least), value, np.nan)


def algonauts2023_score(r: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    """The official score of the 2023 challenge per vertex, in percent; its mean over all vertices ranks a submission.

    Negative r becomes 0, r² is divided by the noise ceiling, a ceiling of 0 becomes 1e-14 and the quotient is
    clipped at 1. A vertex without a ceiling therefore scores 100 as soon as r > 0: see :func:`normalised_r2` for a
    score that leaves such vertices out.
    """
    squared = np.maximum(np.nan_to_num(r), 0) ** 2
    return 100 * np.minimum(squared / np.where(ceiling == 0, UNDEFINED_CEILING, ceiling), 1)


def algonauts2021_score(r: np.ndarray, ceiling: np.ndarray, *, least: float = 0.0) -> np.ndarray:
    """The noise-normalised score of the 2021 challenge per voxel, ``r / sqrt(ceiling)``: 1 is as good as noise allows.

    The challenge means it over the voxels of each ROI, then over ROIs (:func:`mean_of_roi_means`). Nothing is clipped:
    r below 0 stays so, and where the ceiling came out low by chance a voxel may exceed 1.

    Parameters
    ----------
    r : (n_voxels,) Pearson correlation.
    ceiling : (n_voxels,) in 0 … 1, the reliability of the responses (:func:`encoding.evaluation.noise_ceiling.from_repeats`).
    least : voxels with a lower ceiling, or one of 0, are left out (NaN). Without such a bound a few voxels of hardly any
        ceiling decide the mean.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value = r / np.sqrt(ceiling)
    return np.where((ceiling > 0) & (ceiling >= least), value, np.nan)


def mean_of_roi_means(values: np.ndarray, rois: Mapping[str, np.ndarray]) -> float:
    """The mean over ROIs of each ROI's mean, so that small ROIs count as much as large ones.

    Parameters
    ----------
    values : (n_voxels,), NaN where a voxel is left out.
    rois : name to columns. ROIs without a value are left out; NaN where none has one.
    """
    found = [values[columns][np.isfinite(values[columns])] for columns in rois.values()]
    means = [roi.mean() for roi in found if len(roi)]
    return float(np.mean(means)) if means else float("nan")


def bootstrap_means(
    predicted: np.ndarray, measured: np.ndarray, groups: Mapping[str, np.ndarray], *, n_resamples: int = 500, seed: int = 0
) -> dict[str, np.ndarray]:
    """Means of r over the vertices of each group, for test images drawn again with replacement.

    Parameters
    ----------
    predicted, measured : (n_test, t) float32.
    groups : name to columns, such as ROIs. Every group sees the same draws, so differences between them are paired.

    Returns
    -------
    Name to (n_resamples,) float64; NaN for an empty group. Percentiles 2.5 and 97.5 are the interval
    (Efron & Tibshirani 1993, chapter 13). It speaks of other test images, not of other subjects.
    """
    import torch

    n_test = len(measured)
    drawn = np.random.default_rng(seed).multinomial(n_test, np.full(n_test, 1 / n_test), n_resamples) / n_test
    W = torch.from_numpy(drawn.astype(np.float32))  # (n_resamples, n_test), rows sum to 1
    means = {name: np.full(n_resamples, np.nan) for name in groups}
    used = np.unique(np.concatenate([np.zeros(0, int), *groups.values()]))
    r = np.full((n_resamples, measured.shape[1]), np.nan, np.float32)
    for start in range(0, len(used), 2_048):
        columns = used[start : start + 2_048]
        r[:, columns] = _resampled_r(W, predicted[:, columns], measured[:, columns])
    for name, columns in groups.items():
        if len(columns):
            means[name] = np.nanmean(r[:, columns], axis=1, dtype=np.float64)
    return means


def _resampled_r(W: object, predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """(n_resamples, n_test) weights -> r of each column under each, (n_resamples, t) float32."""
    import torch

    p, m = (torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in (predicted, measured))
    p, m = ((a - a.mean(0)) / a.std(0, correction=0).clamp(min=1e-12) for a in (p, m))
    mean_p, mean_m = W @ p, W @ m
    cov = W @ (p * m) - mean_p * mean_m
    spread = ((W @ p.square()) - mean_p.square()) * ((W @ m.square()) - mean_m.square())
    return (cov / spread.clamp(min=1e-12).sqrt()).numpy()
