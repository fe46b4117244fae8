"""Predict responses to a folder of new stimuli with the backbone, components and models of a finished fit."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets import BadData, Stimuli
from encoding.datasets._images import ImageFiles, list_images, not_listed
from encoding.datasets._videos import VideoFiles, list_videos
from encoding.features import extraction as features
from encoding.features.given import is_given
from encoding.fits.composition import ComposedResult
from encoding.fits.plan import Plan
from encoding.fits.predictions import mean_over_folds, predict_fold
from encoding.fits.resources import preflight
from encoding.fits.score_tables import ScoreTables
from encoding.fits.training_data import inputs
from encoding.pipeline import extract_features, fit_readout, reduce_features
from encoding.prediction.inputs import (
    CannotPredict,
    check_axes,
    check_kind,
    check_tables,
    every_column,
    model_and_basis,
    n_columns_of,
    on_axes,
)
from encoding.prediction.predictor import Predictor
from encoding.readouts import Chosen
from encoding.runtime.csv import to_csv
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.wording import counted
from encoding.storage.atomic import atomic_files_into
from encoding.storage.fingerprints import files_fingerprint
from encoding.storage.npy import NpyWriter
from encoding.storage.store import Store, StoreReadOnly

BLOCK_BYTES = 128 * 2**20  # of predictions in memory at a time


def stimuli_in(folder: str | Path, plan: Plan, store: Store, report: Report = silent) -> ImageFiles | VideoFiles:
    """List the images directly in a folder in natural order; the clips for a fit of clips.

    Images in formats that are not read, and those in folders below, are left out with a warning.

    Raises
    ------
    BadData where the folder is missing or holds none.
    """
    folder, of_clips = Path(folder).expanduser(), plan.of_clips
    listing, kind = (list_videos, VideoFiles) if of_clips else (list_images, ImageFiles)
    paths = listing(folder)
    left_out = "" if of_clips else not_listed(folder)
    if paths and left_out:
        warnings.warn(f"{folder}: {left_out}", stacklevel=2)
    if not paths:
        wanted = "clips (.mp4, .mov …)" if of_clips else "images (.png, .jpg …)"
        message = f"{folder} holds no {wanted}, which the fit of {plan.spec.dataset} {plan.spec.subject} predicts from."
        raise BadData(f"{message} {left_out}".strip())
    return kind(paths, fingerprint=files_fingerprint(paths, store, report))


def unfitted(plan: Plan) -> dict[str, int]:
    """Count the vertices of each hemisphere without a model: outside the fit's target groups, or in a hemisphere that was not fitted."""
    fitted = dict.fromkeys(plan.subject.hemis, 0)
    for part in plan.target_groups:
        for hemi, columns in part.columns.items():
            fitted[hemi] += len(columns)
    return {hemi: plan.subject.responses[hemi].shape[1] - n for hemi, n in fitted.items()}


def predict(result: ScoreTables, stimuli: Stimuli, *, report: Report = silent, device: str = "auto") -> dict[str, np.ndarray]:
    """Predicted responses to other stimuli, in the units of the data set's responses.

    With a k-fold split it is the mean over the folds' models; otherwise the one model, of training rows alone.

    Parameters
    ----------
    stimuli : n images; clips for a fit of clips, sampled at the fit's number of frames. For a fit with delays, the samples of one run.

    Returns
    -------
    For each fitted hemisphere (n, n_vertices) float32, NaN where no model was fitted to a vertex.

    Raises
    ------
    CannotPredict where the stimuli are of another kind than the fit's, the components' axes were not kept, or an imported fit came
    without models that can be used here.
    """
    predicted = {hemi: np.empty((len(stimuli), width), np.float32) for hemi, width in n_columns_of(result.plan).items()}
    for rows, block in predicted_blocks(result, stimuli, report=report, device=device):
        for hemi, values in block.items():
            predicted[hemi][rows] = values
    return predicted


def write_predictions(
    result: ScoreTables, stimuli: Stimuli, paths: Mapping[str, Path], *, report: Report = silent, device: str = "auto"
) -> None:
    """Predict as :func:`predict` does and write one ``.npy`` file per hemisphere, holding one block of rows in memory.

    Parameters
    ----------
    result : finished fit.
    stimuli : n new stimuli.
    paths : hemisphere to the file to write, float32 (n, n_vertices).

    Raises
    ------
    As :func:`predict`; CannotPredict where the disk has too little room, before any work.
    """
    widths = n_columns_of(result.plan)
    n_bytes = 4 * len(stimuli) * sum(widths[hemi] for hemi in paths)
    folder = next(iter(paths.values())).parent
    if n_bytes > (free := shutil.disk_usage(folder).free):
        raise CannotPredict(f"These predictions take {n_bytes / 1e9:,.1f} GB; the disk of {folder} has {free / 1e9:,.1f} GB free.")
    with ExitStack() as stack:
        files = {hemi: stack.enter_context(NpyWriter(path, (len(stimuli), widths[hemi]))) for hemi, path in paths.items()}
        for _, block in predicted_blocks(result, stimuli, report=report, device=device):
            for hemi, file in files.items():
                file.write(block[hemi])


