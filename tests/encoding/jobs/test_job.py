"""The time that a job has left, and the epochs of the network that it trains."""

from __future__ import annotations

import time

import pytest

from encoding.jobs.job import Record, seconds_left

pytestmark = pytest.mark.timeout(120)


def test_the_time_left_follows_the_pace_and_is_unknown_until_some_was_seen():
    assert seconds_left([], now=0.0) is None
    assert seconds_left([(0.0, 0.0), (1.0, 0.5)], now=1.0) is None
    assert seconds_left([(0.0, 0.5), (10.0, 0.5)], now=10.0) is None
    assert seconds_left([(0.0, 0.5), (10.0, 0.75)], now=10.0) == pytest.approx(10.0)
    assert seconds_left([(0.0, 0.0), (10.0, 0.02)], now=10.0) is None, "what starting takes says nothing of the rest"
    assert seconds_left([(0.0, 0.0), (40.0, 0.02)], now=40.0) == pytest.approx(40 * 49)


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


def test_the_fraction_and_the_time_left_are_of_one_estimate(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    record = Record("a-1", None, b"")
    for now, fraction in ((0.0, 0.0), (1.0, 0.9), (30.0, 0.91), (60.0, 0.92)):
        record.advance(fraction, "Fitting", now)
    job = record.snapshot(None)
    assert job.fraction == pytest.approx(job.seconds / (job.seconds + job.seconds_left))
    assert job.fraction < 0.5  # 90 % after a second of 60 s would contradict the minutes that are left


def test_a_step_that_stands_still_does_not_make_the_rest_look_endless(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    record = Record("a-1", None, b"")
    for now, fraction in ((0.0, 0.0), (10.0, 0.2), (20.0, 0.4), (40.0, 0.8), (100.0, 0.801)):
        record.advance(fraction, "Fitting", now)
    assert record.snapshot(None).seconds_left == pytest.approx(100 * 0.199 / 0.801)


def test_epochs_are_those_of_the_network_that_is_trained_now():
    record = Record("a-1", None, b"")
    record.advance(0.1, "epoch 2", 1.0, "readout", [{"epoch": 1, "train_loss": 3.0}, {"epoch": 2, "train_loss": 2.0}])
    record.advance(0.2, "epoch 2", 2.0, "readout")
    record.advance(0.3, "epoch 3", 3.0, "readout", [{"epoch": 3, "train_loss": 1.0}])
    job = record.snapshot(None)
    assert [each["train_loss"] for each in job.epochs] == [3.0, 2.0, 1.0] and job.stage == "readout"
    record.advance(0.4, "epoch 1", 4.0, "readout", [{"epoch": 1, "train_loss": 5.0}])  # of the next fold
    assert [each["train_loss"] for each in record.snapshot(None).epochs] == [5.0]
