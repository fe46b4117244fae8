"""Write a session of the Natural Object Dataset in its layout, with planted responses and few vertices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

N_VERTICES = 32_492  # of a hemisphere of fsLR 32k
N_REPEATED = 60  # COCO photographs of ten repeats; the real ones are 120
SIGNAL = 0.5  # variance of the first half of vertices for these, where noise has 1


def write_nod(
    folder: Path, *, subject: str = "sub-01", session: str = "imagenet01", n_trials: int = 4, n_columns: int = 6, seed: int = 0
) -> Path:
    """Write betas, events, photographs of one colour, repeats, localisers, areas and spheres under the names that the catalogue gives them.

    Parameters
    ----------
    n_trials : of each of ten runs; the real ones have 100.
    n_columns : cortical vertices of each hemisphere, the first half of which (V1) follow the red of the photograph; the last is the
        first subcortical column. The real ones have 59,412 in both.
    """
    from nibabel.cifti2 import BrainModelAxis, LabelAxis, ScalarAxis
    from scipy.io import savemat

    chance, folder = np.random.default_rng(seed), Path(folder)
    vertices = {side: np.sort(chance.choice(N_VERTICES, n_columns, replace=False)) for side in ("LEFT", "RIGHT")}
    axis = None
    for side, numbers in vertices.items():
        name = f"CIFTI_STRUCTURE_CORTEX_{side}"
        model = BrainModelAxis(name, vertex=numbers, nvertices={name: N_VERTICES})
        axis = model if axis is None else axis + model
    for run in range(1, 11):
        colours = chance.integers(0, 256, (n_trials, 3))
        lines = ["onset\tduration\ttrial_type\tstim_file"]
        for trial, colour in enumerate(colours):
            name = f"imagenet/n{run:08d}/n{run:08d}_{trial}.JPEG"
            path = folder / "more" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), tuple(map(int, colour))).save(path)
            lines.append(f"{4 * trial}\t1\t{run}\t{name}")
        (folder / f"{subject}_{session}_run-{run:02d}_events.tsv").write_text("\n".join(lines) + "\n")
        betas = 50 + chance.normal(0, 0.1, (n_trials, 2 * n_columns)).astype(np.float32)
        betas[:, np.arange(2 * n_columns) % n_columns < n_columns // 2] += colours[:, :1] / 74
        trials = ScalarAxis([f"trial {trial}" for trial in range(n_trials)])
        _write_cifti(folder / f"{subject}_{session}_run-{run}_beta.dscalar.nii", betas, trials, axis)
    signal = np.sqrt(SIGNAL) * chance.normal(size=(N_REPEATED, 2 * n_columns)) * (np.arange(2 * n_columns) % n_columns < n_columns // 2)
    for run in range(1, 11):
        betas = (20 + signal + chance.normal(size=signal.shape)).astype(np.float32)
        images = ScalarAxis([f"image {image}" for image in range(N_REPEATED)])
        _write_cifti(folder / f"{subject}_coco_run-{run}_beta.dscalar.nii", betas, images, axis)
    for number, kind in enumerate(("faces", "bodies", "places", "words")):
        inside = {0: ("???", (0, 0, 0, 0)), 1: (kind, (1, 0, 0, 1))}
        labels = (np.arange(2 * n_columns) % n_columns == number).astype(np.float32)[None]
        _write_cifti(folder / f"{subject}_floc-{kind}.dlabel.nii", labels, LabelAxis([kind], [inside]), axis)
    labels = np.where(np.arange(n_columns) < n_columns // 2, 1, 4)
    savemat(folder / "MMP_mpmLR32k.mat", {"glasser_MMP": np.concatenate([labels, labels + 180])[:, None]})
    areas = ["V1", "MST", "V6", "V2", *(f"A{number}" for number in range(176))]
    (folder / "roilbl_mmp.csv").write_text("name,x\n" + "".join(f"{side}_{area}_ROI,0\n" for side in "LR" for area in areas))
    _write_spheres(folder, chance)
    return folder


def _write_cifti(path: Path, values: np.ndarray, rows: Any, columns: Any) -> None:
    """Write values (n_rows, n_columns) with nibabel's axes of the rows and of the columns."""
    import nibabel

    nibabel.save(nibabel.Cifti2Image(values, nibabel.Cifti2Header.from_axes((rows, columns))), path)


def _write_spheres(folder: Path, chance: np.random.Generator) -> None:
    """Write the spheres of both hemispheres: random points, and one triangle."""
    import nibabel
    from nibabel.gifti import GiftiDataArray, GiftiImage

    points = chance.normal(size=(N_VERTICES, 3))
    points = (100 * points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    for side in "LR":
        image = GiftiImage(
            darrays=[
                GiftiDataArray(points, intent="NIFTI_INTENT_POINTSET", datatype="NIFTI_TYPE_FLOAT32"),
                GiftiDataArray(np.array([[0, 1, 2]], np.int32), intent="NIFTI_INTENT_TRIANGLE", datatype="NIFTI_TYPE_INT32"),
            ]
        )
        nibabel.save(image, folder / f"{side}.sphere.32k_fs_LR.surf.gii")
