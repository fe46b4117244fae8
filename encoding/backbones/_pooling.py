"""Pool a layer's output over the places of an image, and over the frames of a clip.

:data:`POOLS` is the registry of poolings over places. An entry is all that a new one needs: the command line, the page's
menu and the advice of a fit that is too large read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoding.backbones._axes import Axes, axes_of_shape
from encoding.runtime.registry import unknown

if TYPE_CHECKING:
    import torch

OVER_FRAMES = ("mean", "max", "first", "last", "all", "sequence")


@dataclass(frozen=True)
class Pool:
    """A pooling over the places of a layer.

    Attributes
    ----------
    usage : how it is written, such as ``grid:<n>``; the name stands before the colon.
    description : what it keeps, as a clause for help texts.
    apply : ``apply(output, axes, n)``, (b, ...) -> (b, ...); ``n`` is the number after the colon, 0 for pools without one.
        Row i of the result depends on row i of ``output`` alone.
    example : a value for menus and advice; equal to ``usage`` for pools without a number.
    over_places : false where no places are pooled. Vectors (b, n) have none and pass unchanged through pools over places.
    needs_rows : whether places must be stored row by row.
    version : raised where the pool gives other numbers than before, or refuses what it took.
    """

    usage: str
    description: str
    apply: Callable[[torch.Tensor, Axes, int], torch.Tensor]
    example: str
    over_places: bool = True
    needs_rows: bool = False
    version: int = 1

    @property
    def name(self) -> str:
        """Name by which a spec chooses it."""
        return self.usage.partition(":")[0]

    def number(self, text: str) -> int | None:
        """The number in ``text`` (0 for pools without one); None where ``text`` does not name this pool."""
        if self.usage == self.name:
            return 0 if text == self.name else None
        match = re.fullmatch(rf"{self.name}:(0*[1-9][0-9]*)", text)
        return int(match[1]) if match else None


def _grid(output: torch.Tensor, axes: Axes, n: int) -> torch.Tensor:
    import torch.nn.functional as F

    return F.adaptive_avg_pool2d(axes.places(output).float(), n)


def _mean(output: torch.Tensor, axes: Axes, _: int) -> torch.Tensor:
    import torch

    return axes.places(output).mean((2, 3), dtype=torch.float32)


def _class_token(output: torch.Tensor, axes: Axes, _: int) -> torch.Tensor:
    if not axes.class_token:
        raise ValueError(f"Pooling 'class' needs a class token; this layer has none and gives {_shape(output)}. Use mean, max or none.")
    return output[:, 0]


POOLS = {
    pool.name: pool
    for pool in (
        Pool("none", "keeps every number", lambda output, _axes, _n: output, "none", over_places=False),
        Pool("mean", "the mean of each channel over all places", _mean, "mean"),
        Pool("max", "the maximum of each channel over all places", lambda output, axes, _: axes.places(output).amax((2, 3)), "max"),
        Pool("grid:<n>", "the mean of each channel in each of n x n parts of the image", _grid, "grid:3", needs_rows=True, version=2),
        Pool("class", "a transformer's class token", _class_token, "class", over_places=False, version=2),
    )
}


def find_pool(text: str) -> tuple[Pool, int]:
    """The pool that ``text`` names and its number; ValueError where there is none.

    >>> find_pool("grid:3")[1]
    3
    """
    for pool in POOLS.values():
        if (n := pool.number(text)) is not None:
            return pool, n
    known = [pool.usage for pool in POOLS.values()]
    raise ValueError(f"{unknown('pooling', text, known)} For example {', '.join(pool.example for pool in POOLS.values())}.")


def pool_for_key(text: str) -> str:
    """Return what a pooling contributes to the key of features: its text and, from version 2 on, its version."""
    version = find_pool(text)[0].version
    return text if version == 1 else f"{text} v{version}"


def pools_help() -> str:
    """Describe every pool in one sentence each, for help texts."""
    return "; ".join(f"{pool.usage}: {pool.description}" for pool in POOLS.values())


def pooling_advice() -> str:
    """Examples of pools over places, to name where a layer is too large: ``mean, max, grid:3``."""
    return ", ".join(pool.example for pool in POOLS.values() if pool.over_places)


def check_over_frames(over: str) -> str:
    """``over`` itself; ValueError unless it is one of :data:`OVER_FRAMES`."""
    if over not in OVER_FRAMES:
        raise ValueError(unknown("pooling over frames", over, OVER_FRAMES))
    return over


def pooled(output: torch.Tensor, pool: str, axes: Axes | None = None) -> torch.Tensor:
    """Pool a layer's output over its places.

    Parameters
    ----------
    output : (b, n), (b, tokens, channels), (b, channels, height, width) or another order that ``axes`` names; any dtype.
    pool : a value that :func:`find_pool` takes.
    axes : of the output; None takes the most usual ones of its shape, without a class token.

    Returns
    -------
    (b, n_features) float32, a copy, on the same device.

    Raises
    ------
    ValueError where the layer has no such places or no class token, or stores places in another order than row by row.
    """
    import torch

    kind, n = find_pool(pool)
    if axes is None:
        axes = next(iter(axes_of_shape(output.shape)), Axes(""))
    if not (kind.over_places and output.ndim == 2):
        if kind.over_places and not axes.order:
            raise ValueError(f"This layer gives {_shape(output)}, which are not the places of a square map. Use pooling 'none'.")
        if kind.needs_rows and not axes.is_row_by_row:
            raise ValueError(
                f"Pooling {pool!r} needs places stored row by row; this layer stores its {_shape(output)} in another order "
                "(such as window by window), so that a part of the image would mix places from everywhere. Use mean, max or none."
            )
        output = kind.apply(output, axes, n)
    flat = output.flatten(1)  # a copy already where channels stand last in memory
    is_view = flat.untyped_storage().data_ptr() == output.untyped_storage().data_ptr()
    return flat.to(torch.float32, copy=is_view, memory_format=torch.contiguous_format)


def over_frames(features: torch.Tensor, n_frames: int, over: str) -> torch.Tensor:
    """Pool (b * n_frames, n), frame by frame, into one row a clip: (b, n), or (b, n_frames * n) for ``all`` and ``sequence``."""
    if n_frames == 1:
        return features
    frames = features.unflatten(0, (-1, n_frames))
    return {
        "mean": lambda: frames.mean(1),
        "max": lambda: frames.amax(1),
        "first": lambda: frames[:, 0],
        "last": lambda: frames[:, -1],
        "all": lambda: frames.flatten(1),
        "sequence": lambda: frames.flatten(1),
    }[over]()


def _shape(output: torch.Tensor) -> str:
    return f"one image's numbers in the shape {tuple(output.shape[1:])}"
