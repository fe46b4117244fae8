"""The models of a fit that is passed on as one file: which can be, what of them goes along, and what is checked of them.

A linear readout's model is the components' mean and axes and a matrix of weights, which is all that a new picture's prediction takes.
Weights are sums over many responses, not responses; whoever may not pass them on leaves them out.

Arrays are named by fold ``f``, space of components ``c`` and part of the vertices ``p``: ``f0_c0_mean``, ``f0_c0_axes``,
``f0_p0_weights``, ``f0_p0_intercept``, and ``p0_lh``, the columns of a hemisphere that the part holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from encoding.fits.plan import Plan
from encoding.fits.targets import TargetGroup
from encoding.storage.store import Store

Arrays = Mapping[str, np.ndarray]

MOST_MODEL_BYTES = 192 * 2**20  # of the 256 MiB that a file may have: weights hardly get smaller when packed
MOST_MODEL_ARRAYS = 300
OWN_WEIGHTS = re.compile(r"pretrained|random:\d{1,10}")  # what names the same network on every machine


def component_name(fold: int, space: int) -> str:
    """The name in a Store of what was received of a fold's components."""
    return f"received-f{fold}_c{space}"


def model_name(fold: int, part: int) -> str:
    """The name in a Store of what was received of a part's model."""
    return f"received-f{fold}_p{part}"


def why_kept_back(planned: Plan, store: Store) -> str:
    """Why the models of a finished fit do not go along with it; empty where they do."""
    if told := planned.refusal(store) or planned.readout.export_refusal:
        return told
    if not OWN_WEIGHTS.fullmatch(planned.spec.weights):
        return "Its network has weights from a file, which does not go along."
    found = _found(planned, store)
    if found is None:
        return "Its components or models are no longer in the Store."
    if any(not len(array) for name, array in found.items() if name.endswith("_axes")):
        return "The axes of its components were not kept: with every component of so many features they take more room than the features."
    n_bytes = sum(array.nbytes for array in found.values())
    if n_bytes > MOST_MODEL_BYTES:
        sizes = f"Its models take {n_bytes / 2**20:,.0f} MiB; there is room for {MOST_MODEL_BYTES // 2**20} MiB."
        return f"{sizes} Fewer components, or pooling, take less."
    if len(found) > MOST_MODEL_ARRAYS:
        return f"It has {len(found):,} arrays of models, more than the {MOST_MODEL_ARRAYS} there is room for."
    return ""


def models_of(planned: Plan, store: Store) -> dict[str, np.ndarray]:
    """The arrays that go along; empty where :func:`why_kept_back` says why."""
    return {} if why_kept_back(planned, store) else dict(_found(planned, store))


def _found(planned: Plan, store: Store) -> Arrays | None:
    """Every array of its models, None where one is gone."""
    held = [(f"p{p}_{hemi}", columns) for p, part in enumerate(planned.target_groups) for hemi, columns in part.columns.items()]
    found = {name: np.asarray(columns, np.int64) for name, columns in held}
    for f, fold in enumerate(planned.folds):
        wanted = [(f"f{f}_c{c}", planned.components_key(fold, layers), ("mean", "axes")) for c, layers in enumerate(planned.spaces)]
        wanted += [
            (f"f{f}_p{p}", planned.weights_key(fold, part), ("weights", "intercept")) for p, part in enumerate(planned.target_groups)
        ]
        for start, key, names in wanted:
            arrays = store.get(key)
            if arrays is None:
                return None
            found |= {f"{start}_{name}": arrays[name] for name in names}
    return found


def entries(models: Arrays) -> dict[str, dict[str, np.ndarray]]:
    """The same as a Store would hold them, by :func:`component_name` and :func:`model_name`."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in models.items():
        if name.startswith("f"):
            start, _, what = name.rpartition("_")
            found.setdefault(f"received-{start}", {})[what] = array
    return found


def parts_in(models: Arrays, n_vertices: Mapping[str, int]) -> tuple[TargetGroup, ...]:
    """The parts that models were sent of, in their order."""
    found = []
    for number in range(sum(name.startswith("f0_p") and name.endswith("_weights") for name in models)):
        columns = {hemi: models[f"p{number}_{hemi}"] for hemi in n_vertices if f"p{number}_{hemi}" in models}
        whole = all(len(columns[hemi]) == n_vertices[hemi] for hemi in columns)
        name = ("both" if len(columns) > 1 else next(iter(columns))) if whole else f"part {number + 1}"
        found.append(TargetGroup(name, columns, whole=whole))
    return tuple(found)


def wrong_with(models: Arrays, n_vertices: Mapping[str, int], *, n_folds: int, n_spaces: int, n_frames: int) -> str:
    """What is wrong with models that somebody sent, as the end of a sentence; empty where nothing is.

    Parameters
    ----------
    n_vertices : of each hemisphere.
    n_spaces : how many spaces of components the fit's readout has.
    n_frames : blocks of columns that components come in.
    """
    n_parts = sum(name.startswith("f0_p") and name.endswith("_weights") for name in models)
    if not 0 < n_parts <= MOST_MODEL_ARRAYS or len(models) > MOST_MODEL_ARRAYS:
        return "no possible number of models"
    folds = [f"f{f}" for f in range(n_folds)]
    named = {f"{f}_c{c}_{what}" for f in folds for c in range(n_spaces) for what in ("mean", "axes")}
    named |= {f"{f}_p{p}_{what}" for f in folds for p in range(n_parts) for what in ("weights", "intercept")}
    held = {f"p{p}_{hemi}" for p in range(n_parts) for hemi in n_vertices} & set(models)
    if set(models) != named | held:
        return "models of other names"
    if told := _wrong_columns(models, n_vertices, n_parts):
        return told
    for fold in folds:
        n_components = 0
        for space in range(n_spaces):
            mean, axes = (models[f"{fold}_c{space}_{what}"] for what in ("mean", "axes"))
            if not (_is_numbers(mean, 1) and _is_numbers(axes, 2) and len(axes) == len(mean) > 0):
                return "components of another shape"
            n_components += n_frames * axes.shape[1]
        for number, part in enumerate(parts_in(models, n_vertices)):
            weights, intercept = (models[f"{fold}_p{number}_{what}"] for what in ("weights", "intercept"))
            shape = (n_components, sum(map(len, part.columns.values())))
            if not (_is_numbers(weights, 2) and _is_numbers(intercept, 1) and weights.shape == shape and intercept.shape == shape[1:]):
                return "models of another shape"
    return ""


def _wrong_columns(models: Arrays, n_vertices: Mapping[str, int], n_parts: int) -> str:
    for hemi, n in n_vertices.items():
        held = [models[f"p{p}_{hemi}"] for p in range(n_parts) if f"p{p}_{hemi}" in models]
        if any(columns.ndim != 1 or columns.dtype != np.int64 or not len(columns) for columns in held):
            return "models of no vertices"
        together = np.concatenate(held) if held else np.zeros(0, np.int64)
        ascending = all((np.diff(columns) > 0).all() for columns in held)
        if not ascending or len(np.unique(together)) < len(together) or (len(together) and not 0 <= together.min() <= together.max() < n):
            return "models of vertices that there are not"
    parts = [[hemi for hemi in n_vertices if f"p{p}_{hemi}" in models] for p in range(n_parts)]
    return "" if all(parts) else "models of no vertices"


def _is_numbers(array: np.ndarray, n_dimensions: int) -> bool:
    return array.ndim == n_dimensions and array.dtype in (np.float32, np.float64) and bool(np.isfinite(array).all())
