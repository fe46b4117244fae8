"""The whole method, top to bottom: stimuli -> features -> components -> moments -> weights -> scores.

Each stage is named by its inputs and kept in the Store, so nothing is computed twice and a fit that was stopped
goes on from its last finished stage.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from encoding.backbones import Backbone
from encoding.datasets import DATASETS
from encoding.evaluation.scores import ScoreAccumulator
from encoding.evaluation.splits import Fold
from encoding.features import extraction as features
from encoding.features.components import Components, fit_components, project
from encoding.fits.plan import Plan, plan
from encoding.fits.predictions import SCORING_COLUMNS
from encoding.fits.resources import preflight
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.fits.targets import TargetGroup, target_groups_of
from encoding.fits.training_data import bands_of, inputs, is_complete, restored, training_rows, without_test_stimuli
from encoding.readouts import Model, Responses, Training
from encoding.readouts._checkpoint import Checkpoint
from encoding.readouts._moments import Moments
from encoding.readouts._shares import layer_shares
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.threads import map_in_threads
from encoding.storage.keys import digest
from encoding.storage.store import Arrays, Store

USUAL_FOLDS = 5  # on which readouts choose their parameters unless told otherwise


def fit(spec: FitSpec, store: Store, report: Report = silent, device: str = "auto") -> Result:
    """The encoding model that ``spec`` names, computed at most once in a Store.

    Parameters
    ----------
    report : called with the fraction done and what is being done; may raise Cancelled.
    device : ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.

    Raises
    ------
    Whatever :func:`encoding.fits.plan.plan` finds wrong, NoRoom or StoreFull where the fit cannot fit here: all before any work.
    """
    started = time.perf_counter()
    opened = (
        0.05 if DATASETS[spec.dataset].is_ready(spec.subject, store) else 0.5
    )  # share of the work: a simulation takes as long as the rest
    planned = plan(spec, store, subprogress(report, 0, opened))
    if is_complete(planned, store):
        return Result(planned, store, cached=True, seconds=time.perf_counter() - started)
    device = choose_device(device)
    with store.in_use(planned.stage_keys):
        preflight(planned, store, device).check()
        arrays = _fit_stages(planned, store, subprogress(report, opened, 1), device)
        planned.check_unchanged(store)
        store.put(planned.key, arrays, planned.made_from(device=device, fit_seconds=time.perf_counter() - started))
    report(1.0, "done")
    return Result(planned, store, cached=False, seconds=time.perf_counter() - started)


def _fit_stages(planned: Plan, store: Store, report: Report, device: str) -> Arrays:
    """Every score of every vertex, (n_folds, n_vertices) by ``<hemi>_<score>``."""
    if planned.readout.uses_components:
        plans = (planned, *planned.extra_subjects)
        for number, one in enumerate(plans):
            extract_features(one, store, subprogress(report, 0.6 * number / len(plans), 0.6 * (number + 1) / len(plans)), device)
    folds = []
    for number, fold in enumerate(planned.folds):
        start, stop = (0.6 + 0.4 * at / len(planned.folds) for at in (number, number + 1))
        folds.append(_fit_fold(planned, fold, store, subprogress(report, start, stop), device))
    return {name: np.stack([fold[name] for fold in folds]) for name in folds[0]}


def _fit_fold(planned: Plan, fold: Fold, store: Store, report: Report, device: str) -> Arrays:
    """Every score of every vertex on one fold's test rows, (n_vertices,) by ``<hemi>_<score>``; NaN where no part holds the vertex."""
    Z = reduce_features(planned, fold, store, subprogress(report, 0, 0.4), device) if planned.readout.uses_components else None
    bands, arrays = bands_of(planned, fold, store), {}
    for number, part in enumerate(planned.target_groups):
        start, stop = (0.4 + 0.6 * at / len(planned.target_groups) for at in (number, number + 1))
        said = subprogress(report, start, stop)
        model = fit_readout(planned, fold, part, Z, store, subprogress(said, 0, 0.8), device)
        for hemi, scores in score_group(planned, fold, part, Z, model, bands, subprogress(said, 0.8, 1)).items():
            for name, values in scores.items():
                whole = arrays.setdefault(f"{hemi}_{name}", np.full(planned.subject.responses[hemi].shape[1], np.nan))
                whole[part.columns[hemi]] = values
    return arrays


