"""Convert ``miyawaki2008.tgz``, which nilearn's ``fetch_miyawaki2008`` reads: patterns of 10 x 10 patches, volumes of visual cortex."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from encoding.datasets._base import BadData
from encoding.datasets.catalogue.fetch import Conversion, Converted
from encoding.storage.archives import unpack
from encoding.storage.npy import NpyWriter

ARCHIVE = "miyawaki2008.tgz"
RUNS = {"random": 20, "figure": 12}
SHIFT = 2  # volumes of 2 s between a stimulus and its response, as in nilearn's example
SIDE, PATCH = 10, 8  # patches a side, pixels a patch
AREAS = ("V1d", "V1v", "V2d", "V2v", "V3", "VP", "V3A", "V4v")


def convert(work: Conversion) -> Converted:
    """Write one row for each volume under a pattern: runs of random patterns first, then those of figures.

    Volumes are those of the mask, in C order, detrended and z-scored within each run, and taken :data:`SHIFT` volumes after the pattern;
    rest is left out. Rows of a run, and of runs that share a pattern, stay on one side of every split.
    """
    import nibabel

    unpacked = work.folder / "unpacked"
    unpack(work.file(ARCHIVE), unpacked, wanted=lambda name: name.endswith((".nii.gz", ".csv")), max_bytes=3 * 10**9)
    mask = np.asarray(nibabel.load(find(unpacked, "mask/mask.nii.gz")).dataobj).squeeze() > 0
    runs = [(kind, number) for kind, n_runs in RUNS.items() for number in range(1, n_runs + 1)]
    patterns, run_of_row, n_random = [], [], 0
    for place, (kind, number) in enumerate(runs):
        shown = read_patterns(find(unpacked, f"label/data_{kind}_run{number:02d}_label.csv"))
        kept = shown[:-SHIFT][(shown[:-SHIFT] >= 0).all(1)]
        patterns.append(kept)
        run_of_row += [place] * len(kept)
        n_random += len(kept) * (kind == "random")
    every = np.concatenate(patterns)
    unique, first, row_image = np.unique(every, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # images in the order in which they were first shown
    row_image = np.argsort(order)[row_image.ravel()]
    _write_images(unique[order], work.folder / "images")
    np.save(work.folder / "repeats.npy", row_image)
    groups = linked_groups(np.array(run_of_row), row_image)
    np.save(work.folder / "groups.npy", groups)
    with NpyWriter(work.folder / "responses.npy", (len(every), int(mask.sum()))) as writer:
        for place, (kind, number) in enumerate(runs):
            writer.write(_read_run(unpacked, kind, number, mask))
            work.report((place + 1) / len(runs), f"run {place + 1} of {len(runs)}")
    rois = {area: _write_roi(unpacked, area, mask, work.folder) for area in AREAS}
    for path in sorted(unpacked.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    unpacked.rmdir()
    table = {"stimuli": {"folder": "./images"}, "responses": "./responses.npy", "repeats": "./repeats.npy", "groups": "./groups.npy"}
    return table | {"rois": rois}, f"first:{len(np.unique(groups[:n_random]))}"  # a split counts groups


def find(folder: Path, name: str) -> Path:
    """A file of the archive, whatever folder it is packed in; BadData where it is missing."""
    found = [path for path in folder.rglob(Path(name).name) if path.as_posix().endswith(f"/{name}")]
    if not found:
        raise BadData(f"{ARCHIVE} holds no {name}.")
    return found[0]


def read_patterns(path: Path) -> np.ndarray:
    """Patterns of a run, (n_volumes, 100) int; negative where nothing was shown."""
    try:
        shown = np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise BadData(f"{path.name} is no table of numbers ({error}).") from error
    if shown.shape[1] != SIDE * SIDE:
        raise BadData(f"{path.name} has {shown.shape[1]} columns, where {SIDE * SIDE} patches are expected.")
    return shown.astype(int)


def linked_groups(runs: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Group of each row: rows of one run, and all runs that share an image, are one group; (n_rows,) int64.

    >>> linked_groups(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 2, 3])).tolist()
    [0, 0, 0, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_runs = int(runs.max()) + 1
    n_nodes = n_runs + int(images.max()) + 1
    edges = coo_array((np.ones(len(runs)), (runs, n_runs + images)), shape=(n_nodes, n_nodes))
    return connected_components(edges, directed=False)[1][runs].astype(np.int64)


def _read_run(unpacked: Path, kind: str, number: int, mask: np.ndarray) -> np.ndarray:
    """Responses to the patterns of a run, (n_rows, n_voxels) float32."""
    import nibabel
    from scipy.signal import detrend

    path = find(unpacked, f"func/data_{kind}_run{number:02d}.nii.gz")
    shown = read_patterns(find(unpacked, f"label/data_{kind}_run{number:02d}_label.csv"))
    volumes = np.asarray(nibabel.load(path).dataobj)
    if volumes.shape != (*mask.shape, len(shown)):
        raise BadData(f"{path.name} has shape {volumes.shape}, where {(*mask.shape, len(shown))} is expected by the mask and the labels.")
    series = detrend(volumes[mask].T.astype(np.float64), axis=0)
    spread = series.std(0)
    series = (series - series.mean(0)) / np.where(spread > 0, spread, 1)
    return series[SHIFT:][(shown[:-SHIFT] >= 0).all(1)].astype(np.float32)


def _write_images(patterns: np.ndarray, folder: Path) -> None:
    """Patterns as black and white images; columns of patches come first in a row of labels (Fortran order)."""
    folder.mkdir()
    for number, pattern in enumerate(patterns, start=1):
        squares = (255 * (pattern.reshape(SIDE, SIDE, order="F") > 0)).astype(np.uint8)
        Image.fromarray(np.kron(squares, np.ones((PATCH, PATCH), np.uint8)), "L").save(folder / f"{number:04d}.png")


def _write_roi(unpacked: Path, area: str, mask: np.ndarray, folder: Path) -> str:
    import nibabel

    inside = np.zeros(mask.shape, bool)
    for side in ("LH", "RH"):
        inside |= np.asarray(nibabel.load(find(unpacked, f"mask/{side}{area}.nii.gz")).dataobj).reshape(mask.shape) > 0
    np.save(folder / f"{area}.npy", inside[mask])
    return f"./{area}.npy"
