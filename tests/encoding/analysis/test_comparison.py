"""Two fits held against each other, checked by loops and by scipy."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats

from encoding import FitSpec, fit
from encoding.analysis import bootstrap
from encoding.analysis.bootstrap import intervals_key, intervals_of, roi_intervals, score_intervals
from encoding.analysis.comparison import (
    compare,
    false_discovery,
    settings,
    shared_scores,
    verdict,
    vertex_differences,
    what_differs,
    why_unpaired,
)
from encoding.analysis.layer_ranking import BOTH, interval_columns, roi_rows
from encoding.analysis.layer_sweep import Sweep, SweepResult
from encoding.evaluation.resampling import ErrorBar
from encoding.evaluation.scores import SCORES
from encoding.runs.report import how_it_was_tested
from tests import with_nightly
from tests.conftest import TINY

COLOUR = replace(TINY, layers=("colour",))


@pytest.fixture
def two(tiny, store):
    """A good fit and one that sees mean colours alone, with their intervals."""
    results = [fit(spec, store, device="cpu") for spec in (TINY, COLOUR)]
    for result in results:
        roi_intervals(result)
    return results


MEANS = {
    "r": lambda p, m: np.mean([np.corrcoef(p[:, v], m[:, v])[0, 1] for v in range(p.shape[1])]),
    "r2": lambda p, m: np.mean(1 - ((p - m) ** 2).sum(0) / ((m - m.mean(0)) ** 2).sum(0)),
    "rmse": lambda p, m: np.sqrt(((p - m) ** 2).mean(0)).mean(),
    "mae": lambda p, m: np.abs(p - m).mean(),
}


@pytest.mark.parametrize("score", MEANS)
def test_the_test_is_a_paired_t_on_the_spread_of_a_loop_over_draws(two, score):
    """Interval and p of a difference, and the interval of one fit over both hemispheres, against jackknife and bootstrap."""
    row = compare(*two, score=score).table.set_index(["roi", "hemi"]).loc[("driven", "rh")]
    predicted = {hemi: [result.predicted(hemi, np.arange(5)) for result in two] for hemi in ("lh", "rh")}
    measured = {hemi: two[0].measured(hemi, np.arange(5)) for hemi in ("lh", "rh")}
    mean, n, rng, draws, of_both = MEANS[score], two[0].n_test, np.random.default_rng(1), [], []
    for _ in range(1_000):
        rows = rng.integers(0, n, n)
        means = [mean(p[rows], measured["rh"][rows]) for p in predicted["rh"]]
        draws.append(means[1] - means[0])
        of_both.append((means[0] + mean(predicted["lh"][0][rows], measured["lh"][rows])) / 2)
    at = [mean(p, measured["rh"]) for p in predicted["rh"]]
    assert row["difference"] == pytest.approx(at[1] - at[0], abs=1e-4)
    se = (row["high"] - row["low"]) / 2 / stats.t.isf(0.025, n - 2)
    left_out = []
    for one in range(n):
        kept = np.arange(n) != one
        left_out.append(np.subtract(*(mean(p[kept], measured["rh"][kept]) for p in predicted["rh"])))
    assert se == pytest.approx(np.sqrt((n - 1) * np.var(left_out)), rel=0.01)
    loose = 0.25 if score == "r2" else 0.15  # 30 stimuli: a draw repeats some, and R² divides by their variance
    assert se == pytest.approx(np.std(draws, ddof=1), rel=loose)
    assert row["low"] < row["difference"] < row["high"]
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(row["difference"]) / se, n - 2), rel=1e-6)
    known = roi_rows(two[0]).set_index(["roi", "hemi"]).loc[("driven", BOTH)]
    low, high = (known[name] for name in interval_columns(score))
    slope = 1 / (1 - known["r"] ** 2) if score == "r" else 1  # of Fisher's z, on whose scale the interval of r is symmetric
    width = np.arctanh(high) - np.arctanh(low) if score == "r" else high - low
    assert width / 2 == pytest.approx(slope * np.std(of_both, ddof=1) * stats.t.isf(0.025, n - 2), rel=loose)
    assert low < known[score] < high


def test_intervals_stored_before_draws_of_every_score_are_read_and_have_none_of_other_scores(two, store):
    """Their r is tested as before; other scores have no test and no interval over both hemispheres, and a sentence says so."""
    sweep = SweepResult(Sweep(spec=TINY, cells=(("tinynet", "pixels"), ("tinynet", "colour"))), dict(enumerate(two)), store)
    with_draws = sweep.shares(score="rmse")
    assert with_draws[:, 0].tolist() == [1, 0] and np.allclose(with_draws[:, :3].sum(0), 1)  # the lowest error wins
    key = intervals_key(two[1])
    before = {name: values for name, values in store.get(key).items() if not name.endswith("_draws") or name in ("lh_draws", "rh_draws")}
    made_from = store.provenance(key)["made_from"]
    store.remove(key)
    store.put(key, before, made_from)
    assert not {"lh_rmse_draws", "lh_mae_draws"} & set(intervals_of(two[1]))
    assert compare(*two).tested and not (found := compare(*two, score="rmse")).tested
    assert found.table["p"].isna().all() and "no interval" in how_it_was_tested(found)
    assert sweep.shares(score="rmse") is None and sweep.shares(score="r") is not None
    rows = roi_rows(two[1]).set_index(["roi", "hemi"])
    assert np.isnan(rows.loc[("driven", BOTH), "rmse_low"]) and np.isfinite(rows.loc[("driven", "lh"), "rmse_low"])
    assert np.isfinite(rows.loc[("driven", BOTH), "low"])


DESIGNS = list(product(["holdout:0.75:5", "kfold:3:0", "kfold:5:1"], [False, True]))  # split, and whether stimuli are repeated


@pytest.mark.parametrize("design", with_nightly(DESIGNS, always=(DESIGNS[0], DESIGNS[3])), ids=str)
def test_bars_and_differences_lie_within_their_own_intervals(tiny, store, design):
    """The interval is of the number that is shown, whatever the split and whether stimuli are repeated."""
    split, repeated = design
    if repeated:
        tiny.change(groups=np.repeat(np.arange(60), 2))
    results = [fit(replace(spec, split=split), store, device="cpu") for spec in (TINY, COLOUR)]
    for result in results:
        found, table = roi_intervals(result), result.rois()
        assert int(found["n_units"]) == result.n_test_stimuli == (result.n_test // 2 if repeated else result.n_test)
        for hemi in ("lh", "rh"):
            rows = table[(table["hemi"] == hemi)].set_index("roi").loc[[str(roi) for roi in found["rois"]]]
            np.testing.assert_allclose(found[f"{hemi}_value"], rows["r_mean"], atol=1e-5)
            for name in result.score_names:
                low, high = score_intervals(found, hemi, name)
                value = rows[SCORES[name].mean_column].to_numpy()
                assert not ((value < low - 1e-5) | (value > high + 1e-5)).any()
    table = compare(*results).table
    assert ((table["low"] <= table["difference"]) & (table["difference"] <= table["high"])).all()


def test_intervals_of_several_folds_that_an_earlier_release_computed_are_not_read(tiny, store, monkeypatch):
    one, several = (fit(replace(TINY, split=split), store, device="cpu") for split in (TINY.split, "kfold:3:0"))
    today = [intervals_key(one), intervals_key(several)]
    monkeypatch.setattr(bootstrap, "INTERVALS_VERSION", 3)
    assert intervals_key(one) == today[0] and intervals_key(several) != today[1]


def test_intervals_are_named_by_what_they_read(tiny, store):
    """ROI masks, groups of test rows, ceilings and the error bar change the key; what they do not read does not."""
    result = fit(TINY, store, device="cpu")
    keys = [intervals_key(result)]
    keys.append(intervals_key(result, error_bar=ErrorBar(seed=1)))
    changes = (
        {"rois": {hemi: dict(tiny.subject.rois[hemi]) | {"driven": np.arange(4)} for hemi in ("lh", "rh")}},
        {"ceiling": {hemi: np.full(10, 0.5, np.float32) for hemi in ("lh", "rh")}},
    )
    for change in changes:
        tiny.change(**change)
        keys.append(intervals_key(fit(TINY, store, device="cpu")))
    assert len(set(keys)) == len(keys)
    assert intervals_key(fit(TINY, store, device="cpu")) == keys[-1]


def test_a_better_model_is_found_better_where_there_is_something_to_predict(two):
    table = compare(*two).table.set_index(["roi", "hemi"])
    assert table.loc["driven", "differs"].all() and (table.loc["driven", "high"] < 0).all()
    assert not table.loc["noise", "differs"].any()
    assert "empty" not in table.index.get_level_values("roi")


def test_two_equal_fits_do_not_differ(two):
    table = compare(two[0], two[0]).table
    assert (table["difference"] == 0).all() and (table["p"] == 1).all() and not table["differs"].any()


@pytest.mark.parametrize(("scale", "words"), [(1.0, r"\+0\.\d[1-9]\.$"), (1e-4, r"by less than 0\.01\.$")])
def test_a_verdict_says_where_a_difference_is_largest_and_none_is_0(two, scale, words):
    found = compare(*two)
    found = replace(found, table=found.table.assign(difference=scale * found.table["difference"]))
    assert re.search(words, verdict(found)), verdict(found)


def test_exchanging_the_two_changes_signs_alone(two):
    there, back = compare(*two).table, compare(*two[::-1]).table
    np.testing.assert_allclose(there["difference"], -back["difference"])
    np.testing.assert_allclose(there["low"], -back["high"])
    np.testing.assert_allclose(there["p"], back["p"])


@pytest.mark.parametrize("seed", range(5))
def test_the_false_discovery_rate_is_scipys(seed):
    p = np.random.default_rng(seed).uniform(size=20) ** 3
    with_gap = np.insert(p, 7, np.nan)
    q = false_discovery(with_gap)
    np.testing.assert_allclose(np.delete(q, 7), stats.false_discovery_control(p))
    assert np.isnan(q[7])


def test_nothing_tested_is_no_discovery():
    assert false_discovery(np.full(3, np.nan)).tolist() == pytest.approx([np.nan] * 3, nan_ok=True)
    assert false_discovery(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split": "holdout:0.75:6"}, "different images (A on 30, B on 30, of which"),
        ({"split": "kfold:3:0"}, "A on 30, B on 120, of which 30 are the same"),
    ],
)
def test_fits_of_other_test_images_are_not_paired_and_say_why(tiny, store, two, change, reason):
    other = fit(replace(TINY, **change), store, device="cpu")
    roi_intervals(other)
    found = compare(two[0], other)
    assert reason in found.unpaired and found.same_vertices and not found.tested
    assert found.table["p"].isna().all() and np.isfinite(found.table.set_index("roi").loc["driven", "difference"]).all()


def test_fits_of_one_hemisphere_each_have_nothing_in_common(tiny, store):
    left, right = (fit(replace(TINY, hemi=hemi), store, device="cpu") for hemi in ("lh", "rh"))
    assert why_unpaired(left, right) == "They are of different hemispheres."
    with pytest.raises(ValueError, match="do not predict the same vertices"):
        vertex_differences(left, right)


def test_changed_responses_are_not_paired(tiny, store, two):
    tiny.change(fingerprints={"lh": "other", "rh": "other"})
    changed = fit(TINY, store, device="cpu")
    assert "changed between them" in why_unpaired(two[0], changed)


def test_missing_intervals_leave_means_alone_and_are_named(tiny, store):
    results = [fit(spec, store, device="cpu") for spec in (TINY, COLOUR)]
    roi_intervals(results[0])
    found = compare(*results)
    assert found.without_intervals == (results[1],) and found.unpaired is None and not found.tested
    assert found.table["low"].isna().all() and not found.table["differs"].any()


def test_folds_are_paired_with_equal_folds(tiny, store):
    results = [fit(replace(spec, split="kfold:3:0"), store, device="cpu") for spec in (TINY, COLOUR)]
    for result in results:
        roi_intervals(result)
    assert compare(*results).table.set_index(["roi", "hemi"]).loc["driven", "differs"].all()


def test_vertices_are_subtracted(two):
    np.testing.assert_allclose(vertex_differences(*two)["lh"], two[1].score("lh") - two[0].score("lh"))


def test_settings_that_differ_are_listed_with_the_readouts_own_defaults(tiny, store, two):
    other = fit(replace(TINY, options={"alpha": 10.0}, n_components=12), store, device="cpu")
    table = what_differs([two[0], two[1], other]).set_index("setting")
    assert table.loc["layers"].tolist() == ["pixels", "colour", "pixels"]
    assert table.loc["n_components"].tolist() == ["0", "0", "12"]
    assert table.loc["ridge: alpha", "C"] == "10.0" and table.loc["ridge: alpha", "A"] == table.loc["ridge: alpha", "B"] != "10.0"
    assert "readout" not in table.index and "readout" in settings(two)["setting"].tolist()
    assert FitSpec().readout == "ridge"


@pytest.mark.parametrize("score", ["r", "rmse"])
def test_means_are_over_the_vertices_that_both_predict_and_are_not_tested_where_one_lacks_some(tiny, store, two, score):
    single = fit(replace(TINY, target_groups="vertex:lh:3"), store, device="cpu")
    roi_intervals(single)
    for pair, way in (((two[0], single), 1), ((single, two[0]), -1)):
        found = compare(*pair, score=score)
        row = found.table.set_index(["roi", "hemi"]).loc[("driven", "lh")]
        expected = single.score("lh", score)[3] - two[0].score("lh", score)[3]
        assert row["difference"] == pytest.approx(way * expected, abs=1e-12) and row["n_vertices"] == 1
        assert row[["low", "high", "p", "q"]].isna().all() and not row["differs"]
        assert "over the vertices that both have" in how_it_was_tested(found)
    assert "that both have" not in how_it_was_tested(compare(*two, score=score))


@pytest.mark.parametrize(("ours", "theirs", "shared"), [("driven+noise", "noise", slice(5, 10)), ("driven", "noise", None)])
def test_unions_of_one_name_are_compared_on_the_vertices_that_both_have_and_not_tested(tiny, store, ours, theirs, shared):
    pair = [
        fit(replace(TINY, layers=(layer,), rois=(f"early={parts}",)), store, device="cpu")
        for layer, parts in (("pixels", ours), ("colour", theirs))
    ]
    for each in pair:
        roi_intervals(each)
    found = compare(*pair)
    row = found.table.set_index(["roi", "hemi"]).loc[("early", "lh")]
    means = [np.nan if shared is None else each.score("lh")[shared].mean() for each in pair]
    assert [row["first"], row["second"]] == pytest.approx(means, nan_ok=True) and row["n_vertices"] == (0 if shared is None else 5)
    assert row[["low", "high", "p", "q"]].isna().all() and not row["differs"]
    assert "over the vertices that both have" in how_it_was_tested(found)


def test_fits_of_two_single_vertices_of_a_region_have_no_difference_there(tiny, store):
    pair = [fit(replace(TINY, target_groups=f"vertex:lh:{column}"), store, device="cpu") for column in (2, 3)]
    for each in pair:
        roi_intervals(each)
    row = compare(*pair).table.set_index(["roi", "hemi"]).loc[("driven", "lh")]
    assert row["n_vertices"] == 0 and row[["difference", "low", "high", "p"]].isna().all()


def test_the_spread_of_fits_of_the_same_responses_is_of_the_vertices_that_all_predict(tiny, store, two):
    left = fit(replace(TINY, hemi="lh", target_groups="vertex:lh:3"), store, device="cpu")
    assert [each.tolist() for each in shared_scores([two[0], left], "r")] == [[fit.score("lh")[3]] for fit in (two[0], left)]
    right = fit(replace(TINY, hemi="rh"), store, device="cpu")
    assert [np.isfinite(each).sum() for each in shared_scores([two[0], left, right], "r")] == [20, 1, 10]
    tiny.change(fingerprints={"lh": "other", "rh": "other"})
    other = fit(replace(TINY, hemi="rh"), store, device="cpu")
    assert [len(each) for each in shared_scores([two[0], other], "r")] == [20, 10]


def test_stretches_of_other_lengths_that_follow_in_the_same_order_are_not_paired(tiny, store):
    tiny.change(runs=np.zeros(120, int))
    four, six = (fit(replace(TINY, split=split), store, device="cpu") for split in ("blocks:4:2", "blocks:6:2"))
    assert np.array_equal(four.test_rows(), six.test_rows())
    assert "the same images in different folds" in why_unpaired(four, six) and why_unpaired(four, four) is None
