"""Lasso and elastic net from moments against scikit-learn: equal weights, equal choices, optimal to the last digits."""

import warnings

import numpy as np
import pytest
import torch
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import PredefinedSplit

from encoding.evaluation.splits import inner_folds
from encoding.readouts import READOUTS, NotConverged, _sparse
from encoding.readouts._active_set import solve_active
from encoding.readouts._gram import Gram
from encoding.readouts._moments import Moments, centred
from encoding.readouts._sparse import Path, kkt
from encoding.readouts.ridge import TARGET_BLOCK
from encoding.runtime.progress import Cancelled
from tests.readout_problems import fit, problem

ALPHAS = tuple(np.geomspace(3, 0.01, 12))


def sklearns(X, Y, make):
    """(p, t) coefficients of one scikit-learn model a target."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [make().fit(X, y) for y in Y.T]


@pytest.mark.parametrize("kind", ["well-behaved", "correlated", "rank-deficient"])
@pytest.mark.parametrize("alpha", [0.01, 0.3, 5.0])
def test_lasso_weights_are_scikit_learns(kind, alpha):
    X, Y = problem(kind)
    ours = fit("lasso", X, Y, alpha=alpha)
    theirs = sklearns(X, Y, lambda: linear_model.Lasso(alpha=alpha, tol=1e-12, max_iter=200_000))
    scale = max(np.abs(each.coef_).max() for each in theirs) + 1e-12
    coefficients = np.stack([each.coef_ for each in theirs], 1)
    np.testing.assert_allclose(ours.weights, coefficients, atol=(1e-4 if kind == "rank-deficient" else 1e-5) * scale)
    assert (loss_of(X, Y, ours.weights, alpha, 1) <= loss_of(X, Y, coefficients, alpha, 1) * (1 + 1e-9)).all()
    assert ours.details["kkt"].max() < 1e-4
    np.testing.assert_array_equal(ours.details["n_weights"], (ours.weights != 0).sum(0))


@pytest.mark.parametrize("ratio", [0.1, 0.6, 1.0])
def test_elastic_net_weights_are_scikit_learns(ratio):
    X, Y = problem("correlated")
    ours = fit("elastic_net", X, Y, alpha=0.5, l1_ratio=ratio)
    theirs = sklearns(X, Y, lambda: linear_model.ElasticNet(alpha=0.5, l1_ratio=ratio, tol=1e-12, max_iter=200_000))
    coefficients = np.stack([each.coef_ for each in theirs], 1)
    np.testing.assert_allclose(ours.weights, coefficients, atol=1e-5 * np.abs(coefficients).max())
    np.testing.assert_allclose(ours.intercept, [each.intercept_ for each in theirs], rtol=1e-5, atol=1e-5)


def square(n=60, t=6):
    """(X, Y) with as many components as images less one: least squares would fit every response exactly."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, n - 1))
    return X, X @ rng.normal(size=(n - 1, t)) / 10 + rng.normal(size=(n, t))


def loss_of(X, Y, weights, alpha, ratio):
    """(t,) scikit-learn's objective."""
    squares = ((Y - Y.mean(0) - (X - X.mean(0)) @ weights) ** 2).sum(0) / 2 / len(X)
    return squares + alpha * ratio * np.abs(weights).sum(0) + alpha * (1 - ratio) / 2 * (weights**2).sum(0)


def violation(X, Y, weights, alpha, ratio):
    """How far weights are from optimal, from X and Y themselves, relative to each target's largest |X'y| / n."""
    X, Y = X - X.mean(0), Y - Y.mean(0)
    g = X.T @ (X @ weights - Y) / len(X) + alpha * (1 - ratio) * weights
    far = np.where(weights != 0, np.abs(g + alpha * ratio * np.sign(weights)), np.abs(g) - alpha * ratio)
    return (far.max(0) / np.abs(X.T @ Y / len(X)).max(0)).max()


