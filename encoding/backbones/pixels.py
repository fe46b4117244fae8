"""The null model: the image itself. A network worth its cost must predict cortex better than this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from encoding.backbones._base import SOURCES, Backbone, Source
from encoding.backbones._pooling import pooled
from encoding.storage.keys import digest

if TYPE_CHECKING:
    import torch

PIXELS_VERSION = 1
SIZE = 64  # pixels a side


class Pixels(Backbone):
    """One layer, ``rgb``: the image's central square at 64 x 64 pixels, (b, 12288) in 0 … 1, by colour, row, column."""

    fingerprint = digest("backbone", PIXELS_VERSION, network="pixels", size=SIZE)

    def prepare(self, image: Image.Image) -> torch.Tensor:
        import torch

        small = ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1), np.float32) / 255)

    def activations(self, batch: torch.Tensor, layers: Sequence[str], pool: str = "none") -> dict[str, torch.Tensor]:
        PixelsSource().check_layers("pixels", layers)
        return {layer: pooled(batch.flatten(1), pool) for layer in layers}

    def to(self, device: str) -> Pixels:
        return self


class PixelsSource(Source):
    """The pixels themselves, without a network."""

    name = "pixels"
    needs_weights = False

    def networks(self) -> tuple[str, ...]:
        return ("pixels",)

    def layers(self, network: str) -> tuple[str, ...]:
        return ("rgb",)

    def every_layer(self, network: str) -> tuple[str, ...]:
        return self.layers(network)

    def fingerprint(self, network: str, weights: str) -> str:
        return Pixels.fingerprint

    def open(self, network: str, weights: str) -> Pixels:
        return Pixels()


SOURCES.register(PixelsSource.name, PixelsSource())
