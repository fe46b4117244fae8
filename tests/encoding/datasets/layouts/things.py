"""Write the archive of THINGS-fMRI's betas in its layout, and photographs, with planted responses."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from encoding.datasets.catalogue.converters.things import ARCHIVE, GROUP
from encoding.runtime.csv import to_csv


def write_things(
    folder: Path, images: Path, *, subject: str = "sub-01", n_train: int = 24, n_test: int = 6, n_repeats: int = 12, seed: int = 0
) -> Path:
    """Write ``betas_csv.zip`` to ``folder`` and photographs of one colour to ``images``, an object a folder.

    Eight voxels: the first three, "V1", follow the red of the photograph, the next two, "IT" and FFA, are noise, and the others are of no
    region. Columns of the table are trials in no order, as their names say which they are. The real ones are 8,640 + 100 photographs.
    """
    import h5py

    chance, folder, n_voxels = np.random.default_rng(seed), Path(folder), 8
    colours = chance.integers(0, 256, (n_train + n_test, 3))
    names = [f"object{i // 3}_{i:02d}s.jpg" for i in range(len(colours))]
    for i, name in enumerate(names):
        path = Path(images) / f"object{i // 3}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), tuple(map(int, colours[i]))).save(path, quality=95)
    shown = chance.permutation(np.concatenate([np.arange(n_train), np.repeat(np.arange(n_train, n_train + n_test), n_repeats)]))
    trials = pd.DataFrame({"trial_type": np.where(shown < n_train, "train", "test"), "session": 1, "stimulus": [names[i] for i in shown]})
    betas = chance.normal(0, 0.2, (n_voxels, len(shown)))
    betas[:3] += (colours[shown, 0] - 127.5) / 74
    regions = {"V1": [1, 1, 1, 0, 0, 0, 0, 0], "IT": [0, 0, 0, 1, 0, 0, 0, 0], "LO1 (prf)": [0, 1, 0, 0, 1, 0, 0, 0]}
    numbers = {"voxel_id": np.arange(n_voxels), "nc_testset": [95.0, 95, 95, 2, 0, 0, 0, 0], "glasser-V1": 1, "prf-size": 1.0}
    voxels = pd.DataFrame(numbers | regions)
    order = chance.permutation(len(shown))
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        table = file.create_group(GROUP)
        table["axis0"] = np.array(["voxel_id", *map(str, order)], "S")
        table["axis1"] = np.arange(n_voxels)
        table["block0_items"], table["block0_values"] = np.array([*map(str, order)], "S"), betas[:, order]
        table["block1_items"], table["block1_values"] = np.array(["voxel_id"], "S"), np.arange(n_voxels)[:, None]
    with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
        archive.writestr(f"betas_csv/{subject}_ResponseData.h5", content.getvalue())
        archive.writestr(f"betas_csv/{subject}_StimulusMetadata.csv", to_csv(trials))
        archive.writestr(f"betas_csv/{subject}_VoxelMetadata.csv", to_csv(voxels))
        archive.writestr("betas_csv/sub-02_StimulusMetadata.csv", "other people are left packed")
    return folder
