"""Figures hold the numbers they were given. All arrays here are made up for the tests."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from encoding import FitSpec, fit, plots
from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.learning_curve import learning_curve
from encoding.datasets._unit import VOXEL
from encoding.evaluation.scores import SCORES
from encoding.plots.bars import BAR, arrange
from encoding.plots.look import CEILING, HALO, STROKE
from encoding.plots.residuals import binned_means
from tests import PROJECT
from tests.conftest import TINY

CLASSES = {"early": ("V1v",), "faces": ("FFA-1", "FFA-2"), "places": ("PPA",), "words": ("OWFA",)}
ROIS = ("all", "PPA", "FFA-2", "V1v", "FFA-1")


@pytest.fixture
def table():
    """Made up: five ROIs, the left FFA-2 empty, the right FFA-1 without a score."""
    rng = np.random.default_rng(0)
    rows = []
    for roi in ROIS:
        for hemi in ("lh", "rh"):
            missing = (roi, hemi) in (("FFA-2", "lh"), ("FFA-1", "rh"))
            row = {"roi": roi, "hemi": hemi, "n_vertices": 0 if (roi, hemi) == ("FFA-2", "lh") else int(rng.integers(10, 9_000))}
            for score in SCORES.values():
                mean, median = (np.nan, np.nan) if missing else rng.uniform(0.2, 0.5, 2)
                row |= {score.mean_column: mean} | ({score.median_column: median} if score.has_median else {})
            row["ceiling_r"] = np.nan if missing else rng.uniform(0.5, 0.9)
            rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture
def intervals(table):
    means = {hemi: table.loc[table["hemi"] == hemi, "r_mean"].to_numpy() for hemi in ("lh", "rh")}
    return {hemi: (r - 0.03, r + 0.05) for hemi, r in means.items()}


@pytest.fixture
def pair():
    """Made up: 120 measured and predicted responses, and the images' names."""
    rng = np.random.default_rng(1)
    predicted = rng.normal(size=120)
    return 0.7 * predicted + rng.normal(size=120) + 0.1, predicted, [f"image-{i:04d}" for i in range(120)]


def named(fig, name):
    """The traces of a figure under one name."""
    return [trace for trace in fig.data if trace.name == name]


def rois_of(fig):
    """The ROIs along the axis, without their numbers of vertices."""
    return [text.split("<br>")[0] for text in fig.layout.xaxis.ticktext]


def notes(fig, text):
    return [note for note in fig.layout.annotations if note.text == text]


def strokes(trace):
    """(n, 2, 2) ends of the strokes of a line that NaN breaks: [stroke, end, x or y]."""
    return np.stack([trace.x, trace.y], axis=1).reshape(-1, 3, 2)[:, :2]


# ROI bars


@pytest.mark.parametrize(
    ("score", "statistic"), [(key, each) for key, score in SCORES.items() for each in ("mean", "median")[: 1 + score.has_median]]
)
def test_bars_are_as_high_as_the_table_says(table, score, statistic):
    fig = plots.roi_bars(table, score=score, statistic=statistic)
    column = SCORES[score].median_column if statistic == "median" else SCORES[score].mean_column
    for bars, hemi in zip(fig.select_traces({"type": "bar"}), ("lh", "rh"), strict=True):
        rows = table[table["hemi"] == hemi]
        np.testing.assert_array_equal(bars.y, rows[column])
        assert [list(each) for each in bars.customdata] == [[roi, hemi] for roi in rows["roi"]]


def test_left_stands_left_of_its_rois_label_and_right_stands_right(table):
    fig = plots.roi_bars(table)
    left, right = fig.select_traces({"type": "bar"})
    assert (left.name, right.name) == ("Left hemisphere", "Right hemisphere")
    np.testing.assert_allclose((left.x + right.x) / 2, fig.layout.xaxis.tickvals)
    assert (right.x - left.x >= BAR).all(), "bars overlap"


def test_one_hemisphere_alone_stands_on_its_label(table):
    fig = plots.roi_bars(table[table["hemi"] == "rh"])
    (bars,) = fig.select_traces({"type": "bar"})
    np.testing.assert_array_equal(bars.x, fig.layout.xaxis.tickvals)
    assert bars.marker.color == plots.RIGHT


