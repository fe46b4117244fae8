"""A planted subject whose ROIs are driven by known layers of two networks, and the grid that looks for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from encoding import FitSpec
from encoding.backbones import BACKBONES, Backbone, Source
from encoding.datasets import DATASETS, Dataset, Subject
from encoding.experiments import Experiment
from tests.conftest import TinyStimuli

LAYERS = ("early", "late")
PLANTED = {"A": ("netone", "early"), "B": ("netone", "late"), "C": ("nettwo", "early"), "D": ("nettwo", "late")}
N_STIMULI, N_FEATURES, PER_ROI = 160, 12, 8


def layer(network: str, name: str) -> np.ndarray:
    """(48, N_FEATURES) weights of a layer, whose activations are rectified."""
    seed = 10 * ("netone", "nettwo").index(network) + LAYERS.index(name)
    return np.random.default_rng(seed).normal(size=(48, N_FEATURES)).astype(np.float32)


def activations(drive: np.ndarray, network: str, name: str) -> np.ndarray:
    return np.maximum(drive @ layer(network, name), 0)


class PlantedBackbone(Backbone):
    def __init__(self, network: str) -> None:
        self.network, self.fingerprint = network, f"planted-{network}"

    def prepare(self, image):
        import torch

        return torch.from_numpy(np.asarray(image.resize((4, 4)), np.float32).transpose(2, 0, 1) / 255 - 0.5)

    def activations(self, batch, layers, pool="none"):
        import torch

        drive = batch.permute(0, 2, 3, 1).flatten(1).numpy()
        return {name: torch.from_numpy(activations(drive, self.network, name)) for name in layers}

    def to(self, device):
        return self


class PlantedSource(Source):
    needs_weights = False

    def __init__(self, network: str) -> None:
        self.name = network

    def networks(self):
        return (self.name,)

    def layers(self, network):
        return LAYERS

    def every_layer(self, network):
        return LAYERS

    def fingerprint(self, network, weights):
        return f"planted-{network}"

    def open(self, network, weights):
        return PlantedBackbone(network)


def planted_subject(name: str, *, seed: int, noise: float = 1.0, signal: float = 1.0, n: int = N_STIMULI) -> Subject:
    """ROIs A to D are driven by a layer each, E by nothing, ``early`` is A and C together, and two vertices are in no ROI."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n + 10, 4, 4, 3), dtype=np.uint8)
    drive = (pixels.reshape(n + 10, -1) / 255 - 0.5).astype(np.float32)
    rois = {roi: np.arange(PER_ROI * at, PER_ROI * (at + 1)) for at, roi in enumerate((*PLANTED, "E"))}
    rois |= {"early": np.concatenate([rois["A"], rois["C"]]), "empty": np.zeros(0, int)}
    responses = {}
    for hemi in ("lh", "rh"):
        Y = noise * rng.normal(size=(n, PER_ROI * 5 + 2))
        for roi, (network, layer_name) in PLANTED.items():
            X = activations(drive[:n], network, layer_name)
            Y[:, rois[roi]] += signal * (X - X.mean(0)) @ rng.normal(size=(N_FEATURES, PER_ROI))
        responses[hemi] = Y.astype(np.float32)
    return Subject(
        dataset="planted",
        name=name,
        stimuli=TinyStimuli(pixels[:n]),
        unlabelled=TinyStimuli(pixels[n:]),
        responses=responses,
        fingerprints={hemi: f"{name}-{hemi}-{hash(Y.tobytes())}" for hemi, Y in responses.items()},
        rois=dict.fromkeys(responses, rois),
        groups=np.arange(n),
        simulated=True,
        vertices={hemi: np.arange(Y.shape[1]) * 200 for hemi, Y in responses.items()},
        ceiling={hemi: np.full(Y.shape[1], 0.8) for hemi, Y in responses.items()},
    )


class PlantedDataset(Dataset):
    name, title, about, simulated = "planted", "Planted", "Layers planted per ROI.", True

    def __init__(self, subjects: dict[str, Subject]) -> None:
        self._subjects = subjects

    def subjects(self):
        return tuple(self._subjects)

    def roi_names(self):
        return {"planted": (*PLANTED, "E", "early", "empty")}

    def open(self, subject, store, report=lambda fraction, text: None):
        return self._subjects[subject]


def register_planted(monkeypatch, subjects: dict[str, Subject]) -> PlantedDataset:
    """Register the data set and both networks until ``monkeypatch`` is undone."""
    list(DATASETS), list(BACKBONES)
    dataset = PlantedDataset(subjects)
    monkeypatch.setitem(DATASETS._members, "planted", dataset)
    for network in ("netone", "nettwo"):
        monkeypatch.setitem(BACKBONES.sources._members, network, PlantedSource(network))
    return dataset


BASE = FitSpec(dataset="planted", subject="subj01", n_components=0, readout="ols", split="holdout:0.75:5")
GRID = Experiment(base=BASE, vary={"backbone": ["netone", "nettwo"], "layers": "curated"})


def grid(**base: object) -> Experiment:
    """The grid with some settings of its base changed."""
    return replace(GRID, base=replace(GRID.base, **base))
