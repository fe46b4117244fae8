"""Distributions of scores. All arrays here are made up for the tests."""

import numpy as np

from encoding import plots
from encoding.plots.look import CEILING


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
    assert ceiling.name.startswith("Highest r")


def test_the_highest_r_is_of_the_vertices_that_have_a_score():
    """Beside a fit of one vertex stood the median of every vertex, as if it were that one's."""
    fig = plots.score_histogram({"lh": np.array([np.nan, 0.3, np.nan])}, ceiling={"lh": np.array([0.9, 0.5, 0.8])})
    assert fig.data[1].name == "Highest r, median 0.50"


def test_a_hemisphere_without_scores_is_named_as_such():
    fig = plots.score_histogram({"lh": np.full(5, np.nan), "rh": np.linspace(0, 1, 11)})
    assert fig.data[0].name == "Left hemisphere, no scores" and len(fig.layout.shapes) == 1


def test_fits_share_their_bins_and_each_has_its_colour_and_median():
    rng = np.random.default_rng(1)
    values = {"A": np.append(rng.normal(0.1, 0.1, 500), np.nan), "B": rng.normal(0.3, 0.1, 300), "C": np.full(4, np.nan)}
    fig = plots.fits_histogram(values, colours=("#ff0000", "#0000ff"))
    first, second, third = fig.data
    np.testing.assert_array_equal(first.x, second.x)
    assert (first.customdata.sum(), second.customdata.sum(), third.customdata.sum()) == (500, 300, 0)
    assert [trace.line.color for trace in fig.data] == ["#ff0000", "#0000ff", "#ff0000"] and third.name == "C, no scores"
    assert [shape.x0 for shape in fig.layout.shapes] == [np.nanmedian(values["A"]), np.median(values["B"])]
