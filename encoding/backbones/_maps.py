"""Find how a layer's flattened features stand for channels and places, so that a readout can convolve over them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from PIL import Image

from encoding.backbones._base import Backbone
from encoding.backbones._pooling import find_pool

PIXELS = 256  # a side of the image of noise that is passed


@dataclass(frozen=True)
class FeatureMap:
    """Order of flattened features: ``(channels, height, width)``, or ``(height, width, channels)`` where ``channels_last``."""

    channels: int
    height: int
    width: int
    channels_last: bool = False


def feature_map(backbone: Backbone, layer: str, pool: str) -> FeatureMap:
    """Find the map of a layer, whose features pooled over all places are the mean over it in one order only.

    Raises
    ------
    ValueError where the layer has no places, or others than those of a square map, such as tokens with a class token before them.
    """
    import torch

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8))
    batch = backbone.prepare(noise)[None]
    with torch.no_grad():
        flat = backbone.activations(batch, [layer], pool)[layer][0].double()
        if find_pool(pool)[0].name == "grid":
            side = find_pool(pool)[1]
            return FeatureMap(len(flat) // side**2, side, side)
        mean = backbone.activations(batch, [layer], "mean")[layer][0].double()
    side = isqrt(len(flat) // max(1, len(mean)))
    if side > 1 and len(mean) * side**2 == len(flat):
        tolerance = 1e-3 * float(flat.abs().max())
        for channels_last in (False, True):
            places = flat.unflatten(0, (side**2, len(mean)) if channels_last else (len(mean), side**2))
            if torch.allclose(places.mean(0 if channels_last else 1), mean, rtol=1e-3, atol=tolerance):
                return FeatureMap(len(mean), side, side, channels_last)
    raise ValueError(
        f"Layer {layer!r} with pooling {pool!r} is no square map of places: {len(flat):,} features, {len(mean):,} where places are pooled. "
        "Choose a convolutional layer, or pool to a map with --pool grid:16."
    )
