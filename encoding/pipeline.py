"""Fit an encoding model, top to bottom: stimuli -> features -> PCA components -> moments -> readout weights -> scores.

The result of each stage is stored under a key that is a digest of the stage's inputs, so nothing is computed twice and an interrupted
fit resumes after its last finished stage.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np

from encoding.datasets import DATASETS
from encoding.evaluation.resampling import LEAST_UNITS
from encoding.evaluation.scores import STORED_SCORES
from encoding.evaluation.splits import Fold
from encoding.features import extraction as features
from encoding.features.components import unit_variance
from encoding.features.decoded import DecodedOnce
from encoding.features.delays import design_columns
from encoding.features.given import is_given, store_features
from encoding.features.pca import fit_components
from encoding.fits.delay_choice import choose_delays
from encoding.fits.extra_subjects import extra_subject_rows
from encoding.fits.passes import linear_components, open_backbone, projections, reduce_in_pass, sketch_keys
from encoding.fits.plan import Plan
from encoding.fits.plan import plan as make_plan
from encoding.fits.predictions import score_columns
from encoding.fits.resources import Estimate, preflight
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.fits.targets import TargetGroup
from encoding.fits.training_data import bands_of, delays_of, inputs, is_complete, restored, training_rows
from encoding.readouts import Model, Responses, Training
from encoding.readouts._checkpoint import Checkpoint
from encoding.readouts._moments import Moments
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.wording import counted
from encoding.storage.store import Arrays, Store

FIT_STAGES = ("images", "features", "components", "readout", "scores")  # as progress reports name them


def fit(spec: FitSpec, store: Store, report: Report = silent, device: str = "auto", *, planned: Plan | None = None) -> Result:
    """Fit the encoding model that a spec names, or read it from the Store where it was fitted before.

    Parameters
    ----------
    spec : data set, subject, backbone, layers, readout and split.
    store : where the result of every stage is read and kept.
    report : called with the fraction done in [0, 1] and a text that names its stage (:data:`FIT_STAGES`); may raise Cancelled.
    device : ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.
    planned : the spec's plan where it is made already.

    Returns
    -------
    Scores as tables and maps, and predictions of the test stimuli; ``cached`` is true where nothing had to be computed.

    Raises
    ------
    UnknownName, UnknownLayer, BadOption, NoWeights, BadData, ValueError
        Before any work, where :func:`encoding.fits.plan.plan` refuses the spec.
    TypeError
        Where ``spec`` or ``store`` is something else.
    NoRoom, StoreFull
        Before any work, where memory or disk is too small.
    BadData
        Where stimuli or responses change during the fit.
    """
    if not isinstance(spec, FitSpec):
        raise TypeError(f"fit takes a FitSpec, not {spec!r}. FitSpec(...) makes one, FitSpec.from_dict one of a dict.")
    if not isinstance(store, Store):
        raise TypeError(f"fit keeps results in a Store, not in {store!r}. Store() is the default folder, Store(path) another.")
    started = time.perf_counter()
    opened = 0.05 if DATASETS[spec.dataset].is_ready(spec.subject, store) else 0.5  # of the work: a simulation takes as long as the rest
    plan = planned or make_plan(spec, store, subprogress(report, 0, opened, stage="images"))
    if is_complete(plan, store):
        _score_test_sets(plan, store, device)
        return Result(plan, store, cached=True, seconds=time.perf_counter() - started)
    plan.check_test_stimuli()
    device = choose_device(device)
    with store.in_use(plan.stage_keys):
        needed = preflight(plan, store, device)
        needed.check()
        arrays = _fit_stages(plan, store, subprogress(report, opened, 1), device, needed)
        plan.check_unchanged(store)
        reduced = {"reduced": list(plan.reduced_layers)} if plan.reduced_layers else {}
        store.put(plan.key, arrays, plan.made_from(device=device, fit_seconds=time.perf_counter() - started, **reduced))
    _score_test_sets(plan, store, device)
    report(1.0, "done")
    return Result(plan, store, cached=False, seconds=time.perf_counter() - started)


def _score_test_sets(plan: Plan, store: Store, device: str) -> None:
    """Score a fit on the other test sets of its split too, where it names none of them; every stage before the scores is there."""
    for each in plan.scored_test_sets.values():
        if not is_complete(each, store) and each.n_tested >= LEAST_UNITS:
            fit(each.spec, store, device=device, planned=each)


def _fit_stages(plan: Plan, store: Store, report: Report, device: str, needed: Estimate) -> Arrays:
    """Scores of all folds: ``<hemi>_<score>`` to (n_folds, n_vertices). Progress counts the time that each stage is estimated to take."""
    extracting = float(np.clip(needed.network_seconds / max(needed.seconds, 1e-9), 0.02, 0.95)) if plan.readout.uses_components else 0.0
    fitting = float(np.clip(needed.readout_seconds / max(needed.seconds - needed.network_seconds, 1e-9), 0.1, 0.85))
    if plan.readout.uses_components:
        plans = (plan, *plan.extra_subjects)
        for number, subject_plan in enumerate(plans):
            progress = subprogress(report, *(extracting * at / len(plans) for at in (number, number + 1)), stage="features")
            extract_features(subject_plan, store, progress, device, sketches=subject_plan is plan)
    folds = []
    for number, fold in enumerate(plan.folds):
        start, stop = (extracting + (1 - extracting) * at / len(plan.folds) for at in (number, number + 1))
        folds.append(_fit_fold(plan, fold, store, subprogress(report, start, stop), device, fitting))
    return {name: np.stack([fold[name] for fold in folds]) for name in folds[0]}


def _fit_fold(plan: Plan, fold: Fold, store: Store, report: Report, device: str, fitting: float) -> Arrays:
    """Scores on one fold's test rows: ``<hemi>_<score>`` to (n_vertices,) float64; NaN for vertices of no target group.

    ``fitting`` is the share of the fold's time that its readout is estimated to take.
    """
    begun = 0.9 - fitting if plan.readout.uses_components else 0.0
    reducing = subprogress(report, 0, begun, stage="components")
    Z = reduce_features(plan, fold, store, reducing, device) if plan.readout.uses_components else None
    bands, arrays = bands_of(plan, fold, store), {}
    for number, group in enumerate(plan.target_groups):
        start, stop = (begun + (1 - begun) * at / len(plan.target_groups) for at in (number, number + 1))
        progress, scoring = subprogress(report, start, stop), 0.1 / (1 - begun)
        model = fit_readout(plan, fold, group, Z, store, subprogress(progress, 0, 1 - scoring, stage="readout"), device)
        in_scores = subprogress(progress, 1 - scoring, 1, stage="scores")
        for hemi, scores in score_group(plan, fold, group, Z, model, bands, in_scores).items():
            for name, values in scores.items():
                whole = arrays.setdefault(f"{hemi}_{name}", np.full(plan.subject.responses[hemi].shape[1], np.nan))
                whole[group.columns[hemi]] = values
    return arrays


def extract_features(
    plan: Plan,
    store: Store,
    report: Report,
    device: str,
    *,
    of_dataset: bool = True,
    sketches: bool = True,
    shard: int | None = None,
    keep_decoded: bool = False,
) -> None:
    """Stage 1: store the features of every layer of the plan, extracted in one pass of its stimuli through each of its networks.

    Of layers that are too large to store (:attr:`Plan.reduced_layers`) a sketch is stored, unless ``sketches`` is false, from which
    :func:`encoding.fits.passes.reduce_in_pass` goes on, or their sparse random projection. ``of_dataset`` is false for new stimuli,
    which no data set holds: then nothing is compared with the data set before storing. ``shard`` extracts only this one of
    :func:`encoding.features.extraction.extraction_shards`, for a later call that joins all. ``keep_decoded`` keeps what is decoded in
    memory for a later call of the same shard (:class:`encoding.features.decoded.DecodedOnce`).

    Raises
    ------
    BadData where stimuli changed while they were read; ValueError where the backbone's weights did.

    Notes
    -----
    Rows of a feature table (:mod:`encoding.features.given`) are features already, and stored as they are.
    """
    n_networks = len(plan.networks)
    for number, each in enumerate(plan.networks):
        progress = subprogress(report, number / n_networks, (number + 1) / n_networks)
        made_from, check = each.made_from(device=device), lambda: plan.check_unchanged(store) if of_dataset else None
        if is_given(each.spec.backbone):
            store_features(each.stimuli, each.spec.backbone, each.feature_keys, store, made_from=made_from, check=check, report=progress)
            continue
        features.extract(
            DecodedOnce(each.stimuli) if keep_decoded else each.stimuli,
            partial(open_backbone, each),
            {layer: key for layer, key in each.feature_keys.items() if layer not in each.reduced_layers},
            store,
            sketches=sketch_keys(each) if sketches else {},
            projections=projections(each),
            n_frames=each.n_frames,
            pool=each.spec.pool,
            over=each.over_frames,
            dtype=each.feature_dtype,
            device=device,
            report=progress,
            made_from=made_from,
            check=check,
            shard=None if shard is None else features.extraction_shards(each.stimuli)[shard],
        )


def reduce_features(plan: Plan, fold: Fold, store: Store, report: Report, device: str) -> np.ndarray:
    """Stage 2: project the features on principal components, which are fitted on the fold's training rows only.

    Returns
    -------
    (n_stimuli, k) float32 component scores of every stimulus. Layers that are reduced apart (:attr:`Plan.spaces`) stand side by side, and
    so do the frames of a clip. Their products follow where the spec's ``degree`` is 2, and those of earlier samples of a run stand side by
    side where it has ``delays``.
    """
    n_spaces, scores = len(plan.spaces), []
    for each in plan.networks if plan.reduced_layers else ():
        reduce_in_pass([each], fold, store, report, device)
    for number, layers in enumerate(plan.spaces):
        progress = subprogress(report, number / n_spaces, (number + 1) / n_spaces)
        scores.append(_reduce_space(plan, fold, layers, store, progress, device))
    if len(plan.delay_sets) > 1:
        make = partial(choose_delays, plan, fold, scores, device)
        store.memo(plan.delays_key(fold), make, plan.made_from(device=device))
    return design_columns(scores, degree=plan.spec.degree, delays=delays_of(plan, fold, store), runs=plan.subject.runs)


def _reduce_space(plan: Plan, fold: Fold, layers: tuple[str, ...], store: Store, report: Report, device: str) -> np.ndarray:
    n_frames = plan.n_frames

    def make() -> Arrays:
        train = (fold.train[:, None] * n_frames + np.arange(n_frames)).ravel()
        if plan.spec.reduction == "pca":
            loaded = [features.load(plan.feature_keys[layer], store) for layer in layers]
            frames = [layer.reshape(len(layer) * n_frames, -1) for layer in loaded]
            options = {"names": layers, "scaling": plan.spec.layer_scaling, "device": device, "report": report}
            made = fit_components(frames, train, plan.spec.n_components, **options)
        else:
            made = linear_components(plan, layers, train, store)
        made = unit_variance(made) if plan.spec.component_scaling == "zscore" else made
        return made.arrays() | {"scores": made.scores.reshape(len(made.scores) // n_frames, -1)}

    key = plan.components_key(fold, layers)
    if plan.is_reduced(layers):
        return np.array(store.get(key)["scores"])
    parents = {layer: plan.feature_keys[layer] for layer in layers}
    return np.array(store.memo(key, make, plan.made_from(device=device, features=parents))["scores"])


def sum_responses(plan: Plan, fold: Fold, hemi: str, Z: np.ndarray, store: Store, report: Report, device: str) -> Moments:
    """Stage 3: sum Z'Z, Z'Y and Y² over the training rows of each inner fold, all that linear readouts need.

    Parameters
    ----------
    Z : (n_stimuli, k) component scores.

    Notes
    -----
    A readout without inner folds gets the sum over those of another readout where these are stored, without reading responses.
    """

    def make() -> Arrays:
        by_fold_key = plan.moments_by_fold_key(fold, hemi)
        if by_fold_key and (by_fold := store.get(by_fold_key)) is not None:
            return Moments.from_arrays(by_fold).whole().arrays()
        Y = plan.subject.responses[hemi]
        sums = Moments.of(Z, Y, plan.inner(fold), rows=fold.train, device=device, report=report)
        plan.check_unchanged(store)
        return replace(sums, bands=bands_of(plan, fold, store)).arrays()

    components = [plan.components_key(fold, layers) for layers in plan.spaces]
    made_from = plan.made_from(device=device, components=components, hemi=hemi)
    return Moments.from_arrays(store.memo(plan.moments_key(fold, hemi), make, made_from))


def fit_readout(plan: Plan, fold: Fold, group: TargetGroup, Z: np.ndarray | None, store: Store, report: Report, device: str) -> Model:
    """Stage 4: fit the readout's model of a target group's vertices.

    Parameters
    ----------
    Z : (n_stimuli, k) component scores; None for readouts that take the stimuli themselves.

    Raises
    ------
    BadData where the data changed during the fit; nothing is stored then.
    """
    key, readout = plan.weights_key(fold, group), plan.readout
    summing, fitting = subprogress(report, 0, 0.5), subprogress(report, 0.5, 1) if readout.uses_moments else report

    def make() -> Arrays:
        if readout.uses_moments:
            data: Moments | Training = group_moments(plan, fold, group, Z, store, summing, device)
        else:
            number, unseen = plan.number_of(fold), plan.unseen(fold)
            extra_subjects = [extra_subject_rows(plan, other, number, unseen, Z, store, device) for other in plan.extra_subjects]
            data = training_rows(plan, fold, group, Z, extra_subjects=extra_subjects, checkpoint=Checkpoint(store, key))
        fitting(0, f"{readout.name}: fitting {counted(data.n_targets, 'vertex', 'vertices')} of {group.name}")
        arrays = readout.fit(data, plan.options, device=device, report=fitting).arrays()
        if not readout.uses_moments:  # moments were checked when they were summed
            plan.check_unchanged(store)
        return arrays

    store.memo(key, make, plan.made_from(device=device, part=group.name))
    if not readout.uses_moments:
        Checkpoint(store, key).clear()  # only now that the result is safe
    return restored(plan, fold, group, store, Z)


def group_moments(plan: Plan, fold: Fold, group: TargetGroup, Z: np.ndarray, store: Store, report: Report, device: str) -> Moments:
    """Select a group's targets from the moments of whole hemispheres, which serve every group."""
    by_hemi = [
        sum_responses(plan, fold, hemi, Z, store, report, device).targets(slice(None) if group.whole else columns)
        for hemi, columns in group.columns.items()
    ]
    return by_hemi[0] if len(by_hemi) == 1 else Moments.side_by_side(by_hemi)


