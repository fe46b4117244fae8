"""Fewer numbers from a layer: over the places of a picture, and over the frames of a clip.

A layer's output is recognised by its shape. Pictures are square, so a map's two equal axes are its height and
width, whichever side the channels stand on; tokens are the places of a square map, row by row, after a few
(the class token, registers) that stand for no place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

POOLS = ("none", "mean", "max", "grid:<n>", "class")
OVER_FRAMES = ("mean", "max", "first", "last", "all", "sequence")
MOST_EXTRA_TOKENS = 8  # before the places: a class token and registers


def check_pool(pool: str) -> str:
    """``pool`` itself; ValueError unless it is one of :data:`POOLS`.

    Examples
    --------
    >>> check_pool("grid:3")
    'grid:3'
    """
    kind, _, size = pool.partition(":")
    if pool in POOLS[:3] or pool == "class" or (kind == "grid" and size.isdecimal() and int(size) > 0):
        return pool
    raise ValueError(f"Unknown pooling {pool!r}. Known: {', '.join(POOLS)}; grid:3 takes means in 3 x 3 parts of the picture.")


def check_over_frames(over: str) -> str:
    """``over`` itself; ValueError unless it is one of :data:`OVER_FRAMES`."""
    if over not in OVER_FRAMES:
        raise ValueError(f"Unknown way to pool frames {over!r}. Known: {', '.join(OVER_FRAMES)}.")
    return over


def pooled(output: torch.Tensor, pool: str) -> torch.Tensor:
    """A layer's output, pooled over its places. (b, …) any dtype -> (b, n_features) float32, a copy.

    Parameters
    ----------
    output : (b, n), (b, tokens, channels), (b, channels, height, width) or (b, height, width, channels).
    pool : ``none`` keeps every number; ``mean`` and ``max`` keep one for each channel; ``grid:<n>`` the mean in each of
        n x n parts of the picture; ``class`` the class token, the first one. Vectors (b, n) have no
        places: every pooling but ``class`` leaves them as they are.

    Raises
    ------
    ValueError where there is no class token, or where tokens are no square map.
    """
    import torch

    if pool == "class":
        if output.ndim != 3 or _extra_tokens(output.shape[1]) == 0:
            raise ValueError(f"Pooling 'class' needs a class token; this layer gives {_shape(output)}. Use mean, max or none.")
        output = output[:, 0]
    elif pool != "none" and output.ndim > 2:
        places = _places(output)  # (b, channels, height, width)
        if pool == "mean":
            output = places.mean((2, 3), dtype=torch.float32)
        elif pool == "max":
            output = places.amax((2, 3))
        else:
            n = int(pool.partition(":")[2])
            output = torch.nn.functional.adaptive_avg_pool2d(places.float(), n)
    return output.flatten(1).to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def over_frames(features: torch.Tensor, n_frames: int, over: str) -> torch.Tensor:
    """One row for each clip. (b * n_frames, n) frame by frame -> (b, n), or (b, n_frames * n) where ``over`` is ``all`` or ``sequence``."""
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


def _places(output: torch.Tensor) -> torch.Tensor:
    """(b, channels, height, width) of a map or of tokens."""
    if output.ndim == 3:
        extra = _extra_tokens(output.shape[1])
        side = math.isqrt(output.shape[1] - extra)
        return output[:, extra:].transpose(1, 2).unflatten(2, (side, side))
    if output.ndim == 4:
        _, first, second, third = output.shape
        return output.permute(0, 3, 1, 2) if first == second and second != third else output
    raise ValueError(f"This layer gives {_shape(output)}, which has no places to pool over. Use pooling 'none'.")


def _extra_tokens(n_tokens: int) -> int:
    """How many tokens stand before those of a square map."""
    extra = n_tokens - math.isqrt(n_tokens) ** 2
    if extra > MOST_EXTRA_TOKENS:
        raise ValueError(f"{n_tokens} tokens are not the places of a square map. Use pooling 'none'.")
    return extra


def _shape(output: torch.Tensor) -> str:
    return f"one image's numbers in the shape {tuple(output.shape[1:])}"
