"""Principal components of layers that are too large to store, found while stimuli pass through the network twice.

Randomised SVD (Halko, Martinsson & Tropp 2011) of the training rows ``X`` (n_train, p), less their mean, with ``k`` components:

1. first pass: the sketch ``Y = X @ Omega`` (n, m) is stored (:mod:`encoding.features.sketch`); Omega is fitted to nothing;
2. ``Q`` (n_train, 4k): orthonormal basis of the leading left singular vectors of the training rows of Y;
3. second pass, training stimuli: ``B = Q' X`` (4k, p) is summed; its SVD ``U S V'`` gives axes V, training scores ``Q U S`` and variances;
4. second pass, test stimuli: projected on the axes.

Test stimuli enter no mean, no variance and no axis, as in :mod:`encoding.features.components`. Memory holds B of as many layers as fit in
:data:`encoding.features.sums.SUM_BYTES`; other layers take a second pass of their own, and a single larger B is kept in a file.
Activations of a layer are freed before the network computes the next one.

``B`` is a sum over stimuli, made of the sums over :func:`sum_shards`, each from zero and added in order: the same numbers bit for bit
whether one process or several workers (:func:`sum_shard`) computed them. What a process has so far is stored at the end of a shard, so a
pass that was killed goes on from there. Q is stored with it, as the eigenvectors of another machine would be turned differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from encoding.features.extraction import SHARD_IMAGES, Shard, shards
from encoding.features.random_projection import multiply
from encoding.features.sums import Space, SpaceFit, spaces_of_passes
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.atomic import scratch_folder
from encoding.storage.npy import write_npy
from encoding.storage.store import Store

if TYPE_CHECKING:
    import torch

    from encoding.features.components import Axes


REDUCTION_VERSION = 1

MOST_SHARDS = 8  # of a second pass: workers store the sums of each

Use = Callable[[int, str, "torch.Tensor"], None]
Stream = Callable[[np.ndarray, Sequence[str], Report, Use], None]
"""``stream(rows, layers, report, use)`` calls ``use(first, layer, X)`` for each layer of every batch, in order: ``first`` is the place of
the batch's first stimulus in ``rows``, ``X`` (b * n_frames, n_features) float32 are features, freed when ``use`` returns."""


