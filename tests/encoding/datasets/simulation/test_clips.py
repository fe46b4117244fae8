"""Simulated clips: the camera's path, and repetitions of responses."""

from __future__ import annotations

import numpy as np
import pytest

from encoding.datasets.simulation import clips as simulated_clips
from encoding.evaluation.noise_ceiling import from_repeats


def test_repetitions_have_the_ceiling_they_are_made_with():
    rng = np.random.default_rng(0)
    signal, ceiling = rng.standard_normal((2000, 50)), np.linspace(0.05, 0.9, 50)
    signal = (signal - signal.mean(0)) / signal.std(0)
    repeats = simulated_clips.repetitions(signal, ceiling, rng)
    np.testing.assert_allclose(from_repeats(repeats), ceiling, atol=0.08)
    np.testing.assert_allclose(repeats.mean(axis=1).var(axis=0), 1, atol=0.12)


def test_a_camera_that_ends_at_the_edge_of_the_scene_stays_inside_it():
    rng = np.random.default_rng(0)
    size = simulated_clips.SIZE
    starts, widths = rng.uniform(0, 30, (200, 2)), rng.uniform(size / 2, size - 40, 200)
    boxes = np.stack([np.column_stack([starts, widths]), np.column_stack([0 * starts, widths])], axis=1)
    pictures, strength = np.zeros((200, size, size, 3), np.uint8), np.ones((200, 6), np.float32)
    filmed = simulated_clips.Clips(simulated_clips.Scenes(pictures, strength, np.zeros((0, 8))), boxes)
    assert all(filmed.frame(clip, simulated_clips.N_FRAMES - 1).shape == (size, size, 3) for clip in range(200))


def test_things_are_where_the_camera_shows_them():
    from encoding.datasets.simulation.scenes import DEGREES, SIZE, Scenes

    picture = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    picture[0, 36:44, 76:84] = 255  # a white square whose middle is 16 pixels right of the centre and 24 above it
    degrees = DEGREES / SIZE
    thing = np.array([[0, 0, 16 * degrees, 24 * degrees, 1, 1]], np.float32)
    filmed = simulated_clips.Clips(Scenes(picture, np.ones((1, 6), np.float32), thing), np.array([[[10.0, 5, 100], [30, 20, 80]]]))
    for frame in (0, 13, simulated_clips.N_FRAMES - 1):
        shown = filmed.at(frame)
        rows, columns = np.nonzero(shown.images[0, :, :, 0] > 127)
        assert shown.things[0, 2] == pytest.approx((columns.mean() + 0.5 - SIZE / 2) * degrees, abs=0.05)
        assert shown.things[0, 3] == pytest.approx((SIZE / 2 - rows.mean() - 0.5) * degrees, abs=0.05)
        assert shown.things[0, 4] == pytest.approx(SIZE / filmed.box(0, frame)[2], abs=1e-5)
