"""Neighbours and trees agree with scikit-learn, similarity encoding with a loop; they store who resembles whom and no response."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from encoding.readouts import READOUTS, Responses, Training, _smoother, knn
from tests.readout_problems import KINDS, fit, problem

NAMES = ("knn", "tree", "rse")


def halves(kind, **more):
    """X and Y to learn from, X to predict; the last target is constant."""
    X, Y = problem(kind, **more)
    Y[:, -1] = 3
    return X[:200], Y[:200], X[200:]


def close(ours, theirs, Y, digits=1e-9):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=digits * np.abs(Y).max())


def sklearns(X, Y, new, metric, **options):
    """Predictions of scikit-learn's neighbours; our correlation is the cosine of deviations from the mean training image."""
    about, metric = (X.mean(0), "cosine") if metric == "correlation" else (0.0, metric)
    return KNeighborsRegressor(metric=metric, **options).fit(X - about, Y).predict(new - about)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", knn.METRICS)
@pytest.mark.parametrize("weighting", knn.WEIGHTINGS)
def test_neighbours_are_scikit_learns(kind, metric, weighting):
    X, Y, new = halves(kind)
    for k in (1, 5, 200):
        theirs = sklearns(X, Y, new, metric, n_neighbors=k, weights=weighting)
        close(fit("knn", X, Y, k=k, weighting=weighting, metric=metric).predict(new), theirs, Y)


@pytest.mark.parametrize("metric", knn.METRICS)
def test_neighbours_in_single_precision_are_scikit_learns(metric):
    X, Y, new = halves("correlated", dtype=np.float32)
    X, new = X + 1e3, new + 1e3  # far from the origin, where products of float32 lose the distances
    ours = fit("knn", X, Y, metric=metric, weighting="distance").predict(new)
    theirs = sklearns(X.astype(float), Y, new.astype(float), metric, weights="distance")
    assert ours.dtype == np.float32
    close(ours, theirs, Y, 1e-5)


@pytest.mark.parametrize("metric", knn.METRICS)
def test_neighbours_at_no_distance_alone_count(metric):
    X, Y, _ = halves("well-behaved")
    X[[10, 30]] = X[20]
    predicted = fit("knn", X, Y, weighting="distance", metric=metric).predict(X)
    np.testing.assert_allclose(predicted[[10, 20, 30]], np.broadcast_to(Y[[10, 20, 30]].mean(0), (3, Y.shape[1])), atol=1e-10)
    others = np.delete(np.arange(200), [10, 20, 30])
    np.testing.assert_allclose(predicted[others], Y[others], atol=1e-10)


def test_among_equal_distances_the_earlier_row_is_nearer():
    rng = np.random.default_rng(0)
    X, new = rng.integers(0, 2, (300, 4)).astype(float), rng.integers(0, 2, (40, 4)).astype(float)
    for metric, power in (("euclidean", 2), ("manhattan", 1)):
        rows, distance = knn.nearest(new, X, 7, metric)
        every = (np.abs(new[:, None] - X) ** power).sum(2) ** (1 / power)
        np.testing.assert_array_equal(rows, np.argsort(every, 1, kind="stable")[:, :7])
        np.testing.assert_allclose(distance, np.sort(every, 1)[:, :7])


def test_rows_that_a_product_cannot_tell_apart_are_measured():
    rng = np.random.default_rng(0)
    X = 1 + 1e-9 * rng.normal(size=(200, 5))
    X[0] = -1e4  # so that all others look alike in float32
    new = 1 + 1e-9 * rng.normal(size=(20, 5))
    every = np.sqrt(((new[:, None] - X) ** 2).sum(2))
    np.testing.assert_array_equal(knn.nearest(new, X, 3, "euclidean")[0], np.argsort(every, 1)[:, :3])


