"""Principal components of features, fitted on training rows alone and in bounded memory.

Features lie on disk as one ``(n_stimuli, n_features)`` array for each layer; several layers count as one wide
matrix ``X``. Rows are read in order, a block at a time, so a layer may be far larger than memory. Test rows are
projected but enter no mean, no variance and no axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from encoding.runtime.progress import Report, silent

if TYPE_CHECKING:
    import torch
    from scipy import sparse

    Axes = np.ndarray | sparse.csr_array

COMPONENTS_VERSION = 1

BLOCK_BYTES = 128 * 2**20  # of features in memory at a time
EXACT_BELOW = 1_000  # with fewer rows or features than this the exact solution costs nothing
OVERSAMPLING = 12  # directions kept beyond the number of components
TOLERANCE = 5e-4  # relative gain in explained variance at which more passes are not worth it
MAX_PASSES = 8
ROUNDING = 1e-6  # relative difference of two features that float32 arithmetic alone can make
LAYER_SCALINGS = ("equal", "none", "zscore")
COMPONENT_SCALINGS = ("none", "zscore")
REDUCTIONS = ("pca", "sparse_random", "none")
SPARSE_AXES = ("axes_data", "axes_indices", "axes_indptr")


@dataclass(frozen=True)
class Components:
    """Principal components: axes, mean, variances and the scores of every stimulus.

    Attributes
    ----------
    scores : (n_stimuli, k) float32, ``(X - mean) @ axes``, test rows included, sorted by variance.
    variance : (k,) float64, variance of each column over the training rows (divided by n_train - 1).
    total_variance : the sum of the variances of all features, scaled where layers are, over the training rows.
    mean : (n_features,) float32 over the training rows.
    axes : (n_features, k) float32, orthonormal columns, each row times its layer's scale where layers are scaled; empty (0, k) where
        every component of a wide matrix was kept and axes would take more room than the features. A SciPy sparse array where features are
        projected at random (:mod:`encoding.features.random_projection`).
    """

    scores: np.ndarray
    variance: np.ndarray
    total_variance: float
    mean: np.ndarray
    axes: Axes

    @property
    def explained(self) -> float:
        """Fraction of the training features' variance that the components explain, 0 to 1."""
        return float(self.variance.sum() / self.total_variance) if self.total_variance else 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays of plain numbers, as a Store keeps them; :func:`read_axes` reads the axes back."""
        arrays = {"scores": self.scores, "variance": self.variance, "mean": self.mean, "total_variance": np.array(self.total_variance)}
        return arrays | axes_arrays(self.axes)


def axes_arrays(axes: Axes) -> dict[str, np.ndarray]:
    """Axes (n_features, k) as arrays: ``axes``, or of sparse ones the parts of the (k, n_features) matrix in CSR form."""
    if isinstance(axes, np.ndarray):
        return {"axes": axes}
    by_component = axes.T.tocsr()
    parts = {"data": by_component.data.astype(np.float32), "indices": by_component.indices.astype(np.int64)}
    return {f"axes_{name}": value for name, value in (parts | {"indptr": by_component.indptr.astype(np.int64)}).items()}


def read_axes(arrays: Mapping[str, np.ndarray], prefix: str = "") -> Axes:
    """Read axes (n_features, k) from :func:`axes_arrays`, whose names begin with ``prefix``, beside the ``mean`` (n_features,)."""
    if f"{prefix}axes" in arrays:
        return arrays[f"{prefix}axes"]
    from scipy import sparse

    data, indices, indptr = (np.array(arrays[f"{prefix}{name}"]) for name in SPARSE_AXES)
    return sparse.csr_array((data, indices, indptr), shape=(len(indptr) - 1, len(arrays[f"{prefix}mean"]))).T.tocsr()


class ZScored:
    """Features (n, p) standardised by the mean and deviation of some rows, computed on access; constant features are 0.

    Parameters
    ----------
    layer : (n, p), possibly memory-mapped. rows : row numbers of mean and deviation.
    """

    def __init__(self, layer: np.ndarray, rows: np.ndarray) -> None:
        self._layer, self.shape = layer, layer.shape
        first = np.asarray(layer[int(rows[0])], np.float64)
        total, squares = np.zeros_like(first), np.zeros_like(first)
        step = max(1, BLOCK_BYTES // (8 * max(1, layer.shape[1])))
        for start in range(0, len(rows), step):
            block = np.asarray(layer[rows[start : start + step]], np.float64) - first
            total += block.sum(0)
            squares += np.einsum("ij,ij->j", block, block)
        deviation = np.sqrt(np.maximum(squares / len(rows) - (total / len(rows)) ** 2, 0))
        self.mean = first + total / len(rows)
        constant = deviation <= ROUNDING * np.maximum(np.abs(self.mean), np.finfo(float).tiny)
        self.deviation = np.where(constant, np.inf, deviation)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | int | np.ndarray | tuple[slice, slice]) -> np.ndarray:
        columns = index[1] if isinstance(index, tuple) else slice(None)
        return (np.asarray(self._layer[index], np.float64) - self.mean[columns]) / self.deviation[columns]


def unit_variance(made: Components) -> Components:
    """Scale components to variance 1 over the training rows; ``variance`` still holds what each had."""
    deviation = np.sqrt(np.maximum(made.variance, np.finfo(np.float32).tiny))
    if isinstance(made.axes, np.ndarray):
        axes = (made.axes / deviation).astype(np.float32) if len(made.axes) else made.axes
    else:
        axes = made.axes.multiply(1 / deviation).tocsr().astype(np.float32)
    return replace(made, scores=(made.scores / deviation).astype(np.float32), axes=axes)


def polynomial_features(Z: np.ndarray, degree: int) -> np.ndarray:
    """Add the products of degree 2 to components, as scikit-learn's ``PolynomialFeatures(2, include_bias=False)`` does.

    Parameters
    ----------
    Z : (n, k) component scores. degree : 1 returns them as they are.

    Returns
    -------
    (n, :func:`n_polynomial`) of the dtype of ``Z``: the components, then the products of each with itself and with every later one.
    """
    if degree == 1:
        return Z
    first, second = np.triu_indices(Z.shape[1])
    return np.concatenate([Z, Z[:, first] * Z[:, second]], axis=1)


def n_polynomial(k: int, degree: int) -> int:
    """Number of columns that :func:`polynomial_features` makes of k components: k, or k + k (k + 1) / 2 of degree 2."""
    return k if degree == 1 else k + k * (k + 1) // 2


def fit_components(
    layers: Sequence[np.ndarray],
    train: np.ndarray,
    n_components: int,
    *,
    names: Sequence[str] = (),
    scaling: str = "none",
    device: str = "cpu",
    report: Report = silent,
) -> Components:
    """Fit the first principal components on the training rows, and project every row on them.

    Parameters
    ----------
    layers : arrays (n_stimuli, p_i), float32, possibly memory-mapped; concatenated along features.
    train : (n_train,) row numbers that fit the components.
    n_components : how many are kept, at most as many as there are; 0 keeps every one with variance
        (at most n_train - 1), which loses nothing: distances between training rows stay as they were.
    names : the layers' names. Where given, a layer that does not vary over the training rows is refused.
    scaling : ``equal`` scales several layers to the same total variance over the training rows (their sum is kept), so that a
        layer of many features does not outweigh the others; ``none`` takes features as they are; ``zscore`` standardises each feature
        by its mean and deviation over the training rows (means and axes returned are those of the features as they are).

    Raises
    ------
    ValueError naming the layer whose features are the same for every training row, to the precision of float32.

    Notes
    -----
    Few rows or features, or many components of them, are solved exactly in float64 through the smaller of
    the two Gram matrices. Otherwise block Krylov iteration (Musco & Musco 2015) reads the features a few times,
    until the last pass explained less than 0.05 % more. Signs are set so that each component's largest
    training score is positive.
    """
    if scaling == "zscore":
        scaled = [ZScored(layer, train) for layer in layers]
        mean, deviation = (np.concatenate([getattr(layer, name) for layer in scaled]) for name in ("mean", "deviation"))
        made = fit_components(scaled, train, n_components, names=names, device=device, report=report)
        axes = (made.axes / deviation[:, None]).astype(np.float32) if len(made.axes) else made.axes
        centre = mean + np.where(np.isfinite(deviation), deviation, 0) * made.mean
        return replace(made, mean=centre.astype(np.float32), axes=axes)
    n_train, n_features = len(train), sum(layer.shape[1] for layer in layers)
    most = min(n_train - 1, n_features)
    n_kept = min(n_components or most, most)
    for name, layer in zip(names, layers, strict=False):
        check_varies(layer, train, name)
    scales = None
    if scaling == "equal" and len(layers) > 1:  # factors that give every layer the mean of the layers' total variances
        totals = np.array([_total_variance(layer, train) for layer in layers])
        scales = np.sqrt(totals.mean() / np.maximum(totals, np.finfo(float).tiny))
    if most >= EXACT_BELOW and n_kept <= most // 4:
        return _krylov(layers, train, n_kept, scales, device, report)
    report(0.1, f"components: exact, {len(train)} images x {n_features} features")
    return (_primal if n_features <= len(train) else _dual)(layers, train, n_kept, scales, device)


def project(layers: Sequence[np.ndarray], mean: np.ndarray, axes: Axes) -> np.ndarray:
    """Project rows on known axes: layers (n, p_i) side by side -> scores (n, k) float32.

    Computed in float64, as features far from 0 lose four digits in float32 once their mean is taken off; a block of features at a time.

    Raises
    ------
    ValueError where axes were not kept, see :class:`Components`.
    """
    if not axes.shape[0]:
        raise ValueError(
            "The axes of these components were not kept: with every component of so many features they take more room "
            "than the features. Ask for fewer components."
        )
    scores, first = np.zeros((len(layers[0]), axes.shape[1])), 0
    for layer in layers:
        step = max(1, BLOCK_BYTES // (8 * max(len(layer), axes.shape[1])))
        for start in range(0, layer.shape[1], step):
            part = np.asarray(layer[:, start : start + step], np.float64)
            here = slice(first + start, first + start + part.shape[1])
            scores += (part - mean[here]) @ axes[here].astype(np.float64)
        first += layer.shape[1]
    return scores.astype(np.float32)


def check_varies(layer: np.ndarray, train: np.ndarray, name: str) -> None:
    """ValueError where a layer (n, p) does not vary over the training rows."""
    if not _varies(layer, train):
        raise ValueError(
            f"Layer {name!r} gives the same features for every training image, so nothing can be predicted from it. "
            "Choose another layer; an untrained network may hold layers that are 0 until they are trained."
        )


def _varies(layer: np.ndarray, train: np.ndarray) -> bool:
    """Whether some feature of a layer (n, p) differs between training rows by more than float32 rounds; reads until one does."""
    first = np.asarray(layer[int(train[0])], np.float64)
    step = max(1, BLOCK_BYTES // (8 * max(1, layer.shape[1])))
    for start in range(1, len(train), step):
        block = np.asarray(layer[train[start : start + step]], np.float64)
        if (np.abs(block - first) > ROUNDING * np.maximum(np.abs(block), np.abs(first))).any():
            return True
    return False


def _total_variance(layer: np.ndarray, train: np.ndarray) -> float:
    """Sum over features of the variance over the training rows (divided by n_train - 1), a block of rows at a time."""
    first, squares = np.asarray(layer[int(train[0])], np.float64), 0.0
    total = np.zeros_like(first)
    step = max(1, BLOCK_BYTES // (8 * max(1, layer.shape[1])))
    for start in range(0, len(train), step):
        block = np.asarray(layer[train[start : start + step]], np.float64) - first
        total += block.sum(0)
        squares += float(np.einsum("ij,ij->", block, block))
    return (squares - float(total @ total) / len(train)) / max(1, len(train) - 1)


def _krylov(layers: Sequence[np.ndarray], train: np.ndarray, k: int, scales: np.ndarray | None, device: str, report: Report) -> Components:
    import torch

    n_stimuli, n_features = len(layers[0]), sum(layer.shape[1] for layer in layers)
    mask = torch.zeros(n_stimuli, 1, device=device)
    mask[torch.tensor(train, device=device)] = 1
    random = torch.Generator().manual_seed(0)
    block = torch.linalg.qr(torch.randn(n_features, k + OVERSAMPLING, generator=random).to(device))[0]
    basis, projected, best = [], [], 0.0
    mean = total = None
    for n_pass in range(MAX_PASSES):
        basis.append(block)
        rows, back, column_sum, squares = _pass(layers, scales, block, mask, device)
        if mean is None:
            mean = column_sum / len(train)
            total = float(squares - len(train) * mean.double().square().sum())
        offset = mean @ block  # (l,); centring both products takes no second reading
        rows -= offset
        back -= torch.outer(column_sum, offset)
        projected.append(rows)
        _, values, turn = torch.linalg.svd((torch.cat(projected, 1) * mask).double(), full_matrices=False)
        explained = float(values[:k].square().sum())
        report((n_pass + 1) / MAX_PASSES, f"components: pass {n_pass + 1}, {explained / total if total else 0:.1%} of variance")
        if explained - best <= TOLERANCE * explained:
            break
        best, block = explained, _orthonormal(back, basis)
    axes = torch.cat(basis, 1) @ turn[:k].T.float()
    scores = torch.cat(projected, 1) @ turn[:k].T.float()
    return _signed(scores, values[:k].square() / (len(train) - 1), total / (len(train) - 1), mean, axes, train, _by_feature(layers, scales))


def _pass(
    layers: Sequence[np.ndarray], scales: np.ndarray | None, block: torch.Tensor, mask: torch.Tensor, device: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """One reading of X: ``X Q`` of every row; from the training rows alone ``X' X Q``, column sums and the sum of squares."""
    import torch

    n_stimuli, n_features = mask.shape[0], block.shape[0]
    rows = torch.zeros(n_stimuli, block.shape[1], device=device)
    back = torch.zeros_like(block)
    column_sum = torch.zeros(n_features, device=device)
    squares = torch.zeros((), dtype=torch.float64, device=device)
    for start, stop, parts in _row_blocks(layers, scales, device):
        keep = mask[start:stop]
        for (first, last), part in parts:
            rows[start:stop] += part @ block[first:last]
        weighted = rows[start:stop] * keep
        for (first, last), part in parts:
            back[first:last].addmm_(part.T, weighted)
            column_sum[first:last].addmv_(part.T, keep[:, 0])
            squares += (torch.linalg.vector_norm(part, dim=1).double().square() * keep[:, 0]).sum()
    return rows, back, column_sum, squares


