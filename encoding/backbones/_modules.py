"""Backbones that are torch modules: image preparation, layer names, seeded construction, activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from encoding.backbones._axes import Axes, find_axes
from encoding.backbones._base import Backbone, BadWeights, UnknownLayer, seeded
from encoding.backbones._capture import visit
from encoding.backbones._hooks import trace
from encoding.backbones._pooling import find_pool
from encoding.runtime import random_state
from encoding.runtime.registry import unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

N_TRACED = 3  # images in the batch that finds a network's layers


@dataclass(frozen=True)
class Preparation:
    """Preprocessing of an image: resize, centre crop, normalisation of colours.

    Attributes
    ----------
    resize, crop : pixels of the shorter side after resizing, and of the central square that is kept.
    interpolation : a name of PIL's, in small letters, such as ``bilinear`` or ``bicubic``.
    mean, std : of red, green and blue in 0 … 1, by which colours are normalised.
    squash : resize both sides to ``resize`` pixels, whatever the aspect ratio.
    """

    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    squash: bool = False

    @classmethod
    def of(cls, row: Mapping[str, str]) -> Preparation:
        """Read a row of a table of networks, in which numbers are separated by spaces."""
        mean, std = (tuple(float(value) for value in row[name].split()) for name in ("mean", "std"))
        return cls(int(row["resize"]), int(row["crop"]), row["interpolation"], mean, std, row.get("squash") == "yes")

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Prepare one RGB image: (3, crop, crop) float32, equal to torchvision's Resize, CenterCrop, ToTensor and Normalize."""
        width, height = image.size
        short = min(width, height)
        size = (self.resize, self.resize) if self.squash else (self.resize * width // short, self.resize * height // short)
        if size != image.size:
            image = image.resize(size, Image.Resampling[self.interpolation.upper()])
        left, top = (_start(side, self.crop) for side in size)
        image = image.crop((left, top, left + self.crop, top + self.crop))
        pixels = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1), np.float32)
        mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (self.mean, self.std))
        pixels /= 255
        pixels -= mean
        pixels /= std
        return pixels

    def named(self) -> list[Any]:
        """The values that enter a fingerprint."""
        return list(astuple(self))


def _start(side: int, crop: int) -> int:
    """First pixel of a centre crop; negative where the image is smaller than the crop and is padded with black."""
    return round((side - crop) / 2) if side >= crop else -((crop - side) // 2)


class ModuleBackbone(Backbone):
    """A torch module in evaluation mode. See :func:`encoding.backbones._capture.capture` for the output of a layer.

    Attributes
    ----------
    calls : layers in forward order, with the number of calls of each in a forward pass.
    build : makes the network with random weights, to measure the axes of its layers; None copies ``network``.
    unfilled : modules that got no weights from a file; layers that need them are refused.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        fingerprint: str,
        preparation: Preparation,
        calls: Mapping[str, int],
        build: Callable[[], nn.Module] | None = None,
        unfilled: Sequence[str] = (),
    ) -> None:
        self.name, self.network, self.fingerprint = name, network, fingerprint
        self.preparation, self.calls, self.build, self.unfilled = preparation, calls, build, tuple(unfilled)
        self._axes: dict[tuple[str, bool], Axes] = {}
        self._channels_last = False

    def prepare(self, image: Image.Image) -> torch.Tensor:
        import torch

        return torch.from_numpy(self.preparation(image))

    def activations(self, batch: torch.Tensor, layers: Sequence[str], pool: str = "none") -> dict[str, torch.Tensor]:
        outputs: dict[str, torch.Tensor] = {}
        self.visit(batch, layers, pool, outputs.__setitem__)
        return {layer: outputs[layer] for layer in layers}

    def visit(self, batch: torch.Tensor, layers: Sequence[str], pool: str, use: Callable[[str, torch.Tensor], None]) -> None:
        import torch

        for layer in layers:
            if layer not in self.calls:
                raise UnknownLayer(unknown(f"layer of {self.name}", layer, self.calls))
        if self.unfilled:
            order = list(self.calls)
            first = min(order.index(module) for module in self.unfilled)
            if headed := [layer for layer in layers if order.index(layer) >= first]:
                raise BadWeights(
                    f"The weights file has no weights of the right size for {', '.join(self.unfilled)} of {self.name} (a head of other "
                    f"classes?), which {', '.join(headed)} needs. Layers up to {order[first - 1] if first else 'none'} can be used."
                )
        batch = batch.contiguous(memory_format=torch.channels_last) if self._channels_last else batch
        visit(self.network, batch, self.calls, layers, use, pool, axes=self.axes(layers, pool))

    def axes(self, layers: Sequence[str], pool: str) -> dict[str, Axes]:
        """Axes of the layers' outputs as far as ``pool`` needs them; empty where it needs none, or tensors have no values."""
        if pool == "none" or any(tensor.is_meta for tensor in self.network.parameters()):
            return {}
        rows = find_pool(pool)[0].needs_rows
        if missing := [layer for layer in layers if (layer, rows) not in self._axes]:
            found_axes = find_axes(self.network, missing, self.preparation.crop, build=self.build, rows=rows)
            self._axes |= {(layer, rows): axes for layer, axes in found_axes.items()}
        return {layer: self._axes[layer, rows] for layer in layers}

    def to(self, device: str) -> ModuleBackbone:
        self.network.to(device)
        return self

    def for_passes(self, device: str) -> ModuleBackbone:
        import torch
        from torch import nn

        kinds = [type(module) for module in self.network.modules()]
        n_convolutions, n_linear = (sum(issubclass(kind, wanted) for kind in kinds) for wanted in (nn.Conv2d, nn.Linear))
        self._channels_last = n_convolutions > n_linear  # layers of tokens gain nothing, see docs/benchmarks.md
        if self._channels_last:
            self.network.to(memory_format=torch.channels_last)
        return self.to(device)


def find_layers(build: Callable[[], nn.Module], size: int) -> dict[str, int]:
    """List every layer of a network in forward order, with its number of calls (:func:`trace`); nothing is computed."""
    import torch

    network = without_values(build)
    with torch.device("meta"):  # for what the forward pass itself makes
        return trace(network, torch.empty(N_TRACED, 3, size, size))


def without_values(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on the meta device, where tensors have shapes and no values."""
    import torch

    try:
        with random_state.seeded(0), torch.device("meta"):  # some values are drawn elsewhere
            return build()
    except (NotImplementedError, RuntimeError):  # its construction asks tensors for their values
        return seeded(build, 0).to("meta")
