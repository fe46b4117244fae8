"""Write ``miyawaki2008.tgz`` in the layout that nilearn's ``fetch_miyawaki2008`` reads, with planted responses."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from encoding.datasets.catalogue.converters.miyawaki2008 import AREAS, RUNS, SHIFT, SIDE
from encoding.storage.atomic import scratch_folder

SHAPE = (4, 3, 2)  # of a volume; the real ones have 64 x 64 x 30
LAGS = tuple(f"lag{start}to{start + 1}" for start in range(11))


def write_miyawaki2008(folder: Path, *, n_volumes: int = 12, seed: int = 0) -> Path:
    """Write runs whose first voxels each follow one patch, two volumes later; returns the archive.

    Parameters
    ----------
    n_volumes : of each run; the first three and the last are rest. Figures show the same six patterns in every run.
    """
    import nibabel

    chance = np.random.default_rng(seed)
    path = Path(folder) / "miyawaki2008.tgz"
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, :, 0] = 1
    figures = chance.integers(0, 2, (6, SIDE * SIDE))

    def save(values: np.ndarray, target: Path) -> None:
        target.parent.mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(values, np.diag([3, 3, 3, 1])), target)

    with scratch_folder(Path(folder)) as scratch:
        (scratch / "label").mkdir()
        for kind, n_runs in RUNS.items():
            for number in range(1, n_runs + 1):
                shown = chance.integers(0, 2, (n_volumes, SIDE * SIDE))
                if kind == "figure":
                    shown = figures[np.arange(n_volumes) % len(figures)]
                shown = np.where(((np.arange(n_volumes) < 3) | (np.arange(n_volumes) == n_volumes - 1))[:, None], -1, shown)
                series = 0.1 * chance.normal(size=(n_volumes, *SHAPE))
                series[SHIFT:, mask > 0] += np.maximum(shown[:-SHIFT, : mask.sum()], 0)
                np.savetxt(scratch / "label" / f"data_{kind}_run{number:02d}_label.csv", shown, fmt="%d", delimiter=",")
                save(np.moveaxis(100 + 10 * series, 0, -1).astype(np.float32), scratch / "func" / f"data_{kind}_run{number:02d}.nii.gz")
        save(mask, scratch / "mask" / "mask.nii.gz")
        for side in ("LH", "RH"):
            for place, area in enumerate((*AREAS, *LAGS)):
                region = np.zeros(SHAPE, np.uint8)
                region[place % 4, 0 if side == "LH" else 1] = 1
                save(region, scratch / "mask" / f"{side}{area}.nii.gz")
        save(np.ones(SHAPE, np.float32), scratch / "bg.nii.gz")
        with tarfile.open(path, "w:gz") as archive:
            for each in ("func", "label", "mask", "bg.nii.gz"):
                archive.add(scratch / each, each)
    return path
