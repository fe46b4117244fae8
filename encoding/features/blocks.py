"""Read features that are larger than memory in blocks of training rows, of all rows or of columns, and compute statistics from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

BLOCK_BYTES = 128 * 2**20  # of features in memory at a time
ROUNDING = 1e-6  # relative difference of two features that float32 arithmetic alone can make


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
        for block in blocks_of(layer, rows):
            block -= first
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


def blocks_of(layer: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Copies of some rows of a layer (n, p), in their order, as float64 blocks (b, p)."""
    step = max(1, BLOCK_BYTES // (8 * max(1, layer.shape[1])))
    for start in range(0, len(rows), step):
        yield np.array(layer[rows[start : start + step]], np.float64)


def check_varies(layer: np.ndarray, train: np.ndarray, name: str) -> None:
    """ValueError where no feature of a layer (n, p) differs between training rows by more than float32 rounds; reads until one does."""
    first = np.asarray(layer[int(train[0])], np.float64)
    for block in blocks_of(layer, train):
        if (np.abs(block - first) > ROUNDING * np.maximum(np.abs(block), np.abs(first))).any():
            return
    raise ValueError(
        f"Layer {name!r} gives the same features for every training image, so nothing can be predicted from it. "
        "Choose another layer; an untrained network may hold layers that are 0 until they are trained."
    )


def total_variance(layer: np.ndarray, train: np.ndarray) -> float:
    """Sum over features of the variance over the training rows (divided by n_train - 1), a block of rows at a time."""
    first, squares = np.asarray(layer[int(train[0])], np.float64), 0.0
    total = np.zeros_like(first)
    for block in blocks_of(layer, train):
        block -= first
        total += block.sum(0)
        squares += float(np.einsum("ij,ij->", block, block))
    return (squares - float(total @ total) / len(train)) / max(1, len(train) - 1)


def row_blocks(
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


def column_blocks(layers: Sequence[np.ndarray], scales: np.ndarray | None, device: str) -> Iterator[tuple[tuple[int, int], torch.Tensor]]:
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
