"""Figures of layers against ROIs."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from plotly.colors import sample_colorscale

from encoding import plots
from encoding.analysis.hierarchy import PUBLISHED_ROIS, published, published_best
from encoding.analysis.layer_ranking import best_layers, headline
from encoding.plots.heatmap import COLOURS, ERROR_COLOURS, legible


@pytest.fixture
def table():
    """Made up: two layers, four ROIs of which one is empty, one layer not fitted."""
    rows = []
    for label, scores in (("first", (0.5, 0.2, 0.3)), ("second", (0.1, 0.4, 0.35))):
        values = zip(("all", "PPA", "V1v", "aTL-faces"), (*scores, np.nan), strict=True)
        rows += [{"label": label, "roi": roi, "hemi": "lh", "n_vertices": 9, "r": r, "low": r - 0.1, "high": r + 0.1} for roi, r in values]
    return pd.DataFrame(rows)


CLASSES = {"early": ("V1v",), "places": ("PPA",), "faces": ("aTL-faces",)}


def without_tags(text: str) -> str:
    return re.sub("<(?!br).*?>", "", text)


SHARES = np.array([[1.0, 0.06, 0.4, np.nan], [0.0, 0.94, 0.6, np.nan]])


def test_the_heatmap_has_a_cell_for_each_layer_and_roi_and_leaves_unfinished_ones_empty(table):
    figure = plots.layer_heatmap(table, layers=["first", "second", "third"], classes=CLASSES)
    heat = figure.data[0]
    assert list(heat.x) == ["all", "V1v", "PPA"] and list(heat.y) == ["first", "second", "third"]
    np.testing.assert_allclose(heat.z, [[0.5, 0.3, 0.2], [0.1, 0.35, 0.4], [np.nan] * 3])
    numbers = plots.table_of(figure)
    assert len(numbers) == 9 and set(numbers["series"]) == {"mean r"}


def test_on_a_phone_regions_go_down_below_the_names_of_their_classes(table):
    best = best_layers(table, SHARES)
    figure = plots.layer_heatmap(table, layers=["second", "first"], best=best, classes=CLASSES, narrow=True)
    heat, points = figure.data[0], figure.data[-1]
    assert list(figure.layout.yaxis.ticktext) == ["all  100%", "<i>early</i>", "V1v  60%", "<i>places</i>", "PPA  94%"]
    assert list(figure.layout.xaxis.ticktext) == list(heat.x) == ["second", "first"]
    first, last = figure.layout.yaxis.range
    assert first > last, "the first region is at the top"
    np.testing.assert_allclose(np.array(heat.z, float), [[0.1, 0.5], [np.nan] * 2, [0.35, 0.3], [np.nan] * 2, [0.4, 0.2]])
    assert [[without_tags(text) for text in row] for row in heat.text] == [
        ["0.10", "★ 0.50"],
        ["", ""],
        ["☆ 0.35", "0.30"],
        ["", ""],
        ["☆ 0.40", "0.20"],
    ]
    assert list(heat.y) == list(figure.layout.yaxis.tickvals), "plotly writes numbers beside gaps of a heatmap"
    at = [list(each) for each in points.customdata].index(["second", "PPA"])
    assert (points.x[at], points.y[at]) == ("second", "PPA") and "mean r 0.400" in points.hovertext[at]
    wide = plots.layer_heatmap(table, layers=["second", "first"], best=best, classes=CLASSES)
    pd.testing.assert_frame_equal(plots.table_of(figure), plots.table_of(wide))


@pytest.mark.parametrize("narrow", [False, True])
def test_lines_part_networks_whose_layers_lie_side_by_side(table, narrow):
    several = table.assign(label=[f"{name} {label}" for name, label in zip("aaaabbbb", table["label"], strict=True)])
    lines = plots.layer_heatmap(several, narrow=narrow).layout.shapes
    (line,) = [each for each in lines if (each.x0 == each.x1) == narrow]
    assert (line.x0 if narrow else line.y0) == 0.5


@pytest.mark.parametrize("narrow", [False, True])
def test_stars_of_many_regions_have_room_in_their_cells(narrow):
    rois, labels = [f"R{number}" for number in range(28)], [f"l{number}" for number in range(6)]
    rows = [
        {"label": each, "roi": roi, "hemi": "lh", "n_vertices": 9, "r": 0.1 * place} for place, each in enumerate(labels) for roi in rois
    ]
    table = pd.DataFrame(rows)
    figure = plots.layer_heatmap(table, best=best_layers(table, np.full((6, 28), 0.5)), narrow=narrow)
    sizes = [trace.marker.size for trace in figure.data if trace.type == "scatter" and trace.opacity != 0]
    room = (figure.layout.height - figure.layout.margin.t - figure.layout.margin.b) / 28 if narrow else 420 / 28  # px of a laptop's
    assert len(sizes) == 2 and max(sizes) <= room


def test_every_cell_can_be_clicked_and_says_what_it_is(table):
    figure = plots.layer_heatmap(table, layers=["first", "second", "third"], classes=CLASSES)
    points = figure.data[-1]
    at = [list(each) for each in points.customdata].index(["second", "PPA"])
    assert (points.y[at], points.x[at]) == ("second", "PPA")
    assert "mean r 0.400 (95 % 0.300 to 0.500)" in points.hovertext[at]
    assert "not fitted yet" in points.hovertext[[list(each) for each in points.customdata].index(["third", "PPA"])]
    assert points.opacity == 0 and len(points.x) == 9


def test_stars_mark_the_best_layers_and_are_filled_where_that_is_sure(table):
    many = pd.concat([table.assign(roi=table["roi"] + number) for number in ("", "2", "3")])
    best = best_layers(many, np.tile(SHARES, 3))
    figure = plots.layer_heatmap(many, best=best)
    assert figure.data[0].texttemplate is None, "numbers have no room"
    stars, rims = (trace for trace in figure.data if trace.type == "scatter" and trace.opacity != 0)
    place = dict(zip(stars.x, stars.y, strict=True))
    assert {roi: place[roi] for roi in ("all", "PPA", "V1v")} == {"all": "first", "PPA": "second", "V1v": "second"}
    filled = dict(zip(stars.x, [colour == "white" for colour in stars.marker.color], strict=True))
    assert {roi: filled[roi] for roi in ("all", "PPA", "V1v")} == {"all": True, "PPA": False, "V1v": False}
    assert "PPA  94%" in figure.layout.xaxis.ticktext
    assert {each.unselected.marker.opacity for each in (stars, rims)} == {1}, "no click fades them"


def test_a_few_columns_hold_their_numbers_below_their_stars(table):
    few = plots.layer_heatmap(table, best=best_layers(table, SHARES), classes=CLASSES)
    heat, *others = few.data
    written = {(roi, label): text for label, row in zip(heat.y, heat.text, strict=True) for roi, text in zip(heat.x, row, strict=True)}
    lines = {cell: tuple(without_tags(line).strip() for line in text.split("<br>")) for cell, text in written.items()}
    assert lines == {
        ("all", "first"): ("★", "0.50"),
        ("V1v", "first"): ("", "0.30"),
        ("PPA", "first"): ("", "0.20"),
        ("all", "second"): ("", "0.10"),
        ("V1v", "second"): ("☆", "0.35"),
        ("PPA", "second"): ("☆", "0.40"),
    }
    assert all(each.opacity == 0 for each in others), "a star of another trace would lie over a number"


def test_a_score_that_rounds_to_nothing_has_no_minus(table):
    heat, *_ = plots.layer_heatmap(table.assign(r=-0.001), classes=CLASSES).data
    assert {without_tags(text).split("<br>")[-1] for row in heat.text for text in row if text} == {"0.00"}


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ((0.99, 0.96, 0.97), "a wins in 2 of 3 regions, b in 1; every lead is certain (95 % of draws or more)."),
        ((0.4, 0.96, 0.8), "a wins in 2 of 3 regions, b in 1; the lead is not certain in V1 (40 %), V3 (80 %)."),
        ((np.nan,) * 3, "a wins in 2 of 3 regions, b in 1."),
    ],
)
def test_the_headline_counts_wins_and_names_what_is_not_certain(shares, text):
    best = pd.DataFrame({"roi": ["all", "V1", "V2", "V3"], "label": ["c", "a", "a", "b"], "share": [0.1, *shares]})
    assert headline(best) == text


def test_the_published_table_is_drawn_without_shares(table):
    figure = plots.layer_heatmap(published(), score="normalised_r2", best=published_best())
    assert figure.data[0].z.shape == (5, 9) and list(figure.layout.xaxis.ticktext) == list(PUBLISHED_ROIS)
    assert not any("nan" in text for text in figure.data[-1].hovertext)


def test_dots_are_as_large_as_the_share_of_draws(table):
    figure = plots.layer_wins(["first", "second"], ["all", "PPA"], SHARES[:, :2], stages=[None, 5])
    (dots,) = figure.data
    assert list(zip(dots.y, dots.x, dots.customdata, strict=True)) == [
        ("first", "all", 1.0),
        ("first", "PPA", 0.06),
        ("second", "PPA", 0.94),
    ]
    np.testing.assert_allclose(np.square(dots.marker.size) / dots.marker.size[0] ** 2, dots.customdata)
    assert list(figure.layout.xaxis.ticktext) == ["all", "PPA  5"]


def test_the_profile_follows_one_roi_with_its_intervals(table):
    figure = plots.layer_profile(table, roi="PPA")
    (line,) = figure.data
    np.testing.assert_allclose(line.y, [0.2, 0.4])
    np.testing.assert_allclose(line.error_y.array, 0.1)


def test_territory_is_a_share_of_each_hemisphere():
    figure = plots.layer_territory(["first", "second"], {"lh": np.array([1, 3]), "rh": np.array([0, 0])})
    np.testing.assert_allclose(figure.data[0].x, [0.25, 0.75])
    np.testing.assert_allclose(figure.data[1].x, [0, 0])


def test_kinds_are_drawn_in_steps_of_the_colours_that_the_chart_has():
    from encoding.plots.brain.brain_map import BrainMap
    from encoding.plots.layers import LAYER_COLOURS, layer_colours

    places = {"lh": np.arange(3)}
    brain = BrainMap(
        values={"lh": np.array([1.0, 2.0, 3.0])},
        vertices=places,
        colour_range=(0.5, 3.5),
        colour_map=LAYER_COLOURS,
        kinds=("first", "second", "third"),
    )
    steps = np.unique(brain._colours(), axis=0)
    drawn = [tuple(int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")) for colour in layer_colours(3)]
    assert len(steps) == 3 and np.abs(np.sort(steps, 0) - np.sort(drawn, 0)).max() <= 2


@pytest.mark.parametrize("colours", [COLOURS, ERROR_COLOURS])
def test_a_number_on_any_colour_of_the_scale_has_a_contrast_of_at_least_4_5(colours):
    def luminance(colour: tuple[float, ...]) -> float:
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    values = np.linspace(0.2, 0.6, 301)
    ((*texts,),) = legible([["1"] * 301], values[None], (0.25, 0.6), colours)
    cells = sample_colorscale(colours, np.clip((values - 0.25) / 0.35, 0, 1).tolist(), colortype="tuple")
    for text, cell in zip(texts, cells, strict=True):
        ink = {"black": 0.0, "white": 1.0}[re.fullmatch('<span style="color:(.*)">1</span>', text)[1]]
        light, dark = sorted((ink + 0.05, luminance(cell) + 0.05), reverse=True)
        assert light / dark >= 4.45  # between two of the 256 colours of the scale
    assert len({text.count("black") for text in texts}) == 2
