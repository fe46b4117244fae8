from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from encoding.evaluation.leave_one_out import ScoredFold
from encoding.evaluation.resampling import FEW_UNITS, ErrorBar, approximate_note, draw_counts, estimate, interval, shared_noise
from encoding.evaluation.scores import STORED_SCORES, score
from tests.encoding.evaluation import coverage

T = 5


@pytest.fixture
def rows():
    """Made up: predictions and responses (90, T) of 30 stimuli with 3 rows each, and the stimulus of each row."""
    rng = np.random.default_rng(0)
    predicted = rng.normal(size=(30, T))[np.repeat(np.arange(30), 3)] + 4
    return predicted, 0.5 * predicted + rng.normal(size=(90, T)), np.repeat(np.arange(30), 3)


def estimated(folds, columns=T, **options):
    """Estimates of the ROIs "two" (columns 1 and 3) and "none", block by block of two columns."""
    blocks = (
        (
            np.arange(start, min(start + 2, T)),
            [ScoredFold(f.predicted[:, start : start + 2], f.measured[:, start : start + 2], f.units) for f in folds],
        )
        for start in range(0, T, 2)
    )
    options = {"error_bar": ErrorBar(n_draws=400)} | options
    return estimate(blocks, {"two": np.array([1, 3]), "none": np.zeros(0, int)}, T, **options)


def split(rows, n_folds):
    predicted, measured, units = rows
    return [ScoredFold(predicted[part], measured[part], units[part]) for part in np.array_split(np.arange(len(units)), n_folds)]


@pytest.mark.parametrize("n_folds", [1, 3])
def test_the_value_is_the_mean_of_each_folds_score(rows, n_folds):
    folds = split(rows, n_folds)
    found = estimated(folds)
    each = [score(fold.predicted, fold.measured) for fold in folds]
    for name in STORED_SCORES:
        whole = np.mean([one[name] for one in each], axis=0)
        np.testing.assert_allclose(found.vertices[name], whole, atol=1e-5)
        assert found.value[name][0] == pytest.approx(whole[[1, 3]].mean(), abs=1e-5)
        assert np.isnan(found.value[name][1])
    assert (found.n_units, found.df) == (30, 30 - 2 * n_folds)


@pytest.mark.parametrize("n_folds", [1, 2])
def test_draws_of_every_score_follow_what_the_drawn_stimuli_score(n_folds):
    rng, n = np.random.default_rng(1), 120
    predicted = rng.normal(size=(n, T))
    rows = predicted, 2 * predicted + rng.normal(size=(n, T)), np.arange(n)
    folds, bar = split(rows, n_folds), ErrorBar(n_draws=200)
    found = estimated(folds, error_bar=bar, ceiling=np.full(T, 0.9))
    drawn = {name: np.zeros(200) for name in STORED_SCORES}
    for number, fold in enumerate(folds):
        for draw, counts in enumerate(draw_counts(len(fold.units), bar, number).astype(int)):
            some = np.repeat(np.arange(len(fold.units)), counts)
            for name, values in score(fold.predicted[some], fold.measured[some]).items():
                drawn[name][draw] += values[[1, 3]].mean() / n_folds
    for name, values in drawn.items():
        ours = found.draws[name][:, 0]
        assert np.corrcoef(ours, values)[0, 1] > 0.9, name
        assert ours.mean() == pytest.approx(found.value[name][0], rel=1e-4)
        assert ours.std(ddof=1) == pytest.approx(found.se[name][0], rel=1e-3)
    for name in ("normalised_r2", "normalised_r"):
        assert np.corrcoef(found.draws[name][:, 0], drawn["r"])[0, 1] > 0.95
        assert np.isnan(found.draws[name][:, 1]).all()


@pytest.mark.parametrize("n_folds", [1, 3])
def test_the_standard_error_is_the_jackknifes_over_stimuli(rows, n_folds):
    folds = split(rows, n_folds)
    variance = 0.0
    for fold in folds:
        left_out = []
        for unit in np.unique(fold.units):
            kept = fold.units != unit
            left_out.append(np.mean([stats.pearsonr(fold.predicted[kept, t], fold.measured[kept, t])[0] for t in (1, 3)]))
        n = len(left_out)
        variance += (n - 1) / n * ((np.array(left_out) - np.mean(left_out)) ** 2).sum() / n_folds**2
    found = estimated(folds)
    assert found.se["r"][0] == pytest.approx(np.sqrt(variance), rel=1e-4)
    assert estimated(folds, tau=np.ones(T)).se["r"][0] == pytest.approx(np.sqrt(variance * (1 if n_folds == 1 else 2)), rel=1e-4)