def test_what_has_no_score_is_a_gap_with_a_word_and_never_zero(table):
    fig = plots.roi_bars(table)
    left, right = fig.select_traces({"type": "bar"})
    empty, undefined = ROIS.index("FFA-2"), ROIS.index("FFA-1")
    assert np.isnan(left.y[empty]) and np.isnan(right.y[undefined])
    assert [note.x for note in notes(fig, "no vertices")] == [left.x[empty]]
    assert [note.x for note in notes(fig, "no score")] == [right.x[undefined]]
    assert not any((np.asarray(bars.y) == 0).any() for bars in (left, right))


def test_an_roi_empty_on_both_sides_says_so_once(table):
    table.loc[table["roi"] == "PPA", ["n_vertices", "r_mean"]] = 0, np.nan
    fig = plots.roi_bars(table)
    centre = dict(zip(ROIS, fig.layout.xaxis.tickvals, strict=True))["PPA"]
    assert [note.x for note in notes(fig, "no vertices")].count(centre) == 1 and len(notes(fig, "no vertices")) == 2


def test_the_numbers_of_vertices_are_under_the_bars(table):
    fig = plots.roi_bars(table)
    sides = {hemi: table.loc[table["hemi"] == hemi, "n_vertices"].tolist() for hemi in ("lh", "rh")}
    assert list(fig.layout.xaxis.ticktext) == [
        f"{roi}<br>{left:,} · {right:,}" for roi, left, right in zip(ROIS, sides["lh"], sides["rh"], strict=True)
    ]


def test_the_ceiling_lies_over_its_bar(table):
    (line,) = named(plots.roi_bars(table), "Noise ceiling")
    bars = list(plots.roi_bars(table).select_traces({"type": "bar"}))
    x = np.concatenate([each.x for each in bars])
    ceiling = np.concatenate([table.loc[table["hemi"] == hemi, "ceiling_r"] for hemi in ("lh", "rh")])
    ends = strokes(line)
    np.testing.assert_allclose(ends[:, 0, 0], x - BAR / 2)
    np.testing.assert_allclose(ends[:, 1, 0], x + BAR / 2)
    np.testing.assert_array_equal(ends[:, :, 1], np.column_stack([ceiling, ceiling]))


@pytest.mark.parametrize(("score", "level"), [("normalised_r2", 1), ("normalised_r", 1), ("algonauts2023", 100)])
def test_a_normalised_scores_ceiling_is_its_highest_value(table, score, level):
    (line,) = named(plots.roi_bars(table, score=score), "Noise ceiling")
    assert set(strokes(line)[:, :, 1][np.isfinite(strokes(line)[:, :, 1])]) == {level}


@pytest.mark.parametrize(("score", "statistic"), [("r", "median"), ("r2", "mean"), ("mae", "mean")])
def test_neither_ceiling_nor_interval_is_drawn_over_what_it_does_not_bound(table, intervals, score, statistic):
    fig = plots.roi_bars(table, score=score, statistic=statistic, intervals=intervals)
    assert not named(fig, "Noise ceiling") and not named(fig, "95 % interval")


def test_intervals_end_where_they_were_given(table, intervals):
    fig = plots.roi_bars(table, intervals=intervals)
    drawn = named(fig, "95 % interval")
    assert [line.line.color for line in drawn] == [HALO, STROKE]
    x = np.concatenate([bars.x for bars in fig.select_traces({"type": "bar"})])
    for line in drawn:
        ends = strokes(line)
        np.testing.assert_array_equal(ends[:, :, 0], np.column_stack([x, x]))
        for i in (0, 1):
            np.testing.assert_array_equal(ends[:, i, 1], np.concatenate([intervals[hemi][i] for hemi in ("lh", "rh")]))


