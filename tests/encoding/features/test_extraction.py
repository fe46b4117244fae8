"""The features stage: one pass, nothing twice, nothing half-done, nothing unbounded."""

import multiprocessing
import shutil
import threading
import time
import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from encoding import Store
from encoding.backbones import Backbone
from encoding.datasets import BadData, Stimuli
from encoding.features import activations
from encoding.features import extraction as stage
from encoding.features.extraction import extract, feature_keys, load
from encoding.runtime.progress import Cancelled
from encoding.storage.inventory import entries, prune
from encoding.storage.store import DamagedResult, StoreFull

LAYERS = ("pixels", "colour")
KEYS = feature_keys("stimuli", "backbone", LAYERS)


class Pictures(Stimuli):
    """Random squares that count how often and how far ahead they are decoded."""

    fingerprint = "stimuli"

    def __init__(self, n=50, broken=None, seconds=0.0):
        self.pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
        self.names = tuple(f"picture-{i}" for i in range(n))
        self.broken, self.seconds = broken, seconds
        self.decoded, self.lock = Counter(), threading.Lock()

    def __getitem__(self, index):
        time.sleep(self.seconds)
        if index == self.broken:
            raise BadData(f"{self.names[index]}.png cannot be read as a picture")
        with self.lock:
            self.decoded[index] += 1
        return Image.fromarray(self.pixels[index])


class Flat(Backbone):
    """Pixels and mean colour; counts its forward passes and the images in each."""

    fingerprint = "backbone"

    def __init__(self, damage=lambda features: features):
        self.passes, self.layers_asked, self.damage, self.device = [], [], damage, None

    def prepare(self, image):
        return torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)

    def activations(self, batch, layers, pool="none"):
        self.passes.append(len(batch))
        self.layers_asked.append(tuple(layers))
        made = {"pixels": batch.flatten(1), "colour": batch.mean((2, 3))}
        return {layer: self.damage(made[layer].clone()) for layer in layers}

    def to(self, device):
        self.device = device
        return self


