"""Write files in the layout of Algonauts 2025: an h5 of segments for each kind of film, an atlas, numbers of test samples; planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets.catalogue.converters.algonauts2025 import N_PARCELS, TR
from encoding.datasets.simulation.films import hrf

MOVIE10 = ("bourne01", "bourne02", "wolf01", "wolf02", "life01", "life02", "figures01", "figures02")
TWICE = ("life", "figures")


def write_algonauts2025(
    folder: Path, *, subject: str = "sub-01", n_samples: int = 40, n_features: int = 3, n_driven: int = 50, seed: int = 0
) -> dict[str, np.ndarray]:
    """Write ``<subject>_movie10.h5`` and ``atlas.nii.gz``: the first parcels follow the features of each stretch of film, with an HRF.

    Parameters
    ----------
    n_samples : of the first segment; each further one has one more, and a second showing one sample more than the first.
    n_driven : parcels that follow the film; the others are noise.

    Returns
    -------
    Segment of film to its features (n, n_features), one sample longer than any showing.
    """
    import h5py
    import nibabel

    chance = np.random.default_rng(seed)
    weights = np.random.default_rng(99).normal(size=(n_features, n_driven))  # the same of all subjects
    features = {}
    with h5py.File(folder / f"{subject}_movie10.h5", "w") as file:
        for place, task in enumerate(MOVIE10):
            n, again = n_samples + place, task.startswith(TWICE)
            features[task] = np.random.default_rng(place).normal(size=(n + 2, n_features)).astype(np.float32)
            for run in range(1, 2 + again):
                length = n + run - 1
                lagged = np.stack([np.convolve(column, hrf(TR))[:length] for column in features[task].T], axis=1)
                Y = chance.normal(size=(length, N_PARCELS))
                Y[:, :n_driven] += 2 * lagged @ weights / np.std(lagged @ weights)
                name = f"ses-{place + 1:03d}_task-{task}" + (f"_run-{run}" if again else "")
                file[name] = Y.astype(np.float32)
    labels = np.zeros((97, 115, 97), np.int16)
    block = labels[10:88, 15:100, 15:85]
    block[...] = (np.arange(block.size).reshape(block.shape) * N_PARCELS // block.size) + 1
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -96, -132, -78
    image = nibabel.Nifti1Image(labels, affine)
    image.set_sform(affine, 4)
    nibabel.save(image, folder / "atlas.nii.gz")
    return features


def write_sample_numbers(path: Path, numbers: dict[str, int]) -> Path:
    """Write how many samples of each test segment are asked for, as the challenge does: a pickled dictionary in an ``.npy``."""
    np.save(path, np.array(numbers, dtype=object), allow_pickle=True)
    return path
