"""Ridge as Explore fits it, on the arrays of a lesson."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from encoding.evaluation.splits import Fold, inner_folds
from encoding.fits.plan import INNER_SEED
from encoding.readouts import READOUTS, LinearModel
from encoding.readouts._moments import Moments


def fitted(X: np.ndarray, Y: np.ndarray, fold: Fold, *, readout: str = "ridge", bands: tuple[int, ...] = (), **options: Any) -> LinearModel:
    """The model of Y (n, t) from X (n, p) on a fold's training rows, its penalties chosen on the same inner folds as in Explore.

    Rows count as different stimuli. ``bands`` says how many columns of X each feature space has, for readouts that treat spaces apart.
    """
    known = READOUTS[readout]
    read = known.read(options)
    inner = inner_folds(fold.train, known.n_folds(read), INNER_SEED)
    return known.fit(replace(Moments.of(X, Y, inner, rows=fold.train), bands=bands), read)


def standardised(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """X (n, p) as float64, less its mean over some rows and divided by its deviation there; columns without any stay 0."""
    X = np.asarray(X, np.float64)
    X = X - X[rows].mean(0)
    spread = X[rows].std(0)
    return X / np.where(spread > 0, spread, 1)
