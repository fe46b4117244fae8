"""Principal components of layers that are too large to store, found while stimuli pass through the network twice.

Randomised SVD (Halko, Martinsson & Tropp 2011) of the training rows ``X`` (n_train, p), less their mean, with ``k`` components:

1. first pass: the sketch ``Y = X @ Omega`` (n, m) is stored (:mod:`encoding.features.sketch`); Omega is fitted to nothing;
2. ``Q`` (n_train, 4k): orthonormal basis of the leading left singular vectors of the training rows of Y;
3. second pass, training stimuli: ``B = Q' X`` (4k, p) is summed; its SVD ``U S V'`` gives axes V, training scores ``Q U S`` and variances;
4. second pass, test stimuli: projected on the axes.

Test stimuli enter no mean, no variance and no axis, as in :mod:`encoding.features.components`. Memory holds B of as many layers as fit in
:data:`SUM_BYTES`; other layers take a second pass of their own, and a single larger B is kept in a file. Activations of a layer are freed
before the network computes the next one.

``B`` is a sum over stimuli, made of the sums over :func:`sum_shards`, each from zero and added in order: the same numbers bit for bit
whether one process or several workers (:func:`sum_shard`) computed them. What a process has so far is stored at the end of a shard, so a
pass that was killed goes on from there. Q is stored with it, as the eigenvectors of another machine would be turned differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from encoding.features.components import BLOCK_BYTES
from encoding.features.extraction import SHARD_IMAGES, Shard, shards
from encoding.features.random_projection import multiply
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.atomic import scratch_folder
from encoding.storage.keys import digest
from encoding.storage.npy import NpyWriter, read_npy, write_npy
from encoding.storage.store import Arrays, Store

if TYPE_CHECKING:
    import torch

    from encoding.features.components import Axes

T = TypeVar("T")

REDUCTION_VERSION = 1

OVERSAMPLING = 4  # sketched directions for each component
SUM_BYTES = 1_500 * 10**6  # of the sums B in memory at one time
MOST_SHARDS = 8  # of a second pass: workers store the sums of each

Use = Callable[[int, str, "torch.Tensor"], None]
Stream = Callable[[np.ndarray, Sequence[str], Report, Use], None]
"""``stream(rows, layers, report, use)`` calls ``use(first, layer, X)`` for each layer of every batch, in order: ``first`` is the place of
the batch's first stimulus in ``rows``, ``X`` (b * n_frames, n_features) float32 are features, freed when ``use`` returns."""


def n_basis(n_components: int) -> int:
    """Number of sketched directions in which components are looked for."""
    return OVERSAMPLING * n_components


def sum_bytes(n_components: int, n_train: int, n_features: int) -> int:
    """Bytes of the sums ``B`` of so many features, and of the sum of rows."""
    return 4 * (min(n_basis(n_components), n_train - 1) + 1) * n_features


