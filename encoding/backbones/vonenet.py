"""VOneNets: networks behind a fixed model of primary visual cortex.

Dapello, Marques, Schrimpf, Geiger, Cox & DiCarlo (2020), Simulating a primary visual cortex at the front of CNNs improves
robustness to image perturbations, NeurIPS 33. A fixed bank of Gabor filters (:mod:`encoding.backbones._vone`) takes the
place of a network's first layers; a 1 x 1 convolution, the bottleneck, brings its 512 channels to the network's 64.

The published model answers each image with fresh noise. Features must be the same whenever they are computed, so noise
is off; ``vonenet/resnet50:noise=<seed>`` adds one fixed draw of it, the same for every image.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from encoding.backbones._base import SOURCES, Source, WeightsFile, seeded
from encoding.backbones._checkpoints import fill, read_tensors, weights_fingerprint
from encoding.backbones._modules import ModuleBackbone, Preparation, find_layers
from encoding.backbones._parameters import number, read_parameters
from encoding.backbones._published import Published
from encoding.backbones._weights import PRETRAINED, seed_of
from encoding.storage.keys import digest

if TYPE_CHECKING:
    import torch
    from torch import nn

VONENET_VERSION = 1

PREFIX = "vonenet/"
ADDRESS = "https://vonenet-models.s3.us-east-2.amazonaws.com"
LICENCE = "none stated for the weights; the authors' code is GPL-3.0 or later; trained on ImageNet-1k"
PREPARATION = Preparation(256, 224, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
N_BOTTLENECK = 64  # channels
FRONT = ("vone.simple", "vone.complex", "vone", "bottleneck")
RESNET_BLOCKS = tuple(f"layer{stage}.{block}" for stage, n in enumerate((3, 4, 6, 3), 1) for block in range(n))


@dataclass(frozen=True)
class VOneNet:
    """A VOneNet: a VOneBlock in front of a ResNet-50 or AlexNet.

    Attributes
    ----------
    behind : the network after the bottleneck, ``resnet50`` or ``alexnet``.
    layers : the curated ones, early to late.
    noise : seed of the fixed noise; None for none.
    """

    behind: str
    layers: tuple[str, ...]
    noise: int | None = None

    @property
    def name(self) -> str:
        """Name as a backbone."""
        return PREFIX + self.behind

    @property
    def weights(self) -> Published:
        """Where its pretrained weights are published."""
        return Published(self.name, "", "", (f"{ADDRESS}/vone{self.behind}_e70.pth.tar",), LICENCE)

    def build(self) -> nn.Module:
        """Build the network with filters and weights from torch's random numbers, in evaluation mode."""
        from torch import nn

        from encoding.backbones._vone import VOneBlock

        vone = VOneBlock(self.noise)
        bottleneck = nn.Conv2d(vone.n_channels, N_BOTTLENECK, 1, bias=False)
        nn.init.kaiming_normal_(bottleneck.weight, mode="fan_out", nonlinearity="relu")
        parts = OrderedDict(vone=vone, bottleneck=bottleneck) | BEHIND[self.behind]()
        return nn.Sequential(parts).eval().requires_grad_(False)


def resnet50() -> OrderedDict[str, nn.Module]:
    """torchvision's ResNet50 without its first convolution, batch norm, ReLU and pooling."""
    from torch import nn
    from torchvision import models

    whole = dict(models.resnet50(weights=None).named_children())
    parts = OrderedDict((name, whole[name]) for name in ("layer1", "layer2", "layer3", "layer4", "avgpool"))
    return parts | OrderedDict(flatten=nn.Flatten(), fc=whole["fc"])


