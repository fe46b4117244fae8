"""Choices drawn beside what they are worth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from encoding import plots

TABLE = pd.DataFrame(
    {
        "roi": ["V1", "V2", "none"], "winner": ["one", "two", ""], "best_on_test": ["one", "three", np.nan],
        "validation": [0.5, 0.4, np.nan], "test": [0.45, 0.3, np.nan], "test_low": [0.4, 0.2, np.nan], "test_high": [0.5, 0.5, np.nan],
        "test_best": [0.45, 0.35, np.nan], "key": ["a", "b", np.nan],
    }
)  # fmt: skip


def test_each_choice_has_three_marks_and_the_test_score_its_interval():
    figure = plots.selection_scores(TABLE, quantity="mean r")
    validation, test, best = figure.data
    assert [list(trace.y) for trace in figure.data] == [[0.5, 0.4], [0.45, 0.3], [0.45, 0.35]]
    np.testing.assert_allclose(test.error_y.array, [0.05, 0.2])
    np.testing.assert_allclose(test.error_y.arrayminus, [0.05, 0.1])
    assert list(figure.layout.xaxis.ticktext) == ["V1", "V2"]
    assert "customdata[2]" in best.hovertemplate and best.customdata[1][2] == "three" and "customdata[1]" in validation.hovertemplate


def test_scores_without_intervals_have_no_whiskers():
    figure = plots.selection_scores(TABLE.assign(test_low=np.nan, test_high=np.nan), quantity="median r")
    assert figure.data[1].error_y.array is None
