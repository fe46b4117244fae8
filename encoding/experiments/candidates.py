"""Candidates of a choice: the fits of an experiment, paired with those on validation stimuli, and their scores per ROI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from encoding.analysis.bootstrap import estimate_scores
from encoding.evaluation.normalised_scores import from_r
from encoding.evaluation.resampling import ErrorBar, draw_counts
from encoding.evaluation.scores import SCORES, Score
from encoding.evaluation.splits import WITHIN
from encoding.experiments.experiment import FIT_HEMI
from encoding.experiments.graph import PlannedCell
from encoding.fits.result import Result
from encoding.fits.score_tables import BOTH, EVERY_VERTEX
from encoding.fits.training_data import is_complete
from encoding.runtime.registry import UnknownName, unknown
from encoding.runtime.wording import counted
from encoding.storage.store import Store

VALIDATION = "holdout:0.8:0"  # of the training stimuli, by default
NOT_CHOSEN_OVER = ("subject", "split", "average_repeats", "hemi", "rois")  # what is tested on, or reported: separate choices


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
    varied = list(dict.fromkeys(name for cell in cells for name in cell.cell.settings if name not in (*NOT_CHOSEN_OVER, FIT_HEMI)))
    for name in over:
        if name not in varied:
            raise UnknownName(unknown("varied setting to choose over", name, varied))
    over = [name for name in varied if not over or name in over]
    by_spec = {cell.cell.spec: cell for cell in cells}
    unfinished = [cell for cell in cells if cell.plan is None or not is_complete(cell.plan, store)]
    if unfinished:
        raise NotFinished(
            f"{len(unfinished):,} of {counted(len(cells), 'fit is', 'fits are')} not finished, such as "
            f"{unfinished[0].cell.label}. Run the experiment."
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
        what = " or ".join(over) or f"a setting other than {', '.join(NOT_CHOSEN_OVER)}"
        raise ValueError(f"There is nothing to choose between: vary {what} in the experiment.")
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


class FoldScores:
    """A score of several fits with equal folds, of every fold and vertex, and its summaries.

    Scores that are relative to a noise ceiling are computed of the mean r over folds, as those of a fit are: of the r of one fold, which
    is noisier, its square would be larger.

    Parameters
    ----------
    fits : (n_fits,) of one subject and split. score : of every vertex. statistic : ``mean`` or ``median`` over vertices.

    Attributes
    ----------
    maps : hemisphere to (n_folds, n_fits, n_vertices) of the score, or of r where the score is computed from it.
    """

    def __init__(self, fits: Sequence[Result], score: Score, statistic: str = "mean") -> None:
        self.score, self.statistic, first = score, statistic, fits[0]
        stored = "r" if score.needs_ceiling else score.key
        self.maps = {hemi: np.stack([fit.fold_scores(hemi, stored) for fit in fits], axis=1) for hemi in first.plan.hemis}
        self._ceiling = {hemi: first.ceiling(hemi) if score.needs_ceiling else None for hemi in first.plan.hemis}
        self._fitted = {hemi: np.stack([fit.has_model(hemi) for fit in fits]) for hemi in first.plan.hemis}

    def vertices(self, hemi: str, folds: slice = slice(None)) -> np.ndarray:
        """(n_fits, n_vertices) score over some folds; NaN for a vertex that has none in one of them."""
        return np.where(self._fitted[hemi], self._over_folds(self.maps[hemi][folds], hemi), np.nan)

    def chosen(self, hemi: str, numbers: np.ndarray) -> np.ndarray:
        """(n_vertices,) score over all folds of the fit chosen in each, ``numbers`` (n_folds, n_vertices) int."""
        fitted = np.take_along_axis(self._fitted[hemi], numbers, axis=0).all(0)
        return np.where(fitted, self._over_folds(np.take_along_axis(self.maps[hemi], numbers[:, None], axis=1)[:, 0], hemi), np.nan)

    def shared(self, unit: Unit) -> Unit:
        """The vertices of a unit that have a score in every fit, so that all are compared on the same ones."""
        columns = {}
        for hemi, each in unit.columns.items():
            columns[hemi] = each[self._known[hemi][each]]
        return replace(unit, columns=columns)

    @cached_property
    def _known(self) -> dict[str, np.ndarray]:
        """Hemisphere to whether each vertex has a score in every fit, (n_vertices,) bool."""
        return {hemi: np.isfinite(self.vertices(hemi)).all(0) for hemi in self.maps}

    def of_units(self, units: Sequence[Unit], folds: slice = slice(None)) -> np.ndarray:
        """(n_fits, n_units) score over some folds; NaN for a unit without vertices."""
        maps = {hemi: self.vertices(hemi, folds) for hemi in self.maps}
        return np.stack([self._summary([maps[hemi][:, columns] for hemi, columns in unit.columns.items()]) for unit in units], axis=1)

    def of_choice(self, unit: Unit, numbers: np.ndarray) -> float:
        """Score of a unit over all folds, of the fit chosen in each, ``numbers`` (n_folds,) int."""
        folds = np.arange(len(numbers))
        parts = [self._over_folds(self.maps[hemi][folds, numbers][:, each], hemi, each) for hemi, each in unit.columns.items()]
        return float(self._summary(parts))

    def _over_folds(self, values: np.ndarray, hemi: str, columns: slice | np.ndarray = slice(None)) -> np.ndarray:
        ceiling = self._ceiling[hemi]
        return values.mean(0) if ceiling is None else from_r(self.score.key, values.mean(0), np.asarray(ceiling)[columns])

    def _summary(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """(..., n) a hemisphere -> (...,) mean or median over the vertices of all; NaN where there is none."""
        values = np.concatenate(parts, axis=-1)
        if not values.shape[-1]:
            return np.full(values.shape[:-1], np.nan)
        return np.median(values, axis=-1) if self.statistic == "median" else values.mean(-1)


def inner_folds_of(case: Case, fold: int) -> slice:
    """The validation folds within one test fold."""
    n_inner = len(case.validations[0].plan.folds) // case.n_folds
    return slice(fold * n_inner, (fold + 1) * n_inner)


def validation_maps(case: Case, hemi: str, score: Score) -> np.ndarray:
    """(n_folds, n_candidates, n_vertices) validation score of every vertex, over the validation folds of each test fold."""
    scores = FoldScores(case.validations, score)
    return np.stack([scores.vertices(hemi, inner_folds_of(case, fold)) for fold in range(case.n_folds)])


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
    se : (n_folds, n_candidates, n) of each fold's value; NaN chooses the best.
    """
    best = argbest(values)
    chosen = best.copy()
    for fold, unit in np.ndindex(best.shape):
        top = best[fold, unit]
        within = values[fold, :, unit] >= values[fold, top, unit] - np.nan_to_num(se[fold, top, unit])
        chosen[fold, unit] = int(within.argmax()) if within.any() else top
    return chosen


