"""The time that a job has left."""

from __future__ import annotations

import time

import pytest

from encoding.jobs.job import Record, seconds_left

pytestmark = pytest.mark.timeout(120)


def test_the_time_left_follows_the_recent_pace_and_is_unknown_until_some_was_seen():
    assert seconds_left([], now=0.0) is None
    assert seconds_left([(0.0, 0.0), (1.0, 0.5)], now=1.0) is None
    assert seconds_left([(0.0, 0.5), (10.0, 0.5)], now=10.0) is None
    assert seconds_left([(0.0, 0.5), (10.0, 0.75)], now=10.0) == pytest.approx(10.0)


def test_stages_found_in_the_store_do_not_make_the_rest_look_quick(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    record = Record("a-1", None, b"")
    record.advance(0.0, "Starting", 0.0)
    record.advance(0.8, "Features were stored", 0.0)
    for step in range(40):  # the last fifth takes 100 s
        now = float(step)
        record.advance(0.8 + 0.002 * step, "Fitting", now)
    assert record.snapshot(None).seconds_left == pytest.approx(100 - 39, rel=0.05)
