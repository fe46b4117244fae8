"""The whole method, top to bottom: stimuli -> features -> components -> moments -> weights -> scores.

Each stage is named by its inputs and kept in the Store, so nothing is computed twice and a fit that was stopped
goes on from its last finished stage.
"""

from __future__ import annotations

import time

import numpy as np

from encoding import features
from encoding.backbones import Backbone
from encoding.components import Components, fit_components
from encoding.datasets import DATASETS, Subject
from encoding.moments import Moments
from encoding.parallel import each
from encoding.plan import Plan, plan
from encoding.preflight import preflight
from encoding.progress import Report, portion, silent
from encoding.readouts import LinearModel
from encoding.result import Result
from encoding.scores import Tally
from encoding.spec import FitSpec
from encoding.splits import Fold
from encoding.store import Arrays, Store

SCORING_COLUMNS = 512  # vertices scored at a time: what a core's cache holds


def fit(spec: FitSpec, store: Store, report: Report = silent, device: str = "auto") -> Result:
    """The encoding model that ``spec`` names, computed at most once in a Store.

    Parameters
    ----------
    report : called with the fraction done and what is being done; may raise Cancelled.
    device : ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.

    Raises
    ------
    Whatever :func:`encoding.plan.plan` finds wrong, NoRoom or StoreFull where the fit cannot fit here: all before any work.
    """
    started = time.perf_counter()
    opened = (
        0.05 if DATASETS[spec.dataset].is_ready(spec.subject, store) else 0.5
    )  # share of the work: a simulation takes as long as the rest
    planned = plan(spec, store, portion(report, 0, opened))
    if planned.key in store and store.get(planned.key) is not None:
        return Result(planned, store, cached=True, seconds=time.perf_counter() - started)
    device = choose_device(device)
    preflight(planned, store, device).check()
    rest = portion(report, opened, 1)
    extract_features(planned, store, portion(rest, 0, 0.6), device)
    scores: dict[str, list[Arrays]] = {hemi: [] for hemi in planned.hemis}
    for number, fold in enumerate(planned.folds):
        n_folds = len(planned.folds)
        said = portion(rest, 0.6 + 0.4 * number / n_folds, 0.6 + 0.4 * (number + 1) / n_folds)
        Z = reduce_features(planned, fold, store, portion(said, 0, 0.4), device)
        for i, hemi in enumerate(planned.hemis):
            part = portion(said, 0.4 + 0.6 * i / len(planned.hemis), 0.4 + 0.6 * (i + 1) / len(planned.hemis))
            sums = sum_responses(planned, fold, hemi, Z, store, portion(part, 0, 0.4), device)
            model = fit_readout(planned, fold, hemi, sums, store, portion(part, 0.4, 0.8), device)
            scores[hemi].append(score_fold(planned.subject, fold, hemi, Z, model, portion(part, 0.8, 1)))
    arrays = {f"{hemi}_{name}": np.stack([fold[name] for fold in parts]) for hemi, parts in scores.items() for name in parts[0]}
    store.put(planned.key, arrays, planned.made_from(device=device, fit_seconds=time.perf_counter() - started))
    report(1.0, "done")
    return Result(planned, store, cached=False, seconds=time.perf_counter() - started)


def extract_features(planned: Plan, store: Store, report: Report, device: str) -> None:
    """Stage 1: every layer asked for, from one pass of the stimuli through the backbone."""

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
        over=planned.spec.over_frames,
        device=device,
        report=report,
        made_from=planned.made_from(device=device),
    )


def reduce_features(planned: Plan, fold: Fold, store: Store, report: Report, device: str) -> np.ndarray:
    """Stage 2: component scores of every stimulus, (n_stimuli, k) float32, from axes that training rows alone decide."""

    def make() -> Arrays:
        layers = [features.load(planned.feature_keys[layer], store) for layer in planned.spec.layers]
        found = fit_components(layers, fold.train, planned.spec.n_components, device=device, report=report)
        return _component_arrays(found)

    key = planned.components_key(fold)
    return np.array(store.memo(key, make, planned.made_from(device=device, features=dict(planned.feature_keys)))["scores"])


def sum_responses(planned: Plan, fold: Fold, hemi: str, Z: np.ndarray, store: Store, report: Report, device: str) -> Moments:
    """Stage 3: the moments of the training rows, fold by inner fold."""

    def make() -> Arrays:
        Y = planned.subject.responses[hemi]
        return Moments.of(Z, Y, planned.inner(fold), rows=fold.train, device=device, report=report).arrays()

    made_from = planned.made_from(device=device, components=planned.components_key(fold), hemi=hemi)
    return Moments.from_arrays(store.memo(planned.moments_key(fold, hemi), make, made_from))


def fit_readout(planned: Plan, fold: Fold, hemi: str, sums: Moments, store: Store, report: Report, device: str) -> LinearModel:
    """Stage 4: the readout's weights for every vertex."""

    def make() -> Arrays:
        report(0, f"{planned.readout.name}: fitting {sums.n_targets:,} vertices of {hemi}")
        return planned.readout.fit(sums, planned.options, device=device).arrays()

    made_from = planned.made_from(device=device, moments=planned.moments_key(fold, hemi), hemi=hemi)
    return LinearModel.from_arrays(store.memo(planned.weights_key(fold, hemi), make, made_from))


def score_fold(subject: Subject, fold: Fold, hemi: str, Z: np.ndarray, model: LinearModel, report: Report) -> Arrays:
    """Stage 5: every score of every vertex on the fold's test rows, a block of vertices a core."""
    Y, X = subject.responses[hemi], Z[fold.test]
    found: dict[int, Arrays] = {}

    def score_block(start: int) -> None:
        some = slice(start, start + SCORING_COLUMNS)
        tally = Tally(model.intercept[some])
        tally.add(LinearModel(model.weights[:, some], model.intercept[some]).predict(X), np.asarray(Y[fold.test, some], np.float32))
        found[start] = tally.scores()

    report(0, f"scoring {Y.shape[1]:,} vertices of {hemi}")
    each(score_block, range(0, Y.shape[1], SCORING_COLUMNS), device="cpu")
    blocks = [found[start] for start in sorted(found)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]} | dict(model.details)


def choose_device(device: str) -> str:
    """``auto`` resolved to ``cuda`` where there is one; ValueError where cuda is asked for and there is none."""
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}.")
    found = torch.cuda.is_available()
    if device == "cuda" and not found:
        raise ValueError("No CUDA device was found. Use device='cpu', or 'auto' to take a GPU where there is one.")
    return "cuda" if device != "cpu" and found else "cpu"


def _component_arrays(found: Components) -> Arrays:
    names = ("scores", "variance", "mean", "axes")
    return {name: getattr(found, name) for name in names} | {"total_variance": np.array(found.total_variance)}
