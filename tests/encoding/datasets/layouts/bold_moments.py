"""Write the ROI pickles of BOLD Moments, and clips, in their layout, with planted responses."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from encoding.datasets.catalogue.converters.bold_moments import ROIS, SETS, SIDES
from encoding.datasets.writers.algonauts2021 import write_clip

N_REPEATS = (3, 10)


def write_bold_moments(folder: Path, clips: Path, *, subject: str = "sub-01", n_train: int = 14, n_test: int = 6, seed: int = 0) -> Path:
    """Write grey clips to ``clips`` and responses to ``folder``, of which every first voxel follows the clip's brightness.

    ROIs have two voxels each, and MT of the right hemisphere none; the real ones have 1,000 + 102 clips.
    """
    chance, folder, clips = np.random.default_rng(seed), Path(folder), Path(clips)
    clips.mkdir(parents=True, exist_ok=True)
    greys = chance.integers(0, 256, n_train + n_test)
    for number, grey in enumerate(greys, start=1):
        write_clip([np.full((16, 16, 3), grey, np.uint8)] * 4, clips / f"{number:04d}.mp4")
    for block, side in SIDES.items():
        for roi in ROIS:
            n_voxels = 0 if (block, roi) == ("rh", "MT") else 2
            arrays = {}
            for name, n_repeats, shown in zip(SETS, N_REPEATS, (greys[:n_train], greys[n_train:]), strict=True):
                arrays[name] = chance.normal(0, 0.2, (len(shown), n_repeats, n_voxels))
                arrays[name][:, :, :1] += (shown[:, None, None] - 127.5) / 74
            with (folder / f"{subject}_roi-{side}{roi}_betas_normalized.pkl").open("wb") as file:
                pickle.dump(arrays, file)
    return folder
