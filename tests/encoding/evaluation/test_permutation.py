"""Permutation test of r: agreement with loops, p uniform without signal whatever rows depend on one another, and its refusals."""

from itertools import permutations as every_order

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import kstest, pearsonr

from encoding.evaluation.permutation import (
    N_BINS,
    Permutations,
    choose_method,
    expected_above,
    n_orders,
    permuted,
    row_orders,
)
from encoding.evaluation.resampling import shared_noise

N_SIMULATIONS = 2_000  # vertices without signal
FEW = Permutations(n_permutations=499)


def below(p: np.ndarray, level: float = 0.05) -> float:
    return float((p <= level).mean())


def autocorrelated(shape: tuple[int, ...], rng: np.random.Generator, by: float = 0.9) -> np.ndarray:
    """AR(1) along the last axis but one."""
    return lfilter([1], [1, -by], rng.normal(size=shape), axis=-2)


def test_r_and_p_are_those_of_loops_over_folds_and_orders():
    rng = np.random.default_rng(0)
    predicted, measured = ([rng.normal(size=(n, 3)).astype(np.float32) for n in (12, 9)] for _ in range(2))
    drawn = Permutations(n_permutations=49)
    orders = [row_orders(np.arange(n), drawn, "blocks", fold) for fold, n in enumerate((12, 9))]
    p, r, counts = permuted(predicted, measured, orders, np.array([1.0, 1.2, 1.4]))
    for v, widening in enumerate((1.0, 1.2, 1.4)):
        values = [
            widening * np.mean([pearsonr(a[order[d], v], b[:, v])[0] for a, b, order in zip(predicted, measured, orders, strict=True)])
            for d in range(49)
        ]
        expected = np.mean([pearsonr(a[:, v], b[:, v])[0] for a, b in zip(predicted, measured, strict=True)])
        assert r[v] == pytest.approx(expected, abs=1e-6)
        assert p[v] == (1 + np.sum(np.array(values) >= expected - 1e-6)) / 50
    assert counts.sum() == 3 * 49


def test_of_all_orders_p_is_the_exact_one():
    predicted, measured = np.array([[1.0], [2.0], [4.0], [3.0], [7.0]]), np.array([[2.0], [1.0], [3.0], [9.0], [8.0]])
    orders = np.array(list(every_order(range(5))))
    p, r, _ = permuted([predicted], [measured], [orders])
    reached = sum(pearsonr(predicted[order, 0], measured[:, 0])[0] >= r[0] - 1e-9 for order in orders)
    assert p[0] == (1 + reached) / (1 + 120)


def test_constant_predictions_are_at_chance_and_constant_responses_untested():
    rng = np.random.default_rng(0)
    predicted, measured = rng.normal(size=(2, 20, 3)) + 1e3
    predicted[:, 0], measured[:, 1] = 1e3, 1e3
    p, r, counts = permuted([predicted], [measured], [row_orders(np.arange(20), FEW, "blocks")])
    assert p[0] == 1 and r[0] == 0 and np.isnan([p[1], r[1]]).all() and 0 < p[2] <= 1
    assert counts.sum() == 2 * 499


@pytest.mark.parametrize("units", [np.arange(50), np.repeat(np.arange(40), 3), np.repeat(np.arange(30), np.arange(30) % 3 + 1)])
def test_p_is_uniform_without_signal_where_units_are_stimuli_with_their_repeats(units):
    rng, n = np.random.default_rng(len(units)), units.max() + 1
    predicted = rng.normal(size=(n, N_SIMULATIONS))[units]  # one prediction for all repeats
    measured = rng.normal(size=(n, N_SIMULATIONS))[units] + rng.normal(size=(len(units), N_SIMULATIONS))
    p, _, _ = permuted([predicted], [measured], [row_orders(units, FEW, "blocks")])
    assert kstest(p, "uniform").statistic < 0.04 and 0.035 < below(p) < 0.065  # the 0.001 quantile of KS is 0.044
    if len(np.unique(units)) < len(units):
        p, _, _ = permuted([predicted], [measured], [row_orders(np.arange(len(units)), FEW, "blocks")])
        assert below(p) > 0.08  # repeats counted as stimuli of their own


@pytest.mark.parametrize("method", ["blocks", "shift"])
def test_p_is_uniform_without_signal_over_runs_that_are_autocorrelated_and_not_when_runs_are_ignored(method):
    rng, n_runs, length = np.random.default_rng(1), *((12, 15) if method == "blocks" else (3, 60))
    units = np.repeat(np.arange(n_runs), length)
    predicted, measured = (autocorrelated((n_runs, length, N_SIMULATIONS), rng).reshape(-1, N_SIMULATIONS) for _ in range(2))
    p, _, _ = permuted([predicted], [measured], [row_orders(units, FEW, method)])
    assert kstest(p, "uniform").statistic < (0.04 if method == "blocks" else 0.06) and 0.035 < below(p) < 0.07
    p, _, _ = permuted([predicted], [measured], [row_orders(np.arange(len(units)), FEW, "blocks")])
    assert below(p) > 0.2


