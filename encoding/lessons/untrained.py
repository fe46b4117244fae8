"""Lesson on the untrained control: a layer of random weights predicts responses, too."""

from __future__ import annotations

import numpy as np

from encoding.lessons._linear import standardised

WIDTHS = (10, 30, 100, 300)


def random_layer(X: np.ndarray, n_units: int, rows: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Rectified outputs of units with random weights and thresholds, as a network has before training.

    Parameters
    ----------
    X : (n, p) what enters the layer, such as components of pixels.
    n_units : width of the layer; a wider one holds the units of a narrower one.
    rows : the training images, by which the inputs are standardised.

    Returns
    -------
    (n, n_units) float32, 0 or more.
    """
    X = standardised(X, rows)
    units = [np.random.default_rng((seed, unit)) for unit in range(n_units)]
    weights = np.stack([rng.standard_normal(X.shape[1] + 1) for rng in units], axis=1)  # (p + 1, n_units)
    return np.maximum(X @ weights[:-1] / np.sqrt(X.shape[1]) + 0.5 * weights[-1], 0).astype(np.float32)
