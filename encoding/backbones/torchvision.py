"""Every classification network of torchvision, and the trunk of one detector, each with its own preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.backbones import _detection, _weights
from encoding.backbones._base import SOURCES, Source, WeightsFile, seeded
from encoding.backbones._checkpoints import fill, read_tensors, weights_fingerprint
from encoding.backbones._modules import ModuleBackbone, Preparation, find_layers
from encoding.backbones._published import table_rows
from encoding.backbones._weights import PRETRAINED, checkpoints, find_weights, hash_in_name, seed_of
from encoding.storage.keys import digest

if TYPE_CHECKING:
    from torch import nn

TORCHVISION_VERSION = 1

PREFIX = "torchvision/"
TABLE = Path(__file__).with_name("torchvision_networks.csv")
NO_LICENCE = "not stated by torchvision; trained on"
SWAG_LICENCE = "CC-BY-NC 4.0 (SWAG); trained on Instagram and ImageNet-1k"


@dataclass(frozen=True)
class Network:
    """A row of ``torchvision_networks.csv``: a network's weights, preprocessing and curated layers, without importing torchvision.

    Weights are torchvision's IMAGENET1K_V1, the ones that published encoding results mean, or its default where
    there are no such; V2 weights of the same networks were trained and are preprocessed differently.

    Attributes
    ----------
    weights : file name of the pretrained weights.
    megabytes : of that file, of 2**20 bytes, to the kilobyte, as torchvision states it.
    layers : the curated ones, early to late. Outputs after ReLU or pooling, where published results are read.
    """

    name: str
    weights: str
    megabytes: float
    preparation: Preparation
    layers: tuple[str, ...]

    @property
    def licence(self) -> str:
        """Licence of the pretrained weights, as far as it is stated."""
        return SWAG_LICENCE if "_swag-" in self.weights else f"{NO_LICENCE} ImageNet-1k"

    def build(self) -> nn.Module:
        """Build the network with torchvision's initial weights, in evaluation mode, without auxiliary classifiers."""
        from torchvision.models import get_model

        options: dict[str, Any] = {}
        if self.name in ("googlenet", "inception_v3"):  # their published weights expect inputs scaled as in TensorFlow
            options = {"aux_logits": False, "transform_input": True, "init_weights": True}
        if self.name.startswith("vit_"):  # as many position embeddings as the image has patches
            options = {"image_size": self.preparation.crop}
        return get_model(self.name, weights=None, **options).eval().requires_grad_(False)

    def load(self, built: nn.Module, path: Path, calls: Mapping[str, int]) -> tuple[str, ...]:
        """Fill a built network from a file (:func:`encoding.backbones._checkpoints.fill`); ValueError where it does not fit."""
        return fill(built, read_tensors(path), path, PREFIX + self.name, calls)


class Detector(Network):
    """RetinaNet's trunk, which is no classifier: it is built and filled in a way of its own (:mod:`encoding.backbones._detection`).

    The image's central square is resized to 256 pixels and normalised as the detector normalises.
    """

    licence = f"{NO_LICENCE} COCO 2017"

    def build(self) -> nn.Module:
        return _detection.retinanet()

    def load(self, built: nn.Module, path: Path, calls: Mapping[str, int]) -> tuple[str, ...]:
        return _detection.load(built, path, PREFIX + self.name, calls)


RETINANET = Detector(
    name="retinanet_resnet50_fpn",
    weights=_detection.PUBLISHED,
    megabytes=130.267,
    preparation=Preparation(_detection.SIZE, _detection.SIZE, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    layers=_detection.LAYERS,
)


@cache
def networks() -> Mapping[str, Network]:
    """Full names, such as ``torchvision/alexnet``, to what is known of them: the table's rows, then the detector."""
    return {PREFIX + network.name: network for network in [*map(_network, table_rows(TABLE)), RETINANET]}


def _network(row: Mapping[str, str]) -> Network:
    return Network(row["name"], row["weights"], float(row["megabytes"]), Preparation.of(row), tuple(row["layers"].split()))


@cache
def calls(network: str) -> Mapping[str, int]:
    """Every layer of a network in forward order, with its number of calls; nothing is computed."""
    about = networks()[network]
    return find_layers(about.build, about.preparation.crop)


class Torchvision(Source):
    """Every classifier of torchvision, and RetinaNet's trunk."""

    name = PREFIX.rstrip("/")

    def networks(self) -> tuple[str, ...]:
        return tuple(networks())

    def layers(self, network: str) -> tuple[str, ...]:
        return networks()[network].layers

    def every_layer(self, network: str) -> tuple[str, ...]:
        return tuple(calls(network))

    def weights_file(self, network: str) -> WeightsFile:
        about = networks()[network]
        return WeightsFile(
            network=network,
            path=checkpoints() / about.weights,
            address=f"{_weights.ADDRESS}/{about.weights}",
            licence=about.licence,
            n_bytes=round(about.megabytes * 2**20),
            sha256=hash_in_name(about.weights),
        )

    def preparation(self, network: str) -> Preparation:
        return networks()[network].preparation

    def is_ready(self, network: str, weights: str) -> bool:
        return weights != PRETRAINED or (checkpoints() / networks()[network].weights).is_file()

    def fingerprint(self, network: str, weights: str) -> str:
        """Digest of architecture, weight bytes and preprocessing. Downloads ``pretrained`` weights if need be."""
        about, seed = networks()[network], seed_of(weights)
        learnt = (
            f"random:{seed}"
            if seed is not None
            else weights_fingerprint(find_weights(network, weights, about.weights), own=weights != PRETRAINED)
        )
        preprocessing = about.preparation.named()[:-1]  # without ``squash``, which no network of torchvision does
        return digest("backbone", TORCHVISION_VERSION, network=network, weights=learnt, preprocessing=preprocessing)

    def open(self, network: str, weights: str) -> ModuleBackbone:
        about, seed = networks()[network], seed_of(weights)
        fingerprint = self.fingerprint(network, weights)
        built, unfilled = seeded(about.build, seed or 0), ()
        if seed is None:
            path = find_weights(network, weights, about.weights)
            unfilled = about.load(built, path, calls(network))
            if self.fingerprint(network, weights) != fingerprint:
                raise ValueError(f"{path} changed while it was read. Wait until it is whole, then try again.")
        return ModuleBackbone(network, built, fingerprint, about.preparation, calls(network), about.build, unfilled)


SOURCES.register(Torchvision.name, Torchvision())
