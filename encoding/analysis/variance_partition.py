"""Variance partitioning: what each of several feature spaces explains alone, what only it explains, and what several share.

Every non-empty subset of the spaces is fitted with the fit's own readout, from one set of moments: the X'X and X'Y of a subset are parts of
those of all spaces. With f(S) the test R² of subset S, the part of R² that exactly the spaces in T share is, by inclusion and exclusion,

    part(T) = Σ over U ⊆ T of (-1)^(|T| - |U|) (f(all) - f(all without U)),

so that f(S) is the sum of the parts that touch S. Unique is the part of a single space. A shared part is negative where spaces explain
more together than apart (suppression), or where an added space made test predictions worse.

References
----------
Lescroart, Stansbury & Gallant (2015), Fourier power, subjective distance, and object categories all provide plausible models of BOLD
responses in scene-selective visual areas. de Heer et al. (2017), The hierarchical cortical organization of human speech processing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from encoding.analysis.bootstrap import noise_share
from encoding.analysis.nested_fits import nested_scores, units_of, with_layers_apart
from encoding.backbones._base import JOIN
from encoding.evaluation.leave_one_out import jackknife_variance
from encoding.evaluation.resampling import interval
from encoding.fits.digests import reads_digest
from encoding.fits.result import Result
from encoding.pipeline import extract_features
from encoding.readouts import READOUTS
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.keys import digest

if TYPE_CHECKING:
    import pandas as pd

PARTITION_VERSION = 3  # of several folds, whose standard errors left out what the folds' models share before
ONE_FOLD_VERSION = 2
MOST_SPACES = 4  # 15 subsets
MOST_WIDTH = 1_000  # components of a layer where every one is kept, for an estimate of the duration
MULTIPLICATIONS_PER_SECOND = 2e10
AND = " & "  # between the names of spaces that share a part


class CannotPartition(ValueError):
    """A fit's variance cannot be divided among feature spaces. The message says why, and what can be."""


