"""Noise ceilings: the share of a vertex's response variance that any model could explain, from 0 to 1.

The square root of a ceiling is the highest Pearson r that can be hoped for. No ceiling is a percentage here.
"""

from __future__ import annotations

import numpy as np


def from_ncsnr(ncsnr: np.ndarray, *, n_three: int, n_two: int = 0, n_one: int = 0) -> np.ndarray:
    """The noise ceiling of responses averaged over one to three repeats.

    ``ncsnr² / (ncsnr² + (A/3 + B/2 + C) / (A + B + C))``, where A, B and C images were seen three times, twice
    and once: noise shrinks with averaging, signal does not.

    Parameters
    ----------
    ncsnr : any shape; signal over noise, both standard deviations, of single trials. At least 0; no unit.
    n_three, n_two, n_one : how many images were seen so often.

    Returns
    -------
    float32 of the shape of ``ncsnr``, 0 … 1. Where ncsnr is 0 so is the ceiling.

    Raises
    ------
    ValueError where an ncsnr is negative, NaN or infinite, a count is negative, or all are 0.

    References
    ----------
    Allen et al. (2022), A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial intelligence.

    Examples
    --------
    >>> from_ncsnr(np.array([0.0, 1.0, 2.0]), n_three=100).round(4).tolist()
    [0.0, 0.75, 0.9230999946594238]
    """
    counts = np.array([n_three, n_two, n_one], dtype=np.float64)
    if (counts < 0).any() or counts.sum() == 0:
        raise ValueError(f"Images seen three times, twice and once must be counts, not all 0: got {n_three}, {n_two}, {n_one}.")
    signal = np.asarray(ncsnr, dtype=np.float64)
    _require(np.isfinite(signal) & (signal >= 0), signal, "an ncsnr is a finite number, 0 or more")
    noise = counts @ [1 / 3, 1 / 2, 1] / counts.sum()
    return (signal**2 / (signal**2 + noise)).astype(np.float32)


def as_fraction(values: np.ndarray) -> np.ndarray:
    """Noise ceilings as fractions, float32 of the same shape, from fractions or percentages.

    Values that all are at most 1 are taken for fractions, others for percentages: a whole map of percentages
    with no vertex above 1 % is not to be expected.

    Raises
    ------
    ValueError where a value is below 0, above 100, NaN or infinite.

    Examples
    --------
    >>> as_fraction(np.array([0.0, 25.0, 100.0])).tolist()
    [0.0, 0.25, 1.0]
    """
    values = np.asarray(values, dtype=np.float64)
    _require(np.isfinite(values) & (values >= 0) & (values <= 100), values, "a ceiling lies between 0 and 1, or between 0 and 100 %")
    return (values / (100 if (values > 1).any() else 1)).astype(np.float32)


def _require(right: np.ndarray, values: np.ndarray, law: str) -> None:
    if not right.all():
        first = int(np.flatnonzero(~right.ravel())[0])
        raise ValueError(f"{(~right).sum():,} of {right.size:,} values are wrong, the first at {first} ({values.flat[first]}): {law}.")