def test_the_numbers_below_the_bars_name_each_roi_with_its_interval_and_ceiling(table, intervals):
    numbers = plots.table_of(plots.roi_bars(table, intervals=intervals, unit=VOXEL))
    assert list(numbers.columns) == ["roi", "hemi", "n_voxels", "mean r", "low (95 %)", "high (95 %)", "noise ceiling"]
    merged = numbers.merge(table, on=["roi", "hemi"])
    assert len(merged) == len(table) and numbers["roi"].tolist() == table["roi"].tolist()
    np.testing.assert_array_equal(merged["mean r"], merged["r_mean"])
    np.testing.assert_allclose(merged["high (95 %)"] - merged["r_mean"], np.where(merged["r_mean"].isna(), np.nan, 0.05))
    assert "low (95 %)" not in plots.table_of(plots.roi_bars(table, statistic="median", intervals=intervals))


def test_every_text_of_a_figure_of_voxels_says_voxels(table):
    said = plots.roi_bars(table, unit=VOXEL, classes=CLASSES).to_json()
    assert "voxels" in said and "vertices" not in re.sub(r'"table":.*', "", said)
    figures = [
        plots.score_histogram({"lh": np.linspace(0, 1, 9)}, selected=0.4, unit=VOXEL),
        plots.vertex_scatter({"lh": np.linspace(0, 1, 9)}, {"lh": np.linspace(0, 0.5, 9)}, unit=VOXEL),
        plots.vertex_scatter({"lh": np.linspace(0, 1, 2_000)}, {"lh": np.linspace(0, 0.5, 2_000)}, unit=VOXEL),
        plots.layer_territory(["a", "b"], {"lh": np.array([3, 4])}, unit=VOXEL),
        plots.response_strip({"all": np.arange(9.0)}, what="Response", unit=VOXEL),
        plots.size_bars(table, unit=VOXEL),
    ]
    for figure in figures:
        assert re.search("[vV]oxel", figure.to_json()) and not re.search(r"\b[vV]ert(ex|ices)\b", figure.to_json())


def test_intervals_of_other_rois_are_refused(table, intervals):
    with pytest.raises(ValueError, match=r"lh have shapes \(4,\) and \(4,\); the table has 5"):
        plots.roi_bars(table, intervals=intervals | {"lh": (np.zeros(4), np.ones(4))})


def test_rois_are_grouped_by_class_with_the_unclassed_first(table):
    fig = plots.roi_bars(table, classes=CLASSES)
    assert rois_of(fig) == ["all", "V1v", "FFA-1", "FFA-2", "PPA"]
    assert all(notes(fig, name) for name in ("early", "faces", "places"))
    assert not notes(fig, "words"), "a class with no ROI in the table has no place"
    ticks = np.array(fig.layout.xaxis.tickvals)
    between = [shape.x0 for shape in fig.layout.shapes]
    assert list(np.searchsorted(ticks, between)) == [1, 2, 4]
    left, _ = fig.select_traces({"type": "bar"})
    heights = dict(zip(np.round(left.x + BAR * 1.05 / 2, 6), left.y, strict=True))
    assert heights[ticks[4]] == table.set_index(["roi", "hemi"]).loc[("PPA", "lh"), "r_mean"]


def test_few_rois_do_not_make_bars_as_wide_as_the_page():
    first, last = arrange(["V1v"], {}).ends
    assert first < 0 < last and last - first >= 6


def test_the_selected_roi_stands_out(table):
    fig = plots.roi_bars(table, selected="PPA")
    for bars in fig.select_traces({"type": "bar"}):
        assert [opacity == 1 for opacity in bars.marker.opacity] == [roi == "PPA" for roi in ROIS]
    assert "<b>PPA</b>" in rois_of(fig)
    assert len(named(fig, "Noise ceiling")) == 2 and sum(line.showlegend for line in named(fig, "Noise ceiling")) == 1
    assert plots.roi_bars(table, selected="V4").data[0].marker.opacity == 1


def test_the_axis_names_score_statistic_and_unit(table):
    said = {score: plots.roi_bars(table, score=score).layout.yaxis.title.text for score in SCORES}
    assert said["r"] == "Mean Pearson correlation r"
    assert said["rmse"] == "Mean root mean squared error<br>response units, lower is better"
    assert said["algonauts2023"] == "Mean Algonauts 2023 score<br>percent"
    assert plots.roi_bars(table, statistic="median").layout.yaxis.title.text == "Median Pearson correlation r"


