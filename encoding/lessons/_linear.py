"""Linear readouts of the project, fitted on the arrays of a lesson."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from encoding.evaluation.splits import Fold, inner_folds
from encoding.fits.plan import INNER_SEED
from encoding.readouts import READOUTS, LinearModel
from encoding.readouts._moments import Moments


def fitted(X: np.ndarray, Y: np.ndarray, fold: Fold, *, readout: str = "ridge", bands: tuple[int, ...] = (), **options: Any) -> LinearModel:
    """Fit a linear readout on a fold's training rows, with penalties chosen on the same inner folds as in a fit.

    Parameters
    ----------
    X : (n, p) components. Y : (n, t) responses. Every row is a stimulus of its own.
    bands : number of columns of X of each feature space, for readouts that treat spaces apart.
    options : of the readout.
    """
    known = READOUTS[readout]
    read = known.read(options)
    inner = inner_folds(fold.train, known.n_folds(read), INNER_SEED)
    return known.fit(replace(Moments.of(X, Y, inner, rows=fold.train), bands=bands), read)


def standardised(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Standardise X (n, p) by mean and standard deviation over ``rows``: float64; constant columns become 0."""
    X = np.asarray(X, np.float64)
    X = X - X[rows].mean(0)
    spread = X[rows].std(0)
    return X / np.where(spread > 0, spread, 1)
