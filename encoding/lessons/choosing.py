"""Lesson on choosing a model by its test score: the best of many models that know nothing looks as if it knew something."""

from __future__ import annotations

import numpy as np

from encoding.evaluation.scores import pearson
from encoding.evaluation.splits import Fold
from encoding.lessons._linear import fitted

COUNTS = (1, 2, 5, 10, 20, 50)  # models among which one is chosen
N_FEATURES, N_VERTICES = 20, 60


def optimism(n_train: int, n_test: int, *, counts: tuple[int, ...] = COUNTS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Choose for each vertex the model with the highest r on half of the test images; features and responses are independent noise.

    Parameters
    ----------
    n_train, n_test : images that train and that test, half of which choose.
    counts : numbers of models among which one is chosen.

    Returns
    -------
    chosen_on, other : (len(counts),) float64
        Mean r over vertices of the chosen models on the images that chose, and on the other half.
    """
    rng = np.random.default_rng(seed)
    n = n_train + n_test
    fold = Fold(np.arange(n_train), np.arange(n_train, n))
    Y = rng.standard_normal((n, N_VERTICES)).astype(np.float32)
    halves = np.arange(n_test) < n_test // 2
    r = np.empty((2, max(counts), N_VERTICES))
    for model in range(max(counts)):
        X = rng.standard_normal((n, N_FEATURES)).astype(np.float32)
        predicted = fitted(X, Y, fold).predict(X[fold.test])
        for half, rows in enumerate((halves, ~halves)):
            r[half, model] = pearson(predicted[rows], Y[fold.test][rows])
    best = [np.argmax(r[0, :count], axis=0) for count in counts]
    vertices = np.arange(N_VERTICES)
    first, second = (np.array([values[winners, vertices].mean() for winners in best]) for values in r)
    return first, second
