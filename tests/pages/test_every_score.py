"""Every score, as mean and median, wherever scores are shown: tables, figures, comparisons, reports and pages."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from encoding import Store, fit, plots
from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.comparison import compare
from encoding.analysis.layer_ranking import BOTH, best_layers, layer_column, mean_over_rois
from encoding.analysis.layer_sweep import Sweep, SweepResult
from encoding.analysis.summaries import overall_scores, side_by_side
from encoding.evaluation.scores import SCORES
from encoding.plots.brain.score_maps import difference_brain
from encoding.runs.report import how_it_was_tested, report, roi_ends
from tests.conftest import TINY, register_tiny

SPLIT = "kfold:3:0"
SHOWN = [(key, statistic) for key, score in SCORES.items() for statistic in ("mean", "median")[: 1 + score.has_median]]


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Two layers under k-fold, of stimuli shown twice, with noise ceilings of which some are too low to normalise by."""
    with pytest.MonkeyPatch.context() as patch:
        tiny = register_tiny(patch)
        ceiling = {hemi: np.linspace(0.01, 0.9, 10, dtype=np.float32) for hemi in ("lh", "rh")}
        tiny.change(ceiling=ceiling, groups=np.arange(120) // 2, vertices={hemi: np.arange(10) * 5 for hemi in ("lh", "rh")})
        store = Store(tmp_path_factory.mktemp("scores"))
        cells = (("tinynet", "pixels"), ("tinynet", "colour"))
        sweep = Sweep(spec=replace(TINY, split=SPLIT), cells=cells)
        results = {cell: fit(sweep.spec_of(cell), store, device="cpu") for cell in cells}
        for result in results.values():
            roi_intervals(result)
        yield SweepResult(sweep, results, store)


@pytest.fixture
def store(fits):
    """The Store of the fits, for pages."""
    return fits.store


def drawn_heat(figure):
    return next(trace for trace in figure.data if trace.type == "heatmap")


@pytest.mark.parametrize(("score", "statistic"), SHOWN)
def test_layers_are_ranked_and_coloured_by_every_score(fits, score, statistic):
    table, column = fits.table(), layer_column(score, statistic)
    for cell, result in fits.results.items():
        theirs = result.rois().set_index(["roi", "hemi"])[SCORES[score].column(statistic)]
        mine = table[(table["layer"] == cell[1]) & (table["hemi"] != BOTH)].set_index(["roi", "hemi"])[column]
        np.testing.assert_allclose(mine, theirs.loc[mine.index])
    rows, lower = table[table["hemi"] == BOTH], SCORES[score].lower_is_better
    best = best_layers(rows, None, score=column).set_index("roi")
    pair = rows[rows["roi"] == "driven"].set_index("label")[column]
    assert best.loc["driven", "label"] == (pair.idxmin() if lower else pair.idxmax()) == "pixels"
    figure = plots.layer_heatmap(rows, score=score, statistic=statistic, best=best.reset_index())
    heat = drawn_heat(figure)
    assert ("lower is better" in heat.colorbar.title.text) == lower
    if SCORES[score].unit and lower:
        assert SCORES[score].unit in heat.colorbar.title.text
    yellow_at_the_low_end = heat.colorscale[0][1] == "#fde725"
    assert yellow_at_the_low_end == lower and heat.zmin < heat.zmax
    profile = plots.layer_profile(table[table["hemi"] != BOTH], roi="driven", score=score, statistic=statistic)
    assert ("lower is better" in profile.layout.yaxis.title.text) == lower
    assert (profile.data[0].error_y.array is not None) == (statistic == "mean")
    means = mean_over_rois(rows, column)
    assert means["pixels"] == pytest.approx(np.nanmean([pair["pixels"], rows.set_index(["roi", "label"])[column]["noise", "pixels"]]))


@pytest.mark.parametrize(("score", "statistic"), SHOWN)
def test_fits_are_compared_by_every_score(fits, score, statistic):
    first, second = fits.results.values()
    found = compare(first, second, score=score, statistic=statistic)
    row = found.table.set_index(["roi", "hemi"]).loc[("driven", "lh")]
    assert (row["difference"] > 0) == found.lower_is_better == SCORES[score].lower_is_better  # the colour alone predicts worse
    assert found.tested == np.isfinite(row["p"]) == (statistic == "mean")
    assert ("no p" in how_it_was_tested(found)) != found.tested
    ends = {name: roi_ends(result, score) for name, result in zip("AB", (first, second), strict=True)} if statistic == "mean" else None
    bars = plots.paired_bars({"A": first.rois(), "B": second.rois()}, intervals=ends, score=score, statistic=statistic)
    names = {trace.name for trace in bars.data}
    assert ("95 % interval" in names) == (statistic == "mean" and bool(ends["A"]))
    differences = plots.roi_differences(found.table, score=score, statistic=statistic)
    assert ("below 0: B is better" in differences.layout.xaxis.title.text) == found.lower_is_better
    values = [{hemi: each.score(hemi, score) for hemi in ("lh", "rh")} for each in (first, second)]
    note = plots.vertex_scatter(*values, score=score).layout.annotations[0].text
    assert ("lower, so better" in note) == found.lower_is_better
    assert (difference_brain(found).colour_map == "PuOr_r") == found.lower_is_better


def test_all_scores_of_a_fit_are_means_over_vertices_and_over_regions(fits):
    result = fits.results["tinynet", "pixels"]
    table = overall_scores(result).set_index("score")
    assert list(table.index) == [SCORES[key].short for key in result.score_names]
    r = np.concatenate([result.score(hemi, "normalised_r") for hemi in ("lh", "rh")])
    driven, noise = (np.nanmean(np.concatenate([r[some], r[10:][some]])) for some in (np.arange(5), np.arange(5, 10)))
    row = table.loc["r / highest r"]
    assert row["mean"] == pytest.approx(np.nanmean(r)) and row["median"] == pytest.approx(np.nanmedian(r))
    assert row["of regions"] == pytest.approx((driven + noise) / 2)
    assert np.isnan(table.loc["Algonauts 2023 score", "median"]) and table.loc["RMSE", "better"] == "lower"
    joined = side_by_side({"A": overall_scores(result), "B": overall_scores(result)})
    assert list(joined.columns[3:]) == ["mean A", "mean B", "median A", "median B", "of regions A", "of regions B"]


def test_a_report_has_every_score_with_its_interval(fits, store):
    page = report(list(fits.results.values()), store)
    for key, score in SCORES.items():
        assert f"<th>{score.mean_column}</th>" in page and score.short in page
        assert f"<th>{key}_low</th>" in page
    assert "mini track" in page


@pytest.mark.parametrize("score", SCORES)
def test_the_vertices_predicted_best_and_worst_are_ranked_by_every_score(fits, score):
    result = fits.results["tinynet", "colour"]
    columns = {"lh": np.arange(10), "rh": np.array([9, 2])}
    table = result.best_and_worst(3, score, columns)
    values = np.concatenate([result.score(hemi, score)[chosen] for hemi, chosen in columns.items()])
    ranked = np.sort(values[np.isfinite(values)])[:: 1 if SCORES[score].lower_is_better else -1]
    np.testing.assert_allclose(table[score], [*ranked[:3], *ranked[-3:]])
    assert table["rank"].tolist() == [1, 2, 3, *range(len(ranked) - 2, len(ranked) + 1)]
    row = table.iloc[0]
    assert row["fsaverage"] == 5 * row["column"] and row["r"] == result.score(row["hemi"])[row["column"]]


@pytest.fixture
def layers(fits, open_page, monkeypatch):
    return open_page("30_layers", dataset="tiny", subject="subj01", backbones="tinynet", components="0", split=SPLIT)


PAGES = [("normalised_r", "median"), ("rmse", "mean"), ("algonauts2023", "median")]


@pytest.mark.parametrize(("score", "statistic"), PAGES)
def test_layers_shows_the_score_of_a_link(layers, score, statistic):
    layers.query_params.update({"layer_score": score, "layer_over": statistic})
    layers.run()
    assert not layers.exception
    heat = next(trace for trace in json.loads(layers.get("plotly_chart")[0].proto.spec)["data"] if trace["type"] == "heatmap")
    assert SCORES[score].short in heat["name"]
    assert any("of the regions'" in caption.value or "Mean of the regions'" in caption.value for caption in layers.caption)


def test_a_link_with_a_former_name_of_a_score_shows_that_score(layers):
    layers.query_params["layer_score"] = "relative"
    layers.run()
    assert not layers.exception
    heat = next(trace for trace in json.loads(layers.get("plotly_chart")[0].proto.spec)["data"] if trace["type"] == "heatmap")
    assert SCORES["normalised_r"].short in heat["name"]


@pytest.mark.parametrize(("score", "statistic"), PAGES)
def test_compare_shows_the_score_of_a_link(fits, open_page, score, statistic):
    a, b = (result.key for result in fits.results.values())
    at = open_page("40_compare", a=a, b=b, compare_score=score, compare_over=statistic)
    at.run()
    assert not at.exception
    shown = statistic if SCORES[score].has_median else "mean"
    assert any(f"Bars: {shown} {SCORES[score].short}" in caption.value for caption in at.caption)
    assert any("p: " in text.value or "no p" in text.value for text in [*at.markdown, *at.caption, *at.info])


@pytest.mark.parametrize(("score", "statistic"), PAGES[2:])
def test_explore_shows_the_score_of_a_link(fits, open_page, score, statistic):
    at = open_page("10_explore", dataset="tiny", subject="subj01", backbone="tinynet", layer="pixels", components="0", split=SPLIT)
    at.query_params.update({"score": score, "over": statistic})
    at.run()
    assert not at.exception and any(SCORES[score].definition[:20] in caption.value for caption in at.caption)
    at.session_state["part"] = "Spread"
    at.run()
    assert not at.exception
    (extremes,) = [each.value for each in at.dataframe if "link" in each.value]
    assert "vertex=" in extremes["link"][0] and "layer=pixels" in extremes["link"][0]
