"""The turning brain in a real browser: where things are, what stays, what a click brings to Python, and what it costs."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from driving import Guards, open_page, wait_idle
from PIL import Image

from encoding.datasets._surface import HEMIS, VIEWS, eye, mesh, outline
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.export import standalone_html

APP = "tests/browser/apps/brain_app.py"
CANVAS = "canvas.picture"
INFLATED = {hemi: mesh("inflated", hemi)[0] for hemi in HEMIS}


@pytest.fixture
def brain(page, start_app):
    """A fresh page of the app, its brain drawn."""
    return drawn(page, start_app)


@pytest.fixture(scope="module")
def still(browser, start_app):
    """A page that many tests share: they turn the brain but leave the app's widgets alone."""
    yield from shared_page(browser, start_app)


@pytest.fixture(scope="module")
def flat(browser, start_app):
    """A page that shows the flat surface."""
    for page in shared_page(browser, start_app):
        choose(page, "surface", "flat")
        page.wait_for_selector(f"{CANVAS}[data-surface=flat]")
        yield page


def shared_page(browser, start_app):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    guards = Guards(page)
    yield drawn(page, start_app)
    guards.check()
    context.close()


def drawn(page, start_app):
    open_page(page, start_app(APP))
    page.wait_for_selector(f"{CANVAS}[data-frames]")
    return page


def project(page, hemi: str, vertices) -> list[dict]:
    """Where vertices are in the picture: x and y in pixels, and whether they are visible."""
    ask = "(canvas, [hemi, vertices]) => vertices.map((vertex) => canvas.brain.project(hemi, vertex))"
    return page.locator(CANVAS).evaluate(ask, [hemi, [int(vertex) for vertex in vertices]])


def settle(page) -> None:
    """Wait until a frame that was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def place(page, hemi: str, vertex: int) -> dict:
    return project(page, hemi, [vertex])[0]


def state(page, name: str):
    return json.loads(page.locator(CANVAS).get_attribute(f"data-{name}"))


def set_view(page, view: str) -> None:
    page.click(f"button[data-view={view}]")
    page.wait_for_selector(f"button[data-view={view}][aria-pressed=true]")


def choose(page, key: str, option: str) -> None:
    page.locator(f".st-key-{key} label").get_by_text(option, exact=True).click()
    wait_idle(page)


def title_shown(page, name: str) -> None:
    page.wait_for_selector(f'{CANVAS}[data-title^="Made-up map: {name}"]')


def pixels(page):
    """(height, width, 3) int: what the person sees of the picture."""
    return np.asarray(Image.open(io.BytesIO(page.locator(CANVAS).screenshot())).convert("RGB")).astype(int)


def visible_among(page, hemi: str, vertices: np.ndarray) -> list[int]:
    return [int(vertex) for vertex, at in zip(vertices, project(page, hemi, vertices), strict=True) if at["visible"]]


def in_the_cap(page, hemi: str) -> int:
    """A visible vertex of the app's ROI "cap" that has a value."""
    y, z = mesh("sphere", hemi)[0][:, 1:].T / 100
    return visible_among(page, hemi, np.flatnonzero((y < -0.95) & (np.abs(z) > 0.1)))[0]


def frontmost(hemi: str) -> int:
    return int(INFLATED[hemi][:, 1].argmax())


def rearmost(hemi: str) -> int:
    return int(INFLATED[hemi][:, 1].argmin())


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


def test_hovering_tells_hemisphere_vertex_rois_value_and_ceiling(still) -> None:
    set_view(still, "posterior")
    vertex = in_the_cap(still, "rh")
    sphere = mesh("sphere", "rh")[0] / 100
    hover(still, "rh", vertex)
    text = still.locator(".tooltip").inner_text().splitlines()
    column = int((np.flatnonzero(sphere[:, 1] < -0.5) > vertex).sum())  # the app's columns run from the last vertex to the first
    assert text == [f"Right hemisphere, vertex {column} (fsaverage {vertex})", "cap", f"r {(sphere[vertex, 2] + 1) / 2:.3f}, ceiling 0.900"]


