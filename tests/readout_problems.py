"""Regression problems of several difficulties, and a readout fitted to one."""

import numpy as np

from encoding.readouts import READOUTS, Training
from encoding.readouts._moments import Moments

KINDS = ("correlated", "rank-deficient", "wide", "well-behaved")


def problem(kind="correlated", n=300, t=12, seed=0, dtype=np.float64):
    """(X, Y) of one difficulty, responses with noise."""
    rng = np.random.default_rng(seed)
    p = {"correlated": 20, "rank-deficient": 20, "wide": 4 * n // 3, "well-behaved": 8}[kind]
    X = rng.normal(size=(n, p))
    if kind == "correlated":
        X = X @ np.linalg.cholesky(0.95 * np.ones((p, p)) + 0.05 * np.eye(p)).T
    elif kind == "rank-deficient":
        X = X[:, :7] @ rng.normal(size=(7, p))
    X = X * np.geomspace(1, 10, p) + 2
    Y = X @ rng.normal(size=(p, t)) / 10 + rng.normal(0, np.geomspace(0.5, 20, t), size=(n, t)) - 1
    return X.astype(dtype), Y.astype(dtype)


def fit(name, X, Y, fold=None, **options):
    """The model of X (n, p) and Y (n, t); folds by turns unless given."""
    readout = READOUTS[name]
    read = readout.read(options)
    if fold is None:
        fold = np.arange(len(X)) % readout.n_folds(read)
    return readout.fit(Moments.of(X, Y, fold) if readout.uses_moments else Training.of(X, Y, fold), read)


def mean_r(predicted, Y):
    """Mean over targets of the correlation of predictions and responses (n, t); a constant prediction counts 0."""
    return np.mean([np.corrcoef(p, y)[0, 1] if p.std() else 0 for p, y in zip(predicted.T, Y.T, strict=True)])


def same_bits(one, other):
    """Two models hold equal arrays."""
    ours, theirs = one.arrays(), other.arrays()
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
