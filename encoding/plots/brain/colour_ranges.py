"""The ends of colour scales that suit the values of a brain map."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

STEP = 0.05  # of the ends of a scale of scores


def bulk(values: Mapping[str, np.ndarray], *, outside: float = 0.5) -> tuple[float, float]:
    """The range of nearly all values of all hemispheres: without the lowest and highest ``outside`` percent; NaN is left out."""
    low, high = np.nanpercentile(np.concatenate(list(values.values())), [outside, 100 - outside])
    return float(low), float(high)


def rounded_up(value: float, *, step: float = STEP, least: float = STEP) -> float:
    """``value`` rounded up to a multiple of ``step``, at least ``least``; ``least`` also where it is NaN.

    >>> rounded_up(0.61), rounded_up(float("nan"))
    (0.65, 0.05)
    """
    return round(max(least, float(np.ceil(value / step - 1e-9) * step)), 10) if np.isfinite(value) else least


def fitting_range(values: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """A range for any map: equally far to both sides of 0 where both signs occur, else from 0, or from the lowest value below it."""
    low, high = bulk(values)
    if low < 0 < high:
        return -max(-low, high), max(-low, high)
    low = min(0.0, low)
    return (low, high) if low < high else (low, low + 1)