@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize("share", [0.3, 1e-2, 1e-4])
@pytest.mark.parametrize("kind", ["correlated", "rank-deficient", "wide", "square"])
def test_weights_are_optimal_however_alike_components_are(kind, share, ratio):
    X, Y = square() if kind == "square" else problem(kind, n=150 if kind == "wide" else 300, t=2 if kind == "wide" else 6)
    alpha = share * np.abs((X - X.mean(0)).T @ (Y - Y.mean(0)) / len(X)).max()
    ours = fit("elastic_net", X, Y, alpha=alpha, l1_ratio=ratio)
    assert violation(X, Y, ours.weights, alpha, ratio) < 1e-8
    assert ours.details["kkt"].max() < 1e-8
    if share > 1e-3 and kind != "wide":  # scikit-learn comes near the best there in any time
        theirs = sklearns(X, Y, lambda: linear_model.ElasticNet(alpha=alpha, l1_ratio=ratio, tol=1e-12, max_iter=20_000))
        coefficients = np.stack([each.coef_ for each in theirs], 1)
        losses = [loss_of(X, Y, w, alpha, ratio) for w in (ours.weights, coefficients)]
        np.testing.assert_allclose(*losses, rtol=1e-7)
        assert (losses[0] <= losses[1] * (1 + 1e-12)).all()


@pytest.mark.parametrize("kind", ["correlated", "rank-deficient", "square"])
def test_every_penalty_on_the_way_is_solved_from_zeros_and_from_the_one_before(kind, monkeypatch):
    monkeypatch.setattr(_sparse, "SOLVED_WEIGHTS", 100)  # beyond, weights on the way are good enough to choose by, and no more
    X, Y = square() if kind == "square" else problem(kind, t=40)
    moments, fold = Moments.of(X, Y, np.arange(len(X)) % 5), np.array([1, 2, 3, 4])
    gram = Gram.on(moments, fold, device="cpu")
    c = gram.products(moments, fold, centred(moments, fold))
    path = Path(gram, c)
    for share in np.geomspace(1, 1e-4, 10):
        l1 = share * c.abs().amax(0)
        before = path.to(l1, 0.0)
        for weights in (before, Path(gram, c).to(l1, 0.0) if share > 1e-3 else before):
            assert float(kkt(gram, c, l1, 0 * l1, weights).max()) < 1e-6


@pytest.mark.parametrize("heavy", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.2])
def test_steps_of_either_kind_end_where_nothing_is_left_to_gain(heavy, l2):
    rng = np.random.default_rng(0)
    eigenvalues = torch.linspace(1, 3 if heavy else 9, 12, dtype=torch.float64)
    turn = torch.linalg.qr(torch.from_numpy(rng.normal(size=(12, 12))))[0]
    gram = Gram.of(turn * eigenvalues @ turn.T)
    assert gram.pace(l2).ahead is not heavy
    c = torch.from_numpy(rng.normal(size=(12, 40)))
    l1, l2 = torch.from_numpy(rng.uniform(0.1, 1, 40)), torch.full((40,), l2, dtype=torch.float64)
    weights, settled, _ = _sparse.steps(gram, c, l1, l2, torch.zeros_like(c), tolerance=1e-11, most=500)
    assert settled.all()
    assert float(kkt(gram, c, l1, l2, weights).max()) < 1e-9
    alike, _, _ = _sparse.steps(gram, c, 0.3, float(l2[0]), torch.zeros_like(c), tolerance=1e-11, most=500)
    assert float(kkt(gram, c, torch.full_like(l1, 0.3), l2, alike).max()) < 1e-9


@pytest.mark.parametrize("name", ["lasso", "elastic_net"])
def test_a_penalty_that_is_named_twice_changes_nothing(name):
    X, Y = problem("well-behaved")
    once, twice = (fit(name, X, Y, alphas=alphas) for alphas in ((1.0, 0.3, 0.1), (1.0, 1.0, 0.3, 0.3, 0.1)))
    np.testing.assert_array_equal(once.details["alpha"], twice.details["alpha"])
    np.testing.assert_allclose(once.weights, twice.weights, atol=1e-8)


def test_equal_components_share_what_one_alone_would_have():
    X, Y = problem("well-behaved")
    one, two = fit("lasso", X, Y, alpha=0.3), fit("lasso", np.c_[X, X], Y, alpha=0.3)
    np.testing.assert_allclose(two.weights[:8] + two.weights[8:], one.weights, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["lasso", "elastic_net", "multitask_lasso", "multitask_elastic_net"])
