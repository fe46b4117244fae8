"""Extract features: activations of every requested layer, with each image decoded and passed forward once.

Images are decoded and resized by threads while the network works on those before them, and rows are written
behind it. They go straight to disk, so memory holds a few batches whatever the size of a layer or a data set.

A large set of stimuli passes in shards (:func:`shards`), the same ones in every process: what a shard gives is stored by itself until
all are joined, so several workers can take them, and an extraction that was killed goes on after the last whole one.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import joblib
import numpy as np

from encoding.backbones import Backbone
from encoding.backbones._pooling import over_frames, pool_for_key
from encoding.datasets import Chosen, Stimuli
from encoding.features.half import HalfRows, encode
from encoding.features.random_projection import multiply, random_matrix
from encoding.features.sketch import N_GROUPS, N_NONZEROS, SKETCH_VERSION, sketch
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest
from encoding.storage.npy import NpyWriter, write_npy
from encoding.storage.store import Store, StoreFull

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

FEATURES_VERSION = 1

BATCH_PIXELS = {"cpu": 32 * 224 * 224, "cuda": 256 * 224 * 224}  # pixels in one forward pass: its own memory follows them
BATCH_BYTES = 256 * 2**20  # at a time, of activations that are stored together, and of the largest that is reduced
AHEAD = 64  # images prepared before the network asks for them
SPARE_BYTES = 64 * 2**20  # left free on the disk
SHARD_IMAGES = 512  # images, or frames of clips, that pass and are stored together


def feature_keys(
    stimuli_fingerprint: str,
    backbone_fingerprint: str,
    layers: Sequence[str],
    *,
    pool: str = "none",
    over: str = "",
    dtype: str = "float32",
) -> dict[str, str]:
    """Keys of the features of each layer in the Store; ``pool``, ``dtype``, and ``over`` for clips, as in :func:`extract`."""
    parents = {"stimuli": stimuli_fingerprint, "backbone": backbone_fingerprint}
    parents |= {"pool": pool_for_key(pool)} if pool != "none" else {}
    parents |= {"over": over} if over else {}
    parents |= {"dtype": dtype} if dtype != "float32" else {}
    return {layer: digest("features", FEATURES_VERSION, **parents, layer=layer) for layer in layers}


def load(key: str, store: Store) -> np.ndarray | HalfRows:
    """Read a layer's features, (n_stimuli, n_features) float32: memory-mapped and read-only, or where float16 is stored, block by block.

    Raises
    ------
    LookupError where they were not extracted, or are damaged.
    """
    found = store.get(key)
    if found is None:
        raise LookupError(f"{store.root} holds no {key}. Extract these features first.")
    return HalfRows(found["X"], found["scale"], found["reference"]) if "scale" in found else found["X"]


@dataclass(frozen=True, order=True)
class Shard:
    """Stimuli ``start:stop`` of a set, which pass through a network together."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def shards(n_stimuli: int, most: int) -> tuple[Shard, ...]:
    """Split stimuli in order into as few runs of nearly equal length as have at most ``most`` stimuli.

    Examples
    --------
    >>> shards(5, 2)
    (Shard(start=0, stop=1), Shard(start=1, stop=3), Shard(start=3, stop=5))
    """
    n = max(1, -(-n_stimuli // max(1, most)))
    edges = [n_stimuli * number // n for number in range(n + 1)]
    return tuple(Shard(start, stop) for start, stop in pairwise(edges))


def extraction_shards(stimuli: Stimuli) -> tuple[Shard, ...]:
    """The shards in which stimuli are extracted; they depend on the stimuli alone, so that all processes have the same."""
    return shards(len(stimuli), SHARD_IMAGES // stimuli.n_frames)


def extract(
    stimuli: Stimuli,
    open_backbone: Callable[[], Backbone],
    keys: Mapping[str, str],
    store: Store,
    *,
    sketches: Mapping[str, str] | None = None,
    projections: Mapping[str, tuple[str, int]] | None = None,
    pool: str = "none",
    over: str = "mean",
    n_frames: int = 1,
    dtype: str = "float32",
    device: str = "cpu",
    batch_size: int | None = None,
    report: Report = silent,
    made_from: Mapping[str, Any] | None = None,
    check: Callable[[], None] = lambda: None,
    shard: Shard | None = None,
) -> None:
    """Store the features of the layers in ``keys`` and the sketches of those in ``sketches``; those missing are computed in one pass.

    Parameters
    ----------
    open_backbone : called only where something is missing.
    keys : layer to the key of its features (:func:`feature_keys`).
    sketches : layer to the key of its sketch (:func:`sketch_key`); its features are not stored.
    projections : layers of ``sketches`` of which a sparse random projection is stored in place of a sketch, to its name and number of
        components (:func:`encoding.features.random_projection.random_matrix`).
    pool : spatial pooling of a layer (:data:`encoding.backbones._pooling.POOLS`).
    over : pooling over a clip's frames (:data:`encoding.backbones._pooling.OVER_FRAMES`).
    n_frames : frames of a clip that are rows of their own in a sketch; 1 where a clip is one row.
    dtype : of stored features, one of :data:`encoding.features.half.FEATURE_DTYPES`.
    batch_size : most images in one forward pass; by default as many as memory comfortably holds.
    report : called with the fraction done and a text; an exception that it raises stops the work and leaves only whole shards behind.
    made_from : kept as provenance beside the numbers.
    check : called when every stimulus of a shard was read, before anything of it is stored; what it raises leaves nothing of it behind.
    shard : extract only this one of the :func:`extraction_shards`, for a later call that joins all.

    Raises
    ------
    StoreFull before much work is done where the disk has no room; ValueError where there are no images or an
    activation is not a finite number; whatever opening the backbone or reading an image raises.
    """
    named = {("X", layer): key for layer, key in keys.items()} | {("sketch", layer): key for layer, key in (sketches or {}).items()}
    missing = {kind_layer: key for kind_layer, key in named.items() if store.get(key) is None}
    if missing and not len(stimuli):
        raise ValueError("There are no images to extract features from.")
    pools, projected = (pool, over), projections or {}
    work = _Extraction(stimuli, open_backbone, store, pools, n_frames, dtype, device, batch_size, made_from or {}, check, projected)
    if shard is not None:
        work.extract_shard(missing, shard, report)
        return
    with ExitStack() as locks:
        missing = _locked(missing, store, locks)  # without what another process made meanwhile
        parts = extraction_shards(stimuli)
        if missing and len(parts) == 1:
            work.extract(missing, report)
        elif missing:
            locks.enter_context(store.in_use([shard_key(key, part) for key in missing.values() for part in parts]))
            for part in parts:
                work.extract_shard(missing, part, subprogress(report, 0.95 * part.start / len(stimuli), 0.95 * part.stop / len(stimuli)))
            for number, ((_, layer), key) in enumerate(missing.items()):
                report(0.95 + 0.05 * number / len(missing), f"features: joining {len(parts)} shards of {layer}")
                work.join(layer, key, parts)
        if missing:
            report(1.0, "features: stored")


def _locked(keys: Mapping[Any, str], store: Store, locks: ExitStack) -> dict[Any, str]:
    """Lock keys, in one order everywhere so that no two processes wait for each other, and return those that are still missing."""
    for key in sorted(keys.values()):
        locks.enter_context(store.lock(key))
    return {name: key for name, key in keys.items() if store.get(key) is None}


@dataclass
class _Extraction:
    """What :func:`extract` was called with, and the network once it is opened."""

    stimuli: Stimuli
    open_backbone: Callable[[], Backbone]
    store: Store
    pools: tuple[str, str]
    n_frames: int
    dtype: str
    device: str
    batch_size: int | None
    made_from: Mapping[str, Any]
    check: Callable[[], None]
    projections: Mapping[str, tuple[str, int]]

    @cached_property
    def backbone(self) -> Backbone:
        return self.open_backbone().for_passes(self.device)

    def extract(self, missing: Mapping[tuple[str, str], str], report: Report, rows: Shard | None = None) -> None:
        """Store what is missing, ("X" or "sketch", layer) to its key, of all stimuli or of some ``rows``."""
        shard = Shard(0, len(self.stimuli)) if rows is None else rows
        refers = shard.start > 0 and self.dtype == "float16"  # to the first stimulus, which passes before the shard
        stimuli = self.stimuli if rows is None else Chosen(self.stimuli, np.array([0] * refers + list(range(rows.start, rows.stop))))
        report(0.0, "features: opening the network")
        backbone, of_rows = self.backbone, {} if rows is None else {"rows": [rows.start, rows.stop]}
        with ExitStack() as files:
            raw, reduced = {}, {}
            for (kind, layer), key in missing.items():
                folder = files.enter_context(self.store.writing(key, dict(self.made_from) | {"layer": layer} | of_rows))
                if kind == "X":
                    raw[layer] = _Rows(folder, len(shard), self.dtype, files)
                elif layer in self.projections:
                    reduced[layer] = _ProjectedRows(*self.projections[layer], folder, len(shard), self.n_frames, files)
                else:
                    reduced[layer] = _SketchRows(layer, folder, len(shard), self.n_frames, files)
            n_left = len(self.stimuli) - shard.start
            progress = subprogress(report, 0, 0.97)
            _stream(stimuli, backbone, raw, reduced, self.pools, self.store, self.device, self.batch_size, progress, n_left, refers)
            self.check()
            for each in (*raw.values(), *reduced.values()):
                each.close()
            report(0.97, "features: checksums")

    def extract_shard(self, missing: Mapping[tuple[str, str], str], shard: Shard, report: Report) -> None:
        """Store a shard of what is missing, each under a key of its own; nothing where it is there."""
        named = {kind_layer: shard_key(key, shard) for kind_layer, key in missing.items()}
        needed = {kind_layer: key for kind_layer, key in named.items() if self.store.get(key) is None}
        with ExitStack() as locks:
            if needed := _locked(needed, self.store, locks):
                self.extract(needed, report, shard)

    def join(self, layer: str, key: str, parts: Sequence[Shard]) -> None:
        """Store a layer's rows of all shards, in order, as one result, and remove the shards."""
        found = [self.store.get(shard_key(key, part)) for part in parts]
        if None in found:
            raise OSError(f"A shard of {layer} could not be read back after it was written. Start the extraction again.")
        with self.store.writing(key, dict(self.made_from) | {"layer": layer}) as folder:
            for name in found[0]:
                first = found[0][name]
                if name in ("n_features", "reference"):
                    write_npy(folder / f"{name}.npy", first)
                    continue
                n_rows = sum(len(part[name]) for part in found)
                with NpyWriter(folder / f"{name}.npy", (n_rows, *first.shape[1:]), first.dtype) as writer:
                    for part in found:
                        writer.write(part[name])
        for part in parts:
            self.store.remove(shard_key(key, part))


def shard_key(key: str, shard: Shard) -> str:
    """Key of a shard of the features or the sketch ``key``."""
    return digest("shard", 1, of=key, rows=[shard.start, shard.stop])


def sketch_key(feature_key: str, n_frames: int = 1) -> str:
    """Key of the sketch of a layer's features; ``n_frames`` is above 1 where every frame of a clip is a row of its own."""
    framed = {"n_frames": n_frames} if n_frames > 1 else {}
    return digest("sketch", SKETCH_VERSION, features=feature_key, n_groups=N_GROUPS, **framed)


def _stream(
    stimuli: Stimuli,
    backbone: Backbone,
    raw: Mapping[str, _Rows],
    reduced: Mapping[str, _SketchRows | _ProjectedRows],
    pools: tuple[str, str],
    store: Store,
    device: str,
    batch_size: int | None,
    report: Report,
    n_left: int,
    refers: bool,
) -> None:
    """Every image through the network; wanted layers to their files, or to their sketches.

    Parameters
    ----------
    n_left : number of images of all that are not stored yet.
    refers : whether the first image is only what float16 rows refer to, and no row itself.
    """

    def write(made: Mapping[str, np.ndarray]) -> None:
        for layer, features in made.items():
            raw[layer].write(features)

    def use(first: int, layer: str, features: torch.Tensor) -> np.ndarray | None:
        if layer in reduced and not (refers and first == 0):
            reduced[layer].add(features)
        return features.cpu().numpy() if layer in raw else None

    layers = tuple(dict.fromkeys([*raw, *reduced]))
    batches = activations(stimuli, backbone, layers, pools, use, kept=raw, device=device, batch_size=batch_size, report=report)
    with closing(batches), ThreadPoolExecutor(1, "rows") as writer:
        writing = writer.submit(write, {})
        for start, used in batches:
            rows = {layer: used[layer] for layer in raw}
            del used  # or it would be in memory while the next batch passes
            if start == 0:
                sizes = [raw[layer].refer(features) for layer, features in rows.items()]
                joined = max(sizes, default=0) * (n_left - len(stimuli))  # the largest layer is there twice while its shards are joined
                _check_room(sum(sizes) * n_left + joined, n_left, store)
                if refers:
                    continue
            writing.result()  # one batch at most waits to be written
            writing = writer.submit(write, rows)
            del rows
        writing.result()


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
    pool, over = pools
    what = "clips" if stimuli.n_frames > 1 else "images"
    with closing(prepared(stimuli, backbone, device, over)) as ready:
        while batch := list(islice(ready, size)):
            n_frames, names = len(batch[0]), stimuli.names[done : done + len(batch)]
            images = torch.cat(batch)
            images = images.to(device) if device == "cpu" else images.pin_memory().to(device, non_blocking=True)
            del batch
            used: dict[str, T] = {}
            n_bytes: dict[str, int] = {}

            def take(layer: str, passed: torch.Tensor, first=done, n_frames=n_frames, names=names, used=used, n_bytes=n_bytes) -> None:
                n_bytes[layer] = 4 * passed.numel()
                features = over_frames(passed, n_frames, over)
                _check_rows(features, layer, names)
                used[layer] = use(first, layer, features)

            backbone.visit(images, tuple(layers), pool, take)
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
    """A layer's ``X.npy`` while it grows, a batch of rows at a time, as float32 or as :func:`encoding.features.half.encode` makes it."""

    def __init__(self, folder: Path, n_rows: int, dtype: str, files: ExitStack) -> None:
        self._folder, self._files, self._n_rows, self._dtype = folder, files, n_rows, np.dtype(dtype)
        self._scales: list[np.ndarray] = []

    def refer(self, features: np.ndarray) -> int:
        """Begin with the features of the first stimulus, (1, n_features) float32; returns the bytes of a row."""
        self._reference = features[0].copy()
        shape = (self._n_rows, len(self._reference))
        self._writer = self._files.enter_context(NpyWriter(self._folder / "X.npy", shape, self._dtype))
        return self._dtype.itemsize * len(self._reference)

    def write(self, features: np.ndarray) -> None:
        """Append (b, n_features) float32."""
        if self._dtype == np.float16:
            features, scale = encode(features, self._reference)
            self._scales.append(scale)
        self._writer.write(features)

    def close(self) -> None:
        """Write what float16 rows are to be read with."""
        if self._dtype == np.float16:
            write_npy(self._folder / "scale.npy", np.concatenate(self._scales))
            write_npy(self._folder / "reference.npy", self._reference)


class _SketchRows:
    """The sketch of a layer while it grows, one row for each stimulus or frame.

    ``Y`` (n_rows, n_columns) float16 holds rows of length about 1; ``squares`` (n_rows,) float64 are squared lengths of the rows of X.
    A sketch of all stimuli is the concatenation of the sketches of its shards.
    """

    def __init__(self, layer: str, folder: Path, n_stimuli: int, n_frames: int, files: ExitStack) -> None:
        self._layer, self._folder, self._n_frames = layer, folder, n_frames
        shape = (n_stimuli * n_frames, N_NONZEROS * N_GROUPS)
        self._writer = files.enter_context(NpyWriter(folder / "Y.npy", shape, "<f2"))
        self._squares: list[np.ndarray] = []
        self._n_features = 0

    def add(self, features: torch.Tensor) -> None:
        """Append the sketch of (b, n_frames * n_features) float32."""
        import torch

        X = features.reshape(len(features) * self._n_frames, -1)
        lengths = torch.linalg.vector_norm(X, dim=1).double()
        self._writer.write((sketch(X, self._layer) / lengths.clamp(min=1e-30)[:, None]).cpu().numpy())
        self._squares.append(lengths.square().cpu().numpy())
        self._n_features = X.shape[1]

    def close(self) -> None:
        """Write the arrays that are kept in memory."""
        write_npy(self._folder / "squares.npy", np.concatenate(self._squares))
        write_npy(self._folder / "n_features.npy", np.array(self._n_features))


class _ProjectedRows:
    """The sparse random projection ``P`` (n_rows, n_components) float32 of a layer while it grows, one row for each stimulus or frame."""

    def __init__(self, name: str, n_components: int, folder: Path, n_stimuli: int, n_frames: int, files: ExitStack) -> None:
        self._name, self._n_components, self._folder, self._n_frames = name, n_components, folder, n_frames
        self._writer = files.enter_context(NpyWriter(folder / "P.npy", (n_stimuli * n_frames, n_components), "<f4"))
        self._n_features = 0

    def add(self, features: torch.Tensor) -> None:
        """Append the projection of (b, n_frames * n_features) float32."""
        X = features.reshape(len(features) * self._n_frames, -1).cpu().numpy()
        self._n_features = X.shape[1]
        self._writer.write(multiply(X, random_matrix(self._name, self._n_features, self._n_components)))

    def close(self) -> None:
        """Write the number of features."""
        write_npy(self._folder / "n_features.npy", np.array(self._n_features))