def test_draws_agree_with_the_interval_and_with_other_fits(rows):
    found, again = estimated(split(rows, 3)), estimated(split(rows, 3))
    assert set(found.draws) == {*STORED_SCORES, "pooled_r"}
    for name, draws in found.draws.items():
        np.testing.assert_array_equal(draws, again.draws[name])
        assert draws[:, 0].mean() == pytest.approx(found.value[name][0], abs=1e-5)
        assert draws[:, 0].std(ddof=1) == pytest.approx(found.se[name][0], rel=1e-4)
    other = estimated(split((rows[0] + 0.01 * np.random.default_rng(1).normal(size=rows[0].shape), *rows[1:]), 3))
    assert np.corrcoef(found.draws["r"][:, 0], other.draws["r"][:, 0])[0, 1] > 0.99


def test_rows_of_one_stimulus_are_drawn_together(rows):
    """Every row twice over changes nothing but the number of rows: neither value nor error."""
    predicted, measured, units = rows
    twice = ScoredFold(np.repeat(predicted, 2, 0), np.repeat(measured, 2, 0), np.repeat(units, 2))
    one, two = estimated(split(rows, 1)), estimated([twice])
    for name in ("r", "mae"):
        np.testing.assert_allclose(two.se[name], one.se[name], rtol=1e-4)
        np.testing.assert_allclose(two.value[name], one.value[name], rtol=1e-5)


def test_pooled_r_is_that_of_all_folds_together(rows):
    folds = split(rows, 3)
    folds = [ScoredFold(fold.predicted + number, fold.measured - number, fold.units) for number, fold in enumerate(folds)]
    found = estimated(folds)
    p, m, units = (np.concatenate([getattr(fold, name) for fold in folds]) for name in ("predicted", "measured", "units"))
    np.testing.assert_allclose(found.vertices["pooled_r"], score(p, m)["r"], atol=1e-5)
    assert found.value["pooled_r"][0] < found.value["r"][0]
    left_out = [np.mean([stats.pearsonr(p[units != unit, t], m[units != unit, t])[0] for t in (1, 3)]) for unit in range(30)]
    by_fold = np.split(np.array(left_out), 3)
    variance = sum((len(each) - 1) / len(each) * ((each - each.mean()) ** 2).sum() for each in by_fold)
    assert found.se["pooled_r"][0] == pytest.approx(np.sqrt(variance), rel=1e-4)


def test_of_one_fold_there_is_no_pooled_r(rows):
    assert "pooled_r" not in estimated(split(rows, 1)).value


@pytest.mark.parametrize("n_folds", [1, 3])
def test_every_score_has_an_interval_that_holds_it(rows, n_folds):
    found = estimated(split(rows, n_folds), ceiling=np.full(T, 0.6))
    for name in found.value:
        low, high = found.interval(name)
        assert low[0] < found.value[name][0] <= high[0], name


def test_constant_columns_are_left_out_and_large_offsets_do_no_harm(rows):
    predicted, measured, units = (each.copy() for each in rows)
    measured[:, 3] = 7.0
    found = estimated([ScoredFold(predicted, measured, units)])
    assert np.isnan(found.vertices["r"][3]) and found.value["r"][0] == pytest.approx(found.vertices["r"][1])
    far = estimated([ScoredFold(predicted + 1e4, measured + 1e4, units)])
    np.testing.assert_allclose(far.se["r"], found.se["r"], rtol=1e-3)


def test_two_models_of_the_same_predictions_share_no_noise_and_unrelated_ones_all():
    rng = np.random.default_rng(3)
    same = [rng.normal(size=(60, 4)) for _ in range(5)]
    np.testing.assert_allclose(shared_noise([same] * 5), 0, atol=1e-9)
    np.testing.assert_allclose(shared_noise([[rng.normal(size=(60, 4)) for _ in range(5)] for _ in range(5)]), 1)
    np.testing.assert_array_equal(shared_noise([[np.ones((9, 2))] * 3] * 3), 1)


