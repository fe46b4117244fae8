"""What a fit needs, known beforehand: sizes exact, refusals with a mend."""

import ctypes
import gc
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from encoding import FitSpec, fit
from encoding.evaluation.leave_one_out import ScoredFold
from encoding.evaluation.resampling import BLOCK_VALUES, SUB_BLOCK, ErrorBar, estimate, working_bytes
from encoding.experiments.experiment import Cell
from encoding.experiments.graph import compile_graph
from encoding.experiments.stages import run_task
from encoding.features import activations, extraction, sums
from encoding.features.extraction import SPARE_BYTES, load
from encoding.features.probe import ALIVE, probe
from encoding.features.reduction import reduce_spaces
from encoding.features.sketch import BLOCK_FEATURES, N_GROUPS, N_NONZEROS
from encoding.features.sums import Space
from encoding.fits import resources as preflight
from encoding.fits.passes import reduce_in_pass
from encoding.fits.plan import plan
from encoding.pipeline import extract_features
from encoding.runtime.progress import silent
from encoding.storage.store import StoreFull
from tests.conftest import TINY, TinyStimuli
from tests.encoding.features.test_extraction import Flat, Pictures

ALEXNET = FitSpec(dataset="tiny", backbone="torchvision/alexnet", weights="random:0", layers=("features.2", "features.12"), n_components=5)

N_IMAGES = 50


@pytest.fixture
def tiny(tiny):
    """The planted data, of 50 images: AlexNet passes all of them in most tests."""
    subject = tiny.subject
    responses = {hemi: Y[:N_IMAGES] for hemi, Y in subject.responses.items()}
    prints = {hemi: f"{hemi}-few" for hemi in responses}
    tiny.change(
        stimuli=TinyStimuli(subject.stimuli.pixels[:N_IMAGES]), responses=responses, fingerprints=prints, groups=np.arange(N_IMAGES)
    )
    return tiny


def probe_of(planned, store):
    spec = planned.spec
    return probe(planned.source, spec.backbone, spec.weights, spec.layers, spec.pool, store)


@pytest.mark.parametrize("pool", ["none", "mean", "grid:2"])
def test_the_sizes_of_layers_are_those_that_features_have(tiny, store, pool):
    planned = plan(replace(ALEXNET, pool=pool), store)
    told = probe_of(planned, store).sizes
    fit(planned.spec, store)
    assert told == {layer: load(key, store).shape[1] for layer, key in planned.feature_keys.items()}
    assert probe_of(planned, store).peak_bytes == ALIVE * 4 * 64 * 55 * 55  # of the first convolution; no weights of the last layers


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
    with pytest.raises(preflight.NoRoom, match=r"0\.0 GB are free. Ask for fewer components, pool"):
        fit(ALEXNET, store)
    assert not any(key.startswith("features") for key in store.keys())  # noqa: SIM118


def test_too_small_a_disk_is_refused_before_any_work(tiny, store, monkeypatch):
    planned = plan(ALEXNET, store)
    probe_of(planned, store)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: np.rec.fromrecords([(1, 1, 1)], names="total,used,free")[0])
    with pytest.raises(StoreFull, match="Pool the layers"):
        fit(ALEXNET, store)


def disk_of(monkeypatch, free):
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: np.rec.fromrecords([(free, 0, free)], names="total,used,free")[0])


@pytest.mark.parametrize("room", ["sketches", "the smaller layer"])
def test_the_budget_that_is_offered_fits(tiny, store, monkeypatch, room):
    """A refused extraction names a feature budget, and under it the same extraction is not refused."""
    spec = replace(ALEXNET, feature_budget=None)
    planned = plan(spec, store)
    sizes = probe_of(planned, store).sizes
    n_bytes = {layer: 4 * N_IMAGES * size for layer, size in sizes.items()}
    sketch = 2 * N_IMAGES * N_NONZEROS * N_GROUPS
    assert sketch < min(n_bytes.values()) or room == "the smaller layer"
    disk_of(monkeypatch, SPARE_BYTES + (2 * sketch if room == "sketches" else min(n_bytes.values()) + sketch) + 50_000)
    with pytest.raises(StoreFull, match="--feature-budget") as refused:
        preflight.preflight_pass(planned, store).check()
    budget = float(str(refused.value).partition("--feature-budget ")[2].partition("`")[0])
    smaller = plan(replace(spec, feature_budget=budget), store)
    assert len(smaller.reduced_layers) == (2 if room == "sketches" else 1)
    preflight.preflight_pass(smaller, store).check()


def test_a_stage_of_an_experiment_that_cannot_fit_is_refused_before_the_network_works(tiny, store, monkeypatch):
    graph = compile_graph([Cell(replace(ALEXNET, feature_budget=0.0), {})], store)
    monkeypatch.setattr(preflight, "available_memory", lambda: 1e6)
    task = next(task for task in graph.tasks.values() if task.stage == "features")
    with pytest.raises(preflight.NoRoom, match="take fewer layers at a time"):
        run_task(task, store, device="cpu")
    assert not list(store.root.glob("sketch/*"))


