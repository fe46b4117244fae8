"""Passes of a plan's stimuli through its network in which large layers are reduced, so that their features are never stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from encoding.backbones import Backbone
from encoding.datasets import Chosen
from encoding.evaluation.splits import Fold
from encoding.features import extraction as features
from encoding.features.activations import activations
from encoding.features.components import Components
from encoding.features.probe import layer_sizes
from encoding.features.random_projection import fit_linear, random_matrix
from encoding.features.reduction import Stream, Use, project_stream, reduce_spaces, sum_shard, sum_shards
from encoding.features.sketch import sketch
from encoding.features.sums import Space, bins, sum_bytes
from encoding.fits.plan import Plan
from encoding.runtime.progress import Report
from encoding.storage.store import Store

if TYPE_CHECKING:
    import torch

    from encoding.features.components import Axes


def open_backbone(plan: Plan) -> Backbone:
    """Open the backbone of a plan; ValueError where its weights are no longer those that the plan names."""
    backbone = plan.source.open(plan.spec.backbone, plan.spec.weights)
    if backbone.fingerprint != plan.backbone_fingerprint:
        raise ValueError(f"The weights of {plan.spec.backbone} changed after the fit was planned. Start it again.")
    return backbone


def sketch_keys(plan: Plan) -> dict[str, str]:
    """Layer to the key of its sketch, or random projection, for the layers of a plan that are too large to store."""
    layers = [layer for layer in plan.spec.layers if layer in plan.reduced_layers]
    if plan.spec.reduction == "sparse_random":
        return {layer: plan.projection_key(layer) for layer in layers}
    return {layer: features.sketch_key(plan.feature_keys[layer], plan.n_frames) for layer in layers}


def projections(plan: Plan) -> dict[str, tuple[str, int]]:
    """Layer to the name and number of components of its random projection, for layers of which that is stored in place of a sketch."""
    if plan.spec.reduction != "sparse_random":
        return {}
    return {layer: (plan.full_name(layer), plan.spec.n_components) for layer in plan.spec.layers if layer in plan.reduced_layers}


def linear_components(plan: Plan, layers: tuple[str, ...], train: np.ndarray, store: Store) -> Components:
    """Components of one of a plan's spaces that are fitted to nothing: sparse random projections, or the features as they are.

    Parameters
    ----------
    train : (n_train,) row numbers; frames of a clip that are kept as a sequence are rows of their own.
    """
    from scipy import sparse

    loaded, matrices, known = [], [], {}
    for number, layer in enumerate(layers):
        if layer in plan.reduced_layers:
            if (stored := store.get(plan.projection_key(layer))) is None:
                raise LookupError(f"{store.root} holds no projection of {layer}. Extract the features first.")
            known[number], n_features = stored["P"], int(stored["n_features"])
            loaded.append(None)
        else:
            features_of = features.load(plan.feature_keys[layer], store)
            loaded.append(features_of.reshape(len(features_of) * plan.n_frames, -1))
            n_features = loaded[-1].shape[1]
        if plan.spec.reduction == "sparse_random":
            matrices.append(random_matrix(plan.full_name(layer), n_features, plan.spec.n_components))
        else:
            matrices.append(sparse.eye_array(n_features, format="csr", dtype=np.float32))
    if plan.spec.reduction == "none" and len(layers) > 1:  # side by side
        blocks = sparse.block_diag(matrices, "csr")
        edges = np.cumsum([0, *(matrix.shape[0] for matrix in matrices)])
        matrices = [blocks[start:stop] for start, stop in pairwise(edges)]
    return fit_linear(loaded, matrices, train, projected=known, names=layers, scaling=plan.spec.layer_scaling)


def reduce_in_pass(plans: Sequence[Plan], fold: Fold, store: Store, report: Report, device: str, *, shard: int | None = None) -> None:
    """Store the components of every group of layers that holds a layer too large to store, all in one second pass of the stimuli.

    Parameters
    ----------
    plans : plans of one subject, backbone, pooling and split.
    fold : whose training rows fit the components; its test rows are projected, and where there are delays every other row is.
    shard : store only the sums over this one of :func:`encoding.features.reduction.sum_shards`, for a later call that adds all.

    Raises
    ------
    LookupError where sketches or features are not in the Store; ValueError for a layer that does not vary over the training stimuli.
    """
    wanted = {plan.components_key(fold, layers): (plan, layers) for plan in plans for layers in plan.spaces if plan.is_reduced(layers)}
    missing = {key: pair for key, pair in wanted.items() if store.get(key) is None}
    if not missing:
        return
    first = plans[0]
    spaces = [_space(key, plan, layers, store, device) for key, (plan, layers) in missing.items()]
    order = {layer: place for place, layer in enumerate(dict.fromkeys(layer for plan in plans for layer in plan.spec.layers))}
    spaces.sort(key=lambda space: max(order[layer] for layer in space.layers))
    given = {"n_frames": first.n_frames, "device": device, "report": report}
    if shard is not None:
        part = sum_shards(len(fold.train), first.n_frames)[shard]
        sum_shard(spaces, fold.train, part, _stream(first, device), store, **given)
    else:
        others = np.setdiff1d(np.arange(len(first.stimuli)), fold.train) if any(plan.delay_sets for plan in plans) else fold.test
        reduce_spaces(spaces, fold.train, others, _stream(first, device), store, **given)
    first.check_unchanged(store)


def layers_of_passes(plan: Plan, fold: Fold, layers: Sequence[str], store: Store) -> list[list[str]]:
    """Group layers that are each reduced by themselves, as one second pass holds the sums of."""
    n_train, k = len(fold.train) * plan.n_frames, plan.spec.n_components
    return bins({layer: sum_bytes(k, n_train, size) for layer, size in _row_sizes(plan, layers, store).items()})


def _row_sizes(plan: Plan, layers: Sequence[str], store: Store) -> dict[str, int]:
    """Layer to number of features of a row: of a stimulus, or of a frame where frames are rows of their own."""
    named = dict.fromkeys(layers, "")
    sizes = layer_sizes(plan.source, plan.spec.backbone, plan.spec.weights, named, plan.spec.pool, store)
    n_side_by_side = plan.stimuli.n_frames if plan.over_frames == "all" and plan.n_frames == 1 else 1
    return {layer: size * n_side_by_side for layer, size in sizes.items()}


def project_in_pass(
    plan: Plan, layers: tuple[str, ...], mean: np.ndarray, axes: Axes, store: Store, report: Report, device: str
) -> np.ndarray:
    """Project all stimuli of a plan on known axes as they pass through the network.

    Returns
    -------
    (n_stimuli, k) float32; frames of a clip stand side by side.
    """
    rows = np.arange(len(plan.stimuli))
    known = {"scores": (_row_sizes(plan, layers, store), mean, axes)}
    scores = project_stream(known, rows, _stream(plan, device), n_frames=plan.n_frames, report=report)["scores"]
    return scores.reshape(len(rows), -1)


def _space(key: str, plan: Plan, layers: tuple[str, ...], store: Store, device: str) -> Space:
    parents = {layer: plan.feature_keys[layer] for layer in layers}
    sketches = {}
    for layer in layers:
        stored = None
        if layer in plan.reduced_layers:
            stored = store.get(features.sketch_key(plan.feature_keys[layer], plan.n_frames))
            if stored is None:
                raise LookupError(f"{store.root} holds no sketch of {layer}. Extract the features first.")
        sketches[layer] = stored or _sketch_of(features.load(plan.feature_keys[layer], store), layer, plan.n_frames)
    scaled = plan.spec.layer_scaling == "equal" and len(layers) > 1
    made_from = plan.made_from(device=device, features=parents, reduced=list(plan.reduced_layers))
    return Space(key, sketches, plan.spec.n_components, scaled, plan.spec.component_scaling == "zscore", made_from)


def _sketch_of(X: np.ndarray, layer: str, n_frames: int) -> Mapping[str, np.ndarray]:
    """The sketch of a layer that is small enough to be stored whole, beside a larger one that shares its PCA."""
    import torch

    X = X.reshape(len(X) * n_frames, -1)
    squares = np.zeros(len(X))
    Y = []
    for start in range(0, len(X), 256):
        part = np.array(X[start : start + 256], np.float32)
        squares[start : start + len(part)] = np.square(part, dtype=np.float64).sum(1)
        lengths = np.sqrt(squares[start : start + len(part)]).clip(1e-30)
        Y.append((sketch(torch.from_numpy(part), layer).numpy() / lengths[:, None]).astype(np.float16))
    return {"Y": np.concatenate(Y), "squares": squares, "n_features": np.array(X.shape[1])}


def _stream(plan: Plan, device: str) -> Stream:
    """Pass some of a plan's stimuli through its network, which is opened once."""

    @lru_cache(maxsize=1)
    def backbone() -> Backbone:
        return open_backbone(plan).for_passes(device)

    def stream(rows: np.ndarray, layers: Sequence[str], report: Report, use: Use) -> None:
        def by_row(first: int, layer: str, X: torch.Tensor) -> None:
            use(first, layer, X.reshape(len(X) * plan.n_frames, -1))

        pools, stimuli = (plan.spec.pool, plan.over_frames), Chosen(plan.stimuli, rows)
        for _ in activations(stimuli, backbone(), layers, pools, by_row, device=device, report=report):
            pass

    return stream
