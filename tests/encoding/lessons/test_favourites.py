"""The lesson on favourite images: the unit is what it is called."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from encoding.backbones.gabor import Gabor, Pyramid
from encoding.lessons.favourites import DIRECTIONS, FREQUENCIES, unit


@pytest.fixture(scope="module")
def energy():
    """Gabor energy of gratings, in the order of FREQUENCIES x (vertical, horizontal), and of a grey image."""
    gabor, gratings = Gabor(Pyramid()), [np.full((128, 128), 128.0)]
    place = (np.arange(128) + 0.5) / 128
    for frequency in FREQUENCIES:
        wave = np.broadcast_to(128 + 100 * np.cos(2 * np.pi * frequency * place), (128, 128))
        gratings += [wave, wave.T]
    images = [gabor.prepare(Image.fromarray(np.stack([each] * 3, axis=-1).astype(np.uint8))) for each in gratings]
    return np.stack([gabor.activations(image[None], ["energy"])["energy"][0].numpy() for image in images])


@pytest.mark.parametrize("frequency", FREQUENCIES[:-1])
@pytest.mark.parametrize(("direction", "transposed"), [("vertical", 0), ("horizontal", 1)])
def test_a_units_favourite_is_the_grating_of_its_own_frequency_and_direction(energy, frequency, direction, transposed):
    activation = unit(energy, frequency, direction)
    assert int(np.argmax(activation)) == 1 + 2 * FREQUENCIES.index(frequency) + transposed
    assert activation.mean() == pytest.approx(0, abs=1e-9) and activation.std() == pytest.approx(1)


def test_every_direction_is_one_of_the_pyramid():
    assert set(DIRECTIONS.values()) <= set(Pyramid().wavelets()["orientation"])
