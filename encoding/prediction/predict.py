"""Predictions of new stimuli from a fit that is in the Store: its own backbone, components and models, on other pictures."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets import BadData, Stimuli
from encoding.datasets._images import ImageFiles, list_images
from encoding.datasets._videos import VideoFiles, list_videos
from encoding.evaluation.splits import Fold
from encoding.features import extraction as features
from encoding.features.components import project
from encoding.fits.plan import Plan
from encoding.fits.resources import preflight
from encoding.fits.result import Result
from encoding.fits.training_data import inputs, restored, stored_components
from encoding.pipeline import SCORING_COLUMNS, extract_features, fit_readout, reduce_features
from encoding.readouts import Model
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.threads import map_in_threads
from encoding.storage.fingerprints import files_fingerprint
from encoding.storage.store import Store

BLOCK_BYTES = 128 * 2**20  # of predictions in memory at a time


class CannotPredict(ValueError):
    """A fit cannot predict what is asked of it. The message says why, and the mend."""


def stimuli_in(folder: str | Path, planned: Plan, store: Store, report: Report = silent) -> ImageFiles | VideoFiles:
    """The pictures directly in a folder in natural order; the clips for a fit of clips.

    Raises
    ------
    BadData where the folder is missing or holds none.
    """
    folder, of_clips = Path(folder).expanduser(), planned.of_clips
    listing, kind = (list_videos, VideoFiles) if of_clips else (list_images, ImageFiles)
    paths = listing(folder)
    if not paths:
        wanted = "clips (.mp4, .mov …)" if of_clips else "images (.png, .jpg …)"
        raise BadData(f"{folder} holds no {wanted}, which the fit of {planned.spec.dataset} {planned.spec.subject} predicts from.")
    return kind(paths, fingerprint=files_fingerprint(paths, store, report))


def unfitted(planned: Plan) -> dict[str, int]:
    """Hemisphere to the number of its vertices that the fit has no model of: those outside its target groups, or of a side left out."""
    fitted = dict.fromkeys(planned.subject.hemis, 0)
    for part in planned.target_groups:
        for hemi, columns in part.columns.items():
            fitted[hemi] += len(columns)
    return {hemi: planned.subject.responses[hemi].shape[1] - n for hemi, n in fitted.items()}


def predict(result: Result, stimuli: Stimuli, *, report: Report = silent, device: str = "auto") -> dict[str, np.ndarray]:
    """Predicted responses to other stimuli, in the units of the data set's responses.

    With a k-fold split it is the mean over the folds' models; otherwise the one model, of training rows alone.

    Parameters
    ----------
    stimuli : n pictures; clips for a fit of clips, of which as many frames are seen as the fit saw.

    Returns
    -------
    For each fitted hemisphere (n, n_vertices) float32, NaN where no model was fitted to a vertex.

    Raises
    ------
    CannotPredict where the stimuli are of another kind than the fit's, the components' axes were not kept, or an imported fit came
    without models that can be used here.
    """
    found = {hemi: np.empty((len(stimuli), width), np.float32) for hemi, width in _widths(result.plan).items()}
    for rows, block in predicted_blocks(result, stimuli, report=report, device=device):
        for hemi, values in block.items():
            found[hemi][rows] = values
    return found


def write_predictions(
    result: Result, stimuli: Stimuli, paths: Mapping[str, Path], *, report: Report = silent, device: str = "auto"
) -> None:
    """What :func:`predict` returns, one ``.npy`` file for each hemisphere of ``paths``; memory holds a block of rows.

    Raises
    ------
    As :func:`predict`; CannotPredict where the disk has no room, before any work.
    """
    widths = _widths(result.plan)
    n_bytes = 4 * len(stimuli) * sum(widths[hemi] for hemi in paths)
    folder = next(iter(paths.values())).parent
    if n_bytes > (free := shutil.disk_usage(folder).free):
        raise CannotPredict(f"These predictions take {n_bytes / 1e9:,.1f} GB; the disk of {folder} has {free / 1e9:,.1f} GB free.")
    with ExitStack() as stack:
        files = {hemi: stack.enter_context(path.open("wb")) for hemi, path in paths.items()}
        for hemi, file in files.items():
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (len(stimuli), widths[hemi])})
        for _, block in predicted_blocks(result, stimuli, report=report, device=device):
            for hemi, file in files.items():
                file.write(np.ascontiguousarray(block[hemi], "<f4").data)


def save_predictions(result: Result, stimuli: Stimuli, folder: str | Path, *, report: Report = silent, device: str = "auto") -> Path:
    """Write predictions of new stimuli into a folder: all of these files, or none.

    - ``<hemi>_predictions.npy``, as :func:`predict` returns them; columns are those of the data set's responses.
    - ``stimuli.csv``: row, name. ``vertices.csv``: hemi, column, fsaverage (its vertex there, where known), rois.
    - ``spec.json``: the fit, and what the numbers are.
    """
    import pandas as pd

    folder, names = Path(folder).expanduser(), stimuli.names
    if isinstance(stimuli, ImageFiles | VideoFiles):
        names = tuple(path.name for path in stimuli.paths)
    with files_into(folder) as scratch:
        paths = {hemi: scratch / f"{hemi}_predictions.npy" for hemi in result.plan.hemis}
        write_predictions(result, stimuli, paths, report=report, device=device)
        pd.DataFrame({"row": range(len(names)), "name": names}).to_csv(scratch / "stimuli.csv", index=False)
        pd.concat([_vertices(result, hemi) for hemi in result.plan.hemis]).to_csv(scratch / "vertices.csv", index=False)
        about = account(result) | {"stimuli": {"n": len(stimuli), "fingerprint": stimuli.fingerprint}}
        (scratch / "spec.json").write_text(json.dumps(about, indent=1))
    return folder


def account(result: Result) -> dict[str, Any]:
    """What predictions of this fit are, JSON-able; ``unfitted`` counts the vertices that are NaN."""
    planned = result.plan
    return {
        "key": result.key,
        "spec": planned.spec.to_dict(),
        "simulated": planned.subject.simulated,
        "units": f"those of the responses of {planned.spec.dataset}",
        "n_models": len(planned.folds),
        "n_train": [len(fold.train) for fold in planned.folds],
        "unfitted": {hemi: n for hemi, n in unfitted(planned).items() if hemi in planned.hemis},
        "provenance": dict(result.provenance),
    }


@contextmanager
def files_into(folder: Path) -> Iterator[Path]:
    """A scratch folder; once the block ends well its files are in ``folder``, in the place of older ones of the same names."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        yield scratch
        for path in sorted(path for path in scratch.rglob("*") if path.is_file()):
            target = folder / path.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _vertices(result: Result, hemi: str) -> Any:
    import pandas as pd

    labels, vertices = result.roi_labels(hemi), result.plan.subject.vertices
    table = {"hemi": hemi, "column": np.arange(len(labels))} | ({} if vertices is None else {"fsaverage": np.asarray(vertices[hemi])})
    return pd.DataFrame(table | {"rois": labels})


