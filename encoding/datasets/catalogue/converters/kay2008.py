"""Convert ``kay_images.npz`` of Neuromatch: greyscale photographs and responses of one person's visual cortex."""

from __future__ import annotations

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets.catalogue.converters._parts import NpzArrays, save_grey, write_labels
from encoding.datasets.catalogue.fetch import Conversion, Converted
from encoding.runtime.progress import subprogress
from encoding.storage.npy import NpyWriter

FILE = "kay_images.npz"
SETS = (("stimuli", "responses"), ("stimuli_test", "responses_test"))
N_VOXELS = 8428
KNOWN = {"V1": 1294, "V2": 2083, "V3": 1790, "V3A": 484, "V3B": 314, "V4": 1535, "LatOcc": 928}


def convert(work: Conversion) -> Converted:
    """Write 8-bit images, those of the test set last, float32 responses, and ROI labels; the split is that of the experiment.

    Images are centred numbers; all are scaled by one common range, so that differences of contrast stay.
    """
    with NpzArrays(work.file(FILE)) as arrays:
        shapes = {name: arrays.header(name)[0] for pair in SETS for name in pair}
        n_train, n_test = (shapes[stimuli][0] for stimuli, _ in SETS)
        n_voxels = shapes["responses"][-1]
        expected = {"stimuli": 3, "stimuli_test": 3, "responses": 2, "responses_test": 2}
        if any(len(shapes[name]) != n_axes for name, n_axes in expected.items()) or any(
            shapes[stimuli][0] != shapes[responses][0] or shapes[responses][1] != n_voxels for stimuli, responses in SETS
        ):
            raise BadData(f"{FILE} has arrays that do not fit each other: {shapes}.")
        regions = write_labels(work.folder / "areas.npy", read_regions(arrays, n_voxels))
        low, high = _range(arrays)
        images = work.folder / "images"
        images.mkdir()
        n_done, n_all = 0, n_train + n_test
        progress = subprogress(work.report, 0, 0.9)
        for (stimuli, _), kind in zip(SETS, ("train", "test"), strict=True):
            number = 0
            for block in arrays.blocks(stimuli):
                for image in block:
                    number += 1
                    save_grey(image, images / f"{n_done + 1:04d}_{kind}-{number:04d}.png", low, high)
                    n_done += 1
                progress(n_done / n_all, f"writing images: {n_done:,} of {n_all:,}")
        with NpyWriter(work.folder / "responses.npy", (n_all, n_voxels)) as writer:
            for _, responses in SETS:
                for block in arrays.blocks(responses, 256):
                    writer.write(block)
    work.report(1.0, "responses are written")
    return {"stimuli": {"folder": "./images"}, "responses": "./responses.npy", "rois": {"areas": regions}}, f"first:{n_train}"


def read_regions(arrays: NpzArrays, n_voxels: int) -> dict[str, np.ndarray]:
    """Masks of the ROIs that have voxels.

    Raises
    ------
    BadData where labels and names do not fit, or the real file's 8,428 voxels have other counts than were published with them.
    """
    labels, names = arrays.whole("roi").ravel(), [str(name) for name in arrays.whole("roi_names").ravel()]
    if len(labels) != n_voxels or labels.min() < 0 or labels.max() >= len(names):
        raise BadData(f"{FILE} has labels {labels.min()} to {labels.max()} of {len(labels):,} voxels, and {len(names)} names of ROIs.")
    masks = {name: labels == label for label, name in enumerate(names) if name != "Other" and (labels == label).any()}
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    if n_voxels == N_VOXELS and counts != KNOWN:
        raise BadData(f"{FILE} has ROIs of {counts} voxels, where {KNOWN} were published.")
    return masks


def _range(arrays: NpzArrays) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for stimuli, _ in SETS:
        for block in arrays.blocks(stimuli):
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    if not low < high or not np.isfinite([low, high]).all():
        raise BadData(f"{FILE} holds images between {low} and {high}, which is no range of greys.")
    return low, high