def test_what_is_constant_has_no_weights_and_changes_nothing(name, dtype):
    X, Y = problem("well-behaved", dtype=dtype)
    constant = np.array([0.1, 7.3, 1e3], dtype)
    more_X, more_Y = np.c_[X, np.tile(constant, (len(X), 1))], np.c_[Y, np.tile(constant, (len(X), 1))]
    ours, plain = fit(name, more_X, more_Y, alpha=0.01), fit(name, X, Y, alpha=0.01)
    np.testing.assert_allclose(ours.weights[:8, :12], plain.weights, atol=1e-6 * np.abs(plain.weights).max())
    assert not ours.weights[8:].any() and not ours.weights[:, 12:].any()
    np.testing.assert_allclose(ours.predict(more_X)[:, 12:], more_Y[:, 12:], rtol=1e-6)
    nothing = fit(name, np.tile(constant, (len(X), 1)), Y)  # chosen among penalties, with nothing to choose
    assert not nothing.weights.any() and nothing.details["kkt"].max() == 0
    np.testing.assert_allclose(nothing.predict(more_X[:, 8:]), np.broadcast_to(Y.mean(0), Y.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["lasso", "elastic_net", "multitask_lasso", "multitask_elastic_net", "pls"])
def test_a_fit_says_how_far_it_is_and_stops_where_it_is_told_to(name, monkeypatch):
    monkeypatch.setitem(TARGET_BLOCK, "cpu", 4)
    X, Y = problem("well-behaved", t=16)
    readout, moments = READOUTS[name], Moments.of(X, Y, np.arange(len(X)) % 5)
    said = []
    readout.fit(moments, readout.read({}), report=lambda fraction, text: said.append((fraction, text)))
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and len(said) >= 20 and len({text for _, text in said}) >= 2
    heard = []

    def stop(fraction, text):
        heard.append(fraction)
        if len(heard) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        readout.fit(moments, readout.read({}), report=stop)
    assert len(heard) == 3


def test_single_precision_is_good_to_five_digits():
    X, Y = problem("well-behaved", n=2000, dtype=np.float32)
    ours = fit("lasso", X, Y, alpha=0.05)
    theirs = sklearns(X.astype(float), Y.astype(float), lambda: linear_model.Lasso(alpha=0.05, tol=1e-12))
    coefficients = np.stack([each.coef_ for each in theirs], 1)
    np.testing.assert_allclose(ours.weights, coefficients, atol=1e-5 * np.abs(coefficients).max())


@pytest.mark.parametrize("kind", ["well-behaved", "correlated"])
def test_lasso_chooses_what_scikit_learn_chooses_on_the_same_folds(kind):
    X, Y = problem(kind, n=120, t=20)
    fold = inner_folds(np.arange(len(X)), 5, 1)
    ours = fit("lasso", X, Y, fold, alphas=ALPHAS)
    theirs = sklearns(X, Y, lambda: linear_model.LassoCV(alphas=ALPHAS, cv=PredefinedSplit(fold), tol=1e-8, max_iter=100_000))
    assert np.mean(np.isclose(ours.details["alpha"], [each.alpha_ for each in theirs])) >= 0.95
    best = [each.mse_path_.mean(1).min() for each in theirs]
    np.testing.assert_allclose(ours.details["cv_loss"], best, rtol=1e-4)


def test_elastic_net_chooses_what_scikit_learn_chooses_on_the_same_folds():
    X, Y = problem("correlated", n=80, t=8)
    fold, ratios = inner_folds(np.arange(len(X)), 4, 1), (0.2, 0.5, 0.95)
    ours = fit("elastic_net", X, Y, fold, alphas=ALPHAS, l1_ratios=ratios, n_folds=4)

    def make():
        return linear_model.ElasticNetCV(alphas=ALPHAS, l1_ratio=ratios, cv=PredefinedSplit(fold), tol=1e-8, max_iter=100_000)

    theirs = sklearns(X, Y, make)
    same = [(a, r) == (b.alpha_, b.l1_ratio_) for a, r, b in zip(*(ours.details[k] for k in ("alpha", "l1_ratio")), theirs, strict=True)]
    assert np.mean(same) >= 0.95


def test_the_default_penalties_are_each_targets_own_and_those_of_scikit_learn():
    X, Y = problem("correlated", n=100, t=4)
    Y[:, 3] *= 1e3
    fold = inner_folds(np.arange(len(X)), 5, 1)
    ours = fit("lasso", X, Y, fold)
    for target, alpha in enumerate(ours.details["alpha"]):
        largest = np.abs((X - X.mean(0)).T @ (Y[:, target] - Y[:, target].mean())).max() / len(X)
        assert 0.99e-4 * largest <= alpha <= 1.001 * largest
        grid = np.geomspace(largest, 1e-4 * largest, 30)
        theirs = linear_model.LassoCV(alphas=grid, cv=PredefinedSplit(fold), tol=1e-8, max_iter=100_000).fit(X, Y[:, target])
        assert alpha == pytest.approx(theirs.alpha_, rel=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e4])
