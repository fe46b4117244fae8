"""The table of a selection: what was chosen, its validation and test scores, and the optimism of choosing on test stimuli."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.bootstrap import estimate_scores
from encoding.evaluation.resampling import SCALES, ErrorBar, interval
from encoding.evaluation.scores import Score
from encoding.experiments.candidates import (
    BOTH,
    Case,
    FoldScores,
    Unit,
    argbest,
    finite_mean,
    inner_folds_of,
    score_draws,
    score_of,
    within_one_se,
)
from encoding.fits.composition import composed
from encoding.fits.result import Result

if TYPE_CHECKING:
    from encoding.experiments.selection import Decision, Selection

N_DRAWS = 2_000  # for the standard error of hemispheres together


def table_rows(selection: Selection, decision: Decision, number: int) -> list[dict[str, Any]]:
    """Rows of the table of one case."""
    score, statistic = score_of(selection.by)
    case, units, labels = decision.cases[number], decision.units[number], decision.labels
    sign = -1.0 if score.lower_is_better else 1.0
    if selection.per == "vertex":
        return _vertex_rows(decision, number, labels, score)
    tests = FoldScores(case.tests, score, statistic)
    shared = [tests.shared(unit) for unit in units]
    best, one_se, at_all = decision.chosen["best"], decision.chosen["one_se"], tests.of_units(shared)
    values = np.array([tests.of_choice(unit, best[:, u]) for u, unit in enumerate(shared)])
    ends = _test_intervals(case, shared, best, score, values) if statistic == "mean" else np.full((2, len(units)), np.nan)
    overall = argbest(sign * decision.overall[None])[0]
    simple = within_one_se(sign * decision.overall[None], decision.se[None])[0]
    rows = []
    for u, unit in enumerate(units):
        row: dict[str, Any] = {**case.settings, "roi": unit.name, "hemi": unit.hemi, "n_vertices": unit.n_vertices}
        if not np.isfinite(decision.overall[:, u]).any():
            rows.append(row | {"winner": ""})
            continue
        winner, at = int(overall[u]), at_all[:, u]
        on_test = int(np.nanargmax(sign * at)) if np.isfinite(at).any() else winner
        row |= {"winner": labels[winner], "validation": decision.overall[winner, u], "validation_se": decision.se[winner, u]}
        row |= {"test": values[u], "test_low": ends[0, u], "test_high": ends[1, u]}
        highest = tests.of_choice(shared[u], np.full(case.n_folds, on_test))
        row |= {"best_on_test": labels[on_test], "test_best": highest, "optimism": sign * (highest - values[u])}
        row |= {"probability": decision.probability[winner, u]}
        known = np.isfinite(decision.se[winner, u])  # not of a median
        row |= {"one_se": labels[simple[u]] if known else ""}
        row |= {"one_se_validation": decision.overall[simple[u], u] if known else np.nan}
        row |= {"one_se_test": tests.of_choice(shared[u], one_se[:, u]) if known else np.nan}
        rows.append(row | {"agreement": float((best[:, u] == winner).mean()), "key": case.tests[winner].key})
    return rows


def chosen_fit(case: Case, of_vertex: Mapping[str, np.ndarray]) -> Result:
    """The fit that predicts each vertex by the candidate chosen for it, in memory; the candidate itself where it is one for all.

    Parameters
    ----------
    of_vertex : hemisphere to (n_folds, n_vertices) int.
    """
    used = np.unique(np.concatenate([np.unique(numbers) for numbers in of_vertex.values()]))
    if len(used) == 1:
        return case.tests[used[0]]
    weights = {hemi: (numbers[:, None] == used[:, None]).astype(np.float32) for hemi, numbers in of_vertex.items()}
    return composed([case.tests[c] for c in used], weights, only_tested=True)


def _test_intervals(case: Case, units: Sequence[Unit], best: np.ndarray, score: Score, values: np.ndarray) -> np.ndarray:
    """(2, n_units) ends of the 95 % interval of each unit's test score ``values``; units with the same choices are resampled together."""
    ends = np.full((2, len(units)), np.nan)
    alike: dict[tuple[int, ...], list[int]] = {}
    for u in (u for u, unit in enumerate(units) if unit.n_vertices):
        alike.setdefault(tuple(best[:, u]), []).append(u)
    for chosen, numbers in alike.items():
        subject = case.tests[0].plan.subject
        of_vertex = {
            hemi: np.repeat(np.array(chosen)[:, None], subject.responses[hemi].shape[1], axis=1) for hemi in case.tests[0].plan.hemis
        }
        ends[:, numbers] = _intervals(chosen_fit(case, of_vertex), [units[u] for u in numbers], score, values[numbers])
    return ends


