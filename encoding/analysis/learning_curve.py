"""Learning curves: scores against the number of training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from encoding.evaluation.scores import r_from_moments, score
from encoding.evaluation.splits import Fold
from encoding.fits.digests import groups_digest
from encoding.fits.plan import Plan
from encoding.fits.predictions import SCORING_COLUMNS
from encoding.fits.spec import FitSpec
from encoding.fits.targets import TargetGroup
from encoding.fits.training_data import bands_of, training_rows
from encoding.pipeline import fit
from encoding.readouts import READOUTS, LinearModel, Model, Responses
from encoding.readouts._moments import Accumulator, Moments, centred
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest
from encoding.storage.store import Arrays, Store

CURVE_VERSION = 2
N_SIZES = 6
SMALLEST = 40  # training images at the left end of the curve


def learning_curve(spec: FitSpec, store: Store, report: Report = silent, device: str = "auto") -> dict[str, np.ndarray]:
    """Compute r on training and test images of readouts fitted on increasing numbers of images; cached in the Store.

    Training images are added in one random order, a group of rows at a time, so each size contains the smaller ones. Regularisation is
    selected anew at each size on its own inner folds, all of which have rows at the smallest size. The components are those of all training
    images; PCA reads no response. With a k-fold split the curves of the folds are averaged, so that the right end is the score of the
    fit. Repeats of test stimuli are averaged where the spec says so; training rows never are. Where the training r requires predictions, it
    is computed on as many training images as there are test images.

    Returns
    -------
    dict of str to ndarray
        ``sizes`` (n_sizes,) int, of the first fold (others may differ by a group); per hemisphere ``<hemi>_train`` and
        ``<hemi>_test`` (n_sizes, n_vertices) float32.

    Raises
    ------
    ValueError
        If the readout is trained in epochs; see :meth:`Result.history` for its curve over epochs.
    BadData
        Where stimuli or responses change meanwhile; nothing is stored then.
    """
    if not has_curve(spec):
        raise ValueError(f"{spec.readout} has a learning curve over its epochs, not over the number of images: see Result.history.")
    result = fit(spec, store, subprogress(report, 0, 0.3), device)
    plan, device = result.plan, choose_device(device)
    key = curve_key(plan.key, plan)

    @store.in_use(plan.stage_keys)
    def make() -> Arrays:
        sizes, curves = _sizes(plan), []
        for number, fold in enumerate(plan.folds):
            start, stop = (0.3 + 0.7 * at / len(plan.folds) for at in (number, number + 1))
            of_fold = np.minimum(sizes, len(fold.train))
            of_fold[-1] = len(fold.train)
            Z, bands = np.array(result.components(number)), bands_of(plan, fold, store)
            curves.append(_fold_curve(plan, fold, Z, of_fold, bands, subprogress(report, start, stop), device))
        plan.check_unchanged(store)
        return {"sizes": sizes} | {name: np.mean([curve[name] for curve in curves], axis=0) for name in curves[0]}

    return store.memo(key, make, plan.made_from(device=device, fit=plan.key))


def has_curve(spec: FitSpec) -> bool:
    """Whether the readout has a learning curve over images: it is cheap to refit, not trained in epochs."""
    return READOUTS[spec.readout].exact and READOUTS[spec.readout].uses_components


def curve_key(fit_key: str, plan: Plan) -> str:
    """Key of a fit's learning curve in the Store; it covers the groups of rows that are added together."""
    groups = plan.subject.groups
    made = {"begins": "with rows of every inner fold"} if len(np.unique(groups)) < len(groups) else {}  # earlier releases had empty ones
    if plan.joins_hemispheres:
        made["hemispheres"] = "together"  # in earlier releases each had a model of its own
    return digest("curve", CURVE_VERSION, fit=fit_key, groups=groups_digest(groups), **made)


def _fold_curve(
    plan: Plan, fold: Fold, Z: np.ndarray, sizes: np.ndarray, bands: tuple[int, ...], report: Report, device: str
) -> dict[str, np.ndarray]:
    arrays = {}
    together = [plan.hemis] if plan.joins_hemispheres else [(hemi,) for hemi in plan.hemis]
    for number, hemis in enumerate(together):
        part = subprogress(report, number / len(together), (number + 1) / len(together))
        if plan.readout.uses_moments:
            arrays |= _grow(plan, fold, hemis, Z, sizes, bands, part, device)
        else:
            arrays |= _refit(plan, fold, hemis, Z, sizes, part, device)
    return arrays


def _grow(
    plan: Plan, fold: Fold, hemis: tuple[str, ...], Z: np.ndarray, sizes: np.ndarray, bands: tuple[int, ...], report: Report, device: str
) -> dict[str, np.ndarray]:
    """The curve of a readout of moments."""
    responses = {hemi: plan.subject.responses[hemi] for hemi in hemis}
    test = {hemi: _test_moments(plan, fold, Z, Y, device) for hemi, Y in responses.items()}
    order = _shuffled(plan.subject.groups[fold.train])
    inner = plan.inner(fold)
    n_inner = int(inner.max()) + 1
    sums = {hemi: Accumulator(Z.shape[1], Y.shape[1], n_inner, dtype=Z.dtype, device=device) for hemi, Y in responses.items()}
    arrays, done = _empty(plan, hemis, sizes), 0
    for step, size in enumerate(sizes):
        report(step / len(sizes), _text(plan, fold, hemis, size))
        new = np.sort(order[done:size])
        for hemi, Y in responses.items():
            sums[hemi].add(Z, Y, fold.train[new], inner[new])
        so_far, done = {hemi: replace(each.moments(), bands=bands) for hemi, each in sums.items()}, size
        for group in _groups(plan, hemis):
            some = _of_group(so_far, group)
            model = plan.readout.fit(some, plan.options, device=device)
            for line, seen in (("train", some), ("test", _of_group(test, group))):
                _keep(arrays, line, step, group, correlation(model, seen))
    return arrays


