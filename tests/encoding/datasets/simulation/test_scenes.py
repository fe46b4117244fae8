"""The drawn scenes: always the same, all categories, and labels that agree with what was drawn."""

import numpy as np
import pytest

from encoding.datasets.simulation import scenes as drawing
from encoding.datasets.simulation.filters import FAMILIES, GRID, ORIENTATIONS, WAVELENGTHS, category_maps, cell_centres, channels
from encoding.datasets.simulation.scenes import CATEGORIES, DEGREES, SIZE, scenes
from encoding.runtime.progress import Cancelled


@pytest.fixture(scope="module")
def drawn():
    return scenes(240, seed=7)


def grating(orientation, wavelength):
    """A full-contrast picture whose contours rise anticlockwise by ``orientation``, one cycle in ``wavelength`` degrees."""
    x, y = cell_centres(SIZE)
    across = -x * np.sin(orientation) + y * np.cos(orientation)
    grey = np.round(127.5 + 120 * np.sin(2 * np.pi * across / wavelength)).astype(np.uint8)
    return np.repeat(grey[None, :, :, None], 3, axis=3)


def test_the_same_seed_draws_the_same_bytes_and_another_seed_does_not(drawn):
    again, other = scenes(30, seed=7), scenes(30, seed=8)
    assert again.images.tobytes() == drawn.images[:30].tobytes()
    assert again.strength.tobytes() == drawn.strength[:30].tobytes()
    assert not np.array_equal(other.images, again.images)


def test_pictures_are_square_colour_images_with_something_in_them(drawn):
    assert drawn.images.shape == (240, SIZE, SIZE, 3)
    assert drawn.images.dtype == np.uint8
    assert drawn.images.std(axis=(1, 2, 3)).min() > 4
    assert len({image.tobytes() for image in drawn.images}) == 240


def test_every_category_leads_in_a_fair_share_of_scenes(drawn):
    names, counts = np.unique(drawn.category, return_counts=True)
    assert set(names) == set(CATEGORIES)
    assert counts.min() > 0.08 * 240


def test_strengths_combine_those_of_the_things_in_a_scene(drawn):
    missing = np.ones((240, len(CATEGORIES)))
    for number, category, _, _, _, strength in drawn.things:
        missing[int(number), int(category)] *= 1 - strength
    assert np.allclose(drawn.strength, 1 - missing, atol=1e-5)
    assert drawn.things[:, 5].min() >= 0
    assert drawn.things[:, 5].max() <= 1


def test_things_lie_in_the_picture_and_vary_in_place_and_size(drawn):
    objects = drawn.things[drawn.things[:, 4] < DEGREES]
    assert np.abs(objects[:, 2:4]).max() < DEGREES / 2
    assert objects[:, 2:4].std(axis=0).min() > 0.8
    assert objects[:, 4].min() < 1.5
    assert objects[:, 4].max() > 6


def test_a_large_thing_is_where_its_label_says():
    """Scenes with one thing before a plain backdrop: the picture's detail is centred on the thing."""
    drawn = scenes(360, seed=7)
    alone = [row for row in drawn.things if (drawn.things[:, 0] == row[0]).sum() == 1 and row[4] < 5]
    fine = channels(drawn.images[[int(row[0]) for row in alone]])[:, FAMILIES["contrast"]][:, 1]
    x, y = cell_centres(GRID)
    weight = fine - np.median(fine, axis=(1, 2), keepdims=True)
    weight = np.maximum(weight, 0) ** 2
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    found = np.stack([(weight * x).sum(axis=(1, 2)), (weight * y).sum(axis=(1, 2))], axis=1)
    placed = np.array([row[2:4] for row in alone])
    assert len(alone) > 15
    for axis in (0, 1):
        assert np.corrcoef(found[:, axis], placed[:, axis])[0, 1] > 0.75


@pytest.mark.parametrize("direction", range(6))
@pytest.mark.parametrize("scale", range(4))
def test_a_grating_drives_the_filter_of_its_own_orientation_and_wavelength_most(direction, scale):
    maps = channels(grating(ORIENTATIONS[direction], WAVELENGTHS[scale]))[0, FAMILIES["energy"]]
    energy = maps.mean(axis=(1, 2)).reshape(len(WAVELENGTHS), len(ORIENTATIONS))
    assert energy[scale].argmax() == direction
    assert energy[:, direction].argmax() == scale


def test_energy_does_not_depend_on_phase_and_a_blank_picture_has_none():
    one, other = (channels(np.roll(grating(0, 1.05), shift, axis=1))[0, FAMILIES["energy"]].mean(axis=(1, 2)) for shift in (0, 4))
    assert np.allclose(one, other, atol=0.02)
    assert np.abs(channels(np.full((1, SIZE, SIZE, 3), 90, np.uint8))).max() < 1e-3


@pytest.mark.parametrize(("colour", "channel"), [((220, 90, 90), 0), ((90, 220, 90), 1), ((90, 90, 220), 2), ((220, 220, 60), 3)])
def test_colours_drive_their_own_channel_most(colour, channel):
    picture = np.broadcast_to(np.array(colour, np.uint8), (1, SIZE, SIZE, 3))
    assert channels(picture)[0, FAMILIES["colour"]].mean(axis=(1, 2)).argmax() == channel


def test_maps_of_things_peak_where_the_thing_is():
    things = np.array([[1, CATEGORIES.index("words"), 2.0, -1.0, 2.0, 0.8]], np.float32)
    maps = category_maps(things, 3, grid=GRID)
    x, y = cell_centres(GRID)
    row, column = np.unravel_index(maps[1, CATEGORIES.index("words")].argmax(), (GRID, GRID))
    assert abs(x[row, column] - 2) < 0.2
    assert abs(y[row, column] + 1) < 0.2
    assert maps.max() == pytest.approx(0.8, abs=0.05)
    assert maps[[0, 2]].max() == 0


def test_scenes_drawn_by_two_processes_are_those_drawn_by_one(monkeypatch):
    together = scenes(8, seed=5)
    monkeypatch.setattr(drawing, "WORTH_A_PROCESS", 8)
    apart = scenes(8, seed=5)
    for name, values in vars(together).items():
        np.testing.assert_array_equal(getattr(apart, name), values)


def test_scenes_are_drawn_here_where_no_second_process_can(monkeypatch):
    monkeypatch.setattr(drawing, "WORTH_A_PROCESS", 4)
    monkeypatch.setattr(drawing.sys, "executable", "/bin/false")
    np.testing.assert_array_equal(scenes(4, seed=5).images, drawing._draw(range(4), 5).images)


def test_cancelling_ends_the_second_process(monkeypatch):
    started = []
    popen = drawing.subprocess.Popen
    monkeypatch.setattr(drawing.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[0])
    monkeypatch.setattr(drawing, "WORTH_A_PROCESS", 4)

    def cancel(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        scenes(4, seed=5, report=cancel)
    assert started[0].poll() is not None