def hover(page, hemi: str, vertex: int) -> tuple[float, float]:
    box, at = page.locator(CANVAS).bounding_box(), place(page, hemi, vertex)
    point = box["x"] + at["x"], box["y"] + at["y"]
    page.mouse.move(*point)
    return point


def test_a_vertex_without_data_says_so_and_cannot_be_selected(still) -> None:
    set_view(still, "anterior")
    still.mouse.click(*hover(still, "lh", frontmost("lh")))
    assert still.locator(".tooltip").inner_text().splitlines()[-1] == "no data"
    wait_idle(still)
    assert still.get_by_text("selected nothing").is_visible()


def test_a_click_brings_hemisphere_and_column_to_python_and_marks_the_vertex(brain) -> None:
    set_view(brain, "posterior")
    for hemi in HEMIS:
        vertex = in_the_cap(brain, hemi)
        brain.mouse.click(*hover(brain, hemi, vertex))
        shown = brain.get_by_text(re.compile(rf"selected {hemi} column \d+ vertex {vertex} "))
        shown.wait_for()
        sphere = mesh("sphere", hemi)[0] / 100
        column = np.flatnonzero(sphere[:, 1] < -0.5)[::-1].tolist().index(vertex)
        value = (sphere[vertex, 2] + 1) / 2
        assert shown.inner_text() == f"selected {hemi} column {column} vertex {vertex} value {value:.3f} callback True"
        assert state(brain, "selected") == {"hemi": hemi, "vertex": vertex}
        assert brain.locator(".marker").is_visible()
    brain.locator(CANVAS).focus()
    brain.keyboard.press("Escape")
    brain.get_by_text("selected nothing").wait_for()
    assert not brain.locator(".marker").is_visible()


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


def press_slider(page, *keys: str) -> None:
    page.locator(".st-key-threshold [role=slider], .st-key-threshold input[type=range]").first.focus()
    for key in keys:
        page.keyboard.press(key)
    wait_idle(page)


def drag(page, dx: float, dy: float, side: str = "left") -> None:
    box = page.locator(CANVAS).bounding_box()
    x, y = box["x"] + box["width"] * (0.25 if side == "left" else 0.75), box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=5)
    page.mouse.up()
    settle(page)


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


def test_the_flat_sheets_lie_back_to_back_and_upright(flat) -> None:
    for hemi in HEMIS:
        used = np.unique(mesh("flat", hemi)[1])
        pial = mesh("pial", hemi)[0][used]
        picks = [pial[:, 1].argmax(), pial[:, 1].argmin(), pial[:, 2].argmax(), pial[:, 2].argmin()]
        front, back, top, bottom = project(flat, hemi, used[picks])
        assert (front["x"] < back["x"]) == (hemi == "lh")
        assert top["y"] < bottom["y"]
    assert flat.locator("button[data-view=lateral]").is_disabled()


@pytest.mark.parametrize("shape", ["inflated", "flat"])
def test_outlines_hold_as_many_segments_as_the_core_finds(shape: str, request) -> None:
    page = request.getfixturevalue({"inflated": "still", "flat": "flat"}[shape])
    for hemi in HEMIS:
        x, y, z = mesh("sphere", hemi)[0].T / 100
        rois = [y < -0.9, (y < -0.5) & (np.abs(x) < 0.15) & (y > -0.8) & (z < 0)]
        expected = sum(len(outline(mesh(shape, hemi)[1], inside)) for inside in rois)
        assert int(page.locator(CANVAS).get_attribute(f"data-{hemi}-segments")) == expected


def test_the_chosen_roi_is_drawn_in_the_accent_colour(brain) -> None:
    set_view(brain, "posterior")

    def n_accent() -> int:
        red, green, blue = pixels(brain).transpose(2, 0, 1)
        return int(((red < 90) & (green > 190) & (blue > 210)).sum())

    assert n_accent() == 0
    brain.locator(".st-key-roi input").fill("cap")
    brain.keyboard.press("Enter")
    wait_idle(brain)
    brain.wait_for_selector(".name.chosen")
    assert n_accent() > 300