def _widths(planned: Plan) -> dict[str, int]:
    return {hemi: planned.subject.responses[hemi].shape[1] for hemi in planned.hemis}


def predicted_blocks(
    result: Result, stimuli: Stimuli, *, report: Report = silent, device: str = "auto"
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """What :func:`predict` returns, a block of rows after another: the rows, and each hemisphere's (b, n_vertices)."""
    planned, store, device = result.plan, result.store, choose_device(device)
    if told := planned.refusal(store):
        raise CannotPredict(f"This fit cannot predict new stimuli. {told}")
    shown = replace(planned, subject=replace(planned.subject, stimuli=stimuli))
    check_kind(planned, shown.stimuli.n_frames)
    if not len(stimuli):
        raise CannotPredict("There are no stimuli to predict responses to.")
    complete(planned, store, subprogress(report, 0, 0.3), device)
    if planned.readout.needs != "stimuli":
        check_axes(planned, store)
        extract_features(shown, store, subprogress(report, 0.3, 0.8), device)
    n, size = len(stimuli), max(1, BLOCK_BYTES // (4 * max(1, sum(_widths(planned).values()))))
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        report(0.8 + 0.2 * start / n, f"predicting: {start:,} of {n:,}")
        yield rows, _predict_rows(planned, shown, rows, store)
    report(1.0, f"predicted {n:,}")


def complete(planned: Plan, store: Store, report: Report, device: str) -> None:
    """Make again what the Store has let go of since the fit: components and models, each the same as it was."""
    looks_at_stimuli = planned.readout.needs == "stimuli"
    spaces = [] if looks_at_stimuli else [planned.components_key(fold, layers) for fold in planned.folds for layers in planned.spaces]
    models = [planned.weights_key(fold, part) for fold in planned.folds for part in planned.target_groups]
    gone = [key for key in (*spaces, *models) if store.get(key) is None]
    if not gone:
        return
    preflight(planned, store, device).check()
    if planned.extra_subjects or any(key in gone for key in spaces):
        for each_plan in (planned, *planned.extra_subjects):
            extract_features(each_plan, store, subprogress(report, 0, 0.5), device)
    for fold in planned.folds:
        Z = None if looks_at_stimuli else reduce_features(planned, fold, store, subprogress(report, 0.5, 0.7), device)
        for part in planned.target_groups:
            fit_readout(planned, fold, part, Z, store, subprogress(report, 0.7, 1), device)


def check_kind(planned: Plan, n_frames: int) -> None:
    """CannotPredict unless stimuli of so many frames are what the fit saw."""
    if n_frames != planned.stimuli.n_frames:
        counts = (planned.stimuli.n_frames, n_frames)
        seen, given = (f"{n} frames of each clip" if n > 1 else "pictures" for n in counts)
        raise CannotPredict(f"This fit of {planned.spec.dataset} saw {seen}; it cannot predict from {given}.")


def check_axes(planned: Plan, store: Store) -> None:
    """:func:`project`'s own refusal where axes were not kept, before features are extracted in vain."""
    for fold in planned.folds:
        for layers in planned.spaces:
            known = store.get(planned.components_key(fold, layers))
            if not len(known["axes"]):
                try:
                    project([], known["mean"], known["axes"])
                except ValueError as error:
                    raise CannotPredict(f"This fit cannot predict new stimuli. {error}") from error


def _predict_rows(planned: Plan, shown: Plan, rows: slice, store: Store) -> dict[str, np.ndarray]:
    """Predictions of a block of new stimuli: hemisphere to (b, n_vertices) float32, the mean over folds."""
    n_rows, needs = rows.stop - rows.start, planned.readout.needs
    found = {hemi: np.full((n_rows, width), np.nan, np.float32) for hemi, width in _widths(planned).items()}
    for number, fold in enumerate(planned.folds):
        learned = stored_components(planned, fold, store) if needs == "arrays" and planned.readout.export_refusal else None
        new = inputs(shown, np.arange(rows.start, rows.stop), None) if needs == "stimuli" else _scores(planned, shown, fold, rows, store)
        for part in planned.target_groups:
            model = restored(planned, fold, part, store, learned)
            basis = model.basis(new)
            for hemi, place in part.places().items():
                _add(found[hemi], part.columns[hemi], model, basis, place, first=number == 0)
    for values in found.values():
        values /= len(planned.folds)
    return found


def _add(found: np.ndarray, columns: np.ndarray, model: Model, basis: Any, place: slice, *, first: bool) -> None:
    """Put a model's predictions in their columns, or add them to those of other folds; a block of vertices a core."""

    def work(start: int) -> None:
        here = columns[start : start + SCORING_COLUMNS]
        predicted = model.predict_from(basis, slice(place.start + start, place.start + start + len(here)))
        found[:, here] = predicted if first else found[:, here] + predicted

    map_in_threads(work, range(0, len(columns), SCORING_COLUMNS), device="cpu")


def _scores(planned: Plan, shown: Plan, fold: Fold, rows: slice, store: Store) -> np.ndarray:
    """(b, k) float32, new stimuli on a fold's axes, from their features in the Store."""
    return on_axes(planned, fold, {layer: features.load(key, store)[rows] for layer, key in shown.feature_keys.items()}, store)


def on_axes(planned: Plan, fold: Fold, found: Mapping[str, np.ndarray], store: Store) -> np.ndarray:
    """Layer to features (b, n_features) of b stimuli -> (b, k) float32 on a fold's axes; spaces side by side, and so a clip's frames."""
    made = []
    for layers in planned.spaces:
        known = store.get(planned.components_key(fold, layers))
        frames = [found[layer].reshape(len(found[layer]) * planned.n_frames, -1) for layer in layers]
        made.append(project(frames, known["mean"], known["axes"]).reshape(len(found[layers[0]]), -1))
    return made[0] if len(made) == 1 else np.concatenate(made, axis=1)
