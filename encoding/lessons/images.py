"""Lesson on the number of training images: r on training and test images as more images train."""

from __future__ import annotations

import numpy as np

from encoding.evaluation.scores import pearson
from encoding.evaluation.splits import Fold
from encoding.lessons._linear import fitted

LEAST, N_SIZES = 40, 7


def sizes_of(n_train: int) -> list[int]:
    """Numbers of training images from :data:`LEAST` to all, evenly spaced by ratio."""
    return np.unique(np.geomspace(min(LEAST, n_train), n_train, N_SIZES).round().astype(int)).tolist()


def growth(X: np.ndarray, Y: np.ndarray, fold: Fold, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean r over vertices on the training and on the test images, for each of :func:`sizes_of`; each set of images holds the smaller ones.

    Parameters
    ----------
    X : (n, p) features. Y : (n, t) responses.

    Returns
    -------
    train, test : (n_sizes,) float64.
    """
    order = np.random.default_rng(seed).permutation(fold.train)
    train, test = [], []
    for size in sizes_of(len(order)):
        rows = np.sort(order[:size])
        model = fitted(X, Y, Fold(rows, fold.test))
        train.append(pearson(model.predict(X[rows]), Y[rows]).mean())
        test.append(pearson(model.predict(X[fold.test]), Y[fold.test]).mean())
    return np.array(train), np.array(test)
