"""Banded ridge agrees with himalaya, finds the layer that matters, and its shares add up to R²."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn import linear_model, metrics

from encoding.readouts import READOUTS, _banded
from encoding.readouts._moments import Moments
from encoding.readouts._shares import layer_shares
from encoding.readouts.banded_ridge import candidates
from tests.readout_problems import KINDS, fit, problem

ALPHAS = tuple(np.geomspace(1e-1, 1e5, 9))


def banded(X, Y, bands, fold=None, **options):
    """Banded ridge of X (n, p) and Y (n, t), layers of so many components side by side."""
    readout = READOUTS["banded_ridge"]
    fold = np.arange(len(X)) % 5 if fold is None else fold
    return readout.fit(replace(Moments.of(X, Y, fold), bands=bands), readout.read(options))


def penalties(model):
    """(B, t) log10 of each layer's penalty."""
    return np.stack([values for name, values in model.details.items() if name.startswith("log10_penalty_")])


def thirds(p):
    """Three unequal layers of p components."""
    return p // 2, p // 4, p - p // 2 - p // 4


@pytest.fixture
def planted():
    """Layers of 6, 10 and 4 components in different units, of which target i is a noisy sum over layer i alone."""
    rng = np.random.default_rng(0)
    bands = (6, 10, 4)
    X = rng.normal(size=(400, 20)) * np.repeat([1.0, 30.0, 0.1], bands)
    Y = np.stack([part.sum(1) / part.sum(1).std() for part in np.split(X, [6, 16], axis=1)], 1) + rng.normal(0, 0.5, size=(400, 3))
    return X, Y, bands


def grouped(X, Y, bands, fold, n_candidates, alphas=ALPHAS, seed=0):
    """himalaya's answer on the same folds, candidates and penalties."""
    from himalaya.ridge import GroupRidgeCV
    from sklearn.model_selection import PredefinedSplit

    search = {"n_iter": n_candidates, "alphas": np.array(alphas), "progress_bar": False, "warn": False}
    layer = np.repeat(range(len(bands)), bands)
    return GroupRidgeCV(layer, solver_params=search, random_state=seed, cv=PredefinedSplit(fold), fit_intercept=True).fit(X, Y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exhaustive", [False, True])
def test_choice_and_weights_are_himalayas(kind, exhaustive):
    X, Y = problem(kind, t=100)
    if kind == "wide":
        X, Y = X[:150, ::4], Y[:150]  # 100 components, 150 rows
    bands, fold = thirds(X.shape[1]), np.random.default_rng(0).permutation(len(X)) % 5
    ours = banded(X, Y, bands, fold, alphas=ALPHAS, n_candidates=12, equalize=False, exhaustive=exhaustive)
    theirs = grouped(X, Y, bands, fold, 12)
    same = np.isclose(penalties(ours), -theirs.deltas_ / np.log(10)).all(0)
    assert same.mean() >= 0.99
    scale = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.weights[:, same], theirs.coef_[:, same], atol=1e-5 * scale)
    np.testing.assert_allclose(ours.predict(X)[:, same], theirs.predict(X)[:, same], atol=1e-5 * np.abs(Y).max())
    assert ours.details["kkt"].max() < 1e-8


def test_more_components_than_rows_are_searched_without_the_estimate():
    X, Y = problem("wide", n=60, t=30)
    fold = np.arange(60) % 5  # 80 components, 60 rows
    ours = banded(X, Y, (50, 30), fold, alphas=ALPHAS, n_candidates=8, equalize=False)
    theirs = grouped(X, Y, (50, 30), fold, 8)
    assert np.isclose(penalties(ours), -theirs.deltas_ / np.log(10)).all()


def test_candidates_are_those_himalaya_draws_from_the_same_seed():
    from himalaya.kernel_ridge import generate_dirichlet_samples

    for n, concentrations in ((7, (0.1, 1.0)), (10, (0.1, 1.0, 5.0)), (3, (2.0,))):
        ours = candidates(4, n, concentrations, seed=3)
        np.testing.assert_array_equal(ours[1:], generate_dirichlet_samples(n, 4, list(concentrations), random_state=3)[1:])
        np.testing.assert_array_equal(ours[0], 0.25)


@pytest.mark.parametrize("options", [{}, {"alphas": ALPHAS}, {"alphas": (100.0,)}])
def test_one_layer_is_ridge(options):
    X, Y = problem(t=40)
    ours, ridge = banded(X, Y, (), **options), fit("ridge", X, Y, np.arange(len(X)) % 5, **options)
    np.testing.assert_array_equal(ours.details["alpha"], ridge.details["alpha"])
    np.testing.assert_allclose(ours.weights, ridge.weights, atol=1e-9 * np.abs(ridge.weights).max())
    np.testing.assert_allclose(ours.details["log10_penalty_0"], np.log10(ridge.details["alpha"]))
    if len(options.get("alphas", (1, 2))) > 1:
        np.testing.assert_allclose(ours.details["cv_r2"], ridge.details["cv_r2"], atol=1e-9)


