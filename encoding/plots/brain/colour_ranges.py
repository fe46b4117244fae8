"""Colour ranges fitted to the values of a brain map."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

STEP = 0.05  # of the ends of a scale of scores


def bulk(values: Mapping[str, np.ndarray], *, outside: float = 0.5) -> tuple[float, float]:
    """Range of all hemispheres' values without the lowest and highest ``outside`` percent; NaN is ignored."""
    low, high = np.nanpercentile(np.concatenate(list(values.values())), [outside, 100 - outside])
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
