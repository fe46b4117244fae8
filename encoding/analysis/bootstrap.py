"""Compute bootstrap intervals of the ROI scores of a finished fit and cache them in the Store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from encoding.evaluation.leave_one_out import ScoredFold
from encoding.evaluation.resampling import (
    LEAST_UNITS,
    SCALES,
    SUB_BLOCK,
    ErrorBar,
    Estimates,
    approximate_note,
    blocks_of,
    estimate,
    shared_noise,
)
from encoding.evaluation.scores import SCORES, pearson
from encoding.fits.result import Result
from encoding.fits.score_tables import ScoreTables
from encoding.fits.vertex_scores import pooled_key
from encoding.runtime.progress import Report, silent
from encoding.storage.keys import digest

INTERVALS_VERSION = 4  # of several folds, of which R² and errors were hardly widened before
ONE_FOLD_VERSION = 3
ERROR_BAR = ErrorBar()
N_AGREEMENT = 100  # test rows of each fold on which its models are compared


def roi_intervals(result: Result, report: Report = silent, *, error_bar: ErrorBar = ERROR_BAR) -> dict[str, np.ndarray]:
    """Compute the 95 % interval of every score in every ROI of a fit; cached in the Store.

    The resampling unit is the test stimulus (or group of stimuli), within each fold; see :mod:`encoding.evaluation.resampling`. Of
    several folds the pooled r of every vertex is stored too (:meth:`encoding.fits.vertex_scores.VertexScores.pooled`).

    Parameters
    ----------
    result : finished fit.
    report : progress callback.
    error_bar : number of draws, seed and confidence level.

    Returns
    -------
    dict of str to ndarray
        ``rois`` (n_rois,) str; ``n_units`` and ``df``, scalars; for each hemisphere ``<hemi>_value``, ``<hemi>_low`` and
        ``<hemi>_high`` (n_rois,) of the mean r, its draws ``<hemi>_draws`` (n_draws, n_rois), and ``<hemi>_<score>_low``,
        ``<hemi>_<score>_high`` and ``<hemi>_<score>_draws`` of every other score. NaN for an empty ROI. Entries of earlier releases hold
        draws of r and pooled r alone (:func:`drawn_scores`).

    Notes
    -----
    All hemispheres and ROIs share each draw, so the difference between two ROIs can be tested from the draws.
    """
    rois = result.selected_rois
    unknown = np.float32(np.nan if result.plan.n_tested < LEAST_UNITS else 0)  # of a fit of an earlier release

    in_use = result.store.in_use(result.plan.stage_keys)

    @in_use
    def make() -> dict[str, np.ndarray]:
        arrays = {"rois": np.array(rois), "version": np.array(_version(result))}
        for number, hemi in enumerate(result.plan.hemis):
            report(number / len(result.plan.hemis), f"bootstrap over test stimuli: {hemi}")
            if not result.plan.has_test:
                arrays |= {f"{hemi}_{name}": np.full(len(rois), np.nan) for name in ("value", "low", "high")}
                arrays |= {draws_name(hemi): np.full((error_bar.n_draws, len(rois)), np.nan, np.float32)}
                arrays |= {"n_units": np.array(0), "df": np.array(1)}
                continue
            estimates = estimate_scores(result, hemi, error_bar=error_bar)
            arrays[f"{hemi}_value"] = estimates.value["r"]
            for name, draws in estimates.draws.items():
                arrays[draws_name(hemi, name)] = (np.clip(draws, -1, 1) if SCALES.get(name) == "fisher" else draws) + unknown
            arrays |= {"n_units": np.array(estimates.n_units), "df": np.array(estimates.df)}
            for name in estimates.value:
                low, high = estimates.interval(name, error_bar.level)
                prefix = hemi if name == "r" else f"{hemi}_{name}"
                arrays |= {f"{prefix}_low": low + unknown, f"{prefix}_high": high + unknown}
        result.plan.check_unchanged(result.store)
        return arrays

    if len(result.plan.folds) > 1:
        result.store.memo(pooled_key(result.key), in_use(lambda: _pooled_r(result)), result.plan.made_from(fit=result.key))
    return result.store.memo(intervals_key(result, error_bar=error_bar), make, result.plan.made_from(fit=result.key))


def _pooled_r(result: Result) -> dict[str, np.ndarray]:
    """``<hemi>_r`` (n_vertices,) float64 over the concatenated predictions of all folds, a block of vertices at a time."""
    arrays = {}
    for hemi in result.plan.hemis:
        blocks = blocks_of(np.arange(result.plan.subject.responses[hemi].shape[1]), result.n_test)
        arrays[f"{hemi}_r"] = np.concatenate([pearson(result.predicted(hemi, some), result.measured(hemi, some)) for some in blocks])
    return arrays


def draws_name(hemi: str, score: str = "r") -> str:
    """Name of a score's draws among the arrays of :func:`roi_intervals`."""
    return f"{hemi}_draws" if score == "r" else f"{hemi}_{score}_draws"


