"""Lesson: overfitting, and what ridge does about it. One penalty after another on the same few training pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encoding.evaluation.scores import score


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
    """``min ‖Y - Zw‖² + α ‖w‖²`` about the training means for every alpha, from one singular value decomposition.

    With centred Z = U S V', ``w(α) = V S / (S² + α) U'Y`` (Hoerl & Kennard 1970).

    Parameters
    ----------
    Z : (n, p) components. Y : (n, t) responses.
    alphas : (a,) penalties above 0.
    shown : the target whose weights are kept.

    Raises
    ------
    ValueError where a penalty is not above 0: with as many components as pictures least squares has no single answer.
    """
    alphas = np.asarray(alphas, float)
    if not (alphas > 0).all():
        raise ValueError(f"Every alpha must be above 0, not {alphas.min():g}.")
    X, mean = np.asarray(Z[train], float), np.asarray(Z[train], float).mean(axis=0)
    offset = np.asarray(Y[train], float).mean(axis=0)
    U, S, Vt = np.linalg.svd(X - mean, full_matrices=False)
    turned, other = U.T @ (Y[train] - offset), (np.asarray(Z, float) - mean) @ Vt.T  # (k, t), (n, k)
    scores, weights = [], []
    for alpha in alphas:
        w = (S / (S**2 + alpha))[:, None] * turned
        predicted = other @ w + offset
        found = [score(predicted[rows], Y[rows]) for rows in (train, test)]
        scores.append([float(np.nanmean(each[name])) for name in ("r", "r2") for each in found])
        weights.append(Vt.T @ w[:, shown])
    return RidgePath(alphas, *np.array(scores).T, np.array(weights))
