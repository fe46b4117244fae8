"""Lesson: the favourite images of a network's unit, and what they do not show."""

from __future__ import annotations

import numpy as np

from encoding.backbones.gabor import Pyramid

FREQUENCIES = (2, 4, 8, 16, 32)  # cycles per image
DIRECTIONS = {"vertical": 0.0, "horizontal": 90.0, "oblique": 45.0}  # of bars, to the orientation that Pyramid.wavelets names


def unit(features: np.ndarray, frequency: int, direction: str) -> np.ndarray:
    """Activation of a unit that pools Gabor energy of one frequency and orientation over all places.

    Parameters
    ----------
    features : (n, n_features) of layer ``energy`` of the backbone ``gabor``, pooled ``none``.
    frequency : cycles per image, one of :data:`FREQUENCIES`.
    direction : of the bars, one of :data:`DIRECTIONS`.

    Returns
    -------
    (n,) float64, in standard deviations about the mean over images.
    """
    kinds = Pyramid().wavelets()
    chosen = np.flatnonzero((kinds["frequency"] == frequency) & (kinds["orientation"] == DIRECTIONS[direction]))
    pooled = np.asarray(features[:, chosen], np.float64).mean(axis=1)
    return (pooled - pooled.mean()) / pooled.std()