def _orthonormal(block: torch.Tensor, basis: Sequence[torch.Tensor]) -> torch.Tensor:
    """Orthonormal columns spanning what ``block`` adds to ``basis``; twice, as once loses digits."""
    import torch

    for _ in range(2):
        for known in basis:
            block = block - known @ (known.T @ block)
        block = torch.linalg.qr(block)[0]
    return block


def _primal(layers: Sequence[np.ndarray], train: np.ndarray, k: int, scales: np.ndarray | None, device: str) -> Components:
    """Through the (p, p) covariance of features, for p <= n, a block of rows at a time."""
    import torch

    n_features, learned = sum(layer.shape[1] for layer in layers), np.zeros(len(layers[0]), bool)
    learned[train] = True
    keep = torch.tensor(learned, device=device)

    def blocks() -> Iterator[tuple[slice, torch.Tensor]]:
        for start, stop, parts in _row_blocks(layers, scales, device, np.float64):
            yield slice(start, stop), torch.cat([part for _, part in parts], 1)

    mean = torch.zeros(n_features, dtype=torch.float64, device=device)
    for rows, X in blocks():
        mean += X[keep[rows]].sum(0) / len(train)
    gram = torch.zeros(n_features, n_features, dtype=torch.float64, device=device)
    for rows, X in blocks():
        centred = X[keep[rows]] - mean
        gram.addmm_(centred.T, centred)
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    kept = _with_variance(values, k)
    axes = vectors[:, :kept]
    scores = torch.cat([(X - mean) @ axes for _, X in blocks()])
    n = len(train) - 1
    return _signed(scores, values[:kept] / n, float(values.sum()) / n, mean, axes, train, _by_feature(layers, scales))


