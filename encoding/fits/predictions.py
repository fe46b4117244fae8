"""Predictions of fitted models in blocks of targets: of one fold's target groups, the mean over folds, and their scores.

The only place that loops over folds and target groups to predict; results, predictors and whole folders all call it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from encoding.evaluation.scores import ScoreAccumulator
from encoding.fits.targets import TargetGroup
from encoding.readouts import Model, Responses
from encoding.readouts._shares import layer_shares
from encoding.runtime.threads import map_in_threads

Columns = Mapping[str, np.ndarray]
LEAST_ROWS_IN_THREADS = 16  # below it a thread costs more than it saves
NEAR = 10  # standard deviations of a response
SCORING_COLUMNS = 512  # targets predicted or scored at a time: what a core's cache holds


def predict_fold(
    target_groups: Sequence[TargetGroup], basis_of: Callable[[TargetGroup], tuple[Model, Any]], n: int, columns: Columns
) -> dict[str, np.ndarray]:
    """Predict some columns with the models of one fold.

    Parameters
    ----------
    target_groups : groups of the fit; no column is in two.
    basis_of : target group to its fitted model and the model's basis of the stimuli (:meth:`encoding.readouts.Model.basis`), called
        only for groups that hold a wanted column.
    n : number of stimuli.
    columns : hemisphere to the wanted columns (n_columns,), in any order.

    Returns
    -------
    Hemisphere to (n, n_columns) float32 in the units of the responses; NaN where no group holds the column.
    """
    predicted = {hemi: np.full((n, len(wanted)), np.nan, np.float32) for hemi, wanted in columns.items()}
    for group in target_groups:
        wanted = targets_of(group, columns)
        if not wanted:
            continue
        model, basis = basis_of(group)
        step = SCORING_COLUMNS if n >= LEAST_ROWS_IN_THREADS else max(len(targets) for _, targets in wanted.values())
        blocks = [(hemi, start) for hemi, (_, targets) in wanted.items() for start in range(0, len(targets), step)]

        def predict(block: tuple[str, int], model: Model = model, basis: Any = basis, wanted: Any = wanted, step: int = step) -> None:
            hemi, start = block
            places, targets = (each[start : start + step] for each in wanted[hemi])
            adjacent = bool((np.diff(targets) == 1).all())
            chosen = slice(int(targets[0]), int(targets[-1]) + 1) if adjacent else targets  # a slice copies no weights
            predicted[hemi][:, places] = model.predict_from(basis, chosen)

        if len(blocks) > len(wanted):
            map_in_threads(predict, blocks, device="cpu")
        else:
            for block in blocks:
                predict(block)
    return predicted


def mean_over_folds(folds: Sequence[int], predict: Callable[[int], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Average the predictions of several folds' models.

    Parameters
    ----------
    folds : numbers of the folds, at least one.
    predict : fold to its predictions, hemisphere to (n, n_columns), as :func:`predict_fold` returns them.

    Returns
    -------
    Hemisphere to (n, n_columns) float32, the arithmetic mean.
    """
    first, *others = folds
    total = predict(first)
    for fold in others:
        for hemi, values in predict(fold).items():
            total[hemi] += values
    for values in total.values():
        values /= len(folds)
    return total


def targets_of(group: TargetGroup, columns: Columns) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Match wanted columns with the targets of a group's model.

    Returns
    -------
    Hemisphere to a pair of int arrays of equal length: places among the wanted columns, and the model's target at each. Hemispheres
    of which the group holds no wanted column are left out.
    """
    targets_in = {}
    for hemi, place in group.places().items():
        wanted = np.asarray(columns.get(hemi, ()), np.int64)
        places = np.flatnonzero(np.isin(wanted, group.columns[hemi]))
        if len(places):
            targets_in[hemi] = places, place.start + np.searchsorted(group.columns[hemi], wanted[places])
    return targets_in


def score_columns(
    basis: Any,
    model: Model,
    place: slice,
    measured: Responses,
    bands: tuple[int, ...],
    over_repeats: Callable[[np.ndarray], np.ndarray],
) -> dict[str, np.ndarray]:
    """Score the predictions of a model's targets at ``place``, a block of targets at a time on several cores.

    Parameters
    ----------
    basis : the model's basis of the test rows (:meth:`encoding.readouts.Model.basis`).
    measured : (n_test, n_targets) responses to the test rows.
    bands : number of components of each layer where the readout treats layers apart; else empty.
    over_repeats : averages values (n_test, ...) over repeats, or leaves them as they are.

    Returns
    -------
    Score name to (n_targets,), with ``share_<number>``, the product measure, for each of several ``bands``.
    """
    by_start: dict[int, dict[str, np.ndarray]] = {}

    def score_block(start: int) -> None:
        stop = min(start + SCORING_COLUMNS, measured.shape[1])
        columns, Y = slice(place.start + start, place.start + stop), over_repeats(measured[:, start:stop].astype(np.float32, copy=False))
        accumulator = ScoreAccumulator(_near(model.intercept[columns], Y))
        accumulator.add(over_repeats(model.predict_from(basis, columns)), Y)
        by_start[start] = accumulator.scores()
        if len(bands) > 1:
            shares = layer_shares(model.weights[:, columns], bands, over_repeats(basis), Y, model.intercept[columns])
            by_start[start] |= {f"share_{number}": share for number, share in enumerate(shares)}

    map_in_threads(score_block, range(0, measured.shape[1], SCORING_COLUMNS), device="cpu")
    blocks = [by_start[start] for start in sorted(by_start)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _near(intercept: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """(t,) values to sum scores about: intercepts, about which predictions from centred features lie; means of (n, t) responses instead
    where an intercept is far away, as that of features that are far from 0 and not centred."""
    mean = measured.mean(0, dtype=np.float64)
    return np.where(np.abs(intercept - mean) <= NEAR * measured.std(0), intercept, mean)
