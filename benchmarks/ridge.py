"""Ridge with a penalty per target, against himalaya: 7,000 x 100 -> 20,000 targets, 15 alphas, 5 folds."""

from __future__ import annotations

import numpy as np

from benchmarks._timing import timed
from encoding.readouts import READOUTS
from encoding.readouts._moments import Moments


def problem(n: int, p: int, t: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Components with a decaying spectrum and responses with an r² of 0 to .6, float32."""
    rng = np.random.default_rng(seed)
    X = (rng.standard_normal((n, p)) * np.geomspace(10, 0.3, p)).astype(np.float32)
    W = (rng.standard_normal((p, t)) * rng.uniform(0, 0.05, t)).astype(np.float32)
    return X, X @ W + rng.standard_normal((n, t)).astype(np.float32)


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    from himalaya.backend import set_backend
    from himalaya.ridge import RidgeCV
    from sklearn.model_selection import PredefinedSplit

    n, p, t = (2_000, 50, 2_000) if quick else (7_000, 100, 20_000)
    X, Y = problem(n, p, t)
    alphas, fold = np.logspace(-2, 5, 15), np.arange(n) * 5 // n
    ridge = READOUTS["ridge"]
    options = ridge.read({"alphas": list(alphas)})
    ridge.fit(Moments.of(X[:, :p], Y[:, :64], fold), options)  # threads and libraries awake
    ours, model = timed(lambda: ridge.fit(Moments.of(X, Y, fold), options), times=3)
    set_backend("numpy")
    estimator = RidgeCV(alphas=alphas, cv=PredefinedSplit(fold), fit_intercept=True, solver_params={"n_targets_batch": 2_000})
    theirs, fitted = timed(lambda: estimator.fit(X, Y))
    product, _ = timed(lambda: X.T @ Y, times=3)
    same = np.isclose(model.details["alpha"], fitted.best_alphas_, rtol=1e-3)
    difference = np.abs(model.weights[:, same] - fitted.coef_[:, same]).max() / np.abs(fitted.coef_).max()
    what = f"ridge, {n:,} x {p} → {t:,} targets, 15 alphas, 5 folds, alpha per target"
    return [
        {
            "what": what,
            "ours": f"{ours:.2f} s",
            "against": f"himalaya (numpy): {theirs:.1f} s",
            "ratio": f"{theirs / ours:.0f} x faster; same alpha for {same.mean():.2%}, weights within {difference:.0e}",
            "aim": "100 x",
            "seconds": {"ours": ours, "himalaya": theirs, "one X'Y product": product},
            "same_alpha": float(same.mean()),
        }
    ]
