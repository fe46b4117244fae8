"""Colours and colour ranges of brain maps, fitted to their values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from encoding.evaluation.scores import SCORES

STEP = 0.05  # of the ends of a scale of scores


def bulk(values: Mapping[str, np.ndarray], *, outside: float = 0.5) -> tuple[float, float]:
    """Range of all hemispheres' values without the lowest and highest ``outside`` percent; NaN is ignored, and of NaN alone returned."""
    every = np.concatenate(list(values.values()))
    if not np.isfinite(every).any():
        return np.nan, np.nan
    low, high = np.nanpercentile(every, [outside, 100 - outside])
    return float(low), float(high)


def rounded_up(value: float, *, step: float = STEP, least: float = STEP) -> float:
    """Round ``value`` up to a multiple of ``step``, at least ``least``; NaN gives ``least``.

    >>> rounded_up(0.61), rounded_up(float("nan"))
    (0.65, 0.05)
    """
    return round(max(least, float(np.ceil(value / step - 1e-9) * step)), 10) if np.isfinite(value) else least


def fitting_range(values: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Choose a colour range: symmetric about 0 where both signs occur, else from 0, or from the lowest value below 0."""
    low, high = bulk(values)
    if low < 0 < high:
        return -max(-low, high), max(-low, high)
    low = min(0.0, low)
    return (low, high) if low < high else (low, low + 1)


def score_range(score: str, *maps: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Choose one colour range for maps of a score: from 0, or of errors from the lowest values; at least a step wide, and never NaN.

    >>> score_range("r", {"lh": np.linspace(-0.1, 0.62, 1_000)}, {"lh": np.full(9, np.nan)})
    (0.0, 0.65)
    """
    step = STEP * max(1.0, SCORES[score].ceiling_level or 1.0)
    ends = np.array([found for found in map(bulk, maps) if np.isfinite(found).all()] or [(0.0, 0.0)])
    most = rounded_up(float(ends[:, 1].max()), step=step, least=step)
    low = round(float(np.floor(ends[:, 0].min() / step) * step), 10) if SCORES[score].lower_is_better else 0.0
    return max(0.0, min(low, most - step)), most


def score_colours(score: str) -> str:
    """Name of the colour map of a score: light is good."""
    return "viridis_r" if SCORES[score].lower_is_better else "plasma"
