"""Sixty drawn stimuli, ten of them shown twice, and a subject whose vertices follow them in known ways."""

from __future__ import annotations

import numpy as np
from PIL import Image

from encoding.datasets import Stimuli, Subject

N, N_VERTICES = 60, 7
GROUPS = np.array([*range(50), *range(10)])  # the first ten stimuli are shown again at the end


class Squares(Stimuli):
    names = tuple(f"square {i:02d}{' red' if i % 3 == 0 else ''}" for i in range(N))
    fingerprint = "squares"

    def __getitem__(self, index):
        return Image.new("RGB", (4, 4), (index, 0, 0))


def squares_subject() -> Subject:
    rng = np.random.default_rng(3)
    kind = np.array(["face", "house", "word"])[GROUPS % 3]
    degree = rng.random(50).astype(np.float32)[GROUPS]
    responses = {hemi: rng.normal(1, 2, (N, N_VERTICES)).astype(np.float32) for hemi in ("lh", "rh")}
    responses["lh"][:, 4] = 5 * degree
    responses["rh"][:, 2] = 0.5
    return Subject(
        dataset="squares",
        name="ann",
        stimuli=Squares(),
        unlabelled=Squares(),
        responses=responses,
        fingerprints={"lh": "a", "rh": "b"},
        rois={"lh": {"V1": np.array([0, 1, 4]), "fovea": np.array([4]), "PPA": np.zeros(0, int)}, "rh": {"V1": np.array([2])}},
        groups=GROUPS,
        labels={"kind": kind, "degree": degree, "set": GROUPS},
    )
