"""Convert the response pickles of Algonauts 2021: validation, average over repetitions, and the noise ceiling of that average."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._pickles import DAMAGED, StoredArray, as_array, as_text, load_plain
from encoding.evaluation.noise_ceiling import from_repeats
from encoding.runtime.progress import Report, silent

VERSION = 1  # raised when a file gives other numbers
VOLUME = (78, 93, 71)  # voxels of the full track's mask
AFFINE = np.array([[2.5, 0, 0, -96.5], [0, 2.5, 0, -132.5], [0, 0, 2.75, -78.5], [0, 0, 0, 1]])  # to millimetres in MNI space
AGAIN = "Copy this file again from the original data set."


def convert(files: Mapping[str, Path], report: Report = silent) -> dict[str, np.ndarray]:
    """The files of one track side by side, in their order.

    Parameters
    ----------
    files : the nine ROIs of the mini track, or ``WB`` of the full track. One is in memory at a time.

    Returns
    -------
    responses : (n_clips, n_voxels) float32, the mean over repetitions.
    ceiling : (n_voxels,) float32 in 0 … 1, of that mean (:func:`encoding.evaluation.noise_ceiling.from_repeats`).
    edges : (n_files + 1,) int64, where each file's columns begin; the last is n_voxels.
    voxels : (n_voxels,) int64, each column's flat index in :data:`VOLUME`; empty for the mini track, whose voxels have no known place.

    Raises
    ------
    BadData where a file is missing, damaged, hostile or contradicts another.
    """
    averages, ceilings, voxels = [], [], np.zeros(0, np.int64)
    for number, (roi, path) in enumerate(files.items()):
        report(number / len(files), f"Reading {path.name}: averaging repetitions")
        average, ceiling, voxels = _read(path, with_mask=roi == "WB")
        if averages and len(average) != len(averages[0]):
            raise BadData(
                f"{path} has {len(average):,} clips, the files before it {len(averages[0]):,}. They belong together: copy all again."
            )
        averages.append(average)
        ceilings.append(ceiling)
    edges = np.cumsum([0, *(block.shape[1] for block in averages)])
    return {"responses": np.hstack(averages), "ceiling": np.concatenate(ceilings), "edges": edges, "voxels": voxels}


def _read(path: Path, *, with_mask: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The average over repetitions, its ceiling and, with a mask, the voxels of one file."""
    arrays = read_arrays(path)
    repeats = _repeats(arrays, path)
    average = repeats.mean(axis=1, dtype=np.float64).astype(np.float32)
    if not np.isfinite(average).all():
        raise BadData(f"{path} holds NaN or infinite responses. {AGAIN}")
    voxels = _voxels(arrays, path, repeats.shape[2]) if with_mask else np.zeros(0, np.int64)
    return average, from_repeats(repeats), voxels


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the numeric arrays of a pickled dict by name, read-only, from any Python version's pickle, without executing it.

    Raises
    ------
    BadData where the file is missing or damaged, holds no dict, or refers to anything but numpy arrays and plain containers.
    """
    if not path.exists():
        raise BadData(f"{path} is missing. {AGAIN}")
    try:
        arrays = load_plain(path, what="a file of responses")
        if type(arrays) is not dict:
            raise ValueError(f"it holds {type(arrays).__name__} where a dict of arrays belongs")
        return {str(as_text(name)): as_array(values) for name, values in arrays.items() if isinstance(values, StoredArray)}
    except DAMAGED as error:
        raise BadData(f"{path} is refused, and nothing in it was run: {error or 'it is cut short'}. {AGAIN}") from error


def _repeats(arrays: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    repeats = _named("train", arrays, path)
    if repeats.ndim != 3 or min(repeats.shape[:2]) < 2 or repeats.dtype.kind != "f":
        raise BadData(
            f"{path}: train holds {repeats.dtype} of shape {repeats.shape} where numbers (n_clips, n_repetitions, n_voxels) belong, "
            f"with at least two of the first two. {AGAIN}"
        )
    return repeats


def _voxels(arrays: Mapping[str, np.ndarray], path: Path, n_voxels: int) -> np.ndarray:
    mask = _named("voxel_mask", arrays, path)
    if mask.shape != VOLUME or not np.isin(mask, (0, 1)).all():
        raise BadData(f"{path}: voxel_mask has shape {mask.shape} where zeros and ones {VOLUME} belong. {AGAIN}")
    voxels = np.flatnonzero(mask == 1)
    if len(voxels) != n_voxels:
        raise BadData(f"{path}: voxel_mask marks {len(voxels):,} voxels, but train has {n_voxels:,}. {AGAIN}")
    return voxels


def _named(name: str, arrays: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    if name not in arrays:
        raise BadData(f"{path} holds no array {name!r}; it has {', '.join(sorted(arrays)) or 'none'}. {AGAIN}")
    return arrays[name]