def _dual(layers: Sequence[np.ndarray], train: np.ndarray, k: int, scales: np.ndarray | None, device: str) -> Components:
    """Through the (n, n) inner products of images, for p > n, a block of features at a time."""
    import torch

    n_stimuli, rows = len(layers[0]), torch.tensor(train, device=device)
    inner = torch.zeros(n_stimuli, len(train), dtype=torch.float64, device=device)
    means = []
    for _, part in _column_blocks(layers, scales, device):
        means.append(part[rows].mean(0))
        part -= means[-1]
        inner.addmm_(part, part[rows].T)
    values, vectors = torch.linalg.eigh(inner[rows])
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    kept = _with_variance(values, k)
    dual = vectors[:, :kept] / values[:kept].clamp(min=1e-300).sqrt()  # (n_train, k): axes = X' dual
    n_features = sum(layer.shape[1] for layer in layers)
    axes = torch.zeros(n_features if kept <= len(train) // 2 or n_features * kept * 4 <= BLOCK_BYTES else 0, kept, device=device)
    if len(axes):
        for (first, last), part in _column_blocks(layers, scales, device):
            axes[first:last] = ((part[rows] - part[rows].mean(0)).T @ dual).float()
    n = len(train) - 1
    return _signed(inner @ dual, values[:kept] / n, float(values.sum()) / n, torch.cat(means), axes, train, _by_feature(layers, scales))


def _with_variance(values: torch.Tensor, k: int) -> int:
    """How many of the first k eigenvalues (descending) are above rounding error."""
    floor = values[0] * len(values) * 1e-15
    return max(1, min(k, int((values > floor).sum())))


def _signed(
    scores: torch.Tensor,
    variance: torch.Tensor,
    total: float,
    mean: torch.Tensor,
    axes: torch.Tensor,
    train: np.ndarray,
    scales: np.ndarray | None,
) -> Components:
    """Components with signs fixed, and with means and axes of features as they were before each was multiplied by ``scales`` (p,)."""
    import torch

    if scales is not None:
        factor = torch.from_numpy(scales).to(axes.device)
        mean = mean / factor
        axes = axes * factor[:, None] if len(axes) else axes

    seen = scores[torch.tensor(train, device=scores.device)]
    sign = seen.gather(0, seen.abs().argmax(0, keepdim=True)).sign()  # (1, k)
    return Components(
        scores=(scores * sign).float().cpu().numpy(),
        variance=variance.double().cpu().numpy(),
        total_variance=total,
        mean=mean.float().cpu().numpy(),
        axes=(axes * sign).float().cpu().numpy(),
    )


def _row_blocks(
    layers: Sequence[np.ndarray], scales: np.ndarray | None, device: str, dtype: type = np.float32
) -> Iterator[tuple[int, int, list[tuple[tuple[int, int], torch.Tensor]]]]:
    """Rows start:stop of each layer times its scale, with the columns of X that the layer is."""
    import torch

    edges = np.cumsum([0, *(layer.shape[1] for layer in layers)])
    step = max(1, BLOCK_BYTES // (np.dtype(dtype).itemsize * max(1, int(edges[-1]))))
    for start in range(0, len(layers[0]), step):
        stop = min(start + step, len(layers[0]))
        parts = [torch.from_numpy(np.array(layer[start:stop], dtype)).to(device) for layer in layers]
        for part, scale in zip(parts, scales if scales is not None else (), strict=False):
            part *= scale
        yield start, stop, [((int(edges[i]), int(edges[i + 1])), part) for i, part in enumerate(parts)]


def _column_blocks(layers: Sequence[np.ndarray], scales: np.ndarray | None, device: str) -> Iterator[tuple[tuple[int, int], torch.Tensor]]:
    """Columns of X, scaled, as (n_stimuli, width) float64, with their place in X."""
    import torch

    place = 0
    step = max(1, BLOCK_BYTES // (8 * len(layers[0])))
    for number, layer in enumerate(layers):
        for start in range(0, layer.shape[1], step):
            part = torch.from_numpy(np.array(layer[:, start : start + step], np.float64)).to(device)
            if scales is not None:
                part *= scales[number]
            yield (place + start, place + start + part.shape[1]), part
        place += layer.shape[1]


def _by_feature(layers: Sequence[np.ndarray], scales: np.ndarray | None) -> np.ndarray | None:
    """(n_features,) the scale of each feature's layer."""
    return None if scales is None else np.repeat(scales, [layer.shape[1] for layer in layers])
