"""Components of features: what a reduction returns, and how it is kept, scaled, extended by products and used to project new rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from encoding.features import blocks

if TYPE_CHECKING:
    from scipy import sparse

    Axes = np.ndarray | sparse.csr_array

COMPONENTS_VERSION = 1

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


def unit_variance(made: Components) -> Components:
    """Scale components to variance 1 over the training rows; ``variance`` still holds what each had. Those that do not vary become 0."""
    deviation = np.sqrt(made.variance)
    largest = np.fmax(np.fmax.reduce(made.scores, 0), -np.fmin.reduce(made.scores, 0))  # rows in no set may be NaN
    deviation = np.where(deviation <= blocks.ROUNDING * largest, np.inf, deviation)
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
        step = max(1, blocks.BLOCK_BYTES // (8 * max(len(layer), axes.shape[1])))
        for start in range(0, layer.shape[1], step):
            part = np.asarray(layer[:, start : start + step], np.float64)
            here = slice(first + start, first + start + part.shape[1])
            scores += (part - mean[here]) @ axes[here].astype(np.float64)
        first += layer.shape[1]
    return scores.astype(np.float32)
