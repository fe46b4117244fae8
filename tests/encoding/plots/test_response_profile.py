"""Bars of the predicted responses to one image."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from encoding import plots

CLASSES = {"early": ("V1", "V2"), "faces": ("FFA",)}


@pytest.fixture
def table():
    rows = [(roi, hemi, 10, mean, 0.5, 0.2) for hemi in ("lh", "rh") for roi, mean in (("V1", 0.3), ("V2", -0.1), ("FFA", 0.6))]
    return pd.DataFrame(rows, columns=["roi", "hemi", "n_vertices", "mean", "r_mean", "half_width"])


def test_lying_bars_have_the_values_and_intervals_of_standing_ones(table):
    standing, lying = (plots.response_profile(table, table, response_unit="z", classes=CLASSES, horizontal=each) for each in (False, True))
    assert len(standing.data) == len(lying.data) == 4
    for upright, flat in zip(standing.data, lying.data, strict=True):
        np.testing.assert_array_equal(flat.x, upright.y)
        np.testing.assert_array_equal(flat.y, upright.x)
        np.testing.assert_array_equal(flat.error_x.array, upright.error_y.array)
        assert flat.orientation == "h" and flat.error_y.array is None and flat.hovertext == upright.hovertext
    assert lying.layout.yaxis.categoryarray == standing.layout.xaxis.categoryarray
    assert lying.layout.yaxis.range[0] > lying.layout.yaxis.range[1]  # the first region on top
    assert lying.layout.xaxis.title.text == standing.layout.yaxis.title.text
