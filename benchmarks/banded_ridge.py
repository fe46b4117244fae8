"""Banded ridge, against himalaya: 7,000 x (5 layers x 100) -> 20,000 targets, 100 candidate scalings, 15 alphas, 5 folds.

himalaya's time is that of one candidate for all targets times the number of candidates, as it treats one after another alike, and leaves
out its weights; ours is whole. The choice is compared over all candidates, on 2,500 of the rows and 200 of the targets.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks._timing import timed
from encoding.readouts import READOUTS, LinearModel
from encoding.readouts._moments import Moments


def problem(n: int, n_layers: int, q: int, t: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Layers of q components that share half their variance, and responses each from a few of them with an r² of 0 to .6; float32."""
    rng = np.random.default_rng(seed)
    common, spectrum = rng.standard_normal((n, q)), np.geomspace(3, 0.3, q)
    X = np.hstack([(rng.standard_normal((n, q)) + common) * spectrum / np.sqrt(2) for _ in range(n_layers)]).astype(np.float32)
    shares = rng.dirichlet([0.5] * n_layers, t).T
    W = (np.sqrt(shares).repeat(q, 0) * rng.standard_normal((n_layers * q, t))).astype(np.float32)
    Y, r2 = X @ W, rng.uniform(0, 0.6, t)
    Y *= (np.sqrt(r2) / Y.std(0)).astype(np.float32)
    Y += rng.standard_normal((n, t), dtype=np.float32) * np.sqrt(1 - r2).astype(np.float32)
    return X, Y


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    from himalaya.backend import set_backend
    from himalaya.ridge import GroupRidgeCV
    from himalaya.ridge._random_search import solve_group_ridge_random_search
    from sklearn.model_selection import PredefinedSplit

    n, n_layers, q, t, n_candidates = (1_000, 5, 20, 2_000, 20) if quick else (7_000, 5, 100, 20_000, 100)
    X, Y = problem(n, n_layers, q, t)
    fold, layer = np.arange(n) * 5 // n, np.repeat(range(n_layers), q)
    alphas = np.logspace(-4, 3, 15) * X.var() * n
    banded = READOUTS["banded_ridge"]
    options = banded.read({"alphas": list(alphas), "n_candidates": n_candidates, "equalize": False})

    def fit(rows: slice, targets: slice) -> LinearModel:
        return banded.fit(replace(Moments.of(X[rows], Y[rows, targets], fold[rows]), bands=(q,) * n_layers), options)

    ours, _ = timed(lambda: fit(slice(None), slice(None)))
    set_backend("numpy")
    search = {"alphas": alphas.astype(np.float32), "n_targets_batch": 2_000, "progress_bar": False, "warn": False}
    Xs, split = [X[:, layer == i] for i in range(n_layers)], {"cv": PredefinedSplit(fold), "fit_intercept": True, "random_state": 0}
    one, _ = timed(lambda: solve_group_ridge_random_search(Xs, Y, n_iter=1, **search, **split))
    theirs = one * n_candidates
    rows, targets = slice(None, None, -(-n // 2_500)), slice(None, None, t // 200)
    split["cv"] = PredefinedSplit(fold[rows])
    fitted = GroupRidgeCV(layer, solver_params={"n_iter": n_candidates, **search}, **split).fit(X[rows], Y[rows, targets])
    model = fit(rows, targets)
    penalties = np.stack([model.details[f"log10_penalty_{i}"] for i in range(n_layers)])
    same = np.isclose(penalties, -fitted.deltas_ / np.log(10), atol=1e-3).all(0)
    difference = np.abs(model.weights[:, same] - fitted.coef_[:, same]).max() / np.abs(fitted.coef_).max()
    return [
        {
            "what": f"banded ridge, {n:,} x {n_layers} layers x {q} → {t:,} targets, {n_candidates} candidates, 15 alphas, 5 folds",
            "ours": f"{ours:.1f} s",
            "against": f"himalaya (numpy): {theirs:,.0f} s, {n_candidates} times one candidate",
            "ratio": f"{theirs / ours:.0f} x faster; same choice for {same.mean():.1%} of {len(same)}, weights within {difference:.0e}",
            "aim": "20 x, 99 %",
            "seconds": {"ours": ours, "himalaya": theirs},
            "same_choice": float(same.mean()),
        }
    ]
