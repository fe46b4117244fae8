"""Choose the best layer, network, readout or any other varied setting per ROI or vertex, and report what the choice is worth.

    cells of an experiment ─ test fits          split S            trained on the training stimuli, tested on the test stimuli
                           └ validation fits    split S/V          trained on a part of the training stimuli, tested on the rest of them

The choice reads the validation scores alone; the score that is reported for it is the chosen fit's on the test stimuli, which took no part.
The highest test score of all candidates stands beside it: choosing on test stimuli reports that one, and the difference is its optimism.
Under k-fold each fold of S makes a choice of its own from validation stimuli of its own training part, and the reported score is the mean
over folds of the score of the fold's own choice.

Candidates are compared on the vertices that all of them predict. Standard errors and bootstrap probabilities are over validation stimuli:
leaving one out at a time gives each stimulus' influence on the score of every candidate, summed over the folds that test it, and draws that
all candidates share weigh these influences (Efron & Tibshirani 1993, chapters 11 and 20). The
one-standard-error choice is the earliest candidate, in the experiment's order, whose validation score is within one standard error of the
best (Breiman et al. 1984): name simple candidates first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from encoding.evaluation.resampling import ErrorBar
from encoding.evaluation.scores import Score
from encoding.evaluation.splits import ALL, WITHIN, check_split
from encoding.experiments.candidates import (
    VALIDATION,
    Case,
    FoldScores,
    Unit,
    argbest,
    cases_of,
    finite_mean,
    inner_folds_of,
    score_draws,
    score_of,
    units_of,
    validation_maps,
    within_one_se,
)
from encoding.experiments.experiment import Experiment
from encoding.experiments.graph import PlannedCell
from encoding.experiments.selection_table import table_rows
from encoding.runtime.progress import Report, silent
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

PER = ("roi", "hemisphere", "vertex")
N_DRAWS = 1_000


def with_validation(experiment: Experiment, validation: str = VALIDATION) -> Experiment:
    """Add to an experiment the same fits on validation stimuli within the training part; one graph of tasks does both.

    Parameters
    ----------
    validation : split of the training stimuli, such as ``holdout:0.8:0`` or ``kfold:5:0``, which costs five fits and chooses better.

    Raises
    ------
    ValueError where ``validation`` is no split, or one that leaves nothing to validate on.
    """
    if validation == ALL or WITHIN in check_split(validation):
        raise ValueError(f"The validation split must be a holdout, kfold or first split of the training stimuli, not {validation!r}.")
    splits = [split for split in experiment.vary.get("split", [experiment.base.split]) if WITHIN not in split]
    if ALL in splits:
        raise ValueError("The split all has no test stimuli, so that nothing can be chosen honestly. Choose with a split that tests.")
    return replace(experiment, vary={**experiment.vary, "split": [*splits, *(f"{split}{WITHIN}{validation}" for split in splits)]})


def select(
    cells: Iterable[PlannedCell],
    store: Store,
    *,
    over: Sequence[str] = (),
    per: str = "roi",
    by: str = "r",
    groups: Mapping[str, Sequence[str]] | None = None,
    together: bool = False,
    across_subjects: bool = False,
    validation: str = "",
    report: Report = silent,
) -> Selection:
    """Choose among the finished fits of an experiment that :func:`with_validation` completed.

    Parameters
    ----------
    cells : planned cells of the experiment (:attr:`encoding.experiments.ExperimentResult.cells`).
    over : varied settings to choose over, such as ``layers`` and ``backbone``; by default all but the subject. What else varies makes
        separate choices.
    per : ``roi``, ``hemisphere`` or ``vertex``.
    by : a score of the table: a key of :data:`encoding.evaluation.scores.SCORES`, or its column of means or medians, such as
        ``r_median``. Medians have no standard error, hence no probability and no one-standard-error choice; nor have validation folds
        of a single group, such as one run.
    groups : name to the ROIs that it unites; a choice is then made for each group instead of each ROI.
    together : whether the hemispheres make one choice.
    across_subjects : whether all subjects make one choice, by the mean of their scores.
    validation : which validation split to read where there are several; by default the first.

    Raises
    ------
    UnknownName for a setting, score, ROI or ``per`` that does not exist. NotFinished where fits are missing.
    ValueError where nothing varies, or candidates differ between the subjects of one choice.
    """
    score, statistic = score_of(by)
    if per not in PER:
        raise UnknownName(unknown("choice per", per, PER))
    if per == "vertex" and (across_subjects or groups or together or statistic == "median"):
        raise ValueError(
            "A choice per vertex is of single vertices: leave out groups, hemispheres together, subjects together and medians."
        )
    cases = cases_of(tuple(cells), store, over, validation)
    if score.needs_ceiling and any(case.tests[0].plan.subject.ceiling is None for case in cases):
        raise ValueError(f"{by} needs a noise ceiling, and none is known for these responses.")
    choices: dict[tuple[str, ...], list[Case]] = {}
    for case in cases:
        apart = [text for name, text in case.settings.items() if name != "subject" or not across_subjects]
        choices.setdefault(tuple(apart), []).append(case)
    made, done = [], 0
    for alike in choices.values():
        made.append(_decide(tuple(alike), per, score, statistic, groups or {}, together, N_DRAWS))
        report((done := done + len(alike)) / len(cases), f"chose for {done} of {len(cases)}")
    return Selection(tuple(made), by, per)


@dataclass(frozen=True)
class Decision:
    """The choices of one case, or of several subjects together.

    Attributes
    ----------
    cases : whose validation scores were averaged.
    units : of each case, the vertices of each choice; equal names and hemispheres in every case.
    validation : (n_folds, n_candidates, n_units) score on the validation stimuli of each fold, the mean over cases.
    overall : (n_candidates, n_units) the same over all folds.
    se : (n_candidates, n_units) standard error of ``overall``; NaN where there is none.
    probability : (n_candidates, n_units) share of bootstrap draws in which a candidate is best; NaN where there is none.
    chosen : rule to (n_folds, n_units) int, the candidate of each fold and unit.
    of_vertex : case by case, hemisphere to (n_folds, n_vertices) int, the candidate of each vertex by the rule ``best``, of a choice per
        vertex; else empty.
    """

    cases: tuple[Case, ...]
    units: tuple[tuple[Unit, ...], ...]
    validation: np.ndarray
    overall: np.ndarray
    se: np.ndarray
    probability: np.ndarray
    chosen: Mapping[str, np.ndarray]
    of_vertex: tuple[Mapping[str, np.ndarray], ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The candidates, in the experiment's order."""
        return self.cases[0].labels

    def by_vertex(self, case: int, rule: str = "best") -> Mapping[str, np.ndarray]:
        """Candidate of each vertex: hemisphere to (n_folds, n_vertices) int.

        Where units overlap, a vertex goes with the smallest one that it is in, and with the choice for ``all`` where it is in none.
        """
        if self.of_vertex:
            return self.of_vertex[case]
        return {hemi: self.chosen[rule][:, self.owner(case, hemi)] for hemi in self.cases[case].tests[0].plan.hemis}

    def owner(self, case: int, hemi: str) -> np.ndarray:
        """Number of the unit that each vertex of a hemisphere goes with, (n_vertices,) int."""
        n = self.cases[case].tests[0].plan.subject.responses[hemi].shape[1]
        owner = np.zeros(n, int)
        for number in sorted(range(len(self.units[case])), key=lambda each: -self.units[case][each].n_vertices):
            owner[self.units[case][number].columns.get(hemi, np.zeros(0, int))] = number
        return owner


