"""The wavelet pyramid answers gratings as textbook complex cells do."""

import numpy as np
import pytest
import torch
from PIL import Image

from encoding.backbones import BACKBONES
from encoding.backbones.gabor import Gabor, Pyramid
from encoding.runtime.registry import UnknownName

SIZE, FREQUENCIES, N_ORIENTATIONS = 128, (1, 2, 4, 8, 16, 32), 8
GABOR = Gabor()
PLACES = Pyramid().wavelets()
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


# Other pyramids


def opened(name):
    return BACKBONES[name].open(name, "pretrained")


def shown(size, seed=0):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_the_plain_pyramid_spelt_out_is_the_plain_pyramid():
    assert (
        BACKBONES["gabor"].fingerprint("gabor", "pretrained") == "backbone-7b2438065c47f8cb13cb" == GABOR.fingerprint
    )  # as first released
    for name in ("gabor:size=128,frequencies=1-2-4-8-16-32,orientations=8", "gabor:along=0.56", "gabor:across=.5"):
        spelt = opened(name)
        assert spelt.fingerprint == GABOR.fingerprint == BACKBONES[name].fingerprint(name, "pretrained")
        assert torch.equal(spelt.activations(shown(SIZE), ["energy"])["energy"], GABOR.activations(shown(SIZE), ["energy"])["energy"])


@pytest.mark.parametrize("parameter", ["size=256", "frequencies=2-4", "orientations=6", "along=0.5", "across=0.6"])
def test_another_parameter_is_another_backbone(parameter):
    name = f"gabor:{parameter}"
    assert BACKBONES[name].fingerprint(name, "pretrained") == opened(name).fingerprint != GABOR.fingerprint


def test_fewer_frequencies_and_orientations_are_a_part_of_the_plain_pyramid():
    """Every second orientation of three frequencies: the same wavelets at the same places."""
    part = opened("gabor:frequencies=2-8-32,orientations=4")
    made, whole = (backbone.activations(shown(SIZE), ["energy"])["energy"] for backbone in (part, GABOR))
    kept = np.isin(PLACES["frequency"], [2, 8, 32]) & (PLACES["orientation"] % 45 == 0)
    torch.testing.assert_close(made, whole[:, torch.from_numpy(kept)])
    for key, values in part.pyramid.wavelets().items():
        np.testing.assert_array_equal(values, PLACES[key][kept])


def test_a_larger_picture_has_the_same_coarse_wavelets_and_room_for_finer_ones():
    large = opened("gabor:size=256,frequencies=1-2-4-8-64")
    smooth = shown(SIZE)
    doubled = smooth.repeat_interleave(2, 2).repeat_interleave(2, 3)
    made, plain = large.activations(doubled, ["energy"])["energy"], GABOR.activations(smooth, ["energy"])["energy"]
    n = 8 * (1 + 4 + 16 + 64)
    torch.testing.assert_close(made[:, :n], plain[:, :n], rtol=1e-4, atol=1e-5)
    assert made.shape[1] == n + 8 * 64**2 and large.prepare(Image.new("RGB", (30, 20))).shape == (3, 256, 256)


@pytest.mark.parametrize(
    "parameters", ["size=96,frequencies=3-6-12,orientations=5", "size=100,frequencies=1-5-20", "along=0.25,across=0.75"]
)
def test_any_pyramid_gives_a_matching_grating_its_contrast(parameters):
    backbone = opened(f"gabor:{parameters}")
    pyramid, places = backbone.pyramid, backbone.pyramid.wavelets()
    frequency, degrees = pyramid.frequencies[-1], 180 / pyramid.orientations
    y, x = (np.mgrid[: pyramid.size, : pyramid.size] + 0.5) / pyramid.size
    angle = np.deg2rad(degrees)
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + 1)
    batch = torch.from_numpy(np.repeat(wave[None, None], 3, axis=1).astype(np.float32))
    found = backbone.activations(batch, ["energy"])["energy"][0].numpy()
    inner = (np.abs(places["x"] - 0.5) < 0.3) & (np.abs(places["y"] - 0.5) < 0.3)
    own = inner & (places["frequency"] == frequency) & np.isclose(places["orientation"], degrees)
    assert own.any()
    np.testing.assert_allclose(found[own], 1, rtol=0.07)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gabor:", "Unknown parameter of gabor ''"),
        (
            "gabor:sizes=64",
            r"Unknown parameter of gabor 'sizes'\. Did you mean 'size'\? Known: size, frequencies, orientations, along, across",
        ),
        ("gabor:size", "Parameter size of gabor has no value"),
        ("gabor:size=64,size=32", "Parameter size of gabor is given twice"),
        ("gabor:size=7", "Parameter size of gabor cannot be '7': it is a whole number from 16 to 1024"),
        ("gabor:orientations=4.5", "cannot be '4.5': it is a whole number from 1 to 64"),
        ("gabor:along=1e9", "cannot be '1e9': it is a number from 0.25 to 0.75"),
        ("gabor:frequencies=4-2", "cannot be '4-2': it is whole numbers of cycles per image, rising, such as 1-2-4-8"),
        ("gabor:frequencies=0-1", "rising"),
        ("gabor:frequencies=1-", "rising"),
        (
            "gabor:frequencies=3",
            r"3 cycles per image does not fit an image of 128 pixels\. The size must be a multiple of 8 x 3 = 24, or of 4",
        ),
        ("gabor:size=64", "A frequency of 32 cycles per image does not fit an image of 64 pixels"),
    ],
)
def test_parameters_that_are_not_understood_say_what_is_allowed(name, says):
    assert name not in BACKBONES
    with pytest.raises(UnknownName, match=says):
        BACKBONES[name]


def test_an_unknown_name_beside_it_is_still_just_unknown():
    with pytest.raises(UnknownName, match="Unknown backbone 'gabor/fine'"):
        BACKBONES["gabor/fine"]
    with pytest.raises(UnknownName, match="Unknown backbone 'pixels:size=3'"):
        BACKBONES["pixels:size=3"]
