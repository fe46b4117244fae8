"""Linear reductions of features that are fitted to nothing: sparse random projection, and none at all.

The matrix of a layer is scikit-learn's ``SparseRandomProjection`` (Li, Hastie & Church 2006): a share ``1 / sqrt(n_features)`` of its
entries is not 0, those are ``± sqrt(sqrt(n_features) / k)``, and distances are kept in expectation (Johnson & Lindenstrauss 1984). It
follows from the layer's name alone, so every process and every shard of stimuli has the same, and it is sparse throughout: 800,000
features and 100 components make some 90,000 entries. As nothing is fitted, a layer that is too large to store is projected in the one pass
in which its features are computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from encoding.features.blocks import BLOCK_BYTES, ZScored, check_varies
from encoding.features.components import Components

if TYPE_CHECKING:
    from scipy import sparse

PROJECTION_VERSION = 1


def seed_of(name: str) -> int:
    """The ``random_state`` of a layer's projection.

    Parameters
    ----------
    name : network and layer, such as ``torchvision/alexnet features.2``; layers that stand side by side need independent matrices.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")


@lru_cache(maxsize=16)
def random_matrix(name: str, n_features: int, n_components: int) -> sparse.csr_array:
    """The projection of a layer, (n_features, n_components) float32: ``SparseRandomProjection(k, random_state=seed_of(name))``."""
    from scipy import sparse
    from sklearn.random_projection import SparseRandomProjection

    transformer = SparseRandomProjection(n_components, random_state=seed_of(name))
    empty = sparse.csr_matrix((1, n_features), dtype=np.float64)
    return sparse.csr_array(transformer.fit(empty).components_.T, dtype=np.float32)


def multiply(X: np.ndarray, matrix: sparse.csr_array) -> np.ndarray:
    """``X @ matrix`` (n, k) float32, summed in float64, a block of rows at a time; a row's result does not depend on the others."""
    wide, found = matrix.astype(np.float64), np.empty((len(X), matrix.shape[1]), np.float32)
    step = max(1, BLOCK_BYTES // (8 * max(X.shape[1], matrix.shape[1])))
    for start in range(0, len(X), step):
        found[start : start + step] = np.asarray(X[start : start + step], np.float64) @ wide
    return found


def fit_linear(
    layers: Sequence[np.ndarray | None],
    matrices: Sequence[sparse.csr_array],
    train: np.ndarray,
    *,
    projected: Mapping[int, np.ndarray] | None = None,
    names: Sequence[str] = (),
    scaling: str = "none",
) -> Components:
    """Components ``sum(X_i @ matrix_i)`` of every stimulus, not centred, as scikit-learn's projection gives them.

    Parameters
    ----------
    layers : arrays (n_stimuli, p_i), possibly memory-mapped.
    matrices : (p_i, k) of each.
    train : (n_train,) row numbers of variances, and of what ``scaling`` needs.
    projected : number of a layer to its product (n_stimuli, k), where that is known.
    names : the layers' names. Where given, a layer that does not vary over the training rows is refused.
    scaling : as in :func:`encoding.features.pca.fit_components`; ``equal`` gives the products of layers the same total variance.

    Raises
    ------
    ValueError naming the layer whose features are the same for every training row, to the precision of float32.
    """
    from scipy import sparse

    projected, products, means, axes = projected or {}, [], [], []
    for number, (layer, matrix) in enumerate(zip(layers, matrices, strict=True)):
        mean = np.zeros(matrix.shape[0], np.float32)
        if number in projected:
            product = np.asarray(projected[number])
        elif scaling == "zscore":
            scaled = ZScored(layer, train)
            product, mean = multiply(scaled, matrix), scaled.mean.astype(np.float32)
            matrix = matrix.multiply(1 / scaled.deviation[:, None]).tocsr()
        else:
            product = multiply(layer, matrix)
        if names:
            check_varies(product, train, names[number])
        means.append(mean)
        axes.append(matrix)
        products.append(product)
    if scaling == "equal" and len(layers) > 1:
        totals = [float(product[train].var(0, ddof=1, dtype=np.float64).sum()) for product in products]
        scales = np.sqrt(np.mean(totals) / np.maximum(totals, np.finfo(float).tiny))
        products = [product * np.float32(scale) for product, scale in zip(products, scales, strict=True)]
        axes = [matrix * np.float32(scale) for matrix, scale in zip(axes, scales, strict=True)]
    total = products[0] if len(products) == 1 else np.sum(products, axis=0, dtype=np.float32)
    variance = total[train].var(0, ddof=1, dtype=np.float64)
    return Components(total, variance, float(variance.sum()), np.concatenate(means), sparse.vstack(axes, "csr").astype(np.float32))
