"""What the doctor's tests share: findings as text, a random image, a description."""

from __future__ import annotations

import numpy as np
from PIL import Image


def levels(findings, level):
    return [str(finding) for finding in findings if finding.level == level]


def told(findings, level):
    return "\n".join(levels(findings, level))


def picture(path, seed, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


OWN = """
title = "Mine"
[stimuli]
folder = "images"
[subjects.ann]
responses = "Y.npy"
rois.V1 = "V1.npy"
rois.none = "none.npy"
"""
