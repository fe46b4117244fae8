"""The lessons that compare: what they claim holds on the numbers they show, against independent computations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import FitSpec
from encoding.evaluation.scores import pearson
from encoding.evaluation.splits import Fold
from encoding.fits.plan import plan
from encoding.lessons import hierarchy, pitfalls, residuals, rsa, sharing
from encoding.lessons._linear import fitted, standardised
from encoding.lessons._spaces import components
from encoding.plots import lessons_comparison as figures
from encoding.plots.table import table_of
from tests.conftest import TINY

N, N_TRAIN = 400, 300
FOLD = Fold(np.arange(N_TRAIN), np.arange(N_TRAIN, N))


@pytest.fixture(scope="module")
def Z():
    """(400, 30) components: uncorrelated on the training rows, as principal components are; the first has extremes, as pictures do."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 30)) * np.geomspace(10, 1, 30)
    X[:, 0] = rng.laplace(scale=30, size=N)
    X -= X[FOLD.train].mean(0)
    _, _, turn = np.linalg.svd(X[FOLD.train], full_matrices=False)
    return X @ turn.T


# What every lesson stands on


def test_ridge_of_a_lesson_is_the_one_of_a_fit(tiny, store):
    from encoding import fit

    spec = replace(TINY, layers=("pixels", "colour"))
    planned = plan(spec, store)
    X, fold = components(planned, store), planned.folds[0]
    Y = np.concatenate([planned.subject.responses[hemi] for hemi in planned.hemis], axis=1)
    r = hierarchy.layer_scores({"pixels": X}, Y, fold)["pixels"]
    found = fit(spec, store)
    driven = np.r_[:5, 10:15]  # predictions of noise are all but constant, and their r is rounding
    np.testing.assert_allclose(r[driven], np.concatenate([found.score(hemi) for hemi in planned.hemis])[driven], atol=1e-5)


def test_the_alpha_of_a_lesson_solves_ridge(Z):
    from sklearn.linear_model import Ridge

    Y = Z[:, :3] + np.random.default_rng(1).standard_normal((N, 3))
    model = fitted(Z, Y, FOLD, alpha=7.0)
    expected = Ridge(alpha=7.0).fit(Z[FOLD.train], Y[FOLD.train])
    np.testing.assert_allclose(model.predict(Z), expected.predict(Z), atol=1e-6)


def test_test_rows_never_touch_a_standardisation():
    X = np.random.default_rng(2).standard_normal((20, 3))
    changed = X.copy()
    changed[15:] *= 100
    rows = np.arange(15)
    np.testing.assert_array_equal(standardised(X, rows)[rows], standardised(changed, rows)[rows])
    assert not standardised(np.ones((20, 1)), rows).any()


def test_correlation_is_pearsons():
    a, b = np.random.default_rng(3).standard_normal((2, 50, 4))
    np.testing.assert_allclose(pearson(a, b), [np.corrcoef(x, y)[0, 1] for x, y in zip(a.T, b.T, strict=True)])
    assert pearson(np.ones((5, 1)), np.arange(5.0)[:, None])[0] == 0


# The hierarchy


def test_each_region_is_predicted_by_the_features_that_drive_it():
    rng = np.random.default_rng(4)
    spaces = {"early": rng.standard_normal((N, 6)), "late": rng.standard_normal((N, 6))}
    weights, noise = rng.standard_normal((6, 10)), rng.standard_normal((N, 20))
    Y = np.hstack([spaces["early"] @ weights, spaces["late"] @ weights]) + noise
    r = hierarchy.layer_scores(spaces, Y, FOLD)
    regions = {"V1v": np.arange(10), "FFA-1": np.arange(10, 20)}
    scores = np.array([hierarchy.region_scores(values, np.ones(20), regions) for values in r.values()])
    best = hierarchy.best_layers(scores)
    assert best.tolist() == [0, 1]
    assert scores[1, 0] < 0.2 < 0.7 < scores[0, 0]
    assert hierarchy.hierarchy_index(best, [1, 5]) == pytest.approx(1)


def test_a_region_is_held_against_the_highest_r_that_noise_leaves():
    score = hierarchy.region_scores(np.array([0.3, 0.5, 0.9]), np.array([0.25, 0.25, 1.0]), {"a": np.array([0, 1]), "b": np.zeros(0, int)})
    assert score[0] == pytest.approx(0.8)
    assert np.isnan(score[1])


