"""Predictions of nearest neighbours against scikit-learn's: 1,000 images from 6,000 x 100 for 20,000 targets, k = 5."""

from __future__ import annotations

import numpy as np

from benchmarks._timing import timed
from benchmarks.ridge import problem
from encoding.readouts import READOUTS, Training


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    from sklearn.neighbors import KNeighborsRegressor

    n, p, t, n_test = (2_000, 50, 2_000, 300) if quick else (6_000, 100, 20_000, 1_000)
    X, Y = problem(n + n_test, p, t)
    X, Y, new = X[:n], Y[:n], X[n:]
    knn, rows = READOUTS["knn"], []
    for weighting in ("uniform", "distance"):
        model = knn.fit(Training.of(X, Y), knn.read({"weighting": weighting}))
        model.predict(new[:8])  # threads and libraries awake
        ours, predicted = timed(lambda model=model: model.predict(new), times=5)
        estimator = KNeighborsRegressor(5, weights=weighting).fit(X, Y)
        estimator.predict(new[:8])
        theirs, expected = timed(lambda estimator=estimator: estimator.predict(new), times=3)
        difference = float(np.abs(predicted - expected).max() / np.abs(expected).max())
        rows.append(
            {
                "what": f"knn (k = 5, {weighting}), {n_test:,} predicted from {n:,} x {p} → {t:,} targets",
                "ours": f"{ours:.2f} s",
                "against": f"scikit-learn: {theirs:.2f} s",
                "ratio": f"{theirs / ours:.1f} x faster; predictions within {difference:.0e}",
                "aim": "10 x",
                "seconds": {"ours": ours, "scikit-learn": theirs},
                "difference": difference,
            }
        )
    return rows
