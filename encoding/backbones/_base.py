"""Interfaces of backbones (opened networks) and of the sources that they come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from encoding.runtime import random_state
from encoding.runtime.registry import Registry, UnknownName, unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

    from encoding.backbones._modules import Preparation


JOIN = " + "  # between the networks of a backbone of several


class UnknownLayer(LookupError):
    """A layer that the backbone does not have. The message names the nearest one."""


class NoWeights(FileNotFoundError):
    """Pretrained weights that are not on this machine and cannot be had. The message says where to put them by hand."""


class BadWeights(ValueError):
    """A weights file that is none, is damaged or belongs to another network. The message names it and says what to do."""


class NotInstalled(ImportError):
    """An optional library that a source needs and that is not installed. The message says how to install it."""


class Backbone(ABC):
    """An opened network: images in, activations of any of its layers out.

    Attributes
    ----------
    fingerprint : digest of architecture, weight bytes and preprocessing; equal fingerprints give equal features.
    """

    fingerprint: str

    @abstractmethod
    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Resize and normalise one RGB image as this network expects: (3, height, width) float32. Thread-safe."""

    @abstractmethod
    def activations(self, batch: torch.Tensor, layers: Sequence[str], pool: str = "none") -> dict[str, torch.Tensor]:
        """Compute the activations of several layers in one forward pass.

        Parameters
        ----------
        batch : (b, 3, height, width) float32, prepared images.
        layers : names of layers.
        pool : pooling over the places of each layer (:data:`encoding.backbones._pooling.POOLS`).

        Returns
        -------
        Layer to (b, n_features) float32, on the device of ``batch``.

        Raises
        ------
        UnknownLayer, ValueError where a layer cannot be pooled so.
        """

    def visit(self, batch: torch.Tensor, layers: Sequence[str], pool: str, use: Callable[[str, torch.Tensor], None]) -> None:
        """Call ``use(layer, features)`` for the activations of each layer; the arguments are those of :meth:`activations`.

        A network that gives a layer's features before it computes the next frees them in between, so that a pass over many large layers
        holds one of them at a time.
        """
        for layer, features in self.activations(batch, layers, pool).items():
            use(layer, features)

    @abstractmethod
    def to(self, device: str) -> Backbone:
        """Move the backbone to ``cpu`` or ``cuda``, and return it."""

    def for_passes(self, device: str) -> Backbone:
        """Move the backbone to a device for forward passes alone, in the memory layout in which they are fastest, and return it."""
        return self.to(device)


@dataclass(frozen=True)
class WeightsFile:
    """The pretrained weights of a network.

    Attributes
    ----------
    path : of the file, present or not; a file put there by hand is used.
    address : URL of the download.
    n_bytes : size of the file; None where it is not published.
    licence : as the publisher states it.
    sha256 : hash of the bytes, or its first digits; empty where none is published.
    """

    network: str
    path: Path
    address: str
    licence: str
    n_bytes: int | None = None
    sha256: str = ""

    @property
    def is_here(self) -> bool:
        """Whether the file is on this machine."""
        return self.path.is_file()


class Source(ABC):
    """A library or family of networks. Listing imports no torch and builds nothing.

    Attributes
    ----------
    name : the part of a backbone's name before the slash; a source of one network has no slash. Parameters of a network
        follow a colon: ``gabor:orientations=4``.
    needs_weights : false where nothing is learned; ``weights`` are then ignored.
    """

    name: str
    needs_weights: bool = True

    @abstractmethod
    def networks(self) -> tuple[str, ...]:
        """Full names of its networks, such as ``torchvision/alexnet``."""

    @abstractmethod
    def layers(self, network: str) -> tuple[str, ...]:
        """The curated layers of a network, early to late, without building it; may be empty."""

    @abstractmethod
    def every_layer(self, network: str) -> tuple[str, ...]:
        """Every available layer, in forward order. May build the network (without weights)."""

    @abstractmethod
    def fingerprint(self, network: str, weights: str) -> str:
        """The fingerprint of the network that :meth:`open` gives, without building it. May download ``pretrained`` weights.

        Raises
        ------
        NoWeights where the weights are not on this machine and cannot be had.
        """

    @abstractmethod
    def open(self, network: str, weights: str) -> Backbone:
        """Build the network with ``pretrained`` weights, ``random:<seed>`` ones or those of a file, in evaluation mode.

        Raises
        ------
        NoWeights, ValueError where the file's tensors do not fit the network.
        """

    def has(self, network: str) -> bool:
        """Whether :meth:`open` accepts this name; a source may accept more than it lists."""
        return network in self.networks()

    def why_not(self, network: str) -> str:
        """The reason why :meth:`has` refuses a name; empty where it is simply unknown."""
        return ""

    def weights_file(self, network: str) -> WeightsFile | None:
        """The ``pretrained`` weights, present or not; None where nothing is learned. Downloads nothing."""
        return None

    def is_ready(self, network: str, weights: str) -> bool:
        """Whether :meth:`fingerprint` and :meth:`open` need no download."""
        return True

    def known_sizes(self, network: str, layers: Sequence[str]) -> Mapping[str, int] | None:
        """Number of features of each layer, where it is known without a pass through a network; None where it is not."""
        return None

    def preparation(self, network: str) -> Preparation | None:
        """The preprocessing that belongs to a network's weights; None where it is not one that a fit may change."""
        return None

    def check_layers(self, network: str, layers: Sequence[str]) -> None:
        """Raise UnknownLayer where one of ``layers`` does not exist. Curated names pass without building anything."""
        if set(layers) <= set(self.layers(network)):
            return
        known = self.every_layer(network)
        for layer in layers:
            if layer not in known:
                raise UnknownLayer(unknown(f"layer of {network}", layer, dict.fromkeys([*self.layers(network), *known])))


class Backbones(Mapping[str, Source]):
    """Mapping of full network names to the source that builds them, over all sources; ``A + B`` names several networks at once."""

    def __init__(self, sources: Registry[Source]) -> None:
        self.sources = sources

    def __iter__(self) -> Iterator[str]:
        return (network for source in self.sources.values() for network in source.networks())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Source:
        if JOIN in name:
            from encoding.backbones._joined import JoinedSource

            parts = name.split(JOIN)
            if len(set(parts)) < len(parts):
                raise UnknownName(f"{name} names a network twice. Give its layers one after another.")
            return JoinedSource({part: self[part] for part in parts})
        source = self._source(name)
        if source is not None and source.has(name):
            return source
        raise UnknownName((source.why_not(name) if source else "") or unknown("backbone", name, self))

    def __contains__(self, name: object) -> bool:
        parts = str(name).split(JOIN)
        if len(parts) > 1:
            return len(set(parts)) == len(parts) and all(part in self for part in parts)
        source = self._source(str(name))
        return source is not None and source.has(str(name))

    def _source(self, name: str) -> Source | None:
        """The source that a name belongs to: what stands before the slash, and before the parameters of a source of one network."""
        source = name.partition("/")[0].partition(":")[0]
        return next((self.sources[found] for found in self.sources if found == source), None)


SOURCES: Registry[Source] = Registry("source of networks", "encoding.backbones", group="encoding_explorer.backbones")
BACKBONES = Backbones(SOURCES)


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a network with torch's random numbers seeded by ``seed``; the caller's random state is left alone."""
    import torch

    with random_state.seeded(seed), torch.device("cpu"):
        return build()