def test_the_hierarchy_index_is_spearmans():
    from scipy.stats import spearmanr

    best, stages = [0, 0, 1, 0, 2, 1, 2], [1, 2, 3, 4, 5, 5, 5]
    assert hierarchy.hierarchy_index(best, stages) == pytest.approx(spearmanr(best, stages).statistic)
    assert np.isnan(hierarchy.hierarchy_index([1, 1], [1, 2]))


def test_a_region_without_a_score_does_not_choose_its_layer():
    assert hierarchy.best_layers(np.array([[np.nan, 0.1], [0.2, 0.0]])).tolist() == [1, 0]


# Sharing variance


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
def test_the_two_spaces_correlate_by_what_the_control_says(Z, overlap):
    A, B = sharing.two_spaces(Z, FOLD, overlap)
    r = np.corrcoef(A[FOLD.train], B[FOLD.train], rowvar=False)[: sharing.N_FEATURES, sharing.N_FEATURES :]
    np.testing.assert_allclose(r, overlap * np.eye(sharing.N_FEATURES), atol=1e-6)


@pytest.fixture(scope="module")
def divided(Z):
    """Overlap to each part of R², mean over the vertices of each kind (A alone, both, B alone)."""
    found = {}
    for overlap in (0.0, 0.9):
        A, B = sharing.two_spaces(Z, FOLD, overlap)
        made = sharing.planted(A, B, FOLD)
        parts = sharing.divide(A, B, np.concatenate(list(made.values()), axis=1), FOLD)
        found[overlap] = {name: values.reshape(3, -1).mean(1) for name, values in vars(parts).items()}
    return found


def test_both_divisions_add_up_to_r2(divided):
    for parts in divided.values():
        np.testing.assert_allclose(parts["only_a"] + parts["only_b"] + parts["either"], parts["total"], atol=1e-9)
        np.testing.assert_allclose(parts["share_a"] + parts["share_b"], parts["total"], atol=1e-5)


def test_unique_parts_vanish_as_spaces_overlap_and_shares_stay_with_what_drives(divided):
    apart, alike = divided[0.0], divided[0.9]
    np.testing.assert_allclose(apart["only_a"] / apart["total"], [1, 0.5, 0], atol=0.1)
    np.testing.assert_allclose(alike["only_a"] / alike["total"], [1 - 0.9**2, (1 - 0.9) / 2, 0], atol=0.06)
    np.testing.assert_allclose(alike["share_a"] / alike["total"], [1, 0.5, 0], atol=0.06)
    np.testing.assert_allclose(apart["share_a"] / apart["total"], [1, 0.5, 0], atol=0.1)


def test_r2_of_planted_vertices_nears_their_ceiling(divided):
    assert (np.abs(divided[0.9]["total"] - sharing.CEILING) < 0.1).all()


# RSA against encoding