def drawn_scores(intervals: Mapping[str, np.ndarray], hemis: Sequence[str]) -> tuple[str, ...]:
    """Keys of the scores of which :func:`roi_intervals` holds bootstrap draws in all of some hemispheres; none without interval."""
    kept = (name for name in SCORES if all(draws_name(hemi, name) in intervals for hemi in hemis))
    return tuple(name for name in kept if any(np.isfinite(intervals[draws_name(hemi, name)]).any() for hemi in hemis))


def why_no_interval(result: ScoreTables) -> str:
    """Reason why no score of a fit can have an interval; empty where they can."""
    plan = result.plan
    if not plan.has_test:
        return "every stimulus was used for training"
    if plan.n_tested < LEAST_UNITS:
        return f"fewer than {LEAST_UNITS} stimuli {'per fold' if len(plan.folds) > 1 else 'to test on'}"
    if any(len(np.unique(plan.subject.groups[fold.test])) < 2 for fold in plan.folds):
        return "a fold tests a single group, such as one run"
    return ""


def interval_note(result: ScoreTables) -> str:
    """Caveat for the intervals and tests of a fit, or why it has none; empty where they need no caveat."""
    why = why_no_interval(result)
    return f"There are no intervals and no tests: {why}." if why else approximate_note(result.n_test_stimuli)


def estimate_scores(
    result: Result,
    hemi: str,
    *,
    error_bar: ErrorBar = ERROR_BAR,
    members: Mapping[str, np.ndarray] | None = None,
    scores: Sequence[str] | None = None,
) -> Estimates:
    """Estimate the ROI scores of one hemisphere with standard errors and draws, from the fit's predictions.

    Parameters
    ----------
    members : name to columns of what is averaged over; by default the fit's selected ROIs.
    scores : keys of :data:`encoding.evaluation.scores.SCORES`; by default all that can be computed.
    """
    plan = result.plan
    members = {roi: result.columns(roi, hemi) for roi in result.selected_rois} if members is None else members
    n_columns, n_folds = plan.subject.responses[hemi].shape[1], len(plan.folds)
    used = np.unique(np.concatenate([np.zeros(0, int), *members.values()]))
    units = [plan.subject.groups[plan.scored_rows(fold)] for fold in plan.folds]
    bounds = np.cumsum([0, *map(len, units)])
    tau = np.ones(n_columns) if n_folds > 1 else None
    if n_folds > 1:
        tau[used] = noise_share(result, hemi, used)

    def blocks() -> Iterator[tuple[np.ndarray, list[ScoredFold]]]:
        for chunk in blocks_of(used, result.n_test):
            predicted, measured = result.predicted(hemi, chunk), result.measured(hemi, chunk)
            for start in range(0, len(chunk), SUB_BLOCK):
                some = slice(start, start + SUB_BLOCK)
                rows = [slice(bounds[number], bounds[number + 1]) for number in range(n_folds)]
                yield (
                    chunk[some],
                    [ScoredFold(predicted[each, some], measured[each, some], unit) for each, unit in zip(rows, units, strict=True)],
                )

    return estimate(blocks(), members, n_columns, error_bar=error_bar, ceiling=result.ceiling(hemi), tau=tau, scores=scores)


def noise_share(result: Result, hemi: str, columns: np.ndarray) -> np.ndarray:
    """Share tau (n_columns,) of estimation noise that the models of several folds have in common, 0 … 1.

    It is 1, which is cautious, where models take stimuli themselves: those are not run again (:func:`shared_noise`).
    """
    if not len(columns) or not result.plan.readout.uses_components:
        return np.ones(len(columns))
    return np.concatenate([shared_noise(_fold_predictions(result, hemi, some)) for some in blocks_of(columns, result.n_test)])


