"""What every source of networks offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from encoding.runtime.registry import Registry, UnknownName, unknown

if TYPE_CHECKING:
    import torch


class UnknownLayer(LookupError):
    """The backbone has no such layer. The message holds the nearest one."""


class NoWeights(FileNotFoundError):
    """Weights are not on this machine. The message names the file, where to put it and what works without it."""


class NotInstalled(ImportError):
    """A library that one source needs, and nothing else, is not there. The message says how to install it."""


class Backbone(ABC):
    """An opened network: images in, activations of any of its layers out.

    Attributes
    ----------
    fingerprint : names architecture, weight bytes and preprocessing; equal fingerprints give equal features.
    """

    fingerprint: str

    @abstractmethod
    def prepare(self, image: Image.Image) -> torch.Tensor:
        """One RGB image -> (3, height, width) float32, resized and normalised as this network expects. Thread-safe."""

    @abstractmethod
    def activations(self, batch: torch.Tensor, layers: Sequence[str], pool: str = "none") -> dict[str, torch.Tensor]:
        """(b, 3, height, width) -> per layer (b, n_features) float32 on the same device, all from one forward pass.

        ``pool`` says what is kept of a layer's places: :func:`encoding.backbones._pooling.pooled`.

        Raises
        ------
        UnknownLayer, ValueError where a layer cannot be pooled so.
        """

    @abstractmethod
    def to(self, device: str) -> Backbone:
        """The same backbone on ``cpu`` or ``cuda``."""


@dataclass(frozen=True)
class WeightsFile:
    """The pretrained weights of a network.

    Attributes
    ----------
    path : where they are, or would be put; by hand, too.
    address : where they would be fetched from.
    n_bytes : size of the file; None where it is not known before it is fetched.
    licence : as its publisher states it, in a few words.
    sha256 : the hash of its bytes, or its first digits; empty where none is published.
    """

    network: str
    path: Path
    address: str
    licence: str
    n_bytes: int | None = None
    sha256: str = ""

    @property
    def is_here(self) -> bool:
        return self.path.is_file()


class Source(ABC):
    """One place that networks come from, known before any of them is built. Listing imports no torch.

    Attributes
    ----------
    name : what stands before the slash in a backbone's name; a source of one network has no slash. A colon begins
        parameters, in the names of networks that have some: ``gabor:orientations=4``.
    needs_weights : false where nothing is learned, so that weights are ignored.
    """

    name: str
    needs_weights: bool = True

    @abstractmethod
    def networks(self) -> tuple[str, ...]:
        """Full names of its networks, such as ``torchvision/alexnet``."""

    @abstractmethod
    def layers(self, network: str) -> tuple[str, ...]:
        """The curated layers of a network, early to late, known without building it; may be empty."""

    @abstractmethod
    def every_layer(self, network: str) -> tuple[str, ...]:
        """Every layer that can be asked for, in forward order. May build the network (without weights)."""

    @abstractmethod
    def fingerprint(self, network: str, weights: str) -> str:
        """The fingerprint that :meth:`open` would give, without building anything. May download ``pretrained`` weights.

        Raises
        ------
        NoWeights where the bytes are not here to be named and cannot be had.
        """

    @abstractmethod
    def open(self, network: str, weights: str) -> Backbone:
        """Build the network with ``pretrained``, ``random:<seed>`` or a file's weights, ready to evaluate.

        Raises
        ------
        NoWeights, ValueError where the file's tensors do not fit the network.
        """

    def has(self, network: str) -> bool:
        """Whether :meth:`open` takes this name; a source may take more than it lists."""
        return network in self.networks()

    def why_not(self, network: str) -> str:
        """What is wrong with a name that :meth:`has` refuses; empty where there is no more to say than that it is unknown."""
        return ""

    def weights_file(self, network: str) -> WeightsFile | None:
        """What ``pretrained`` weights would be fetched or are here; None where nothing is learned. Fetches nothing."""
        return None

    def is_ready(self, network: str, weights: str) -> bool:
        """Whether :meth:`fingerprint` and :meth:`open` would download nothing, so that a page may call them."""
        return True

    def check_layers(self, network: str, layers: Sequence[str]) -> None:
        """UnknownLayer where one does not exist. Curated names pass without building anything."""
        if set(layers) <= set(self.layers(network)):
            return
        known = self.every_layer(network)
        for layer in layers:
            if layer not in known:
                raise UnknownLayer(unknown(f"layer of {network}", layer, dict.fromkeys([*self.layers(network), *known])))


class Backbones(Mapping[str, Source]):
    """Full network names to the source that builds them, over every source in this folder."""

    def __init__(self, sources: Registry[Source]) -> None:
        self.sources = sources

    def __iter__(self) -> Iterator[str]:
        return (network for source in self.sources.values() for network in source.networks())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Source:
        source = self._source(name)
        if source is not None and source.has(name):
            return source
        raise UnknownName((source.why_not(name) if source else "") or unknown("backbone", name, self))

    def __contains__(self, name: object) -> bool:
        source = self._source(str(name))
        return source is not None and source.has(str(name))

    def _source(self, name: str) -> Source | None:
        """The source that a name belongs to: what stands before the slash, and before the parameters of a source of one network."""
        source = name.partition("/")[0].partition(":")[0]
        return next((self.sources[found] for found in self.sources if found == source), None)


SOURCES: Registry[Source] = Registry("source of networks", "encoding.backbones", group="encoding_explorer.backbones")
BACKBONES = Backbones(SOURCES)
