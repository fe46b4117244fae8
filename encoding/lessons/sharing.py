"""Lesson: variance partitioning between two overlapping feature spaces, on planted responses.

The spaces are made of principal components of the images' Gabor energy, which do not correlate: A of one half of them, B of A and of the
other half, mixed so that each feature of B correlates by just ``overlap`` with one of A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from encoding.evaluation.scores import score
from encoding.evaluation.splits import Fold
from encoding.lessons._linear import fitted, standardised
from encoding.readouts._shares import layer_shares

N_FEATURES = 8  # of each space
N_VERTICES = 60  # of each kind
CEILING = 0.6  # the signal's share of the planted responses' variance
KINDS: Mapping[str, tuple[int, int]] = {"A alone": (1, 0), "A and B": (1, 1), "B alone": (0, 1)}  # how much A and B drive a vertex
N_CANDIDATES = 60  # sets of layer weights that banded ridge tries


@dataclass(frozen=True)
class Division:
    """Partition of R² on test images in two ways; each (t,) float64.

    Attributes
    ----------
    total : R² of banded ridge on both spaces.
    only_a, only_b : unique R², lost when that space is left out.
    either : shared R², the remainder.
    share_a, share_b : shares of ``total`` by the product measure; they sum to it.
    """

    total: np.ndarray
    only_a: np.ndarray
    only_b: np.ndarray
    either: np.ndarray
    share_a: np.ndarray
    share_b: np.ndarray


def two_spaces(components: np.ndarray, fold: Fold, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Two spaces (n, N_FEATURES) of which feature i of one correlates by ``overlap`` with feature i of the other, on training rows.

    Parameters
    ----------
    components : (n, 2 * N_FEATURES or more), principal components of those rows, largest first. Every other one goes into A.
    overlap : 0 … 1.
    """
    Z = standardised(components[:, : 2 * N_FEATURES], fold.train)
    A, own = Z[:, 0::2], Z[:, 1::2]
    return A, overlap * A + np.sqrt(1 - overlap**2) * own


def planted(A: np.ndarray, B: np.ndarray, fold: Fold, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Responses of vertices that A drives, B drives or both do alike, with fresh noise to a ceiling of :data:`CEILING`.

    Returns
    -------
    Kind to (n, N_VERTICES) float64. Weights are random, and those of B are those of A, so a vertex of the middle kind owes as much to one
    as to the other.
    """
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((A.shape[1], N_VERTICES))
    responses = {}
    for kind, (a, b) in KINDS.items():
        signal = standardised(a * A @ weights + b * B @ weights, fold.train)
        responses[kind] = np.sqrt(CEILING) * signal + np.sqrt(1 - CEILING) * rng.standard_normal(signal.shape)
    return responses


def divide(A: np.ndarray, B: np.ndarray, Y: np.ndarray, fold: Fold) -> Division:
    """Partition the explained variance of Y (n, t): by leaving one space out, and by banded ridge with the product measure."""
    X, bands = np.hstack([A, B]), (A.shape[1], B.shape[1])
    both = fitted(X, Y, fold, readout="banded_ridge", bands=bands, n_candidates=N_CANDIDATES)
    total = score(both.predict(X[fold.test]), Y[fold.test])["r2"]
    alone = [score(fitted(space, Y, fold).predict(space[fold.test]), Y[fold.test])["r2"] for space in (A, B)]
    share_a, share_b = layer_shares(both.weights, bands, X[fold.test], Y[fold.test], both.intercept)
    return Division(
        total=total,
        only_a=total - alone[1],
        only_b=total - alone[0],
        either=alone[0] + alone[1] - total,
        share_a=share_a,
        share_b=share_b,
    )
