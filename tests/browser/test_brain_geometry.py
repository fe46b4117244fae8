"""The turning brain in a real browser: every vertex is drawn, and picked, where the core's view puts it."""

from __future__ import annotations

import numpy as np
import pytest

from encoding.datasets._surface import HEMIS, VIEWS, eye, mesh
from tests.browser.driving_brain import CANVAS, INFLATED, frontmost, pixels, place, project, rearmost, set_view, settle, visible_among


def test_on_the_lateral_view_the_front_of_the_left_hemisphere_is_at_the_left_and_that_of_the_right_at_the_right(still) -> None:
    set_view(still, "lateral")
    left_front, left_back = place(still, "lh", frontmost("lh"))["x"], place(still, "lh", rearmost("lh"))["x"]
    right_front, right_back = place(still, "rh", frontmost("rh"))["x"], place(still, "rh", rearmost("rh"))["x"]
    assert left_front < left_back < right_back < right_front


@pytest.mark.parametrize("view", VIEWS)
def test_every_vertex_is_drawn_where_the_core_s_view_puts_it(still, view: str) -> None:
    set_view(still, view)
    chosen = np.random.default_rng(0).permutation(10_242)[:40]
    for hemi in HEMIS:
        right, up, _ = eye(view, hemi)
        expected = INFLATED[hemi][chosen] @ np.stack([right, -up], axis=1)  # y grows downwards on a screen
        found = np.array([[at["x"], at["y"]] for at in project(still, hemi, chosen)])
        scale = np.linalg.norm(np.ptp(found, axis=0)) / np.linalg.norm(np.ptp(expected, axis=0))
        assert np.allclose(found - found.mean(axis=0), scale * (expected - expected.mean(axis=0)), atol=0.1)
    sides = [element.inner_text() for element in still.locator(".side").all()]
    assert sides == (["R", "L"] if VIEWS[view].swapped else ["L", "R"])
    assert (place(still, "lh", rearmost("lh"))["x"] > place(still, "rh", rearmost("rh"))["x"]) == VIEWS[view].swapped


def test_the_picture_agrees_with_the_projection(still) -> None:
    """On the map of height the colours grow lighter from the bottom of the data to its top; in front there are none."""
    set_view(still, "lateral")
    settle(still)
    picture = pixels(still)
    sphere = mesh("sphere", "lh")[0] / 100

    def colours(vertices: np.ndarray) -> np.ndarray:
        places = project(still, "lh", visible_among(still, "lh", vertices))
        return np.array([picture[int(at["y"]), int(at["x"])] for at in places])

    coloured = (np.abs(sphere[:, 1] + 0.7) < 0.15) & (np.abs(sphere[:, 2]) > 0.1) & (sphere[:, 0] < -0.2)  # beside the outlines
    seen = visible_among(still, "lh", np.flatnonzero(coloured))
    assert np.corrcoef(colours(seen).sum(axis=1), sphere[seen, 2])[0, 1] > 0.9
    grey = np.ptp(colours(np.flatnonzero(sphere[:, 1] > -0.4)[::20]), axis=1)
    assert np.median(grey) < 12


def test_the_picked_vertex_is_the_one_in_front_never_one_behind(still) -> None:
    n_beside = 0
    for view in ("lateral", "medial", "ventral"):
        set_view(still, view)
        for hemi in HEMIS:
            towards = eye(view, hemi)[2]
            vertices = np.random.default_rng(1).permutation(10_242)[:60]
            places = project(still, hemi, vertices)
            ask = "(canvas, places) => places.map(({ x, y }) => canvas.brain.pick(x, y))"
            for vertex, at, picked in zip(vertices, places, still.locator(CANVAS).evaluate(ask, places), strict=True):
                if picked is None:
                    n_beside += 1  # on the very edge of the picture of the brain
                elif at["visible"] and picked["vertex"] != vertex:  # near an edge, the neighbour in front of it
                    assert np.linalg.norm(INFLATED[hemi][picked["vertex"]] - INFLATED[hemi][vertex]) < 6
                elif not at["visible"]:
                    assert INFLATED[hemi][picked["vertex"]] @ towards > INFLATED[hemi][vertex] @ towards
    assert n_beside < 10  # of 360


def test_the_flat_sheets_lie_back_to_back_and_upright(flat) -> None:
    for hemi in HEMIS:
        used = np.unique(mesh("flat", hemi)[1])
        pial = mesh("pial", hemi)[0][used]
        picks = [pial[:, 1].argmax(), pial[:, 1].argmin(), pial[:, 2].argmax(), pial[:, 2].argmin()]
        front, back, top, bottom = project(flat, hemi, used[picks])
        assert (front["x"] < back["x"]) == (hemi == "lh")
        assert top["y"] < bottom["y"]
    assert flat.locator("button[data-view=lateral]").is_disabled()


def outline(faces: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """The border of a set of vertices, as line segments that run halfway between inside and outside.

    Returns
    -------
    (n_segments, 2, 2) uint32: each segment's two ends, each end the middle of an edge between two vertices. A triangle that the border
    crosses holds one segment (marching triangles).
    """
    inside = np.asarray(membership, bool)[faces]
    count = inside.sum(axis=1)
    crossed = (count == 1) | (count == 2)
    lone = np.where(count[crossed] == 1, inside[crossed].argmax(axis=1), inside[crossed].argmin(axis=1))
    corners = faces[crossed]
    row = np.arange(len(corners))
    first, second, third = (corners[row, (lone + step) % 3] for step in range(3))
    return np.stack([np.stack([first, second], axis=1), np.stack([first, third], axis=1)], axis=1).astype(np.uint32)


@pytest.mark.parametrize("shape", ["inflated", "flat"])
def test_outlines_hold_as_many_segments_as_the_core_finds(shape: str, request) -> None:
    page = request.getfixturevalue({"inflated": "still", "flat": "flat"}[shape])
    for hemi in HEMIS:
        x, y, z = mesh("sphere", hemi)[0].T / 100
        rois = [y < -0.9, (y < -0.5) & (np.abs(x) < 0.15) & (y > -0.8) & (z < 0)]
        expected = sum(len(outline(mesh(shape, hemi)[1], inside)) for inside in rois)
        assert int(page.locator(CANVAS).get_attribute(f"data-{hemi}-segments")) == expected
