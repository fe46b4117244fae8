"""The sparse family and partial least squares against scikit-learn, 7,000 x 100 -> 20,000 targets.

scikit-learn fits one target at a time, so it is timed on a sample of targets and its time taken per target. Ours is the time of all
targets, moments included. Agreement is that of the same sample.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks._timing import timed
from benchmarks.ridge import problem
from encoding.readouts import READOUTS, LinearModel
from encoding.readouts._moments import Moments

N_ALPHAS, N_FOLDS, RATIOS = 30, 5, (0.1, 0.5, 0.9)


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    n, p, t = (2_000, 50, 2_000) if quick else (7_000, 100, 20_000)
    X, Y = problem(n, p, t)
    fold = np.arange(n) * N_FOLDS // n
    sample = np.linspace(0, t - 1, 10 if quick else 30).astype(int)
    fit("lasso", X, Y[:, :64], fold, alpha=0.1)  # threads and libraries awake
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [
            one_alpha(X, Y, sample),
            chosen("lasso", X, Y, fold, sample),
            chosen("elastic_net", X, Y, fold, sample[::3]),
            joint_lasso(X[:, :50], Y[:, : 200 if quick else 1_000]),
            latent(X, Y[:, : 200 if quick else 1_000]),
        ]


def fit(name: str, X: np.ndarray, Y: np.ndarray, fold: np.ndarray, **options: object) -> LinearModel:
    readout = READOUTS[name]
    return readout.fit(Moments.of(X, Y, fold), readout.read(options))


def one_alpha(X: np.ndarray, Y: np.ndarray, sample: np.ndarray) -> dict[str, object]:
    """Lasso at one alpha. scikit-learn's tolerance is the one at which its weights are good to five digits."""
    from sklearn.linear_model import Lasso

    alpha = 0.05
    ours, model = timed(lambda: fit("lasso", X, Y, np.zeros(len(X), int), alpha=alpha), times=3)
    theirs, fitted = timed(lambda: [Lasso(alpha=alpha, tol=1e-6).fit(X, Y[:, target]) for target in sample])
    coefficients = np.stack([each.coef_ for each in fitted], 1)
    difference = np.abs(model.weights[:, sample] - coefficients).max() / np.abs(coefficients).max()
    agreement = f"weights within {difference:.0e}, optimality residual {model.details['kkt'].max():.0e}"
    what = f"lasso, {shape(X, Y)}, one alpha"
    return row(what, "Lasso", ours / Y.shape[1], theirs / len(sample), agreement, "1,000 x", {"difference": float(difference)})


def chosen(name: str, X: np.ndarray, Y: np.ndarray, fold: np.ndarray, sample: np.ndarray) -> dict[str, object]:
    """Penalties chosen for each target, the same alphas and folds for both."""
    from sklearn.linear_model import ElasticNetCV, LassoCV
    from sklearn.model_selection import PredefinedSplit

    alphas, folds = np.geomspace(2, 2e-3, N_ALPHAS), PredefinedSplit(fold)
    ratios = {"l1_ratios": RATIOS} if name == "elastic_net" else {}
    ours, model = timed(lambda: fit(name, X, Y, fold, alphas=tuple(alphas), **ratios))

    def make() -> LassoCV | ElasticNetCV:
        return ElasticNetCV(alphas=alphas, l1_ratio=RATIOS, cv=folds) if ratios else LassoCV(alphas=alphas, cv=folds)

    theirs, fitted = timed(lambda: [make().fit(X, Y[:, target]) for target in sample])
    same = np.isclose(model.details["alpha"][sample], [each.alpha_ for each in fitted])
    if ratios:
        same &= np.isclose(model.details["l1_ratio"][sample], [each.l1_ratio_ for each in fitted])
    what = f"{name.replace('_', ' ')}, {shape(X, Y)}, {N_ALPHAS} alphas{f' x {len(RATIOS)} l1_ratios' if ratios else ''}, {N_FOLDS} folds"
    agreement = f"same choice for {same.sum()} of {len(sample)} targets, optimality residual {model.details['kkt'].max():.0e}"
    peer = "ElasticNetCV" if ratios else "LassoCV"
    return row(what, peer, ours / Y.shape[1], theirs / len(sample), agreement, "300 x", {"same_choice": float(same.mean())})


def joint_lasso(X: np.ndarray, Y: np.ndarray) -> dict[str, object]:
    """Multi-task lasso at one alpha, of as many targets as scikit-learn fits in a while."""
    from sklearn.linear_model import MultiTaskLasso

    alpha = 0.1 * np.linalg.norm((X - X.mean(0)).T @ (Y - Y.mean(0)), axis=1).max() / len(X)
    ours, model = timed(lambda: fit("multitask_lasso", X, Y, np.zeros(len(X), int), alpha=float(alpha)), times=3)
    theirs, fitted = timed(lambda: MultiTaskLasso(alpha=alpha, tol=1e-6).fit(X, Y))
    difference = np.abs(model.weights - fitted.coef_.T).max() / np.abs(fitted.coef_).max()
    agreement = f"weights within {difference:.0e}"
    return row(f"multi-task lasso, {shape(X, Y)}, one alpha", "MultiTaskLasso", ours, theirs, agreement, "", {}, unit="s")


def latent(X: np.ndarray, Y: np.ndarray) -> dict[str, object]:
    """Partial least squares with ten latent components."""
    from sklearn.cross_decomposition import PLSRegression

    ours, model = timed(lambda: fit("pls", X, Y, np.zeros(len(X), int), n_components=10), times=3)
    theirs, fitted = timed(lambda: PLSRegression(10, tol=1e-12, max_iter=2_000).fit(X.astype(float), Y.astype(float)))
    predicted, expected = model.predict(X), fitted.predict(X)
    difference = np.abs(predicted - expected).max() / np.abs(expected).max()
    agreement = f"predictions within {difference:.0e}"
    return row(f"pls, {shape(X, Y)}, 10 latent components", "PLSRegression", ours, theirs, agreement, "", {}, unit="s")


def shape(X: np.ndarray, Y: np.ndarray) -> str:
    return f"{len(X):,} x {X.shape[1]} → {Y.shape[1]:,} targets"


def row(
    what: str, peer: str, ours: float, theirs: float, agreement: str, aim: str, numbers: dict[str, float], *, unit: str = "ms a target"
) -> dict[str, object]:
    """One row of the table; ``ours`` and ``theirs`` in seconds, of all targets or of each as ``unit`` says."""
    scale: Callable[[float], float] = (lambda seconds: seconds * 1e3) if unit.startswith("ms") else float
    return {
        "what": what,
        "ours": f"{scale(ours):.3g} {unit}",
        "against": f"scikit-learn's {peer}: {scale(theirs):.3g} {unit}",
        "ratio": f"{theirs / ours:,.0f} x faster; {agreement}",
        "aim": aim,
        "seconds": {"ours": ours, "scikit-learn": theirs},
        **numbers,
    }