def test_the_threshold_hides_small_values_and_says_so_on_the_colour_bar(brain) -> None:
    set_view(brain, "posterior")

    def n_coloured() -> int:
        picture = pixels(brain)
        return int((np.ptp(picture, axis=2) > 25).sum())

    before = n_coloured()
    press_slider(brain, "PageUp", "PageUp", "PageUp", "PageUp", "PageUp")
    brain.wait_for_selector(".hidden-part", state="attached")
    settle(brain)
    assert 0.05 * before < n_coloured() < 0.8 * before


def test_words_are_shown_as_they_are_and_never_read_as_html(still) -> None:
    assert still.locator(".brain .title").inner_text() == "Made-up map: height <b>&amp;</b>"
    assert still.locator(".brain .title b").count() == 0


def test_a_lost_graphics_context_comes_back_with_the_picture(brain) -> None:
    before = pixels(brain)
    brain.locator(CANVAS).evaluate(
        "canvas => { canvas.lose = canvas.getContext('webgl2').getExtension('WEBGL_lose_context'); canvas.lose.loseContext(); }"
    )
    brain.get_by_text("The GPU was reset").wait_for()
    brain.locator(CANVAS).evaluate("canvas => canvas.lose.restoreContext()")
    brain.get_by_text("The GPU was reset").wait_for(state="hidden")
    settle(brain)
    assert np.abs(pixels(brain) - before).mean() < 1


def test_without_webgl2_a_message_names_what_to_do(page, start_app) -> None:
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    open_page(page, start_app(APP))
    page.get_by_text("no WebGL2").wait_for()
    assert "hardware acceleration" in page.locator(".brain .message").inner_text()


def test_the_picture_is_as_sharp_as_the_screen_and_follows_the_window(browser, start_app) -> None:
    context = browser.new_context(viewport={"width": 900, "height": 900}, device_scale_factor=2)
    page = context.new_page()
    open_page(page, start_app(APP))
    page.wait_for_selector(f"{CANVAS}[data-frames]")
    size = "canvas => [canvas.width / canvas.clientWidth, canvas.width, canvas.height / canvas.clientHeight]"
    across, wide, down = page.locator(CANVAS).evaluate(size)
    assert (across, down) == pytest.approx((2, 2), abs=0.01)
    page.set_viewport_size({"width": 600, "height": 900})
    for _ in range(100):
        across, narrow, _ = page.locator(CANVAS).evaluate(size)
        if narrow < wide and across == pytest.approx(2, abs=0.01):
            break
        settle(page)
    assert narrow < wide
    assert across == pytest.approx(2, abs=0.01)
    context.close()