def test_the_default_elastic_net_is_scikit_learns_of_standardised_responses(unit):
    X, Y = problem("correlated", t=4, n=120)
    Y, scale = Y * unit, Y.std(0) * unit
    ours = fit("elastic_net", X, Y, l1_ratio=0.3)
    lambda_1, lambda_2 = (ours.details["alpha"] * part for part in (ours.details["l1_ratio"], 1 - ours.details["l1_ratio"]))
    alpha = lambda_1 / scale / 0.3
    np.testing.assert_allclose(lambda_2, alpha * 0.7, rtol=1e-6)  # one alpha, of responses of unit variance, gives both parts
    for target in range(4):
        theirs = linear_model.ElasticNet(alpha=alpha[target], l1_ratio=0.3, tol=1e-12, max_iter=200_000)
        weights = theirs.fit(X, Y[:, target] / scale[target]).coef_ * scale[target]
        np.testing.assert_allclose(ours.weights[:, target], weights, atol=1e-6 * scale[target])  # all may be 0


def test_selection_by_correlation_takes_the_penalty_of_the_largest_mean_held_out_r():
    X, Y = problem("correlated", t=4)
    fold = np.arange(len(X)) % 5
    ours = fit("lasso", X, Y, fold, alphas=ALPHAS, select="r")
    for target, y in enumerate(Y.T):
        means = []
        for alpha in sorted(ALPHAS, reverse=True):
            r = []
            for held in range(5):
                model = linear_model.Lasso(alpha=alpha, tol=1e-10, max_iter=100_000).fit(X[fold != held], y[fold != held])
                predicted = model.predict(X[fold == held])
                r.append(np.corrcoef(predicted, y[fold == held])[0, 1] if predicted.std() > 1e-12 else 0)
            means.append(np.mean(r))
        assert -ours.details["cv_loss"][target] == pytest.approx(max(means), abs=1e-4)


def test_weights_that_are_not_optimal_are_said_not_to_be(monkeypatch):
    X, Y = problem("wide")
    for name in ("DIRECT_ROUNDS", "MOST_NEARBY"):
        monkeypatch.setattr(f"encoding.readouts._active_set.{name}", 1)
    monkeypatch.setitem(solve_active.__kwdefaults__, "most_rounds", 1)
    with pytest.warns(NotConverged, match="lasso has not converged for"):
        model = fit("lasso", X, Y, alpha=0.01)
    assert model.details["kkt"].max() > 1e-4


@pytest.mark.parametrize("readout", ["lasso", "elastic_net", "multitask_lasso", "multitask_elastic_net"])
def test_at_the_largest_penalty_no_weight_is_left_by_rounding(readout):
    rng = np.random.default_rng(0)
    ours = fit(readout, rng.normal(size=(90, 12)).astype(np.float32), rng.normal(size=(90, 300)).astype(np.float32))
    assert (ours.details["n_weights"] == 0).any()
    smallest = np.abs(ours.weights[ours.weights != 0]).min(initial=1)
    assert smallest > 1e-12
