"""Scores of one fold as it is, for each bootstrap draw of its test units, and less one unit at a time: all from the same sums per unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encoding.evaluation.label_sums import sums_by_label
from encoding.evaluation.normalised_scores import from_r
from encoding.evaluation.scores import SCORES, STORED_SCORES

FEWEST_VARIANCE = 1e-10  # of a standardised column in a draw; less is taken for constant
DRAWN = ("r", "pooled_r")  # scores that are computed of every draw; draws of others follow from their leave-one-out values


@dataclass(frozen=True)
class ScoredFold:
    """Test data of one fold: predictions and responses (n_rows, t), and the resampling unit of each row (n_rows,) int."""

    predicted: np.ndarray
    measured: np.ndarray
    units: np.ndarray


def pooled(folds: Sequence[ScoredFold]) -> ScoredFold:
    """All folds as one, whose units stand fold after fold."""
    start, units = 0, []
    for fold in folds:
        keys, unit = np.unique(fold.units, return_inverse=True)
        units.append(start + unit)
        start += len(keys)
    return ScoredFold(
        np.concatenate([fold.predicted for fold in folds]), np.concatenate([fold.measured for fold in folds]), np.concatenate(units)
    )


def fold_scores(fold: ScoredFold, drawn: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each stored score on one fold: as it is (t,), for each draw (n_draws, t; of r alone), and less one unit at a time (n_units, t)."""
    import torch

    keys, unit = np.unique(fold.units, return_inverse=True)
    p, m = np.asarray(fold.predicted, np.float64), np.asarray(fold.measured, np.float64)
    shift, spread = m.mean(0), m.std(0)
    scale = np.where(spread > 0, spread, 1)
    error = np.abs(p - m)
    inside = np.minimum(error, 1)
    p, m = (p - shift) / scale, (m - shift) / scale  # so that float32 holds the sums of draws
    rows = np.stack([p, m, p * p, m * m, p * m, error, inside * (error - 0.5 * inside)])
    if len(keys) == len(unit):
        sums, sizes = rows[:, np.argsort(unit)], np.ones(len(keys))
    else:
        sums, sizes = np.stack([sums_by_label(each, unit, len(keys)) for each in rows]), np.bincount(unit).astype(float)
    total, n = sums.sum(1), sizes.sum()
    W = torch.from_numpy(drawn)
    of_draws = np.stack([(W @ torch.from_numpy(each.astype(np.float32))).numpy() for each in sums[:5]])
    whole = _from_sums(total[:, None], np.array([[n]]), scale)
    with np.errstate(invalid="ignore", divide="ignore"):  # a single unit leaves no rows
        less_one = _from_sums(total[:, None] - sums, n - sizes[:, None], scale)
    undefined = (total[3] / n - (total[1] / n) ** 2) < FEWEST_VARIANCE
    of_draw = {"r": _r(of_draws / (drawn @ sizes)[:, None].astype(np.float32))}
    return {
        name: (np.where(undefined & (name in ("r", "r2")), np.nan, whole[name][0]), of_draw.get(name), less_one[name])
        for name in STORED_SCORES
    }


def _r(moments: np.ndarray) -> np.ndarray:
    """(5, k, t) means of p, m, pp, mm, pm -> r (k, t); 0 where either does not vary."""
    p, m, pp, mm, pm = moments
    var_p, var_m = pp - p * p, mm - m * m
    defined = (var_p > FEWEST_VARIANCE) & (var_m > FEWEST_VARIANCE)
    return np.clip(np.where(defined, (pm - p * m) / np.sqrt(np.where(defined, var_p * var_m, 1)), 0), -1, 1)


def _from_sums(sums: np.ndarray, n: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
    """Stored scores from the sums (7, k, t) of p, m, pp, mm, pm in units of ``scale``, and of absolute and Huber errors, over n (k, 1)."""
    _, m, pp, mm, pm, absolute, huber = means = sums / n
    squared = np.maximum(pp + mm - 2 * pm, 0)
    return {
        "r": _r(means[:5]),
        "r2": 1 - squared / np.maximum(mm - m * m, FEWEST_VARIANCE),
        "rmse": np.sqrt(squared) * scale,
        "mae": absolute,
        "smooth_l1": huber,
    }


def over_folds(name: str, parts: Sequence[dict], ceiling: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None, list[np.ndarray]]:
    """A score's mean over folds: as it is (t,), for each draw (n_draws, t; of r), and, fold after fold, less one unit (n_units, t)."""
    base = name if name in STORED_SCORES else "r"
    at = np.mean([part[base][0] for part in parts], axis=0)
    drawn = np.mean([part[base][1] for part in parts], axis=0) if name in DRAWN else None
    left_out = [at + (part[base][2] - part[base][0]) / len(parts) for part in parts]
    if not SCORES[name].needs_ceiling:
        return at, drawn, left_out
    return from_r(name, at, ceiling), None, [from_r(name, each, ceiling) for each in left_out]


def jackknife_variance(left_out: Sequence[np.ndarray]) -> np.ndarray:
    """(n_rois,) the sum over folds of (n - 1) / n times squared deviations of the n leave-one-out values.

    NaN where a fold has a single unit (leave-one-run-out): how scores vary between units is not known then.
    """
    return sum((len(v) - 1) / len(v) * ((v - v.mean(0)) ** 2).sum(0) if len(v) > 1 else np.full(v.shape[1], np.nan) for v in left_out)
