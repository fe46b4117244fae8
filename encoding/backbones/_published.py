"""Networks whose library publishes their weights, on the Hugging Face hub or at an address of its own."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from encoding.backbones._base import NoWeights, Source, WeightsFile, seeded
from encoding.backbones._checkpoints import fill, read_tensors, weights_fingerprint
from encoding.backbones._modules import ModuleBackbone, Preparation, find_layers
from encoding.backbones._weights import PRETRAINED, WITHOUT, checkpoints, find_weights, seed_of
from encoding.storage.download import fetch, reason_of
from encoding.storage.keys import digest

if TYPE_CHECKING:
    import torch
    from torch import nn

HUB = "https://huggingface.co"
NOT_FOUND = 404


@cache
def table_rows(path: Path) -> tuple[Mapping[str, str], ...]:
    """Read the rows of a library's table of networks, each a mapping from column to text."""
    with path.open(newline="") as file:
        return tuple(csv.DictReader(file))


@dataclass(frozen=True)
class Published:
    """Locations of the pretrained weights of one network, as its library publishes them.

    Attributes
    ----------
    stem : the file's name beside torch.hub's own downloads, without its ending.
    repository : on the Hugging Face hub, such as ``timm/resnet18.a1_in1k``; empty where there is none.
    files : in that repository, or whole URLs; the first that exists is used, as in the library itself.
    licence : as the library states it.
    """

    network: str
    stem: str
    repository: str
    files: tuple[str, ...]
    licence: str

    def weights_file(self) -> WeightsFile | None:
        """The file on this machine, or else the first that would be downloaded; None where none are published. Downloads nothing."""
        choices = list(self._choices())
        here = self._here()
        path, address = here or (choices[0] if choices else (None, ""))
        return WeightsFile(self.network, path, address, self.licence) if path else None

    def is_ready(self, weights: str) -> bool:
        """Whether :meth:`find` would download nothing."""
        return weights != PRETRAINED or not self.files or self._here() is not None

    def find(self, weights: str) -> Path:
        """Path of the ``pretrained`` weights, downloaded where they are missing, or of the file that ``weights`` names.

        Raises
        ------
        NoWeights where the file does not exist and cannot be downloaded.
        """
        if weights != PRETRAINED:
            return find_weights(self.network, weights, "")
        if here := self._here():
            return here[0]
        reason = "none are published"
        for path, address in self._choices():
            try:
                return fetch(address, path)
            except OSError as error:
                reason = reason_of(error)
                if getattr(getattr(error, "response", None), "status_code", None) != NOT_FOUND:
                    break
        raise NoWeights(self._how_to_get(reason))

    def _how_to_get(self, reason: str) -> str:
        choices = [f"{address} elsewhere and save it as {path}" for path, address in self._choices()]
        hand = f"Download {', or '.join(choices)}. " if choices else ""
        missing = "are not on this machine and could not be downloaded" if choices else "cannot be had"
        return f"The pretrained weights of {self.network} {missing} ({reason}). {hand}{WITHOUT}"

    def _choices(self) -> Iterator[tuple[Path, str]]:
        """Path of each file after a download (also by hand), and its URL. A whole URL keeps its file name."""
        for file in self.files:
            own = "://" in file
            name = PurePosixPath(file).name if own else self.stem + PurePosixPath(file).suffix
            yield checkpoints() / name, file if own else f"{HUB}/{self.repository}/resolve/main/{file}"

    def _here(self) -> tuple[Path, str] | None:
        """The file on this machine and its address: one put here by hand first, then the hub's own cache."""
        choices = list(self._choices())
        cached = [(_in_hub_cache(self.repository, file), address) for file, (_, address) in zip(self.files, choices, strict=True)]
        return next(((path, address) for path, address in [*choices, *cached] if path is not None and path.is_file()), None)


def _in_hub_cache(repository: str, file: str) -> Path | None:
    """The file in the cache of huggingface_hub, where timm, open_clip and others keep theirs; sends no request."""
    if not repository or "://" in file:
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repository, file)
    return Path(cached) if isinstance(cached, str) else None


@dataclass(frozen=True)
class PublishedNetwork(ABC):
    """Name, weights and preprocessing of a network, known before it is built.

    Attributes
    ----------
    full_name : ``source/network``, with the tag of its weights where it has one.
    published : where its weights are.
    preparation : how images are cropped, resized and normalised.
    """

    full_name: str
    published: Published
    preparation: Preparation

    @abstractmethod
    def build(self) -> nn.Module:
        """Build the network with its library's initial weights, in evaluation mode."""

    def load(
        self, built: nn.Module, tensors: dict[str, torch.Tensor], path: Path, calls: Mapping[str, int] | None = None
    ) -> tuple[str, ...]:
        """Fill the built network from a file's tensors (:func:`encoding.backbones._checkpoints.fill`); ValueError where they do not fit."""
        return fill(built, tensors, path, self.full_name, calls)


class PublishedSource(Source):
    """A library of torch modules, each with weights that it publishes.

    Attributes
    ----------
    version : raised when this source would give other features for the same network and weights.
    """

    version: int

    @abstractmethod
    def about(self, network: str) -> PublishedNetwork:
        """The network of a name, listed or not; UnknownName where there is none."""

    def every_layer(self, network: str) -> tuple[str, ...]:
        return tuple(_calls(self.about(network)))

    def weights_file(self, network: str) -> WeightsFile | None:
        return self.about(network).published.weights_file()

    def preparation(self, network: str) -> Preparation:
        return self.about(network).preparation

    def is_ready(self, network: str, weights: str) -> bool:
        return self.about(network).published.is_ready(weights)

    def fingerprint(self, network: str, weights: str) -> str:
        """Digest of architecture, weight bytes and preprocessing. Downloads ``pretrained`` weights that are missing."""
        about, seed = self.about(network), seed_of(weights)
        learnt = f"random:{seed}" if seed is not None else weights_fingerprint(about.published.find(weights), own=weights != PRETRAINED)
        return digest("backbone", self.version, network=about.full_name, weights=learnt, preprocessing=about.preparation.named())

    def open(self, network: str, weights: str) -> ModuleBackbone:
        about, seed = self.about(network), seed_of(weights)
        fingerprint = self.fingerprint(network, weights)
        built, unfilled = seeded(about.build, seed or 0), ()
        if seed is None:
            path = about.published.find(weights)
            unfilled = about.load(built, read_tensors(path), path, _calls(about))
            if self.fingerprint(network, weights) != fingerprint:
                raise ValueError(f"{path} changed while it was read. Wait until it is whole, then try again.")
        return ModuleBackbone(network, built, fingerprint, about.preparation, _calls(about), about.build, unfilled)


@cache
def _calls(about: PublishedNetwork) -> Mapping[str, int]:
    """Every layer in forward order, with how often it is called in a forward pass; found without computing activations."""
    return find_layers(about.build, about.preparation.crop)