def test_a_row_without_direction_resembles_nothing():
    X, Y, _ = halves("well-behaved")
    X[8:] = X[8:] - X[8:].mean(0)
    X[:8] = 0.0
    nothing = np.zeros((2, 8))
    for metric in ("correlation", "cosine"):
        rows, distance = knn.nearest(nothing, X, 200, metric)
        np.testing.assert_allclose(distance, 1)
        np.testing.assert_array_equal(rows[0], np.arange(200))
        np.testing.assert_allclose(fit("rse", X, Y, similarity=metric).predict(nothing)[0], Y.mean(0))


@pytest.mark.parametrize(
    ("name", "options"),
    [("rse", {"similarity": similarity}) for similarity in ("correlation", "cosine")]
    + [("rse", {"k": 9, "negative": False})]
    + [("knn", {"metric": metric, "weighting": weighting}) for metric in knn.METRICS for weighting in knn.WEIGHTINGS]
    + [("ridge", {}), ("tree", {})],
)
def test_the_signs_of_components_do_not_matter(name, options):
    X, Y, new = halves("correlated", dtype=np.float32)
    X, new = X[:, :7], new[:, :7]
    if name != "tree":
        new = new + 0.1  # between the training rows
    signs = np.where(np.arange(7) % 3, 1, -1).astype(np.float32)
    close(fit(name, X * signs, Y, **options).predict(new * signs), fit(name, X, Y, **options).predict(new), Y, 1e-5)


def test_results_do_not_depend_on_the_blocks_that_bound_memory(monkeypatch):
    X, Y, new = halves("correlated")
    whole = {name: fit(name, X, Y).predict(new) for name in NAMES}
    for module, limits in (
        (_smoother, {"ENTRIES": 700, "ROW_BLOCK": 7, "COLUMN_BLOCK": 5, "READ_BYTES": 900}),
        (knn, {"EXACT_ENTRIES": 300}),
    ):
        for limit, value in limits.items():
            monkeypatch.setattr(module, limit, value)
    for name in NAMES:
        np.testing.assert_allclose(fit(name, X, Y).predict(new), whole[name], atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [12, 260])
@pytest.mark.parametrize("options", [{}, {"max_depth": 3, "min_samples_leaf": 5}, {"max_features": 0.5, "seed": 3}])
def test_trees_are_scikit_learns(kind, t, options):
    X, Y, new = halves(kind, t=t)
    asked = {"max_depth": 10, "min_samples_leaf": 20, "random_state": options.get("seed", 0)}
    asked |= {name: value for name, value in options.items() if name != "seed"}
    theirs = DecisionTreeRegressor(**asked).fit(X, Y)
    ours = fit("tree", X, Y, target_components=None, **options)
    np.testing.assert_array_equal(ours.apply(new), theirs.apply(new))
    close(ours.predict(new), theirs.predict(new), Y)


def test_a_tree_of_a_few_response_components_is_that_of_all_where_those_hold_everything():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 10))
    Y = np.tanh(X[:, :3] @ rng.normal(size=(3, 4))) @ rng.normal(size=(4, 300))
    few, every = fit("tree", X, Y, target_components=4), fit("tree", X, Y, target_components=None)
    np.testing.assert_array_equal(few.threshold, every.threshold)
    one = fit("tree", X, Y, target_components=1)
    assert not np.array_equal(one.feature, every.feature)
    sizes = np.bincount(one.leaf)
    means = np.stack([Y[one.leaf == leaf].mean(0) for leaf in np.flatnonzero(sizes)])
    np.testing.assert_allclose(one.predict(X), means[np.searchsorted(np.flatnonzero(sizes), one.leaf)], atol=1e-10)


