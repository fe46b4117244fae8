"""Simulate what the error bars claim: how often 95 % intervals hold the true value, and how often p < .05 where two fits are equal.

``python -m tests.encoding.evaluation.coverage`` prints the table of ``docs/what_the_numbers_mean.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encoding.analysis.comparison import paired_test
from encoding.analysis.layer_ranking import chance_bound
from encoding.evaluation.leave_one_out import ScoredFold
from encoding.evaluation.resampling import ErrorBar, Estimates, estimate, shared_noise

N_SIMULATED = 1_000
N_VERTICES = 6
SHOWN = ("r", "pooled_r", "normalised_r", "normalised_r2", "r2", "rmse", "mae", "smooth_l1")
TESTED = ("r", "r2", "rmse")
N_DRAWS = 500


@dataclass(frozen=True)
class Design:
    """How test rows come about: ``n_units`` stimuli or groups with ``rows`` rows each on average, in ``n_folds`` folds."""

    name: str
    n_units: int
    rows: tuple[int, ...] = (1,)
    n_folds: int = 1
    icc: float = 0.6  # share of a response's variance that rows of one unit have in common
    n_features: int = 10  # of each ridge regression, under k-fold
    alpha: float = 10.0


DESIGNS = (
    Design("hold-out, 100 stimuli", 100),
    Design("hold-out, 100 stimuli x 4 repeats", 100, (4,)),
    Design("hold-out, 100 groups of 2 to 6 rows", 100, (2, 3, 4, 5, 6), icc=0.3),
    Design("5-fold, 150 stimuli", 150, n_folds=5),
    Design("5-fold, 100 stimuli x 3 repeats", 100, (3,), n_folds=5),
    Design("5-fold, 150 stimuli, 100 features", 150, n_folds=5, n_features=100, alpha=300.0),
    Design("hold-out, 30 stimuli", 30),
)
SIGNALS = {"none": 0.0, "some": 0.35}


@dataclass(frozen=True)
class Found:
    """Shares over all simulations: ``coverage`` by score, ``difference`` of the interval of one of r, ``positives`` of p < .05 by score."""

    coverage: dict[str, float]
    difference: float
    positives: dict[str, float]
    chance: float


def simulate(design: Design, signal: float, *, n: int = N_SIMULATED, seed: int = 0) -> Found:
    """One row of the table. The truth is the mean of the score over all simulations: what it would be on other test sets."""
    rng = np.random.default_rng([seed, DESIGNS.index(design), round(100 * signal)])  # rows are independent of one another
    unit = np.repeat(np.arange(design.n_units), np.resize(design.rows, design.n_units))
    fold_of = (np.arange(design.n_units) * design.n_folds // design.n_units)[unit]
    make = _direct if design.n_folds == 1 else _ridge
    predictions, Y = make(rng, design, unit, fold_of, signal, n)
    found = [_estimates(each, Y, unit, fold_of) for each in predictions]
    coverage = {}
    for name in found[0].value:
        low, high = found[0].interval(name)
        truth = found[0].value[name].mean()
        coverage[name] = float(((low <= truth) & (truth <= high)).mean())
    covered, positives = {}, {}
    for name in TESTED:
        difference = found[1].value[name] - found[0].value[name]
        drawn = found[1].draws[name].astype(float) - found[0].draws[name]
        tests = np.array([paired_test(d, draws, found[0].df) for d, draws in zip(difference, drawn.T, strict=True)])
        truth = difference.mean()
        covered[name] = float(((tests[:, 0] <= truth) & (truth <= tests[:, 1])).mean())
        positives[name] = float((tests[:, 2] < 0.05).mean())
    bound = chance_bound(design.n_units, n_folds=design.n_folds)
    return Found(coverage, covered["r"], positives, float((found[0].vertices["r"] > bound).mean()))


def _estimates(predicted: list[list[np.ndarray]], Y: np.ndarray, unit: np.ndarray, fold_of: np.ndarray) -> Estimates:
    n_columns = Y.shape[1]
    rows = [np.flatnonzero(fold_of == number) for number in range(len(predicted))]
    folds = [ScoredFold(predicted[k][k], Y[rows[k]], unit[rows[k]]) for k in range(len(rows))]
    blocks = (
        (
            np.arange(start, start + 240),
            [ScoredFold(f.predicted[:, start : start + 240], f.measured[:, start : start + 240], f.units) for f in folds],
        )
        for start in range(0, n_columns, 240)
    )
    members = {str(number): np.arange(number * N_VERTICES, (number + 1) * N_VERTICES) for number in range(n_columns // N_VERTICES)}
    ceiling = np.tile(np.linspace(0.2, 0.8, N_VERTICES), n_columns // N_VERTICES)
    tau = shared_noise(predicted) if len(rows) > 1 else None
    return estimate(blocks, members, n_columns, error_bar=ErrorBar(n_draws=N_DRAWS), ceiling=ceiling, tau=tau, scores=SHOWN)


def _correlated(rng: np.random.Generator, shape: tuple[int, int], n: int) -> np.ndarray:
    """Noise (rows, n * N_VERTICES), half of its variance shared by the vertices of one simulation."""
    rows = shape[0]
    return (np.sqrt(0.5) * (rng.normal(size=(rows, n, 1)) + rng.normal(size=(rows, n, N_VERTICES)))).reshape(rows, -1)


def _responses(rng: np.random.Generator, design: Design, unit: np.ndarray, explained: np.ndarray, signal: float, n: int) -> np.ndarray:
    """Responses of unit variance of which predictors explain ``signal`` of the part that rows of a unit share."""
    icc = design.icc if len(unit) > design.n_units else 1.0
    shared = np.sqrt(signal) * explained + np.sqrt(1 - signal) * _correlated(rng, (design.n_units, 0), n)
    return np.sqrt(icc) * shared[unit] + np.sqrt(1 - icc) * _correlated(rng, (len(unit), 0), n)


def _direct(rng, design, unit, fold_of, signal, n):
    """Predictions of two fits, drawn directly: the same for every row of a unit, equally good."""
    one, other = (_correlated(rng, (design.n_units, 0), n) for _ in range(2))
    explained = (one + other) / np.sqrt(2)
    Y = _responses(rng, design, unit, explained, signal, n)
    return [[[each[unit]]] for each in (one, other)], Y


def _ridge(rng, design, unit, fold_of, signal, n):
    """Predictions of two ridge regressions on features of their own, fitted anew in every fold and simulation."""
    n_features, alpha = design.n_features, design.alpha
    X = rng.normal(size=(2, n, design.n_units, n_features))
    weights = np.random.default_rng(99).normal(size=(2, n_features, N_VERTICES))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True) * np.sqrt(2)
    explained = np.einsum("fnup,fpt->unt", X, weights).reshape(design.n_units, -1)
    Y = _responses(rng, design, unit, explained, signal, n)
    of_fit, n_folds = [], fold_of.max() + 1
    responses = Y.reshape(len(unit), n, N_VERTICES).transpose(1, 0, 2)
    for features in X:
        rows = features[:, unit]
        models = []
        for fold in range(n_folds):
            train = fold_of != fold
            A, B = rows[:, train], responses[:, train] - responses[:, train].mean(1, keepdims=True)
            models.append(np.linalg.solve(A.transpose(0, 2, 1) @ A + alpha * np.eye(n_features), A.transpose(0, 2, 1) @ B))
        every = [(rows @ weights).transpose(1, 0, 2).reshape(len(unit), -1) for weights in models]
        of_fit.append([[every[a][fold_of == b] for b in range(n_folds)] for a in range(n_folds)])
    return of_fit, Y


def row(design: Design, signal: str, found: Found) -> str:
    """One line of the table, as Markdown."""
    numbers = [*(found.coverage.get(score) for score in SHOWN), found.difference, *found.positives.values()]
    cells = ["is r" if number is None else f"{number:.1%}" for number in numbers]
    return f"| {' | '.join([design.name, signal, *cells, f'{found.chance:.1%}' if signal == 'none' else ''])} |"


def table() -> str:
    """The table as Markdown."""
    lines = [
        "| test rows | signal | r | pooled r | r / highest r | r² / ceiling | R² | RMSE | MAE | smooth L1 | difference "
        "| p < .05 of equal fits | of R² | of RMSE | above the chance line |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [row(design, name, simulate(design, signal)) for design in DESIGNS for name, signal in SIGNALS.items()])


if __name__ == "__main__":
    print(table())
