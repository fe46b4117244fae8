"""Find which axes of a layer's output hold channels, places and prefix tokens, and whether tokens stand row by row.

Shapes alone do not say it: a register looks like a class token, a map of as many channels as rows has no visible
channel axis, an attention matrix looks like a map, and the tokens of Hiera are stored in the order of its windows.
So the network is asked where it says (its class token and number of prefix tokens), the type of a module counts where
it fixes the axes (a convolution), and the rest is measured: a copy of the network with random weights is shown an image
of noise and the same image with one quadrant exchanged, four times. In a layer whose places are stored row by row, the
change is largest in that quadrant.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from encoding.backbones._base import seeded
from encoding.backbones._hooks import first_tensor, listening

if TYPE_CHECKING:
    import torch
    from torch import nn

MOST_PREFIX_TOKENS = 8  # before the places, in networks that do not say how many they have
CLASS_TOKEN = re.compile(r"(cls|class)_(token|embed|embedding)(_?\d+)?")  # names of its parameter in timm, torchvision and open_clip
SELECTIVE = 0.30  # mean share of the quadrant that matters most to a place; 0.25 where all matter alike, as after global attention
ELSEWHERE = 0.45  # selectivity from which places that are not local are stored in another order; below, noise of deep layers may hide it
LOCAL = 1 / 3  # of a layer's selectivity that must agree with row-by-row places; measured: 0 in Hiera, 0.3 or less in attention
#                matrices and partitioned windows, 0.4 to 1 in maps and in tokens stored row by row


@dataclass(frozen=True)
class Axes:
    """Axes of one layer's output (b, ...).

    Attributes
    ----------
    order : ``NCHW`` or ``NHWC`` (maps), ``NLC`` or ``NCL`` (tokens), ``NC`` (vectors); empty where there are no places.
    n_prefix : number of tokens before those of the places.
    class_token : whether the first token is a class token.
    is_row_by_row : false where places are stored in another order, so that a grid of them means nothing.
    """

    order: str
    n_prefix: int = 0
    class_token: bool = False
    is_row_by_row: bool = True

    def places(self, output: torch.Tensor) -> torch.Tensor:
        """Reorder (b, ...) into (b, channels, height, width), without prefix tokens."""
        if self.order == "NHWC":
            return output.permute(0, 3, 1, 2)
        if self.order in ("NLC", "NCL"):
            tokens = output.transpose(1, 2) if self.order == "NLC" else output
            tokens = tokens[:, :, self.n_prefix :]
            return tokens.unflatten(2, (math.isqrt(tokens.shape[2]),) * 2)
        return output


def axes_of_shape(shape: Sequence[int], declared: tuple[int, bool] | None = None) -> list[Axes]:
    """List the possible axes of an output of ``shape`` (b, ...), the most usual first; images and maps are square.

    Channels before tokens (``NCL``) are not among them: that is decided by measurement alone.

    Parameters
    ----------
    declared : number of prefix tokens and whether the first is a class token, as the network says; None where it says nothing.
    """
    if len(shape) == 2:
        return [Axes("NC")]
    if len(shape) == 3:
        return [Axes("NLC", *prefix)] if (prefix := _prefix(shape[1], declared)) is not None else []
    if len(shape) == 4:
        return [Axes(order) for order, same in (("NCHW", shape[2] == shape[3]), ("NHWC", shape[1] == shape[2])) if same]
    return []


def _prefix(n_tokens: int, declared: tuple[int, bool] | None) -> tuple[int, bool] | None:
    """Number of prefix tokens among ``n_tokens`` and whether the first is a class token; None where the rest is no square map."""
    if declared and n_tokens > declared[0] and math.isqrt(n_tokens - declared[0]) ** 2 == n_tokens - declared[0]:
        return declared
    n_extra = n_tokens - math.isqrt(n_tokens) ** 2
    return (n_extra, False) if n_extra <= MOST_PREFIX_TOKENS else None


def declared_tokens(network: nn.Module, layer: str) -> tuple[int, bool] | None:
    """Number of prefix tokens and whether the first is a class token, from the nearest module around ``layer`` that says so."""
    for name in ancestors(layer):
        module = network.get_submodule(name)
        own = {part for part in (*module._parameters, *module._modules) if getattr(module, part) is not None}
        has_class = any(CLASS_TOKEN.fullmatch(part) for part in own)
        if isinstance(n_prefix := getattr(module, "num_prefix_tokens", None), int):
            return n_prefix, has_class
        if has_class:
            return 1 + ("dist_token" in own), True
    return None


def find_axes(
    network: nn.Module, layers: Sequence[str], size: int, *, build: Callable[[], nn.Module] | None, rows: bool
) -> dict[str, Axes]:
    """Axes of each layer's output, measured where its shape and the network leave them open.

    Parameters
    ----------
    network : on any device but meta, in evaluation. size : pixels a side of its input.
    build : makes the network with random weights, for the measurement; None copies ``network``.
    rows : whether places must be known to stand row by row, which shapes do not show.
    """
    import torch
    from torch import nn

    maps_by_type = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    shapes: dict[str, torch.Size] = {}
    with torch.no_grad(), listening(network, layers, lambda name, output: shapes.update({name: first_tensor(output).shape})):
        network(torch.zeros(1, 3, size, size, device=device))
    axes_by_layer = {}
    for layer, shape in shapes.items():
        declared = declared_tokens(network, layer)
        choices = axes_of_shape(shape, declared)
        is_open = len(choices) > 1 or (len(shape) == 3 and not declared and math.isqrt(shape[2]) ** 2 == shape[2])
        if isinstance(network.get_submodule(layer), maps_by_type) and len(shape) == 4:
            axes_by_layer[layer] = Axes("NCHW")
        elif is_open or (rows and choices and len(shape) > 2):
            measured = _measured(build, size) if build else _measure(copy.deepcopy(network).cpu(), size)
            axes_by_layer[layer] = _choose(choices, measured, layer, shape)
        else:
            axes_by_layer[layer] = choices[0] if choices else Axes("")
    return axes_by_layer


def _choose(choices: Sequence[Axes], measured: Mapping[tuple[str, str], tuple[int, bool | None]], layer: str, shape: Sequence[int]) -> Axes:
    """The first of some axes under which places are local, or may be; otherwise tokens that are not row by row, or no places."""
    local = {axes: _is_local(measured, layer, axes.order) for axes in choices}
    if len(shape) == 3 and True not in local.values() and _is_local(measured, layer, "NCL"):
        return Axes("NCL")
    for wanted in (True, None):
        if found := next((axes for axes in choices if local[axes] is wanted), None):
            return found
    return replace(choices[0], is_row_by_row=False) if len(shape) == 3 and choices else Axes("")


def _is_local(measured: Mapping[tuple[str, str], tuple[int, bool | None]], layer: str, order: str) -> bool | None:
    """Whether a layer's places are local: measured there, or at the nearest layer with as many places; None where no layer shows it."""
    n_places, local = measured.get((layer, order), (0, None))
    if local is not None or not n_places:
        return local
    entries = list(measured.items())
    here = next(i for i, (key, _) in enumerate(entries) if key == (layer, order))
    known = [(abs(i - here), value[1]) for i, (key, value) in enumerate(entries) if key[1] == order and value[0] == n_places]
    return next((found for _, found in sorted(known, key=lambda pair: pair[0]) if found is not None), None)


