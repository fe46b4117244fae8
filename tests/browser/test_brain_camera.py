"""The turning brain in a real browser: how it is turned, and that it stays turned."""

from __future__ import annotations

import re

import numpy as np
import pytest

from encoding.datasets._surface import HEMIS, eye
from tests.browser.driving import open_page, wait_idle
from tests.browser.driving_brain import (
    CANVAS,
    INFLATED,
    choose,
    drag,
    hover,
    place,
    press_slider,
    project,
    rearmost,
    set_view,
    settle,
    state,
    title_shown,
)

LINK_TELLS_ZOOM = "(zoom) => Math.abs(Number(new URLSearchParams(location.search).get('camera')?.split(',')[2]) - zoom) < 0.006"


def test_the_camera_stays_when_the_map_the_threshold_or_the_roi_changes(brain) -> None:
    set_view(brain, "ventral")
    drag(brain, 60, 25)
    before = state(brain, "camera")
    assert before["view"] is None
    for option in ("depth", "difference"):
        choose(brain, "map", option)
        title_shown(brain, option)
        assert state(brain, "camera") == before
    press_slider(brain, "ArrowRight")
    brain.wait_for_selector(".hidden-part", state="attached")
    assert state(brain, "camera") == before


def test_dragging_moves_the_near_side_with_the_pointer_and_the_other_hemisphere_in_the_mirror(still) -> None:
    for side, hemi in (("left", "lh"), ("right", "rh")):
        set_view(still, "lateral")
        near = {h: [int((INFLATED[h] @ eye("lateral", h)[2]).argmax()), rearmost(h)] for h in HEMIS}

        def offsets(near=near) -> dict[str, float]:
            return {h: (at := project(still, h, near[h]))[0]["x"] - at[1]["x"] for h in HEMIS}

        before = offsets()
        drag(still, 30, 0, side)
        after = offsets()
        other = "rh" if hemi == "lh" else "lh"
        assert after[hemi] > before[hemi]
        assert after[hemi] - before[hemi] == pytest.approx(before[other] - after[other], abs=3)


def test_the_camera_stays_at_the_view_that_brains_of_other_pages_start_with(brain) -> None:
    set_view(brain, "ventral")
    brain.wait_for_function("() => location.search.includes('camera=ventral')")
    choose(brain, "map", "depth")
    title_shown(brain, "depth")
    set_view(brain, "posterior")
    brain.wait_for_function("() => location.search.includes('camera=posterior')")
    choose(brain, "map", "height")
    title_shown(brain, "height")
    assert state(brain, "camera")["view"] == "posterior"


def test_a_brain_tells_its_camera_when_the_page_has_run(still) -> None:
    set_view(still, "dorsal")
    still.wait_for_function("() => location.search.includes('camera=dorsal')")
    wait_idle(still)
    stands = "(app, run) => app.setAttribute('data-test-script-state', run)"
    app = still.locator("[data-testid=stApp]")
    app.evaluate(stands, "running")
    set_view(still, "medial")
    still.wait_for_timeout(1500)  # three times the rest after which it is told
    assert "camera=dorsal" in still.url
    app.evaluate(stands, "notRunning")
    still.wait_for_function("() => location.search.includes('camera=medial')")


@pytest.mark.parametrize("order", ["the brain first", "the press first"])
def test_what_is_pressed_while_the_brain_tells_its_camera_is_shown(brain, order) -> None:
    set_view(brain, "posterior")
    n_pressed = int(brain.get_by_text(re.compile(r"^pressed \d+$")).inner_text().split()[1])
    presses = [
        (brain.locator(".st-key-map label").get_by_text("depth", exact=True), "Made-up map: depth"),
        (brain.locator(".st-key-press button"), f"pressed {n_pressed + 1}"),
    ]
    for number, (pressed, shown) in enumerate(presses):
        pressed.evaluate(
            """(pressed, [brainFirst, number]) => {
              const tell = () => {
                const detail = { name: "brain", camera: `${number},${brainFirst},1,0,0`, number: 1000 + number };
                if (window.dispatchEvent(new CustomEvent("brain-camera", { detail, cancelable: true }))) throw new Error("not heard");
              };
              if (brainFirst) tell();
              pressed.click();
              if (!brainFirst) tell();
            }""",
            [order == "the brain first", number],
        )
        brain.get_by_text(shown).wait_for()


def test_keys_turn_zoom_and_reset(still) -> None:
    set_view(still, "lateral")
    still.locator(CANVAS).focus()
    for key, name, sign in (("ArrowRight", "azimuth", 1), ("ArrowUp", "elevation", -1), ("+", "zoom", 1)):
        before = state(still, "camera")[name]
        still.keyboard.press(key)
        settle(still)
        assert np.sign(state(still, "camera")[name] - before) == sign
    still.keyboard.press("0")
    still.wait_for_selector("button[data-view=lateral][aria-pressed=true]")
    assert state(still, "camera") == {"view": "lateral", "azimuth": 0, "elevation": 0, "swapped": False, "zoom": 1, "panX": 0, "panY": 0}
    assert "arrow keys" in still.locator(CANVAS).get_attribute("aria-label")


def test_the_wheel_zooms_about_the_pointer(still) -> None:
    set_view(still, "lateral")
    at = place(still, "lh", rearmost("lh"))
    hover(still, "lh", rearmost("lh"))
    still.mouse.wheel(0, -400)
    settle(still)
    now = place(still, "lh", rearmost("lh"))
    assert state(still, "camera")["zoom"] > 1.5
    assert (now["x"], now["y"]) == pytest.approx((at["x"], at["y"]), abs=1)  # a wheel event's place is in whole pixels


def test_the_meshes_are_fetched_once_whatever_surface_is_shown(brain) -> None:
    asked = []
    brain.on("request", lambda request: asked.append(request.url))
    for shape in ("pial", "flat", "inflated"):
        choose(brain, "surface", shape)
        brain.wait_for_selector(f"{CANVAS}[data-surface={shape}]")
    assert not [url for url in asked if "app/static" in url]


def test_a_link_opens_the_camera_that_came_to_rest(brain) -> None:
    set_view(brain, "ventral")
    brain.wait_for_function("() => location.search.includes('camera=ventral')")
    drag(brain, 60, 25)
    brain.mouse.wheel(0, -300)
    settle(brain)
    turned = state(brain, "camera")
    assert turned["view"] is None and turned["zoom"] > 1
    brain.wait_for_function(LINK_TELLS_ZOOM, arg=turned["zoom"])  # the link names the camera before it, too, while that rests
    open_page(brain, brain.url)
    brain.wait_for_selector(f"{CANVAS}[data-frames]")
    again = state(brain, "camera")
    for name, within in {"azimuth": 0.06, "elevation": 0.06, "zoom": 0.006, "panX": 1, "panY": 1}.items():
        assert again[name] == pytest.approx(turned[name], abs=within), name
    brain.locator(CANVAS).focus()
    brain.keyboard.press("0")
    brain.wait_for_function("() => !location.search.includes('camera')")
