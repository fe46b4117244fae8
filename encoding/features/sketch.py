"""Sketch features with a sparse random sign matrix, so that a layer's leading directions are found without storing the layer.

Runs of neighbouring features are dealt to m / 8 groups in turn, and a feature adds to the 8 columns of its group with random signs of
its own: 8 non-zeros in each row of Omega (n_features, m). Inner products of the rows of ``X @ Omega`` are those of the rows of ``X`` up to
a relative error of about sqrt(2 / m) (sparse Johnson-Lindenstrauss transform, Kane & Nelson 2014). Signs come from a counter-based
generator (Philox), keyed by the layer's name and counted by the feature's index: they depend neither on the batch nor on the shard of
stimuli, and Omega is never held as a whole.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

SKETCH_VERSION = 1

N_NONZEROS = 8  # of Omega in the row of a feature: one byte of random bits
N_GROUPS = 509
"""A prime, so that no regular stride (channels, rows of a map, tokens) falls into few groups."""
LONGEST_RUN = 16  # neighbouring features in one group: long runs are fast, short ones spread a layer's variance evenly
BLOCK_FEATURES = 2**16  # features whose signs are generated together
BLOCKS_KEPT = 128  # blocks of signs in memory, half a MB each


@lru_cache(maxsize=BLOCKS_KEPT)
def signs(layer: str, block: int) -> torch.Tensor:
    """Random signs of a block of features, (:data:`BLOCK_FEATURES`, 8) int8, each -1 or 1.

    Parameters
    ----------
    layer : name of the layer; layers that share a PCA need independent signs.
    block : number of the block; it starts at feature ``block * BLOCK_FEATURES``.
    """
    import torch

    key = int.from_bytes(hashlib.sha256(layer.encode()).digest()[:8], "little")
    generator = np.random.Philox(key=np.array([key, SKETCH_VERSION], np.uint64), counter=[0, 0, 0, block])
    bits = np.unpackbits(generator.random_raw(BLOCK_FEATURES // 8).astype("<u8").view(np.uint8)).reshape(-1, N_NONZEROS)
    return torch.from_numpy(bits.astype(np.int8) * 2 - 1)


def sketch(X: torch.Tensor, layer: str) -> torch.Tensor:
    """Compute ``X @ Omega``.

    Parameters
    ----------
    X : (b, n_features) float32, on any device.
    layer : name of the layer, which with a feature's index determines the feature's signs.

    Returns
    -------
    (b, 8 * :data:`N_GROUPS`) float32 on the device of ``X``, scaled so that squared lengths of rows are kept in expectation.
    """
    import torch

    n_rows, n_features = X.shape
    run = next(length for length in (LONGEST_RUN, 8, 4, 2, 1) if length * 4 * N_GROUPS <= n_features or length == 1)
    total = torch.zeros(N_GROUPS, n_rows, N_NONZEROS, dtype=torch.float32, device=X.device)
    for start in range(0, n_features, BLOCK_FEATURES):
        part = X[:, start : start + BLOCK_FEATURES]
        width, block = part.shape[1], signs(layer, start // BLOCK_FEATURES).to(X.device).float()
        if width % run:
            part = torch.nn.functional.pad(part, (0, run - width % run))
        n_runs = part.shape[1] // run
        runs = part.unflatten(1, (n_runs, run)).transpose(0, 1)  # (n_runs, b, run)
        added = torch.bmm(runs, block[: n_runs * run].view(n_runs, run, N_NONZEROS))
        first = start // run
        total.index_add_(0, torch.arange(first, first + n_runs, device=X.device) % N_GROUPS, added)
    return total.transpose(0, 1).reshape(n_rows, -1) / N_NONZEROS**0.5