@cache
def _measured(build: Callable[[], nn.Module], size: int) -> Mapping[tuple[str, str], tuple[int, bool | None]]:

    return _measure(seeded(build, 0), size)


def _measure(network: nn.Module, size: int) -> dict[tuple[str, str], tuple[int, bool | None]]:
    """(layer, order) to its number of places and whether they are local, for all layers in forward order; ``network`` is changed.

    The last is None where places depend too much alike on all quadrants to tell.
    """
    import torch

    source = torch.Generator().manual_seed(0)
    for weights in network.parameters():
        if not weights.any():  # a branch that starts at zero would show no change
            weights.data.normal_(0, 0.1, generator=source)
    images = torch.randn(1, 3, size, size, generator=source).repeat(5, 1, 1, 1)
    for image, (top, left) in zip(images[1:], ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        half = size // 2
        quadrant = torch.randn(3, half, half, generator=source) + torch.randn(3, 1, 1, generator=source)
        image[:, top * half : (top + 1) * half, left * half : (left + 1) * half] = quadrant
    measured: dict[tuple[str, str], tuple[int, bool | None]] = {}

    def note(name: str, output: Any) -> None:
        output = first_tensor(output)
        if output is None or output.ndim < 3 or len(output) != len(images):
            return
        declared = declared_tokens(network, name)
        choices = axes_of_shape(output.shape, declared)
        if output.ndim == 3 and math.isqrt(output.shape[2]) ** 2 == output.shape[2]:
            choices.append(Axes("NCL"))
        for axes in choices:
            places = axes.places(output.float())
            measured[name, axes.order] = (places.shape[2], _locality((places[1:] - places[:1]).abs().mean(1)))

    with torch.no_grad(), listening(network, [name for name, _ in network.named_modules() if name], note):
        network(images)
    return measured


def _locality(change: torch.Tensor) -> bool | None:
    """Whether the change (4, height, width) of each quadrant lies in that quadrant; None where that cannot be told."""
    import torch.nn.functional as F

    if change.shape[1] < 2:
        return True
    change = change / change.mean((1, 2), keepdim=True)
    selectivity = float((change.amax(0) / change.sum(0)).nanmean())
    if not selectivity >= SELECTIVE:
        return None
    cells = F.adaptive_avg_pool2d(change[:, None], 2).flatten(1)  # (quadrant, cell)
    own = float((cells / cells.sum(1, keepdim=True)).diagonal().min())
    if own - 0.25 >= LOCAL * (selectivity - 0.25):
        return True
    return False if selectivity >= ELSEWHERE else None


def ancestors(layer: str) -> Iterator[str]:
    """Names of the modules around a layer, innermost first; the network itself is the empty name."""
    while layer:
        layer = layer.rpartition(".")[0]
        yield layer
