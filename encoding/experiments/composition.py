"""Compose the fits of a selection to one fit a subject: the best of each ROI or vertex, or an ensemble with weights learned on validation.

    best, one_se    each vertex by the candidate chosen for it
    mean            the mean of all candidates' predictions, or of the ``top`` best of each ROI or vertex
    stacked         the weighted mean of least squared error on the validation stimuli (:mod:`encoding.experiments.stacking`)

Weights come from the validation stimuli alone, so that the composed fit's scores on the test stimuli are honest. For a submission the
members are fitted again on every stimulus (split ``all``) with the weights that were chosen before; such a fit has no test score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from encoding.evaluation.resampling import blocks_of
from encoding.evaluation.splits import ALL
from encoding.experiments.candidates import Case, score_of, validation_maps
from encoding.experiments.graph import fit_graph
from encoding.experiments.progress import Run
from encoding.experiments.run import Executor, run_serially
from encoding.experiments.selection import Decision, Selection
from encoding.experiments.stacking import simplex_weights
from encoding.fits.composition import ComposedResult, composed, composed_key, store_composed
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.npy import read_block

METHODS = ("best", "one_se", "mean", "stacked")


class MemberFailed(RuntimeError):
    """A member could not be fitted on every stimulus. The message says which and why."""


def compose(
    selection: Selection,
    *,
    method: str = "best",
    top: int = 0,
    refit: bool = False,
    command: str = "",
    report: Report = silent,
    device: str = "auto",
    executor: Executor | None = None,
) -> list[ComposedResult]:
    """Compose the candidates of a selection to one fit for each of its cases, and keep it in the Store.

    Parameters
    ----------
    method : one of :data:`METHODS`.
    top : of ``mean``, the number of best candidates of each ROI or vertex that are averaged; 0 for all.
    refit : whether members are fitted again on every stimulus, for a submission; there is no test score then.
    command : shell command that does this; shown with the fit.
    executor : carries out the fits of ``refit``, as in :func:`encoding.experiments.run_experiment`.

    Raises
    ------
    UnknownName for a method that does not exist. ValueError for a rule that needs standard errors where there are none, or ``top`` with
    another method. MemberFailed where a fit of ``refit`` fails.
    """
    if method not in METHODS:
        raise UnknownName(unknown("way to compose", method, METHODS))
    if top and method != "mean":
        raise ValueError(f"The number of best candidates is one of the mean's; {method} has none.")
    if method == "one_se" and any("one_se" not in decision.chosen or np.isnan(decision.se).all() for decision in selection.decisions):
        raise ValueError(
            "Without a standard error there is no one-standard-error choice: not per vertex, by a median, or where a fold validates a "
            "single run."
        )
    pairs = [(decision, number) for decision in selection.decisions for number in range(len(decision.cases))]
    made = []
    for done, (decision, number) in enumerate(pairs):
        part = subprogress(report, done / len(pairs), (done + 1) / len(pairs))
        weights = {hemi: W.astype(np.float32) for hemi, W in member_weights(selection, decision, number, method, top).items()}
        case = decision.cases[number]
        used = np.flatnonzero(np.any([W.any((0, 2)) for W in weights.values()], axis=0))
        members = [case.tests[c] for c in used]
        weights = {hemi: W[:, used] for hemi, W in weights.items()}
        if refit:
            members = _refitted(members, device, subprogress(part, 0, 0.8), executor)
            weights = {hemi: W.mean(0, keepdims=True) for hemi, W in weights.items()}
        options = {"method": method, "per": selection.per, "by": selection.by} | ({"top": top} if top else {})
        key = composed_key(members, weights)
        result = composed(members, weights, key=key, options=options, command=command)
        how = {"labels": [decision.labels[c] for c in used], "validations": [case.validations[c].key for c in used]}
        made.append(store_composed(result, how, subprogress(part, 0.8, 1)))
    return made


def member_weights(selection: Selection, decision: Decision, number: int, method: str, top: int = 0) -> dict[str, np.ndarray]:
    """Weight of every candidate for every vertex of a case: hemisphere to (n_folds, n_candidates, n_vertices), summing to 1."""
    case, n = decision.cases[number], len(decision.labels)
    if method in ("best", "one_se"):
        chosen = decision.by_vertex(number, method)
        return {hemi: (values[:, None] == np.arange(n)[:, None]).astype(float) for hemi, values in chosen.items()}
    weights = {}
    score, _ = score_of(selection.by)
    for hemi in case.tests[0].plan.hemis:
        owner = None if selection.per == "vertex" else decision.owner(number, hemi)
        if method == "stacked":
            weights[hemi] = np.stack([_stacked(case, hemi, fold, owner) for fold in range(case.n_folds)])
            continue
        values = validation_maps(case, hemi, score) if owner is None else decision.validation[:, :, owner]
        weights[hemi] = _mean_of_top(-values if score.lower_is_better else values, top or n)
    return weights


def _mean_of_top(values: np.ndarray, top: int) -> np.ndarray:
    """(n_folds, n_candidates, n) -> equal weights for the candidates with the ``top`` highest values, 0 for the others."""
    ranks = np.argsort(np.argsort(np.where(np.isfinite(values), -values, np.inf), axis=1, kind="stable"), axis=1)
    chosen = (ranks < top).astype(float)
    return chosen / chosen.sum(1, keepdims=True)


def _stacked(case: Case, hemi: str, fold: int, owner: np.ndarray | None) -> np.ndarray:
    """(n_candidates, n_vertices) weights of one fold that minimise the error on its validation stimuli.

    Parameters
    ----------
    owner : (n_vertices,) number of the unit whose vertices share weights; None gives each vertex its own. Vertices of one unit count in
        units of their response's variance.
    """
    n_vertices, n = case.tests[0].plan.subject.responses[hemi].shape[1], len(case.tests)
    weights, shared = np.full((n, n_vertices), 1 / n), {}
    for columns, G in residual_products(case, hemi, fold):
        if owner is None:
            weights[:, columns] = simplex_weights(G).T
            continue
        for unit in np.unique(owner[columns]):
            shared[unit] = shared.get(unit, 0) + np.nansum(G[owner[columns] == unit], axis=0)
    for unit, of_unit in shared.items():
        weights[:, owner == unit] = simplex_weights(of_unit[None]).T
    return weights


def residual_products(case: Case, hemi: str, fold: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Products of the candidates' residuals on the validation stimuli of one fold, some vertices at a time.

    Yields
    ------
    columns : (t,) vertices.
    G : (t, n_candidates, n_candidates) mean over stimuli of the product of two candidates' residuals, in units of the response's variance.
    """
    fits = case.validations
    n_inner = len(fits[0].plan.folds) // case.n_folds
    numbers = range(fold * n_inner, (fold + 1) * n_inner)
    rows = [fits[0].plan.folds[number].test for number in numbers]
    responses = fits[0].plan.subject.responses[hemi]
    for columns in blocks_of(np.arange(responses.shape[1]), len(fits) * sum(map(len, rows))):
        G = np.zeros((len(columns), len(fits), len(fits)))
        variance = np.zeros(len(columns))
        for number, tested in zip(numbers, rows, strict=True):
            measured = np.asarray(read_block(responses, tested, columns), np.float64)
            E = np.stack([measured - fit.predicted_rows(number, tested, hemi, columns) for fit in fits]).transpose(2, 0, 1)
            G += E @ E.transpose(0, 2, 1)
            variance += ((measured - measured.mean(0)) ** 2).sum(0)
        yield columns, G / np.where(variance > 0, variance, np.inf)[:, None, None]


def _refitted(members: Sequence[Result], device: str, report: Report, executor: Executor | None) -> list[Result]:
    """The members fitted on every stimulus.

    Raises
    ------
    MemberFailed where one fails.
    """
    store, specs = members[0].store, [everything(member.plan.spec) for member in members]
    with fit_graph(specs, store, report) as graph:
        run = Run(graph)
        (executor or run_serially)(run, store, device)
    status = run.status()
    for cell, state in zip(run.graph.cells, status.cells, strict=True):
        if state.state != "done":
            raise MemberFailed(f"{cell.cell.spec.network_and_layers} on every stimulus: {state.error or state.state}")
    return [Result(run.graph.plans.get(spec), store) for spec in specs]


def everything(spec: FitSpec) -> FitSpec:
    """The same fit on every stimulus; repeats of test stimuli, of which there are none then, are not averaged."""
    return replace(spec, split=ALL, average_repeats=False)
