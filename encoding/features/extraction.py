"""Extract features: activations of every requested layer, with each image decoded and passed forward once.

Images are decoded and resized by threads while the network works on those before them, and rows are written
behind it. They go straight to disk, so memory holds a few batches whatever the size of a layer or a data set.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.backbones import Backbone
from encoding.backbones._pooling import over_frames, pool_for_key
from encoding.datasets import Stimuli
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest
from encoding.storage.npy import NpyWriter
from encoding.storage.store import Store, StoreFull

if TYPE_CHECKING:
    import torch

FEATURES_VERSION = 1

BATCH_PIXELS = {"cpu": 32 * 224 * 224, "cuda": 256 * 224 * 224}  # pixels in one forward pass: its own memory follows them
BATCH_BYTES = 256 * 2**20  # of wanted activations at a time
AHEAD = 64  # images prepared before the network asks for them
SPARE_BYTES = 64 * 2**20  # left free on the disk


def feature_keys(
    stimuli_fingerprint: str, backbone_fingerprint: str, layers: Sequence[str], *, pool: str = "none", over: str = ""
) -> dict[str, str]:
    """Keys of the features of each layer in the Store; ``pool``, and ``over`` for clips, as in :func:`extract`."""
    parents = {"stimuli": stimuli_fingerprint, "backbone": backbone_fingerprint}
    parents |= {"pool": pool_for_key(pool)} if pool != "none" else {}
    parents |= {"over": over} if over else {}
    return {layer: digest("features", FEATURES_VERSION, **parents, layer=layer) for layer in layers}


def load(key: str, store: Store) -> np.ndarray:
    """Read a layer's features, (n_stimuli, n_features) float32, memory-mapped and read-only.

    Raises
    ------
    LookupError where they were not extracted, or are damaged.
    """
    found = store.get(key)
    if found is None:
        raise LookupError(f"{store.root} holds no {key}. Extract these features first.")
    return found["X"]


def extract(
    stimuli: Stimuli,
    open_backbone: Callable[[], Backbone],
    keys: Mapping[str, str],
    store: Store,
    *,
    pool: str = "none",
    over: str = "mean",
    device: str = "cpu",
    batch_size: int | None = None,
    report: Report = silent,
    made_from: Mapping[str, Any] | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Store the features of every layer in ``keys``; those missing are computed in one pass of the stimuli.

    Parameters
    ----------
    open_backbone : called only where something is missing.
    keys : layer to the key of its features (:func:`feature_keys`).
    pool : spatial pooling of a layer (:data:`encoding.backbones._pooling.POOLS`).
    over : pooling over a clip's frames (:data:`encoding.backbones._pooling.OVER_FRAMES`).
    batch_size : most images in one forward pass; by default as many as memory comfortably holds.
    report : called with the fraction done and a text; an exception that it raises stops the work and leaves nothing behind.
    made_from : kept as provenance beside the numbers.
    check : called when every stimulus was read, before anything is stored; what it raises leaves nothing behind.

    Raises
    ------
    StoreFull before much work is done where the disk has no room; ValueError where there are no images or an
    activation is not a finite number; whatever opening the backbone or reading an image raises.
    """
    layers = _missing(keys, keys, store)
    if layers and not len(stimuli):
        raise ValueError("There are no images to extract features from.")
    with ExitStack() as locks:
        for key in sorted(keys[layer] for layer in layers):  # in one order everywhere, so that no two wait for each other
            locks.enter_context(store.lock(key))
        layers = _missing(layers, keys, store)  # without what another process made meanwhile
        if layers:
            report(0.0, "features: opening the network")
            backbone = open_backbone().to(device)
            with ExitStack() as files:
                rows = {layer: _Rows(layer, keys[layer], len(stimuli), store, made_from or {}, files) for layer in layers}
                _stream(stimuli, backbone, rows, (pool, over), store, device, batch_size, subprogress(report, 0, 0.97))
                check()
                report(0.97, "features: checksums")
            report(1.0, "features: stored")


def _missing(layers: Iterable[str], keys: Mapping[str, str], store: Store) -> list[str]:
    return [layer for layer in layers if store.get(keys[layer]) is None]


