"""Measure what one image costs in a network, without its trained weights: number of features of each layer, seconds, bytes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import joblib
import numpy as np
from PIL import Image

from encoding.backbones import Source
from encoding.storage.keys import digest
from encoding.storage.store import Store, StoreReadOnly

if TYPE_CHECKING:
    import torch

    from encoding.backbones import Backbone

PROBE_VERSION = 3

ALIVE = 3  # number of largest activations in memory at one time
PROBED = 2  # images in the pass that is timed
LARGEST_LAYER = 4_000_000  # features; below so many of them in the budget no network is built to count


@dataclass(frozen=True)
class Probe:
    """Measured cost of one image in a network.

    Attributes
    ----------
    sizes : layer to its number of features of one image, pooled.
    n_pixels : of one prepared image.
    seconds : forward pass and preprocessing of one image.
    peak_bytes : activations of one image.
    weights_bytes : parameters and buffers of the network.
    """

    sizes: Mapping[str, int]
    n_pixels: int
    seconds: float
    peak_bytes: float
    weights_bytes: float


def probe(source: Source, network: str, weights: str, layers: Sequence[str], pool: str, store: Store, device: str = "cpu") -> Probe:
    """Measure the cost of one image in a network, once for each store and device; nothing where features need no pass."""
    if (known := source.known_sizes(network, layers)) is not None:
        return Probe(known, n_pixels=1, seconds=0.0, peak_bytes=0.0, weights_bytes=0.0)
    name = ":".join(filter(None, (network, getattr(source, "probe_name", ""))))
    key = digest("probe", PROBE_VERSION, backbone=name, layers=list(layers), pool=pool, device=device)
    made_from = {"backbone": network, "layers": list(layers), "pool": pool, "device": device}
    try:
        measured = store.memo(key, lambda: _measure(source, network, weights, layers, pool, device), made_from)
    except StoreReadOnly:
        measured = _measure(source, network, weights, layers, pool, device)
    seconds, peak_bytes, weights_bytes, n_pixels = measured["costs"].tolist()
    return Probe(dict(zip(layers, measured["sizes"].tolist(), strict=True)), int(n_pixels), seconds, peak_bytes, weights_bytes)


def layer_sizes(source: Source, network: str, weights: str, keys: Mapping[str, str], pool: str, store: Store) -> dict[str, int]:
    """Number of features of one image in each layer; the network is built only where a layer's size is not in the Store yet.

    The network's curated layers are measured with the missing ones: the plans of other fits ask for them next.

    Parameters
    ----------
    keys : layer to the key of its features, which with ``pool`` names a size.
    """
    every = dict.fromkeys([*keys, *source.layers(network)])
    named = {layer: digest("layer_size", 1, backbone=source.fingerprint(network, weights), layer=layer, pool=pool) for layer in every}
    found = {layer: int(known["n"]) for layer in keys if (known := store.get(named[layer])) is not None}
    missing = [layer for layer in keys if layer not in found]
    if missing:
        missing += [layer for layer in every if layer not in keys and named[layer] not in store]
        measured = probe(source, network, weights, missing, pool, store).sizes
        for layer in missing:
            try:
                store.memo(named[layer], lambda layer=layer: {"n": np.array(measured[layer])}, {"backbone": network, "layer": layer})
            except StoreReadOnly:
                continue
        found |= measured
    return {layer: found[layer] for layer in keys}


def _measure(source: Source, network: str, weights: str, layers: Sequence[str], pool: str, device: str) -> dict[str, np.ndarray]:
    import torch

    backbone = source.open(network, "random:0" if source.needs_weights else weights).for_passes(device)
    image = Image.new("RGB", (425, 425), (128, 128, 128))
    started = time.perf_counter()
    batch = torch.stack([backbone.prepare(image) for _ in range(PROBED)]).to(device)
    preparing = (time.perf_counter() - started) / PROBED / joblib.cpu_count()
    activations = backbone.activations(batch, layers, pool)  # the first pass is slower than others
    started = time.perf_counter()
    sum(float(features[0, 0]) for features in backbone.activations(batch, layers, pool).values())  # waits for a GPU, too
    seconds = preparing + (time.perf_counter() - started) / PROBED
    peak = _largest_bytes(backbone, batch, layers, pool) / PROBED
    weights_bytes = float(sum(each.numel() * each.element_size() for each in _weights(backbone)))
    sizes = np.array([activations[layer].shape[1] for layer in layers], np.int64)
    n_pixels = batch.shape[2] * batch.shape[3]
    return {"sizes": sizes, "costs": np.array([seconds, ALIVE * peak, weights_bytes, n_pixels])}


def _largest_bytes(backbone: Backbone, batch: object, layers: Sequence[str], pool: str) -> float:
    """Bytes of the largest tensor made during a forward pass, weights in another shape left out."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    weights = {each.untyped_storage().data_ptr() for each in _weights(backbone)}

    class LargestTensor(TorchDispatchMode):
        largest = 0

        @classmethod
        def _should_skip_dynamo(cls):
            return False  # or torch imports its compiler here, which takes three seconds of every new process

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            output = func(*args, **(kwargs or {}))
            if torch.is_tensor(output) and output.untyped_storage().data_ptr() not in weights:
                LargestTensor.largest = max(LargestTensor.largest, output.numel() * output.element_size())
            return output

    with torch.no_grad(), LargestTensor():
        backbone.activations(batch, layers, pool)
    return float(LargestTensor.largest)


def _weights(backbone: Backbone) -> list[torch.Tensor]:
    """Parameters and buffers of a network; empty where it is no torch module."""
    import torch

    network = getattr(backbone, "network", None)
    return [*network.parameters(), *network.buffers()] if isinstance(network, torch.nn.Module) else []
