"""Lesson: overfitting and ridge regression, with a path of penalties on few training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encoding.evaluation.scores import score
from encoding.evaluation.splits import Fold
from encoding.lessons._linear import fitted


@dataclass(frozen=True)
class RidgePath:
    """Ridge regression with each of several penalties.

    Attributes
    ----------
    alphas : (a,) rising.
    train, test : (a,) mean r over targets.
    train_r2, test_r2 : (a,) mean R² over targets, which unlike r tells how large predictions are.
    weights : (a, p) those of one target.
    """

    alphas: np.ndarray
    train: np.ndarray
    test: np.ndarray
    train_r2: np.ndarray
    test_r2: np.ndarray
    weights: np.ndarray

    @property
    def best(self) -> int:
        """The penalty with the highest r on test images: known here only because all answers lie open."""
        return int(np.argmax(self.test))


def ridge_path(Z: np.ndarray, Y: np.ndarray, train: np.ndarray, test: np.ndarray, alphas: np.ndarray, *, shown: int = 0) -> RidgePath:
    """Fit ridge with every alpha (:mod:`encoding.readouts.ridge`) on training rows, and score it on training and on test rows.

    Parameters
    ----------
    Z : (n, p) components. Y : (n, t) responses.
    train, test : sorted row numbers.
    alphas : (a,) penalties above 0.
    shown : the target whose weights are kept.

    Raises
    ------
    ValueError where a penalty is not above 0: with as many components as images least squares has no single answer.
    """
    alphas = np.asarray(alphas, float)
    if not (alphas > 0).all():
        raise ValueError(f"Every alpha must be above 0, not {alphas.min():g}.")
    Z = np.asarray(Z, float)
    scores, weights = [], []
    for alpha in alphas:
        model = fitted(Z, Y, Fold(train, test), alpha=float(alpha))
        by_rows = [score(model.predict(Z[rows]), Y[rows]) for rows in (train, test)]
        scores.append([float(np.nanmean(each[name])) for name in ("r", "r2") for each in by_rows])
        weights.append(model.weights[:, shown])
    return RidgePath(alphas, *np.array(scores).T, np.array(weights))