def test_the_saved_picture_holds_the_brain_and_the_colour_bar(still, tmp_path) -> None:
    with still.expect_download() as download:
        still.click("button.save")
    download.value.save_as(tmp_path / "brain.png")
    saved = np.asarray(Image.open(tmp_path / "brain.png").convert("RGB")).astype(int)
    coloured = (np.ptp(saved, axis=2) > 40).mean(axis=1)
    assert coloured[: len(coloured) * 8 // 10].max() > 0.1  # the brain
    assert coloured[len(coloured) * 9 // 10 :].max() > 0.1  # the colour bar


def saved_picture(page, path) -> np.ndarray:
    with page.expect_download() as download:
        page.click("button.save")
    download.value.save_as(path)
    return np.asarray(Image.open(path).convert("L")).astype(int)


def test_the_saved_picture_says_below_the_brain_where_its_numbers_come_from(brain, tmp_path) -> None:
    choose(brain, "map", "height")
    with_source = saved_picture(brain, tmp_path / "with.png")
    choose(brain, "map", "depth")  # the same brain without such a line
    without = saved_picture(brain, tmp_path / "without.png")
    ratio = brain.evaluate("devicePixelRatio")
    assert len(with_source) - len(without) == 15 * ratio
    added = with_source[-round(17 * ratio) :]
    ink = np.flatnonzero((np.abs(added - added[0, 0]) > 60).any(axis=0))
    assert 200 * ratio < np.ptp(ink) < 500 * ratio and ink.max() > added.shape[1] - 40 * ratio  # a line of text, at the right


def test_a_vertex_is_chosen_from_the_keyboard_alone(brain) -> None:
    canvas = brain.locator(CANVAS)
    brain.get_by_role("button", name="Posterior").focus()
    brain.keyboard.press("Enter")
    settle(brain)
    for _ in range(20):
        if brain.evaluate("document.activeElement?.shadowRoot?.activeElement?.tagName ?? document.activeElement.tagName") == "CANVAS":
            break
        brain.keyboard.press("Tab")
    cross = brain.locator(".brain .cross")
    cross.wait_for()
    box, at = canvas.bounding_box(), cross.bounding_box()
    assert 0 < at["x"] - box["x"] < box["width"] / 2  # on the left hemisphere
    for _ in range(2):
        brain.keyboard.press("ArrowUp")  # away from a band without data
    settle(brain)
    brain.keyboard.press("Enter")
    brain.get_by_text(re.compile(r"selected lh column \d+ vertex \d+")).wait_for()
    first = brain.get_by_text(re.compile(r"selected lh column \d+ vertex \d+")).inner_text()
    brain.keyboard.press("ArrowRight")
    settle(brain)
    brain.keyboard.press("Enter")
    brain.wait_for_function("first => !document.body.innerText.includes(first)", arg=first)
    brain.keyboard.press("h")
    brain.keyboard.press("Enter")
    brain.get_by_text(re.compile(r"selected rh column \d+")).wait_for()
    brain.keyboard.press("Escape")
    brain.get_by_text("selected nothing").wait_for()
    brain.mouse.move(box["x"] + 10, box["y"] + 10)
    assert not cross.is_visible()


def test_a_switch_is_small_and_many_leave_nothing_behind(brain) -> None:
    cdp = brain.context.new_cdp_session(brain)
    cdp.send("Network.enable")
    received = []
    cdp.on("Network.webSocketFrameReceived", lambda event: received.append(len(event["response"]["payloadData"]) * 3 // 4))

    def heap() -> int:
        cdp.send("HeapProfiler.collectGarbage")
        return cdp.send("Runtime.getHeapUsage")["usedSize"]

    choose(brain, "map", "depth")
    start, sizes, times = heap(), [], []
    for turn in range(12):
        option = ("height", "depth", "difference")[turn % 3]
        del received[:]
        took = brain.evaluate("() => performance.now()")
        brain.locator(".st-key-map label").get_by_text(option, exact=True).click()
        title_shown(brain, option)
        times.append(brain.evaluate("() => performance.now()") - took)
        wait_idle(brain)
        sizes.append(sum(received))
    print(f"per switch: {np.median(sizes) / 1000:.1f} kB, {np.median(times):.0f} ms; heap {start / 1e6:.1f} -> {heap() / 1e6:.1f} MB")
    assert np.median(sizes) < 40_000  # 5,000 vertices, twice what a subject of Algonauts 2023 has
    assert heap() < start + 6_000_000
    assert brain.locator(CANVAS).count() == 1


def test_the_stand_alone_file_opens_offline_turns_and_switches_surfaces(page, tmp_path) -> None:
    vertices = {hemi: np.flatnonzero(mesh("sphere", hemi)[0][:, 1] < -20) for hemi in HEMIS}
    values = {hemi: (mesh("sphere", hemi)[0][vertices[hemi], 2] / 100).astype(np.float32) for hemi in HEMIS}
    drawn = BrainMap(values=values, vertices=vertices, title="made <up>", view="posterior")
    (tmp_path / "brain.html").write_text(standalone_html(drawn, caption="simulated subject", provenance={"seed": 0}), "utf-8")
    page.context.set_offline(True)
    page.goto((tmp_path / "brain.html").as_uri())
    page.wait_for_selector(f"{CANVAS}[data-frames]")
    assert page.locator(".brain .title").inner_text() == "made <up>"
    assert page.get_by_text("simulated subject").is_visible()
    assert state(page, "camera")["view"] == "posterior"
    page.select_option("#surface", "pial")
    page.wait_for_selector(f"{CANVAS}[data-surface=pial]")
    picture = page.locator(CANVAS).bounding_box()
    page.mouse.click(picture["x"] + picture["width"] * 0.42, picture["y"] + picture["height"] * 0.3)
    page.get_by_text(re.compile(r"Selected: lh vertex \d+")).wait_for()
