"""Measured against predicted responses. All arrays here are made up for the tests."""

import numpy as np
import pytest

from encoding import plots
from tests.encoding.plots.conftest import named, notes


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
