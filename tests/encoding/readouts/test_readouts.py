"""OLS and ridge agree with scikit-learn and himalaya; wrong parameters of any readout are refused."""

import numpy as np
import pytest
from sklearn import linear_model

from encoding.readouts import READOUTS
from tests.readout_problems import KINDS, fit, problem


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [1e-3, 10.0, 1e4])
def test_ridge_weights_are_scikit_learns(kind, alpha):
    X, Y = problem(kind)
    ours, theirs = fit("ridge", X, Y, alpha=alpha), linear_model.Ridge(alpha=alpha, solver="svd").fit(X, Y)
    np.testing.assert_allclose(ours.weights, theirs.coef_.T, rtol=1e-5, atol=1e-5 * np.abs(theirs.coef_).max())
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-5, atol=1e-5)


def test_ridge_in_single_precision_is_scikit_learns_to_five_digits():
    X, Y = problem("well-behaved", n=2000, dtype=np.float32)
    ours, theirs = fit("ridge", X, Y, alpha=5.0), linear_model.Ridge(alpha=5.0).fit(X.astype(float), Y.astype(float))
    np.testing.assert_allclose(ours.weights, theirs.coef_.T, atol=1e-5 * np.abs(theirs.coef_).max())


@pytest.mark.parametrize("kind", KINDS)
def test_least_squares_are_the_shortest_scikit_learn_finds(kind):
    X, Y = problem(kind)
    ours, theirs = fit("ols", X, Y), linear_model.LinearRegression(tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(ours.weights, theirs.coef_.T, rtol=1e-5, atol=1e-5 * np.abs(theirs.coef_).max())
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-5 * np.abs(Y).max())


@pytest.mark.parametrize("kind", KINDS)
def test_alphas_are_those_himalaya_chooses_on_the_same_folds(kind):
    from himalaya.ridge import RidgeCV
    from sklearn.model_selection import PredefinedSplit

    X, Y = problem(kind, t=400)
    alphas, fold = np.geomspace(1e-2, 1e5, 15), np.random.default_rng(0).permutation(len(X)) % 5
    ours = fit("ridge", X, Y, fold, alphas=list(alphas))
    theirs = RidgeCV(alphas=alphas, cv=PredefinedSplit(fold), fit_intercept=True).fit(X, Y)
    same = np.isclose(ours.details["alpha"], theirs.best_alphas_)
    assert same.mean() >= 0.995
    scale = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.weights[:, same], theirs.coef_[:, same], atol=1e-5 * scale)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "alpha"), [("ols", 0.0), ("ridge", 10.0)])
def test_the_optimality_reported_is_the_slope_that_is_left(name, alpha, kind):
    X, Y = problem(kind)
    Y[:, 0] = 3
    model = fit(name, X, Y, **({"alpha": alpha} if name == "ridge" else {}))
    A, B = X - X.mean(0), Y - Y.mean(0)
    slope = np.abs(A.T @ (A @ model.weights - B) + alpha * model.weights).max(0)[1:]
    assert (slope <= 1e-7 * np.abs(A.T @ B).max(0)[1:]).all() and (model.details["kkt"][1:] < 1e-7).all()


def test_the_reported_held_out_r2_is_that_of_real_predictions():
    X, Y = problem("correlated", t=5)
    fold = np.arange(len(X)) % 4
    ours = fit("ridge", X, Y, fold, alphas=[1.0, 100.0], n_folds=4)
    for target, alpha in enumerate(ours.details["alpha"]):
        error = total = 0
        for f in range(4):
            model = linear_model.Ridge(alpha=alpha).fit(X[fold != f], Y[fold != f, target])
            error += ((model.predict(X[fold == f]) - Y[fold == f, target]) ** 2).sum()
            total += ((Y[fold == f, target] - Y[fold != f, target].mean()) ** 2).sum()
        assert ours.details["cv_r2"][target] == pytest.approx(1 - error / total, abs=1e-8)


def test_the_default_grid_follows_the_features_scale():
    X, Y = problem()
    small, large = fit("ridge", X, Y), fit("ridge", X * 1000, Y)
    np.testing.assert_allclose(large.details["alpha"], small.details["alpha"] * 1e6)
    np.testing.assert_allclose(large.predict(X * 1000), small.predict(X), atol=1e-6)


def test_equal_parameters_are_equal_however_they_are_written():
    ridge = READOUTS["ridge"]
    assert repr(ridge.read({"alpha": 10, "n_folds": 4.0})) == repr(ridge.read({"alpha": 10.0, "n_folds": 4}))
    assert repr(ridge.read({"alphas": [1, 10]})) == repr(ridge.read({"alphas": (1.0, 10.0)}))
    assert ridge.read({"alpha": None}) == ridge.read({})


def test_ridge_foresees_the_eigenvectors_of_every_fold_held_out():
    ridge = READOUTS["ridge"]

    def matrices(**options):
        return ridge.cost(600, 3_000, 600, ridge.read(options))[1] / (8 * 3_000**2)

    assert matrices(alpha=5.0) >= 5.7  # as measured, beyond the moments
    assert matrices() >= 12.6 and matrices(n_folds=9) - matrices() == 4
