import numpy as np
import pytest

from encoding.readouts._moments import Accumulator, Moments, centred


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(90, 6)), rng.normal(3, 2, size=(90, 4))
    return X, Y, rng.integers(0, 3, 90)


def test_centred_moments_are_numpys_covariances(data):
    X, Y, fold = data
    moments = Moments.of(X, Y, fold)
    rows = fold != 1
    found = centred(moments, np.array([0, 2]))
    x, y = X[rows] - X[rows].mean(0), Y[rows] - Y[rows].mean(0)
    np.testing.assert_allclose(found.xx, x.T @ x, atol=1e-10)
    np.testing.assert_allclose(found.xy, x.T @ y, atol=1e-10)
    np.testing.assert_allclose(found.yy, (y**2).sum(0), atol=1e-10)
    np.testing.assert_allclose(found.mean_y.numpy() + moments.shift, Y[rows].mean(0))


def test_a_held_out_fold_is_taken_about_the_training_means(data):
    X, Y, fold = data
    moments = Moments.of(X, Y, fold)
    train = centred(moments, np.array([0, 2]))
    held = centred(moments, np.array([1]), about=train)
    x, y = X[fold == 1] - X[fold != 1].mean(0), Y[fold == 1] - Y[fold != 1].mean(0)
    np.testing.assert_allclose(held.xx, x.T @ x, atol=1e-10)
    np.testing.assert_allclose(held.xy, x.T @ y, atol=1e-10)
    np.testing.assert_allclose(held.yy, (y**2).sum(0), atol=1e-10)


def test_rows_left_out_never_enter(data):
    X, Y, fold = data
    rows = np.flatnonzero(fold == 2)
    expected = Moments.of(X[rows], Y[rows], np.zeros(len(rows), int))
    X[fold != 2], Y[fold != 2] = np.nan, np.inf
    found = Moments.of(X, Y, np.zeros(len(rows), int), rows=rows)
    for name, array in expected.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], array, err_msg=name)


def test_moments_add_up_in_any_order_of_arrival(data):
    X, Y, fold = data
    at_once = centred(Moments.of(X, Y, fold), np.arange(3))
    sums = Accumulator(6, 4, 3, dtype=np.float64)
    for rows in np.array_split(np.random.default_rng(1).permutation(90), 7):
        sums.add(X, Y, rows, fold[rows])
    bit_by_bit = centred(sums.moments(), np.arange(3))
    np.testing.assert_allclose(bit_by_bit.xy, at_once.xy, atol=1e-10)
    np.testing.assert_allclose(bit_by_bit.yy, at_once.yy, atol=1e-10)


def test_a_large_mean_costs_no_digits():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)).astype(np.float32)
    y = (X @ np.ones((3, 1)) + 1e5).astype(np.float32)
    found = centred(Moments.of(X, y, np.arange(500) % 5), np.arange(5))
    exact = y.astype(float) - y.astype(float).mean(0)
    np.testing.assert_allclose(found.yy, (exact**2).sum(0), rtol=1e-3)


def test_moments_of_some_targets_are_those_targets_moments(data):
    X, Y, fold = data
    some = Moments.of(X, Y, fold).targets(np.array([3, 1]))
    alone = Moments.of(X, Y[:, [3, 1]], fold)
    np.testing.assert_allclose(some.xy, alone.xy)
    assert some.n_targets == 2 and some.n_components == 6 and some.n_folds == 3


def test_moments_survive_a_store(data, store):
    moments = Moments.of(*data)
    back = Moments.from_arrays(store.memo("moments-x", moments.arrays, {}))
    np.testing.assert_array_equal(back.xy, moments.xy)
