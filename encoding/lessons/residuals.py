"""Lesson: residuals of a linear model of a vertex whose response has a quadratic part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encoding.evaluation.splits import Fold
from encoding.lessons._linear import fitted, standardised

N_FEATURES = 10
BEND = 0.7  # weight of the squared drive, beside 1 of the drive itself
CEILING = 0.85  # the signal's share of the planted response's variance


@dataclass(frozen=True)
class Bent:
    """A planted vertex.

    Attributes
    ----------
    features : (n, N_FEATURES) float64, standardised on training rows; the first one is the drive.
    response : (n,) float64, of mean 0 and variance 1 on training rows, in expectation.
    signal : (n,) the same without noise.
    """

    features: np.ndarray
    response: np.ndarray
    signal: np.ndarray

    @property
    def drive(self) -> np.ndarray:
        """(n,) what the vertex answers to."""
        return self.features[:, 0]


def bent_vertex(components: np.ndarray, fold: Fold, *, seed: int = 0) -> Bent:
    """A vertex whose response is the drive plus :data:`BEND` times its square, and noise to a ceiling of :data:`CEILING`.

    ``components`` (n, p) are principal components of the images' pixels; the first, by and large how dark an image is, is the drive.
    """
    X = standardised(components[:, :N_FEATURES], fold.train)
    signal = standardised((X[:, 0] + BEND * X[:, 0] ** 2)[:, None], fold.train)[:, 0]
    noise = np.random.default_rng(seed).standard_normal(len(X))
    return Bent(X, np.sqrt(CEILING) * signal + np.sqrt(1 - CEILING) * noise, np.sqrt(CEILING) * signal)


def predicted(vertex: Bent, fold: Fold, *, squared: bool) -> np.ndarray:
    """Predict the test responses, (n_test,), by ridge on the features, optionally with the squared drive as a further feature."""
    X = np.column_stack([vertex.features, vertex.drive**2]) if squared else vertex.features
    return fitted(X, vertex.response[:, None], fold).predict(X[fold.test])[:, 0]


@dataclass(frozen=True)
class Curve:
    """Whether residuals bend: ``share`` of their variance that a parabola of the prediction explains, and ``p`` of its bend."""

    share: float
    p: float


def curve(predicted: np.ndarray, residual: np.ndarray) -> Curve:
    """Fit a parabola to residuals (n,) against predictions (n,), and test its quadratic term (t test).

    Ramsey's RESET (1969) with the square alone; assumes equal noise variance for all images.
    """
    from scipy.stats import t

    centred = (predicted - predicted.mean()) / predicted.std()
    X = np.column_stack([np.ones_like(centred), centred, centred**2])
    weights, *_ = np.linalg.lstsq(X, residual, rcond=None)
    left = residual - X @ weights
    freedom = len(X) - X.shape[1]
    error = np.sqrt((left @ left) / freedom * np.linalg.inv(X.T @ X)[2, 2])
    return Curve(1 - float((left @ left) / ((residual - residual.mean()) ** 2).sum()), float(2 * t.sf(abs(weights[2]) / error, freedom)))


def failures(residual: np.ndarray, n: int) -> np.ndarray:
    """Indices (n,) of the images with the largest absolute residuals, in descending order."""
    return np.argsort(-np.abs(residual), kind="stable")[:n]