def extract_features(planned: Plan, store: Store, report: Report, device: str, *, of_dataset: bool = True) -> None:
    """Stage 1: every layer of the plan, from one pass of its stimuli through the backbone.

    ``of_dataset`` is false for new stimuli, which no data set holds: then nothing is compared with the data set before storing.

    Raises
    ------
    BadData where stimuli changed while they were read; ValueError where the backbone's weights did.
    """

    def open_backbone() -> Backbone:
        backbone = planned.source.open(planned.spec.backbone, planned.spec.weights)
        if backbone.fingerprint != planned.backbone_fingerprint:
            raise ValueError(f"The weights of {planned.spec.backbone} changed after the fit was planned. Start it again.")
        return backbone

    features.extract(
        planned.stimuli,
        open_backbone,
        planned.feature_keys,
        store,
        pool=planned.spec.pool,
        over=planned.over_frames,
        device=device,
        report=report,
        made_from=planned.made_from(device=device),
        **({"check": lambda: planned.check_unchanged(store)} if of_dataset else {}),
    )


def reduce_features(planned: Plan, fold: Fold, store: Store, report: Report, device: str) -> np.ndarray:
    """Stage 2: component scores of every stimulus, (n_stimuli, k) float32, from axes that training rows alone decide.

    Spaces (:attr:`Plan.spaces`) stand side by side, and so do the frames of a clip.
    """
    made = []
    for number, layers in enumerate(planned.spaces):
        said = subprogress(report, number / len(planned.spaces), (number + 1) / len(planned.spaces))
        made.append(_reduce_space(planned, fold, layers, store, said, device))
    return made[0] if len(made) == 1 else np.concatenate(made, axis=1)


def _reduce_space(planned: Plan, fold: Fold, layers: tuple[str, ...], store: Store, report: Report, device: str) -> np.ndarray:
    n_frames = planned.n_frames

    def make() -> Arrays:
        loaded = [features.load(planned.feature_keys[layer], store) for layer in layers]
        frames = [layer.reshape(len(layer) * n_frames, -1) for layer in loaded]
        train = (fold.train[:, None] * n_frames + np.arange(n_frames)).ravel()
        scaling = planned.spec.layer_scaling
        found = fit_components(frames, train, planned.spec.n_components, names=layers, scaling=scaling, device=device, report=report)
        return _component_arrays(found) | {"scores": found.scores.reshape(len(loaded[0]), -1)}

    key = planned.components_key(fold, layers)
    parents = {layer: planned.feature_keys[layer] for layer in layers}
    return np.array(store.memo(key, make, planned.made_from(device=device, features=parents))["scores"])


def sum_responses(planned: Plan, fold: Fold, hemi: str, Z: np.ndarray, store: Store, report: Report, device: str) -> Moments:
    """Stage 3: the moments of the training rows, fold by inner fold.

    Those of one fold are added up from the usual :data:`USUAL_FOLDS` where these are kept, without reading a response.
    """

    def make() -> Arrays:
        if planned.readout.n_folds(planned.options) == 1 and len(np.unique(planned.subject.groups[fold.train])) >= USUAL_FOLDS:
            finer = store.get(planned.moments_key(fold, hemi, n_inner=USUAL_FOLDS))
            if finer is not None:
                return Moments.from_arrays(finer).whole().arrays()
        Y = planned.subject.responses[hemi]
        sums = Moments.of(Z, Y, planned.inner(fold), rows=fold.train, device=device, report=report)
        planned.check_unchanged(store)
        return replace(sums, bands=bands_of(planned, fold, store)).arrays()

    components = [planned.components_key(fold, layers) for layers in planned.spaces]
    made_from = planned.made_from(device=device, components=components, hemi=hemi)
    return Moments.from_arrays(store.memo(planned.moments_key(fold, hemi), make, made_from))