def sum_shards(n_train: int, n_frames: int = 1) -> tuple[Shard, ...]:
    """Shards of ``n_train`` training stimuli that a second pass sums by themselves; places in the training rows, not in all stimuli."""
    return shards(n_train, max(SHARD_IMAGES // n_frames, -(-n_train // MOST_SHARDS)))


@dataclass
class Space:
    """Layers that share a PCA, and what is known of it so far.

    Attributes
    ----------
    key : of the components in the Store.
    sketches : layer to its sketch: ``Y`` (n_rows, m) float16, rows of length 1, their squared lengths ``squares`` and ``n_features``.
    n_components : how many are kept.
    scaled : whether layers are scaled to the same total variance.
    unit_variance : whether each component is divided by its deviation over the training rows.
    made_from : provenance.
    """

    key: str
    sketches: Mapping[str, Mapping[str, np.ndarray]]
    n_components: int
    scaled: bool = False
    unit_variance: bool = False
    made_from: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers whose features it holds."""
        return tuple(self.sketches)

    def n_features(self, layer: str) -> int:
        """Number of features of a layer."""
        return int(self.sketches[layer]["n_features"])

    def sum_bytes(self, n_train: int) -> int:
        """Bytes of ``B`` of all layers."""
        return sum_bytes(self.n_components, n_train, sum(map(self.n_features, self.layers)))


class Sums:
    """``Q' X`` and the sum of rows of a layer over stimuli; sums of several shards of stimuli add.

    Parameters
    ----------
    n_basis : columns of Q. n_features : of the layer.
    file : keeps the sums where they are too large for memory.

    Attributes
    ----------
    sums : (n_basis + 1, n_features) float32; the last row is the sum of rows.
    """

    def __init__(self, n_basis: int, n_features: int, *, device: str = "cpu", file: Path | None = None) -> None:
        import torch

        shape = (n_basis + 1, n_features)
        if file is None:
            self.sums = torch.zeros(shape, device=device)
        else:
            self.sums = torch.from_numpy(np.lib.format.open_memmap(file, "w+", np.float32, shape))

    def add(self, X: torch.Tensor, Q: torch.Tensor) -> None:
        """Add rows ``X`` (b, n_features) with their rows of the basis ``Q`` (b, n_basis)."""
        import torch

        coefficients = torch.cat([Q, torch.ones(len(Q), 1, device=Q.device)], 1).to(self.sums.device)
        self.sums.addmm_(coefficients.T, X.to(self.sums.device))

    def merge(self, other: np.ndarray | torch.Tensor) -> None:
        """Add the sums of another shard, a block of rows at a time."""
        import torch

        step = max(1, BLOCK_BYTES // (4 * self.sums.shape[1]))
        for start in range(0, len(self.sums), step):
            part = other[start : start + step]
            part = torch.from_numpy(np.array(part)) if isinstance(part, np.ndarray) else part
            self.sums[start : start + step] += part.to(self.sums.device)

    @property
    def B(self) -> torch.Tensor:
        """(n_basis, n_features) float32."""
        return self.sums[:-1]


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
    train, test : numbers of the stimuli; stimuli in neither get NaN scores.
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
        together, parts = _bins(missing, len(rows)), sum_shards(len(train), n_frames)
        for number, some in enumerate(together):
            with ExitStack() as files:
                folders = [files.enter_context(store.writing(space.key, space.made_from)) for space in some]
                fits = [_Fit(space, rows, folder, device, store, parts) for space, folder in zip(some, folders, strict=True)]
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
    for some in _bins([space for space in spaces if store.get(space.key) is None] if len(parts) > 1 else [], len(rows)):
        with ExitStack() as stack:
            folder = stack.enter_context(scratch_folder(store.root))
            fits = [_Fit(space, rows, folder, device, store, parts) for space in some]
            for key in sorted(each.sums_key(shard) for each in fits):
                stack.enter_context(store.lock(key))
            needing = [each for each in fits if each.done < shard.stop and store.get(each.sums_key(shard)) is None]
            for each in needing:
                each.forget()
            _sum(needing, train, shard, stream, n_frames, report)
            for each in needing:
                each.store_sums(shard)


def _sum(fits: Sequence[_Fit], train: np.ndarray, shard: Shard, stream: Stream, n_frames: int, report: Report) -> None:
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


def _project(fits: Sequence[_Fit], test: np.ndarray, stream: Stream, n_frames: int, report: Report) -> None:
    """Scores of the test stimuli, on the axes as they are stored."""
    axes = {fit.space.key: ({layer: fit.space.n_features(layer) for layer in fit.space.layers}, *fit.axes()) for fit in fits}
    rows = (test[:, None] * n_frames + np.arange(n_frames)).ravel()
    for key, scores in project_stream(axes, test, stream, n_frames=n_frames, report=report).items():
        next(fit for fit in fits if fit.space.key == key).scores[rows] = scores


def _layers(spaces: Sequence[Space]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(layer for space in spaces for layer in space.layers))


def bins(sizes: Mapping[T, int]) -> list[list[T]]:
    """Group whatever has sums of so many bytes, in its order, as one pass holds them in :data:`SUM_BYTES`; a larger one stays alone."""
    found: list[list[T]] = []
    for one in sizes:
        if found and sum(sizes[each] for each in [*found[-1], one]) <= SUM_BYTES:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def _bins(spaces: Sequence[Space], n_train: int) -> list[list[Space]]:
    grouped = bins({number: space.sum_bytes(n_train) for number, space in enumerate(spaces)})
    return [[spaces[number] for number in group] for group in grouped]  # a pass ends with the last layer that it needs


class _Fit:
    """The components of a space while shards of training stimuli pass, in order; ``done`` of them are in the sums."""

    def __init__(self, space: Space, train: np.ndarray, folder: Path, device: str, store: Store, parts: Sequence[Shard]) -> None:
        import torch

        self.space, self.train, self.folder, self._device, self._store, self._parts = space, train, folder, device, store, parts
        self._basis_key = digest("directions", 1, components=space.key)
        if len(parts) == 1:
            basis = training_basis(space, train).astype(np.float32)
        else:
            basis = store.memo(self._basis_key, lambda: {"Q": training_basis(space, train).astype(np.float32)}, space.made_from)["Q"]
        self._basis_digest = hashlib.sha256(np.ascontiguousarray(basis)).hexdigest()[:20]
        self.Q = torch.from_numpy(np.array(basis)).to(device)
        large = space.sum_bytes(len(train)) > SUM_BYTES
        self._files = {layer: folder / f"sums-{number}" for number, layer in enumerate(space.layers)} if large else {}
        self.sums = {
            layer: Sums(basis.shape[1], space.n_features(layer), device=device, file=self._files.get(layer)) for layer in space.layers
        }
        n_rows = len(next(iter(space.sketches.values()))["squares"])
        self.scores = np.full((n_rows, 0), np.nan, np.float32)
        self.done, self._before = 0, {}
        for part in reversed(parts[:-1]):
            if (stored := store.get(self.sums_key(Shard(0, part.stop)))) is not None:
                self._merge(stored)
                self.done = part.stop
                break

    def sums_key(self, shard: Shard) -> str:
        """Key of the sums over places ``start:stop`` of the training stimuli."""
        return digest("sums", 1, components=self.space.key, basis=self._basis_digest, rows=[shard.start, shard.stop])

    def take(self, shard: Shard) -> bool:
        """Whether a shard is in the sums, or its own are stored and were added now."""
        if shard.stop > self.done and (stored := self._store.get(self.sums_key(shard))) is not None:
            self._merge(stored)
            self.done = shard.stop
        return shard.stop <= self.done

    def begin(self, shard: Shard) -> None:
        """Put the sums of what is done away, in the Store or on the GPU, and begin at zero."""
        if self.done and self._device != "cpu":
            self._before = {f"sums_{number}": sums.sums.clone() for number, sums in enumerate(self.sums.values())}
        elif self.done:
            done = Shard(0, self.done)
            if self._store.get(self.sums_key(done)) is None:
                self.store_sums(done)
            self._before = self._store.get(self.sums_key(done))
            if self._before is None:
                raise OSError(f"{self._store.path(self.sums_key(done))} could not be read back after it was written. Fit again.")
            for part in self._parts:
                if part.stop < self.done:
                    self._store.remove(self.sums_key(Shard(0, part.stop)))
                if 0 < part.start < self.done:
                    self._store.remove(self.sums_key(part))
        self.forget()

    def add(self, first: int, layer: str, X: torch.Tensor) -> None:
        """Add a layer's features of a batch of training rows; ``first`` is its place among them."""
        self.sums[layer].add(X, self.Q[first : first + len(X)])

    def end(self, shard: Shard) -> None:
        """Add what was put away to the sums of the shard."""
        self._merge(self._before)
        self.done, self._before = shard.stop, {}

    def forget(self) -> None:
        """Set the sums to zero."""
        for sums in self.sums.values():
            sums.sums.zero_()

    def store_sums(self, shard: Shard) -> None:
        """Store the sums as those of a shard."""
        arrays = {f"sums_{number}": sums.sums.cpu().numpy() for number, sums in enumerate(self.sums.values())}
        self._store.put(self.sums_key(shard), arrays, {**self.space.made_from, "rows": [shard.start, shard.stop]})

    def clear(self) -> None:
        """Remove what is stored for the time of the passes."""
        for key in self.passing_keys():
            self._store.remove(key)

    def passing_keys(self) -> list[str]:
        """Keys of what is stored for the time of the passes: the basis, and sums of shards and of all up to one; none of a single shard."""
        if len(self._parts) == 1:
            return []
        shards_and_sums = (shard for part in self._parts for shard in (part, Shard(0, part.stop)))
        return [self._basis_key, *map(self.sums_key, shards_and_sums)]

    def _merge(self, stored: Arrays | Mapping[str, torch.Tensor]) -> None:
        for number, sums in enumerate(self.sums.values()) if stored else ():
            sums.merge(stored[f"sums_{number}"])

    def solve(self) -> None:
        """Axes, variances and training scores from the sums; axes go to their file, the sums are dropped."""
        import torch

        n, space = len(self.train), self.space
        means = {layer: (sums.sums[-1] / n).cpu().numpy() for layer, sums in self.sums.items()}
        totals = {}
        for layer, mean in means.items():
            squares = float(np.asarray(space.sketches[layer]["squares"], np.float64)[self.train].sum())
            totals[layer] = max(0.0, squares - n * float(np.square(mean, dtype=np.float64).sum())) / (n - 1)
        scales = dict.fromkeys(space.layers, 1.0)
        if space.scaled and len(space.layers) > 1:
            aim = np.mean(list(totals.values()))
            scales = {layer: float(np.sqrt(aim / max(total, np.finfo(float).tiny))) for layer, total in totals.items()}
        gram = sum(scales[layer] ** 2 * _gram(sums.B) for layer, sums in self.sums.items())
        values, vectors = torch.linalg.eigh(gram)
        values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
        k = max(1, min(space.n_components, int((values > values[0] * 1e-9).sum())))
        scores = self.Q.double().cpu() @ (vectors[:, :k] * values[:k].sqrt())
        sign = scores.gather(0, scores.abs().argmax(0, keepdim=True)).sign()
        if space.unit_variance:
            sign = sign / (values[:k] / (n - 1)).clamp(min=float(np.finfo(np.float32).tiny)).sqrt()
        self.scores = np.full((len(self.scores), k), np.nan, np.float32)
        self.scores[self.train] = (scores * sign).float().numpy()
        turn = (vectors[:, :k] / values[:k].clamp(min=1e-300).sqrt() * sign).float()
        total = sum(scales[layer] ** 2 * totals[layer] for layer in space.layers)
        n_features = sum(map(space.n_features, space.layers))
        plain = len(space.layers) == 1 and not space.unit_variance  # scaled axes may lie below the range of float16
        kind = "<f2" if plain else "<f4"
        with NpyWriter(self.folder / "axes.npy", (n_features, k), kind) as writer:
            for layer, sums in self.sums.items():
                factor = scales[layer] ** 2 * turn.to(sums.sums.device)
                for columns in _blocks(sums.B):
                    writer.write((sums.B[:, columns].T @ factor).cpu().numpy())
        mean = np.concatenate([means[layer] for layer in space.layers])
        arrays = {"mean": mean, "variance": (values[:k] / (n - 1)).numpy(), "total_variance": np.array(total)}
        for name, array in arrays.items():
            write_npy(self.folder / f"{name}.npy", array)
        self.sums = {}
        for file in self._files.values():
            file.unlink()

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n_features,) and axes (n_features, k) as they are stored."""
        return read_npy(self.folder / "mean.npy"), read_npy(self.folder / "axes.npy")


def training_basis(space: Space, train: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the training rows' leading directions in the sketch.

    Returns
    -------
    (n_train, n_basis) float64, orthogonal to a constant.

    Raises
    ------
    ValueError naming a layer whose features are the same for every training row.
    """
    Y = 0.0
    for layer, stored in space.sketches.items():
        lengths = np.sqrt(np.asarray(stored["squares"], np.float64))[train]
        own = np.asarray(stored["Y"])[train].astype(np.float64) * lengths[:, None]
        own -= own.mean(0)
        total = float(np.square(own).sum())
        if total <= 1e-6**2 * float(np.square(lengths).sum()):
            raise ValueError(
                f"Layer {layer!r} gives the same features for every training image, so nothing can be predicted from it. "
                "Choose another layer; an untrained network may hold layers that are 0 until they are trained."
            )
        Y = Y + (own / np.sqrt(total) if space.scaled else own)
    n = min(n_basis(space.n_components), len(train) - 1)
    tall = len(train) > Y.shape[1]
    values, vectors = np.linalg.eigh(Y.T @ Y if tall else Y @ Y.T)
    n = min(n, max(1, int((values > values[-1] * 1e-9).sum())))
    leading = vectors[:, ::-1][:, :n]
    return np.linalg.qr(Y @ leading if tall else leading)[0]


def _blocks(B: torch.Tensor) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // (8 * len(B)))
    return (slice(start, min(start + step, B.shape[1])) for start in range(0, B.shape[1], step))


def _gram(B: torch.Tensor) -> torch.Tensor:
    """``B B'`` (n_basis, n_basis) float64 on the CPU, a block of features at a time."""
    import torch

    gram = torch.zeros(len(B), len(B), dtype=torch.float64, device=B.device)
    for columns in _blocks(B):
        part = B[:, columns].double()
        gram.addmm_(part, part.T)
    return gram.cpu()
