"""Simulate runs of films: features that change slowly, and responses that follow them with a known haemodynamic response function (HRF).

Nothing here is measured. Noise is slow, too, as that of fMRI is: so samples that follow one another are alike in features and responses
alike, whether or not one has to do with the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HRF_SECONDS = 32.0
PEAK, UNDERSHOOT, RATIO = 6.0, 16.0, 6.0  # of the double gamma of SPM, in seconds
NOISE_SECONDS = 4.0  # after which noise correlates by 1/e


@dataclass(frozen=True)
class Films:
    """Simulated samples of runs.

    Attributes
    ----------
    features : (n, p) float32, of mean 0 and variance 1 over a film without end.
    responses : (n, t) float32. signal : (n, t) float32, the responses before noise.
    runs : (n,) int64. tr : seconds between samples. hrf : (d,) float64, at delays of 0, 1, … samples; sums to 1.
    """

    features: np.ndarray
    responses: np.ndarray
    signal: np.ndarray
    runs: np.ndarray
    tr: float
    hrf: np.ndarray

    def of(self, rows: np.ndarray) -> Films:
        """Some of the samples."""
        return Films(self.features[rows], self.responses[rows], self.signal[rows], self.runs[rows], self.tr, self.hrf)


def hrf(tr: float, *, seconds: float = HRF_SECONDS) -> np.ndarray:
    """SPM's canonical HRF at delays of 0, 1, … samples, (d,) float64 that sum to 1: a gamma of 6 less a sixth of one of 16 seconds.

    Examples
    --------
    >>> int(hrf(1.0).argmax())
    5
    """
    from scipy.stats import gamma

    times = np.arange(0, seconds, tr)
    values = gamma.pdf(times, PEAK) - gamma.pdf(times, UNDERSHOOT) / RATIO
    return values / values.sum()


def simulate_films(
    *,
    n_runs: int = 6,
    n_samples: int = 150,
    n_features: int = 20,
    n_vertices: int = 40,
    tr: float = 2.0,
    slow: float = 6.0,
    ceiling: float = 0.2,
    seed: int = 0,
) -> Films:
    """Simulate a subject who watches films, deterministic given ``seed``. Before a run begins nothing is seen.

    Parameters
    ----------
    n_runs, n_samples : number of runs, and of samples of each.
    slow : seconds after which a feature correlates by 1/e with itself.
    ceiling : the signal's share of the responses' variance, 0 to 1; 0 makes responses noise that has nothing to do with the film.
    """
    rng = np.random.default_rng([seed, n_runs, n_samples])
    weights = np.random.default_rng(seed).standard_normal((n_features, n_vertices)) / np.sqrt(n_features)
    response = hrf(tr)
    features, signals = [], []
    for _ in range(n_runs):
        X = _slow(rng, n_samples, n_features, slow / tr)
        lagged = np.stack([np.convolve(column, response)[:n_samples] for column in X.T], axis=1)
        features.append(X)
        signals.append(lagged @ weights)
    X, signal = np.concatenate(features), np.concatenate(signals)
    signal = (signal - signal.mean(0)) / signal.std(0)
    noise = np.concatenate([_slow(rng, n_samples, n_vertices, NOISE_SECONDS / tr) for _ in range(n_runs)])
    responses = np.sqrt(ceiling) * signal + np.sqrt(1 - ceiling) * noise
    runs = np.repeat(np.arange(n_runs), n_samples)
    return Films(X.astype(np.float32), responses.astype(np.float32), signal.astype(np.float32), runs, tr, response)


def _slow(rng: np.random.Generator, n: int, k: int, samples: float) -> np.ndarray:
    """Noise (n, k) of variance 1 that correlates by 1/e after so many samples (autoregressive of order 1)."""
    keep = np.exp(-1 / samples) if samples > 0 else 0.0
    values = rng.standard_normal((n, k))
    for row in range(1, n):
        values[row] = keep * values[row - 1] + np.sqrt(1 - keep**2) * values[row]
    return values
