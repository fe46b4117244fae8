"""Masks of the features and targets that vary beyond rounding error; constant ones get weights of 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from encoding.readouts._moments import Centred, Moments

if TYPE_CHECKING:
    import torch

CONSTANT = {"float32": 1e-4, "float64": 1e-12}  # squares about the mean, relative to those about the shift: rounding alone below that


def varying_features(moments: Moments, folds: np.ndarray, train: Centred) -> torch.Tensor:
    """(p,) bool, false for features constant on ``folds``, whose moments ``train`` are."""
    import torch

    about_mean, squares = train.xx.diagonal().cpu().numpy(), moments.xx[folds].sum(0).diagonal()
    return torch.from_numpy(about_mean > CONSTANT["float64"] * squares).to(train.xx.device)  # X'X is always summed in float64


def varying_targets(moments: Moments, folds: np.ndarray, about_mean: torch.Tensor) -> torch.Tensor:
    """(t,) bool, false for targets constant on ``folds``, from their squares about the mean (t,)."""
    import torch

    varies = about_mean.cpu().numpy() > CONSTANT[moments.xy.dtype.name] * moments.yy[folds].sum(0)
    return torch.from_numpy(varies).to(about_mean.device)


def target_variances(moments: Moments) -> np.ndarray:
    """(t,) float64, the variance of each target over all rows (divided by n); 0 for a constant target."""
    n, y, yy = moments.n.sum(), moments.y.sum(0), moments.yy.sum(0)
    about_mean = yy - y**2 / n
    return np.where(about_mean > CONSTANT[moments.xy.dtype.name] * yy, about_mean / n, 0.0)
