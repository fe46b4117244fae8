"""Activations of a network's layers for stimuli, a batch at a time: images are decoded and resized by threads ahead of the network."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import joblib

from encoding.backbones import Backbone
from encoding.backbones._pooling import over_frames
from encoding.datasets import Stimuli
from encoding.runtime.progress import Report, silent

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

BATCH_PIXELS = {"cpu": 32 * 224 * 224, "cuda": 256 * 224 * 224}  # pixels in one forward pass: its own memory follows them
BATCH_BYTES = 256 * 2**20  # at a time, of activations that are stored together, and of the largest that is reduced
AHEAD = 64  # images prepared before the network asks for them


def activations(
    stimuli: Stimuli,
    backbone: Backbone,
    layers: Sequence[str],
    pools: tuple[str, str],
    use: Callable[[int, str, torch.Tensor], T],
    *,
    device: str,
    kept: Container[str] = (),
    batch_size: int | None = None,
    report: Report = silent,
) -> Iterator[tuple[int, dict[str, T]]]:
    """Pass stimuli through a network, a batch at a time. The first stimulus goes alone: it gives all sizes.

    Parameters
    ----------
    pools : pooling over a layer's places, and over a clip's frames.
    use : ``use(first, layer, features)`` is called for every layer as soon as it is computed, before the layers after it are. ``first`` is
        the number of the batch's first stimulus, ``features`` (b, n_features) float32 on the device. Features that it does not return
        are freed at once, so that any number of large layers passes in the memory of the largest.
    kept : layers whose features ``use`` returns; their sizes limit a batch together, the sizes of others one by one.
    batch_size : most images in one forward pass; by default as many as memory comfortably holds.

    Yields
    ------
    first : number of the batch's first stimulus.
    used : layer to what ``use`` returned.

    Raises
    ------
    ValueError where a layer gives another number of rows, NaN or infinity.
    """
    import torch

    done, size, started = 0, 1, time.perf_counter()
    what = "clips" if stimuli.n_frames > 1 else "images"
    with closing(prepared(stimuli, backbone, device, pools[1])) as ready:
        while batch := list(islice(ready, size)):
            n_frames, names = len(batch[0]), stimuli.names[done : done + len(batch)]
            images = torch.cat(batch)
            images = images.to(device) if device == "cpu" else images.pin_memory().to(device, non_blocking=True)
            del batch
            used, n_bytes = dict[str, T](), dict[str, int]()

            def take(layer: str, passed: torch.Tensor, first=done, n_frames=n_frames, names=names, used=used, n_bytes=n_bytes) -> None:
                n_bytes[layer] = 4 * passed.numel()
                features = over_frames(passed, n_frames, pools[1])
                _check_rows(features, layer, names)
                used[layer] = use(first, layer, features)

            backbone.visit(images, tuple(layers), pools[0], take)
            if done == 0:
                largest = max((size for layer, size in n_bytes.items() if layer not in kept), default=0)
                together = sum(size for layer, size in n_bytes.items() if layer in kept)
                size = largest_batch(images[:, 0].numel(), max(largest, together), device, batch_size)
            del images
            yield done, used
            done += len(names)
            rate = done / (time.perf_counter() - started)
            report(done / len(stimuli), f"features: {done:,} of {len(stimuli):,} {what}, {rate:,.0f} {what}/s")


def prepared(stimuli: Stimuli, backbone: Backbone, device: str, over: str) -> Iterator[torch.Tensor]:
    """Yield each stimulus prepared for the network, (n_frames, 3, height, width), in order; threads work :data:`AHEAD` images ahead."""
    import torch

    wanted = {"first": slice(0, 1), "last": slice(-1, None)}.get(over, slice(None))

    def prepare(i: int) -> torch.Tensor:
        return torch.stack([backbone.prepare(frame) for frame in stimuli.frames(i)[wanted]])

    ahead = max(2, AHEAD // stimuli.n_frames)
    n_cores = joblib.cpu_count()
    n_threads = max(1, n_cores // 2) if device == "cpu" else n_cores  # there the network needs the cores itself
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="images")
    waiting: deque[Future[torch.Tensor]] = deque()
    try:
        for i in range(len(stimuli)):
            waiting.append(pool.submit(prepare, i))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def largest_batch(n_pixels: int, n_bytes: int, device: str, most: int | None = None) -> int:
    """Number of stimuli in one forward pass, for a stimulus of ``n_pixels`` (over all frames) and ``n_bytes`` of wanted activations."""
    fits = min(BATCH_PIXELS[device] // n_pixels, BATCH_BYTES // n_bytes)
    return max(1, min(fits, most or fits))


def _check_rows(features: torch.Tensor, layer: str, names: Sequence[str]) -> None:
    import torch

    if len(features) != len(names):
        raise ValueError(f"Layer {layer!r} gives {len(features)} rows for {len(names)} images.")
    if not torch.isfinite(torch.stack(features.aminmax())).all():  # one reading; NaN and infinity both reach an end
        row = int((~torch.isfinite(features)).any(1).nonzero()[0])
        raise ValueError(f"Layer {layer!r} gives NaN or infinity for image {names[row]!r}. The network's weights may be damaged.")