def test_under_k_fold_p_is_uniform_only_with_the_noise_that_folds_share():
    rng, n, n_folds = np.random.default_rng(2), 60, 5
    X, Y = rng.normal(size=(n, 10)), rng.normal(size=(n, N_SIMULATIONS))
    parts = np.array_split(np.arange(n), n_folds)
    predictions = []
    for part in parts:
        train = np.setdiff1d(np.arange(n), part)
        about = X[train].mean(0)
        W = np.linalg.solve((X[train] - about).T @ (X[train] - about) + 5 * np.eye(10), (X[train] - about).T @ Y[train])
        predictions.append([(X[rows] - about) @ W + Y[train].mean(0) for rows in parts])
    tested = [predictions[a][a] for a in range(n_folds)], [Y[part] for part in parts]
    orders = [row_orders(np.arange(len(part)), FEW, "blocks", fold) for fold, part in enumerate(parts)]
    p, _, _ = permuted(*tested, orders, np.sqrt(1 + shared_noise(predictions)))
    assert 0.035 < below(p) < 0.065 and 0.08 < below(p, 0.1) < 0.12
    p, _, _ = permuted(*tested, orders)
    assert below(p) > 0.09


def test_expected_false_positives_are_those_that_a_threshold_lets_through():
    rng = np.random.default_rng(3)
    predicted, measured = rng.normal(size=(2, 50, N_SIMULATIONS))
    _, r, counts = permuted([predicted], [measured], [row_orders(np.arange(50), FEW, "blocks")])
    for threshold in (0.0, 0.1, 0.25):
        expected = expected_above(counts, 499, threshold)
        assert abs((r >= threshold).sum() - expected) < 4 * np.sqrt(expected) + 1
    assert expected_above(counts, 499, -1) == N_SIMULATIONS and expected_above(counts, 499, 1.01) == 0
    assert len(counts) == N_BINS


@pytest.mark.parametrize("method", ["blocks", "shift"])
def test_every_order_moves_whole_units_and_keeps_the_order_within(method):
    units = np.array([5, 5, 2, 2, 2, 9, 7, 7, 1, 1, 1, 8])  # two of 2, two of 3, two of 1
    units = np.random.default_rng(0).permutation(units) if method == "blocks" else np.sort(units)
    orders = row_orders(units, FEW, method)
    for order in orders:
        assert sorted(order) == list(range(len(units)))
        for unit in np.unique(units):
            rows = np.flatnonzero(units == unit)
            source = order[rows]
            assert len(set(units[source])) == 1 and len(rows) == (units == units[source[0]]).sum()
            if method == "blocks":
                assert (np.diff(source) > 0).all()
            else:
                assert set(source) == set(rows) and (np.diff(np.append(source, source[0])) < 0).sum() <= 1
    assert len(np.unique(orders, axis=0)) == n_orders(units, np.arange(len(units)), method)  # all were drawn: 8 and 36


@pytest.mark.parametrize(
    ("units", "stimuli", "method"),
    [
        (np.zeros(12, int), np.tile(np.arange(4), 3), "shift"),  # a run shows four images in turn, three times
        (np.repeat([0, 1], 6), np.concatenate([np.tile(np.arange(2), 3), np.arange(6)]), "shift"),
        (np.repeat(np.arange(4), 3), np.concatenate([np.tile(np.arange(3), 3), [3, 4, 5]]), "blocks"),  # three sessions show the same
        (np.repeat(np.arange(4), 2), np.repeat(np.arange(4), 2), "blocks"),  # repeats of one stimulus each
    ],
)
def test_orders_that_give_every_row_the_same_stimulus_again_are_one(units, stimuli, method):
    orders = row_orders(units, Permutations(n_permutations=2_000), method)
    assert len(np.unique(stimuli[orders], axis=0)) == n_orders(units, stimuli, method)


def test_sessions_that_show_the_same_images_in_one_order_are_not_exchanged():
    sessions, images = np.repeat(np.arange(8), 30), np.tile(np.arange(30), 8)
    assert choose_method([sessions], [images]) == "shift"
    with pytest.raises(ValueError, match="have 1 different orders"):
        choose_method([sessions], [images], "blocks")


def test_what_a_method_needs():
    runs, stimuli = np.repeat(np.arange(8), 10), np.arange(80)
    assert choose_method([runs], [stimuli]) == "blocks"
    assert choose_method([runs[:30]], [stimuli[:30]]) == "shift"  # 3! orders of whole runs
    assert choose_method([stimuli], [stimuli]) == "blocks"
    assert choose_method([runs[:40]], [runs[:40]]) == "blocks"  # repeats of one stimulus are not shifted
    with pytest.raises(ValueError, match="repeats of one stimulus"):
        choose_method([runs], [runs], "shift")
    with pytest.raises(ValueError, match=r"6 different orders \(3 units of 10 to 10 rows"):
        choose_method([runs[:30]], [stimuli[:30]], "blocks")
    with pytest.raises(ValueError, match="19 permutations"):
        Permutations(n_permutations=18)
    with pytest.raises(ValueError, match="not 'runs'"):
        Permutations(method="runs")
