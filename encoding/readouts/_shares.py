"""Variance partitioning: the share of each layer in R² (product measure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def layer_shares(
    weights: np.ndarray, bands: Sequence[int], X: np.ndarray, Y: np.ndarray, intercept: np.ndarray | None = None
) -> np.ndarray:
    """Split a linear model's test R² among layers by the product measure, (B, t) float64.

    With p_b the part of the prediction that comes from layer b, p their sum, and both and y about their means on these rows,
    layer b's share is ``Σ p_b (2y - p) / Σ y²``. Shares sum to R², and one is negative where its layer makes predictions worse.
    Given ``intercept``, what R² loses to a mean that is off on these rows is dealt out equally, so that shares sum to the R² of
    ``X @ weights + intercept``; without, to that of the same predictions moved to the right mean. The formula is that of Dupré
    la Tour, Eickenberg, Nunez-Elizalde & Gallant (2022) and of himalaya's ``r2_score_split``.

    Parameters
    ----------
    weights : (p, t) of any number of targets.
    bands : (B,) how many components each layer has, in the order of the columns of X; empty means one layer.
    X : (n, p), components. Y : (n, t), responses; a target that is constant on these rows has shares NaN.
    intercept : (t,).
    """
    bands = tuple(bands) or (len(weights),)
    if sum(bands) != len(weights):
        raise ValueError(f"The layers have {sum(bands)} components together, the weights {len(weights)}.")
    X, Y, weights = (np.asarray(array, float) for array in (X, Y, weights))
    mean_x, mean_y = X.mean(0), Y.mean(0)
    X, Y = X - mean_x, Y - mean_y
    products = weights * (X.T @ (2 * Y - X @ weights))  # (p, t): rows of a layer sum to Σ p_b (2y - p)
    shares = np.stack([part.sum(0) for part in np.split(products, np.cumsum(bands)[:-1])])
    if intercept is not None:
        shares -= len(X) * (mean_x @ weights + intercept - mean_y) ** 2 / len(bands)
    total = (Y**2).sum(0)
    return np.where(total > 0, shares / np.where(total > 0, total, 1), np.nan)