def score_group(
    plan: Plan, fold: Fold, group: TargetGroup, Z: np.ndarray | None, model: Model, bands: tuple[int, ...], report: Report
) -> dict[str, Arrays]:
    """Stage 5: score a target group's predictions on the fold's test rows, in blocks of vertices on several cores.

    Parameters
    ----------
    Z : (n_stimuli, k) component scores; None for readouts that take the stimuli themselves.
    bands : number of components of each layer where the readout treats layers apart; else empty.

    Returns
    -------
    Hemisphere to score name to (n_targets,), with the readout's details such as ``alpha``. Scores are NaN where nothing is tested.
    """
    report(0, f"scoring {counted(sum(map(len, group.columns.values())), 'vertex', 'vertices')} of {group.name}")
    basis, scores = model.basis(inputs(plan, fold.test, Z)) if len(fold.test) else None, {}
    for hemi, place in group.places().items():
        measured = Responses([(plan.subject.responses[hemi], group.columns[hemi])], fold.test)
        if basis is None:
            scores[hemi] = {name: np.full(measured.shape[1], np.nan) for name in STORED_SCORES}
        else:
            scores[hemi] = score_columns(basis, model, place, measured, bands, partial(plan.over_repeats, fold))
        scores[hemi] |= {name: np.asarray(value)[place] for name, value in model.details.items()}
    return scores
