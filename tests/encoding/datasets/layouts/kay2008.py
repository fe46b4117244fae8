"""Write ``kay_images.npz`` in the layout of Neuromatch's copy of Kay et al. (2008), with planted responses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ROI_NAMES = ("Other", "V1", "V2", "V3", "V3A", "V3B", "V4", "LatOcc")


def write_kay2008(folder: Path, *, n_train: int = 24, n_test: int = 6, n_voxels: int = 16, size: int = 8, seed: int = 0) -> Path:
    """Write random images, centred on 0, and responses that follow their pixels; returns the file.

    Parameters
    ----------
    n_voxels : those of even number follow the image, the others are noise.
    size : pixels a side; the real ones have 128.
    """
    chance = np.random.default_rng(seed)
    images = chance.normal(0, 0.1, (n_train + n_test, size, size)).astype(np.float32)
    weights = chance.normal(size=(size * size, n_voxels)) * (np.arange(n_voxels) % 2 == 0)
    responses = images.reshape(len(images), -1) @ weights + 0.1 * chance.normal(size=(len(images), n_voxels))
    responses = ((responses - responses.mean(0)) / responses.std(0)).astype(np.float32)
    path = Path(folder) / "kay_images.npz"
    np.savez(
        path,
        stimuli=images[:n_train],
        stimuli_test=images[n_train:],
        responses=responses[:n_train],
        responses_test=responses[n_train:],
        roi=np.arange(n_voxels) % len(ROI_NAMES),
        roi_names=np.array(ROI_NAMES),
    )
    return path