def test_what_the_table_lacks_is_said(table):
    with pytest.raises(ValueError, match="Did you mean 'rmse'"):
        plots.roi_bars(table, score="rsme")
    with pytest.raises(ValueError, match="Unknown statistic 'mode'"):
        plots.roi_bars(table, statistic="mode")
    with pytest.raises(ValueError, match="defined as a mean"):
        plots.roi_bars(table, score="algonauts2023", statistic="median")
    with pytest.raises(ValueError, match="needs a noise ceiling"):
        plots.roi_bars(table.drop(columns=["ceiling_r", "normalised_r2"]), score="normalised_r2")


def test_without_a_noise_ceiling_there_is_no_line(table):
    assert not named(plots.roi_bars(table.drop(columns="ceiling_r")), "Noise ceiling")


# Observed against predicted, residuals


def test_points_are_the_responses_and_carry_their_image(pair):
    measured, predicted, names = pair
    (dots,) = named(plots.observed_predicted(*pair), "Test image")
    np.testing.assert_array_equal(dots.x, predicted)
    np.testing.assert_array_equal(dots.y, measured)
    np.testing.assert_array_equal(dots.customdata, np.arange(120))
    assert list(dots.hovertext) == names and dots.type == "scatter"


def test_the_identity_line_crosses_two_equal_axes(pair):
    fig = plots.observed_predicted(*pair)
    (line,) = named(fig, "Perfect prediction")
    np.testing.assert_array_equal(line.x, line.y)
    assert tuple(line.x) == fig.layout.xaxis.range == fig.layout.yaxis.range
    assert fig.layout.yaxis.scaleanchor == "x" and fig.layout.yaxis.scaleratio == 1
    assert line.x[0] < min(map(np.min, pair[:2])) and line.x[1] > max(map(np.max, pair[:2]))


def test_the_best_line_is_numpys(pair):
    measured, predicted, _ = pair
    fig = plots.observed_predicted(*pair)
    (line,) = [trace for trace in fig.data if trace.name.startswith("Best line")]
    slope, intercept = np.polyfit(predicted, measured, 1)
    np.testing.assert_allclose(line.y, slope * line.x + intercept)
    assert line.name == f"Best line, slope {slope:.2f}"


def test_a_constant_prediction_has_no_best_line(pair):
    fig = plots.observed_predicted(pair[0], np.full(120, 0.3), pair[2])
    assert [trace.name for trace in fig.data] == ["Perfect prediction", "Test image"]


def test_an_image_without_a_response_is_left_out_and_not_counted(pair):
    measured, predicted, names = pair
    measured[7] = np.nan
    fig = plots.observed_predicted(measured, predicted, names, title="V1v", r=0.5)
    assert np.isnan(named(fig, "Test image")[0].y[7])
    assert fig.layout.title.text == "V1v · r = 0.50, 119 images"
    slope = np.polyfit(np.delete(predicted, 7), np.delete(measured, 7), 1)[0]
    assert named(fig, f"Best line, slope {slope:.2f}")


def test_many_points_are_drawn_by_webgl():
    values = np.random.default_rng(0).normal(size=2_001)
    assert named(plots.observed_predicted(values, values, [""] * 2_001), "Test image")[0].type == "scattergl"
    assert named(plots.residual_fitted(values, values, [""] * 2_001), "Test image")[0].type == "scattergl"


@pytest.mark.parametrize("draw", [plots.observed_predicted, plots.residual_fitted])
def test_the_selected_image_is_ringed_and_named(draw, pair):
    fig = draw(*pair, selected=5)
    (ringed,) = [trace for trace in fig.data if trace.type == "scatter" and trace.marker.symbol == "circle-open"]
    dots = named(fig, "Test image")[0]
    assert (ringed.x[0], ringed.y[0]) == (dots.x[5], dots.y[5])
    assert len(notes(fig, "image-0005")) == 1


@pytest.mark.parametrize("draw", [plots.observed_predicted, plots.residual_fitted])
def test_responses_and_names_of_unequal_length_are_refused(draw, pair):
    with pytest.raises(ValueError, match=r"Measured \(119,\), predicted \(120,\) and 120 names"):
        draw(pair[0][1:], pair[1], pair[2])


