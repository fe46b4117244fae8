"""The wavelet pyramid answers gratings as textbook complex cells do."""

import numpy as np
import pytest
import torch
from PIL import Image

from encoding.backbones.gabor import FREQUENCIES, N_ORIENTATIONS, SIZE, Gabor, wavelets

GABOR = Gabor()
PLACES = wavelets()
MIDDLE = (np.abs(PLACES["x"] - 0.5) < 0.3) & (np.abs(PLACES["y"] - 0.5) < 0.3)


def grating(frequency, degrees, phase=0.0, contrast=1.0):
    """(1, 3, SIZE, SIZE) in 0 … 1."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
    angle = np.deg2rad(degrees)
    wave = np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return torch.from_numpy(np.repeat((0.5 + 0.5 * contrast * wave)[None, None], 3, axis=1).astype(np.float32))


def energy(batch):
    return GABOR.activations(batch, ["energy"])["energy"][0].numpy()


@pytest.mark.parametrize("frequency", [4, 8, 16, 32])
@pytest.mark.parametrize("number", range(N_ORIENTATIONS))
def test_a_grating_excites_its_own_wavelets_most(frequency, number):
    degrees = number * 180 / N_ORIENTATIONS
    found = np.where(MIDDLE, energy(grating(frequency, degrees)), 0)
    best = found.argmax()
    assert (PLACES["frequency"][best], PLACES["orientation"][best]) == (frequency, degrees)


@pytest.mark.parametrize("frequency", [4, 8, 16])
def test_energy_is_the_contrast_of_the_matching_grating_whatever_its_phase(frequency):
    own = MIDDLE & (PLACES["frequency"] == frequency) & (PLACES["orientation"] == 45)
    for phase in np.linspace(0, 2 * np.pi, 7):
        np.testing.assert_allclose(energy(grating(frequency, 45, phase, contrast=0.6))[own], 0.6, rtol=0.03)


def test_bandwidths_are_one_octave_and_about_41_degrees():
    own = MIDDLE & (PLACES["frequency"] == 8) & (PLACES["orientation"] == 0)

    def response(frequency, degrees):
        return energy(grating(frequency, degrees))[own].mean() / energy(grating(8, 0))[own].mean()

    assert response(8 * 2 / 3, 0) == pytest.approx(0.5, abs=0.07)  # an octave is 2/3 … 4/3 of the peak
    assert response(8 * 4 / 3, 0) == pytest.approx(0.5, abs=0.07)
    assert response(8, 20.5) == pytest.approx(0.5, abs=0.07)


def test_energy_is_the_root_of_the_squares_of_both_phases():
    batch = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    made = GABOR.activations(batch, ["simple", "energy"])
    start, at = 0, 0
    for frequency in FREQUENCIES:
        n = N_ORIENTATIONS * frequency**2
        even, odd = made["simple"][:, start : start + n], made["simple"][:, start + n : start + 2 * n]
        torch.testing.assert_close(made["energy"][:, at : at + n], (even**2 + odd**2).sqrt())
        start, at = start + 2 * n, at + n
    assert start == made["simple"].shape[1] and at == made["energy"].shape[1] == len(PLACES["x"])


def test_each_wavelet_equals_a_filter_written_out_at_its_place():
    """An independent answer: the finest wavelets as sums over the whole picture, in image coordinates."""
    rng = np.random.default_rng(0)
    brightness = rng.normal(size=(SIZE, SIZE)) * 0.1
    batch = torch.from_numpy(np.repeat((0.5 + brightness / 2)[None, None], 3, axis=1).astype(np.float32))
    made = GABOR.activations(batch, ["energy"])["energy"][0].numpy()
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
    for feature in np.flatnonzero((PLACES["frequency"] == 32) & MIDDLE)[::997]:
        dx, dy = (x - PLACES["x"][feature]) * 32, (y - PLACES["y"][feature]) * 32
        angle = np.deg2rad(PLACES["orientation"][feature])
        u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        envelope = np.exp(-0.5 * ((u / 0.56) ** 2 + (v / 0.5) ** 2)) * (np.abs(dx) < 1.5) * (np.abs(dy) < 1.5)
        parts = []
        for wave in (np.cos(2 * np.pi * u), np.sin(2 * np.pi * u)):
            wavelet = envelope * (wave - (envelope * wave).sum() / envelope.sum())
            parts.append((wavelet * brightness).sum() / (wavelet * wave).sum())
        assert made[feature] == pytest.approx(np.hypot(*parts), abs=2e-6)


def test_a_uniform_grey_picture_gives_nothing():
    assert np.abs(energy(torch.full((1, 3, SIZE, SIZE), 0.5))).max() < 1e-6


def test_a_dot_is_seen_by_the_wavelets_around_it():
    batch = torch.full((1, 3, SIZE, SIZE), 0.5)
    batch[:, :, 20:24, 100:104] = 1  # x .80, y .17
    best = energy(batch).argmax()
    assert abs(PLACES["x"][best] - 0.8) < 0.05 and abs(PLACES["y"][best] - 0.17) < 0.05


def test_a_wide_picture_is_seen_by_its_central_square():
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))
    square = GABOR.prepare(wide)[:, :, 2:-2]  # the outermost columns blend with what is beside them
    assert torch.equal(square, GABOR.prepare(Image.new("RGB", (100, 100), "blue"))[:, :, 2:-2])
