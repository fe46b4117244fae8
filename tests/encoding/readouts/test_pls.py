"""Partial least squares agrees with scikit-learn's, run to convergence, and so does the number of latent components it chooses."""

import threading
import warnings

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from encoding.readouts import READOUTS, pls
from encoding.readouts._moments import Moments
from tests.readout_problems import KINDS, fit, problem

RANK = {"correlated": 20, "rank-deficient": 7, "wide": 299, "well-behaved": 8}


class ExactPLS(PLSRegression):
    """scikit-learn's, with its own SVD in place of iterations that its tolerance ends early."""

    def __init__(self, n_components=2, *, scale=True):
        super().__init__(n_components, scale=scale)
        self.algorithm = "svd"


def theirs(X, Y, k, scale=True):
    """scikit-learn's predictions of X, (n, t)."""
    return ExactPLS(k, scale=scale).fit(X.astype(float), Y.astype(float)).predict(X.astype(float)).reshape(Y.shape)


def planted(n=200, p=12, t=30, n_latent=4, seed=0):
    """(X, Y) where ``n_latent`` directions of X carry all there is to predict, with noise that hides the rest."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * np.geomspace(3, 0.5, p) + 1
    signal = X @ rng.normal(size=(p, n_latent)) @ rng.normal(size=(n_latent, t))
    return X, signal + rng.normal(0, 2 * signal.std(), size=(n, t))


@pytest.mark.parametrize("t", [1, 12, 60])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_scikit_learns(kind, scale, t):
    X, Y = problem(kind, t=t)
    for k in (1, 2, 4, 7):
        ours = fit("pls", X, Y, n_components=k, scale=scale)
        np.testing.assert_allclose(ours.predict(X), theirs(X, Y, k, scale), rtol=1e-9, atol=1e-9 * np.abs(Y).max())
        assert (ours.details["n_latent"] == k).all() and np.isnan(ours.details["cv_loss"]).all()


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_in_single_precision_are_scikit_learns_to_four_digits(kind, scale):
    X, Y = problem(kind, t=30, dtype=np.float32)
    for k in (1, 5, 7):
        ours = fit("pls", X, Y, n_components=k, scale=scale)
        assert ours.weights.dtype == np.float32
        np.testing.assert_allclose(ours.predict(X), theirs(X, Y, k, scale), atol=2e-5 * np.abs(Y).max())


def test_rows_that_were_not_fitted_are_predicted_as_by_scikit_learns_iterations_where_they_converge():
    X, Y = problem("correlated")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it never reaches this tolerance, only stops changing
        model = PLSRegression(6, tol=1e-30, max_iter=20_000).fit(X[:200], Y[:200])
    np.testing.assert_allclose(fit("pls", X[:200], Y[:200], n_components=6).predict(X[200:]), model.predict(X[200:]), atol=1e-8)


def test_the_blocks_in_which_targets_are_read_change_nothing(monkeypatch):
    X, Y = problem("correlated", t=50)
    whole = fit("pls", X, Y)
    monkeypatch.setitem(pls.target_blocks.__globals__["TARGET_BLOCK"], "cpu", 3)
    parts = fit("pls", X, Y)
    np.testing.assert_allclose(parts.weights, whole.weights, atol=1e-10 * np.abs(whole.weights).max())
    np.testing.assert_allclose(parts.details["cv_loss"], whole.details["cv_loss"], rtol=1e-10)


def test_components_of_tiny_covariance_are_not_lost():
    """The second target's is below rounding in (X'Y)(X'Y)': 1e-16 of the first one's."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    X = np.linalg.qr(X - X.mean(0))[0] * [1, 1e-4, 1e-3, 1e-3]
    Y, X = X[:, :2], X @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    np.testing.assert_allclose(fit("pls", X, Y, n_components=2, scale=False).predict(X), Y, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_components_end_with_the_rank_and_then_it_is_least_squares(kind, dtype):
    X, Y = problem(kind, t=30, dtype=dtype)
    ours = fit("pls", X, Y, n_components=1000)
    assert (ours.details["n_latent"] <= RANK[kind]).all()
    expected = fit("ols", X.astype(float), Y.astype(float)).predict(X.astype(float))
    tolerance = 1e-6 if dtype == np.float64 else 2e-3
    np.testing.assert_allclose(ours.predict(X), expected, atol=tolerance * np.abs(Y).max())


@pytest.mark.parametrize("select", ["r2", "r"])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("kind", ["planted", *KINDS])
def test_the_number_of_components_is_the_one_scikit_learns_grid_search_chooses_on_the_same_folds(kind, scale, select):
    X, Y = planted() if kind == "planted" else problem(kind, n=150, t=20)
    Y[:, 3] = 7
    fold = np.random.default_rng(1).permutation(len(X)) % 4
    most = min(20, RANK.get(kind, X.shape[1]))
    score = make_scorer(mean_r) if select == "r" else "neg_mean_squared_error"
    grid, model = {"n_components": range(1, most + 1)}, ExactPLS(scale=scale)
    search = GridSearchCV(model, grid, scoring=score, cv=PredefinedSplit(fold), error_score="raise").fit(X, Y)
    ours = fit("pls", X, Y, fold, n_folds=4, scale=scale, select=select)
    assert (ours.details["n_latent"] == search.best_params_["n_components"]).all()
    assert ours.details["cv_loss"].mean() == pytest.approx(-search.best_score_, rel=1e-6)
    given = fit("pls", X, Y, n_components=search.best_params_["n_components"], scale=scale)
    np.testing.assert_allclose(ours.weights, given.weights, atol=1e-10 * np.abs(given.weights).max())


def mean_r(Y, predicted):
    """The mean over targets of r, 0 where either is constant."""
    return np.mean([np.corrcoef(y, p)[0, 1] if y.std() > 1e-12 and p.std() > 1e-12 else 0 for y, p in zip(Y.T, predicted.T, strict=True)])


def test_the_choices_differ_between_problems():
    """Otherwise agreement with the grid search would say little."""
    chosen = {fit("pls", *planted(n_latent=n, t=60, n=400)).details["n_latent"][0] for n in (1, 3, 8)}
    assert len(chosen) == 3


@pytest.mark.parametrize("select", ["r2", "r"])
def test_each_targets_held_out_loss_is_that_of_real_predictions(select):
    X, Y = planted()
    fold = np.arange(len(X)) % 3
    ours = fit("pls", X, Y, fold, n_folds=3, select=select)
    loss = np.zeros(Y.shape[1])
    for f in range(3):
        inside, outside = fold != f, fold == f
        predicted = fit("pls", X[inside], Y[inside], n_components=int(ours.details["n_latent"][0])).predict(X[outside])
        if select == "r2":
            loss += ((predicted - Y[outside]) ** 2).mean(0) / 3
        else:
            loss -= np.array([np.corrcoef(p, y)[0, 1] for p, y in zip(predicted.T, Y[outside].T, strict=True)]) / 3
    np.testing.assert_allclose(ours.details["cv_loss"], loss, rtol=1e-8)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constant_targets_and_features_change_nothing_for_the_others(dtype, scale):
    X, Y = problem("well-behaved", dtype=dtype)
    constant = np.array([0.1, 7.3, 1e3], dtype)
    more_X, more_Y = np.c_[X, np.tile(constant, (len(X), 1))], np.c_[Y, np.tile(constant, (len(X), 1))]
    ours, plain = fit("pls", more_X, more_Y, n_components=4, scale=scale), fit("pls", X, Y, n_components=4, scale=scale)
    tolerance = 1e-9 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(ours.weights[:8, :12], plain.weights, atol=tolerance * np.abs(plain.weights).max())
    np.testing.assert_allclose(ours.weights[8:], 0, atol=tolerance)
    np.testing.assert_allclose(ours.predict(more_X)[:, 12:], more_Y[:, 12:], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("select", ["r2", "r"])
def test_targets_that_vary_in_one_fold_only_do_not_sway_the_choice(select, dtype):
    X, Y = (part.astype(dtype) for part in planted())
    fold = np.arange(len(X)) % 5
    Y[fold != 2, 0] = 3.3
    ours = fit("pls", X, Y, fold, select=select)
    assert all(np.isfinite(values).all() for values in ours.details.values())
    assert ours.details["n_latent"][0] == fit("pls", X, Y[:, 1:], fold, select=select).details["n_latent"][0]
    if select == "r":  # a constant has no r with anything, and rounding errors of it none either
        assert ours.details["cv_loss"][0] == 0


def test_only_constant_targets_are_predicted_as_themselves():
    X, Y = problem("well-behaved", t=3)
    ours = fit("pls", X, np.zeros_like(Y) + 5)
    np.testing.assert_allclose(ours.predict(X), 5)
    assert (ours.details["n_latent"] == 0).all()


def test_a_shift_of_the_responses_changes_neither_choice_nor_weights():
    X, Y = planted()
    plain, shifted = fit("pls", X, Y), fit("pls", X + 100, Y + 1e4)
    assert (plain.details["n_latent"] == shifted.details["n_latent"]).all()
    np.testing.assert_allclose(shifted.weights, plain.weights, atol=1e-8 * np.abs(plain.weights).max())
    np.testing.assert_allclose(shifted.predict(X + 100), plain.predict(X) + 1e4, rtol=1e-9)


def test_targets_are_joint_and_their_order_does_not_matter():
    X, Y = planted()
    together, alone, backwards = (fit("pls", X, part, n_components=2).predict(X) for part in (Y, Y[:, :1], Y[:, ::-1]))
    np.testing.assert_allclose(backwards[:, ::-1], together, atol=1e-9)
    assert np.abs(alone[:, 0] - together[:, 0]).max() > 0.1
    assert not READOUTS["pls"].per_target


@pytest.fixture
def two_cores():
    import torch

    n_cores = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(n_cores)


def test_forty_thousand_targets_take_no_more_memory_than_a_few_weights(two_cores):
    import psutil

    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 100)).astype(np.float32)
    moments = Moments.of(X, rng.standard_normal((300, 40_000), np.float32), np.arange(300) % 5)
    readout, process, done, seen = READOUTS["pls"], psutil.Process(), threading.Event(), []

    def watch():
        while not done.wait(0.002):
            seen.append(process.memory_info().rss)

    readout.fit(moments.targets(slice(0, 2_000)), readout.read({}))  # loads what is loaded once
    watching = threading.Thread(target=watch)
    before = process.memory_info().rss
    watching.start()
    model = readout.fit(moments, readout.read({}))
    done.set()
    watching.join()
    assert model.weights.shape == (100, 40_000) and len(seen) > 5
    assert max(seen) - before < 3 * 8 * model.weights.size  # bytes of three float64 (p, t)


def test_folds_are_asked_for_only_where_something_is_chosen():
    readout = READOUTS["pls"]
    assert readout.n_folds(readout.read({"n_components": 3})) == 1
    assert readout.n_folds(readout.read({"n_folds": 4})) == 4
