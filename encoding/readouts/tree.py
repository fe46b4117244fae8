"""Multi-output regression tree: the mean response to the training images in the same leaf.

A split is judged by squared error summed over targets, which a rotation of the targets leaves as it is: their principal
components tell the tree all that they do, and the leading ones nearly all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from encoding.features.pca import fit_components
from encoding.readouts import READOUTS, BadOption, Options, Range, Readout, Responses, Training, option
from encoding.readouts._model import Columns
from encoding.readouts._smoother import Deviations, Smoother, deviations, mean_response
from encoding.runtime.progress import Report, silent, subprogress


@dataclass(frozen=True)
class TreeOptions(Options):
    """Parameters of :class:`Tree`."""

    max_depth: int | None = option(10, "Maximum depth of the tree. Empty: unlimited.", search=Range(2, 20))
    min_samples_leaf: int = option(20, "Minimum number of training images in a leaf.", search=Range(5, 200, log=True))
    max_features: float | None = option(
        None, "Fraction of the components drawn at random as candidates for each split. Empty: all.", search=Range(0.1, 1.0)
    )
    target_components: int | None = option(
        100, "Number of principal components of the responses on which splits are chosen. Empty: all, exact and slow."
    )
    seed: int = option(0, "Random seed of the order in which components are tried, which decides between equal splits.")

    def __post_init__(self) -> None:
        for name in ("max_depth", "min_samples_leaf", "target_components"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadOption(f"{name} must be 1 or more, not {value}.")
        if self.max_features is not None and not 0 < self.max_features <= 1:
            raise BadOption(f"max_features must be a share above 0 and up to 1, not {self.max_features}.")
        if not 0 <= self.seed < 2**32:
            raise BadOption(f"seed must be 0 to {2**32 - 1}, not {self.seed}.")


class Tree(Readout):
    """A regression tree for all targets at once, grown by scikit-learn's ``DecisionTreeRegressor`` (Breiman et al. 1984).

    Questions are chosen on the leading ``target_components`` of the responses (exactly scikit-learn's choice, up to ties that rounding
    decides, where those are all there are). Whatever was left out of the choice, a leaf predicts the mean responses themselves.
    """

    name, title, version = "tree", "Decision tree", 2
    about = "Asks one component at a time and predicts the mean response of the training images that answer alike."
    uses_moments = False
    restores_from_data = True
    export_refusal = "Its model is made of the training responses themselves, which are not passed on."
    per_target = False
    options = TreeOptions

    def fit(self, data: Training, options: TreeOptions, *, device: str = "cpu", report: Report = silent) -> TreeModel:
        from sklearn.tree import DecisionTreeRegressor

        mean = mean_response(data.Y, subprogress(report, 0, 0.2))
        targets = response_components(data.Y, mean, options.target_components, device, subprogress(report, 0.2, 0.6))
        report(0.6, f"tree: growing on {len(targets):,} rows x {targets.shape[1]} components of the responses")
        grown = DecisionTreeRegressor(
            max_depth=options.max_depth,
            min_samples_leaf=options.min_samples_leaf,
            max_features=options.max_features,
            random_state=options.seed,
        ).fit(data.X, targets)
        tree = grown.tree_
        nodes = {"left": tree.children_left, "right": tree.children_right, "feature": tree.feature}
        arrays = {name: value.astype(np.int32) for name, value in nodes.items()} | {"threshold": tree.threshold.copy()}
        model = _model(arrays | {"leaf": grown.apply(data.X).astype(np.int32)}, deviations(data, mean), {"intercept": mean})
        report(1.0, f"tree: {model.weights.shape[0]} leaves")
        return model

    def restore(self, arrays: Mapping[str, np.ndarray], data: Training | None) -> TreeModel:
        shared = TreeModel.shared_fields(arrays)
        return _model(arrays, deviations(data, shared["intercept"]), shared)

    def cost(self, n: int, p: int, t: int, options: TreeOptions) -> tuple[float, float]:
        """Ten levels of all splits of n rows by p components, scored on q components of the responses, and the PCA of the responses."""
        q = min(n, t, options.target_components or n)
        depth = min(options.max_depth or 64, int(np.log2(max(2, n / options.min_samples_leaf))) + 4)
        components = 16.0 * n * t * (q + 12) if options.target_components else 2.0 * n * n * t + 10.0 * n**3
        return components + 4.0 * depth * n * p * q * (options.max_features or 1), 8.0 * n * q * 3 + (
            0 if options.target_components else 24.0 * n * n
        )


def response_components(Y: Responses, mean: np.ndarray, k: int | None, device: str, report: Report) -> np.ndarray:
    """(n, q) float64 numbers with the inner products of the responses about their means, or of their k leading components.

    All are divided by the power of two that brings the largest below 1, so that the unit of the responses changes no split.
    """
    n, t = Y.shape
    if t <= min(n, k or n):
        targets = Y[:, :].astype(np.float64) - mean
    else:
        targets = fit_components([_Rows(Y)], np.arange(n), k or 0, device=device, report=report).scores.astype(np.float64)
    return np.ldexp(targets, -np.frexp(float(np.abs(targets).max(initial=0.0)))[1])


def leaves_of(X: np.ndarray, left: np.ndarray, right: np.ndarray, feature: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Node (n,) int that each row of X (n, p) ends in. Components are compared in float32, as scikit-learn does."""
    X, node = np.asarray(X, np.float32), np.zeros(len(X), np.int64)
    moving = np.flatnonzero(left[node] >= 0)
    while len(moving):
        at = node[moving]
        yes = X[moving, feature[at]] <= threshold[at]
        node[moving] = np.where(yes, left[at], right[at])
        moving = moving[left[node[moving]] >= 0]
    return node