def _of_group(moments: Mapping[str, Moments], group: TargetGroup) -> Moments:
    """The moments of a group's targets from those of its hemispheres."""
    return Moments.side_by_side([moments[hemi].targets(slice(None) if group.whole else cols) for hemi, cols in group.columns.items()])


def _test_moments(plan: Plan, fold: Fold, Z: np.ndarray, Y: np.ndarray, device: str) -> Moments:
    """The moments of the rows that are scored."""
    rows = fold.test
    if plan.spec.average_repeats:
        Z, Y = (plan.over_repeats(fold, np.asarray(values[rows], np.float32)) for values in (Z, Y))
        rows = np.arange(len(Z))
    return Moments.of(Z, Y, np.zeros(len(rows), int), rows=rows, device=device)


def _refit(
    plan: Plan, fold: Fold, hemis: tuple[str, ...], Z: np.ndarray, sizes: np.ndarray, report: Report, device: str
) -> dict[str, np.ndarray]:
    """The curve of a readout of arrays."""
    order = _shuffled(plan.subject.groups[fold.train])
    arrays = _empty(plan, hemis, sizes)
    for step, size in enumerate(sizes):
        report(step / len(sizes), _text(plan, fold, hemis, size))
        for group in _groups(plan, hemis):
            rows = training_rows(plan, fold, group, Z).some(np.sort(order[:size]))
            model = plan.readout.fit(rows, plan.options, device=device)
            sets = (("train", rows.Y.rows[: len(fold.test)], np.asarray), ("test", fold.test, partial(plan.over_repeats, fold)))
            for line, seen, over_repeats in sets:
                measured = Responses([(plan.subject.responses[hemi], columns) for hemi, columns in group.columns.items()], seen)
                _keep(arrays, line, step, group, _measured_r(model, Z[seen], measured, over_repeats))
    return arrays


def _empty(plan: Plan, hemis: tuple[str, ...], sizes: np.ndarray) -> dict[str, np.ndarray]:
    """Curves of vertices without a model, ``<hemi>_<line>`` to (n_sizes, n_vertices)."""
    shapes = {hemi: (len(sizes), plan.subject.responses[hemi].shape[1]) for hemi in hemis}
    return {f"{hemi}_{line}": np.full(shape, np.nan, np.float32) for hemi, shape in shapes.items() for line in ("train", "test")}


def _keep(arrays: dict[str, np.ndarray], line: str, step: int, group: TargetGroup, r: np.ndarray) -> None:
    """Put the r (n_targets,) of a group's model at one size where its vertices are."""
    for hemi, place in group.places().items():
        arrays[f"{hemi}_{line}"][step, group.columns[hemi]] = r[place]


def _text(plan: Plan, fold: Fold, hemis: tuple[str, ...], size: int) -> str:
    return f"learning curve of {' and '.join(hemis)}: {size:,} {plan.subject.row_word('images', fold.train)}"


def _measured_r(model: Model, X: np.ndarray, measured: Responses, over_repeats: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Pearson r (t,) of predictions from X with responses, a block of targets at a time."""
    basis, blocks = model.basis(X), []
    for start in range(0, measured.shape[1], SCORING_COLUMNS):
        some = slice(start, start + SCORING_COLUMNS)
        blocks.append(score(over_repeats(model.predict_from(basis, some)), over_repeats(measured[:, some]))["r"])
    return np.concatenate(blocks)


def _groups(plan: Plan, hemis: tuple[str, ...]) -> list[TargetGroup]:
    """The target groups of some hemispheres, all of whose columns are there."""
    return [group for group in plan.target_groups if set(group.columns) <= set(hemis)]


def correlation(model: LinearModel, moments: Moments) -> np.ndarray:
    """Compute Pearson r, (n_targets,), of a linear model's predictions with the responses from second moments alone.

    r is 0 where the prediction is constant and NaN where the response is, as in :class:`encoding.evaluation.scores.ScoreAccumulator`.
    """
    sums = centred(moments, np.arange(moments.n_folds))
    w = model.weights.astype(np.float64)
    cov = (w * sums.xy.numpy()).sum(0)
    var_p, var_m = np.einsum("pt,pt->t", w, sums.xx.numpy() @ w), sums.yy.numpy()
    return r_from_moments(cov, var_p, var_m, var_p <= 0, var_m <= 0)


def _sizes(plan: Plan) -> np.ndarray:
    n_train = len(plan.folds[0].train)
    smallest = max(SMALLEST, plan.readout.fewest_rows(plan.options))
    for fold in plan.folds:  # some of every inner fold: groups come one after another
        inner = plan.inner(fold)[_shuffled(plan.subject.groups[fold.train])]
        smallest = max(smallest, 4 + int(np.unique(inner, return_index=True)[1].max()))
    smallest = min(n_train, smallest)
    return np.unique(np.geomspace(smallest, n_train, N_SIZES).round().astype(int))


def _shuffled(groups: np.ndarray) -> np.ndarray:
    """Row numbers in random order, rows of a group side by side; the same whatever the groups are called."""
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    position = np.random.RandomState(1).permutation(len(first))[np.argsort(np.argsort(first))]
    return np.argsort(position[member], kind="stable")
