"""Multi-task lasso and elastic net from moments against scikit-learn: equal weights, equal choices, optimal to the last digits."""

import warnings

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import PredefinedSplit

from encoding.evaluation.splits import inner_folds
from encoding.readouts import READOUTS, NotConverged
from encoding.readouts._moments import Moments
from encoding.readouts._row_sparse import Rotated
from encoding.readouts.ridge import TARGET_BLOCK
from tests.readout_problems import KINDS, fit, problem


def largest_alpha(X, Y):
    """The multi-task lasso's penalty at which all weights are 0."""
    return np.linalg.norm((X - X.mean(0)).T @ (Y - Y.mean(0)), axis=1).max() / len(X)


def violation(X, Y, weights, alpha, ratio):
    """How far weights are from optimal, row by row from the rows of X and Y themselves, relative to the largest row of X'Y / n."""
    X, Y = X - X.mean(0), Y - Y.mean(0)
    gradient = X.T @ (X @ weights - Y) / len(X) + alpha * (1 - ratio) * weights
    worst = 0.0
    for g, w in zip(gradient, weights, strict=True):
        length = np.linalg.norm(w)
        far = np.linalg.norm(g + alpha * ratio * w / length) if length else np.linalg.norm(g) - alpha * ratio
        worst = max(worst, far)
    return worst / largest_alpha(X, Y)


def sklearns(X, Y, alpha, ratio, max_iter=50_000):
    """scikit-learn's model, from its own class for the lasso."""
    made = {"alpha": alpha, "tol": 1e-12, "max_iter": max_iter}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return (linear_model.MultiTaskLasso(**made) if ratio == 1 else linear_model.MultiTaskElasticNet(**made, l1_ratio=ratio)).fit(X, Y)


def ours(X, Y, alpha, ratio):
    return fit("multitask_lasso", X, Y, alpha=alpha) if ratio == 1 else fit("multitask_elastic_net", X, Y, alpha=alpha, l1_ratio=ratio)


@pytest.mark.parametrize("t", [3, 60])  # fewer targets than components, and more: there they are rotated
@pytest.mark.parametrize("ratio", [0.1, 0.6, 1.0])
@pytest.mark.parametrize("share", [1e-3, 0.03, 0.3])
@pytest.mark.parametrize("kind", ["well-behaved", "correlated"])
def test_weights_are_scikit_learns(kind, share, ratio, t):
    X, Y = problem(kind, t=t)
    alpha = share * largest_alpha(X, Y)
    model, theirs = ours(X, Y, alpha, ratio), sklearns(X, Y, alpha, ratio)
    np.testing.assert_allclose(model.weights, theirs.coef_.T, atol=1e-7 * np.abs(theirs.coef_).max())
    np.testing.assert_array_equal(model.weights != 0, theirs.coef_.T != 0)
    np.testing.assert_allclose(model.intercept, theirs.intercept_, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("t", [10, 180])
@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_weights_are_scikit_learns_with_more_components_than_images(ratio, t):
    X, Y = problem("wide", n=120, t=t)
    alpha = 0.2 * largest_alpha(X, Y)
    model, theirs = ours(X, Y, alpha, ratio), sklearns(X, Y, alpha, ratio)
    np.testing.assert_allclose(model.weights, theirs.coef_.T, atol=1e-7 * np.abs(theirs.coef_).max())
    assert 0 < model.details["n_weights"][0] < 160


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [1e-4, 1e-2, 0.5])
def test_weights_are_optimal_and_the_residual_reported_is_the_real_one(kind, share):
    X, Y = problem(kind, n=120, t=30)
    for ratio in (0.2, 1.0):
        alpha = share * largest_alpha(X, Y)
        model = ours(X, Y, alpha, ratio)
        real = violation(X, Y, model.weights, alpha, ratio)
        assert real < 1e-9
        np.testing.assert_allclose(model.details["kkt"], real, rtol=1e-2, atol=1e-12)


def test_single_precision_is_good_to_five_digits():
    X, Y = problem("correlated", t=60, dtype=np.float32)
    alpha = 0.01 * largest_alpha(X.astype(float), Y.astype(float))
    model, theirs = ours(X, Y, alpha, 1.0), sklearns(X.astype(float), Y.astype(float), alpha, 1.0)
    assert model.weights.dtype == np.float32
    np.testing.assert_allclose(model.weights, theirs.coef_.T, atol=1e-5 * np.abs(theirs.coef_).max())
    assert violation(X.astype(float), Y.astype(float), model.weights.astype(float), alpha, 1.0) < 1e-5


@pytest.mark.parametrize("kind", ["well-behaved", "correlated", "rank-deficient"])
@pytest.mark.parametrize("t", [6, 30])
def test_the_penalty_chosen_is_scikit_learns_on_the_same_folds(kind, t):
    for seed in range(2):
        X, Y = problem(kind, t=t, n=80, seed=seed)
        alphas, fold = largest_alpha(X, Y) * np.geomspace(1, 3e-3, 12), inner_folds(np.arange(len(X)), 3, 1)
        model = fit("multitask_lasso", X, Y, fold, alphas=tuple(alphas), n_folds=3)
        theirs = linear_model.MultiTaskLassoCV(alphas=alphas, cv=PredefinedSplit(fold), tol=1e-6, max_iter=20_000).fit(X, Y)
        np.testing.assert_array_equal(model.details["alpha"], theirs.alpha_)
        np.testing.assert_allclose(model.details["cv_loss"], theirs.mse_path_.mean(1).min(), rtol=1e-5)


