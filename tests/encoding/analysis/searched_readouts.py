"""Readouts with a few parameters to search, whose answers are known."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from encoding.readouts import Choice, LinearModel, Options, Range, Readout, option
from encoding.readouts._moments import centred
from tests.conftest import TINY

SAME = ["number", "value", "state", "alpha", "sign"]


def solved(X, Y, alpha):
    X0, Y0 = X - X.mean(0), Y - Y.mean(0)
    weights = np.linalg.solve(X0.T @ X0 + alpha * np.eye(X.shape[1]), X0.T @ Y0)
    return weights, Y.mean(0) - X.mean(0) @ weights


@dataclass(frozen=True)
class SignedOptions(Options):
    alpha: float = option(1e4, "Penalty.", search=Range(1e-2, 1e5, log=True))
    sign: int = option(1, "Of the weights.", search=Choice((1, -1)))
    fails: bool = option(False, "Whether it fails where the sign is negative.")


class Signed(Readout):
    """Ridge from moments, whose weights may be turned round."""

    name, title, about, options = "signed", "Signed", "Ridge.", SignedOptions
    fitted = []

    def fit(self, data, options, *, device="cpu", report=None):
        if options.fails and options.sign < 0:
            raise FloatingPointError("negative")
        self.fitted.append(data)
        sums = centred(data, np.arange(data.n_folds))
        p = data.n_components
        weights = np.linalg.solve(sums.xx.numpy() + options.alpha * np.eye(p), sums.xy.double().numpy()) * options.sign
        return LinearModel(weights, sums.mean_y.numpy() + data.shift - sums.mean_x.numpy() @ weights)


class SignedArrays(Signed):
    """The same from arrays."""

    name, uses_moments = "signed_arrays", False

    def fit(self, data, options, *, device="cpu", report=None):
        self.fitted.append(data)
        weights, intercept = solved(data.X.astype(float), data.Y[:, :].astype(float), options.alpha)
        return LinearModel(weights * options.sign, intercept)


@dataclass(frozen=True)
class BoostedOptions(Options):
    alpha: float = option(1e4, "Penalty.", search=Range(1e-2, 1e5, log=True))
    boost: int | None = option(None, "Divides the penalty.", search=Range(2, 50))


class Boosted(Signed):
    """Ridge, with a default that no range holds."""

    name, options = "boosted", BoostedOptions

    def fit(self, data, options, *, device="cpu", report=None):
        if (options.boost or 0) > 25:
            raise ValueError("too much")
        return super().fit(data, SignedOptions(alpha=options.alpha / (options.boost or 1)))


@dataclass(frozen=True)
class SteppedOptions(Options):
    rate: float = option(0.3, "Of learning.", search=Range(0.001, 1.0, log=True))


class Stepped(Readout):
    """Gradient descent for ten epochs, watched."""

    name, title, about, uses_moments, options, exact = "stepped", "Stepped", "Steps.", False, SteppedOptions, False
    epochs = []

    def fit(self, data, options, *, device="cpu", report=None):
        X, Y = data.X.astype(float), data.Y[:, :].astype(float)
        mean_x, mean_y = X.mean(0), Y.mean(0)
        X, Y, weights = X - mean_x, Y - mean_y, np.zeros((X.shape[1], Y.shape[1]))
        step = options.rate / np.linalg.eigvalsh(X.T @ X).max()
        self.epochs.append(0)
        for epoch in range(10):
            weights += step * X.T @ (Y - X @ weights)
            self.epochs[-1] += 1
            if data.on_epoch:
                data.on_epoch(epoch, 1 - float(np.square(Y - X @ weights).mean() / Y.var()))  # as r, higher is better
        return LinearModel(weights, mean_y - mean_x @ weights)


SIGNED, ARRAYS, STEPPED = (replace(TINY, readout=name) for name in ("signed", "signed_arrays", "stepped"))


def same(found, other):
    pd.testing.assert_frame_equal(found.trials[SAME], other.trials[SAME])