def _fold_predictions(result: Result, hemi: str, columns: np.ndarray) -> list[list[np.ndarray]]:
    """``[a][b]``: what the model that fold a tests predicts of some test rows of fold b, (n, n_columns)."""
    folds = result.plan.folds
    scored = [result.plan.scored_rows(fold) for fold in folds]
    rows = [each[np.unique(np.linspace(0, len(each) - 1, N_AGREEMENT).round().astype(int))] for each in scored]
    every = np.concatenate(rows)
    ends = np.cumsum([len(each) for each in rows])[:-1]
    return [np.split(result.predicted_rows(number, every, hemi, columns), ends) for number in range(len(folds))]


def intervals_key(result: ScoreTables, *, error_bar: ErrorBar = ERROR_BAR) -> str:
    """Key of a fit's intervals in the Store: a digest of the fit, ROI masks, groups of test rows, noise ceilings and error bar."""
    plan = result.plan
    masks = hashlib.sha256()
    for hemi in plan.hemis:
        for roi in result.selected_rois:
            columns = result.columns(roi, hemi)
            masks.update(f"{hemi} {roi} {len(columns)};".encode() + np.ascontiguousarray(columns, "<i8").tobytes())
        ceiling = result.ceiling(hemi)
        masks.update(b"-" if ceiling is None else np.ascontiguousarray(ceiling, "<f4").tobytes())
    for fold in plan.folds:
        masks.update(np.unique(plan.subject.groups[fold.test], return_inverse=True)[1].astype("<i8").tobytes())
    return digest("intervals", _version(result), fit=result.key, reads=masks.hexdigest(), error_bar=asdict(error_bar))


def intervals_of(result: ScoreTables) -> Mapping[str, np.ndarray] | None:
    """Read the cached intervals and draws of a fit's ROIs.

    Returns
    -------
    mapping or None
        As :func:`roi_intervals` returns them; None where they were not computed, or where an imported fit brings the intervals of
        an earlier release, which were defined differently.
    """
    intervals = result.derived(intervals_key(result))
    return intervals if intervals is not None and int(intervals.get("version", 1)) == _version(result) else None


def _version(result: ScoreTables) -> int:
    return INTERVALS_VERSION if len(result.plan.folds) > 1 else ONE_FOLD_VERSION


def score_intervals(intervals: Mapping[str, np.ndarray], hemi: str, score: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Select the interval ends, (n_rois,) each, of one score from :func:`roi_intervals`; None where the score has no interval."""
    prefix = hemi if score == "r" else f"{hemi}_{score}"
    return (intervals[f"{prefix}_low"], intervals[f"{prefix}_high"]) if f"{prefix}_low" in intervals else None


def interval_text(result: ScoreTables, score: str = "r", statistic: str = "mean", *, available: bool = True) -> str:
    """Describe in a sentence which statistic is reported and how its interval is computed, or that it has none.

    Parameters
    ----------
    score : key of :data:`encoding.evaluation.scores.SCORES`.
    statistic : ``mean`` or ``median`` over vertices.
    available : whether the fit's intervals have been computed.
    """
    n_folds, definition = len(result.plan.folds), SCORES[score]
    which = ""
    if definition.pooled:
        which = f"One r over the predictions of all {n_folds} folds together. "
    elif n_folds > 1:
        which = f"{definition.short} is {'from ' if definition.needs_ceiling else ''}the mean over {n_folds} folds of each fold's "
        which += f"{'r' if definition.needs_ceiling else definition.short}. "
    if result.plan.spec.average_repeats:
        which = f"Repeats of each test stimulus are averaged before they are scored. {which}"
    if statistic != "mean":
        return f"{which}There is no interval of a median."
    if not result.plan.has_test:
        return "There is no test score: every stimulus was used for training."
    if why := why_no_interval(result):
        return f"{which}There is no interval: {why}."
    if not available:
        return f"{which}Intervals were not computed."
    folds = "" if n_folds == 1 else ", within folds, widened for what folds share"
    note = approximate_note(result.n_test_stimuli)
    text = f"{which}95 % intervals: jackknife standard error and Student's t over {result.tested_units}{folds}."
    return f"{text} {note}" if note else text