def _intervals(fit: Result, units: Sequence[Unit], score: Score, values: np.ndarray | None = None) -> np.ndarray:
    """(2, n_units) ends of the 95 % interval of a fit's scores; ``values`` are needed for units of both hemispheres."""
    ends = np.full((2, len(units)), np.nan)
    for hemi in fit.plan.hemis:
        some = [u for u, unit in enumerate(units) if unit.hemi == hemi]
        members = {str(u): units[u].columns[hemi] for u in some}
        if some:
            found = estimate_scores(fit, hemi, error_bar=ErrorBar(n_draws=2), members=members, scores=(score.key,))
            ends[:, some] = found.interval(score.key)
    spanning = [u for u, unit in enumerate(units) if unit.hemi == BOTH]
    if spanning:
        united = [units[u] for u in spanning]
        (drawn,) = score_draws(fit, united, score, ErrorBar(n_draws=N_DRAWS))
        se = drawn.std(0, ddof=1)
        df = max(1, fit.n_test_stimuli - 2 * len(fit.plan.folds))
        ends[:, spanning] = interval(values[spanning], se, df, scale=SCALES.get(score.key, ""))
    return ends


def _vertex_rows(decision: Decision, number: int, labels: Sequence[str], score: Score) -> list[dict[str, Any]]:
    """Rows of a choice per vertex: of each ROI the most frequent candidate, and mean scores of what was chosen for its vertices."""
    case, units = decision.cases[number], decision.units[number]
    of_vertex, sign = decision.of_vertex[number], -1.0 if score.lower_is_better else 1.0
    fit, rows = chosen_fit(case, of_vertex), []
    ends = _intervals(fit, units, score)
    validations, tests = FoldScores(case.validations, score), FoldScores(case.tests, score)
    n_inner, maps = len(range(len(case.validations[0].plan.folds))[inner_folds_of(case, 0)]), {}
    for hemi, chosen in of_vertex.items():
        at = sign * tests.vertices(hemi)
        highest = sign * np.where(np.isfinite(at), at, -np.inf).max(0)
        picked = validations.chosen(hemi, np.repeat(chosen, n_inner, axis=0)), tests.chosen(hemi, chosen)
        maps[hemi] = *picked, np.where(np.isfinite(highest), highest, np.nan)
    for u, unit in enumerate(units):
        row: dict[str, Any] = {**case.settings, "roi": unit.name, "hemi": unit.hemi, "n_vertices": unit.n_vertices}
        (columns,) = unit.columns.values()
        if not len(columns):
            rows.append(row | {"winner": ""})
            continue
        (winner, times), *_ = Counter(of_vertex[unit.hemi][:, columns].ravel().tolist()).most_common(1)
        validation, test, highest = (float(finite_mean(values[columns])) for values in maps[unit.hemi])
        row |= {"winner": labels[winner], "validation": validation, "validation_se": np.nan}
        row |= {"test": test, "test_low": ends[0, u], "test_high": ends[1, u]}
        row |= {"best_on_test": "", "test_best": highest, "optimism": sign * (highest - test), "probability": np.nan, "one_se": ""}
        row |= {"one_se_validation": np.nan, "one_se_test": np.nan}
        rows.append(row | {"agreement": times / (len(columns) * case.n_folds), "key": case.tests[winner].key})
    return rows
