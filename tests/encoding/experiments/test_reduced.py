"""Experiments whose layers are too large to store: two passes serve all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import Store, fit
from encoding.experiments import Experiment, run_experiment
from encoding.experiments.graph import compile_graph
from encoding.experiments.stages import run_task
from tests.conftest import TINY, TinyBackbone

BASE = replace(TINY, n_components=3, feature_budget=0.0, hemi="lh")
GRID = Experiment(base=BASE, vary={"layers": "curated", "readout": ["ridge", "ols"]})


@pytest.fixture
def seen(monkeypatch):
    """Number of stimuli and layers of every batch through the network, without the two grey images that tell the sizes."""
    batches, activations = [], TinyBackbone.activations

    def counted(self, batch, layers, pool="none"):
        if len(batch) != 2:
            batches.append((len(batch), frozenset(layers)))
        return activations(self, batch, layers, pool)

    monkeypatch.setattr(TinyBackbone, "activations", counted)
    return batches


@pytest.mark.parametrize(("split", "n_passes"), [("holdout:0.75:5", 2), ("kfold:3:1", 4)])
def test_two_passes_serve_all_large_layers_and_readouts(tiny, store, tmp_path, seen, split, n_passes):
    grid = replace(GRID, base=replace(BASE, split=split))
    found = run_experiment(grid, store, device="cpu")
    assert found.status.count("done") == 4 and not any(key.startswith("features-") for key in store.keys())  # noqa: SIM118
    assert sum(n for n, _ in seen) == n_passes * 120 and {layers for _, layers in seen} == {frozenset({"pixels", "colour"})}
    alone = Store(tmp_path / "alone")
    for result in found.results:
        one = fit(result.plan.spec, alone, device="cpu")
        assert one.key == result.key
        np.testing.assert_allclose(one.score("lh"), result.score("lh"), atol=1e-5)


def test_a_layer_that_is_left_is_reduced_by_itself(tiny, store, seen):
    fit(replace(BASE, layers=("colour",)), store, device="cpu")
    del seen[:]
    run_experiment(GRID, store, device="cpu")
    assert {layers for _, layers in seen} == {frozenset({"pixels"})} and sum(n for n, _ in seen) == 2 * 120


def test_workers_give_tasks_of_large_layers_the_same_keys(tiny, store):
    tasks = compile_graph(GRID.cells(), store).tasks
    assert [task.stage for task in tasks.values()].count("components") == 1
    for task in tasks.values():
        run_task(task, store, device="cpu")
    assert compile_graph(GRID.cells(), store).tasks == {}
