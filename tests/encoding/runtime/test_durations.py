"""Durations read well."""

import pytest

from encoding.runtime.durations import duration


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")])
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