def test_residuals_are_measured_less_predicted(pair):
    measured, predicted, _ = pair
    fig = plots.residual_fitted(*pair)
    (dots,) = named(fig, "Test image")
    np.testing.assert_array_equal(dots.y, measured - predicted)
    np.testing.assert_array_equal(dots.x, predicted)
    zero = named(fig, "Residual 0")[0]
    assert set(zero.y) == {0} and tuple(zero.x) == fig.layout.xaxis.range
    bars = named(fig, "Residuals")[0]
    assert bars.x.sum() == 120 and bars.orientation == "h" and bars.xaxis == "x2"


def test_bins_of_the_running_mean_are_pandas_quantiles():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 120))
    centres, means, errors = binned_means(x, y)
    groups = pd.DataFrame({"x": x, "y": y}).groupby(pd.qcut(x, 10, labels=False))
    np.testing.assert_allclose(centres, groups["x"].mean())
    np.testing.assert_allclose(means, groups["y"].mean())
    np.testing.assert_allclose(errors, groups["y"].sem())


def test_the_running_mean_shows_a_bend_that_is_there_and_none_that_is_not():
    rng = np.random.default_rng(2)
    predicted, noise = rng.normal(size=600), rng.normal(size=600)
    for bend, outside in ((0.0, 2), (0.6, 5)):
        fig = plots.residual_fitted(predicted + bend * (predicted**2 - 1) + noise, predicted, [""] * 600)
        mean = named(fig, "Running mean ± 95 %")[0]
        far = (np.abs(mean.y) > mean.error_y.array).sum()
        assert far <= outside if bend == 0 else far >= outside


def test_a_few_images_have_no_running_mean():
    values = np.arange(10.0)
    assert not named(plots.residual_fitted(values, values + 1, [""] * 10), "Running mean ± 95 %")


# Curves


def test_learning_curves_are_the_scores_at_their_sizes():
    sizes, train, test = np.array([40, 80, 160]), np.array([0.9, 0.8, 0.7]), np.array([0.1, np.nan, 0.3])
    fig = plots.learning_curve(sizes, train, test, ceiling=0.75, label="Mean r in V1v", test_band=(test - 0.1, test + 0.1))
    for name, values in (("Training images", train), ("Test images", test)):
        (line,) = named(fig, name)
        np.testing.assert_array_equal(line.x, sizes)
        np.testing.assert_array_equal(line.y, values)
    assert list(named(fig, "Noise ceiling")[0].y) == [0.75, 0.75] and list(named(fig, "Chance")[0].y) == [0, 0]
    assert list(fig.layout.xaxis.ticktext) == ["40", "80", "160"] and fig.layout.xaxis.type == "log"
    assert fig.layout.yaxis.title.text == "Mean r in V1v" and fig.layout.xaxis.title.text == "Training images"
    (band,) = [trace for trace in fig.data if trace.fill == "toself"]
    assert band.y[0] == pytest.approx(0.2) and band.y[-1] == pytest.approx(0.0)


def test_learning_curves_go_without_ceiling_chance_and_logarithm():
    fig = plots.learning_curve([40, 80], [0.9, 0.8], [0.1, 0.2], chance=None, label="RMSE", log=False)
    assert [trace.name for trace in fig.data] == ["Test images", "Training images"] and fig.layout.xaxis.type is None


def test_losses_start_at_epoch_one_and_show_where_the_weights_are_from():
    train, validation = np.array([1.0, 0.6, 0.4]), np.array([1.1, 0.8, 0.9])
    fig = plots.epoch_losses(train, validation, stopped=2)
    np.testing.assert_array_equal(named(fig, "Training images")[0].x, [1, 2, 3])
    np.testing.assert_array_equal(named(fig, "Validation images")[0].y, validation)
    assert [shape.x0 for shape in fig.layout.shapes] == [2] and notes(fig, "weights of epoch 2 kept")
    assert not plots.epoch_losses(train, validation).layout.shapes


# Histogram