def by_hand(X, Y, new, similarity, negative, k):
    """Similarity encoding, one picture and one training picture at a time."""
    predicted = []
    for x in new:
        s = []
        for z in X:
            a, b = (x - X.mean(0), z - X.mean(0)) if similarity == "correlation" else (x, z)
            s.append(a @ b / np.sqrt((a @ a) * (b @ b)))
        counting = sorted(range(len(X)), key=lambda i: -s[i])[:k]
        counting = [i for i in counting if negative or s[i] > 0]
        total = sum(abs(s[i]) for i in counting)
        predicted.append(Y.mean(0) + sum(s[i] / total * (Y[i] - Y.mean(0)) for i in counting))
    return np.array(predicted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("similarity", ["correlation", "cosine"])
@pytest.mark.parametrize(("negative", "k"), [(True, None), (False, None), (True, 9), (False, 150)])
def test_similarity_encoding_is_a_loop_over_pairs_of_pictures(kind, similarity, negative, k):
    X, Y, new = halves(kind)
    X, new = X[:60] - 2, new[:10] - 2
    ours = fit("rse", X, Y[:60], similarity=similarity, negative=negative, k=k).predict(new)
    close(ours, by_hand(X, Y[:60], new, similarity, negative, k), Y)


def test_similarity_encoding_of_centred_responses_is_the_plain_weighted_sum():
    X, Y, new = halves("correlated")
    Y = Y - Y.mean(0)
    a, b = (rows - X.mean(0) for rows in (new, X))
    s = a @ b.T / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    close(fit("rse", X, Y).predict(new), s @ Y / np.abs(s).sum(1, keepdims=True), Y)


@pytest.mark.parametrize("name", NAMES)
def test_some_columns_are_columns_of_the_whole_and_no_response_is_stored(name):
    X, Y, new = halves("correlated", t=600, dtype=np.float32)
    model = fit(name, X, Y)
    whole, basis = model.predict(new), model.basis(new)
    for columns in (slice(3, 40), np.array([500, 2, 17]), slice(0, 0)):
        np.testing.assert_allclose(model.predict(new, columns), whole[:, columns], atol=1e-5)
        np.testing.assert_allclose(model.predict_from(basis, columns), whole[:, columns], atol=1e-5)
    np.testing.assert_allclose(basis @ model.weights[:, :] + model.intercept, whole, atol=1e-4)
    assert whole.dtype == np.float32 and sum(array.nbytes for array in model.arrays().values()) < 600 * 8 + 10_000


@pytest.mark.parametrize("name", NAMES)
def test_responses_of_two_hemispheres_on_disk_serve_as_well_as_an_array(name, tmp_path, store):
    X, Y, new = halves("correlated", dtype=np.float32)
    shuffled = np.random.default_rng(0).permutation(250)
    blocks = []
    for hemi, columns in (("left", slice(0, 5)), ("right", slice(5, 12))):
        every = np.zeros((250, 20), np.float32)
        every[shuffled[:200], 3 : 3 + Y[:, columns].shape[1]] = Y[:, columns]
        np.save(tmp_path / f"{hemi}.npy", every)
        blocks.append((np.load(tmp_path / f"{hemi}.npy", mmap_mode="r"), np.arange(3, 3 + Y[:, columns].shape[1])))
    data, readout = Training(X, Responses(blocks, shuffled[:200]), np.zeros(200, int)), READOUTS[name]
    model = readout.fit(data, readout.read({}))
    np.testing.assert_array_equal(model.predict(new), fit(name, X, Y).predict(new))
    back = readout.restore(store.memo(f"weights-{name}", model.arrays, {}), data)
    np.testing.assert_array_equal(back.predict(new), model.predict(new))


@pytest.mark.parametrize("name", NAMES)
def test_a_smoother_says_how_far_it_is_and_can_be_stopped(name):
    X, Y, _ = halves("correlated")
    told = []
    READOUTS[name].fit(Training.of(X, Y), READOUTS[name].read({}), report=lambda done, text: told.append(done))
    assert told == sorted(told) and told[-1] == 1

    def stop(done, text):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        READOUTS[name].fit(Training.of(X, Y), READOUTS[name].read({}), report=stop)


@pytest.mark.parametrize("name", NAMES)
def test_more_data_cost_more(name):
    readout = READOUTS[name]
    small, large = (readout.cost(n, 100, t, readout.read({})) for n, t in ((1_000, 2_000), (8_000, 40_000)))
    assert 0 < small[0] < large[0] and 0 < small[1] < large[1]


def test_what_cannot_be_is_said():
    X, Y, _ = halves("well-behaved")
    with pytest.raises(ValueError, match="knn cannot take 201 neighbours of 200 training images"):
        fit("knn", X, Y, k=201)
