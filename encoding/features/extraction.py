"""Extract features: activations of every requested layer, with each image decoded and passed forward once.

Images are decoded and resized by threads while the network works on those before them, and rows are written
behind it. They go straight to disk, so memory holds a few batches whatever the size of a layer or a data set.

A large set of stimuli passes in shards (:func:`shards`), the same ones in every process: what a shard gives is stored by itself until
all are joined, so several workers can take them, and an extraction that was killed goes on after the last whole one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.backbones import Backbone
from encoding.backbones._pooling import pool_for_key
from encoding.datasets import Chosen, Stimuli
from encoding.features.activations import activations
from encoding.features.half import HalfRows
from encoding.features.row_files import FeatureRows, ProjectedRows, SketchRows
from encoding.features.sketch import N_GROUPS, SKETCH_VERSION
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest
from encoding.storage.npy import NpyWriter, write_npy
from encoding.storage.store import Store, StoreFull

if TYPE_CHECKING:
    import torch


FEATURES_VERSION = 1

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
    work = _Extraction(
        stimuli, open_backbone, store, (pool, over), n_frames, dtype, device, batch_size, made_from or {}, check, projections or {}
    )
    if shard is not None:
        work.extract_shard(missing, shard, report)
        return
    with ExitStack() as locks:
        missing = _locked(missing, store, locks)  # without what another process made meanwhile
        parts = extraction_shards(stimuli)
        if missing and len(parts) == 1:
            work.extract(missing, report)
        elif missing:
            work.extract_in_shards(missing, parts, report)
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
                    raw[layer] = FeatureRows(folder, len(shard), self.dtype, files)
                elif layer in self.projections:
                    reduced[layer] = ProjectedRows(*self.projections[layer], folder, len(shard), self.n_frames, files)
                else:
                    reduced[layer] = SketchRows(layer, folder, len(shard), self.n_frames, files)
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

    def extract_in_shards(self, missing: Mapping[tuple[str, str], str], parts: Sequence[Shard], report: Report) -> None:
        """Store what is missing shard by shard, and join the shards."""
        n = len(self.stimuli)
        with self.store.in_use([shard_key(key, part) for key in missing.values() for part in parts]):
            for part in parts:
                self.extract_shard(missing, part, subprogress(report, 0.95 * part.start / n, 0.95 * part.stop / n))
            for number, ((_, layer), key) in enumerate(missing.items()):
                report(0.95 + 0.05 * number / len(missing), f"features: joining {len(parts)} shards of {layer}")
                self._join(layer, key, parts)

    def _join(self, layer: str, key: str, parts: Sequence[Shard]) -> None:
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
    raw: Mapping[str, FeatureRows],
    reduced: Mapping[str, SketchRows | ProjectedRows],
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


def _check_room(n_bytes: int, n_images: int, store: Store) -> None:
    free = shutil.disk_usage(store.root).free
    if n_bytes + SPARE_BYTES > free:
        need = f"Features of {n_images:,} images take {n_bytes / 1e9:,.1f} GB"
        raise StoreFull(f"{need}; the disk of {store.root} has {free / 1e9:,.1f} GB free. `python -m encoding cache prune` frees some.")
