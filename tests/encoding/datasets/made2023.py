"""A small subject to write in the layout of Algonauts 2023."""

from __future__ import annotations

import numpy as np
from PIL import Image

from encoding.datasets._base import FSAVERAGE_VERTICES, Stimuli, Subject
from encoding.datasets._rois import ROI_CLASSES
from encoding.datasets.algonauts2023 import HEMIS, Algonauts2023

N_IMAGES, N_TEST, SIZE = 24, 5, 32
N_VERTICES = {"lh": 60, "rh": 70}


class Blocks(Stimuli):
    """Pictures of 8 x 8 random blocks."""

    def __init__(self, n: int, *, seed: int) -> None:
        self.names = tuple(f"picture {i}" for i in range(n))
        self.colours = np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
        self.fingerprint = f"blocks-{n}-{seed}"

    fingerprint = ""

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(self.colours[index]).resize((SIZE, SIZE), Image.Resampling.NEAREST)


def made_subject(**changes) -> Subject:
    """A subject with overlapping ROIs (V1v lies in early), an empty one (mTL-faces), and repeats."""
    chance = np.random.default_rng(0)
    columns = np.arange(60)
    rois = {name: columns[:0] for names in ROI_CLASSES.values() for name in names}
    rois |= {
        "V1v": columns[:10],
        "V1d": columns[10:15],
        "early": columns[:20],
        "ventral": columns[20:40],
        "FFA-1": columns[30:33],
        "EBA": columns[32:50],
    }
    content = {
        "dataset": "made",
        "name": "subj03",
        "stimuli": Blocks(N_IMAGES, seed=1),
        "unlabelled": Blocks(N_TEST, seed=2),
        "responses": {hemi: chance.normal(size=(N_IMAGES, n)).astype(np.float32) for hemi, n in N_VERTICES.items()},
        "fingerprints": dict.fromkeys(HEMIS, "made"),
        "rois": dict.fromkeys(HEMIS, rois),
        "groups": np.r_[7, 7, np.arange(30, 30 + N_IMAGES - 2)],
        "vertices": {hemi: np.sort(chance.choice(FSAVERAGE_VERTICES, n, replace=False)) for hemi, n in N_VERTICES.items()},
        "ceiling": {hemi: chance.uniform(0.001, 0.009, n).astype(np.float32) for hemi, n in N_VERTICES.items()},
        "simulated": True,
    }
    return Subject(**(content | changes))


def opened(root, store):
    return Algonauts2023(root).open("subj03", store)