def planted(used=(3, 8, 21), n=150, p=40, t=60, seed=0):
    """(X, Y) where only the components ``used`` matter."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X[:, used] @ rng.normal(size=(len(used), t)) + rng.normal(0, 3, size=(n, t))


@pytest.mark.parametrize(("make", "sparse"), [(lambda: problem("correlated", t=30, n=60), False), (planted, True)])
def test_the_l1_ratio_chosen_is_scikit_learns_on_the_same_folds(make, sparse):
    X, Y = make()
    alphas, fold, ratios = largest_alpha(X, Y) * np.geomspace(2, 3e-2, 8), inner_folds(np.arange(len(X)), 4, 1), (0.1, 0.5, 1.0)
    model = fit("multitask_elastic_net", X, Y, fold, alphas=tuple(alphas), l1_ratios=ratios, n_folds=4)
    theirs = linear_model.MultiTaskElasticNetCV(alphas=alphas, l1_ratio=ratios, cv=PredefinedSplit(fold), tol=1e-6, max_iter=20_000)
    theirs.fit(X, Y)
    assert (model.details["alpha"][0], model.details["l1_ratio"][0]) == (theirs.alpha_, theirs.l1_ratio_)
    assert (theirs.l1_ratio_ == 1.0) == sparse


def test_the_default_penalties_start_where_all_weights_vanish():
    X, Y = problem("correlated", t=25, n=80)
    Y[:, 3] *= 30
    fold = inner_folds(np.arange(len(X)), 2, 1)
    model = fit("multitask_elastic_net", X, Y, fold, l1_ratio=0.5, n_folds=2)
    scale = np.sqrt(Y.var(0).mean())  # penalties are compared on responses in units of this
    alphas = np.geomspace(1, 1e-4, 30) * largest_alpha(X, Y / scale) / 0.5
    theirs = linear_model.MultiTaskElasticNetCV(alphas=alphas, l1_ratio=0.5, cv=PredefinedSplit(fold), tol=1e-6, max_iter=5_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, Y / scale)
    np.testing.assert_allclose(model.details["alpha"], theirs.alpha_ * (0.5 * scale + 0.5), rtol=1e-9)
    np.testing.assert_allclose(model.weights, theirs.coef_.T * scale, atol=1e-4 * np.abs(model.weights).max())
    again = ours(X, Y, model.details["alpha"][0], model.details["l1_ratio"][0])  # what is reported is scikit-learn's, of Y as it is
    np.testing.assert_allclose(again.weights, model.weights, atol=1e-8 * np.abs(model.weights).max())
    largest = 2 * largest_alpha(X, Y)
    assert not ours(X, Y, largest * 1.000001, 0.5).weights.any()
    assert ours(X, Y, largest * 0.999, 0.5).weights.any()


@pytest.mark.parametrize("t", [5, 40])
def test_selection_by_correlation_takes_the_penalty_of_the_largest_mean_held_out_r(t):
    X, Y = problem("correlated", t=t, n=60)
    Y[:, 1] = 4
    fold, alphas = np.arange(len(X)) % 3, largest_alpha(X, Y) * np.geomspace(2, 1e-3, 8)
    model = fit("multitask_lasso", X, Y, fold, alphas=tuple(alphas), select="r", n_folds=3)
    means = []
    for alpha in alphas:
        r = np.zeros((3, t))
        for held in range(3):
            predicted = sklearns(X[fold != held], Y[fold != held], alpha, 1.0).predict(X[fold == held])
            for target in np.flatnonzero(predicted.std(0) > 1e-9):
                r[held, target] = np.corrcoef(predicted[:, target], Y[fold == held, target])[0, 1]
        means.append(r.mean())
    assert model.details["alpha"][0] == alphas[np.argmax(means)]
    assert -model.details["cv_loss"][0] == pytest.approx(max(means), abs=1e-6)


def test_with_one_target_it_is_the_lasso():
    X, Y = problem("correlated", t=1)
    joint, alone = fit("multitask_lasso", X, Y, alpha=0.3), fit("lasso", X, Y, alpha=0.3)
    np.testing.assert_allclose(joint.weights, alone.weights, atol=1e-5 * np.abs(alone.weights).max())


def test_every_component_has_weights_for_all_targets_or_for_none_and_its_company_decides():
    X, Y = problem("well-behaved", t=40)
    alpha = 0.4 * largest_alpha(X, Y)
    together, alone = ours(X, Y, alpha, 1.0), ours(X, Y[:, :5], alpha, 1.0)
    used = (together.weights != 0).any(1)
    np.testing.assert_array_equal(together.weights != 0, np.broadcast_to(used[:, None], together.weights.shape))
    np.testing.assert_array_equal(together.details["n_weights"], used.sum())
    assert (alone.weights != 0).sum() < (together.weights[:, :5] != 0).sum()
    assert not READOUTS["multitask_lasso"].per_target and not READOUTS["multitask_elastic_net"].per_target


def test_the_order_of_targets_and_the_blocks_they_are_read_in_do_not_matter(monkeypatch):
    X, Y = problem("correlated", t=40, n=60)
    for select in ("r2", "r"):
        model = fit("multitask_elastic_net", X, Y, select=select, n_folds=2)
        with monkeypatch.context() as patch:
            patch.setitem(TARGET_BLOCK, "cpu", 16)
            turned = fit("multitask_elastic_net", X, Y[:, ::-1], select=select, n_folds=2)
        np.testing.assert_allclose(turned.weights[:, ::-1], model.weights, atol=1e-8 * np.abs(model.weights).max())
        np.testing.assert_allclose(turned.details["cv_loss"], model.details["cv_loss"], rtol=1e-7)


def test_planted_components_are_found():
    X, Y = planted(n=400, t=200)
    model = fit("multitask_lasso", X, Y, alpha=0.4 * largest_alpha(X, Y))
    np.testing.assert_array_equal(np.flatnonzero(model.weights.any(1)), [3, 8, 21])


def test_a_constant_component_and_a_constant_target_have_no_weights():
    X, Y = problem("correlated", t=40)
    X[:, 4], Y[:, 2] = 5, 7
    model, theirs = ours(X, Y, 0.5, 1.0), sklearns(X, Y, 0.5, 1.0)
    assert not model.weights[4].any()
    np.testing.assert_allclose(model.weights[:, 2], 0, atol=1e-10)
    np.testing.assert_allclose(model.weights, theirs.coef_.T, atol=1e-7 * np.abs(theirs.coef_).max())


@pytest.mark.parametrize("t", [4, 40])
def test_constant_targets_alone_are_predicted_as_themselves(t):
    X, _ = problem("well-behaved")
    Y = np.tile(np.arange(t, dtype=float), (len(X), 1))
    model = fit("multitask_elastic_net", X, Y)
    assert not model.weights.any()
    np.testing.assert_allclose(model.predict(X), Y)
    assert model.details["kkt"].max() == 0


def test_tiny_penalties_give_least_squares():
    X, Y = problem("correlated", t=30)
    least_squares = fit("ols", X, Y).weights
    for alpha in (1e-300, 1e-9):
        np.testing.assert_allclose(ours(X, Y, alpha, 1.0).weights, least_squares, atol=1e-6 * np.abs(least_squares).max())


@pytest.mark.parametrize("t", [7, 50])
def test_rotated_targets_keep_every_length_and_product(t):
    X, Y = problem("correlated", t=t)
    fold = np.arange(len(X)) % 3
    train, test_xy = fold != 0, fold == 0
    x, y = X - X[train].mean(0), Y - Y[train].mean(0)
    C, other = x[train].T @ y[train] / train.sum(), x[test_xy].T @ y[test_xy]
    made = Rotated.of(Moments.of(X, Y, fold), np.array([1, 2]), np.array([0]), device="cpu")
    assert made.c.shape[1] <= 20
    np.testing.assert_allclose(made.c @ made.c.T, C @ C.T, atol=1e-9 * np.abs(C @ C.T).max())
    np.testing.assert_allclose(made.test_xy @ made.c.T, other @ C.T, atol=1e-9 * np.abs(other @ C.T).max())
    assert made.squares == pytest.approx((y[test_xy] ** 2).sum())


def test_weights_that_are_not_optimal_are_said_not_to_be(monkeypatch):
    X, Y = problem("correlated")
    alpha = 0.1 * largest_alpha(X, Y)
    for name in ("FIRST_STEPS", "MOST_STEPS", "NEWTON_STEPS"):
        monkeypatch.setattr(f"encoding.readouts._row_sparse.{name}", 1)
    with pytest.warns(NotConverged, match="multitask_lasso has not converged: its optimality residual is"):
        model = fit("multitask_lasso", X, Y, alpha=alpha)
    assert model.details["kkt"].min() > 1e-4
    assert model.details["kkt"][0] == pytest.approx(violation(X, Y, model.weights, alpha, 1.0), rel=1e-6)


def test_details_are_one_number_each_for_every_target():
    X, Y = problem("correlated", t=30)
    given = fit("multitask_elastic_net", X, Y, alpha=0.5, l1_ratio=0.5)
    assert set(given.details) == {"alpha", "l1_ratio", "cv_loss", "n_weights", "kkt"}
    assert np.isnan(given.details["cv_loss"]).all()
    chosen = fit("multitask_elastic_net", X, Y, alpha=0.5)
    for name, values in chosen.details.items():
        assert values.shape == (30,) and len(set(values)) == 1 and np.isfinite(values).all(), name
    assert set(fit("multitask_lasso", X, Y, alpha=0.5).details["l1_ratio"]) == {1.0}