@pytest.mark.parametrize("select", ["r2", "r"])
def test_the_reported_held_out_score_is_that_of_real_predictions(select):
    X, Y = problem(t=4)
    bands, fold = thirds(X.shape[1]), np.arange(len(X)) % 3
    model = banded(X, Y, bands, fold, n_candidates=6, select=select)
    for target, mu in enumerate(10 ** penalties(model).T):
        Z, y, guess = X / np.sqrt(np.repeat(mu, bands)), Y[:, target], np.empty(len(X))
        base = np.empty(len(X))
        for f in range(3):
            train, test = fold != f, fold == f
            guess[test] = linear_model.Ridge(alpha=1.0).fit(Z[train], y[train]).predict(Z[test])
            base[test] = y[train].mean()
        r2 = 1 - ((y - guess) ** 2).sum() / ((y - base) ** 2).sum()
        r = np.mean([np.corrcoef(guess[fold == f], y[fold == f])[0, 1] for f in range(3)])
        assert model.details[f"cv_{select}"][target] == pytest.approx({"r2": r2, "r": r}[select], abs=1e-7)


def test_selection_by_r_takes_the_best_of_every_candidate_and_penalty():
    X, Y = problem(t=15)
    bands = thirds(X.shape[1])
    model = banded(X, Y, bands, n_candidates=5, alphas=ALPHAS, select="r")
    each = [banded(X, Y, bands, n_candidates=5, alphas=(alpha,), select="r").details["cv_r"] for alpha in ALPHAS]
    np.testing.assert_allclose(model.details["cv_r"], np.max(each, 0), atol=1e-12)


def test_a_layer_that_carries_the_response_gets_the_least_penalty_and_nearly_all_of_r2(planted):
    X, Y, bands = planted
    model = banded(X[:300], Y[:300], bands, n_candidates=30)
    shares = layer_shares(model.weights, bands, X[300:], Y[300:], model.intercept)
    relative = penalties(model) + 2 * np.log10([[1.0], [1 / 30], [10.0]])  # in each layer's own variance
    assert (relative.argmin(0) == [0, 1, 2]).all()
    assert (np.diag(shares) > 0.95 * shares.sum(0)).all() and (shares.sum(0) > 0.6).all()


def test_layers_of_noise_cost_less_than_under_one_penalty_for_all():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 100))
    Y = X[:, :10] @ rng.normal(size=(10, 8)) + rng.normal(0, 4, size=(300, 8))
    apart, together = banded(X[:150], Y[:150], (10, 90), n_candidates=20), fit("ridge", X[:150], Y[:150])
    gain = [metrics.r2_score(Y[150:], model.predict(X[150:])) for model in (apart, together)]
    assert gain[0] > gain[1] + 0.05


def test_the_unit_of_one_layers_features_does_not_matter(planted):
    X, Y, bands = planted
    unit = np.repeat([1.0, 1000.0, 1.0], bands)
    ours, scaled = banded(X, Y, bands, n_candidates=30), banded(X * unit, Y, bands, n_candidates=30)
    np.testing.assert_allclose(scaled.predict(X * unit), ours.predict(X), atol=1e-7)
    plain = [banded(some, Y, bands, equalize=False, n_candidates=1).predict(some) for some in (X, X * unit)]
    assert np.abs(plain[0] - plain[1]).max() > 1e-2  # as himalaya: there the unit is part of the candidates


@pytest.mark.parametrize("select", ["r2", "r"])
def test_blocks_and_chunks_change_nothing(planted, select, monkeypatch):
    X, Y, bands = planted
    Y = np.hstack([Y, np.random.default_rng(1).normal(size=(400, 300))])
    whole = banded(X, Y, bands, n_candidates=8, select=select)
    monkeypatch.setattr(_banded, "BYTES_AT_ONCE", 1)
    pieces = banded(X, Y, bands, n_candidates=8, select=select)
    np.testing.assert_array_equal(penalties(pieces), penalties(whole))
    np.testing.assert_allclose(pieces.weights, whole.weights, atol=1e-12 * np.abs(whole.weights).max())


@pytest.mark.parametrize("n", [250, 1000])
def test_the_estimate_leaves_the_choice_as_it_is_also_for_noise(n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 60)) * np.geomspace(3, 0.3, 60)
    Y = X @ rng.normal(size=(60, 200)) * np.linspace(0, 0.3, 200) + rng.normal(0, 3, size=(n, 200))
    quick, slow = (banded(X.astype("f4"), Y.astype("f4"), (20,) * 3, n_candidates=20, exhaustive=each) for each in (False, True))
    assert (penalties(quick) == penalties(slow)).all(0).mean() >= 0.99
    assert (quick.details["cv_r2"] >= slow.details["cv_r2"] - 1e-3).all()


