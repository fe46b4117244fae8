"""Lesson: the noise ceiling, from repeated presentations to vertices whose signal and noise are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encoding.evaluation.noise_ceiling import from_repeats
from encoding.evaluation.scores import score
from encoding.lessons.steps import ridge_r

SEED = 0
MOST_REPEATS = 10


def noise_ceiling(snr: float, n_repeats: int | np.ndarray) -> float | np.ndarray:
    """The signal's share of the variance of a mean over repeats, ``snr² / (snr² + 1/n)``; its root is the highest r there is.

    ``snr`` is the standard deviation of the signal over that of the noise of a single showing (the ``ncsnr`` of the Natural Scenes
    Dataset).

    >>> noise_ceiling(1.0, 3)
    0.75
    """
    return snr**2 / (snr**2 + 1 / n_repeats)


def shown_again(signal: np.ndarray, snr: float, *, n_repeats: int = MOST_REPEATS, seed: int = SEED) -> np.ndarray:
    """Simulate single-trial responses (n, n_repeats, t) float32: the signal (n, t) of variance 1 with fresh noise on each trial."""
    noise = np.random.default_rng(seed).standard_normal((len(signal), n_repeats, signal.shape[1]), np.float32)
    return signal[:, None].astype(np.float32) + noise / np.float32(snr)


@dataclass(frozen=True)
class Ceilings:
    """Upper bound of r and r of models for means over 1, 2, … repeats.

    Attributes
    ----------
    highest : (m,) root of the noise ceiling.
    estimated : (m,) root of the noise ceiling estimated from repeats, mean over vertices; NaN for a single repeat.
    perfect : (m,) mean r of the noiseless signal on test images.
    model : (m,) mean r of ridge on components, trained and tested on the same means over repeats.
    """

    highest: np.ndarray
    estimated: np.ndarray
    perfect: np.ndarray
    model: np.ndarray


def ceilings(signal: np.ndarray, Z: np.ndarray, train: np.ndarray, test: np.ndarray, inner: np.ndarray, snr: float) -> Ceilings:
    """Simulate up to :data:`MOST_REPEATS` repeats at one signal-to-noise ratio, and score models on their means.

    Parameters
    ----------
    signal : (n, t) noiseless responses of mean 0 and variance 1.
    Z : (n, p) float32 components.
    train, test, inner : as in :func:`encoding.lessons.steps.ridge_r`.
    """
    repeats, numbers = shown_again(signal, snr), np.arange(1, MOST_REPEATS + 1)
    estimated, perfect, model = (np.full(MOST_REPEATS, np.nan) for _ in range(3))
    for i, n in enumerate(numbers):
        mean = repeats[:, :n].mean(axis=1)
        if n > 1:
            estimated[i] = float(np.sqrt(from_repeats(repeats[:, :n])).mean())
        perfect[i] = float(np.nanmean(score(signal[test], mean[test])["r"]))
        model[i] = ridge_r(Z, mean, train, test, inner)[1]
    return Ceilings(np.sqrt(noise_ceiling(snr, numbers)), estimated, perfect, model)
