"""Experiments whose layers are too large to store: two passes serve all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import Store, fit
from encoding.experiments import Experiment, run_experiment
from encoding.experiments.graph import compile_graph
from encoding.experiments.stages import run_task
from encoding.features import extraction, reduction, sums
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


@pytest.fixture
def sharded(monkeypatch):
    """Passes in shards of at most 50 stimuli."""
    monkeypatch.setattr(extraction, "SHARD_IMAGES", 50)
    monkeypatch.setattr(reduction, "SHARD_IMAGES", 50)


def test_shards_are_tasks_that_workers_share_and_the_table_is_the_same(tiny, store, tmp_path, seen, sharded):
    tasks = compile_graph(GRID.cells(), store).tasks
    by_stage = {stage: [task for task in tasks.values() if task.stage == stage] for stage in ("features", "components")}
    assert [task.shard for task in by_stage["features"]] == [0, 1, 2, None]
    assert [task.shard for task in by_stage["components"]] == [0, 1, None]  # of 90 training stimuli
    for task in sorted(tasks.values(), key=lambda task: task.shard or 0, reverse=True):  # needs first, otherwise backwards
        for each in [*(tasks[key] for key in task.needs), task]:
            run_task(each, store, device="cpu")
    assert sum(n for n, _ in seen) == 2 * 120 and compile_graph(GRID.cells(), store).tasks == {}
    assert not {key.partition("-")[0] for key in store.keys()} & {"shard", "sums", "directions"}  # noqa: SIM118
    one_process = Store(tmp_path / "serial")
    for result in run_experiment(GRID, one_process, device="cpu").results:
        assert np.array_equal(result.score("lh"), type(result)(result.plan, store).score("lh"))


def test_layers_beyond_one_pass_are_tasks_of_their_own(tiny, store, seen, monkeypatch):
    monkeypatch.setattr(sums, "SUM_BYTES", 1_000)
    tasks = compile_graph(GRID.cells(), store).tasks
    assert {task.spec.layers for task in tasks.values() if task.stage == "components"} == {("colour",), ("pixels",)}
    assert run_experiment(GRID, store, device="cpu").status.count("done") == 4


def test_stored_features_are_sharded_too_and_an_experiment_that_was_stopped_goes_on(tiny, store, seen, sharded):
    grid = replace(GRID, base=replace(BASE, feature_budget=None))
    shards = [task for task in compile_graph(grid.cells(), store).tasks.values() if task.stage == "features" and task.shard is not None]
    run_task(shards[1], store, device="cpu")
    assert run_experiment(grid, store, device="cpu").status.count("done") == 4
    assert sum(n for n, _ in seen) == 120 and not list(store.root.glob("shard/*"))
