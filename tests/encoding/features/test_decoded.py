"""Frames that stay decoded for the next network."""

from __future__ import annotations

import numpy as np
import pytest

from encoding.datasets import Chosen
from encoding.features import decoded
from encoding.features.decoded import DecodedOnce, forget_decoded
from tests.conftest import TinyStimuli

N_BYTES = 4 * 4 * 3  # of one image


class Counting(TinyStimuli):
    """Ten images that count how often each is decoded."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(np.random.default_rng(seed).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8))
        self.decoded: list[int] = []

    def frames(self, index):
        self.decoded.append(index)
        return super().frames(index)


@pytest.fixture(autouse=True)
def fresh():
    forget_decoded()
    yield
    forget_decoded()


def look_at(stimuli, rows=range(10)):
    """Pixels of a pass."""
    kept = DecodedOnce(stimuli)
    return [np.asarray(kept.frames(row)[0]) for row in rows]


def test_the_next_pass_takes_the_same_pixels_and_decodes_nothing():
    stimuli = Counting()
    first, second = look_at(stimuli), look_at(stimuli)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, stimuli.pixels)
    assert sorted(stimuli.decoded) == list(range(10))


def test_other_stimuli_and_other_numbers_of_frames_are_decoded_themselves():
    one, other = Counting(0), Counting(1)
    look_at(one)
    np.testing.assert_array_equal(look_at(other), other.pixels)
    again = Counting(0)
    again.n_frames = 4
    look_at(again)
    assert len(other.decoded) == len(again.decoded) == 10


def test_memory_is_bounded_and_a_shard_makes_room_for_the_next(monkeypatch):
    monkeypatch.setattr(decoded, "DECODED_BYTES", 5 * N_BYTES)
    stimuli = Counting()
    for rows in (range(5), range(5, 10)):  # two networks take one shard and then the next
        for _ in range(2):
            look_at(stimuli, rows)
            assert decoded._memory._n_bytes <= decoded.DECODED_BYTES
    assert sorted(stimuli.decoded) == list(range(10))


def test_a_shard_larger_than_the_memory_keeps_the_part_that_fits(monkeypatch):
    monkeypatch.setattr(decoded, "DECODED_BYTES", 4 * N_BYTES)
    stimuli = Counting()
    for _ in range(3):
        np.testing.assert_array_equal(look_at(stimuli), stimuli.pixels)
        assert decoded._memory._n_bytes <= decoded.DECODED_BYTES
    assert len(stimuli.decoded) == 10 + 6 + 6


def test_a_subset_of_kept_stimuli_is_that_subset():
    stimuli = Counting()
    kept = Chosen(DecodedOnce(stimuli), np.array([7, 2]))
    np.testing.assert_array_equal([np.asarray(kept.frames(i)[0]) for i in range(2)], stimuli.pixels[[7, 2]])
    assert DecodedOnce(stimuli).fingerprint == stimuli.fingerprint and DecodedOnce(stimuli).names == stimuli.names
