"""The planted data with three presentations of each stimulus; :func:`tests.encoding.analysis.conftest.repeated` registers them."""

from dataclasses import replace

import numpy as np

from tests.conftest import TINY

IDS = np.random.default_rng(3).permutation(np.repeat(np.arange(40), 3))  # three presentations of each stimulus, in random order
SPEC = replace(TINY, layers=("pixels", "colour"), n_components=3)


def features_of(dataset, layer):
    pixels = dataset.subject.stimuli.pixels.astype(np.float64) / 255
    return pixels.mean((1, 2)) if layer == "colour" else pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
