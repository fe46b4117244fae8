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


def test_a_hemisphere_without_scores_is_named_as_such():
    fig = plots.score_histogram({"lh": np.full(5, np.nan), "rh": np.linspace(0, 1, 11)})
    assert fig.data[0].name == "Left hemisphere, no scores" and len(fig.layout.shapes) == 1
