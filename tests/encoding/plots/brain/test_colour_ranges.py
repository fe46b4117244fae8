"""Ends of colour scales."""

import numpy as np
import pytest

from encoding.plots.brain.colour_ranges import bulk, fitting_range, rounded_up, score_range


def test_the_bulk_is_numpys_percentiles_of_all_hemispheres_without_what_is_missing():
    values = {"lh": np.arange(500.0), "rh": np.append(np.arange(500.0, 1_000), np.nan)}
    np.testing.assert_allclose(bulk(values), np.percentile(np.arange(1_000.0), [0.5, 99.5]))
    assert bulk(values, outside=0) == (0, 999)


@pytest.mark.parametrize(
    ("value", "step", "expected"), [(0.61, 0.05, 0.65), (0.65, 0.05, 0.65), (0.0, 0.05, 0.05), (np.nan, 0.05, 0.05), (31.2, 1, 32)]
)
def test_ends_are_rounded_up_to_a_step(value, step, expected):
    assert rounded_up(value, step=step) == expected


@pytest.mark.parametrize(("low", "high", "expected"), [(-2, 1, (-2, 2)), (0.5, 2, (0, 2)), (-2, -1, (-2, -1)), (0, 0, (0, 1))])
def test_a_range_is_around_0_where_both_signs_occur(low, high, expected):
    found = fitting_range({"lh": np.linspace(low, high, 100_001)})
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_one_range_for_several_maps_of_a_score_is_never_nan_and_has_a_width():
    nothing, errors = {"lh": np.full(9, np.nan)}, {"lh": np.linspace(0.52, 0.96, 2_001)}
    assert score_range("r", nothing) == score_range("rmse", nothing) == (0.0, 0.05)
    assert score_range("r", nothing, {"lh": np.linspace(-0.3, 0.33, 2_001)}, {"lh": np.linspace(0, 0.61, 2_001)}) == (0.0, 0.65)
    assert score_range("rmse", errors) == (0.5, 1.0) and score_range("rmse", {"lh": np.full(9, 0.5)}) == (0.45, 0.5)
    assert score_range("algonauts2023", {"lh": np.linspace(0, 52, 2_001)}) == (0.0, 55.0)
