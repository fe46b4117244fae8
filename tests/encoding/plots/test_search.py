"""Trials of a search over parameters. All arrays here are made up for the tests."""

import numpy as np
import pandas as pd

from encoding import plots
from tests.encoding.plots.conftest import named


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