@dataclass(frozen=True)
class Partition:
    """R² of every subset of the feature spaces of a fit, on its test stimuli.

    Attributes
    ----------
    result : the fit.
    spaces : name of each space to its layers.
    subsets : (n_subsets,) tuples of names, the single spaces first and all spaces last.
    r2 : hemisphere to (n_subsets, n_vertices) float32, the mean over folds; NaN outside of the fit.
    product : hemisphere to (n_spaces, n_vertices) float32, the product measure of the model of all spaces; sums to its R².
    part_se : hemisphere to (n_subsets, n_rois) float32, the jackknife standard error over test units (stimuli, or the runs and sessions
        that a data set names) of the mean part over each ROI's vertices, widened over folds; NaN where a fold tests a single unit.
    df : degrees of freedom of Student's t for intervals of the parts.
    """

    result: Result
    spaces: Mapping[str, tuple[str, ...]]
    subsets: tuple[tuple[str, ...], ...]
    r2: Mapping[str, np.ndarray]
    product: Mapping[str, np.ndarray]
    part_se: Mapping[str, np.ndarray]
    df: int

    def parts(self, hemi: str) -> dict[tuple[str, ...], np.ndarray]:
        """Part of R² that exactly the named spaces explain, for every subset, (n_vertices,) each: the regions of a Venn diagram."""
        return venn_parts(dict(zip(self.subsets, self.r2[hemi], strict=True)))

    def unique(self, hemi: str) -> dict[str, np.ndarray]:
        """Part of R² that only one space explains, (n_vertices,) each."""
        parts = self.parts(hemi)
        return {name: parts[(name,)] for name in self.spaces}

    def table(self) -> pd.DataFrame:
        """Tabulate means over vertices, a row for each ROI, hemisphere and subset.

        Columns: roi, hemi, n_vertices (with a value), spaces (names joined by ``&``), r2 (of a model of these spaces), part (what exactly
        these share; unique where it is one), part_low and part_high (its 95 % interval, which speaks of other test stimuli), and, for
        single spaces, product (the product measure; else NaN).
        """
        import pandas as pd

        rows = []
        for hemi in self.r2:
            parts = self.parts(hemi)
            for place, roi in enumerate(self.result.selected_rois):
                columns = self.result.columns(roi, hemi)
                columns = columns[np.isfinite(self.r2[hemi][:, columns]).all(0)]
                for number, subset in enumerate(self.subsets):
                    row = {"roi": roi, "hemi": hemi, "n_vertices": len(columns), "spaces": AND.join(subset)}
                    row |= {"r2": _mean(self.r2[hemi][number, columns]), "part": _mean(parts[subset][columns])}
                    low, high = interval(np.array(row["part"]), np.array(self.part_se[hemi][number, place]), self.df)
                    row |= {"part_low": float(low), "part_high": float(high)}
                    single = self.product[hemi][number, columns] if len(subset) == 1 else np.zeros(0)
                    rows.append(row | {"product": _mean(single)})
        table = pd.DataFrame(rows)
        order = {roi: place for place, roi in enumerate(self.result.selected_rois)}
        return table.sort_values("roi", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def part_name(subset: Sequence[str]) -> str:
    """Name of the part of R² that exactly some spaces share.

    >>> part_name(("early",)), part_name(("early", "late"))
    ('only early', 'early & late')
    """
    return f"only {subset[0]}" if len(subset) == 1 else AND.join(subset)


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else float("nan")


def venn_parts(r2: Mapping[tuple[str, ...], np.ndarray]) -> dict[tuple[str, ...], np.ndarray]:
    """Regions of the Venn diagram of R², by inclusion and exclusion.

    Parameters
    ----------
    r2 : every non-empty subset of the spaces, in one order of names, to the R² of its model, any shape.

    Returns
    -------
    Subset to the part of R² that exactly its spaces share. The parts that touch a subset sum to its R².

    Examples
    --------
    >>> {T: round(part, 2) for T, part in venn_parts({("a",): 0.3, ("b",): 0.2, ("a", "b"): 0.4}).items()}
    {('a',): 0.2, ('b',): 0.1, ('a', 'b'): 0.1}
    """
    whole = max(r2, key=len)

    def only(names: tuple[str, ...]) -> np.ndarray | float:
        """R² that is lost without these spaces."""
        rest = tuple(name for name in whole if name not in names)
        return r2[whole] - (r2[rest] if rest else 0)

    return {T: sum((-1) ** (len(T) - n) * only(U) for n in range(1, len(T) + 1) for U in combinations(T, n)) for T in r2}


def default_spaces(result: Result) -> dict[str, tuple[str, ...]]:
    """The feature spaces of a fit: each layer, or each network (or feature table) where there are several.

    Raises
    ------
    CannotPartition where there is one layer, or more than :data:`MOST_SPACES` of one network.
    """
    plan = result.plan
    if len(plan.networks) > 1:
        pairs = zip(plan.spec.backbone.split(JOIN), plan.layer_names, strict=True)
        return {network: tuple(names.values()) for network, names in pairs}
    if len(plan.spec.layers) > MOST_SPACES:
        raise CannotPartition(
            f"{len(plan.spec.layers)} layers have {2 ** len(plan.spec.layers) - 1:,} subsets. Group them into {MOST_SPACES} spaces at most."
        )
    return {layer: (layer,) for layer in plan.spec.layers}


def checked_spaces(result: Result, spaces: Mapping[str, Sequence[str]] | None = None) -> dict[str, tuple[str, ...]]:
    """Check that a fit can be divided among some spaces, those of :func:`default_spaces` by default.

    Parameters
    ----------
    spaces : name to layers of the fit; no layer in two. Layers that are in none take no part.

    Raises
    ------
    CannotPartition, or UnknownName for a layer that the fit does not have.
    """
    plan = result.plan
    if not result.has_data:
        raise CannotPartition("Features and responses did not come with this imported fit. Fit it again where the data are.")
    if not plan.readout.uses_moments or not plan.readout.uses_components:
        linear = ", ".join(name for name, each in READOUTS.items() if each.uses_moments)
        raise CannotPartition(f"Variance is partitioned of linear models ({linear}), not of {plan.spec.readout}.")
    if plan.spec.degree > 1:
        raise CannotPartition("Products of components (degree 2) belong to no single space.")
    if not plan.has_test:
        raise CannotPartition("Every stimulus was used for training, so there is no test R² to divide.")
    if spaces is None:
        spaces = default_spaces(result)
    spaces = {name: tuple(layers) for name, layers in spaces.items()}
    named = [layer for layers in spaces.values() for layer in layers]
    for layer in named:
        if layer not in plan.spec.layers:
            raise UnknownName(unknown("layer of this fit", layer, plan.spec.layers))
    if not all(spaces.values()) or len(set(named)) < len(named) or any(AND.strip() in name for name in spaces):
        raise CannotPartition("A space needs a name without & and one layer at least, and no layer may be in two spaces.")
    if not 2 <= len(spaces) <= MOST_SPACES:
        raise CannotPartition(f"Variance is partitioned among 2 to {MOST_SPACES} feature spaces, not {len(spaces)}: fit several layers.")
    return spaces


def subsets_of(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Every non-empty subset, smaller ones first."""
    return tuple(some for n in range(1, len(names) + 1) for some in combinations(names, n))


def partition_key(result: Result, spaces: Mapping[str, tuple[str, ...]]) -> str:
    """Key of a partition in the Store: the fit, which covers features, rows, responses and readout, spaces, ROI masks and test units."""
    plan = result.plan
    columns = ((f"{hemi} {roi}", result.columns(roi, hemi)) for hemi in plan.hemis for roi in result.selected_rois)
    reads = reads_digest(columns, (units_of(plan, fold) for fold in plan.folds))
    names = [[name, list(layers)] for name, layers in spaces.items()]
    version = PARTITION_VERSION if len(plan.folds) > 1 else ONE_FOLD_VERSION
    return digest("partition", version, fit=result.key, spaces=names, reads=reads)


def stored_partition(result: Result, spaces: Mapping[str, Sequence[str]] | None = None) -> Partition | None:
    """Read a partition from the Store; None where it was not computed."""
    checked = checked_spaces(result, spaces)
    arrays = result.derived(partition_key(result, checked))
    return None if arrays is None else _read(result, checked, arrays)


def partition(
    result: Result, report: Report = silent, device: str = "auto", *, spaces: Mapping[str, Sequence[str]] | None = None
) -> Partition:
    """Divide the test R² of a linear fit among feature spaces; kept in the Store.

    Parameters
    ----------
    result : finished fit of several layers, networks or feature tables.
    spaces : as :func:`checked_spaces` takes them.

    Raises
    ------
    As :func:`checked_spaces`.

    Notes
    -----
    Each layer has a PCA of its own here, of as many components as the fit; a readout that treats layers apart (banded ridge) has them
    already, and the model of all spaces is the fit itself. With other readouts it is the model of all layers' components side by side,
    which with ``layer_scaling`` "equal" are brought to one total variance. Each subset chooses its own penalties.

    Intervals of an ROI's parts are made as those of its scores (:mod:`encoding.evaluation.resampling`): models stay as they are, one test
    unit is left out at a time, and parts are computed anew from the R² of every subset. Over folds the variance is multiplied by 1 + tau
    of the fit (:func:`encoding.evaluation.resampling.shared_noise`): in a difference of R² the responses' own variance cancels.
    """
    spaces, plan = checked_spaces(result, spaces), result.plan
    subsets = subsets_of(list(spaces))
    apart = with_layers_apart(plan)

    def make() -> dict[str, np.ndarray]:
        on = choose_device(device)
        with result.store.in_use(apart.stage_keys):
            extract_features(apart, result.store, subprogress(report, 0, 0.2), on)
            folds = []
            for number, fold in enumerate(apart.folds):
                start, stop = (0.2 + 0.8 * at / len(apart.folds) for at in (number, number + 1))
                folds.append(nested_scores(apart, fold, spaces, subsets, result, subprogress(report, start, stop), on))
            plan.check_unchanged(result.store)
        left_out = [fold.pop("left_out") for fold in folds]
        arrays = {name: np.mean([fold[name] for fold in folds], axis=0).astype(np.float32) for name in folds[0]}
        return arrays | _part_errors(result, subsets, arrays, left_out)

    key = partition_key(result, spaces)
    return _read(result, spaces, result.store.memo(key, make, plan.made_from(fit=result.key)))


def estimated_seconds(result: Result, spaces: Mapping[str, tuple[str, ...]]) -> float:
    """Rough duration of :func:`partition` in seconds, where features are stored."""
    plan, n_layers = result.plan, {name: len(layers) for name, layers in spaces.items()}
    n_targets = sum(len(columns) for group in plan.target_groups for columns in group.columns.values())
    most, work = plan.spec.n_components or MOST_WIDTH, 0.0
    for subset in subsets_of(list(spaces)):
        work += plan.readout.cost(result.n_train, most * sum(n_layers[name] for name in subset), n_targets, plan.options)[0]
    return 2.0 + len(plan.folds) * work / MULTIPLICATIONS_PER_SECOND


def _part_errors(
    result: Result, subsets: Sequence[tuple[str, ...]], arrays: Mapping[str, np.ndarray], left_out: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Standard errors of the parts of R² of every ROI, ``<hemi>_part_se`` (n_subsets, n_rois), and their degrees of freedom.

    Parameters
    ----------
    left_out : fold after fold, (n_subsets, n_units, n_hemis, n_rois), the sums over an ROI's vertices of how R² changes without one unit.
    """
    found = {"df": np.array(max(1, sum(each.shape[1] for each in left_out) - 2 * len(left_out)))}
    for place, hemi in enumerate(result.plan.hemis):
        known = np.isfinite(arrays[f"{hemi}_r2"]).all(0)
        members = [columns[known[columns]] for columns in (result.columns(roi, hemi) for roi in result.selected_rois)]
        widening = np.ones(len(known))
        if len(left_out) > 1:
            used = np.unique(np.concatenate(members))
            widening[used] += noise_share(result, hemi, used)
        with np.errstate(invalid="ignore", divide="ignore"):
            changes = [each[:, :, place] / list(map(len, members)) / len(left_out) for each in left_out]
            widened = np.array([widening[columns].sum() for columns in members]) / list(map(len, members))
        parts = [venn_parts(dict(zip(subsets, each, strict=True))) for each in changes]
        se = [np.sqrt(jackknife_variance([each[T] for each in parts]) * widened) for T in subsets]
        found[f"{hemi}_part_se"] = np.stack(se).astype(np.float32)
    return found


def _read(result: Result, spaces: Mapping[str, tuple[str, ...]], arrays: Mapping[str, np.ndarray]) -> Partition:
    r2, product = ({hemi: np.asarray(arrays[f"{hemi}_{name}"]) for hemi in result.plan.hemis} for name in ("r2", "product"))
    part_se = {hemi: np.asarray(arrays[f"{hemi}_part_se"]) for hemi in result.plan.hemis}
    return Partition(result, spaces, subsets_of(list(spaces)), r2, product, part_se, int(arrays["df"]))