def score_draws(
    fit: Result, units: Sequence[Unit], score: Score, error_bar: ErrorBar, parts: Sequence[slice] = (slice(None),)
) -> np.ndarray:
    """(n_parts, n_draws, n_units) of a fit's score over some folds, about 0, with the standard deviation of its interval.

    What a stimulus contributes is summed over the folds that test it before it is drawn: of validation folds within the folds of a k-fold
    split it is in several. NaN where a fold tests a single group, such as one run: how scores vary between groups is not known then.

    Parameters
    ----------
    units : of vertices that have the score (:meth:`FoldScores.shared`).
    parts : folds, each of which gives draws of the mean over them.
    """
    n_folds, sizes = len(fit.plan.folds), np.array([[len(unit.columns.get(hemi, ())) for unit in units] for hemi in fit.plan.hemis], float)
    tested = [np.unique(fit.plan.subject.groups[fit.plan.scored_rows(fold)]) for fold in fit.plan.folds]
    drawn_from = np.unique(np.concatenate(tested))
    influence = np.zeros((n_folds, len(drawn_from), len(units)))  # of a stimulus on the mean over all folds, through each
    for weight, hemi in zip(sizes / np.maximum(sizes.sum(0), 1), fit.plan.hemis, strict=True):
        if not weight.any():
            continue
        members = {str(number): unit.columns.get(hemi, np.zeros(0, int)) for number, unit in enumerate(units)}
        found = estimate_scores(fit, hemi, error_bar=ErrorBar(n_draws=2), members=members, scores=(score.key,))
        shares = [(each.mean(0) - each) * np.sqrt((len(each) - 1) / len(each)) for each in found.left_out[score.key]]
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = sum((share**2).sum(0) for share in shares)  # as of folds that share no stimulus
            widened = np.where(variance > 0, found.se[score.key] / np.sqrt(variance), 1.0)
        for number, (of_fold, share) in enumerate(zip(tested, shares, strict=True)):
            influence[number, np.searchsorted(drawn_from, of_fold)] += np.where(weight > 0, share * widened * weight, 0.0)
    draws = []
    for part in parts:
        some = influence[part]
        draws.append((draw_counts(len(drawn_from), error_bar, 0) - 1) @ some.sum(0) * n_folds / len(some))
    return np.where((sizes.sum(0) > 0) & (min(map(len, tested)) > 1), np.stack(draws), np.nan)
