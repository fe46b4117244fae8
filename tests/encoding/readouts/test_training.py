"""Training data of a readout."""

import numpy as np

from encoding.readouts import Training
from tests.conftest import TinyStimuli


def test_some_of_the_training_rows_bring_their_pictures():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 2, 2, 3), dtype=np.uint8)
    rows = Training.of(np.zeros((6, 0)), np.zeros((6, 1)), stimuli=TinyStimuli(pixels)).some(np.array([4, 1]))
    assert rows.stimuli.names == ("tiny-0004", "tiny-0001")
    np.testing.assert_array_equal(np.asarray(rows.stimuli[1]), pixels[1])
