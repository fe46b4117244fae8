"""The order of an experiment's tasks, and that networks share the decoding of stimuli."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from encoding import Store, fit
from encoding.experiments import Experiment, graph_builder, run_experiment
from encoding.experiments.graph import compile_graph
from encoding.features import decoded, extraction
from encoding.features.decoded import forget_decoded
from tests.conftest import TINY, TinyStimuli

BASE = replace(TINY, n_components=6, hemi="lh")
NETWORKS = Experiment(base=BASE, vary={"backbone": ["tinynet", "othernet"]})


class Counted(TinyStimuli):
    """Counts how often each stimulus is decoded."""

    def __init__(self, pixels: np.ndarray) -> None:
        super().__init__(pixels)
        self.decoded: Counter[int] = Counter()

    def frames(self, index):
        self.decoded[index] += 1
        return super().frames(index)


@pytest.fixture
def stimuli(lab, monkeypatch):
    """The images of the first subject, which pass in shards of 40."""
    monkeypatch.setattr(extraction, "SHARD_IMAGES", 40)
    counted = Counted(lab.subject.stimuli.pixels)
    lab.change(stimuli=counted)
    forget_decoded()
    yield counted
    forget_decoded()


def test_decoding_dominates_where_a_gpu_computes(monkeypatch):
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(graph_builder, "choose_device", lambda asked, device=device: device)
        assert graph_builder.decoding_dominates() == (device == "cuda")


@pytest.mark.parametrize(("dominates", "times"), [(True, 1), (False, 2)])
def test_networks_take_each_shard_in_turn_where_decoding_costs_most(stimuli, store, tmp_path, monkeypatch, dominates, times):
    monkeypatch.setattr(graph_builder, "decoding_dominates", lambda: dominates)
    found = run_experiment(NETWORKS, store, device="cpu")
    assert len(found.results) == 2 and stimuli.decoded == dict.fromkeys(range(120), times)
    alone = Store(tmp_path / "alone")
    for result in found.results:
        one = fit(result.plan.spec, alone, device="cpu")
        for name, values in one._arrays.items():
            np.testing.assert_array_equal(np.asarray(values), np.asarray(result._arrays[name]), strict=True)


@pytest.mark.parametrize("vary", [NETWORKS.vary, {"pool": ["none", "mean", "max"]}, {**NETWORKS.vary, "pool": ["none", "max"]}])
def test_a_set_of_one_shard_is_decoded_once_for_all_networks_and_pools(stimuli, store, monkeypatch, vary):
    monkeypatch.setattr(extraction, "SHARD_IMAGES", 512)
    assert {cell.state for cell in run_experiment(Experiment(base=BASE, vary=vary), store, device="cpu").status.cells} == {"done"}
    assert stimuli.decoded == dict.fromkeys(range(120), 1)
    assert not decoded._memory._frames and not decoded._memory._n_bytes  # what followed the passes freed them


def test_a_single_network_keeps_no_frames(stimuli, store, monkeypatch):
    monkeypatch.setattr(graph_builder, "decoding_dominates", lambda: True)
    graph = compile_graph(Experiment(base=BASE, vary={"layers": "curated"}).cells(), store)
    assert {task.decoded for task in graph.tasks.values()} == {""}


def test_shards_that_are_shared_stand_side_by_side_and_every_task_follows_what_it_needs(stimuli, store, monkeypatch):
    monkeypatch.setattr(graph_builder, "decoding_dominates", lambda: True)
    graph = compile_graph(replace(NETWORKS, vary={**NETWORKS.vary, "subject": "all"}).cells(), store)
    seen: set[str] = set()
    for key, task in graph.tasks.items():
        assert seen.issuperset(task.needs)
        seen.add(key)
    of_first = [task.shard for task in graph.tasks.values() if task.decoded == stimuli.fingerprint and task.shard is not None]
    assert of_first == [0, 0, 1, 1, 2, 2]
