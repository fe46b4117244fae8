"""The lessons on evaluation: what they claim holds, against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from encoding.evaluation.splits import Fold
from encoding.lessons.choosing import optimism
from encoding.lessons.comparing import compared
from encoding.lessons.images import growth, sizes_of
from encoding.lessons.splits import cross_validations, holdouts, repeats
from encoding.lessons.untrained import random_layer

N, N_TRAIN = 200, 160
FOLD = Fold(np.arange(N_TRAIN), np.arange(N_TRAIN, N))


@pytest.fixture(scope="module")
def planted():
    """(200, 20) features and (200, 6) responses, half of whose variance they explain."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 20)).astype(np.float32)
    signal = X @ rng.standard_normal((20, 6)) / np.sqrt(20)
    return X, (signal + rng.standard_normal((N, 6))).astype(np.float32)


def test_the_best_of_many_models_that_know_nothing_is_the_maximum_of_noise():
    first, second = optimism(60, 80, counts=(1, 4, 12))
    a, b = np.random.default_rng(1).standard_normal((2, 40, 200, 12))
    draws = ((a - a.mean(0)) * (b - b.mean(0))).mean(0) / (a.std(0) * b.std(0))
    expected = [draws[:, :count].max(1).mean() for count in (1, 4, 12)]
    assert first == pytest.approx(expected, abs=0.06)
    assert np.abs(second).max() < 0.08


def test_more_images_raise_r_on_new_ones_and_lower_it_on_the_old(planted):
    train, test = growth(*planted, FOLD)
    assert len(train) == len(sizes_of(N_TRAIN)) and sizes_of(N_TRAIN)[-1] == N_TRAIN and sizes_of(30) == [30]
    assert train[0] > train[-1] > test[-1] > test[0]


def test_the_interval_of_a_difference_is_narrower_than_either_where_errors_are_shared():
    rng = np.random.default_rng(2)
    measured = rng.standard_normal((90, 8))
    shared = measured + rng.standard_normal((90, 8))
    first, second = shared + 0.1 * rng.standard_normal((90, 8)), shared + 0.4 * rng.standard_normal((90, 8))
    found = compared(first, second, measured)
    assert found.r == pytest.approx([np.mean([pearsonr(each[:, i], measured[:, i])[0] for i in range(8)]) for each in (first, second)])
    assert found.difference == pytest.approx(found.r[1] - found.r[0]) and found.difference < 0
    assert found.overlap and found.differs
    assert found.difference_high - found.difference_low < 0.6 * (found.high - found.low).min()
    same = compared(first, first, measured)
    assert same.difference == 0 and not same.differs


def test_a_random_layer_holds_the_narrower_ones_and_sees_no_test_image():
    X = np.random.default_rng(3).standard_normal((50, 7))
    wide, narrow = (random_layer(X, width, np.arange(40)) for width in (30, 10))
    np.testing.assert_allclose(wide[:, :10], narrow, rtol=1e-6)
    assert wide.min() == 0 and (wide > 0).any(0).all()
    changed = X.copy()
    changed[40:] *= 9
    np.testing.assert_array_equal(random_layer(changed, 10, np.arange(40))[:40], narrow[:40])
    assert not np.array_equal(random_layer(X, 10, np.arange(40), seed=1), narrow)


def test_a_random_layer_reads_what_no_straight_line_can():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((N, 3))
    Y = np.abs(X[:, :1]).astype(np.float32) + 0.1 * rng.standard_normal((N, 1)).astype(np.float32)
    _, linear = growth(X, Y, FOLD)
    _, random = growth(random_layer(X, 100, FOLD.train), Y, FOLD)
    assert random[-1] > 0.7 > 0.3 > abs(linear[-1])


def test_seeds_matter_less_with_folds_and_their_mean_is_the_same(planted):
    single, many = holdouts(*planted), cross_validations(*planted, 2)
    assert np.ptp(many) < np.ptp(single)
    assert many.mean() == pytest.approx(single.mean(), abs=0.1)


def test_repeats_on_both_sides_of_a_split_are_known_by_heart():
    apart, together = repeats(np.random.default_rng(5).standard_normal((60, 50)).astype(np.float32))
    assert apart > 0.3 and abs(together) < 0.1