def sum_shards(n_train: int, n_frames: int = 1) -> tuple[Shard, ...]:
    """Shards of ``n_train`` training stimuli that a second pass sums by themselves; places in the training rows, not in all stimuli."""
    return shards(n_train, max(SHARD_IMAGES // n_frames, -(-n_train // MOST_SHARDS)))


def reduce_spaces(
    spaces: Sequence[Space],
    train: np.ndarray,
    test: np.ndarray,
    stream: Stream,
    store: Store,
    *,
    n_frames: int,
    device: str,
    report: Report,
) -> None:
    """Fit and store the components of several groups of layers of one network, in one second pass of the stimuli where memory allows.

    Parameters
    ----------
    train, test : numbers of the stimuli that fit components, and that are projected on them; stimuli in neither get NaN scores.
    stream : passes stimuli through the network.
    n_frames : rows of each stimulus.

    Raises
    ------
    ValueError naming a layer whose features are the same for every training stimulus.
    """
    rows = (train[:, None] * n_frames + np.arange(n_frames)).ravel()
    with ExitStack() as stack:
        for key in sorted(space.key for space in spaces):
            stack.enter_context(store.lock(key))
        missing = [space for space in spaces if store.get(space.key) is None]
        together, parts = spaces_of_passes(missing, len(rows)), sum_shards(len(train), n_frames)
        for number, some in enumerate(together):
            with ExitStack() as files:
                folders = [files.enter_context(store.writing(space.key, space.made_from)) for space in some]
                fits = [SpaceFit(space, rows, folder, device, store, parts) for space, folder in zip(some, folders, strict=True)]
                files.enter_context(store.in_use([key for each in fits for key in each.passing_keys()]))
                progress = subprogress(report, number / len(together), (number + 1) / len(together))
                share = len(train) / max(1, len(train) + len(test))
                for part in parts:
                    done, stop = (share * at / len(train) for at in (part.start, part.stop))
                    needing = [each for each in fits if not each.take(part)]
                    for each in needing:
                        each.begin(part)
                    _sum(needing, train, part, stream, n_frames, subprogress(progress, done, stop))
                    for each in needing:
                        each.end(part)
                for each in fits:
                    each.solve()
                _project(fits, test, stream, n_frames, subprogress(progress, share, 1))
                for each in fits:
                    write_npy(each.folder / "scores.npy", each.scores.reshape(len(each.scores) // n_frames, -1))
            for each in fits:
                each.clear()


def sum_shard(
    spaces: Sequence[Space],
    train: np.ndarray,
    shard: Shard,
    stream: Stream,
    store: Store,
    *,
    n_frames: int,
    device: str,
    report: Report,
) -> None:
    """Store the sums of one of the :func:`sum_shards`, which :func:`reduce_spaces` then needs not compute; parameters as there."""
    rows, parts = (train[:, None] * n_frames + np.arange(n_frames)).ravel(), sum_shards(len(train), n_frames)
    for some in spaces_of_passes([space for space in spaces if store.get(space.key) is None] if len(parts) > 1 else [], len(rows)):
        with ExitStack() as stack:
            folder = stack.enter_context(scratch_folder(store.root))
            fits = [SpaceFit(space, rows, folder, device, store, parts) for space in some]
            for key in sorted(each.sums_key(shard) for each in fits):
                stack.enter_context(store.lock(key))
            needing = [each for each in fits if each.done < shard.stop and store.get(each.sums_key(shard)) is None]
            for each in needing:
                each.forget()
            _sum(needing, train, shard, stream, n_frames, report)
            for each in needing:
                each.store_sums(shard)


def _sum(fits: Sequence[SpaceFit], train: np.ndarray, shard: Shard, stream: Stream, n_frames: int, report: Report) -> None:
    """Add the training stimuli of a shard to the sums of some fits."""

    def add(first: int, layer: str, X: torch.Tensor) -> None:
        for each in fits:
            if layer in each.sums:
                each.add((shard.start + first) * n_frames, layer, X)

    if fits:
        stream(train[shard.start : shard.stop], _layers([each.space for each in fits]), report, add)


def project_stream(
    axes: Mapping[str, tuple[Mapping[str, int], np.ndarray, Axes]],
    rows: np.ndarray,
    stream: Stream,
    *,
    n_frames: int = 1,
    report: Report = silent,
) -> dict[str, np.ndarray]:
    """Project stimuli on known axes as they pass through the network.

    Parameters
    ----------
    axes : name to number of features of each layer, mean (n_features,) and axes (n_features, k) of the layers side by side.
    rows : (n,) numbers of the stimuli.

    Returns
    -------
    Name to scores (n * n_frames, k) float32.
    """
    import torch

    found = {name: np.zeros((len(rows) * n_frames, V.shape[1]), np.float32) for name, (_, _, V) in axes.items()}
    places: dict[str, dict[str, slice]] = {}
    for name, (sizes, _, _) in axes.items():
        edges = np.cumsum([0, *sizes.values()])
        places[name] = {layer: slice(start, stop) for layer, (start, stop) in zip(sizes, pairwise(edges), strict=True)}
    loaded: dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor]] = {}

    def add(first: int, layer: str, X: torch.Tensor) -> None:
        for name, (sizes, mean, V) in axes.items():
            if layer not in sizes:
                continue
            if not isinstance(V, np.ndarray):
                part = multiply((X.cpu() - torch.from_numpy(np.array(mean[places[name][layer]]))).numpy(), V[places[name][layer]])
                found[name][first * n_frames : first * n_frames + len(X)] += part
                continue
            if (name, layer) not in loaded:
                here = places[name][layer]
                loaded[name, layer] = tuple(torch.from_numpy(np.array(each[here], np.float32)).to(X.device) for each in (mean, V))
            centre, axis = loaded[name, layer]
            scores = (X - centre) @ axis
            found[name][first * n_frames : first * n_frames + len(X)] += scores.cpu().numpy()

    if len(rows):
        stream(rows, tuple(dict.fromkeys(layer for sizes, _, _ in axes.values() for layer in sizes)), report, add)
    return found


def _project(fits: Sequence[SpaceFit], test: np.ndarray, stream: Stream, n_frames: int, report: Report) -> None:
    """Scores of the test stimuli, on the axes as they are stored."""
    axes = {fit.space.key: ({layer: fit.space.n_features(layer) for layer in fit.space.layers}, *fit.axes()) for fit in fits}
    rows = (test[:, None] * n_frames + np.arange(n_frames)).ravel()
    for key, scores in project_stream(axes, test, stream, n_frames=n_frames, report=report).items():
        next(fit for fit in fits if fit.space.key == key).scores[rows] = scores


def _layers(spaces: Sequence[Space]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(layer for space in spaces for layer in space.layers))