@pytest.fixture(scope="module")
def alike():
    """Features, and vertices that answer to all of them."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((N, 6))
    return X, X @ rng.standard_normal((6, 200)) + rng.standard_normal((N, 200))


def test_rsa_falls_when_a_feature_is_rescaled_and_encoding_does_not(alike):
    X, Y = alike
    scores = [rsa.both_scores(rsa.rescaled(X, 2, factor), Y, FOLD) for factor in rsa.FACTORS]
    similarities = [each.rsa for each in scores]
    assert similarities[0] > 0.6
    assert np.all(np.diff(similarities) < 0)
    assert similarities[-1] < similarities[0] - 0.3
    assert np.ptp([each.encoding for each in scores]) < 0.005


def test_similarity_and_distances_are_scipys(alike):
    from scipy.spatial.distance import pdist
    from scipy.stats import spearmanr

    X, Y = (values[FOLD.test] for values in alike)
    found = rsa.both_scores(*alike, FOLD)
    assert found.rsa == pytest.approx(spearmanr(pdist(X), pdist(Y, "correlation")).statistic)
    np.testing.assert_allclose(found.model[3, 5], np.linalg.norm(X[3] - X[5]))
    np.testing.assert_allclose(found.brain[3, 5], 1 - np.corrcoef(Y[3], Y[5])[0, 1])


def test_rescaling_leaves_the_features_alone(alike):
    X, _ = alike
    before = X.copy()
    changed = rsa.rescaled(X, 1, 8)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(changed[:, 1], 8 * X[:, 1])


# Residuals and failures


@pytest.mark.parametrize("seed", range(4))
def test_the_square_takes_the_bend_out_of_the_residuals(Z, seed):
    vertex = residuals.bent_vertex(Z, FOLD, seed=seed)
    measured = vertex.response[FOLD.test]
    left, r = {}, {}
    for squared in (False, True):
        predicted = residuals.predicted(vertex, FOLD, squared=squared)
        left[squared], r[squared] = residuals.curve(predicted, measured - predicted), np.corrcoef(predicted, measured)[0, 1]
    assert left[False].share > 0.3 > 3 * left[True].share
    assert left[False].p < 1e-6
    assert left[True].p > 0.01
    assert r[True] > r[False] + 0.05
    assert r[True] <= np.corrcoef(vertex.signal[FOLD.test], measured)[0, 1] + 0.02


def test_a_linear_models_failures_are_the_extreme_pictures(Z):
    vertex = residuals.bent_vertex(Z, FOLD)
    worst = residuals.failures(vertex.response[FOLD.test] - residuals.predicted(vertex, FOLD, squared=False), 8)
    drive = np.abs(vertex.drive[FOLD.test])
    assert np.median(drive[worst]) > 2 * np.median(drive)


def test_the_curve_is_a_regression_on_the_square():
    rng = np.random.default_rng(6)
    x = rng.standard_normal(80)
    y = 0.5 * x**2 + rng.standard_normal(80)
    weights = np.polyfit(x, y, 2)
    left = y - np.polyval(weights, x)
    found = residuals.curve(x, y)
    assert found.share == pytest.approx(1 - left.var() / y.var())
    _, covariance = np.polyfit(x, y, 2, cov="unscaled")
    error = np.sqrt(covariance[0, 0] * (left @ left) / 77)
    from scipy.stats import t

    assert found.p == pytest.approx(2 * t.sf(abs(weights[0]) / error, 77))


def test_straight_residuals_rarely_seem_to_bend():
    rng = np.random.default_rng(7)
    p = [residuals.curve(*rng.standard_normal((2, 100))).p for _ in range(300)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09


def test_failures_come_worst_first():
    assert residuals.failures(np.array([0.1, -3.0, 2.0, 0.0]), 2).tolist() == [1, 2]


# Pitfalls


@pytest.fixture(scope="module")
def leaks():
    """Mean r by split for each way, on many features of few pictures: of noise, and of vertices with a signal."""
    rng = np.random.default_rng(8)
    X = (rng.standard_normal((200, 20)) @ rng.standard_normal((20, 1_500)) + rng.standard_normal((200, 1_500))).astype(np.float32)
    signal = standardised(X[:, :5] @ rng.standard_normal((5, 24)), np.arange(200)) + rng.standard_normal((200, 24))
    found = pitfalls.leak(X, np.hstack([rng.standard_normal((200, 24)), signal]))
    parts = {"noise": found.means(slice(0, 24)), "signal": found.means(slice(24, 48))}
    return {name: dict(zip(pitfalls.WAYS, means.T, strict=True)) for name, means in parts.items()}


def test_noise_is_predicted_only_where_test_responses_leak(leaks):
    noise = leaks["noise"]
    assert abs(noise["honest"].mean()) < 0.05
    assert abs(noise["chosen honestly"].mean()) < 0.05
    assert noise["chosen with the test"].mean() > 0.25
    assert noise["chosen with the test"].min() > 0.15
    assert 0.02 < noise["alpha"].mean() - noise["honest"].mean() < 0.2


def test_a_scaler_and_pca_that_see_test_pictures_change_little(leaks):
    for r in leaks.values():
        assert abs(r["components"].mean() - r["honest"].mean()) < 0.03


def test_the_leak_lifts_a_real_score_too(leaks):
    signal = leaks["signal"]
    assert (signal["chosen with the test"] > signal["chosen honestly"] + 0.02).all()
    assert (signal["alpha"] >= signal["honest"]).all()


def test_ridge_on_chosen_features_is_sklearns():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(17)
    X, Y = rng.standard_normal((100, 60)), rng.standard_normal((100, 2))
    fold, every = Fold(np.arange(60), np.arange(60, 100)), np.arange(100)
    found = pitfalls._chosen(standardised(X, every), standardised(X, fold.train), Y, fold, every)
    for target in range(2):
        r = [abs(np.corrcoef(feature, Y[:, target])[0, 1]) for feature in X.T]
        Z = standardised(X, fold.train)[:, np.argsort(r)[-pitfalls.N_CHOSEN :]]
        model = Ridge(alpha=(Z[fold.train] ** 2).sum() / pitfalls.N_CHOSEN).fit(Z[fold.train], Y[fold.train, target])
        expected = np.corrcoef(model.predict(Z[fold.test]), Y[fold.test, target])[0, 1]
        assert found[target] == pytest.approx(expected)


def test_ridge_along_the_path_is_sklearns():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(9)
    X, Y = rng.standard_normal((50, 8)), rng.standard_normal((50, 3))
    fold = Fold(np.arange(40), np.arange(40, 50))
    s = np.linalg.svd(X[fold.train] - X[fold.train].mean(0), compute_uv=False)
    found, chosen = pitfalls._along_path(X, Y, fold)
    errors = []
    for i, relative in enumerate(pitfalls.RELATIVE_ALPHAS):
        model = Ridge(alpha=relative * (s**2).mean())
        np.testing.assert_allclose(
            found[i], pearson(model.fit(X[fold.train], Y[fold.train]).predict(X[fold.test]), Y[fold.test]), atol=1e-6
        )
        held = [np.arange(40) % pitfalls.N_INNER == k for k in range(pitfalls.N_INNER)]
        parts = [((model.fit(X[:40][~out], Y[:40][~out]).predict(X[:40][out]) - Y[:40][out]) ** 2).sum(0) for out in held]
        errors.append(sum(parts))
    np.testing.assert_array_equal(chosen, np.argmin(errors, 0))


def test_the_best_of_noise_are_not_the_best_again():
    rng = np.random.default_rng(10)
    predicted, measured = rng.standard_normal((2, 100, 2_000))
    found = pitfalls.circle(predicted, measured, n_chosen=100)
    assert found.first[found.chosen].mean() > 0.25
    assert abs(found.second[found.chosen].mean()) < 0.05
    assert found.first[found.chosen].min() >= np.delete(found.first, found.chosen).max()
    np.testing.assert_allclose(found.first[0], np.corrcoef(predicted[::2, 0], measured[::2, 0])[0, 1])
    np.testing.assert_allclose(found.second[0], np.corrcoef(predicted[1::2, 0], measured[1::2, 0])[0, 1])


def test_p_is_scipys():
    from scipy.stats import pearsonr

    a, b = np.random.default_rng(11).standard_normal((2, 40))
    test = pearsonr(a, b, alternative="greater")
    assert pitfalls.p_values(np.array([test.statistic]), 40)[0] == pytest.approx(test.pvalue)
    assert pitfalls.p_values(np.array([-1.0, 1.0]), 40) == pytest.approx([1, 0], abs=1e-12)


def test_one_in_twenty_of_noise_passes_and_none_at_a_false_discovery_rate():
    rng = np.random.default_rng(12)
    counts = [pitfalls.findings(pitfalls.p_values(pearson(*rng.standard_normal((2, 60, 1_000))), 60)) for _ in range(20)]
    assert 35 < np.mean([count["each for itself"] for count in counts]) < 65
    assert sum(count["false discovery rate"] > 0 for count in counts) <= 3  # one in twenty is promised
    assert sum(count["Bonferroni"] > 0 for count in counts) <= 3


def test_the_false_discovery_rate_is_benjamini_and_hochbergs():
    p = np.concatenate([np.full(30, 1e-4), np.random.default_rng(13).uniform(size=300)])
    ordered = np.sort(p)
    below = np.flatnonzero(ordered <= 0.05 * np.arange(1, len(p) + 1) / len(p))
    found = pitfalls.findings(p)
    assert found["false discovery rate"] == below.max() + 1
    assert found["false discovery rate"] >= 30
    assert found["Bonferroni"] == (p < 0.05 / 330).sum()


# Figures


def test_the_chosen_layers_scores_are_the_bars():
    fig = figures.regions_by_layer({"a": np.array([0.1, 0.2]), "b": np.array([0.5, np.nan])}, ["V1v", "hV4"], "b")
    assert [trace.type for trace in fig.data] == ["scatter", "bar"]
    assert fig.data[1].y[0] == 0.5


def test_divided_bars_of_both_sides_are_of_one_height():
    left = {"only A": np.array([0.2]), "either": np.array([0.1]), "only B": np.array([0.1])}
    fig = figures.divided(["both"], left, {"A": np.array([0.25]), "B": np.array([0.15])})
    heights = [sum(trace.y[0] for trace in fig.data if (trace.xaxis or "x") == axis) for axis in ("x", "x2")]
    assert heights == pytest.approx([0.4, 0.4])


def test_dissimilarities_are_drawn_as_ranks_in_bytes():
    distances = rsa.distances(np.random.default_rng(14).standard_normal((9, 3)))
    fig = figures.dissimilarities(distances, distances**2, ["faces"] * 4 + ["food"] * 5)
    model, brain = (np.asarray(trace.z) for trace in fig.data)
    assert model.dtype == np.uint8
    np.testing.assert_array_equal(model, brain)  # a square keeps the order
    np.testing.assert_array_equal(model, model.T)
    assert model.max() == 100
    assert list(zip(fig.layout.yaxis.ticktext, fig.layout.yaxis.tickvals, strict=True)) == [("faces", 1.5), ("food", 6.0)]
    assert fig.layout.yaxis2.showticklabels is False  # its rows are the same, and labels between the two would lie over the first
    assert model[np.unravel_index(distances.argmax(), distances.shape)] == 100


def test_leaks_whiskers_reach_the_lowest_and_highest_split():
    r = np.array([[0.1, 0.5], [0.3, 0.6]])
    bar = figures.leaks(["a", "b"], {"noise": r, "signal": r}).data[0]
    assert (bar.orientation, bar.y) == ("h", ("a", "b"))
    np.testing.assert_allclose(bar.x, [0.2, 0.55])
    np.testing.assert_allclose(bar.x + bar.error_x.array, [0.3, 0.6])
    np.testing.assert_allclose(bar.x - bar.error_x.arrayminus, [0.1, 0.5])


def test_chosen_vertices_are_drawn_apart():
    first, second = np.random.default_rng(15).standard_normal((2, 50)) / 10
    fig = figures.chosen_twice(first, second, np.array([3, 7]))
    others, chosen = fig.data[:2]
    np.testing.assert_allclose(chosen.x, first[[3, 7]], rtol=1e-6)
    assert len(others.x) == 48


def test_lines_of_a_path_are_told_apart_without_colours():
    series = {"test": np.ones(2), "train": np.zeros(2), "highest": np.full(2, 0.5)}
    fig = figures.paths((1, 2), series, 0, x_title="n", y_title="r")
    assert len({trace.line.dash for trace in fig.data}) == len({trace.marker.symbol for trace in fig.data}) == 3
    with pytest.raises(ValueError):
        figures.paths((1, 2), series | {"one too many": np.ones(2)}, 0, x_title="n", y_title="r")


def test_sorted_p_are_thinned_and_keep_their_ends():
    p = np.random.default_rng(16).uniform(size=5_000)
    fig = figures.sorted_p({"noise": p, "signal": p**4})
    noise = fig.data[0]
    assert len(noise.x) <= figures.MOST_POINTS
    assert noise.x[0] == 1
    assert noise.x[-1] == 5_000
    assert noise.y[0] == pytest.approx(p.min())
    line = next(trace for trace in fig.data if "false discovery" in trace.name)
    np.testing.assert_allclose(line.y, [0.05 / 5_000, 0.05])


@pytest.mark.parametrize(
    "figure",
    [
        lambda: figures.scores_by_factor((1, 2), np.array([0.5, 0.2]), np.array([0.4, 0.4]), 2),
        lambda: figures.leaks(["a"], {"noise": np.zeros((2, 1)), "signal": np.ones((2, 1))}),
        lambda: figures.dissimilarities(np.ones((4, 4)), np.ones((4, 4)), ["a", "a", "b", "b"]),
    ],
)
def test_every_figure_can_be_told_as_a_table(figure):
    assert len(table_of(figure()))


def test_every_score_of_each_way_is_a_dot():
    values = np.array([[0.5, 0.6], [0.7, 0.61]])
    fig = figures.dots_by_way(["once", "five<br>folds"], values, x_title="r")
    assert [list(trace.x) for trace in fig.data] == [[0.5, 0.7], [0.6, 0.61]]
    assert [set(trace.y) for trace in fig.data] == [{"once"}, {"five<br>folds"}]


# The pages


def test_every_lesson_asks_answers_and_has_a_door():
    from pages.parts.learn.lessons import hierarchy, pitfalls, residuals, rsa, sharing

    for module in (hierarchy, sharing, rsa, residuals, pitfalls):
        lesson = module.LESSON
        assert module.KEY.startswith(lesson.name)
        assert 0 <= lesson.right < len(lesson.answers)
        assert lesson.question.endswith("?")
        spec = lesson.explore_spec()
        assert isinstance(spec, FitSpec)
        assert spec.dataset == "demo"
