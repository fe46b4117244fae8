"""Sums by label are those of ``numpy.add.at``, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from encoding.evaluation.label_sums import sums_by_label


@pytest.mark.parametrize("shape", [(), (5,), (3, 2), (0,)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, bool])
def test_sums_are_those_of_numpy(shape, dtype):
    rng = np.random.default_rng(0)
    values, labels = (100 * rng.standard_normal((40, *shape))).astype(dtype), rng.integers(0, 9, 40)
    expected = np.zeros((11, *shape))
    np.add.at(expected, labels, values)
    found = sums_by_label(values, labels, 11)
    assert found.dtype == np.float64 and found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


def test_a_missing_value_stays_with_its_label_and_no_rows_have_no_sums():
    sums = sums_by_label(np.array([[1.0, np.nan], [2.0, 3.0], [np.inf, 4.0]]), np.array([0, 1, 0]), 2)
    np.testing.assert_array_equal(sums, [[np.inf, np.nan], [2.0, 3.0]])
    assert sums_by_label(np.zeros((0, 3)), np.zeros(0, int), 2).tolist() == [[0.0] * 3] * 2