@dataclass(frozen=True)
class Selection:
    """Choices made on validation stimuli, with the scores of what was chosen on test stimuli.

    Attributes
    ----------
    decisions : one for each case, or one for all subjects.
    by : the score that was chosen by. per : one of :data:`PER`.
    """

    decisions: tuple[Decision, ...]
    by: str
    per: str

    @property
    def labels(self) -> tuple[str, ...]:
        """All candidates, in the experiment's order; those of one choice are :attr:`Decision.labels`."""
        return tuple(dict.fromkeys(label for decision in self.decisions for label in decision.labels))

    @cached_property
    def _table(self) -> pd.DataFrame:
        import pandas as pd

        rows = [row for decision in self.decisions for case in range(len(decision.cases)) for row in table_rows(self, decision, case)]
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """Tabulate the choices, one row for each ROI and hemisphere of each subject.

        Columns
        -------
        The settings of the case, ``roi``, ``hemi``, ``n_vertices``; ``winner``, its ``validation`` score and ``validation_se``;
        ``test``, ``test_low`` and ``test_high``, its score on the test stimuli and the ends of the 95 % interval; ``best_on_test``,
        ``test_best`` and ``optimism``: the candidate that a choice on test stimuli would report, its score, and how much higher that is;
        ``probability``, the share of bootstrap draws of the validation stimuli in which the winner is the best; ``one_se``, the
        one-standard-error choice, with ``one_se_validation`` and ``one_se_test``; ``agreement``, the share of folds (of vertices, of a
        choice per vertex) whose own choice is the winner; ``key`` of the winner's fit.

        Under k-fold ``winner`` and ``one_se`` are those of the mean over folds, and test scores those of each fold's own choice.
        Scores of which less is better have a positive ``optimism`` where choosing on test reports less.
        """
        return self._table.copy()

    def candidates(self) -> pd.DataFrame:
        """Tabulate every candidate: case, roi, hemi, candidate, ``validation``, ``validation_se``, ``test`` and ``probability``."""
        import pandas as pd

        score, statistic = score_of(self.by)
        rows = []
        for decision in self.decisions:
            for case, units in zip(decision.cases, decision.units, strict=True):
                tests = FoldScores(case.tests, score, statistic)
                values = tests.of_units([tests.shared(unit) for unit in units])
                for u, unit in enumerate(units):
                    for c, label in enumerate(decision.labels):
                        row = {**case.settings, "roi": unit.name, "hemi": unit.hemi, "candidate": label}
                        row |= {"validation": decision.overall[c, u], "validation_se": decision.se[c, u]}
                        rows.append(row | {"test": values[c, u], "probability": decision.probability[c, u], "key": case.tests[c].key})
        return pd.DataFrame(rows)