def peak_bytes(work):
    """Most memory of this process during some work, beyond what it had before, as the kernel counts it."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what earlier tests freed counts as resident until then, and would be used again
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the kernel does not count the peak memory of this process anew")
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    before = int(status["VmRSS"].split()[0])
    work()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * (int(status["VmHWM"].split()[0]) - before)


def test_memory_is_bounded_whatever_the_layer_and_is_what_was_foreseen(store, monkeypatch):
    """A layer of 800,000 features of 56 images, 179 MB: reduced in two passes within what the estimate says of its parts."""
    n, k = 56, 2
    base = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 800_000)).astype(np.float32))
    pixels = Pictures(n).pixels.reshape(n, -1)[:, :4].astype(np.float32) / 255
    monkeypatch.setattr(activations, "BATCH_BYTES", 4 * 4 * 800_000)

    class Wide(Flat):
        def activations(self, batch, layers, pool="none"):
            return dict.fromkeys(layers, batch.flatten(1)[:, :4] @ base)

    keys, sketches = {}, {"wide": "sketch-wide"}
    first = peak_bytes(lambda: extraction.extract(Pictures(n), Wide, keys, store, sketches=sketches))
    assert int(store.get("sketch-wide")["n_features"]) == 800_000
    sketched = 13 * N_NONZEROS * BLOCK_FEATURES  # signs of all blocks
    assert first < 2 * 2 * activations.BATCH_BYTES + sketched + 60e6 < 4 * n * 800_000

    def stream(rows, layers, report, use):
        for batch in np.split(rows, range(4, len(rows), 4)):
            use(int(np.searchsorted(rows, batch[0])), "wide", torch.from_numpy(pixels[batch]) @ base)

    rows, space = np.arange(n), Space("components-wide", {"wide": store.get("sketch-wide")}, k)
    given = {"n_frames": 1, "device": "cpu", "report": silent}
    second = peak_bytes(lambda: reduce_spaces([space], rows[:50], rows[50:], stream, store, **given))
    assert second < 1.5 * sums.sum_bytes(k, 50, 800_000) + 4 * activations.BATCH_BYTES + 80e6 < 4 * n * 800_000
    assert store.get("components-wide")["axes"].shape == (800_000, k)


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
    folds = [ScoredFold(*rng.normal(size=(2, n, SUB_BLOCK)).astype(np.float32), np.arange(n) // 2) for _ in range(n_folds)]
    foreseen = working_bytes(600, 300, 2, n_folds=n_folds) - 16.0 * BLOCK_VALUES  # predictions come from outside here
    peaks = [peak(n_blocks * SUB_BLOCK) for n_blocks in (2, 4)]
    assert peaks[1] < 1.1 * peaks[0] and 0.4 < peaks[1] / foreseen < 1.0


def test_what_follows_a_fit_counts(tiny, store, monkeypatch):
    planned = plan(replace(ALEXNET, pool="mean"), store)
    before = preflight.preflight(planned, store).ram
    monkeypatch.setattr(preflight, "working_bytes", lambda *sizes, **more: 7e9)
    assert preflight.preflight(planned, store).ram >= 7e9 > before


def test_components_are_no_more_than_features(tiny, store):
    three = replace(TINY, layers=("colour",), degree=2, n_components=3, options={"n_folds": 30})
    fit(three, store)
    told = preflight.preflight(plan(three, store), store).ram
    assert [preflight.preflight(plan(replace(three, n_components=n), store), store).ram for n in (0, 50)] == [told, told]


def test_readouts_of_layers_that_are_reduced_in_the_pass_count(tiny, store):
    planned = [plan(replace(ALEXNET, n_components=10, degree=2, feature_budget=budget), store) for budget in (None, 0.0)]
    assert planned[1].reduced_layers
    whole, reduced = (preflight.preflight(each, store).readout_seconds for each in planned)
    assert reduced == pytest.approx(whole) and whole > 0


def test_the_memory_of_a_pass_is_what_was_estimated(tiny, store):
    """Peak of the process, with the program itself, in both passes of a network whose layers are reduced."""
    spec = FitSpec(dataset="tiny", backbone="torchvision/squeezenet1_1", weights="random:0", layers=("features.1", "features.2"))
    planned = plan(replace(spec, n_components=6, feature_budget=0.0, readout="banded_ridge"), store)
    for reduces, work in ((False, partial(extract_features, planned)), (True, partial(reduce_in_pass, [planned], planned.folds[0]))):
        foreseen = preflight.preflight_pass(planned, store, reduces=reduces).ram
        peak = preflight.PROGRAM_BYTES + peak_bytes(lambda work=work: work(store, silent, "cpu"))
        assert peak < 1.1 * foreseen < 1.1 * 1.5 * peak


def test_a_learning_curve_is_dearer_of_a_readout_that_works_longer_and_of_more_folds(tiny, store):
    plans = [plan(replace(TINY, **change), store) for change in ({}, {"readout": "forest"}, {"readout": "forest", "split": "kfold:5:0"})]
    one, forest, folds = (preflight.curve_seconds(each, "cpu") for each in plans)
    assert 0 < 3 * one < forest < folds
