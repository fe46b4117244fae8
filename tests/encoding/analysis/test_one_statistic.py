"""One statistic for a number, wherever it stands: tables, maps, scatter, bars, heatmap, hierarchy, curve and tests, whatever the split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from encoding.analysis.bootstrap import roi_intervals, score_intervals
from encoding.analysis.comparison import compare, vertex_differences
from encoding.analysis.layer_ranking import BOTH, by_layer, roi_rows
from encoding.analysis.layer_sweep import Sweep
from encoding.analysis.learning_curve import learning_curve
from encoding.analysis.summaries import mean_curves, mean_prediction
from encoding.experiments.sweep import run_sweep
from encoding.plots import layer_heatmap, paired_bars, roi_bars, vertex_scatter
from encoding.runs.imported import arrays_of, part_of
from encoding.storage.store import Store
from tests import with_nightly
from tests.conftest import TINY, register_tiny

DESIGNS = {  # split, group of each row, image of each row (where groups are coarser)
    "hold-out": ("holdout:0.75:5", np.arange(120), None),
    "k-fold": ("kfold:3:0", np.arange(120), None),
    "k-fold, repeats": ("kfold:3:0", np.arange(120) // 3, None),
    "k-fold, repeats, groups": ("kfold:5:1", np.arange(120) // 6, np.arange(120) // 2),
}
NAMES = ("pixels", "colour")


@pytest.fixture(scope="module", params=with_nightly(DESIGNS, always=("hold-out", "k-fold, repeats, groups")))
def pair(request, tmp_path_factory):
    """Two layers of the planted subject, with one ROI a vertex beside its own, fitted, with intervals and a learning curve."""
    split, groups, images = DESIGNS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        tiny = register_tiny(patch)
        singles = {f"v{column}": np.array([column]) for column in range(10)}
        rois = {hemi: dict(tiny.subject.rois[hemi]) | singles for hemi in ("lh", "rh")}
        tiny.change(groups=groups, stimulus_ids=images, rois=rois, ceiling={hemi: np.full(10, 0.8) for hemi in rois})
        store = Store(tmp_path_factory.mktemp("one"))
        sweep = Sweep.read(replace(TINY, split=split, options={"alpha": 30.0}), ["tinynet"], NAMES)
        found = run_sweep(sweep, store, device="cpu")
        curve = learning_curve(sweep.spec_of(sweep.cells[0]), store, device="cpu")
        yield found, [found.results[cell] for cell in sweep.cells], curve


def by_loop(result, hemi):
    """r of every vertex as a loop over folds finds it, and r over all folds together."""
    predicted, measured = result.predicted(hemi, np.arange(10)), result.measured(hemi, np.arange(10))
    ends = np.cumsum([len(fold.test) for fold in result.plan.folds])[:-1]
    parts = list(zip(np.split(predicted, ends), np.split(measured, ends), strict=True))
    mean = [np.mean([stats.pearsonr(p[:, v], m[:, v])[0] for p, m in parts]) for v in range(10)]
    return np.array(mean), np.array([stats.pearsonr(predicted[:, v], measured[:, v])[0] for v in range(10)])


def test_every_place_holds_the_mean_of_the_folds_r(pair):
    found, results, curve = pair
    for result in results:
        table, intervals, rows = result.rois(), roi_intervals(result), roi_rows(result)
        for hemi in ("lh", "rh"):
            r, _ = by_loop(result, hemi)
            np.testing.assert_allclose(result.score(hemi), r, atol=1e-5)
            np.testing.assert_allclose(result.vertices().query("hemi == @hemi")["r"], r, atol=1e-5)
            one = table[table["hemi"] == hemi].set_index("roi")
            np.testing.assert_allclose(one.loc[[f"v{v}" for v in range(10)], "r_mean"], r, atol=1e-5)
            assert one.loc["driven", "r_mean"] == pytest.approx(r[:5].mean(), abs=1e-5)
            np.testing.assert_allclose(intervals[f"{hemi}_value"], one.loc[[str(roi) for roi in intervals["rois"]], "r_mean"], atol=1e-5)
            np.testing.assert_allclose(rows[rows["hemi"] == hemi]["r"], one["r_mean"], atol=1e-5)
            single = mean_prediction(result, {hemi: np.array([3])})
            assert single.r == pytest.approx(single.mean_r, abs=1e-5) and single.r == pytest.approx(r[3], abs=1e-5)
        means = table.set_index(["roi", "hemi"])["r_mean"]
        bars = [trace for trace in roi_bars(table).data if trace.type == "bar" and trace.customdata is not None]
        heights = {tuple(place)[:2]: y for trace in bars for place, y in zip(trace.customdata, trace.y, strict=True)}
        assert len(heights) >= 26
        for place, height in heights.items():
            assert height == pytest.approx(means[place], nan_ok=True)
    _, test = mean_curves(curve, {"lh": np.arange(5), "rh": np.zeros(0, int)})
    assert test[-1] == pytest.approx(results[0].score("lh")[:5].mean(), abs=2e-5)
    rows = found.table()
    both = rows[rows["hemi"] == BOTH]
    means = by_layer(both, "r", list(NAMES), found.rois)  # what the hierarchy index ranks
    cells = np.array(next(trace for trace in layer_heatmap(both).data if trace.type == "heatmap").z)
    kept = np.isfinite(means).all(0)
    np.testing.assert_allclose(np.sort(cells.ravel()), np.sort(means[:, kept].ravel()), atol=1e-9)
    driven = np.concatenate([results[0].score(hemi)[:5] for hemi in ("lh", "rh")]).mean()
    assert means[0, found.rois.index("driven")] == pytest.approx(driven, abs=1e-6)


def test_every_difference_lies_within_its_own_interval_and_signs_agree_per_vertex(pair):
    _, (first, second), _ = pair
    comparison = compare(second, first)
    table = comparison.table
    outside = (table["difference"] < table["low"]) | (table["difference"] > table["high"])
    assert len(table) == 26 and not outside.any() and table["low"].notna().all()
    differences = vertex_differences(second, first)
    scatter = vertex_scatter(*({hemi: each.score(hemi) for hemi in ("lh", "rh")} for each in (second, first)))
    for hemi, trace in zip(("lh", "rh"), scatter.data[:2], strict=True):
        rows = table[(table["hemi"] == hemi) & table["roi"].str.startswith("v")]
        np.testing.assert_allclose(rows["difference"], differences[hemi], atol=1e-6)
        np.testing.assert_allclose(np.asarray(trace.y) - np.asarray(trace.x), rows["difference"], atol=1e-6)
    bars = paired_bars({"A": second.rois(), "B": first.rois()})
    assert max(np.nanmax(bar.y) for bar in bars.data if bar.type == "bar") == pytest.approx(first.rois()["r_mean"].max())


def test_pooled_r_is_one_correlation_over_all_folds_with_interval_and_test_of_its_own(pair):
    _, (first, second), _ = pair
    several = len(first.plan.folds) > 1
    assert ("pooled_r" in first.score_names) == several == first.has_pooled == ("pooled_r" in first.rois())
    for hemi in ("lh", "rh"):
        mean, pooled = by_loop(first, hemi)
        np.testing.assert_allclose(first.score(hemi, "pooled_r"), pooled if several else mean, atol=1e-5)
    if not several:
        assert score_intervals(roi_intervals(first), "lh", "pooled_r") is None
        return
    table, intervals = first.rois(), roi_intervals(first)
    low, high = score_intervals(intervals, "lh", "pooled_r")
    values = table[table["hemi"] == "lh"].set_index("roi").loc[[str(roi) for roi in intervals["rois"]], "pooled_r"].to_numpy()
    known = np.isfinite(values)
    assert known.sum() == 13 and ((low < values) & (values < high))[known].all()
    rows = compare(second, first, score="pooled_r").table
    assert ((rows["low"] <= rows["difference"]) & (rows["difference"] <= rows["high"])).all()
    driven = rows.set_index(["roi", "hemi"]).loc[("driven", "lh")]
    assert driven["difference"] == pytest.approx(first.pooled("lh")[:5].mean() - second.pooled("lh")[:5].mean(), abs=1e-6)
    assert roi_rows(first).set_index(["roi", "hemi"]).loc[("driven", "lh"), "pooled_r"] == pytest.approx(first.pooled("lh")[:5].mean())
    sent = part_of(arrays_of(first, intervals=None, curve=None), "pooled")
    np.testing.assert_array_equal(sent["lh_r"], first.pooled("lh"))
