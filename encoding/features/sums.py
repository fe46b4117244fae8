"""The sums over training stimuli from which components of large layers are found: steps 2 and 3 of :mod:`encoding.features.reduction`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from encoding.features.blocks import BLOCK_BYTES
from encoding.features.extraction import Shard
from encoding.storage.keys import digest
from encoding.storage.npy import NpyWriter, read_npy, write_npy
from encoding.storage.store import Arrays, Store

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

OVERSAMPLING = 4  # sketched directions for each component
SUM_BYTES = 1_500 * 10**6  # of the sums B in memory at one time


def n_basis(n_components: int) -> int:
    """Number of sketched directions in which components are looked for."""
    return OVERSAMPLING * n_components


def sum_bytes(n_components: int, n_train: int, n_features: int) -> int:
    """Bytes of the sums ``B`` of so many features, and of the sum of rows."""
    return 4 * (min(n_basis(n_components), n_train - 1) + 1) * n_features


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


def bins(sizes: Mapping[T, int]) -> list[list[T]]:
    """Group whatever has sums of so many bytes, in its order, as one pass holds them in :data:`SUM_BYTES`; a larger one stays alone."""
    found: list[list[T]] = []
    for one in sizes:
        if found and sum(sizes[each] for each in [*found[-1], one]) <= SUM_BYTES:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def spaces_of_passes(spaces: Sequence[Space], n_train: int) -> list[list[Space]]:
    """Group spaces, in their order, as one second pass of ``n_train`` rows reduces them together (:func:`bins`)."""
    grouped = bins({number: space.sum_bytes(n_train) for number, space in enumerate(spaces)})
    return [[spaces[number] for number in group] for group in grouped]  # a pass ends with the last layer that it needs


class SpaceFit:
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
