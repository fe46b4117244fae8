"""Random forest: the mean of many regression trees, each grown on rows drawn with replacement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from encoding.readouts import READOUTS, BadOption, Range, Training, option
from encoding.readouts._smoother import Smoother, deviations, mean_response
from encoding.readouts.tree import Tree, TreeOptions, leaves_of, response_components
from encoding.runtime.progress import Report, silent, subprogress

TREES_AT_ONCE = 8  # grown between two looks at whether the fit is cancelled
NODES = ("left", "right", "feature", "threshold")


@dataclass(frozen=True)
class ForestOptions(TreeOptions):
    """Parameters of :class:`Forest`."""

    n_trees: int = option(100, "Number of trees.", search=Range(20, 500, log=True))
    max_depth: int | None = option(None, "Maximum depth of each tree. Empty: unlimited.", search=Range(2, 30))
    min_samples_leaf: int = option(5, "Minimum number of training images in a leaf.", search=Range(1, 100, log=True))
    max_features: float | None = option(
        0.33, "Fraction of the components drawn at random as candidates for each split. Empty: all.", search=Range(0.1, 1.0)
    )
    seed: int = option(0, "Random seed of the rows that each tree is grown on and of the components tried.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.n_trees <= 10_000:
            raise BadOption(f"n_trees must be 1 to 10,000, not {self.n_trees}.")


class Forest(Tree):
    """A random forest for all targets at once, grown by scikit-learn's ``RandomForestRegressor`` (Breiman 2001).

    As in ``tree``, splits are chosen on the leading ``target_components`` of the responses, and leaves predict means of the responses
    themselves; with ``target_components`` empty both are scikit-learn's. The seed is fixed, so that a forest can be grown again.
    """

    name, title, version = "forest", "Random forest", 1
    about = "The mean of many decision trees, each grown on other images: steadier than one tree, and slower."
    options = ForestOptions

    def fit(self, data: Training, options: ForestOptions, *, device: str = "cpu", report: Report = silent) -> ForestModel:
        from sklearn.ensemble import RandomForestRegressor

        mean = mean_response(data.Y, subprogress(report, 0, 0.1))
        targets = response_components(data.Y, mean, options.target_components, device, subprogress(report, 0.1, 0.3))
        forest = RandomForestRegressor(
            max_depth=options.max_depth, min_samples_leaf=options.min_samples_leaf, max_features=options.max_features or 1.0,
            random_state=options.seed, n_jobs=-1, warm_start=True,
        )  # fmt: skip
        for n_trees in [*range(TREES_AT_ONCE, options.n_trees, TREES_AT_ONCE), options.n_trees]:
            report(0.3 + 0.7 * (n_trees - 1) / options.n_trees, f"forest: growing tree {n_trees} of {options.n_trees}")
            forest.set_params(n_estimators=n_trees).fit(data.X, targets)
        trees = [grown.tree_ for grown in forest.estimators_]
        parts = [(tree.children_left, tree.children_right, tree.feature, tree.threshold) for tree in trees]
        arrays = {name: np.concatenate(values) for name, values in zip(NODES, zip(*parts, strict=True), strict=True)}
        arrays |= {name: arrays[name].astype(np.int32) for name in NODES[:3]}
        arrays["n_nodes"] = np.array([tree.node_count for tree in trees], np.int32)
        drawn = [np.bincount(rows, minlength=len(data.X)) for rows in forest.estimators_samples_]
        arrays |= {"n_drawn": np.array(drawn, np.uint16), "leaf": forest.apply(data.X).T.astype(np.int32)}
        report(1.0, f"forest: {len(trees)} trees of {arrays['n_nodes'].mean():.0f} nodes")
        return ForestModel(deviations(data, mean), mean, **arrays)

    def restore(self, arrays: Mapping[str, np.ndarray], data: Training | None) -> ForestModel:
        shared = ForestModel.shared_fields(arrays)
        nodes = {name: np.asarray(arrays[name]) for name in (*NODES, "n_nodes", "n_drawn", "leaf")}
        return ForestModel(deviations(data, shared["intercept"]), **shared, **nodes)

    def cost(self, n: int, p: int, t: int, options: ForestOptions) -> tuple[float, float]:
        """The trees, one after another, and their nodes: two for each leaf, of 20 bytes, and two numbers for each row and tree."""
        multiplications, n_bytes = super().cost(n, p, t, options)
        return options.n_trees * multiplications, n_bytes + options.n_trees * (40.0 * n / options.min_samples_leaf + 6.0 * n)


@dataclass(frozen=True, kw_only=True)
class ForestModel(Smoother):
    """Fitted forest. A row is predicted as the mean over trees of the mean response of the rows drawn into its leaf.

    Attributes
    ----------
    left, right, feature, threshold : nodes of all trees, one tree after another, as those of
        :class:`~encoding.readouts.tree.TreeModel`; children count from their tree's first node.
    n_nodes : (n_trees,) int32.
    n_drawn : (n_trees, n_train) uint16, how often each tree was grown on each row.
    leaf : (n_trees, n_train) int32, the node that each training row ends in.
    """

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    n_nodes: np.ndarray
    n_drawn: np.ndarray
    leaf: np.ndarray

    def basis(self, X: np.ndarray) -> np.ndarray:
        """Share of each training row in each prediction, (n, n_train) in the dtype of the responses; rows sum to 1."""
        import scipy.sparse

        n_train, shares = self.n_drawn.shape[1], np.zeros((len(X), self.n_drawn.shape[1]), self.weights.dtype)
        for tree, (start, stop) in enumerate(zip(np.cumsum([0, *self.n_nodes]), np.cumsum(self.n_nodes), strict=False)):
            nodes = [getattr(self, name)[start:stop] for name in NODES]
            drawn = self.n_drawn[tree].astype(float)
            in_leaf = np.bincount(self.leaf[tree], drawn, minlength=stop - start)  # rows drawn into each node that is a leaf
            share = drawn / np.maximum(in_leaf[self.leaf[tree]], 1) / len(self.n_nodes)
            members = scipy.sparse.csr_array((share, (self.leaf[tree], np.arange(n_train))), shape=(stop - start, n_train))
            shares += members[leaves_of(X, *nodes)].toarray().astype(shares.dtype)
        return shares

    def state(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in (*NODES, "n_nodes", "n_drawn", "leaf")}


READOUTS.register("forest", Forest())
