"""Ridge regression with the settings of the Explore page, on plain arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from encoding.evaluation.splits import Fold, inner_folds
from encoding.fits.plan import INNER_SEED
from encoding.readouts import READOUTS, LinearModel
from encoding.readouts._moments import Moments


def fitted(X: np.ndarray, Y: np.ndarray, fold: Fold, *, readout: str = "ridge", bands: tuple[int, ...] = (), **options: Any) -> LinearModel:
    """Fit a linear model of Y (n, t) from X (n, p) on a fold's training rows, penalties selected on the same inner folds as in Explore.

    Rows count as different stimuli. ``bands`` is the number of columns of X in each feature space, for banded readouts.
    """
    known = READOUTS[readout]
    read = known.read(options)
    inner = inner_folds(fold.train, known.n_folds(read), INNER_SEED)
    return known.fit(replace(Moments.of(X, Y, inner, rows=fold.train), bands=bands), read)


def standardised(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Standardise X (n, p) to float64 with the mean and standard deviation of some rows; constant columns become 0."""
    X = np.asarray(X, np.float64)
    X = X - X[rows].mean(0)
    spread = X[rows].std(0)
    return X / np.where(spread > 0, spread, 1)
