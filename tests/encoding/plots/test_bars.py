"""Bars hold the numbers of the table of ROIs. All arrays here are made up for the tests."""

import re

import numpy as np
import pytest

from encoding import plots
from encoding.datasets._unit import VOXEL
from encoding.evaluation.scores import SCORES
from encoding.plots.bars import BAR
from encoding.plots.look import HALO, STROKE
from encoding.plots.roi_axis import arrange
from tests.encoding.plots.conftest import CLASSES, ROIS, named, notes, rois_of


def strokes(trace):
    """(n, 2, 2) ends of the strokes of a line that NaN breaks: [stroke, end, x or y]."""
    return np.stack([trace.x, trace.y], axis=1).reshape(-1, 3, 2)[:, :2]


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


def test_lying_bars_show_the_same_numbers_below_each_other(table, intervals):
    about = {"intervals": intervals, "classes": CLASSES, "selected": ROIS[0], "before": table}
    standing, lying = plots.roi_bars(table, **about), plots.roi_bars(table, **about, horizontal=True)
    for upright, flat in zip(standing.select_traces({"type": "bar"}), lying.select_traces({"type": "bar"}), strict=True):
        assert flat.orientation == "h"
        expected = {tuple(roi): value for roi, value in zip(upright.customdata, upright.y, strict=True)}
        shown = {tuple(roi): value for roi, value in zip(flat.customdata, flat.x, strict=True)}
        assert {roi for roi, _ in shown} == set(table.loc[table["n_vertices"] > 0, "roi"]), "regions without vertices are left out"
        np.testing.assert_array_equal([*shown.values()], [expected[roi] for roi in shown])
    low, high = lying.layout.yaxis.range
    assert low > high, "the first ROI is at the top"
    assert lying.layout.xaxis.title.text == standing.layout.yaxis.title.text
    inside = lying.layout.height - lying.layout.margin.t - lying.layout.margin.b
    assert inside / (low - high) > 12, "names of ROIs below each other need a line each"
    names = [re.sub(r"<.?b>", "", text).split()[0] for text in lying.layout.yaxis.ticktext]
    places = dict(zip(names, lying.layout.yaxis.tickvals, strict=True))
    for name, members in CLASSES.items():
        shown = [places[roi] for roi in members if roi in places]
        assert bool(shown) == (f"<i>{name}</i>" in places), "classes are named"
        assert not shown or 0.5 < min(shown) - places[f"<i>{name}</i>"] < 1.5, "each above its first ROI"


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


@pytest.mark.parametrize(("score", "column"), [("r", "ceiling_r"), ("pooled_r", "ceiling_r"), ("r2", "ceiling_r2")])
def test_the_ceiling_lies_over_its_bar(table, score, column):
    (line,) = named(plots.roi_bars(table, score=score), "Highest r" if column == "ceiling_r" else "Noise ceiling")
    bars = list(plots.roi_bars(table, score=score).select_traces({"type": "bar"}))
    x = np.concatenate([each.x for each in bars])
    ceiling = np.concatenate([table.loc[table["hemi"] == hemi, column] for hemi in ("lh", "rh")])
    ends = strokes(line)
    np.testing.assert_allclose(ends[:, 0, 0], x - BAR / 2)
    np.testing.assert_allclose(ends[:, 1, 0], x + BAR / 2)
    np.testing.assert_array_equal(ends[:, :, 1], np.column_stack([ceiling, ceiling]))


@pytest.mark.parametrize(("score", "level"), [("normalised_r2", 1), ("normalised_r", 1), ("algonauts2023", 100)])
def test_a_normalised_scores_ceiling_is_its_highest_value(table, score, level):
    (line,) = named(plots.roi_bars(table, score=score), "Noise ceiling")
    assert set(strokes(line)[:, :, 1][np.isfinite(strokes(line)[:, :, 1])]) == {level}


@pytest.mark.parametrize(("score", "statistic"), [("r", "median"), ("r2", "median"), ("mae", "median")])
def test_neither_ceiling_nor_interval_is_drawn_over_what_it_does_not_bound(table, intervals, score, statistic):
    fig = plots.roi_bars(table, score=score, statistic=statistic, intervals=intervals)
    assert not named(fig, "Noise ceiling") and not named(fig, "Highest r") and not named(fig, "95 % interval")


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
    assert list(numbers.columns) == ["roi", "hemi", "n_voxels", "mean r", "low (95 %)", "high (95 %)", "highest r"]
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


def test_titles_of_axes_that_name_two_fits_are_broken_into_lines_for_which_there_is_room(table):
    long = "Gabor filters energy, components 50, Network with two hidden layers · trained"
    names = (f"A · {long}", f"B · {long}")
    empty = dict.fromkeys(("difference", "low", "high", "p", "q"), np.nan)
    differences = plots.roi_differences(table.assign(first=0.1, second=0.2, differs=False, **empty), names=names).layout
    scatter = plots.vertex_scatter({"lh": np.linspace(0, 1, 9)}, {"lh": np.linspace(0, 0.5, 9)}, names=names).layout
    assert scatter.annotations[0].text == "y is higher in 0 % of 9 vertices"
    for axis, room, text in (
        (differences.xaxis, differences.margin.b, f"mean r: {names[1]} minus {names[0]}"),
        (scatter.xaxis, scatter.margin.b, f"r of {names[0]}"),
        (scatter.yaxis, scatter.margin.l, f"r of {names[1]}"),
    ):
        lines = axis.title.text.split("<br>")
        assert " ".join(lines) == text and max(map(len, lines)) <= 44 and room >= 40 + 16 * len(lines)


def test_two_fits_without_a_vertex_of_both_are_not_counted():
    figure = plots.vertex_scatter({"lh": np.array([0.5, np.nan])}, {"lh": np.array([np.nan, 0.5])}, unit=VOXEL)
    assert [note.text for note in figure.layout.annotations] == ["No voxel has both scores"]


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
    assert len(named(fig, "Highest r")) == 2 and sum(line.showlegend for line in named(fig, "Highest r")) == 1
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
    assert not named(plots.roi_bars(table.drop(columns="ceiling_r")), "Highest r")