def alexnet() -> OrderedDict[str, nn.Module]:
    """AlexNet from its second convolution on, as published: that one has stride 2, in place of the pooling before it.

    The last pooling pads by one, so 7 x 7 places reach the classifier, where torchvision's AlexNet has 6 x 6.
    """
    from torch import nn

    features = nn.Sequential(
        nn.Conv2d(N_BOTTLENECK, 192, 5, stride=2, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
    hidden, side = 4096, 7
    into = [nn.Dropout(), nn.Linear(256 * side**2, hidden), nn.ReLU(inplace=True)]
    classifier = nn.Sequential(*into, nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 1000))
    return OrderedDict(features=features, avgpool=nn.AdaptiveAvgPool2d(side), flatten=nn.Flatten(), classifier=classifier)


BEHIND = {"resnet50": resnet50, "alexnet": alexnet}
ALEXNET_LAYERS = ("features.1", "features.4", "features.6", "features.8", "features.9", "classifier.2", "classifier.5", "classifier.6")
NETWORKS = {
    PREFIX + "resnet50": VOneNet("resnet50", (*FRONT, *RESNET_BLOCKS, "avgpool", "fc")),
    PREFIX + "alexnet": VOneNet("alexnet", (*FRONT, *ALEXNET_LAYERS)),
}


def own_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename a published file's tensors to this network's names; its own names stay.

    Published files hold the filters that they were trained with, and odd ones for the simple cells too, which nothing uses.
    """
    from encoding.backbones._vone import N_COMPLEX, N_SIMPLE

    own = {}
    for name, tensor in tensors.items():
        name = (
            name.removeprefix("model.")
            .replace("vone_block.simple_conv_q0.", "vone.even.")
            .replace("vone_block.simple_conv_q1.", "vone.odd.")
        )
        own[name] = tensor[N_SIMPLE:] if name == "vone.odd.weight" and len(tensor) == N_SIMPLE + N_COMPLEX else tensor
    return own


@cache
def calls(network: str) -> Mapping[str, int]:
    """Every layer of a network in forward order, with its number of calls; nothing is computed."""
    return find_layers(lambda: about(network).build().to("meta"), PREPARATION.crop)  # its filters are drawn in any case


def about(network: str) -> VOneNet:
    """The network of a name and its parameters; ValueError where they are not understood."""
    return replace(NETWORKS[network.partition(":")[0]], **read_parameters(network, {"noise": number(0, 2**31 - 1)}))


class VOneNets(Source):
    """VOneNets, each in front of one network."""

    name = PREFIX.rstrip("/")

    def networks(self) -> tuple[str, ...]:
        return tuple(NETWORKS)

    def has(self, network: str) -> bool:
        return network.partition(":")[0] in NETWORKS and not self.why_not(network)

    def why_not(self, network: str) -> str:
        if network.partition(":")[0] in NETWORKS:
            try:
                about(network)
            except ValueError as error:
                return str(error)
        return ""

    def layers(self, network: str) -> tuple[str, ...]:
        return about(network).layers

    def every_layer(self, network: str) -> tuple[str, ...]:
        return tuple(calls(network))

    def weights_file(self, network: str) -> WeightsFile | None:
        return about(network).weights.weights_file()

    def is_ready(self, network: str, weights: str) -> bool:
        return about(network).weights.is_ready(weights)

    def preparation(self, network: str) -> Preparation:
        return PREPARATION

    def fingerprint(self, network: str, weights: str) -> str:
        """Digest of architecture, weight bytes, preprocessing and noise. Downloads ``pretrained`` weights if need be."""
        net, seed = about(network), seed_of(weights)
        learnt = f"random:{seed}" if seed is not None else weights_fingerprint(net.weights.find(weights), own=weights != PRETRAINED)
        return digest("backbone", VONENET_VERSION, network=net.name, weights=learnt, preprocessing=PREPARATION.named(), noise=net.noise)

    def open(self, network: str, weights: str) -> ModuleBackbone:
        net, seed = about(network), seed_of(weights)
        fingerprint = self.fingerprint(network, weights)
        built, unfilled = seeded(net.build, seed or 0), ()
        if seed is None:
            path = net.weights.find(weights)
            unfilled = fill(built, own_tensors(read_tensors(path)), path, network, calls(network))
            if self.fingerprint(network, weights) != fingerprint:
                raise ValueError(f"{path} changed while it was read. Wait until it is whole, then try again.")
        return ModuleBackbone(network, built, fingerprint, PREPARATION, calls(network), net.build, unfilled)


SOURCES.register(VOneNets.name, VOneNets())
