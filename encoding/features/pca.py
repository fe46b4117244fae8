"""Principal component analysis of layers' features, fitted on training rows alone and in bounded memory.

Features lie on disk as one ``(n_stimuli, n_features)`` array for each layer; several layers count as one wide
matrix ``X``. Rows are read in order, a block at a time, so a layer may be far larger than memory. Test rows are
projected but enter no mean, no variance and no axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from encoding.features import blocks
from encoding.features.blocks import ZScored, check_varies, column_blocks, row_blocks, total_variance
from encoding.features.components import Components
from encoding.runtime.progress import Report, silent

if TYPE_CHECKING:
    import torch

EXACT_BELOW = 1_000  # with fewer rows or features than this the exact solution costs nothing
OVERSAMPLING = 12  # directions kept beyond the number of components
TOLERANCE = 5e-4  # relative gain in explained variance at which more passes are not worth it
MAX_PASSES = 8
NO_VARIANCE = 1e-9  # of the first component's: what float32 products leave of a component in which nothing varies
FAR = 1e4  # times their variance that the squared means of features make up, from which float32 loses the variance


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
        totals = np.array([total_variance(layer, train) for layer in layers])
        scales = np.sqrt(totals.mean() / np.maximum(totals, np.finfo(float).tiny))
    if most >= EXACT_BELOW and n_kept <= most // 4:
        return _krylov(layers, train, n_kept, scales, device, report)
    report(0.1, f"components: exact, {len(train):,} rows x {n_features} features")
    return (_primal if n_features <= len(train) else _dual)(layers, train, n_kept, scales, device)


def may_iterate(n_train: int, n_components: int) -> bool:
    """Whether components of so many rows may be iterated, given enough features; else they are exact."""
    return n_train > EXACT_BELOW and 0 < n_components <= (n_train - 1) // 4


def _krylov(
    layers: Sequence[np.ndarray],
    train: np.ndarray,
    k: int,
    scales: np.ndarray | None,
    device: str,
    report: Report,
    shift: torch.Tensor | None = None,
) -> Components:
    """By block Krylov iteration. ``shift``, (p,), is taken from the features before anything is summed: a value near their means."""
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
        rows, back, column_sum, squares = _pass(layers, scales, shift, block, mask, device)
        if mean is None:
            mean = column_sum / len(train)
            total = float(squares - len(train) * mean.double().square().sum())
            if shift is None and squares > FAR * total:
                return _krylov(layers, train, k, scales, device, report, mean)
        offset = mean @ block  # (l,); centring both products takes no second reading
        rows -= (rows.double() * mask).sum(0).float() / len(train)
        back -= torch.outer(column_sum, offset)
        projected.append(rows)
        _, values, turn = torch.linalg.svd((torch.cat(projected, 1) * mask).double(), full_matrices=False)
        explained = float(values[:k].square().sum())
        report((n_pass + 1) / MAX_PASSES, f"components: pass {n_pass + 1}, {explained / total if total else 0:.1%} of variance")
        if explained - best <= TOLERANCE * explained:
            break
        best, block = explained, _orthonormal(back, basis)
    k = max(1, min(k, int((values.square() > NO_VARIANCE * values[0].square()).sum())))
    axes = torch.cat(basis, 1) @ turn[:k].T.float()
    scores = torch.cat(projected, 1) @ turn[:k].T.float()
    mean = mean if shift is None else shift + mean
    return _signed(scores, values[:k].square() / (len(train) - 1), total / (len(train) - 1), mean, axes, train, layers, scales)


def _pass(
    layers: Sequence[np.ndarray],
    scales: np.ndarray | None,
    shift: torch.Tensor | None,
    block: torch.Tensor,
    mask: torch.Tensor,
    device: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """One reading of X: ``X Q`` of every row; from the training rows alone ``X' X Q``, column sums and the sum of squares."""
    import torch

    n_stimuli, n_features = mask.shape[0], block.shape[0]
    rows = torch.zeros(n_stimuli, block.shape[1], device=device)
    back = torch.zeros_like(block)
    column_sum = torch.zeros(n_features, device=device)
    squares = torch.zeros((), dtype=torch.float64, device=device)
    for start, stop, parts in row_blocks(layers, scales, device):
        keep = mask[start:stop]
        for (first, last), part in parts:
            if shift is not None:
                part -= shift[first:last]
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
        for start, stop, parts in row_blocks(layers, scales, device, np.float64):
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
    return _signed(scores, values[:kept] / n, float(values.sum()) / n, mean, axes, train, layers, scales)


def _dual(layers: Sequence[np.ndarray], train: np.ndarray, k: int, scales: np.ndarray | None, device: str) -> Components:
    """Through the (n, n) inner products of images, for p > n, a block of features at a time."""
    import torch

    n_stimuli, rows = len(layers[0]), torch.tensor(train, device=device)
    inner = torch.zeros(n_stimuli, len(train), dtype=torch.float64, device=device)
    means = []
    for _, part in column_blocks(layers, scales, device):
        means.append(part[rows].mean(0))
        part -= means[-1]
        inner.addmm_(part, part[rows].T)
    values, vectors = torch.linalg.eigh(inner[rows])
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    kept = _with_variance(values, k)
    dual = vectors[:, :kept] / values[:kept].clamp(min=1e-300).sqrt()  # (n_train, k): axes = X' dual
    n_features = sum(layer.shape[1] for layer in layers)
    axes = torch.zeros(n_features if kept <= len(train) // 2 or n_features * kept * 4 <= blocks.BLOCK_BYTES else 0, kept, device=device)
    if len(axes):
        for (first, last), part in column_blocks(layers, scales, device):
            axes[first:last] = ((part[rows] - part[rows].mean(0)).T @ dual).float()
    n = len(train) - 1
    return _signed(inner @ dual, values[:kept] / n, float(values.sum()) / n, torch.cat(means), axes, train, layers, scales)


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
    layers: Sequence[np.ndarray],
    scales: np.ndarray | None,
) -> Components:
    """Components with signs fixed, and with means and axes of features as they were before each layer was multiplied by its scale."""
    import torch

    if scales is not None:
        factor = torch.from_numpy(np.repeat(scales, [layer.shape[1] for layer in layers])).to(axes.device)  # (n_features,)
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
