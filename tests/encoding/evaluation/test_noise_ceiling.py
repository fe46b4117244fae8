"""Noise ceilings against their closed form and against simulated repeats."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest

from encoding.evaluation import noise_ceiling as ceiling
from encoding.evaluation.noise_ceiling import (
    as_fraction,
    from_ncsnr,
    from_ncsnr_of_rows,
    from_repeats,
    ncsnr_of_correlations,
    ncsnr_of_repeats,
    variance_components,
)


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


# -- from rows of which some repeat a stimulus


def within_two_standard_errors(estimates, truth):
    """Whether the mean over independent simulations lies within two standard errors of the truth."""
    return abs(np.mean(estimates) - truth) <= 2 * np.std(estimates, ddof=1) / np.sqrt(len(estimates))


@pytest.mark.parametrize("n_sessions", [1, 3])
@pytest.mark.parametrize("times", [[2] * 15, [3] * 10, [1, 1, 2, 2, 3, 4, 1, 5, 2, 2]], ids=["two", "three", "unequal"])
def test_variances_of_signal_and_noise_are_unbiased(times, n_sessions):
    chance, n_simulated = np.random.default_rng(7), 4000
    shown = chance.permutation(np.repeat(np.arange(len(times)), times))
    sessions = np.arange(len(shown)) * n_sessions // len(shown)
    rows = 0.8 * chance.normal(size=(len(times), n_simulated))[shown] + chance.normal(size=(len(shown), n_simulated))
    rows += 3 * chance.normal(size=(n_sessions, n_simulated))[sessions]
    signal, noise = variance_components(rows, shown, sessions)
    assert within_two_standard_errors(signal, 0.64) and within_two_standard_errors(noise, 1)


@pytest.mark.parametrize(("n_stimuli", "n_times", "snr"), [(20, 3, 0.7), (40, 2, 1.0)])
def test_the_ceiling_is_too_low_by_what_the_f_distribution_gives(n_stimuli, n_times, snr):
    """1 / F has the mean (S - 1) / (S - 3) of what it estimates, so 1 - 1 / F is too low by 2 (1 - c) / (S - 3)."""
    chance, n_simulated = np.random.default_rng(8), 4000
    shown = np.repeat(np.arange(n_stimuli), n_times)
    rows = snr * chance.normal(size=(n_stimuli, n_simulated))[shown] + chance.normal(size=(len(shown), n_simulated))
    truth = snr**2 / (snr**2 + 1 / n_times)
    signal, noise = variance_components(rows, shown)
    bias = -2 * (1 - truth) / (n_stimuli - 3)
    assert within_two_standard_errors(signal / (signal + noise / n_times), truth + bias)
    found = from_ncsnr_of_rows(ncsnr_of_repeats(rows, shown), np.full(n_stimuli, n_times))
    np.testing.assert_allclose(found, np.maximum(signal / (signal + noise / n_times), 0), atol=1e-6)


def test_the_components_are_those_of_a_one_way_analysis_of_variance():
    from scipy.stats import f_oneway

    chance = np.random.default_rng(9)
    groups = [chance.normal(size=n) + mean for n, mean in ((2, 0.3), (3, -1), (4, 2), (2, 1))]
    shown = np.repeat(np.arange(4), [len(group) for group in groups])
    signal, noise = variance_components(np.concatenate(groups)[:, None], shown)
    k = (11 - (4 + 9 + 16 + 4) / 11) / 3  # repeats of a stimulus that count, in an unequal design
    assert 1 + k * signal[0] / noise[0] == pytest.approx(f_oneway(*groups).statistic)


def test_sessions_that_show_one_stimulus_each_are_refused():
    rows = np.random.default_rng(10).normal(size=(6, 2))
    with pytest.raises(ValueError, match="sessions that show several stimuli"):
        ncsnr_of_repeats(rows, np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 2]))


def spearman_brown(columns, n):
    """The textbook's reliability of the mean of n: of the mean Pearson correlation of two repeats, over all pairs."""
    rho = statistics.mean(statistics.correlation(a, b) for a, b in itertools.combinations(columns, 2))
    return n * rho / (1 + (n - 1) * rho)


def test_split_half_of_two_and_three_repeats_is_the_textbooks_formula():
    first, second, third = [1.0, 2, 3, 4], [1.0, 3, 2, 4], [2.0, 1, 3, 4]
    shown = np.tile(np.arange(4), 3)
    two = ncsnr_of_correlations(np.array([first + second]).T, shown[:8])
    assert statistics.correlation(first, second) == pytest.approx(4 / 5)  # sums of products: 4 of 5
    assert from_ncsnr_of_rows(two, np.full(4, 2))[0] == pytest.approx(2 * 0.8 / 1.8, rel=1e-6)  # 8 / 9
    three = ncsnr_of_correlations(np.array([first + second + third]).T, shown)
    assert spearman_brown([first, second, third], 3) == pytest.approx(6 / 7)  # rho is (.8 + .8 + .4) / 3
    assert from_ncsnr_of_rows(three, np.full(4, 3))[0] == pytest.approx(6 / 7, rel=1e-6)
    assert from_ncsnr_of_rows(three, np.ones(12))[0] == pytest.approx(2 / 3, rel=1e-6)  # of single rows: rho itself


def test_split_half_of_unequal_repeats_takes_as_many_of_each_as_all_have():
    first, second = [1.0, 2, 3, 4], [1.0, 3, 2, 4]
    rows = np.array([[*first, *second, 9.0, -7.0, 50.0]]).T  # a third repeat of stimuli 0 and 1, and a stimulus that was shown once
    shown = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 4])
    times = np.array([3, 3, 2, 2, 1])
    found = from_ncsnr_of_rows(ncsnr_of_correlations(rows, shown), times)
    noise = (1 / 3 + 1 / 3 + 1 / 2 + 1 / 2 + 1) / 5  # rho / (1 - rho) is 4, the ratio of the variances
    assert found[0] == pytest.approx(4 / (4 + noise), rel=1e-6)


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