def save_predictions(result: ScoreTables, stimuli: Stimuli, folder: str | Path, *, report: Report = silent, device: str = "auto") -> Path:
    """Write predictions of new stimuli into a folder: all of these files, or none.

    - ``<hemi>_predictions.npy``, as :func:`predict` returns them; columns are those of the data set's responses.
    - ``stimuli.csv``: row, name. ``vertices.csv``: hemi, column, fsaverage (its vertex there, where known), rois.
    - ``spec.json``: the fit, and what the numbers are.
    """
    import pandas as pd

    folder, names = Path(folder).expanduser(), stimuli.names
    if isinstance(stimuli, ImageFiles | VideoFiles):
        names = tuple(path.name for path in stimuli.paths)
    with atomic_files_into(folder) as scratch:
        paths = {hemi: scratch / f"{hemi}_predictions.npy" for hemi in result.plan.hemis}
        write_predictions(result, stimuli, paths, report=report, device=device)
        tables = {"stimuli.csv": pd.DataFrame({"row": range(len(names)), "name": names})}
        tables["vertices.csv"] = pd.concat([_vertices(result, hemi) for hemi in result.plan.hemis])
        for name, table in tables.items():
            (scratch / name).write_text(to_csv(table), "utf-8")
        about = account(result) | {"stimuli": {"n": len(stimuli), "fingerprint": stimuli.fingerprint}}
        (scratch / "spec.json").write_text(json.dumps(about, indent=1))
    return folder


def account(result: ScoreTables) -> dict[str, Any]:
    """Describe the predictions of a fit as a JSON-able dict; ``unfitted`` counts the vertices that are NaN."""
    plan = result.plan
    return {
        "key": result.key,
        "spec": plan.spec.to_dict(),
        "simulated": plan.subject.simulated,
        "units": f"those of the responses of {plan.spec.dataset}",
        "n_models": len(plan.folds),
        "n_train": [len(fold.train) for fold in plan.folds],
        "unfitted": {hemi: n for hemi, n in unfitted(plan).items() if hemi in plan.hemis},
        "provenance": dict(result.provenance),
    }


def _vertices(result: ScoreTables, hemi: str) -> Any:
    import pandas as pd

    labels, vertices = result.roi_labels(hemi), result.plan.subject.vertices
    table = {"hemi": hemi, "column": np.arange(len(labels))} | ({} if vertices is None else {"fsaverage": np.asarray(vertices[hemi])})
    return pd.DataFrame(table | {"rois": labels})


