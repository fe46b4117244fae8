"""Noise ceilings against their closed form and against simulated repeats."""

from __future__ import annotations

import numpy as np
import pytest

from encoding.evaluation import noise_ceiling as ceiling
from encoding.evaluation.noise_ceiling import as_fraction, from_ncsnr, from_repeats


def test_three_repeats_give_the_published_values():
    assert np.allclose(from_ncsnr(np.array([0.0, 1.0, 2.0]), n_three=9000), [0, 3 / 4, 12 / 13])


@pytest.mark.parametrize(("counts", "noise"), [((1, 0, 0), 1 / 3), ((0, 5, 0), 1 / 2), ((0, 0, 7), 1), ((6, 3, 1), (2 + 1.5 + 1) / 10)])
def test_noise_shrinks_with_the_number_of_repeats(counts, noise):
    three, two, one = counts
    assert np.allclose(from_ncsnr(np.array([0.5]), n_three=three, n_two=two, n_one=one), 0.25 / (0.25 + noise))


def test_the_ceiling_is_the_squared_correlation_of_the_true_signal_with_averaged_responses():
    chance = np.random.default_rng(0)
    times = np.repeat([3, 2, 1], [30_000, 20_000, 10_000])
    signal = 0.8 * chance.normal(size=60_000)
    averaged = signal + chance.normal(size=60_000) / np.sqrt(times)
    expected = from_ncsnr(np.array([0.8]), n_three=30_000, n_two=20_000, n_one=10_000)[0]
    assert np.corrcoef(signal, averaged)[0, 1] ** 2 == pytest.approx(expected, abs=0.01)


# -- from repeats


def test_simulated_repeats_recover_their_true_ceiling():
    chance, n_clips, n_voxels = np.random.default_rng(1), 1000, 200
    signal_sd, noise_sd = chance.uniform(0.2, 2, n_voxels), chance.uniform(0.5, 3, n_voxels)
    signal = signal_sd * chance.normal(size=(n_clips, n_voxels))
    repeats = 5 + signal[:, None] + noise_sd * chance.normal(size=(n_clips, 3, n_voxels))
    truth = signal_sd**2 / (signal_sd**2 + noise_sd**2 / 3)
    error = from_repeats(repeats) - truth
    assert abs(error.mean()) < 0.005 and np.abs(error).max() < 0.12  # an estimate from 1,000 clips strays by some 0.03
    reached = [np.corrcoef(signal[:, v], repeats[:, :, v].mean(axis=1))[0, 1] ** 2 for v in range(n_voxels)]
    np.testing.assert_allclose(from_repeats(repeats), reached, atol=0.12)


def test_two_repeats_give_the_split_half_reliability_of_the_challenge():
    chance = np.random.default_rng(2)
    repeats = chance.normal(size=(40, 1, 6)) + chance.normal(size=(40, 2, 6))
    rho = np.array([np.corrcoef(repeats[:, 0, v], repeats[:, 1, v])[0, 1] for v in range(6)])
    np.testing.assert_allclose(from_repeats(repeats), 2 * rho / (1 + rho), atol=1e-6)


def test_more_repeats_give_spearman_browns_formula_of_the_mean_correlation():
    chance = np.random.default_rng(3)
    repeats = chance.normal(size=(50, 1)) + chance.normal(size=(50, 4))
    rho = np.corrcoef(repeats.T)[np.triu_indices(4, 1)].mean()
    np.testing.assert_allclose(from_repeats(repeats[:, :, None]), 4 * rho / (1 + 3 * rho), atol=1e-6)


def test_repeats_that_disagree_or_never_vary_have_no_ceiling():
    one = np.random.default_rng(4).normal(size=30)
    opposed, flat, same = np.stack([one, -one, one], 1), np.stack([one, one, np.full(30, 0.1)], 1), np.stack([one, one, one], 1)
    found = from_repeats(np.stack([opposed, flat, same], axis=2).astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0, 0, 1], atol=1e-6)


def test_blocks_of_voxels_give_what_all_at_once_would(monkeypatch):
    repeats = np.random.default_rng(5).normal(size=(20, 3, 10)) + np.arange(20)[:, None, None] / 9
    whole = from_repeats(repeats)
    monkeypatch.setattr(ceiling, "BLOCK_VOXELS", 3)
    np.testing.assert_array_equal(from_repeats(repeats), whole)


@pytest.mark.parametrize("shape", [(10, 3), (10, 1, 5), (1, 3, 5)])
def test_other_shapes_than_repeats_are_refused(shape):
    with pytest.raises(ValueError, match=r"Repeats have shape \(n_stimuli, n_repeats, n_voxels\)"):
        from_repeats(np.zeros(shape))


def test_shape_is_kept_and_the_answer_is_float32():
    answer = from_ncsnr(np.ones((2, 3)), n_three=1)
    assert answer.shape == (2, 3) and answer.dtype == np.float32
    assert as_fraction(np.ones((2, 3), int)).dtype == np.float32


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
def test_an_impossible_ratio_is_refused_with_its_place(wrong):
    with pytest.raises(ValueError, match=r"1 of 4 values are wrong, the first at 2 .*an ncsnr is a finite number, 0 or more"):
        from_ncsnr(np.array([1, 1, wrong, 1]), n_three=1)


@pytest.mark.parametrize("counts", [{"n_three": 0}, {"n_three": 3, "n_two": -1}])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="must be counts, not all 0"):
        from_ncsnr(np.ones(2), **counts)


def test_percentages_and_fractions_mean_the_same():
    fractions = np.linspace(0, 0.87, 50)
    assert np.allclose(as_fraction(fractions), fractions)
    assert np.allclose(as_fraction(100 * fractions), fractions)
    assert as_fraction(np.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("wrong", [-1, 101, np.nan])
def test_an_impossible_ceiling_is_refused(wrong):
    with pytest.raises(ValueError, match=r"1 of 3 values are wrong, the first at 1 .*between 0 and 100 %"):
        as_fraction(np.array([50, wrong, 20]))