def fit_readout(planned: Plan, fold: Fold, part: TargetGroup, Z: np.ndarray | None, store: Store, report: Report, device: str) -> Model:
    """Stage 4: the readout's model of a part's vertices."""
    key, readout = planned.weights_key(fold, part), planned.readout
    summing, fitting = subprogress(report, 0, 0.5), subprogress(report, 0.5, 1)

    def make() -> Arrays:
        if readout.uses_moments:
            data: Moments | Training = _group_moments(planned, fold, part, Z, store, summing, device)
        else:
            extra_subjects = [
                extra_subject_rows(planned, other, planned.folds.index(fold), Z, store, device) for other in planned.extra_subjects
            ]
            data = training_rows(planned, fold, part, Z, extra_subjects=extra_subjects, checkpoint=Checkpoint(store, key))
        fitting(0, f"{readout.name}: fitting {data.n_targets:,} vertices of {part.name}")
        arrays = readout.fit(data, planned.options, device=device, report=fitting).arrays()
        if not readout.uses_moments:  # moments were checked when they were made
            planned.check_unchanged(store)
        return arrays

    store.memo(key, make, planned.made_from(device=device, part=part.name))
    if not readout.uses_moments:
        Checkpoint(store, key).clear()  # only now that the result is safe
    return restored(planned, fold, part, store, Z)


def _group_moments(planned: Plan, fold: Fold, part: TargetGroup, Z: np.ndarray, store: Store, report: Report, device: str) -> Moments:
    """The moments of a part's targets, out of those of whole hemispheres, which serve every part."""
    found = [
        sum_responses(planned, fold, hemi, Z, store, report, device).targets(slice(None) if part.whole else columns)
        for hemi, columns in part.columns.items()
    ]
    return found[0] if len(found) == 1 else Moments.side_by_side(found)


def extra_subject_rows(planned: Plan, other: Plan, number: int, Z: np.ndarray, store: Store, device: str) -> Training:
    """The training rows of another subject in this one's components, less the pictures that this fit tests on."""
    fold = planned.folds[number]
    (layers,) = planned.spaces
    own = store.get(planned.components_key(fold, layers))
    key = digest("projected", 1, components=planned.components_key(fold, layers), features=list(other.feature_keys.values()))

    def make() -> Arrays:
        return {"scores": project([features.load(other.feature_keys[layer], store) for layer in layers], own["mean"], own["axes"])}

    theirs = np.array(store.memo(key, make, other.made_from(device=device))["scores"])
    part = next(part for part in target_groups_of(other.subject, "both", hemis=other.hemis, rois=(), per_target=False))
    rows = without_test_stimuli(other.extra_fold(number).train, fold.test, Z, theirs)
    return training_rows(replace(other, extra_subjects=()), Fold(rows, fold.test[:0]), part, theirs)


def score_group(
    planned: Plan, fold: Fold, part: TargetGroup, Z: np.ndarray | None, model: Model, bands: tuple[int, ...], report: Report
) -> dict[str, Arrays]:
    """Stage 5: every score of a part's vertices on the fold's test rows, a block of vertices a core. -> hemisphere to scores (t,)"""
    report(0, f"scoring {sum(map(len, part.columns.values())):,} vertices of {part.name}")
    basis, scored = model.basis(inputs(planned, fold.test, Z)), {}
    for hemi, place in part.places().items():
        measured = Responses([(planned.subject.responses[hemi], part.columns[hemi])], fold.test)
        scored[hemi] = _score_columns(basis, model, place, measured, bands)
        scored[hemi] |= {name: np.asarray(value)[place] for name, value in model.details.items()}
    return scored


def _score_columns(basis: Any, model: Model, place: slice, measured: Responses, bands: tuple[int, ...]) -> Arrays:
    found: dict[int, Arrays] = {}

    def score_block(start: int) -> None:
        stop = min(start + SCORING_COLUMNS, measured.shape[1])
        some, Y = slice(place.start + start, place.start + stop), measured[:, start:stop].astype(np.float32, copy=False)
        accumulator = ScoreAccumulator(model.intercept[some])
        accumulator.add(model.predict_from(basis, some), Y)
        found[start] = accumulator.scores()
        if len(bands) > 1:
            shares = layer_shares(model.weights[:, some], bands, basis, Y, model.intercept[some])
            found[start] |= {f"share_{number}": share for number, share in enumerate(shares)}

    map_in_threads(score_block, range(0, measured.shape[1], SCORING_COLUMNS), device="cpu")
    blocks = [found[start] for start in sorted(found)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _component_arrays(found: Components) -> Arrays:
    names = ("scores", "variance", "mean", "axes")
    return {name: getattr(found, name) for name in names} | {"total_variance": np.array(found.total_variance)}
