"""Write the HDF5 files of the Gallant lab's short clips in their layout, with planted responses and few voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets._base import FSAVERAGE_VERTICES
from encoding.datasets.catalogue.converters.shortclips import MAP, ROI, SPACES

N_RUNS = 12


def write_shortclips(
    folder: Path, *, subject: str = "S01", n_samples: int = 25, n_test: int = 60, n_repeats: int = 10, n_voxels: int = 6, seed: int = 0
) -> Path:
    """Write responses, features and the mapper; the first half of the voxels, "V1", follow WordNet two samples later, one has no number.

    Parameters
    ----------
    n_samples : of each of 12 training runs; the real ones have 300. n_test : of the test run; the real one has 270.
    """
    import h5py

    chance, folder = np.random.default_rng(seed), Path(folder)
    n_rows = N_RUNS * n_samples
    features = {space: chance.normal(size=(n_rows + n_test, 3 + place)).astype("f4") for place, space in enumerate(SPACES)}
    weights = chance.normal(size=(3, n_voxels)) * (np.arange(n_voxels) < n_voxels // 2)
    driven = np.zeros((n_rows + n_test, n_voxels))
    for start, stop in [*((run * n_samples, (run + 1) * n_samples) for run in range(N_RUNS)), (n_rows, n_rows + n_test)]:
        driven[start + 2 : stop] = features["wordnet"][start : stop - 2] @ weights
    with h5py.File(folder / f"{subject}_responses.hdf", "w") as file:
        train = driven[:n_rows] + 0.5 * chance.normal(size=(n_rows, n_voxels))
        train[:, -1] = np.nan
        file["Y_train"], file["run_onsets"] = train.astype("f4"), np.arange(N_RUNS) * n_samples
        file["Y_test"] = (driven[n_rows:] + chance.normal(size=(n_repeats, n_test, n_voxels))).astype("f4")
    for space, values in features.items():
        with h5py.File(folder / f"{space}.hdf", "w") as file:
            file["X_train"], file["X_test"], file["run_onsets"] = values[:n_rows], values[n_rows:], np.arange(N_RUNS) * n_samples
    with h5py.File(folder / f"{subject}_mappers.hdf", "w") as file:
        indptr = np.zeros(2 * FSAVERAGE_VERTICES + 1, "i4")  # vertices 5 of the left and 7 of the right hemisphere have voxels
        indptr[6:] = 2
        indptr[FSAVERAGE_VERTICES + 8 :] = 3
        parts = {"data": np.array([0.2, 0.8, 1.0]), "indices": np.array([0, 1, 2], "i4"), "indptr": indptr}
        for part, values in (parts | {"shape": np.array([2 * FSAVERAGE_VERTICES, n_voxels])}).items():
            file[f"{MAP}_{part}"] = values
        file[f"{ROI}V1"] = np.arange(n_voxels) < n_voxels // 2
        file["flatmap_mask"] = np.ones((4, 3), bool)
    return folder
