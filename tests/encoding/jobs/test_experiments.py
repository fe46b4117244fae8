"""Experiments in a server's threads: started once, followed, cancelled, and their failures kept."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from encoding.experiments import Experiment
from encoding.experiments.run import run_serially
from encoding.jobs import NotTheOwner
from encoding.jobs.experiments import Experiments
from tests.conftest import TINY
from tests.encoding.jobs.processes import until

GRID = Experiment(base=replace(TINY, hemi="lh"), vary={"layers": "curated"}, title="Which?")


@pytest.fixture
def gate():
    """Opens the way for the executor of a test, whatever becomes of it."""
    event = threading.Event()
    yield event
    event.set()


def test_an_experiment_runs_once_and_says_how_it_ended(tiny, store, gate):
    calls = []

    def executor(run, its_store, device):
        calls.append(run)
        gate.wait()
        run_serially(run, its_store, "cpu")

    made = Experiments(store, executor)
    key = made.start(GRID)
    assert made.start(GRID) == key == GRID.key
    until(lambda: made.get(key).status is not None)
    assert not made.get(key).finished and made.get(key).labels == ("pixels", "colour")
    gate.set()
    until(lambda: made.get(key).finished)
    (state,) = made.all().values()
    assert state.status.count("done") == 2 and state.error == "" and state.title == "Which?" and len(calls) == 1
    assert made.get("experiment-unknown") is None and not made.cancel(key)


def test_a_cancelled_experiment_ends_without_an_error(tiny, store, gate):
    def executor(run, its_store, device):
        until(lambda: run.cancelled)

    made = Experiments(store, executor)
    key = made.start(GRID, owner="ada")
    until(lambda: made.get(key).status is not None)
    with pytest.raises(NotTheOwner, match="Somebody else started"):
        made.cancel(key, owner="bob")
    assert made.get(key).owner == "ada" and made.cancel(key, owner="ada")
    until(lambda: made.get(key).finished)
    assert made.get(key).error == "" and made.get(key).status.count("cancelled") == 2


def test_what_ends_an_experiment_is_kept_and_it_may_start_again(tiny, store):
    def executor(run, its_store, device):
        raise ConnectionError("No scheduler answers.")

    made = Experiments(store, executor)
    key = made.start(GRID)
    until(lambda: made.get(key).finished)
    assert made.get(key).error == "ConnectionError: No scheduler answers."
    made._executor = run_serially
    made.start(GRID)
    until(lambda: made.get(key).finished)
    assert made.get(key).error == "" and made.get(key).status.count("done") == 2
