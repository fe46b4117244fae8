"""Preprocessing chosen for a fit in place of the one that belongs to a network's weights: crop, resize or pad, size, interpolation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from encoding.backbones._base import Source
from encoding.backbones._joined import JoinedSource
from encoding.backbones._modules import ModuleBackbone, Preparation, find_layers
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.keys import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encoding.backbones._base import WeightsFile

INPUTS = ("crop", "resize", "pad")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
SIZES = (16, 2048)  # pixels a side


@dataclass(frozen=True)
class Input:
    """How images enter a network.

    Attributes
    ----------
    kind : ``crop`` (the central square after the shorter side is resized, with the margin of the network's own preprocessing),
        ``resize`` (the whole image, its sides resized apart) or ``pad`` (the whole image in its own proportions, on black).
    size : pixels a side; None for the network's own.
    interpolation : one of :data:`INTERPOLATIONS`; None for the network's own.
    """

    kind: str
    size: int | None = None
    interpolation: str | None = None

    @classmethod
    def read(cls, text: str) -> Input | None:
        """Read ``resize``, ``resize:224`` or ``resize:224:bicubic``; None for an empty text, the network's own preprocessing.

        Raises
        ------
        UnknownName, ValueError where a part is none of those known.
        """
        if not text:
            return None
        kind, size, interpolation, *more = (*text.split(":"), "", "")
        if kind not in INPUTS:
            raise UnknownName(unknown("input", kind, INPUTS))
        if interpolation and interpolation not in INTERPOLATIONS:
            raise UnknownName(unknown("interpolation", interpolation, INTERPOLATIONS))
        if any(more) or (size and not (size.isdecimal() and SIZES[0] <= int(size) <= SIZES[1])):
            raise ValueError(
                f"An input is crop, resize or pad, then a size of {SIZES[0]} to {SIZES[1]} pixels and an interpolation where they are "
                f"not the network's own, such as resize:224 or resize:224:bicubic; not {text!r}."
            )
        return cls(kind, int(size) if size else None, interpolation or None)

    def of(self, own: Preparation) -> Preparation:
        """Change a network's own preprocessing; colours are normalised as before."""
        size, interpolation = self.size or own.crop, self.interpolation or own.interpolation
        if self.kind == "crop":  # the same share of the image as before
            margin = 1.0 if own.squash else own.resize / own.crop
            return replace(own, resize=max(size, round(size * margin)), crop=size, interpolation=interpolation, squash=False)
        kind = PaddedPreparation if self.kind == "pad" else Preparation
        return kind(size, size, interpolation, own.mean, own.std, squash=True)


class PaddedPreparation(Preparation):
    """Preprocessing that keeps the whole image in its proportions, in the middle of a black square."""

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Prepare one RGB image: (3, crop, crop) float32."""
        return super().__call__(ImageOps.pad(image, (self.crop, self.crop), Image.Resampling[self.interpolation.upper()]))


class PreparedSource(Source):
    """A source whose networks are given images in another way than their weights were trained with.

    Parameters
    ----------
    source : must give :class:`~encoding.backbones._modules.ModuleBackbone`.
    text : as :meth:`Input.read` reads it.
    """

    def __init__(self, source: Source, text: str) -> None:
        self.source, self.input, self.probe_name = source, Input.read(text), text
        self.name, self.needs_weights = source.name, source.needs_weights

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def networks(self) -> tuple[str, ...]:
        return self.source.networks()

    def layers(self, network: str) -> tuple[str, ...]:
        return self.source.layers(network)

    def every_layer(self, network: str) -> tuple[str, ...]:
        return self.source.every_layer(network)

    def has(self, network: str) -> bool:
        return self.source.has(network)

    def weights_file(self, network: str) -> WeightsFile | None:
        return self.source.weights_file(network)

    def is_ready(self, network: str, weights: str) -> bool:
        return self.source.is_ready(network, weights)

    def check_layers(self, network: str, layers: Sequence[str]) -> None:
        self.source.check_layers(network, layers)

    def preparation(self, network: str) -> Preparation:
        """The preprocessing of the fit.

        Raises
        ------
        ValueError where the network's own is not known, or it cannot look at images of that size.
        """
        own = self.source.preparation(network)
        if own is None:
            hint = " Its size is part of its name: gabor:size=256." if self.source.name == "gabor" else ""
            raise ValueError(f"{network} prepares images in one way only, so it takes no input {self.probe_name!r}.{hint}")
        made = self.input.of(own)
        if made.crop != own.crop and (reason := _refusal(self.source, network, made.crop)):
            raise ValueError(f"{network} cannot look at images of {made.crop} x {made.crop} pixels ({reason}). Its own size: {own.crop}.")
        return made

    def fingerprint(self, network: str, weights: str) -> str:
        own, made = self.source.preparation(network), self.preparation(network)
        known = self.source.fingerprint(network, weights)
        if made == own and type(made) is type(own):
            return known
        return digest("backbone", 1, of=known, input=[type(made).__name__, *made.named()])

    def open(self, network: str, weights: str) -> ModuleBackbone:
        opened = self.source.open(network, weights)
        opened.preparation, opened.fingerprint = self.preparation(network), self.fingerprint(network, weights)
        return opened


def prepared(source: Source, text: str) -> Source:
    """The source itself, or one that gives its networks images as ``text`` says (:meth:`Input.read`)."""
    if text and isinstance(source, JoinedSource):
        return JoinedSource({name: PreparedSource(each, text) for name, each in source.sources.items()})
    return PreparedSource(source, text) if text else source


@cache
def _refusal(source: Source, network: str, size: int) -> str:
    """Why a network cannot look at images of a size, in a few words; empty where it can. Nothing is computed."""
    try:
        find_layers(lambda: source.open(network, "random:0").network.to("meta"), size)
    except (AssertionError, RuntimeError, ValueError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
    return ""