def test_the_histogram_counts_every_scored_vertex_once_and_marks_the_medians():
    rng = np.random.default_rng(0)
    values = {"lh": np.append(rng.normal(0.3, 0.1, 999), np.nan), "rh": rng.normal(0.4, 0.1, 400)}
    fig = plots.score_histogram(values, selected=0.35, ceiling={"lh": np.full(1_000, 0.8)})
    left, right, ceiling = fig.data
    np.testing.assert_array_equal(left.x, right.x)
    assert (left.customdata.sum(), right.customdata.sum()) == (999, 400)
    np.testing.assert_allclose([trace.y.sum() for trace in fig.data], 100)
    assert [shape.x0 for shape in fig.layout.shapes] == [np.nanmedian(values["lh"]), np.median(values["rh"]), 0.35]
    assert left.name == f"Left hemisphere, median {np.nanmedian(values['lh']):.2f}"
    assert abs(ceiling.x[np.argmax(ceiling.y)] - 0.8) < 0.02 and ceiling.line.color == CEILING


def test_a_hemisphere_without_scores_is_named_as_such():
    fig = plots.score_histogram({"lh": np.full(5, np.nan), "rh": np.linspace(0, 1, 11)})
    assert fig.data[0].name == "Left hemisphere, no scores" and len(fig.layout.shapes) == 1


# What all figures share


@pytest.fixture
def every_figure(table, intervals, pair):
    curve = np.linspace(0.1, 0.5, 4)
    return [
        plots.roi_bars(table, intervals=intervals, classes=CLASSES, selected="PPA"),
        plots.observed_predicted(*pair, title="V1v", r=0.5, selected=3),
        plots.residual_fitted(*pair, selected=3),
        plots.learning_curve([40, 80, 160, 320], 1 - curve, curve, ceiling=0.7, label="r", train_band=(curve, curve)),
        plots.epoch_losses(1 - curve, 1.1 - curve, stopped=3),
        plots.score_histogram({"lh": curve, "rh": curve}, selected=0.2, ceiling={"lh": curve}),
    ]


def test_figures_are_json_with_no_background_and_no_text_colour_of_their_own(every_figure):
    for fig in every_figure:
        layout = json.loads(fig.to_json())["layout"]
        assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
        assert "color" not in layout.get("font", {})
        assert not any("color" in note.get("font", {}) for note in layout.get("annotations", []))


def test_a_figure_for_paper_carries_its_caption_and_leaves_the_one_on_screen_alone(every_figure):
    for fig in every_figure:
        before = fig.to_json()
        printed = plots.printable(fig, "Simulated · demo subj01")
        assert "Simulated · demo subj01" in (printed.layout.title.text, printed.layout.title.subtitle.text)
        assert printed.layout.paper_bgcolor == "white" and fig.to_json() == before
        if fig.layout.title.text:
            assert printed.layout.title.text == fig.layout.title.text


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear, float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("colour", [plots.LEFT, plots.RIGHT, plots.TRAIN, plots.TEST, plots.CEILING, STROKE])
def test_colours_show_on_a_light_and_on_a_dark_page(colour):
    for page in ("#ffffff", "#0e1117"):
        light, dark = sorted((luminance(colour)[1], luminance(page)[1]), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3


DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]


@pytest.mark.parametrize("deficiency", [DEUTERANOPIA, PROTANOPIA], ids=["deuteranopia", "protanopia"])
@pytest.mark.parametrize("colours", [(plots.LEFT, plots.RIGHT, plots.CEILING), (plots.TRAIN, plots.TEST)])
def test_colours_of_one_figure_stay_apart_without_red_or_green_cones(colours, deficiency):
    """Machado, Oliveira & Fernandes 2009, severity 1; the distance is Euclidean, in linear RGB of 0 … 1 a channel."""
    for one, other in combinations(colours, 2):
        assert np.linalg.norm(np.array(deficiency) @ (luminance(one)[0] - luminance(other)[0])) > 0.1