def predicted_blocks(
    result: ScoreTables, stimuli: Stimuli, *, folds: Sequence[int] = (), report: Report = silent, device: str = "auto"
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Predict as :func:`predict` does, one block of rows at a time.

    Parameters
    ----------
    folds : whose models predict, of which the mean is taken; none named means all of them.

    Yields
    ------
    rows : slice of the stimuli.
    predicted : hemisphere to (b, n_vertices) float32.
    """
    plan, store, device = result.plan, result.store, choose_device(device)
    if refusal := result.prediction_refusal():
        raise CannotPredict(f"This fit cannot predict new stimuli. {refusal}")
    new = replace(plan, subject=replace(plan.subject, stimuli=stimuli))
    check_kind(plan, new.stimuli.n_frames)
    check_tables(plan, stimuli)
    if not len(stimuli):
        raise CannotPredict("There are no stimuli to predict responses to.")
    if isinstance(result, ComposedResult):
        yield from _composed_blocks(result, stimuli, folds, report, device)
        return
    if result.has_data:
        complete(plan, store, subprogress(report, 0, 0.3), device)
    if plan.readout.uses_components:
        check_axes(result)
        if _is_large(result, len(stimuli)):
            yield from _blocks_in_memory(result, stimuli, folds, report, device)
            return
        try:
            extract_features(new, store, subprogress(report, 0.3, 0.8), device, of_dataset=False)
        except StoreReadOnly:
            yield from _blocks_in_memory(result, stimuli, folds, report, device)
            return
    n, size = len(stimuli), max(1, BLOCK_BYTES // (4 * max(1, sum(n_columns_of(plan).values()))))
    size = n if plan.spec.delays else size  # a run as a whole
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        report(0.8 + 0.2 * start / n, f"predicting: {start:,} of {n:,}")
        yield rows, _predict_rows(result, new, rows, folds)
    report(1.0, f"predicted {n:,}")


def _is_large(result: ScoreTables, n: int) -> bool:
    """Whether features of ``n`` new stimuli would take more than the feature budget; always where the fit's own were not stored."""
    plan = result.plan
    if plan.reduced_layers or plan.spec.feature_budget is None:
        return bool(plan.reduced_layers)
    n_features = max(len(result.projection(0, layers)[0]) for layers in plan.spaces)
    return 4.0 * n * plan.n_frames * n_features > 1e9 * plan.spec.feature_budget


def _blocks_in_memory(
    result: ScoreTables, stimuli: Stimuli, folds: Sequence[int], report: Report, device: str
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """The same where features cannot or should not be stored: they pass from the network to the models at once."""
    predictor, n = Predictor.of(result, device=device), len(stimuli)
    if is_given(result.plan.spec.backbone):
        yield slice(0, n), predictor(stimuli, folds=folds, report=report)
        return
    size = max(1, BLOCK_BYTES // (4 * max(1, sum(n_columns_of(result.plan).values()))))
    stimuli = stimuli.sampled(result.plan.spec.frames)
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        some = Chosen(stimuli, np.arange(rows.start, rows.stop))
        yield rows, predictor(some, folds=folds, report=subprogress(report, start / n, rows.stop / n))


def complete(plan: Plan, store: Store, report: Report, device: str) -> None:
    """Recompute components and models of a finished fit that were evicted from the Store; the result is identical."""
    uses_components = plan.readout.uses_components
    spaces = [plan.components_key(fold, layers) for fold in plan.folds for layers in plan.spaces] if uses_components else []
    models = [plan.weights_key(fold, part) for fold in plan.folds for part in plan.target_groups]
    gone = [key for key in (*spaces, *models) if store.get(key) is None]
    if not gone:
        return
    preflight(plan, store, device).check()
    if plan.extra_subjects or any(key in gone for key in spaces):
        for each_plan in (plan, *plan.extra_subjects):
            extract_features(each_plan, store, subprogress(report, 0, 0.5), device)
    for fold in plan.folds:
        Z = reduce_features(plan, fold, store, subprogress(report, 0.5, 0.7), device) if uses_components else None
        for part in plan.target_groups:
            fit_readout(plan, fold, part, Z, store, subprogress(report, 0.7, 1), device)


def _predict_rows(result: ScoreTables, new: Plan, rows: slice, folds: Sequence[int]) -> dict[str, np.ndarray]:
    """Predict a block of the new plan's stimuli: hemisphere to (b, n_vertices) float32, the mean over folds, by default all."""
    plan, columns = result.plan, every_column(result.plan)

    def predict_one(fold: int) -> dict[str, np.ndarray]:
        if plan.readout.uses_components:
            features_of = {layer: features.load(key, result.store)[rows] for layer, key in new.feature_keys.items()}
            seen = on_axes(result, fold, features_of)
        else:
            seen = inputs(new, np.arange(rows.start, rows.stop), None)
        basis_of = partial(model_and_basis, partial(result.model, fold=fold), seen)
        return predict_fold(plan.target_groups, basis_of, rows.stop - rows.start, columns)

    return mean_over_folds(folds or range(len(plan.folds)), predict_one)


def _composed_blocks(
    result: ComposedResult, stimuli: Stimuli, folds: Sequence[int], report: Report, device: str
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """The same of a composed fit: its members predict the same blocks, each fold with weights of its own."""
    folds = list(folds) or list(range(len(result.plan.folds)))
    alike = all((W[:1] == W).all() for W in result.weights.values())
    parts = [folds] if alike else [[fold] for fold in folds]
    blocks = [[predicted_blocks(member, stimuli, folds=part, device=device) for member in result.members] for part in parts]
    n = max(1, len(stimuli))
    for of_parts in zip(*(zip(*members, strict=True) for members in blocks), strict=True):
        rows = of_parts[0][0][0]

        def predict_part(part: int, of_parts: Any = of_parts, n_rows: int = rows.stop - rows.start) -> dict[str, np.ndarray]:
            return result.combine(parts[part][0], [predicted for _, predicted in of_parts[part]], n_rows)

        yield rows, mean_over_folds(range(len(parts)), predict_part)
        report(rows.stop / n, f"predicted {rows.stop:,} of {n:,} with {counted(len(result.members), 'fit')}")
