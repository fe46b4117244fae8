"""Fits of small data, and new images to predict from."""

import dataclasses

import numpy as np

from encoding import READOUTS, FitSpec
from tests.conftest import TINY, TinyStimuli

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def changed(**values):
    return dataclasses.replace(TINY, **values)


def quick(name, **options):
    """Options of a readout that make its work short."""
    known = {field.name for field in dataclasses.fields(READOUTS[name].options)}
    short = {"n_epochs": 3, "n_candidates": 3, "alphas": (0.1, 1.0)}
    return tuple(sorted((options | {option: value for option, value in short.items() if option in known}).items()))


def others(n=30, seed=9):
    """Pictures that the planted subject never saw."""
    return TinyStimuli(np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3), dtype=np.uint8))


CLIPS = FitSpec(
    dataset="algonauts2021", subject="sub01", backbone="pixels", layers=("rgb",), frames=3, n_components=4, split="holdout:0.8:1"
)


def photos(folder, new, suffix=".png"):
    folder.mkdir()
    for number, picture in enumerate(new):
        picture.save(folder / f"photo {number}{suffix}")
    return folder


IMAGES = FitSpec(dataset="algonauts2023", subject="subj01", backbone="pixels", layers=("rgb",), n_components=3, split="holdout:0.8:1")