def _decide(
    cases: tuple[Case, ...],
    per: str,
    score: Score,
    statistic: str,
    groups: Mapping[str, Sequence[str]],
    together: bool,
    n_draws: int,
) -> Decision:
    units = tuple(units_of(case.tests[0], per, groups, together) for case in cases)
    names = [[(unit.name, unit.hemi) for unit in each] for each in units]
    if any(each != names[0] for each in names):
        raise ValueError("The subjects of one choice must have the same ROIs and hemispheres. Choose for each subject by itself.")
    for case in cases:
        if case.labels != cases[0].labels:
            one, other = (f"{' '.join(each.settings.values())} has {', '.join(each.labels)}" for each in (cases[0], case))
            raise ValueError(f"The subjects of one choice must have the same candidates: {one}; {other}.")
    if len({case.n_folds for case in cases}) > 1:
        raise ValueError("The subjects of one choice must have equally many folds.")
    n_folds = cases[0].n_folds
    scores = [FoldScores(case.validations, score, statistic) for case in cases]
    shared = [[of_fits.shared(unit) for unit in of_case] for of_fits, of_case in zip(scores, units, strict=True)]
    parts = [[inner_folds_of(case, fold) for fold in range(n_folds)] for case in cases]
    of_cases = list(zip(scores, shared, parts, strict=True))
    validation = finite_mean(np.stack([np.stack([each.of_units(some, part) for part in parts]) for each, some, parts in of_cases]))
    overall = finite_mean(np.stack([each.of_units(some) for each, some, _ in of_cases]))
    sign = -1.0 if score.lower_is_better else 1.0
    nothing = np.full(overall.shape, np.nan)
    if per == "vertex":
        (case,) = cases
        of_vertex = {hemi: argbest(sign * validation_maps(case, hemi, score)) for hemi in case.tests[0].plan.hemis}
        chosen = {"best": argbest(sign * validation)}
        return Decision(cases, units, validation, overall, nothing, nothing, chosen, (of_vertex,))
    se, probability, fold_se = nothing, nothing, np.full(validation.shape, np.nan)
    if statistic == "mean":
        drawn, *of_folds = _draws(cases, shared, score, n_draws)  # each (n_draws, n_candidates, n_units), about 0
        se = drawn.std(0, ddof=1)
        fold_se = np.stack([each.std(0, ddof=1) for each in of_folds])
        at = overall + drawn
        best = sign * at == np.max(sign * at, axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            probability = np.where(np.isfinite(se), (best / best.sum(1, keepdims=True)).mean(0), np.nan)
    chosen = {"best": argbest(sign * validation), "one_se": within_one_se(sign * validation, fold_se)}
    return Decision(cases, units, validation, overall, se, probability, chosen)


def _draws(cases: Sequence[Case], units: Sequence[Sequence[Unit]], score: Score, n_draws: int) -> np.ndarray:
    """Bootstrap draws of the validation scores less the scores; cases of the same stimuli share them.

    (1 + n_folds, n_draws, n_candidates, n_units), first those of the mean over all folds.
    """
    stimuli = [case.validations[0].plan.subject.stimuli.fingerprint for case in cases]
    total = []
    for case, of_case, fingerprint in zip(cases, units, stimuli, strict=True):
        bar, parts = (
            ErrorBar(n_draws=n_draws, seed=stimuli.index(fingerprint)),
            [inner_folds_of(case, fold) for fold in range(case.n_folds)],
        )
        total.append(np.stack([score_draws(fit, of_case, score, bar, [slice(None), *parts]) for fit in case.validations], axis=2))
    return finite_mean(np.stack(total))
