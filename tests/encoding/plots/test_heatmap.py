"""Figures of layers against ROIs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from encoding import plots
from encoding.analysis.hierarchy import PUBLISHED_ROIS, published, published_best
from encoding.analysis.layer_ranking import best_layers, headline


@pytest.fixture
def table():
    """Made up: two layers, four ROIs of which one is empty, one layer not fitted."""
    rows = []
    for label, scores in (("first", (0.5, 0.2, 0.3)), ("second", (0.1, 0.4, 0.35))):
        values = zip(("all", "PPA", "V1v", "aTL-faces"), (*scores, np.nan), strict=True)
        rows += [{"label": label, "roi": roi, "hemi": "lh", "n_vertices": 9, "r": r, "low": r - 0.1, "high": r + 0.1} for roi, r in values]
    return pd.DataFrame(rows)


CLASSES = {"early": ("V1v",), "places": ("PPA",), "faces": ("aTL-faces",)}
SHARES = np.array([[1.0, 0.06, 0.4, np.nan], [0.0, 0.94, 0.6, np.nan]])


def test_the_heatmap_has_a_cell_for_each_layer_and_roi_and_leaves_unfinished_ones_empty(table):
    figure = plots.layer_heatmap(table, layers=["first", "second", "third"], classes=CLASSES)
    heat = figure.data[0]
    assert list(heat.x) == ["all", "V1v", "PPA"] and list(heat.y) == ["first", "second", "third"]
    np.testing.assert_allclose(heat.z, [[0.5, 0.3, 0.2], [0.1, 0.35, 0.4], [np.nan] * 3])
    numbers = plots.table_of(figure)
    assert len(numbers) == 9 and set(numbers["series"]) == {"mean r"}


def test_on_a_phone_names_of_classes_take_turns_in_two_rows(table):
    wide, narrow = (plots.layer_heatmap(table, classes=CLASSES, narrow=each) for each in (False, True))
    shifts = [[each.yshift for each in figure.layout.annotations] for figure in (wide, narrow)]
    assert set(shifts[0]) == {0} and all(one != other for one, other in zip(shifts[1], shifts[1][1:], strict=False))
    assert narrow.layout.margin.t > wide.layout.margin.t


@pytest.mark.parametrize("narrow", [False, True])
def test_stars_of_many_regions_have_room_in_their_columns(narrow):
    rois = [f"R{number}" for number in range(28)]
    rows = [{"label": label, "roi": roi, "hemi": "lh", "n_vertices": 9, "r": r} for label, r in (("a", 0.1), ("b", 0.2)) for roi in rois]
    table = pd.DataFrame(rows)
    figure = plots.layer_heatmap(table, best=best_layers(table, np.full((2, 28), 0.5)), narrow=narrow)
    sizes = [trace.marker.size for trace in figure.data if trace.type == "scatter" and trace.opacity != 0]
    assert len(sizes) == 2 and max(sizes) <= (240 if narrow else 420) / 28  # px of a phone's heatmap, and of a laptop's


def test_every_cell_can_be_clicked_and_says_what_it_is(table):
    figure = plots.layer_heatmap(table, layers=["first", "second", "third"], classes=CLASSES)
    points = figure.data[-1]
    at = [list(each) for each in points.customdata].index(["second", "PPA"])
    assert (points.y[at], points.x[at]) == ("second", "PPA")
    assert "mean r 0.400 (95 % 0.300 to 0.500)" in points.hovertext[at]
    assert "not fitted yet" in points.hovertext[[list(each) for each in points.customdata].index(["third", "PPA"])]
    assert points.opacity == 0 and len(points.x) == 9


def test_stars_mark_the_best_layers_and_are_filled_where_that_is_sure(table):
    best = best_layers(table, SHARES)
    figure = plots.layer_heatmap(table, best=best, classes=CLASSES)
    stars = next(trace for trace in figure.data if trace.type == "scatter" and trace.opacity != 0)
    assert dict(zip(stars.x, stars.y, strict=True)) == {"all": "first", "PPA": "second", "V1v": "second"}
    filled = dict(zip(stars.x, [colour == "white" for colour in stars.marker.color], strict=True))
    assert filled == {"all": True, "PPA": False, "V1v": False}
    assert "PPA  94%" in figure.layout.xaxis.ticktext


def test_a_few_columns_hold_their_numbers_below_stars_that_no_click_fades(table):
    few = plots.layer_heatmap(table, best=best_layers(table, SHARES), classes=CLASSES)
    assert few.data[0].texttemplate.endswith("%{z:.2f}")
    stars = [trace for trace in few.data if trace.type == "scatter" and trace.opacity != 0]
    assert {(each.unselected.marker.opacity, each.marker.standoff > 0) for each in stars} == {(1, True)}
    many = pd.concat([table.assign(roi=table["roi"] + str(number)) for number in range(3)])
    wide = plots.layer_heatmap(many, best=best_layers(many, None))
    assert wide.data[0].texttemplate is None and wide.data[1].marker.standoff == 0


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
    from encoding.plots.heatmap import LAYER_COLOURS, layer_colours

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
