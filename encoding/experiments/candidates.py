"""Candidates of a choice: the fits of an experiment, paired with those on validation stimuli, and their scores per ROI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from encoding.analysis.bootstrap import estimate_scores
from encoding.evaluation.normalised_scores import from_r
from encoding.evaluation.resampling import ErrorBar, draw_counts
from encoding.evaluation.scores import SCORES, Score
from encoding.evaluation.splits import WITHIN
from encoding.experiments.graph import PlannedCell
from encoding.fits.result import Result
from encoding.fits.score_tables import BOTH, EVERY_VERTEX
from encoding.fits.training_data import is_complete
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.store import Store

VALIDATION = "holdout:0.8:0"  # of the training stimuli, by default
NOT_CHOSEN_OVER = ("subject", "split")  # settings that make separate choices


class NotFinished(ValueError):
    """Fits that a choice needs are not in the Store. The message counts them."""


@dataclass(frozen=True)
class Unit:
    """Vertices that one choice is made for, or reported for: an ROI, a group of ROIs or a hemisphere.

    Attributes
    ----------
    name : of the ROI or group; ``all`` for every vertex.
    hemi : hemisphere, or ``both``.
    columns : hemisphere to columns (n,) int64; may be empty.
    """

    name: str
    hemi: str
    columns: Mapping[str, np.ndarray] = field(compare=False)

    @property
    def n_vertices(self) -> int:
        """Number of vertices over hemispheres."""
        return sum(map(len, self.columns.values()))


@dataclass(frozen=True)
class Case:
    """Fits between which one choice is made, of one subject.

    Attributes
    ----------
    settings : what the fits have in common of the experiment's varied settings, such as the subject.
    labels : (n_candidates,) the settings that are chosen over, in the experiment's order.
    tests, validations : (n_candidates,) fits with the experiment's split, and the same on validation stimuli.
    """

    settings: Mapping[str, str]
    labels: tuple[str, ...]
    tests: tuple[Result, ...]
    validations: tuple[Result, ...]

    @property
    def n_folds(self) -> int:
        """Folds of the test split, each of which makes a choice."""
        return len(self.tests[0].plan.folds)


def score_of(by: str) -> tuple[Score, str]:
    """The score and statistic that a name of a column means."""
    known: dict[str, tuple[Score, str]] = {}
    for score in SCORES.values():
        if not score.pooled:  # each fold makes a choice of its own
            known |= {score.key: (score, "mean"), score.mean_column: (score, "mean")}
            known |= {score.median_column: (score, "median")} if score.has_median else {}
    if by not in known:
        raise UnknownName(unknown("score to choose by", by, known, show=30))
    return known[by]


def cases_of(cells: Sequence[PlannedCell], store: Store, over: Sequence[str], validation: str) -> tuple[Case, ...]:
    """Group the cells by what is not chosen over, and name the candidates."""
    varied = list(dict.fromkeys(name for cell in cells for name in cell.cell.settings if name not in NOT_CHOSEN_OVER))
    for name in over:
        if name not in varied:
            raise UnknownName(unknown("varied setting to choose over", name, varied))
    over = [name for name in varied if not over or name in over]
    by_spec = {cell.cell.spec: cell for cell in cells}
    unfinished = [cell for cell in cells if cell.plan is None or not is_complete(cell.plan, store)]
    if unfinished:
        raise NotFinished(
            f"{len(unfinished):,} of {len(cells):,} fits are not finished, such as {unfinished[0].cell.label}. Run the experiment."
        )
    found: dict[tuple[tuple[str, str], ...], dict[str, tuple[Result, Result]]] = {}
    inner, n_splits = validation, len({each.split for each in by_spec if WITHIN not in each.split})
    for cell in cells:
        spec = cell.cell.spec
        if WITHIN in spec.split:
            continue
        if not inner:
            inner = next(
                (each.split[len(spec.split) + 1 :] for each in by_spec if each.split.startswith(f"{spec.split}{WITHIN}")), VALIDATION
            )
        other = by_spec.get(replace(spec, split=f"{spec.split}{WITHIN}{inner}"))
        if other is None:
            raise NotFinished(f"{cell.cell.label} has no fit on validation stimuli ({inner} of the training part). See with_validation.")
        label = " · ".join(cell.cell.settings[name] for name in over) or cell.cell.label
        case = {name: text for name, text in cell.cell.settings.items() if name not in over and (name != "split" or n_splits > 1)}
        case = {"subject": spec.subject} | case
        found.setdefault(tuple(case.items()), {})[label] = (Result(cell.plan, store), Result(other.plan, store))
    if not any(len(fits) > 1 for fits in found.values()):
        raise ValueError(f"There is nothing to choose between: vary {' or '.join(over) or 'a setting'} in the experiment.")
    return tuple(
        Case(dict(case), tuple(fits), tuple(test for test, _ in fits.values()), tuple(other for _, other in fits.values()))
        for case, fits in found.items()
    )


def units_of(result: Result, per: str, groups: Mapping[str, Sequence[str]], together: bool) -> tuple[Unit, ...]:
    """``all`` vertices, then the ROIs or groups; each hemisphere apart unless ``together``."""
    hemis, rois = result.plan.hemis, [roi for roi in result.selected_rois if roi != EVERY_VERTEX]
    known = {roi for hemi in hemis for roi in result.plan.subject.rois[hemi]}
    for name in [roi for members in groups.values() for roi in members]:
        if name not in known:
            raise UnknownName(unknown("ROI", name, sorted(known), show=40))
    members: dict[str, Sequence[str]] = {EVERY_VERTEX: (EVERY_VERTEX,)}
    members |= dict(groups) or ({} if per == "hemisphere" else {roi: (roi,) for roi in rois})
    units = []
    for name, united in members.items():
        columns = {hemi: np.unique(np.concatenate([result.columns(roi, hemi) for roi in united])) for hemi in hemis}
        if together and len(hemis) > 1:
            units.append(Unit(name, BOTH, columns))
        else:
            units += [Unit(name, hemi, {hemi: columns[hemi]}) for hemi in hemis]
    return tuple(units)


def by_fold(result: Result, hemi: str, score: Score) -> np.ndarray:
    """(n_folds, n_vertices) a score of every fold."""
    if not score.needs_ceiling:
        return result.fold_scores(hemi, score.key)
    return from_r(score.key, result.fold_scores(hemi), np.asarray(result.ceiling(hemi)))


def values_of(result: Result, units: Sequence[Unit], score: Score, statistic: str) -> np.ndarray:
    """(n_folds, n_units) a score's mean or median over the vertices of each unit; NaN for one without a score."""
    maps = {hemi: by_fold(result, hemi, score) for hemi in result.plan.hemis}
    values = np.full((len(result.plan.folds), len(units)), np.nan)
    for u, unit in enumerate(units):
        some = np.concatenate([maps[hemi][:, columns] for hemi, columns in unit.columns.items()], axis=1)
        for fold, row in enumerate(some):
            row = row[np.isfinite(row)]
            if len(row):
                values[fold, u] = np.median(row) if statistic == "median" else row.mean()
    return values


