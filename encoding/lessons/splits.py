"""Lesson on splits: the luck of one hold-out, cross-validation, and repeats of an image on both sides of a split."""

from __future__ import annotations

import numpy as np

from encoding.evaluation.scores import pearson
from encoding.evaluation.splits import Fold, folds
from encoding.lessons._linear import fitted

N_SPLITS = 6  # seeds
N_REPEATS = 3


def mean_r(X: np.ndarray, Y: np.ndarray, fold: Fold) -> float:
    """Mean r over vertices of ridge on the test rows of a fold."""
    return float(pearson(fitted(X, Y, fold).predict(X[fold.test]), Y[fold.test]).mean())


def holdouts(X: np.ndarray, Y: np.ndarray, n_splits: int = N_SPLITS) -> np.ndarray:
    """Mean r of as many hold-outs of 10 % of the images, which differ in their seeds alone, (n_splits,)."""
    return np.array([mean_r(X, Y, folds(f"holdout:0.9:{seed}", np.arange(len(X)))[0]) for seed in range(n_splits)])


def cross_validations(X: np.ndarray, Y: np.ndarray, n_splits: int, *, n_folds: int = 5) -> np.ndarray:
    """Mean r over the folds of as many cross-validations, which differ in their seeds alone, (n_splits,)."""
    return np.array(
        [np.mean([mean_r(X, Y, fold) for fold in folds(f"kfold:{n_folds}:{seed}", np.arange(len(X)))]) for seed in range(n_splits)]
    )


def repeats(X: np.ndarray, *, n_vertices: int = 30, seed: int = 0) -> tuple[float, float]:
    """Mean r where each image is shown three times and answered in a way that no feature says.

    Parameters
    ----------
    X : (n, p) features of the images.

    Returns
    -------
    apart, together : float
        With single showings split at random, so that an image trains and tests; and with all showings of an image on one side.
    """
    rng, image = np.random.default_rng(seed), np.repeat(np.arange(len(X)), N_REPEATS)
    own = rng.standard_normal((len(X), n_vertices))  # each image's own answer, which depends on no feature
    Y = (own[image] + rng.standard_normal((len(image), n_vertices))).astype(np.float32)
    shown = X[image]
    apart, together = (mean_r(shown, Y, folds("holdout:0.8:0", groups)[0]) for groups in (np.arange(len(image)), image))
    return apart, together