def _stream(
    stimuli: Stimuli,
    backbone: Backbone,
    rows: Mapping[str, _Rows],
    kept: tuple[str, str],
    store: Store,
    device: str,
    batch_size: int | None,
    report: Report,
) -> None:
    """Every image through the network, every wanted layer to its file. The first image goes alone: it tells all sizes."""
    import torch

    def write(made: Mapping[str, np.ndarray]) -> None:
        for layer, features in made.items():
            rows[layer].write(features)

    done, size, started = 0, 1, time.perf_counter()
    pool, over = kept
    with closing(prepared(stimuli, backbone, device, over)) as images, ThreadPoolExecutor(1, "rows") as writer:
        writing = writer.submit(write, {})
        while batch := list(islice(images, size)):
            passed = backbone.activations(torch.cat(batch).to(device), tuple(rows), pool)
            made = {layer: over_frames(features, len(batch[0]), over) for layer, features in passed.items()}
            if done == 0:
                _check_room(sum(4 * features.shape[1] for features in made.values()) * len(stimuli), len(stimuli), store)
                size = largest_batch(batch[0], sum(4 * features.numel() for features in passed.values()), device, batch_size)
            for layer, features in made.items():
                _check_rows(features, layer, stimuli.names[done : done + len(batch)])
            writing.result()  # one batch at most waits to be written
            writing = writer.submit(write, {layer: features.cpu().numpy() for layer, features in made.items()})
            done += len(batch)
            rate = done / (time.perf_counter() - started)
            what = "clips" if stimuli.n_frames > 1 else "images"
            report(done / len(stimuli), f"features: {done:,} of {len(stimuli):,} {what}, {rate:,.0f} {what}/s")
        writing.result()


def prepared(stimuli: Stimuli, backbone: Backbone, device: str, over: str) -> Iterator[torch.Tensor]:
    """Yield each stimulus prepared for the network, (n_frames, 3, height, width), in order; threads work :data:`AHEAD` images ahead."""
    import torch

    wanted = {"first": slice(0, 1), "last": slice(-1, None)}.get(over, slice(None))

    def prepare(i: int) -> torch.Tensor:
        return torch.stack([backbone.prepare(frame) for frame in stimuli.frames(i)[wanted]])

    ahead = max(2, AHEAD // stimuli.n_frames)
    n_cores = os.cpu_count() or 1
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


def largest_batch(frames: torch.Tensor, n_bytes: int, device: str, most: int | None = None) -> int:
    """Number of stimuli in one forward pass, for ``frames`` (n_frames, 3, height, width) and ``n_bytes`` of activations each."""
    fits = min(BATCH_PIXELS[device] // frames[:, 0].numel(), BATCH_BYTES // n_bytes)
    return max(1, min(fits, most or fits))


def _check_room(n_bytes: int, n_images: int, store: Store) -> None:
    free = shutil.disk_usage(store.root).free
    if n_bytes + SPARE_BYTES > free:
        need = f"Features of {n_images:,} images take {n_bytes / 1e9:,.1f} GB"
        raise StoreFull(f"{need}; the disk of {store.root} has {free / 1e9:,.1f} GB free. `python -m encoding cache prune` frees some.")


def _check_rows(features: torch.Tensor, layer: str, names: Sequence[str]) -> None:
    import torch

    if len(features) != len(names):
        raise ValueError(f"Layer {layer!r} gives {len(features)} rows for {len(names)} images.")
    if not torch.isfinite(torch.stack(features.aminmax())).all():  # one reading; NaN and infinity both reach an end
        row = int((~torch.isfinite(features)).any(1).nonzero()[0])
        raise ValueError(f"Layer {layer!r} gives NaN or infinity for image {names[row]!r}. The network's weights may be damaged.")


class _Rows:
    """A layer's ``X.npy`` while it grows, a batch of rows at a time; the first batch tells its width."""

    def __init__(self, layer: str, key: str, n_rows: int, store: Store, made_from: Mapping[str, Any], files: ExitStack) -> None:
        self._folder: Path = files.enter_context(store.writing(key, dict(made_from) | {"layer": layer}))
        self._files, self._n_rows = files, n_rows
        self._writer: NpyWriter | None = None

    def write(self, features: np.ndarray) -> None:
        """Append (b, n_features) float32."""
        if self._writer is None:
            self._writer = self._files.enter_context(NpyWriter(self._folder / "X.npy", (self._n_rows, features.shape[1])))
        self._writer.write(features)