def test_a_caption_says_simulated_first_and_only_where_it_is():
    provenance = {"key": "fit-12", "created": "2026-01-31T09:00:00+00:00", "made_from": {"simulated": True}}
    spec = FitSpec(options={"alpha": 10}, weights="random:0", layers=("a", "b"), n_components=0)
    text = plots.caption(provenance, spec, n_test=1_080)
    assert (
        text == "Simulated · demo subj01 · untrained gabor (seed 0) a + b · all features · ridge alpha=10 · "
        "1,080 test images · fit-12 · 2026-01-31"
    )
    assert plots.caption(provenance | {"made_from": {"simulated": False}}, replace(spec, dataset="nsd")).startswith("nsd subj01")


def test_importing_the_figures_loads_no_plotly():
    code = "import sys, encoding.plots; print([name for name in ('plotly', 'pandas', 'streamlit', 'torch') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert found.stdout.strip() == "[]"


def test_a_fits_own_tables_and_arrays_are_drawn(tiny, store):
    result = fit(TINY, store)
    found = roi_intervals(result)
    ends = {hemi: (found[f"{hemi}_low"], found[f"{hemi}_high"]) for hemi in result.plan.hemis}
    fig = plots.roi_bars(result.rois(), intervals=ends, classes=tiny.roi_names())
    assert rois_of(fig) == ["all", "driven", "noise", "empty"] and len(notes(fig, "no vertices")) == 1
    rows = result.test_rows()
    measured, predicted = (of("lh", [0])[:, 0] for of in (result.measured, result.predicted))
    names = [result.plan.subject.stimuli.names[row] for row in rows]
    plots.residual_fitted(measured, predicted, names)
    title = plots.observed_predicted(measured, predicted, names, r=result.score("lh")[0]).layout.title.text
    assert title == f"r = {np.corrcoef(measured, predicted)[0, 1]:.2f}, {len(rows)} images"
    curve = learning_curve(TINY, store)
    assert len(plots.learning_curve(curve["sizes"], curve["lh_train"].mean(1), curve["lh_test"].mean(1), label="r").data) == 3
    assert plots.caption(result.provenance, TINY, n_test=result.n_test).startswith("Simulated · tiny subj01 · ")


# ---- a search over parameters


def made_up_trials():
    """Made up: five trials, the second given up, the fourth failed."""
    values, states = [0.2, np.nan, 0.1, np.nan, 0.3], ["complete", "pruned", "complete", "failed", "complete"]
    return pd.DataFrame(
        {"number": range(1, 6), "value": values, "state": states, "seconds": 1.0, "rate": [0.001, 0.5, 0.02, 1.0, 0.003],
         "norm": [True, False, True, None, False], "error": ["", "", "", "Diverged: loss is nan", ""]}
    )  # fmt: skip


def test_a_search_shows_each_value_and_the_best_so_far():
    fig = plots.search_history(made_up_trials())
    (values,), (best,) = named(fig, "Trial"), named(fig, "Best so far")
    assert list(values.x) == [1, 3, 5] and list(values.y) == [0.2, 0.1, 0.3]
    assert list(best.x) == [1, 3, 5, 5] and list(best.y) == [0.2, 0.2, 0.3, 0.3]
    assert values.text[0] == "rate = 0.001<br>norm = True"


def test_trials_without_a_value_are_marked_off_the_scale():
    fig = plots.search_history(made_up_trials())
    (pruned,), (failed,) = named(fig, "Given up early, no score"), named(fig, "Failed, no score")
    assert list(pruned.x) == [2] and list(failed.x) == [4]
    assert pruned.yaxis == failed.yaxis == "y2" and fig.layout.yaxis2.visible is False
    assert failed.text[0].endswith("Diverged: loss is nan")


def test_a_search_without_any_value_is_drawn_too():
    trials = made_up_trials()
    assert len(plots.search_history(trials[:0]).data) == 0
    assert [trace.name for trace in plots.search_history(trials[1:2]).data] == ["Given up early, no score"]


def test_the_parameter_that_mattered_most_is_on_top():
    (bars,) = plots.search_importances({"rate": 0.2, "norm": 0.7, "size": 0.1}).data
    assert list(bars.y) == ["size", "rate", "norm"] and list(bars.x) == [0.1, 0.2, 0.7] and bars.text[-1] == "70%"
