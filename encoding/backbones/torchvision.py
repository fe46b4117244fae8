"""Every classification network of torchvision, with its own preprocessing."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from encoding.backbones._base import SOURCES, Backbone, Source, UnknownLayer
from encoding.backbones._hooks import capture, trace
from encoding.backbones._weights import PRETRAINED, checkpoints, fill, find_weights, read_tensors, seed_of, weights_fingerprint
from encoding.registry import unknown
from encoding.spec import digest

if TYPE_CHECKING:
    import torch
    from torch import nn

TORCHVISION_VERSION = 1

PREFIX = "torchvision/"
TABLE = Path(__file__).with_name("torchvision_networks.csv")
N_TRACED = 3  # images in the batch that finds a network's layers


@dataclass(frozen=True)
class Network:
    """A row of ``torchvision_networks.csv``: what must be known of a network before torchvision is imported.

    Weights are torchvision's IMAGENET1K_V1, the ones that published encoding results mean, or its default where
    there are no such; V2 weights of the same networks were trained and are preprocessed differently.

    Attributes
    ----------
    weights : file name of the pretrained weights.
    resize, crop : pixels of the shorter side after resizing, and of the central square that is kept.
    interpolation : ``bilinear`` or ``bicubic``.
    mean, std : of red, green, blue (0 … 1), taken off and divided by.
    layers : the curated ones, early to late. Outputs after ReLU or pooling, where published results are read.
    """

    name: str
    weights: str
    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layers: tuple[str, ...]

    def prepare(self, image: Image.Image) -> np.ndarray:
        """One RGB image -> (3, crop, crop) float32, equal to torchvision's own transform."""
        width, height = image.size
        short = min(width, height)
        width, height = self.resize * width // short, self.resize * height // short
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling[self.interpolation.upper()])
        left, top = round((width - self.crop) / 2), round((height - self.crop) / 2)
        image = image.crop((left, top, left + self.crop, top + self.crop))
        pixels = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1), np.float32)
        mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (self.mean, self.std))
        pixels /= 255
        pixels -= mean
        pixels /= std
        return pixels

    def preprocessing(self) -> list[Any]:
        """What of the preparation enters the fingerprint."""
        return [self.resize, self.crop, self.interpolation, self.mean, self.std]

    def build(self) -> nn.Module:
        """The network with torchvision's initial weights, ready to evaluate, without classifiers used only in training."""
        from torchvision.models import get_model

        options: dict[str, Any] = {}
        if self.name in ("googlenet", "inception_v3"):  # their published weights expect inputs scaled as in TensorFlow
            options = {"aux_logits": False, "transform_input": True, "init_weights": True}
        if self.name.startswith("vit_"):  # as many position embeddings as the image has patches
            options = {"image_size": self.crop}
        return get_model(self.name, weights=None, **options).eval().requires_grad_(False)


@cache
def networks() -> Mapping[str, Network]:
    """Full names, such as ``torchvision/alexnet``, to what the table says of them."""
    with TABLE.open(newline="") as file:
        return {PREFIX + row["name"]: _network(row) for row in csv.DictReader(file)}


def _network(row: Mapping[str, str]) -> Network:
    sizes = {name: int(row[name]) for name in ("resize", "crop")}
    colours = {name: tuple(float(value) for value in row[name].split()) for name in ("mean", "std")}
    return Network(
        name=row["name"],
        weights=row["weights"],
        interpolation=row["interpolation"],
        layers=tuple(row["layers"].split()),
        **sizes,
        **colours,
    )


@cache
def calls(network: str) -> Mapping[str, int]:
    """Every layer of a network in forward order, with how often it is called (:func:`trace`); nothing is computed."""
    import torch

    about = networks()[network]
    try:
        with torch.device("meta"):
            built = about.build()
    except NotImplementedError:  # RegNet computes its widths with tensors
        built = _seeded(about.build, 0).to("meta")
    return trace(built, torch.empty(N_TRACED, 3, about.crop, about.crop, device="meta"))


def _seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """What ``build`` makes when torch's random numbers start at ``seed``; the caller's own go on undisturbed."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.random.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs too
        return build()


class TorchvisionBackbone(Backbone):
    """A network of torchvision. See :func:`encoding.backbones._hooks.capture` for what exactly a layer gives."""

    def __init__(self, name: str, network: nn.Module, fingerprint: str) -> None:
        self.name, self.network, self.fingerprint = name, network, fingerprint

    def prepare(self, image: Image.Image) -> torch.Tensor:
        import torch

        return torch.from_numpy(networks()[self.name].prepare(image))

    def activations(self, batch: torch.Tensor, layers: Sequence[str], pool: str = "none") -> dict[str, torch.Tensor]:
        known = calls(self.name)
        for layer in layers:
            if layer not in known:
                raise UnknownLayer(unknown(f"layer of {self.name}", layer, known))
        return capture(self.network, batch, known, layers, pool)

    def to(self, device: str) -> TorchvisionBackbone:
        self.network.to(device)
        return self


class Torchvision(Source):
    name = PREFIX.rstrip("/")

    def networks(self) -> tuple[str, ...]:
        return tuple(networks())

    def layers(self, network: str) -> tuple[str, ...]:
        return networks()[network].layers

    def every_layer(self, network: str) -> tuple[str, ...]:
        return tuple(calls(network))

    def is_ready(self, network: str, weights: str) -> bool:
        return weights != PRETRAINED or (checkpoints() / networks()[network].weights).is_file()

    def fingerprint(self, network: str, weights: str) -> str:
        """Names the architecture, the bytes of the weights and the preprocessing. Downloads ``pretrained`` weights if need be."""
        about, seed = networks()[network], seed_of(weights)
        learnt = f"random:{seed}" if seed is not None else weights_fingerprint(find_weights(network, weights, about.weights))
        return digest("backbone", TORCHVISION_VERSION, network=network, weights=learnt, preprocessing=about.preprocessing())

    def open(self, network: str, weights: str) -> TorchvisionBackbone:
        about, seed = networks()[network], seed_of(weights)
        fingerprint = self.fingerprint(network, weights)
        built = _seeded(about.build, seed or 0)
        if seed is None:
            path = find_weights(network, weights, about.weights)
            fill(built, read_tensors(path), path, network)
            if self.fingerprint(network, weights) != fingerprint:
                raise ValueError(f"{path} changed while it was read. Wait until it is whole, then try again.")
        return TorchvisionBackbone(network, built, fingerprint)


SOURCES.register(Torchvision.name, Torchvision())
