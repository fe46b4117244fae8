"""Convert the Gallant lab's short clips: runs of samples, feature spaces as tables, a map of voxels to fsaverage."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets._base import FSAVERAGE5_VERTICES, FSAVERAGE_VERTICES, BadData
from encoding.datasets.catalogue.fetch import Conversion, Converted
from encoding.datasets.own.array_files import ArrayFile, member_shapes, open_array
from encoding.datasets.own.feature_tables import FOLDER
from encoding.evaluation.noise_ceiling import from_repeats
from encoding.storage.atomic import atomic_file
from encoding.storage.npy import NpyWriter

TR = 2.0
SPACES = ("wordnet", "motion_energy")
MAP = "voxel_to_fsaverage"  # a CSR matrix (n_vertices, n_voxels), left hemisphere first, as four arrays
ROI = "roi_mask_"
AT_ONCE, ROWS = 4_096, 128  # voxels, and rows, that are in memory together


def convert(work: Conversion) -> Converted:
    """Write the training runs and, as one run more, the mean of the repeats of the test run; NaN of voxels that were not measured are 0.

    Ceilings are the reliability of that mean. A vertex of fsaverage5 shows the voxel of the largest weight.
    """
    path = work.file(f"{work.subject}_responses.hdf")
    train, test = (open_array(Path(f"{path}:{name}")) for name in ("Y_train", "Y_test"))
    onsets = np.asarray(open_array(Path(f"{path}:run_onsets"))).astype(int)
    repeats = test.shape[0] if test.ndim == 3 else 1
    if train.ndim != 2 or test.ndim not in (2, 3) or test.shape[-1] != train.shape[1] or onsets[:1].tolist() != [0]:
        raise BadData(f"{path.name} has Y_train {train.shape}, Y_test {test.shape} and runs that begin at {onsets[:3].tolist()}.")
    n_train, n_test, n_voxels = train.shape[0], test.shape[-2], train.shape[1]
    with NpyWriter(work.folder / "responses.npy", (n_train + n_test, n_voxels)) as writer:
        for start in range(0, n_train, ROWS):
            writer.write(np.nan_to_num(np.asarray(train[start : min(start + ROWS, n_train),], np.float32)))
            work.report(0.6 * start / n_train, f"training samples of {work.subject}")
        for start in range(0, n_test, ROWS):
            writer.write(np.nan_to_num(_mean(test, slice(start, min(start + ROWS, n_test)))))
    runs = np.append(np.searchsorted(onsets, np.arange(n_train), side="right") - 1, np.full(n_test, len(onsets)))
    np.save(work.folder / "runs.npy", runs)
    for space in SPACES:
        _write_features(work, space, n_train, n_test)
    labels, rois = _read_mapper(work.file(f"{work.subject}_mappers.hdf"), n_voxels, work.folder)
    table = {
        "time": {"tr": TR, "runs": "./runs.npy"},
        "stimuli": {"names": "./samples.txt"},
        "responses": "./responses.npy",
        "vertices": {"parcels": labels},
        "rois": rois,
    }
    places = np.arange(len(runs)) - np.searchsorted(runs, runs)
    names = [f"{'test' if run == len(onsets) else f'train_{run:02d}'}/{place:05d}" for run, place in zip(runs, places, strict=True)]
    (work.folder / "samples.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    if repeats > 1:
        work.report(0.8, "noise ceilings from the repeats of the test run")
        np.save(work.folder / "ceiling.npy", _ceiling(test))
        table |= {"ceiling": "./ceiling.npy", "ceiling_unit": "fraction"}
    return table, f"first:{len(onsets)}"


def _mean(test: ArrayFile, rows: slice) -> np.ndarray:
    """Mean over repeats of some samples of the test run, (n, n_voxels) float32."""
    return np.asarray(test[rows,] if test.ndim == 2 else np.mean(test[:, rows], axis=0, dtype=np.float64), np.float32)


def _ceiling(test: ArrayFile) -> np.ndarray:
    """Reliability of the mean over repeats, (n_voxels,) float32."""
    parts = []
    for start in range(0, test.shape[2], AT_ONCE):
        block = np.nan_to_num(np.asarray(test[:, :, start : start + AT_ONCE], np.float32))
        parts.append(from_repeats(np.moveaxis(block, 0, 1)))
    return np.concatenate(parts)


def _write_features(work: Conversion, space: str, n_train: int, n_test: int) -> None:
    """A feature space of all subjects as a table with a row for each sample."""
    path, target = work.file(f"{space}.hdf"), work.root / FOLDER / f"{space}.npy"
    parts = [np.asarray(open_array(Path(f"{path}:{name}")), np.float32) for name in ("X_train", "X_test")]
    if [len(part) for part in parts] != [n_train, n_test]:
        raise BadData(f"{path.name} has {len(parts[0]):,} + {len(parts[1]):,} rows, and there are {n_train:,} + {n_test:,} samples.")
    target.parent.mkdir(exist_ok=True)
    with atomic_file(target, "wb") as file:
        np.save(file, np.nan_to_num(np.concatenate(parts)))


def _read_mapper(path: Path, n_voxels: int, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Save which voxel each vertex of fsaverage5 shows, as labels (column + 1; 0 for none), and masks of ROIs; return their paths.

    Raises
    ------
    BadData where the map is of another number of vertices or voxels.
    """
    data, indices, indptr, shape = (np.asarray(open_array(Path(f"{path}:{MAP}_{part}"))) for part in ("data", "indices", "indptr", "shape"))
    if shape.tolist() != [2 * FSAVERAGE_VERTICES, n_voxels] or len(indptr) != shape[0] + 1:
        raise BadData(f"{path.name} maps {shape.tolist()} vertices and voxels; {[2 * FSAVERAGE_VERTICES, n_voxels]} are expected.")
    labels, rois = {}, {}
    for hemi, first in (("lh", 0), ("rh", FSAVERAGE_VERTICES)):
        of_vertex = np.zeros(FSAVERAGE5_VERTICES, np.int32)
        for vertex in range(FSAVERAGE5_VERTICES):
            part = slice(indptr[first + vertex], indptr[first + vertex + 1])
            if part.start < part.stop:
                of_vertex[vertex] = indices[part][np.argmax(data[part])] + 1
        np.save(folder / f"{hemi}_voxels.npy", of_vertex)
        labels[hemi] = f"./{hemi}_voxels.npy"
    for member in member_shapes(path):
        if member.startswith(ROI):
            name = member.removeprefix(ROI)
            np.save(folder / f"roi_{name}.npy", np.asarray(open_array(Path(f"{path}:{member}"))).astype(bool))
            rois[name] = f"./roi_{name}.npy"
    return labels, rois
