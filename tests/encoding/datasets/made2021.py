"""Short clips and the responses of a person, to write in the layout of Algonauts 2021."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets._tracks2021 import VOLUME
from encoding.datasets.algonauts2021 import MINI_TRACK
from encoding.datasets.writers.algonauts2021 import Participant, write_algonauts2021

N_CLIPS, N_TEST, N_VOXELS = 40, 3, 12
SIDE = 32


def frames_of(clip):
    """Six frames: one colour that grows lighter."""
    colour = np.random.default_rng([7, clip]).integers(20, 200, 3)
    return [np.full((SIDE, SIDE, 3), colour + 5 * number, np.uint8) for number in range(6)]


def made_person(seed=0):
    """Voxel i answers to the red of the clip's colour, i grey levels of noise about it; FFA has no voxels."""
    chance = np.random.default_rng(seed)
    red = np.array([frames_of(clip)[0][0, 0, 0] for clip in range(N_CLIPS)], np.float32) / 20

    def block(n):
        noise = chance.normal(size=(N_CLIPS, 3, n)) * np.linspace(0.1, 4, max(n, 1))[:n]
        return (red[:, None, None] + noise).astype(np.float32)

    rois = {roi: block(0 if roi == "FFA" else N_VOXELS + number) for number, roi in enumerate(MINI_TRACK)}
    voxels = np.sort(chance.choice(np.prod(VOLUME), 5000, replace=False))
    return Participant(rois=rois, brain=block(5000), voxels=voxels)


def write_made(out) -> Path:
    """Write the clips and two persons, of two seeds, into the folder ``out``."""
    filmed = [frames_of(clip) for clip in range(N_CLIPS + N_TEST)]
    return write_algonauts2021(out, filmed, {"sub01": made_person(), "sub03": made_person(3)}, simulated=True)
