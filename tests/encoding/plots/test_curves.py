"""Learning curves and losses. All arrays here are made up for the tests."""

import numpy as np

from encoding import plots
from tests.encoding.plots.conftest import named, notes


def test_learning_curves_are_the_scores_at_their_sizes():
    sizes, train, test = np.array([40, 80, 160]), np.array([0.9, 0.8, 0.7]), np.array([0.1, np.nan, 0.3])
    fig = plots.learning_curve(sizes, train, test, ceiling=0.75, label="Mean r in V1v")
    for name, values in (("Training images", train), ("Test images", test)):
        (line,) = named(fig, name)
        np.testing.assert_array_equal(line.x, sizes)
        np.testing.assert_array_equal(line.y, values)
    assert list(named(fig, "Highest r")[0].y) == [0.75, 0.75] and list(named(fig, "Chance")[0].y) == [0, 0]
    assert list(fig.layout.xaxis.ticktext) == ["40", "80", "160"] and fig.layout.xaxis.type == "log"
    assert fig.layout.yaxis.title.text == "Mean r in V1v" and fig.layout.xaxis.title.text == "Training images"
    assert not named(plots.learning_curve(sizes, train, test, label="Mean r in V1v"), "Highest r")


def test_losses_start_at_epoch_one_and_show_where_the_weights_are_from():
    train, validation = np.array([1.0, 0.6, 0.4]), np.array([1.1, 0.8, 0.9])
    fig = plots.epoch_losses(train, validation, stopped=2)
    np.testing.assert_array_equal(named(fig, "Training images")[0].x, [1, 2, 3])
    np.testing.assert_array_equal(named(fig, "Validation images")[0].y, validation)
    assert [shape.x0 for shape in fig.layout.shapes] == [2] and notes(fig, "weights of epoch 2 kept")
    assert not plots.epoch_losses(train, validation).layout.shapes
    fig = plots.epoch_losses(train, validation, stopped=[3, 1])
    assert [shape.x0 for shape in fig.layout.shapes] == [1, 3] and notes(fig, "weights of epochs 1 to 3 kept, by ROI")
