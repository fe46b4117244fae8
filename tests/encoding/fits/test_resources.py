"""What a fit needs, known beforehand: sizes exact, refusals with a mend."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from encoding import FitSpec, fit
from encoding.evaluation.resampling import BLOCK_VALUES, SUB_BLOCK, ErrorBar, Fold, estimate, working_bytes
from encoding.features.extraction import load
from encoding.features.probe import probe
from encoding.fits import resources as preflight
from encoding.fits.plan import plan
from encoding.storage.store import StoreFull

ALEXNET = FitSpec(dataset="tiny", backbone="torchvision/alexnet", weights="random:0", layers=("features.2", "features.12"), n_components=5)


def probe_of(planned, store):
    spec = planned.spec
    return probe(planned.source, spec.backbone, spec.weights, spec.layers, spec.pool, store)


@pytest.mark.parametrize("pool", ["none", "mean", "grid:2"])
def test_the_sizes_of_layers_are_those_that_features_have(tiny, store, pool):
    planned = plan(replace(ALEXNET, pool=pool), store)
    told = probe_of(planned, store).sizes
    fit(planned.spec, store)
    assert told == {layer: load(key, store).shape[1] for layer, key in planned.feature_keys.items()}


def test_what_is_kept_on_disk_is_what_was_estimated(tiny, store):
    planned = plan(ALEXNET, store)
    told = preflight.preflight(planned, store).disk
    before = sum(store.size(key) for key in store.keys())  # noqa: SIM118 - a Store is no dict
    fit(ALEXNET, store)
    kept = sum(store.size(key) for key in store.keys()) - before  # noqa: SIM118
    assert 0.5 < told / kept < 2


def test_stored_features_need_no_time_and_no_room(tiny, store):
    other = replace(ALEXNET, n_components=4)
    before = preflight.preflight(plan(other, store), store)
    fit(ALEXNET, store)
    planned = plan(other, store)
    features = sum(load(key, store).nbytes for key in planned.feature_keys.values())
    assert before.disk - preflight.preflight(planned, store).disk == features


def test_too_little_memory_is_refused_before_any_work(tiny, store, monkeypatch):
    monkeypatch.setattr(preflight, "available_memory", lambda: 1e6)
    with pytest.raises(preflight.NoRoom, match=r"0\.0 GB are free. Ask for fewer components, or pool"):
        fit(ALEXNET, store)
    assert not any(key.startswith("features") for key in store.keys())  # noqa: SIM118


def test_too_small_a_disk_is_refused_before_any_work(tiny, store, monkeypatch):
    planned = plan(ALEXNET, store)
    probe_of(planned, store)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: np.rec.fromrecords([(1, 1, 1)], names="total,used,free")[0])
    with pytest.raises(StoreFull, match="Pool the layer"):
        fit(ALEXNET, store)


def test_an_estimate_reads_as_a_sentence():
    text = str(preflight.Estimate(seconds=7300, ram=2e9, gpu=1e9, disk=3e7))
    assert text == "about 2 h 01 min, 2.0 GB of memory, 1.0 GB of video memory, 0.03 GB on disk"


@pytest.mark.parametrize("n_folds", [1, 5])
def test_intervals_take_the_memory_that_is_foreseen_however_many_vertices_there_are(n_folds):
    """Peaks of two numbers of vertices, as the interpreter counts them, against the formula."""

    def peak(n_columns):
        blocks = ((np.arange(start, start + SUB_BLOCK), folds) for start in range(0, n_columns, SUB_BLOCK))
        members = {"all": np.arange(n_columns), "some": np.arange(0, n_columns, 3)}
        tracemalloc.start()
        estimate(blocks, members, n_columns, error_bar=ErrorBar(), ceiling=np.full(n_columns, 0.5))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    rng, n = np.random.default_rng(0), 600 // n_folds
    folds = [Fold(*rng.normal(size=(2, n, SUB_BLOCK)).astype(np.float32), np.arange(n) // 2) for _ in range(n_folds)]
    foreseen = working_bytes(600, 300, 2, n_folds=n_folds) - 16.0 * BLOCK_VALUES  # predictions come from outside here
    peaks = [peak(n_blocks * SUB_BLOCK) for n_blocks in (2, 4)]
    assert peaks[1] < 1.1 * peaks[0] and 0.4 < peaks[1] / foreseen < 1.0


def test_what_follows_a_fit_counts(tiny, store, monkeypatch):
    planned = plan(replace(ALEXNET, pool="mean"), store)
    before = preflight.preflight(planned, store).ram
    monkeypatch.setattr(preflight, "working_bytes", lambda *sizes, **more: 7e9)
    assert preflight.preflight(planned, store).ram >= 7e9 > before
