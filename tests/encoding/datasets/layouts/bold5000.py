"""Write the archives of BOLD5000's release 2.0 in their layout, with planted responses: betas of regions, and photographs with lists."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from encoding.datasets.catalogue.converters.bold5000 import BETAS, MODEL, ROIS, SIDES, STIMULI

SETS = ("COCO", "ImageNet", "Scene")


def write_bold5000(
    folder: Path, *, subject: str = "CSI1", n_images: int = 30, n_repeated: int = 6, n_voxels: int = 3, seed: int = 0
) -> Path:
    """Write both archives; the first voxel of every region follows the red of the photograph, the others are noise.

    Parameters
    ----------
    n_repeated : photographs shown four times; the real ones are 113 of about 5,000, the last of three times.
    n_voxels : of each region.
    """
    chance, folder = np.random.default_rng(seed), Path(folder)
    colours = chance.integers(0, 256, (n_images, 3))
    names = [f"{SETS[i % 3].lower()}_{i:04d}.{'JPEG' if i % 3 == 1 else 'jpg'}" for i in range(n_images)]
    trials = chance.permutation(np.concatenate([np.arange(n_images), np.repeat(np.arange(n_repeated), 3)]))
    seen: set[int] = set()
    listed = []
    for image in trials.tolist():
        listed.append(f"{'rep_' if image in seen else ''}{names[image]}")
        seen.add(image)
    with zipfile.ZipFile(folder / STIMULI, "w") as archive:
        for i, name in enumerate(names):
            content = io.BytesIO()
            Image.new("RGB", (16, 16), tuple(map(int, colours[i]))).save(content, "JPEG", quality=95)
            archive.writestr(f"BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli/{SETS[i % 3]}/{name}", content.getvalue())
        archive.writestr("BOLD5000_Stimuli/Scene_Stimuli/repeated_stimuli_113_list.txt", "\n".join(names[:n_repeated]))
        archive.writestr(f"BOLD5000_Stimuli/Stimuli_Presentation_Lists/{subject}/{subject}_imgnames.txt", "\n".join(listed) + "\n")
    with zipfile.ZipFile(folder / BETAS, "w") as archive:
        for side in SIDES.values():
            for roi in ROIS:
                betas = chance.normal(0, 0.2, (len(trials), n_voxels))
                betas[:, 0] += (colours[trials, 0] - 127.5) / 74
                content = io.BytesIO()
                np.save(content, betas)
                archive.writestr(f"BOLD5000_GLMsingle_ROI_betas/py/{subject}_{MODEL}_{side}{roi}.npy", content.getvalue())
    return folder
