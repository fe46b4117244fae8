"""A small planted problem that every test of the core can use, and a Store of its own."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from encoding import FitSpec, Store
from encoding.backbones import BACKBONES, Backbone, Source
from encoding.datasets import DATASETS, Dataset, Stimuli, Subject


class TinyStimuli(Stimuli):
    """Random colour squares; their fingerprint follows their pixels."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.names = pixels, tuple(f"tiny-{i:04d}" for i in range(len(pixels)))

    @property
    def fingerprint(self) -> str:
        return f"tiny-{hash(self.pixels.tobytes())}"

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index])


class TinyDataset(Dataset):
    """120 images of 4 x 4 pixels drive five vertices of each hemisphere; five more are noise."""

    name, title, about, simulated = "tiny", "Tiny", "Planted.", True

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (120, 4, 4, 3), dtype=np.uint8)
        drive = pixels.reshape(120, -1) / 255 - 0.5
        responses = {}
        for hemi in ("lh", "rh"):
            weights = rng.normal(size=(48, 10)) * (np.arange(10) < 5)
            responses[hemi] = (drive @ weights + 0.1 * rng.normal(size=(120, 10))).astype(np.float32)
        rois = {hemi: {"driven": np.arange(5), "noise": np.arange(5, 10), "empty": np.zeros(0, int)} for hemi in responses}
        self.subject = Subject(
            dataset="tiny",
            name="subj01",
            stimuli=TinyStimuli(pixels),
            unlabelled=TinyStimuli(pixels[:0]),
            responses=responses,
            fingerprints={hemi: f"{hemi}-{hash(Y.tobytes())}" for hemi, Y in responses.items()},
            rois=rois,
            groups=np.arange(120),
            simulated=True,
        )

    def subjects(self):
        return ("subj01",)

    def roi_names(self):
        return {"planted": ("driven", "noise", "empty")}

    def open(self, subject, store, report=lambda fraction, text: None):
        return self.subject

    def change(self, **values):
        """The same subject with other data."""
        self.subject = replace(self.subject, **values)


class TinyBackbone(Backbone):
    fingerprint = "tiny-backbone"

    def prepare(self, image):
        import torch

        return torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)

    def activations(self, batch, layers, pool="none"):
        return {layer: batch.flatten(1) if layer == "pixels" else batch.mean((2, 3)) for layer in layers}

    def to(self, device):
        return self


class TinySource(Source):
    name, needs_weights = "tinynet", False

    def networks(self):
        return ("tinynet",)

    def layers(self, network):
        return ("pixels", "colour")

    def every_layer(self, network):
        return self.layers(network)

    def fingerprint(self, network, weights):
        return TinyBackbone.fingerprint

    def open(self, network, weights):
        return TinyBackbone()


class OtherTinySource(TinySource):
    """A second network with the same layers."""

    name = "othernet"

    def networks(self):
        return ("othernet",)

    def fingerprint(self, network, weights):
        return "other-backbone"

    def open(self, network, weights):
        backbone = super().open(network, weights)
        backbone.fingerprint = "other-backbone"
        return backbone


TINY = FitSpec(dataset="tiny", subject="subj01", backbone="tinynet", layers=("pixels",), n_components=0, split="holdout:0.75:5")
BROWSER = "tests/browser/"


def _unit_of_work(nodeid: str) -> str:
    """What one process of ``pytest -n`` runs as a whole: a file, so that its fixtures are made once, or all browser tests."""
    return BROWSER if nodeid.startswith(BROWSER) else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items):
    """Run the browser tests, the longest unit and one that mostly waits for other processes, first: beside all others."""
    items.sort(key=lambda item: _unit_of_work(item.nodeid) != BROWSER)


@pytest.hookimpl(optionalhook=True)  # there is pytest without xdist
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _unit_of_work(nodeid)

    config.option.loadscopereorder = False  # the order of pytest_collection_modifyitems
    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def installed_components():
    """Streamlit looks once for components among all installed packages: every run of an AppTest does otherwise, for half of its time."""
    from streamlit.components.v2 import manifest_scanner

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", functools.cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """The folder of data sets, not there yet, whose files are read anew however recently they changed."""
    monkeypatch.setattr("encoding.storage.fingerprints.SETTLED_SECONDS", 0)
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def register_tiny(monkeypatch) -> TinyDataset:
    """Register the planted data set and backbone until ``monkeypatch`` is undone."""
    list(DATASETS), list(BACKBONES)
    dataset = TinyDataset()
    monkeypatch.setitem(DATASETS._members, "tiny", dataset)
    monkeypatch.setitem(BACKBONES.sources._members, "tinynet", TinySource())
    return dataset


@pytest.fixture
def tiny(monkeypatch):
    """The planted data set and backbone, registered for one test."""
    return register_tiny(monkeypatch)


@pytest.fixture
def shell(capsys):
    """Run a command of the shell; its exit code, standard output and standard error."""
    from encoding.cli import main

    def run(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run
