"""The turning brain in a real browser: what a pointer or the keyboard selects, and what of it arrives in Python."""

from __future__ import annotations

import re

import numpy as np

from encoding.datasets._surface import HEMIS, mesh
from tests.browser.driving import wait_idle
from tests.browser.driving_brain import CANVAS, frontmost, hover, in_the_cap, set_view, settle, state


def test_hovering_tells_hemisphere_vertex_rois_value_and_ceiling(still) -> None:
    set_view(still, "posterior")
    vertex = in_the_cap(still, "rh")
    sphere = mesh("sphere", "rh")[0] / 100
    hover(still, "rh", vertex)
    text = still.locator(".tooltip").inner_text().splitlines()
    column = int((np.flatnonzero(sphere[:, 1] < -0.5) > vertex).sum())  # the app's columns run from the last vertex to the first
    assert text == [
        f"Right hemisphere, vertex rh {column} (fsaverage {vertex})",
        "cap",
        f"r {(sphere[vertex, 2] + 1) / 2:.3f}, ceiling 0.900",
    ]


def test_a_vertex_without_data_says_so_and_cannot_be_selected(still) -> None:
    set_view(still, "anterior")
    still.mouse.click(*hover(still, "lh", frontmost("lh")))
    assert still.locator(".tooltip").inner_text().splitlines()[-1] == "no data"
    wait_idle(still)
    assert still.get_by_text("selected nothing").is_visible()


def test_a_click_brings_hemisphere_and_column_to_python_and_marks_the_vertex(still) -> None:
    set_view(still, "posterior")
    for hemi in HEMIS:
        vertex = in_the_cap(still, hemi)
        still.mouse.click(*hover(still, hemi, vertex))
        shown = still.get_by_text(re.compile(rf"selected {hemi} column \d+ vertex {vertex} "))
        shown.wait_for()
        sphere = mesh("sphere", hemi)[0] / 100
        column = np.flatnonzero(sphere[:, 1] < -0.5)[::-1].tolist().index(vertex)
        value = (sphere[vertex, 2] + 1) / 2
        assert shown.inner_text() == f"selected {hemi} column {column} vertex {vertex} value {value:.3f} callback True"
        assert state(still, "selected") == {"hemi": hemi, "vertex": vertex}
        assert still.locator(".marker").is_visible()
    still.locator(CANVAS).focus()
    still.keyboard.press("Escape")
    still.get_by_text("selected nothing").wait_for()
    assert not still.locator(".marker").is_visible()


def test_a_vertex_is_chosen_from_the_keyboard_alone(still) -> None:
    canvas = still.locator(CANVAS)
    still.get_by_role("button", name="Posterior").focus()
    still.keyboard.press("Enter")
    settle(still)
    for _ in range(20):
        if still.evaluate("document.activeElement?.shadowRoot?.activeElement?.tagName ?? document.activeElement.tagName") == "CANVAS":
            break
        still.keyboard.press("Tab")
    cross = still.locator(".brain .cross")
    cross.wait_for()
    box, at = canvas.bounding_box(), cross.bounding_box()
    assert 0 < at["x"] - box["x"] < box["width"] / 2  # on the left hemisphere
    for _ in range(2):
        still.keyboard.press("ArrowUp")  # away from a band without data
    settle(still)
    still.keyboard.press("Enter")
    still.get_by_text(re.compile(r"selected lh column \d+ vertex \d+")).wait_for()
    first = still.get_by_text(re.compile(r"selected lh column \d+ vertex \d+")).inner_text()
    assert "(selected)" in still.locator(".brain [role=status]").inner_text(), "which is read aloud"
    still.keyboard.press("ArrowRight")
    settle(still)
    still.keyboard.press("Enter")
    still.wait_for_function("first => !document.body.innerText.includes(first)", arg=first)
    still.keyboard.press("h")
    still.keyboard.press("Enter")
    still.get_by_text(re.compile(r"selected rh column \d+")).wait_for()
    still.keyboard.press("Escape")
    still.get_by_text("selected nothing").wait_for()
    still.mouse.move(box["x"] + 10, box["y"] + 10)
    assert not cross.is_visible()
