"""Convert THINGS-fMRI: betas of single trials as a table that pandas wrote, a row for each voxel, with tables of trials and voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from encoding.datasets._base import BadData
from encoding.datasets._images import SUFFIXES
from encoding.datasets.catalogue.fetch import Conversion, Converted
from encoding.runtime.progress import subprogress
from encoding.storage.archives import unpack

ARCHIVE, GROUP = "betas_csv.zip", "ResponseData"
NO_ROIS = ("voxel", "subject", "nc_", "splithalf", "prf-", "glasser-")  # columns of voxels that are no masks of regions
CEILING = "nc_testset"  # percent of the variance of the mean over the repeats of a test photograph
AT_ONCE = 512  # voxels that are read together: 40 MB
MAX_BYTES = 40 * 10**9


def convert(work: Conversion) -> Converted:
    """Write one row for each training photograph and the mean over the repeats of each test photograph, for voxels of any region.

    Photographs stay where the user has them, and are found there by their names.
    """
    unpacked = work.folder / "unpacked"
    unpack(
        work.file(ARCHIVE),
        unpacked,
        wanted=lambda name: Path(name).name.startswith(f"{work.subject}_"),
        max_bytes=MAX_BYTES,
        report=subprogress(work.report, 0, 0.4),
    )
    trials, voxels = (_read_table(unpacked, f"{work.subject}_{what}Metadata.csv") for what in ("Stimulus", "Voxel"))
    rows = read_rows(trials)
    regions = {name: np.asarray(voxels[name]) > 0 for name in voxels if _is_mask(name, voxels[name])}
    if not regions or CEILING not in voxels:
        raise BadData(f"{work.subject}_VoxelMetadata.csv has the columns {', '.join(map(str, voxels.columns[:8]))} …, and no regions.")
    kept = np.any(list(regions.values()), axis=0)
    _write_responses(_find(unpacked, f"{work.subject}_ResponseData.h5"), rows, len(trials), kept, work)
    rois = {}
    for name, mask in regions.items():
        file = f"roi_{name.replace(' ', '').replace('(', '_').replace(')', '')}.npy"
        np.save(work.folder / file, mask[kept])
        rois[name] = f"./{file}"
    np.save(work.folder / "ceiling.npy", np.clip(np.nan_to_num(np.asarray(voxels[CEILING], float)[kept]), 0, 100))
    _list_photographs(work, [str(trials["stimulus"].iloc[each[0]]) for each in rows])
    for path in sorted(unpacked.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    unpacked.rmdir()
    n_train = sum(str(trials["trial_type"].iloc[each[0]]) == "train" for each in rows)
    table = {"stimuli": {"files": "./stimuli.txt"}, "responses": "./responses.npy", "rois": rois}
    return table | {"ceiling": "./ceiling.npy", "ceiling_unit": "percent"}, f"first:{n_train}"


def read_rows(trials: pd.DataFrame) -> list[np.ndarray]:
    """Numbers of the trials of each row: a training photograph's, then the repeats of each test photograph.

    Raises
    ------
    BadData where the table has other columns, or no trials of one kind.
    """
    if missing := {"trial_type", "stimulus"} - set(trials):
        raise BadData(f"StimulusMetadata.csv has no column {sorted(missing)[0]}; it has {', '.join(map(str, trials.columns))}.")
    kinds, rows = trials["trial_type"].to_numpy(), []
    for kind in ("train", "test"):
        of_kind = np.flatnonzero(kinds == kind)
        names = trials["stimulus"].to_numpy()[of_kind]
        rows += [of_kind[names == name] for name in dict.fromkeys(names)] if kind == "test" else [np.array([place]) for place in of_kind]
        if not len(of_kind):
            raise BadData(f"StimulusMetadata.csv names no trial of the type {kind}; it names {', '.join(map(str, set(kinds)))}.")
    return rows


def _write_responses(path: Path, rows: list[np.ndarray], n_trials: int, kept: np.ndarray, work: Conversion) -> None:
    """Write (n_rows, n_kept) float32, voxels by blocks as they lie in the file."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            shapes = {name: each.shape for name, each in file[GROUP].items() if name.startswith("block") and name.endswith("_values")}
            name = next((name for name, shape in shapes.items() if shape == (len(kept), n_trials)), None)
            if name is None:
                raise BadData(f"{path.name} holds {shapes}, where ({len(kept):,}, {n_trials:,}) betas of voxels and trials are expected.")
            order = trial_order(file[GROUP][name.replace("values", "items")][:].tolist())
            responses = np.lib.format.open_memmap(work.folder / "responses.npy", "w+", np.float32, (len(rows), int(kept.sum())))
            done = 0
            for start in range(0, len(kept), AT_ONCE):
                here = kept[start : start + AT_ONCE]
                if here.any():
                    betas = file[GROUP][name][start : start + AT_ONCE][here][:, order]
                    means = np.stack([betas[:, each].mean(axis=1, dtype=np.float64) for each in rows])
                    responses[:, done : done + here.sum()] = np.nan_to_num(means)
                    done += int(here.sum())
                work.report(0.4 + 0.6 * start / len(kept), f"betas of {work.subject}")
            responses.flush()
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, BadData):
            raise
        raise BadData(f"{path.name} is no table of betas as pandas writes it ({type(error).__name__}: {error}).") from error


def trial_order(names: list[bytes | str | int]) -> np.ndarray:
    """Column of each trial, (n_trials,) int64: by the columns' names where these are the numbers of trials, else as they lie.

    Examples
    --------
    >>> trial_order([b"2", b"0", b"1"]).tolist(), trial_order([b"beta", b"beta2"]).tolist()
    ([1, 2, 0], [0, 1])
    """
    as_they_lie = np.arange(len(names))
    numbers = np.array([int(name) if isinstance(name, int) or name.isdigit() else -1 for name in names])
    return np.argsort(numbers) if np.array_equal(np.sort(numbers), as_they_lie) else as_they_lie


def _list_photographs(work: Conversion, names: list[str]) -> None:
    """Write the path of each row's photograph; BadData where the user's folder lacks one."""
    there = {path.name: path.absolute() for path in sorted(work.stimuli.rglob("*")) if path.suffix.lower() in SUFFIXES}
    if missing := [name for name in names if name not in there]:
        raise BadData(f"{work.stimuli} lacks {len(missing):,} of {len(names):,} photographs, the first {missing[0]}.")
    (work.folder / "stimuli.txt").write_text("".join(f"{there[name]}\n" for name in names), encoding="utf-8")


def _read_table(folder: Path, name: str) -> pd.DataFrame:
    path = _find(folder, name)
    try:
        return pd.read_csv(path)
    except ValueError as error:
        raise BadData(f"{name} is no table ({error}).") from error


def _is_mask(name: str, values: pd.Series) -> bool:
    """Whether a column of voxels marks those of a region."""
    return not str(name).startswith(NO_ROIS) and values.dtype.kind in "biuf" and set(values.unique()) <= {0, 1} and bool((values > 0).any())


def _find(folder: Path, name: str) -> Path:
    found = next(folder.rglob(name), None)
    if found is None:
        raise BadData(f"{ARCHIVE} holds no {name}.")
    return found
