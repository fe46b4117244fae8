"""Slices of native volumes: every voxel stands where it lies, left at the left, whatever the order of the volume's axes."""

from __future__ import annotations

import numpy as np
import pytest

from encoding.datasets._base import VoxelGrid
from encoding.plots.slices import N_SLICES, slice_mosaic, volume_slices

FLIPPED = np.diag([-2.0, 2, 2, 1])
FLIPPED[0, 3] = 20
TURNED = np.array([[0, 2.0, 0, 0], [0, 0, 2, 0], [2, 0, 0, 0], [0, 0, 0, 1]])  # the volume's axes are z, x, y


@pytest.mark.parametrize("affine", [np.diag([2.0, 2, 2, 1]), FLIPPED, TURNED])
def test_a_voxel_further_left_stands_further_left_and_one_in_front_higher(affine):
    shape = (6, 7, 8)
    points = {"here": (2, 3, 4), "left": (0, 3, 4), "front": (2, 5, 4)}  # x, y, z in steps of 2 mm
    index = {name: np.linalg.solve(affine, [2 * x, 2 * y, 2 * z, 1])[:3].round().astype(int) for name, (x, y, z) in points.items()}
    voxels = np.array([np.ravel_multi_index(tuple(at), shape, mode="wrap") for at in index.values()])
    order = np.argsort(voxels)
    grid = VoxelGrid(voxels[order], shape, affine)
    mosaic, labels = slice_mosaic(grid, np.array([1.0, 2, 3])[order])
    at = {value: np.argwhere(mosaic == value)[0] for value in (1, 2, 3)}
    assert np.isfinite(mosaic).sum() == 3 and len(labels) == 1 and labels[0][2] == 8
    assert at[2][1] - at[1][1] == -2 and at[2][0] == at[1][0]  # two voxels to the left
    assert at[3][0] - at[1][0] == 2 and at[3][1] == at[1][1]  # two to the front


def test_of_many_slices_some_are_shown_from_below_to_above():
    shape = (3, 4, 40)
    grid = VoxelGrid(np.arange(3 * 4 * 40), shape, np.eye(4))
    values = np.broadcast_to(np.arange(40), shape).ravel()
    mosaic, labels = slice_mosaic(grid, values)
    heights = [z for _, _, z in labels]
    assert len(labels) == N_SLICES and heights == sorted(heights) and heights[0] == 0 and heights[-1] == 39
    assert mosaic[-2, 0] == 0 and mosaic[0, -2] == 39  # the lowest at the upper left, the highest at the lower right


def test_slices_of_a_flat_slab_are_as_large_as_there_is_room_and_their_heights_stand_above_them():
    shape = (30, 8, 9)
    mosaic, labels = slice_mosaic(VoxelGrid(np.arange(30 * 8 * 9), shape, np.eye(4)), np.ones(30 * 8 * 9))
    assert len({x for x, _, _ in labels}) == 2, "nine in two columns; side by side they would be smaller"
    assert all(np.isfinite(mosaic[y - 1, x]) and np.isnan(mosaic[y : y + 4, x : x + 30]).all() for x, y, _ in labels)


@pytest.mark.parametrize("values", [np.zeros(2), np.array([np.nan, 1.0]), np.array([-1.0, 1.0])])
def test_the_figure_shows_what_there_is(values):
    figure = volume_slices(VoxelGrid(np.array([3, 9]), (2, 3, 4), np.eye(4)), values, what="r")
    assert np.isfinite(figure.data[0].z).sum() == np.isfinite(values).sum()


def test_a_score_has_the_colours_and_the_range_that_it_has_on_brains():
    grid, values = VoxelGrid(np.arange(400), (20, 20, 1), np.eye(4)), np.linspace(-0.1, 0.62, 400)
    found = volume_slices(grid, values, what="r", score="r").data[0]
    assert (found.zmin, found.zmax) == (0.0, 0.65) and found.colorscale == volume_slices(grid, abs(values), what="r").data[0].colorscale
    assert volume_slices(grid, values, what="response").data[0].zmid == 0
