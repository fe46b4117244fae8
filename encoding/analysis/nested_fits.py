"""Fit a readout on every subset of some feature spaces, from one set of moments, and score the fits on test stimuli."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from encoding.evaluation.leave_one_out import ScoredFold, fold_scores
from encoding.evaluation.resampling import SUB_BLOCK
from encoding.evaluation.scores import score
from encoding.evaluation.splits import Fold
from encoding.fits.plan import Plan
from encoding.fits.result import Result
from encoding.fits.targets import TargetGroup
from encoding.fits.training_data import bands_of
from encoding.pipeline import group_moments, reduce_features
from encoding.readouts import Options, Readout, Responses
from encoding.readouts._moments import Moments
from encoding.readouts._shares import layer_shares
from encoding.runtime.progress import Report, silent, subprogress

TARGETS_AT_A_TIME = 1_024


def units_of(plan: Plan, fold: Fold) -> np.ndarray:
    """Unit of resampling of each scored row of a fold: its stimulus, or its run or session where the data set names them."""
    return plan.subject.groups[plan.scored_rows(fold)]


def with_layers_apart(plan: Plan) -> Plan:
    """The plan with a PCA for each layer, whatever its readout."""
    readout: Readout = copy(plan.readout)
    readout.by_layer = True
    scaling = "none" if plan.spec.layer_scaling == "equal" else plan.spec.layer_scaling  # of a layer by itself they are the same
    return replace(plan, readout=readout, spec=replace(plan.spec, layer_scaling=scaling))


def nested_scores(
    plan: Plan,
    fold: Fold,
    spaces: Mapping[str, tuple[str, ...]],
    subsets: Sequence[tuple[str, ...]],
    result: Result,
    report: Report,
    device: str,
) -> dict[str, np.ndarray]:
    """``<hemi>_r2`` (n_subsets, n_vertices), ``<hemi>_product`` (n_spaces, n_vertices) and ``left_out`` of :func:`_part_errors`."""
    store = result.store
    Z = reduce_features(plan, fold, store, subprogress(report, 0, 0.3), device)
    parts = np.split(np.arange(Z.shape[1]), np.cumsum(bands_of(plan, fold, store))[:-1])
    n_bands = len(parts) // len(plan.spec.layers)  # of a layer: one, or one for each delay
    bands = {layer: parts[n_bands * number : n_bands * (number + 1)] for number, layer in enumerate(plan.spec.layers)}
    sizes = {hemi: plan.subject.responses[hemi].shape[1] for hemi in plan.hemis}
    arrays = {f"{hemi}_r2": np.full((len(subsets), n), np.nan) for hemi, n in sizes.items()}
    arrays |= {f"{hemi}_product": np.full((len(spaces), n), np.nan) for hemi, n in sizes.items()}
    rois = result.selected_rois
    member = {hemi: np.zeros((n, len(rois)), bool) for hemi, n in sizes.items()}
    for number, roi in enumerate(rois):
        for hemi, inside in member.items():
            inside[result.columns(roi, hemi), number] = True
    left_out = np.zeros((len(subsets), len(np.unique(units_of(plan, fold))), len(sizes), len(rois)))
    fitting = subprogress(report, 0.3, 1)
    for number, group in enumerate(plan.target_groups):
        moments = group_moments(plan, fold, group, Z, store, silent, device)
        scale = _equal_scale(moments, bands) if result.plan.spec.layer_scaling == "equal" and not result.plan.readout.by_layer else None
        step = TARGETS_AT_A_TIME if plan.readout.targets_apart(plan.options) else moments.n_targets
        for start in range(0, moments.n_targets, step):
            fitting((number + start / moments.n_targets) / len(plan.target_groups), f"nested fits of {group.name}")
            some = slice(start, min(start + step, moments.n_targets))
            part, changes = _subset_scores(plan, fold, group, some, moments.targets(some), Z, scale, spaces, bands, subsets, device)
            for hemi, place in group.places().items():
                inside = np.arange(max(place.start, some.start), min(place.stop, some.stop))
                columns = group.columns[hemi][inside - place.start]
                for name, values in part.items():
                    arrays[f"{hemi}_{name}"][:, columns] = values[:, inside - some.start]
                left_out[:, :, list(sizes).index(hemi)] += changes[:, :, inside - some.start] @ member[hemi][columns]
    return arrays | {"left_out": left_out}


def _subset_scores(
    plan: Plan,
    fold: Fold,
    group: TargetGroup,
    some: slice,
    moments: Moments,
    Z: np.ndarray,
    scale: np.ndarray | None,
    spaces: Mapping[str, tuple[str, ...]],
    bands: Mapping[str, Sequence[np.ndarray]],
    subsets: Sequence[tuple[str, ...]],
    device: str,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """R² (n_subsets, t) and product measure (n_spaces, t) of some targets, and the change of R² without a unit, (n_subsets, n_units, t)."""
    units = units_of(plan, fold)
    responses = Responses([(plan.subject.responses[hemi], columns) for hemi, columns in group.columns.items()], fold.test)
    Y = plan.over_repeats(fold, np.asfortranarray(responses[:, some], np.float32))
    Z_test = Z[fold.test] if scale is None else (Z[fold.test] * scale).astype(Z.dtype)
    r2, changes = np.empty((len(subsets), Y.shape[1])), np.empty((len(subsets), len(np.unique(units)), Y.shape[1]), np.float32)
    for number, subset in enumerate(subsets):
        layers = [layer for layer in plan.spec.layers if any(layer in spaces[name] for name in subset)]
        parts = [part for layer in layers for part in bands[layer]]
        columns = np.concatenate(parts)
        model = _fit(plan.readout, plan.options, moments, scale, columns, tuple(map(len, parts)), device)
        basis = np.ascontiguousarray(Z_test[:, columns])
        predicted = plan.over_repeats(fold, model.predict(basis))
        r2[number] = score(predicted, Y)["r2"]
        for start in range(0, Y.shape[1], SUB_BLOCK):
            block = slice(start, start + SUB_BLOCK)
            test = ScoredFold(predicted[:, block], Y[:, block], units)
            at, _, less_one = fold_scores(test, np.zeros((0, changes.shape[1]), np.float32))["r2"]
            changes[number, :, block] = np.nan_to_num(less_one - at)
    sizes = [sum(map(len, bands[layer])) for layer in layers]
    of_layer = layer_shares(np.asarray(model.weights), sizes, plan.over_repeats(fold, basis), Y, model.intercept)
    product = np.stack([of_layer[[layers.index(layer) for layer in spaces[name]]].sum(0) for name in spaces])
    return {"r2": r2, "product": product}, changes


def _fit(
    readout: Readout, options: Options, moments: Moments, scale: np.ndarray | None, columns: np.ndarray, bands: tuple[int, ...], device: str
) -> object:
    """Fit the readout on some components: their moments are parts of those of all."""
    x, xx, xy = moments.x[:, columns], moments.xx[:, columns[:, None], columns], moments.xy[:, columns]
    if scale is not None:
        s = scale[columns]
        x, xx, xy = x * s, xx * s[:, None] * s, (xy * s[:, None]).astype(xy.dtype)
    part = replace(moments, x=x, xx=xx, xy=xy, bands=bands)
    return readout.fit(part, options, device=device)


def _equal_scale(moments: Moments, bands: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    """(p,) factors that bring the layers' training components to one total variance, 1; 1 for a layer that does not vary."""
    n, x, squares = moments.n.sum(), moments.x.sum(0), np.einsum("fii->i", moments.xx)
    variance, scale = (squares - x**2 / n) / n, np.ones(len(x))
    for columns in map(np.concatenate, bands.values()):
        total = variance[columns].sum()
        scale[columns] = 1 / np.sqrt(total) if total > 1e-12 * max(squares[columns].sum() / n, np.finfo(float).tiny) else 1
    return scale
