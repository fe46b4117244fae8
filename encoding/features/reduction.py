"""Principal components of layers that are too large to store, found while stimuli pass through the network twice.

Randomised SVD (Halko, Martinsson & Tropp 2011) of the training rows ``X`` (n_train, p), less their mean, with ``k`` components:

1. first pass: the sketch ``Y = X @ Omega`` (n, m) is stored (:mod:`encoding.features.sketch`); Omega is fitted to nothing;
2. ``Q`` (n_train, 4k): orthonormal basis of the leading left singular vectors of the training rows of Y;
3. second pass, training stimuli: ``B = Q' X`` (4k, p) is summed; its SVD ``U S V'`` gives axes V, training scores ``Q U S`` and variances;
4. second pass, test stimuli: projected on the axes.

Test stimuli enter no mean, no variance and no axis, as in :mod:`encoding.features.components`. ``B`` is a sum over stimuli: shards of
stimuli add. Memory holds B of as many layers as fit in :data:`SUM_BYTES`; other layers take a second pass of their own, and a single
larger B is kept in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.features.components import BLOCK_BYTES
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.npy import NpyWriter, read_npy, write_npy
from encoding.storage.store import Store

if TYPE_CHECKING:
    import torch

REDUCTION_VERSION = 1

OVERSAMPLING = 4  # sketched directions for each component
SUM_BYTES = 1_500 * 10**6  # of the sums B in memory at one time

Stream = Callable[[np.ndarray, Sequence[str], Report], Iterator[tuple[int, Mapping[str, "torch.Tensor"]]]]
"""``stream(rows, layers, report)`` yields, batch after batch, the place of its first stimulus in ``rows`` and layer to features
(b * n_frames, n_features) float32."""


def n_basis(n_components: int) -> int:
    """Number of sketched directions in which components are looked for."""
    return OVERSAMPLING * n_components


@dataclass
class Space:
    """Layers that share a PCA, and what is known of it so far.

    Attributes
    ----------
    key : of the components in the Store.
    sketches : layer to its sketch: ``Y`` (n_rows, m) float16, rows of length 1, their squared lengths ``squares`` and ``n_features``.
    n_components : how many are kept.
    scaled : whether layers are scaled to the same total variance.
    made_from : provenance.
    """

    key: str
    sketches: Mapping[str, Mapping[str, np.ndarray]]
    n_components: int
    scaled: bool = False
    made_from: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.sketches)

    def n_features(self, layer: str) -> int:
        return int(self.sketches[layer]["n_features"])

    def sum_bytes(self, n_train: int) -> int:
        """Bytes of ``B`` of all layers."""
        n = min(n_basis(self.n_components), n_train - 1)
        return 4 * (n + 1) * sum(map(self.n_features, self.layers))


class Sums:
    """``Q' X`` and the sum of rows of a layer over stimuli; sums of several shards of stimuli add.

    Parameters
    ----------
    n_basis : columns of Q. n_features : of the layer.
    file : keeps the sums where they are too large for memory.
    """

    def __init__(self, n_basis: int, n_features: int, *, device: str = "cpu", file: Path | None = None) -> None:
        import torch

        shape = (n_basis + 1, n_features)
        if file is None:
            self.sums = torch.zeros(shape, device=device)
        else:
            self.sums = torch.from_numpy(np.lib.format.open_memmap(file, "w+", np.float32, shape))
        self.n = 0

    def add(self, X: torch.Tensor, Q: torch.Tensor) -> None:
        """Add rows ``X`` (b, n_features) with their rows of the basis ``Q`` (b, n_basis)."""
        import torch

        coefficients = torch.cat([Q, torch.ones(len(Q), 1, device=Q.device)], 1).to(self.sums.device)
        self.sums.addmm_(coefficients.T, X.to(self.sums.device))
        self.n += len(X)

    def merge(self, other: Sums) -> None:
        """Add the sums of another shard."""
        self.sums += other.sums
        self.n += other.n

    @property
    def mean(self) -> np.ndarray:
        """(n_features,) float32."""
        return (self.sums[-1] / self.n).cpu().numpy()

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
        bins = _bins(missing, len(rows))
        for number, together in enumerate(bins):
            with ExitStack() as files:
                folders = [files.enter_context(store.writing(space.key, space.made_from)) for space in together]
                fits = [_Fit(space, rows, folder, device) for space, folder in zip(together, folders, strict=True)]
                progress = subprogress(report, number / len(bins), (number + 1) / len(bins))
                share = len(train) / max(1, len(train) + len(test))
                for first, made in stream(train, _layers(together), subprogress(progress, 0, share)):
                    for each in fits:
                        each.add(first * n_frames, made)
                for each in fits:
                    each.solve()
                _project(fits, test, stream, n_frames, subprogress(progress, share, 1))
                for each in fits:
                    write_npy(each.folder / "scores.npy", each.scores.reshape(len(each.scores) // n_frames, -1))


def project_stream(
    axes: Mapping[str, tuple[Sequence[str], np.ndarray, np.ndarray]],
    rows: np.ndarray,
    stream: Stream,
    *,
    n_frames: int = 1,
    report: Report = silent,
) -> dict[str, np.ndarray]:
    """Project stimuli on known axes as they pass through the network.

    Parameters
    ----------
    axes : name to layers, mean (n_features,) and axes (n_features, k) of the layers side by side.
    rows : (n,) numbers of the stimuli.

    Returns
    -------
    Name to scores (n * n_frames, k) float32.
    """
    import torch

    found = {name: np.zeros((len(rows) * n_frames, V.shape[1]), np.float32) for name, (_, _, V) in axes.items()}
    layers = tuple(dict.fromkeys(layer for own, _, _ in axes.values() for layer in own))
    loaded: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for first, made in stream(rows, layers, report) if len(rows) else ():
        for name, (own, mean, V) in axes.items():
            device = made[own[0]].device
            if name not in loaded:
                loaded[name] = torch.from_numpy(np.array(V, np.float32)).to(device), torch.from_numpy(np.array(mean, np.float32)).to(device)
            place, scores, (axis, centre) = 0, 0.0, loaded[name]
            for layer in own:
                here = slice(place, place := place + made[layer].shape[1])
                scores = scores + (made[layer] - centre[here]) @ axis[here]
            start = first * n_frames
            found[name][start : start + len(scores)] = scores.cpu().numpy()
    return found


def _project(fits: Sequence[_Fit], test: np.ndarray, stream: Stream, n_frames: int, report: Report) -> None:
    """Scores of the test stimuli, on the axes as they are stored."""
    axes = {fit.space.key: (fit.space.layers, *fit.axes()) for fit in fits}
    rows = (test[:, None] * n_frames + np.arange(n_frames)).ravel()
    for key, scores in project_stream(axes, test, stream, n_frames=n_frames, report=report).items():
        next(fit for fit in fits if fit.space.key == key).scores[rows] = scores


def _layers(spaces: Sequence[Space]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(layer for space in spaces for layer in space.layers))


def _bins(spaces: Sequence[Space], n_train: int) -> list[list[Space]]:
    """Spaces in their order, together as long as their sums fit in :data:`SUM_BYTES`; a pass ends with the last layer that it needs."""
    bins: list[list[Space]] = []
    for space in spaces:
        if bins and sum(each.sum_bytes(n_train) for each in [*bins[-1], space]) <= SUM_BYTES:
            bins[-1].append(space)
        else:
            bins.append([space])
    return bins


class _Fit:
    """The components of a space while training stimuli pass."""

    def __init__(self, space: Space, train: np.ndarray, folder: Path, device: str) -> None:
        import torch

        self.space, self.train, self.folder, self._device = space, train, folder, device
        basis = training_basis(space, train)
        self.Q = torch.from_numpy(basis).float().to(device)
        large = space.sum_bytes(len(train)) > SUM_BYTES
        self._files = {layer: folder / f"sums-{number}" for number, layer in enumerate(space.layers)} if large else {}
        self.sums = {
            layer: Sums(basis.shape[1], space.n_features(layer), device=device, file=self._files.get(layer)) for layer in space.layers
        }
        n_rows = len(next(iter(space.sketches.values()))["squares"])
        self.scores = np.full((n_rows, 0), np.nan, np.float32)

    def add(self, first: int, made: Mapping[str, torch.Tensor]) -> None:
        """Add a batch of training rows; ``first`` is its place among them."""
        for layer, sums in self.sums.items():
            sums.add(made[layer], self.Q[first : first + len(made[layer])])

    def solve(self) -> None:
        """Axes, variances and training scores from the sums; axes go to their file, the sums are dropped."""
        import torch

        n, space = len(self.train), self.space
        means = {layer: sums.mean for layer, sums in self.sums.items()}
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
        self.scores = np.full((len(self.scores), k), np.nan, np.float32)
        self.scores[self.train] = (scores * sign).float().numpy()
        turn = (vectors[:, :k] / values[:k].clamp(min=1e-300).sqrt() * sign).float()
        total = sum(scales[layer] ** 2 * totals[layer] for layer in space.layers)
        n_features = sum(map(space.n_features, space.layers))
        kind = "<f2" if len(space.layers) == 1 else "<f4"  # scaled layers may have axes below the range of float16
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