def test_the_estimate_misleads_no_target_where_stimuli_are_repeated():
    rng = np.random.default_rng(0)
    stimulus = np.repeat(np.arange(80), 4)
    X = rng.normal(size=(80, 30))[stimulus]
    Y = X @ rng.normal(size=(30, 60)) * np.linspace(0, 0.2, 60) + rng.normal(size=(80, 60))[stimulus] + rng.normal(0, 0.1, size=(320, 60))
    quick, slow = (banded(X, Y, (10,) * 3, stimulus % 5, n_candidates=20, exhaustive=each) for each in (False, True))
    np.testing.assert_array_equal(penalties(quick), penalties(slow))


def test_the_estimate_spares_most_of_the_work(planted):
    X, Y, bands = planted
    moments, alphas = Moments.of(X, Y, np.arange(400) % 5), np.geomspace(1e-4, 1e3, 15) * 4e4
    scales = candidates(3, 100, (0.1, 1.0), 0).repeat(bands, axis=1)
    listed = _banded.shortlist(moments, scales, alphas, device="cpu", report=lambda done, text: None)
    looked_at = np.clip(listed.last - listed.first + 1, 0, None).sum() / (100 * 15 * 3)
    assert 0 < looked_at < 0.35


def test_a_constant_target_has_no_weights_and_no_score(planted):
    X, Y, bands = planted
    Y[:, 1] = 0.1
    model = banded(X, Y, bands, n_candidates=5)
    np.testing.assert_allclose(model.weights[:, 1], 0, atol=1e-12)
    assert np.isnan(model.details["cv_r2"][1]) and np.isfinite(model.details["cv_r2"][[0, 2]]).all()


def test_an_empty_layer_and_one_that_never_varies_are_let_be(planted):
    X, Y, _ = planted
    X[:, 16:] = 3
    model, without = banded(X, Y, (6, 0, 10, 4), n_candidates=20), banded(X[:, :16], Y, (6, 10))
    np.testing.assert_allclose(model.weights[16:], 0, atol=1e-12)
    assert np.isfinite(model.weights).all() and model.predict(X).shape == Y.shape
    assert metrics.r2_score(Y, model.predict(X)) > metrics.r2_score(Y, without.predict(X[:, :16])) - 0.02


@pytest.mark.parametrize("options", [{}, {"exhaustive": True}], ids=["shortlisted", "exhaustive"])
def test_progress_moves_through_the_search_in_small_steps(planted, options):
    X, Y, bands = planted
    readout, told = READOUTS["banded_ridge"], []
    moments = replace(Moments.of(X, Y, np.arange(400) % 5), bands=bands)
    readout.fit(moments, readout.read(options), report=lambda done, text: told.append(done))
    assert told == sorted(told) and told[-1] == 1
    assert np.diff([0.0, *(done for done in told if done < 0.75)]).max() < 0.05  # what is searched again, in full, may be nothing


def test_what_report_raises_stops_the_search(planted):
    X, Y, bands = planted
    readout, told = READOUTS["banded_ridge"], []

    def report(done, text):
        told.append(done)
        if "cross-validated" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        readout.fit(replace(Moments.of(X, Y, np.arange(400) % 5), bands=bands), readout.read({}), report=report)
    assert told == sorted(told) and told[-1] < 1


def test_shares_are_himalayas_and_sum_to_scikit_learns_r2(planted):
    from himalaya.scoring import r2_score_split

    X, Y, bands = planted
    model, X, Y = banded(X[:300], Y[:300], bands, n_candidates=10), X[300:] + 0.3, Y[300:]
    shares = layer_shares(model.weights, bands, X, Y, model.intercept)
    np.testing.assert_allclose(shares.sum(0), metrics.r2_score(Y, model.predict(X), multioutput="raw_values"), atol=1e-10)
    parts = np.stack([x @ w for x, w in zip(np.split(X, [6, 16], 1), np.split(model.weights, [6, 16]), strict=True)])
    parts -= parts.mean(1, keepdims=True)
    offset = model.predict(X).mean(0) - Y.mean(0)
    np.testing.assert_allclose(shares, r2_score_split(Y - Y.mean(0), parts + offset / 3), atol=1e-5)
    np.testing.assert_allclose(layer_shares(model.weights, bands, X, Y), r2_score_split(Y - Y.mean(0), parts), atol=1e-5)


def test_shares_of_one_layer_are_r2_and_a_constant_target_has_none(planted):
    X, Y, _ = planted
    Y[:, 1] = 2
    shares = layer_shares(np.full((20, 3), 0.1), (), X, Y, np.zeros(3))
    assert shares.shape == (1, 3) and np.isnan(shares[0, 1])
    assert shares[0, 0] == pytest.approx(metrics.r2_score(Y[:, 0], X @ np.full(20, 0.1)))


def test_layers_that_do_not_add_up_are_refused(planted):
    X, Y, _ = planted
    with pytest.raises(ValueError, match="The layers have 19 components together, X has 20"):
        banded(X, Y, (10, 9))
    with pytest.raises(ValueError, match="The layers have 19 components together, the weights 20"):
        layer_shares(np.zeros((20, 3)), (10, 9), X, Y)
