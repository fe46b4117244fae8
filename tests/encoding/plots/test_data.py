"""Figures of measured responses: what they draw, and what their tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from encoding import plots
from encoding.analysis.tuning import Overview
from encoding.plots.data import by_class

CLASSES = {"early": ("V1", "V2"), "places": ("PPA",)}
SIZES = pd.DataFrame(
    [("V1", "lh", 30), ("V1", "rh", 40), ("PPA", "lh", 0), ("PPA", "rh", 0), ("own", "lh", 5), ("own", "rh", 0)],
    columns=["roi", "hemi", "n_vertices"],
)
PROFILE = SIZES.assign(
    mean=[1.0, -2, np.nan, np.nan, 0.5, np.nan], low=[0.5, -3, np.nan, np.nan, 0.5, np.nan], high=[2, -1.5, *[np.nan] * 4]
)


def test_regions_stand_class_by_class_with_gaps_that_are_no_regions():
    assert by_class(["V1", "PPA", "own", "V1"], CLASSES) == ["own", " ", "V1", "  ", "PPA"]
    assert by_class(["V1", "PPA"], {}) == ["V1", "PPA"] and by_class([], CLASSES) == []


def test_every_region_has_its_size_and_an_empty_one_says_so():
    figure = plots.size_bars(SIZES, classes=CLASSES, selected="V1")
    assert figure.data[0].x.tolist() == [30, 0, 5] and figure.data[0].orientation == "h"
    assert [(note.y, note.text) for note in figure.layout.annotations] == [("PPA", "empty")]
    assert figure.data[1].customdata[0] == ["V1", "rh"]
    assert figure.data[0].marker.opacity[0] == 1 > figure.data[0].marker.opacity[1]
    table = plots.table_of(figure)
    assert set(table.iloc[:, 2]) == {"V1", "PPA", "own"} and table["Vertices (x)"].sum() == 75


def test_a_profile_reaches_from_quartile_to_quartile():
    figure = plots.region_profile(PROFILE, what="Response", classes=CLASSES)
    bars = figure.data[0]
    assert (bars.y[0] + bars.error_y.array[0], bars.y[0] - bars.error_y.arrayminus[0]) == (2, 0.5)
    assert "no vertices" in bars.hovertext[1] and "30 vertices: +0.50 to +2.00" in bars.hovertext[0]
    assert list(figure.layout.xaxis.categoryarray) == ["own", " ", "V1", "  ", "PPA"]
    assert figure.layout.yaxis.title.text == "Response"
    lying = plots.region_profile(PROFILE, what="Response", classes=CLASSES, horizontal=True)
    assert lying.data[0].x[0] == bars.y[0] and lying.data[0].error_x.arrayminus[0] == bars.error_y.arrayminus[0]
    assert list(lying.layout.yaxis.categoryarray) == ["own", " ", "V1", "  ", "PPA"] and lying.layout.xaxis.title.text == "Response"


def test_a_histogram_counts_every_response_and_marks_one():
    values = np.random.default_rng(0).normal(size=500)
    figure = plots.response_histogram(values, what="Response", marked={"stimulus 3": 1.25})
    assert figure.data[0].y.sum() == 500 and figure.layout.annotations[0].text == "stimulus 3, +1.25"
    assert figure.layout.shapes[0].x0 == 1.25 and figure.layout.yaxis.title.text == "Stimuli"
    assert plots.response_histogram(np.ones(4), what="", of="vertices").layout.yaxis.title.text == "Vertices"


def test_the_spread_of_each_hemisphere_adds_up_to_a_hundred_percent():
    found = Overview(9, {}, {}, np.linspace(-1, 1, 5), {"lh": np.array([1, 2, 3, 4]), "rh": np.array([0, 0, 5, 0])})
    figure = plots.response_spread(found, what="Response")
    assert [trace.y.sum() for trace in figure.data] == [100, 100] and figure.data[0].x.tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_label_bars_stand_in_the_order_of_the_table_and_show_intervals():
    table = pd.DataFrame({"label": ["face", "word"], "n": [10, 1], "mean": [1.0, -0.5], "low": [0.5, np.nan], "high": [1.5, np.nan]})
    figure = plots.label_bars(table, what="Response")
    assert (
        list(figure.layout.yaxis.categoryarray) == ["face (10)", "word (1)"] and figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    )
    assert figure.data[0].error_x.array[0] == 0.5 and "mean -0.500 over 1 stimulus" in figure.data[0].hovertext[1]
