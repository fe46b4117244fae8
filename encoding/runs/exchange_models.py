"""Models in an exported fit: eligibility, arrays and validation.

The model of a linear readout is the mean and axes of the components and a matrix of weights, which is all that a prediction of new
stimuli needs. Weights are sums over many responses, not responses; a sender who may not pass them on leaves them out.

Arrays are named by fold ``f``, space of components ``c`` and target group ``p``: ``f0_c0_mean``, ``f0_c0_axes``, ``f0_p0_weights``,
``f0_p0_intercept``, and ``p0_lh``, the columns of a hemisphere that the group holds; of a fit with delays also ``f0_delays``, in samples.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from encoding.features.components import SPARSE_AXES, axes_arrays, n_polynomial
from encoding.features.delays import Delays
from encoding.fits.score_tables import ScoreTables
from encoding.fits.targets import TargetGroup

Arrays = Mapping[str, np.ndarray]

MAX_MODEL_BYTES = 192 * 2**20  # of the 256 MiB that a file may have: weights hardly get smaller when packed
MAX_MODEL_ARRAYS = 300
SHARED_WEIGHTS = re.compile(r"(pretrained|random:\d{1,10})( \+ (pretrained|random:\d{1,10}))*")  # the same networks on every machine


def export_refusal(result: ScoreTables) -> str:
    """Explain why the models of a finished fit cannot be exported; empty where they can."""
    if refusal := result.prediction_refusal() or result.plan.readout.export_refusal:
        return refusal
    if not SHARED_WEIGHTS.fullmatch(result.plan.spec.weights):
        return "Its network has weights from a file, which does not go along."
    try:
        arrays = _collect(result)
    except FileNotFoundError:
        return "Its components or models are no longer in the Store."
    if any(not len(array) for name, array in arrays.items() if name.endswith("_axes")):  # sparse ones are always kept
        return "The axes of its components were not kept: with every component of so many features they take more room than the features."
    n_bytes = sum(array.nbytes for array in arrays.values())
    if n_bytes > MAX_MODEL_BYTES:
        sizes = f"Its models take {n_bytes / 2**20:,.0f} MiB; there is room for {MAX_MODEL_BYTES // 2**20} MiB."
        return f"{sizes} Fewer components, or pooling, take less."
    if len(arrays) > MAX_MODEL_ARRAYS:
        return f"It has {len(arrays):,} arrays of models, more than the {MAX_MODEL_ARRAYS} there is room for."
    return ""


def model_arrays(result: ScoreTables) -> dict[str, np.ndarray]:
    """Collect the arrays of all models and their components; empty where :func:`export_refusal` gives a reason."""
    return {} if export_refusal(result) else _collect(result)


def _collect(result: ScoreTables) -> dict[str, np.ndarray]:
    """Every array of its models; FileNotFoundError where one is gone."""
    plan, arrays = result.plan, {}
    for p, group in enumerate(plan.target_groups):
        arrays |= {f"p{p}_{hemi}": np.asarray(columns, np.int64) for hemi, columns in group.columns.items()}
    for f in range(len(plan.folds)):
        for c, layers in enumerate(plan.spaces):
            mean, axes = result.projection(f, layers)
            parts = axes_arrays(axes.astype(np.float32, copy=False))
            arrays |= {f"f{f}_c{c}_mean": mean} | {f"f{f}_c{c}_{name}": part for name, part in parts.items()}
        if plan.delay_sets:
            arrays[f"f{f}_delays"] = np.array(result.delays(f), np.int64)
        for p, group in enumerate(plan.target_groups):
            model = result.model(group.name, f)
            arrays |= {f"f{f}_p{p}_weights": model.weights, f"f{f}_p{p}_intercept": model.intercept}
    return arrays


def target_groups_in(models: Arrays, n_vertices: Mapping[str, int]) -> tuple[TargetGroup, ...]:
    """The target groups that exported models are of, in their order; empty without models.

    Parameters
    ----------
    n_vertices : of each hemisphere.
    """
    parts = []
    for number in range(_n_groups(models)):
        columns = {hemi: models[f"p{number}_{hemi}"] for hemi in n_vertices if f"p{number}_{hemi}" in models}
        whole = all(len(columns[hemi]) == n_vertices[hemi] for hemi in columns)
        name = ("both" if len(columns) > 1 else next(iter(columns))) if whole else f"part {number + 1}"
        parts.append(TargetGroup(name, columns, whole=whole))
    return tuple(parts)


def check_models(
    models: Arrays,
    n_vertices: Mapping[str, int],
    *,
    n_folds: int,
    n_spaces: int,
    n_frames: int,
    degree: int = 1,
    sparse: bool = False,
    delay_sets: Sequence[Delays] = (),
) -> str:
    """Check that exported models are of this fit's folds, components and vertices.

    Parameters
    ----------
    n_vertices : of each hemisphere.
    n_spaces : spaces of components that the fit's readout has.
    n_frames : blocks of columns that components come in.
    degree : of the polynomial features of components that models take.
    sparse : whether axes are sparse (:func:`encoding.features.components.axes_arrays`).
    delay_sets : sets of delays, one of which each fold's models take; none where they take components of the same sample.

    Returns
    -------
    What is wrong with them as the end of a sentence; empty where nothing is.
    """
    n_groups = _n_groups(models)
    if not 0 < n_groups <= MAX_MODEL_ARRAYS or len(models) > MAX_MODEL_ARRAYS:
        return "no possible number of models"
    folds = [f"f{f}" for f in range(n_folds)]
    expected = {f"{f}_c{c}_{name}" for f in folds for c in range(n_spaces) for name in ("mean", *(SPARSE_AXES if sparse else ("axes",)))}
    expected |= {f"{f}_p{p}_{name}" for f in folds for p in range(n_groups) for name in ("weights", "intercept")}
    expected |= {f"{f}_delays" for f in folds if delay_sets}
    columns = {f"p{p}_{hemi}" for p in range(n_groups) for hemi in n_vertices} & set(models)
    if set(models) != expected | columns:
        return "models of other names"
    if wrong := _check_columns(models, n_vertices, n_groups):
        return wrong
    for fold in folds:
        n_components = 0
        for space in range(n_spaces):
            width = _n_components(models, f"{fold}_c{space}_", sparse)
            if not width:
                return "components of another shape"
            n_components += n_frames * width
        delays = models[f"{fold}_delays"] if delay_sets else np.zeros(1, np.int64)
        if delay_sets and not any(np.array_equal(delays, known) for known in delay_sets):
            return "delays that are not those of its spec"
        for number, group in enumerate(target_groups_in(models, n_vertices)):
            weights, intercept = (models[f"{fold}_p{number}_{name}"] for name in ("weights", "intercept"))
            shape = (n_polynomial(n_components, degree) * len(delays), sum(map(len, group.columns.values())))
            if not (_is_numbers(weights, 2) and _is_numbers(intercept, 1) and weights.shape == shape and intercept.shape == shape[1:]):
                return "models of another shape"
    return ""


def _n_components(models: Arrays, prefix: str, sparse: bool) -> int:
    """Number of components of the axes whose names begin with ``prefix``; 0 where they are of no possible form."""
    mean = models[f"{prefix}mean"]
    if not (_is_numbers(mean, 1) and len(mean)):
        return 0
    if not sparse:
        axes = models[f"{prefix}axes"]
        return axes.shape[1] if _is_numbers(axes, 2) and len(axes) == len(mean) else 0
    data, indices, indptr = (models[f"{prefix}{name}"] for name in SPARSE_AXES)
    counted = all(part.ndim == 1 and part.dtype == np.int64 for part in (indices, indptr)) and len(indptr) > 1
    if not (
        counted and _is_numbers(data, 1) and len(data) == len(indices) == indptr[-1] and indptr[0] == 0 and (np.diff(indptr) >= 0).all()
    ):
        return 0
    within = not len(indices) or 0 <= indices.min() <= indices.max() < len(mean)
    return len(indptr) - 1 if within else 0


def _n_groups(models: Arrays) -> int:
    return sum(name.startswith("f0_p") and name.endswith("_weights") for name in models)


def _check_columns(models: Arrays, n_vertices: Mapping[str, int], n_groups: int) -> str:
    for hemi, n in n_vertices.items():
        groups = [models[f"p{p}_{hemi}"] for p in range(n_groups) if f"p{p}_{hemi}" in models]
        if any(columns.ndim != 1 or columns.dtype != np.int64 or not len(columns) for columns in groups):
            return "models of no vertices"
        every = np.concatenate(groups) if groups else np.zeros(0, np.int64)
        ascending = all((np.diff(columns) > 0).all() for columns in groups)
        if not ascending or len(np.unique(every)) < len(every) or (len(every) and not 0 <= every.min() <= every.max() < n):
            return "models of vertices that there are not"
    of_group = [[hemi for hemi in n_vertices if f"p{p}_{hemi}" in models] for p in range(n_groups)]
    return "" if all(of_group) else "models of no vertices"


def _is_numbers(array: np.ndarray, n_dimensions: int) -> bool:
    return array.ndim == n_dimensions and array.dtype in (np.float32, np.float64) and bool(np.isfinite(array).all())