def test_few_stimuli_are_said():
    assert approximate_note(FEW_UNITS) == "" and "20 test stimuli" in approximate_note(20)


@pytest.mark.parametrize("values", [{"n_draws": 1}, {"level": 1.0}])
def test_an_error_bar_that_makes_no_sense_is_refused(values):
    with pytest.raises(ValueError, match="two draws or more"):
        ErrorBar(**values)


def test_fishers_scale_keeps_r_within_its_bounds():
    low, high = interval(np.array([0.99, -0.99]), np.array([0.05, 0.05]), 30, scale="fisher")
    assert (low > -1).all() and (high < 1).all()


@cache
def simulated(number, signal, n):
    return coverage.simulate(coverage.DESIGNS[number], coverage.SIGNALS[signal], n=n)


FEWER = 240  # simulations here; the 1,000 of the documented table take four times as long
EVERY = [(number, signal) for number in range(len(coverage.DESIGNS)) for signal in coverage.SIGNALS]
SPARE = 0.028  # two standard errors of a share of 240 simulations, sqrt(0.95 x 0.05 / 240) each
FROM_TABLE = 0.047  # three of the difference of shares of 240 and of 1,000 simulations, sqrt(0.95 x 0.05 x (1 / 240 + 1 / 1000)) each


@pytest.mark.parametrize(("number", "signal"), EVERY)
def test_intervals_hold_the_truth_and_tests_find_nothing_where_nothing_is(number, signal):
    """95 % within two points, p < .05 in 5 % within two; the chance line is passed by 5 % at most."""
    found, design = simulated(number, signal, FEWER), coverage.DESIGNS[number]
    low, high = (0.93, 0.97) if design.n_units >= FEW_UNITS else (0.92, 0.975)
    cautious = {"r2", "rmse", "mae", "smooth_l1"} if design.n_folds > 1 else set()
    for name, share in found.coverage.items():
        assert low - SPARE <= share <= (1 if name in cautious else high + SPARE), (name, share)
    assert low - SPARE <= found.difference <= high + SPARE
    for name, share in found.positives.items():
        assert (0 if name in cautious else 0.03 - SPARE) <= share <= 0.07 + SPARE, (name, share)
    if signal == "none":
        assert found.chance <= 0.055 + SPARE / 2
        assert found.chance >= 0.04 - SPARE / 2 or len(design.rows) > 1 or design.rows[0] > 1  # repeats of one response count as one


def test_over_all_designs_intervals_hold_the_truth_within_two_points():
    """What a single design is simulated too rarely for; the limits are widened by one standard error of all its simulations."""
    every = [simulated(number, signal, FEWER) for number, signal in EVERY]
    shares = {name: [found.coverage[name] for found in every if name in found.coverage] for name in coverage.SHOWN}
    shares |= {"difference": [found.difference for found in every], "no finding": [1 - found.positives["r"] for found in every]}
    for name, each in shares.items():
        assert abs(np.mean(each) - 0.95) <= 0.02 + np.sqrt(0.95 * 0.05 / (FEWER * len(each))), name


def test_the_table_in_the_documentation_is_what_was_simulated():
    text = (Path(__file__).parents[3] / "docs" / "what_the_numbers_mean.md").read_text()
    for number, signal in EVERY:
        is_whole = number == len(coverage.DESIGNS) - 1  # the fastest design, simulated as often as for the table
        row = coverage.row(coverage.DESIGNS[number], signal, simulated(number, signal, coverage.N_SIMULATED if is_whole else FEWER))
        start = "|".join(row.split("|")[:3])
        (line,) = [line for line in text.splitlines() if line.startswith(start)]
        for told, found in zip(line.split("|")[3:], row.split("|")[3:], strict=True):
            if "%" in found:
                assert abs(float(told.strip(" %")) - float(found.strip(" %"))) < (0.6 if is_whole else 100 * FROM_TABLE), (
                    line
                )  # processors round differently
            else:
                assert told == found
