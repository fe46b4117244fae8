"""Lesson on comparing two models: intervals of each score alone, and the interval of their difference on the same test images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encoding.evaluation.resampling import interval
from encoding.evaluation.scores import pearson

N_DRAWS = 300


@dataclass(frozen=True)
class Compared:
    """Mean r of two models over the same vertices and test images.

    Attributes
    ----------
    r : (2,) of each model. low, high : (2,) ends of the 95 % interval of each.
    difference, difference_low, difference_high : second minus first, on the same draws.
    """

    r: np.ndarray
    low: np.ndarray
    high: np.ndarray
    difference: float
    difference_low: float
    difference_high: float

    @property
    def overlap(self) -> bool:
        """Whether the two intervals overlap."""
        return bool(self.low.max() <= self.high.min())

    @property
    def differs(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return not self.difference_low <= 0 <= self.difference_high


def compared(first: np.ndarray, second: np.ndarray, measured: np.ndarray, *, seed: int = 0) -> Compared:
    """Bootstrap the mean r of two models over test images, both on the same draws.

    Parameters
    ----------
    first, second, measured : (n, t) predictions of the two models, and responses.
    """
    rng, n = np.random.default_rng(seed), len(measured)
    r = np.array([pearson(each, measured).mean() for each in (first, second)])
    draws = np.empty((N_DRAWS, 2))
    for draw in range(N_DRAWS):
        rows = rng.integers(0, n, n)
        draws[draw] = [np.nanmean(pearson(each[rows], measured[rows])) for each in (first, second)]
    low, high = interval(r, draws.std(0, ddof=1), n - 1)
    below, above = interval(r[1] - r[0], np.subtract(draws[:, 1], draws[:, 0]).std(ddof=1), n - 1)
    return Compared(r, np.asarray(low), np.asarray(high), float(r[1] - r[0]), float(below), float(above))
