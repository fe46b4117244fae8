"""Lesson: representational similarity analysis (RSA) and encoding models on the same features.

Representational similarity analysis after Kriegeskorte, Mur & Bandettini (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encoding.evaluation.scores import score
from encoding.evaluation.splits import Fold
from encoding.lessons._linear import fitted

FACTORS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Both:
    """The two scores of one feature space, on test images.

    Attributes
    ----------
    rsa : Spearman's correlation of the model's distances with the brain's, over all pairs of images.
    encoding : mean r over vertices.
    model, brain : (n_test, n_test) float64, the distances.
    """

    rsa: float
    encoding: float
    model: np.ndarray
    brain: np.ndarray


def distances(X: np.ndarray, *, correlation: bool = False) -> np.ndarray:
    """Compute the representational dissimilarity matrix (n, n) of rows X (n, p): Euclidean, or 1 minus the correlation of two rows."""
    from scipy.spatial.distance import pdist, squareform

    return squareform(pdist(np.asarray(X, np.float64), "correlation" if correlation else "euclidean"))


def similarity(model: np.ndarray, brain: np.ndarray) -> float:
    """Spearman's correlation of two dissimilarity matrices over the pairs above the diagonal."""
    from scipy.stats import spearmanr

    pairs = np.triu_indices(len(model), 1)
    return float(spearmanr(model[pairs], brain[pairs]).statistic)


def rescaled(X: np.ndarray, column: int, factor: float) -> np.ndarray:
    """Copy X (n, p) with one feature multiplied by ``factor``."""
    X = np.array(X, np.float64)
    X[:, column] *= factor
    return X


def both_scores(X: np.ndarray, Y: np.ndarray, fold: Fold) -> Both:
    """Features X (n, p) against responses Y (n, t), by RSA and by ridge.

    The model's distances are Euclidean; the brain's are 1 less the correlation of two images' patterns over vertices. RSA learns nothing,
    so it needs no training images; it looks at the same test images as ridge.
    """
    model, brain = distances(X[fold.test]), distances(Y[fold.test], correlation=True)
    r = score(fitted(X, Y, fold).predict(X[fold.test]), Y[fold.test])["r"]
    return Both(similarity(model, brain), float(r.mean()), model, brain)