def over_inner(values: np.ndarray, n_folds: int) -> np.ndarray:
    """(n_folds * n_inner, …) -> (n_folds, …): the mean over the validation folds of each test fold."""
    return values.reshape(n_folds, -1, *values.shape[1:]).mean(1)


def validation_maps(case: Case, hemi: str, score: Score) -> np.ndarray:
    """(n_folds, n_candidates, n_vertices) validation score of every vertex."""
    return np.stack([over_inner(by_fold(fit, hemi, score), case.n_folds) for fit in case.validations], axis=1)


def finite_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is finite; NaN where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)


def argbest(values: np.ndarray) -> np.ndarray:
    """(n_folds, n_candidates, n) -> (n_folds, n) int: the candidate with the highest value, the earliest of equals; 0 where none."""
    return np.where(np.isfinite(values), values, -np.inf).argmax(1)


def within_one_se(values: np.ndarray, se: np.ndarray) -> np.ndarray:
    """(n_folds, n_candidates, n) -> (n_folds, n) int: the earliest candidate within one standard error of the best.

    Parameters
    ----------
    se : (n_candidates, n) of one fold's value; NaN chooses the best.
    """
    best = argbest(values)
    chosen = best.copy()
    for fold, unit in np.ndindex(best.shape):
        top = best[fold, unit]
        within = values[fold, :, unit] >= values[fold, top, unit] - np.nan_to_num(se[top, unit])
        chosen[fold, unit] = int(within.argmax()) if within.any() else top
    return chosen


def score_draws(fit: Result, units: Sequence[Unit], score: Score, error_bar: ErrorBar) -> np.ndarray:
    """(n_draws, n_units) of one fit, about 0, with the standard deviation of the fit's interval."""
    sizes = np.array([[len(unit.columns.get(hemi, ())) for unit in units] for hemi in fit.plan.hemis], float)
    weights = sizes / np.maximum(sizes.sum(0), 1)
    total = np.zeros((error_bar.n_draws, len(units)))
    for weight, hemi in zip(weights, fit.plan.hemis, strict=True):
        members = {str(number): unit.columns.get(hemi, np.zeros(0, int)) for number, unit in enumerate(units)}
        found = estimate_scores(fit, hemi, error_bar=ErrorBar(n_draws=2), members=members, scores=(score.key,))
        drawn, variance = np.zeros_like(total), np.zeros(len(units))
        for number, left_out in enumerate(found.left_out[score.key]):
            n = len(left_out)
            influence = (n - 1) / n * (found.value[score.key] - left_out)
            drawn += (draw_counts(n, error_bar, number) - 1) @ influence
            variance += (n - 1) / n * ((left_out - left_out.mean(0)) ** 2).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            widened = np.where(variance > 0, found.se[score.key] / np.sqrt(variance), 1.0)
        total += np.where(weight > 0, drawn * widened * weight, 0.0)
    return np.where(sizes.sum(0) > 0, total, np.nan)