class _Rows:
    """Responses as :func:`fit_components` reads features: a whole row, or a whole column, at a time."""

    def __init__(self, Y: Responses) -> None:
        self._Y, self.shape = Y, Y.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | tuple[slice, slice]) -> np.ndarray:
        return self._Y[rows] if isinstance(rows, tuple) else self._Y[rows, :]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._Y[:, :].astype(dtype or np.float32, copy=False)


class LeafMeans:
    """Mean of the training responses in each leaf, less the overall mean, (l, t); computed on access of some columns.

    Parameters
    ----------
    number : (n,) int, the leaf of each training row, from 0 without gaps.
    """

    def __init__(self, number: np.ndarray, responses: Deviations) -> None:
        import scipy.sparse

        self._responses, self.dtype = responses, responses.dtype
        order, size = np.argsort(number, kind="stable"), np.bincount(number)
        share = np.repeat(1 / size, size).astype(self.dtype)
        self._shares = scipy.sparse.csr_array((share, order, np.concatenate([[0], np.cumsum(size)])), shape=(len(size), len(number)))

    @property
    def shape(self) -> tuple[int, int]:
        """(n_leaves, n_targets)."""
        return self._shares.shape[0], self._responses.shape[1]

    def __getitem__(self, leaves_and_columns: tuple[Columns, Columns]) -> np.ndarray:
        leaves, columns = leaves_and_columns
        return self._shares[leaves] @ self._responses[:, columns]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:, :].astype(dtype or self.dtype, copy=False)


@dataclass(frozen=True, kw_only=True)
class TreeModel(Smoother):
    """Fitted tree; its weights are :class:`LeafMeans`, one row for each leaf.

    Attributes
    ----------
    left, right : (nodes,) int32, children for values up to and above the threshold; -1 at a leaf.
    feature : (nodes,) int32, the component that is compared.
    threshold : (nodes,) float64.
    leaf : (n_train,) int32, the node that each training row ends in.
    """

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    leaf: np.ndarray

    def basis(self, X: np.ndarray) -> Any:
        """Sparse indicator matrix (n, l) of the leaf of each row."""
        import scipy.sparse

        leaves = np.flatnonzero(self.left < 0)
        number = np.searchsorted(leaves, self.apply(X))
        return scipy.sparse.csr_array((np.ones(len(X), self.weights.dtype), number, np.arange(len(X) + 1)), shape=(len(X), len(leaves)))

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Node (n,) int that each row of X (n, p) ends in."""
        return leaves_of(X, self.left, self.right, self.feature, self.threshold)

    def state(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in ("left", "right", "feature", "threshold", "leaf")}


def _model(arrays: Mapping[str, np.ndarray], responses: Deviations, shared: Mapping[str, Any]) -> TreeModel:
    """A tree from its arrays, with the responses of its leaves."""
    nodes = {name: np.asarray(arrays[name]) for name in ("left", "right", "feature", "threshold", "leaf")}
    number = np.searchsorted(np.flatnonzero(nodes["left"] < 0), nodes["leaf"])
    return TreeModel(LeafMeans(number, responses), **shared, **nodes)


READOUTS.register("tree", Tree())
