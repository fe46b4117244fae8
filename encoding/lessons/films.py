"""Lesson: r on shuffled samples of films, on whole runs left out, and on films that came later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from encoding.datasets.simulation.films import Films, simulate_films
from encoding.evaluation.scores import pearson
from encoding.evaluation.splits import Fold, folds, inner_blocks
from encoding.features.delays import delayed
from encoding.readouts import READOUTS, LinearModel
from encoding.readouts._moments import Moments

N_RUNS, N_FRESH, N_SAMPLES = 5, 2, 120  # runs that are divided into training and test samples, and later ones
DELAYS = (1, 2, 3, 4)
N_SIMULATIONS = 3
N_FOLDS = 5
WAYS = ("shuffled samples", "whole runs", "films that came later")


def evaluations(slow: float, ceiling: float, *, n_simulations: int = N_SIMULATIONS) -> np.ndarray:
    """Mean r over vertices of ridge on delayed features, evaluated in each of the :data:`WAYS`.

    Parameters
    ----------
    slow, ceiling : as :func:`encoding.datasets.simulation.films.simulate_films` takes them.

    Returns
    -------
    (n_simulations, n_ways) float64. ``shuffled samples`` divides single samples into five folds, in the choice of penalties too;
    ``whole runs`` leaves out one run at a time; ``films that came later`` fits all of these runs and tests on runs that took no part.
    """
    made = []
    for seed in range(n_simulations):
        films = simulate_films(n_runs=N_RUNS + N_FRESH, n_samples=N_SAMPLES, slow=slow, ceiling=ceiling, seed=seed)
        seen = np.flatnonzero(films.runs < N_RUNS)
        known, X = films.of(seen), delayed(films.features, DELAYS, films.runs)
        single, later = np.arange(len(seen)), np.flatnonzero(films.runs >= N_RUNS)
        shuffled = mean_r(X[seen], known, folds(f"kfold:{N_FOLDS}:{seed}", single), single)
        whole = mean_r(X[seen], known, folds("runs", known.runs, runs=known.runs), known.runs)
        fresh = mean_r(X, films, [Fold(seen, later)], films.runs)
        made.append([shuffled, whole, fresh])
    return np.array(made)


def mean_r(X: np.ndarray, films: Films, parts: Sequence[Fold], groups: np.ndarray) -> float:
    """Mean r over folds and vertices of ridge whose penalties are chosen on inner folds of ``groups`` (n,), which are not divided."""
    return float(
        np.mean([pearson(ridge(X, films.responses, fold, groups).predict(X[fold.test]), films.responses[fold.test]) for fold in parts])
    )


def ridge(X: np.ndarray, Y: np.ndarray, fold: Fold, groups: np.ndarray) -> LinearModel:
    """Ridge of Y (n, t) from X (n, p) on a fold's training rows, as on the Explore page."""
    inner = inner_blocks(groups[fold.train], groups[fold.train], N_FOLDS)
    readout = READOUTS["ridge"]
    return readout.fit(Moments.of(X, Y, inner, rows=fold.train), readout.read({}))