def expected(pictures):
    pixels = (pictures.pixels.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    return {"pixels": pixels.reshape(len(pixels), -1), "colour": pixels.mean((2, 3))}


def agree(pictures, store):
    for layer, X in expected(pictures).items():
        found = load(KEYS[layer], store)
        assert found.dtype == np.float32 and not found.flags.writeable
        np.testing.assert_allclose(found, X, rtol=1e-5, atol=1e-6)


def never():
    raise AssertionError("the backbone was opened though nothing was missing")


@pytest.mark.parametrize("batch_size", [None, 1, 7, 50, 1000])
def test_features_are_the_backbones_activations_row_by_row(store, batch_size):
    pictures, backbone = Pictures(), Flat()
    extract(pictures, lambda: backbone, KEYS, store, batch_size=batch_size)
    agree(pictures, store)
    assert sum(backbone.passes) == len(pictures) and max(backbone.passes) <= (batch_size or len(pictures))


def test_each_image_is_decoded_once_and_passed_forward_once_for_all_layers(store):
    pictures, backbone = Pictures(), Flat()
    extract(pictures, lambda: backbone, KEYS, store, batch_size=8)
    assert set(pictures.decoded.values()) == {1} and len(pictures.decoded) == 50
    assert sum(backbone.passes) == 50 and set(backbone.layers_asked) == {LAYERS}


def test_what_is_there_is_not_made_again(store):
    extract(Pictures(), Flat, KEYS, store)
    extract(Pictures(), never, KEYS, store)


def test_only_missing_layers_are_made(store):
    extract(Pictures(), Flat, {"colour": KEYS["colour"]}, store)
    backbone = Flat()
    extract(Pictures(), lambda: backbone, KEYS, store)
    assert set(backbone.layers_asked) == {("pixels",)}
    agree(Pictures(), store)


def test_a_damaged_layer_is_a_miss_with_a_warning_and_is_made_again(store):
    extract(Pictures(), Flat, KEYS, store)
    path = store.path(KEYS["colour"]) / "X.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.warns(DamagedResult, match="computed again"):
        extract(Pictures(), Flat, KEYS, Store(store.root))
    agree(Pictures(), store)


def test_features_not_extracted_cannot_be_loaded(store):
    with pytest.raises(LookupError, match="Extract these features first"):
        load(KEYS["pixels"], store)


def test_keys_follow_stimuli_backbone_and_layer():
    keys = [feature_keys(*names, LAYERS) for names in (("a", "b"), ("a", "c"), ("d", "b"))]
    assert len({key for made in keys for key in made.values()}) == 6
    assert feature_keys("a", "b", LAYERS[:1]) == {LAYERS[0]: keys[0][LAYERS[0]]}


def test_decoding_looks_a_bounded_number_of_images_ahead(store, monkeypatch):
    monkeypatch.setattr(activations, "AHEAD", 10)
    pictures, seen = Pictures(200), []
    backbone = Flat(lambda features: (seen.append(sum(pictures.decoded.values()) - sum(backbone.passes)), features)[1])
    extract(pictures, lambda: backbone, KEYS, store, batch_size=5)
    assert max(seen) <= 10


def test_decoding_goes_on_while_the_network_works(store):
    """Later images wait for the network to start, and the network waits for them."""
    started, reached = threading.Event(), threading.Event()

    class Waiting(Pictures):
        def __getitem__(self, index):
            if index >= 5:
                assert started.wait(10)
            if index == 20:
                reached.set()
            return super().__getitem__(index)

    def work(features):
        started.set()
        assert reached.wait(10)
        return features

    extract(Waiting(), lambda: Flat(work), KEYS, store)
    agree(Pictures(), store)


def test_progress_tells_images_and_speed_and_reaches_the_end(store):
    said = []
    extract(Pictures(), Flat, KEYS, store, batch_size=10, report=lambda fraction, text: said.append((fraction, text)))
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert any("50 of 50 images" in text and "images/s" in text for _, text in said)


def test_cancelling_stops_soon_and_leaves_nothing_behind(store):
    pictures = Pictures(500)

    def report(fraction, text):
        if fraction > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        extract(pictures, Flat, KEYS, store, batch_size=10, report=report)
    assert not list(store.root.glob("features/*"))
    assert sum(pictures.decoded.values()) < 200
    extract(pictures, Flat, KEYS, store)
    agree(pictures, store)


def test_an_unreadable_image_is_named_and_leaves_nothing_behind(store):
    with pytest.raises(BadData, match="picture-30"):
        extract(Pictures(broken=30), Flat, KEYS, store)
    assert not any(key in store for key in KEYS.values())
    assert not list(store.root.glob("features/*"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_activation_that_is_no_number_names_layer_and_image(store, value):
    def damage(features):
        if features.shape[1] == 3 and len(features) == 7:
            features[4, 1] = value
        return features

    with pytest.raises(ValueError, match="Layer 'colour' gives NaN or infinity for image 'picture-5'"):
        extract(Pictures(), lambda: Flat(damage), KEYS, store, batch_size=7)
    assert not list(store.root.glob("features/*"))


def test_a_row_too_many_is_an_error(store):
    with pytest.raises(ValueError, match="gives 2 rows for 1 images"):
        extract(Pictures(), lambda: Flat(lambda features: torch.cat([features, features[:1]])), KEYS, store)


def test_too_small_a_disk_is_told_in_numbers_before_the_work(store, monkeypatch):
    monkeypatch.setattr(stage, "SPARE_BYTES", 10 * shutil.disk_usage("/").total)
    backbone = Flat()
    with pytest.raises(StoreFull, match=r"Features of 50 images take 0\.0 GB; the disk of .* has [\d.,]+ GB free"):
        extract(Pictures(), lambda: backbone, KEYS, store)
    assert backbone.passes == [1] and not list(store.root.glob("features/*"))


def test_a_disk_that_fills_on_the_way_is_told_and_leaves_nothing_behind(store, monkeypatch):
    def full(self, features):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage.FeatureRows, "write", full)
    with pytest.raises(StoreFull, match="No room left"):
        extract(Pictures(), Flat, KEYS, store)
    assert not list(store.root.glob("features/*"))


def test_no_images_is_an_error(store):
    with pytest.raises(ValueError, match="no images"):
        extract(Pictures(0), Flat, KEYS, store)


def test_wide_layers_make_small_batches(store, monkeypatch):
    monkeypatch.setattr(activations, "BATCH_BYTES", 10 * 4 * (192 + 3))
    backbone = Flat()
    extract(Pictures(), lambda: backbone, KEYS, store)
    assert max(backbone.passes) == 10


def test_provenance_holds_what_made_the_features(store):
    extract(Pictures(), Flat, KEYS, store, made_from={"backbone": "flat"})
    assert store.provenance(KEYS["colour"])["made_from"] == {"backbone": "flat", "layer": "colour"}


def _extract_elsewhere(root, results):
    backbone = Flat()
    extract(Pictures(seconds=0.005), lambda: backbone, KEYS, Store(root), batch_size=4)
    results.put(sum(backbone.passes))


def test_two_processes_share_the_work(store):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_extract_elsewhere, args=(store.root, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    passes = sorted(results.get(timeout=30) for _ in workers)
    for worker in workers:
        worker.join()
    assert passes == [0, 50]
    agree(Pictures(), store)


LARGE = {"colour": KEYS["colour"]}
SKETCHED = {"pixels": stage.sketch_key(KEYS["pixels"])}


@pytest.fixture
def sharded(monkeypatch):
    """Extraction in shards of 10 images."""
    monkeypatch.setattr(stage, "SHARD_IMAGES", 10)


@pytest.mark.parametrize(("n", "most"), [(0, 5), (1, 5), (5, 5), (6, 5), (23, 5), (9_841, 512), (4, 0)])
def test_shards_are_few_even_and_cover_all_stimuli_in_order(n, most):
    parts = stage.shards(n, most)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(n))
    assert len(parts) == max(1, -(-n // max(1, most))) and max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("elsewhere", [(), (3,), (4, 0, 2), range(5)])
def test_shards_give_the_same_rows_whoever_extracts_them(store, tmp_path, monkeypatch, elsewhere):
    whole, pictures, backbone = Store(tmp_path / "whole"), Pictures(), Flat()
    extract(pictures, Flat, LARGE, whole, sketches=SKETCHED)
    monkeypatch.setattr(stage, "SHARD_IMAGES", 10)
    parts = stage.extraction_shards(pictures)
    for number in elsewhere:
        for _ in range(2):  # the second finds it done
            extract(pictures, lambda: backbone, LARGE, store, sketches=SKETCHED, shard=parts[number])
    assert sum(backbone.passes) == 10 * len(elsewhere) and not any(key in store for key in (*LARGE.values(), *SKETCHED.values()))
    extract(pictures, lambda: backbone, LARGE, store, sketches=SKETCHED)
    assert sum(backbone.passes) == 50 and set(pictures.decoded.values()) == {2}
    for key in (*LARGE.values(), *SKETCHED.values()):
        one, other = whole.get(key), store.get(key)
        for name in one:
            np.testing.assert_allclose(np.float32(other[name]), np.float32(one[name]), rtol=1e-5, atol=1e-6)
    assert not list(store.root.glob("shard/*"))


def test_what_was_killed_goes_on_from_its_last_whole_shard(store, sharded):
    def report(fraction, text):
        if "opening" not in text and fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        extract(Pictures(), Flat, KEYS, store, report=report)
    assert len(list(store.root.glob("shard/shard-*"))) == 2 * 2 and not list(store.root.glob("features/*"))
    backbone = Flat()
    extract(Pictures(), lambda: backbone, KEYS, store)
    assert sum(backbone.passes) == 30
    agree(Pictures(), store)
    extract(Pictures(), never, KEYS, store)
    extract(Pictures(), never, KEYS, store, shard=stage.extraction_shards(Pictures())[2])


def test_shards_of_a_running_extraction_are_not_pruned(store, sharded):
    def report(fraction, text):
        if "opening" in text and fraction > 0.5:
            pruned.append(prune(store, entries(store)))

    pruned = []
    extract(Pictures(), Flat, KEYS, store, report=report)
    assert pruned and not any(each.removed for each in pruned)
    agree(Pictures(), store)


def test_a_damaged_shard_is_made_again(store, sharded):
    parts = stage.extraction_shards(Pictures())
    extract(Pictures(), Flat, KEYS, store, shard=parts[1])
    path = store.path(stage.shard_key(KEYS["colour"], parts[1])) / "X.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.warns(DamagedResult, match="computed again"):
        extract(Pictures(), Flat, KEYS, Store(store.root))
    agree(Pictures(), store)


def test_data_that_change_while_a_shard_is_read_leave_the_shards_before(store, sharded):
    checked = []

    def check():
        checked.append(None)
        if len(checked) == 3:
            raise BadData("The data changed")

    with pytest.raises(BadData, match="changed"):
        extract(Pictures(), Flat, KEYS, store, check=check)
    assert len(list(store.root.glob("shard/shard-*"))) == 2 * 2


@pytest.mark.parametrize("n_layers", [3, 30])
def test_a_pass_over_many_reduced_layers_holds_one_of_them(store, n_layers):
    """A network that gives its layers one by one: those before are freed, whatever their number, and the batch is as large as for one."""
    alive, most, sizes = weakref.WeakSet(), 0, []

    class OneByOne(Flat):
        def visit(self, batch, layers, pool, use):
            nonlocal most
            sizes.append(len(batch))
            for layer in layers:
                features = batch.flatten(1).repeat(1, 4)
                alive.add(features)
                use(layer, features)
                del features
                most = max(most, len(alive))

    layers = [f"layer-{number}" for number in range(n_layers)]
    extract(Pictures(), OneByOne, {}, store, sketches={layer: f"sketch-{layer}" for layer in layers})
    assert most == 0 and sizes == [1, 49]
    assert all(int(store.get(f"sketch-{layer}")["n_features"]) == 4 * 192 for layer in layers)
