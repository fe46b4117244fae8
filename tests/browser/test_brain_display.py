"""The turning brain in a real browser: colours, words, saved images, and what a change of map costs."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from encoding.datasets._surface import HEMIS, mesh
from encoding.plots.brain.brain_map import BrainMap, viewer_module
from encoding.plots.brain.export import standalone_html
from tests.browser.driving import open_page, wait_idle
from tests.browser.driving_brain import APP, CANVAS, choose, pixels, press_slider, set_view, settle, state, title_shown


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
    brain.locator(".st-key-roi input").fill("None")
    brain.keyboard.press("Enter")
    brain.wait_for_selector(".name.chosen", state="detached")
    settle(brain)
    assert n_accent() == 0


def test_the_threshold_hides_small_values_and_says_so_on_the_colour_bar(brain) -> None:
    set_view(brain, "posterior")

    def n_coloured() -> int:
        picture = pixels(brain)
        return int((np.ptp(picture, axis=2) > 25).sum())

    before = n_coloured()
    press_slider(brain, "PageUp", "PageUp", "PageUp", "PageUp", "PageUp")
    brain.wait_for_selector(".hidden-part", state="attached")
    settle(brain)
    low_values_hidden = pixels(brain)
    assert 0.05 * before < n_coloured() < 0.8 * before
    brain.get_by_text("error", exact=True).click()  # the same values, of which the low ones are good
    wait_idle(brain)
    brain.get_by_text("Made-up map: error").wait_for()
    settle(brain)
    coloured = [np.ptp(picture, axis=2) > 25 for picture in (low_values_hidden, pixels(brain))]
    assert 0.05 * before < coloured[1].sum() < before
    assert (coloured[0] & coloured[1]).sum() < 0.1 * before, "what is hidden above the threshold is what is shown above it otherwise"


def test_words_are_shown_as_they_are_and_never_read_as_html(still) -> None:
    assert still.locator(".brain .title").inner_text() == "Made-up map: height <b>&amp;</b>"
    assert still.locator(".brain .title b").count() == 0


def test_names_stand_in_both_halves_or_in_none_and_stay_where_they_are(still) -> None:
    module = viewer_module().replace("export { createBrainView", "export { showNames, createBrainView")
    write = """async ([module, frames]) => {
      const { showNames } = await import(URL.createObjectURL(new Blob([module], { type: "text/javascript" })));
      const box = document.createElement("div");
      const named = () => [...box.children].map((each) => [each.textContent, Number(each.style.transform.match(/, ([-0-9.]+)px\\)$/)[1])]);
      return frames.map((labels) => { showNames(box, labels); return named(); });
    }"""

    def frame(gap: float) -> list[dict]:
        both = [("V1", 20, 100), ("V2", 20, 100 + gap), ("V1", 300, 100), ("V2", 300, 200)]
        return [{"text": text, "x": x, "y": y, "chosen": False} for text, x, y in both]

    apart, close, closer, crowd = frame(40), frame(5), frame(18), [{"text": f"R{n}", "x": 20, "y": 100, "chosen": n == 7} for n in range(8)]
    first, second, third, last = still.evaluate(write, [module, [apart, close, closer, crowd]])
    assert dict(first) == {"V1": 100, "V2": 200} and len(first) == 4 and ["V2", 140] in first
    moved = [y for text, y in second if text == "V2"]
    assert len(second) == 4 and moved[0] - 105 == moved[1] - 200 != 0, "as far in both halves"
    assert [y for text, y in third if text == "V2"] == [118 + moved[0] - 105, 200 + moved[1] - 200], "back only where there is room"
    assert last[0] == ["R7", 100] and len(last) == 5


def test_a_lost_graphics_context_comes_back_with_the_picture(still) -> None:
    before = pixels(still)
    still.locator(CANVAS).evaluate(
        "canvas => { canvas.lose = canvas.getContext('webgl2').getExtension('WEBGL_lose_context'); canvas.lose.loseContext(); }"
    )
    still.get_by_text("The GPU was reset").wait_for()
    still.locator(CANVAS).evaluate("canvas => canvas.lose.restoreContext()")
    still.get_by_text("The GPU was reset").wait_for(state="hidden")
    settle(still)
    assert np.abs(pixels(still) - before).mean() < 1


def test_without_webgl2_a_message_names_what_to_do(new_page, start_app) -> None:
    page = new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    open_page(page, start_app(APP))
    page.get_by_text("no WebGL2").wait_for()
    assert "hardware acceleration" in page.locator(".brain .message").inner_text()


def test_the_picture_is_as_sharp_as_the_screen_and_follows_the_window(new_page, start_app) -> None:
    page = new_page(viewport={"width": 900, "height": 900}, device_scale_factor=2)
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


def test_the_saved_picture_holds_the_brain_and_the_colour_bar(still, tmp_path) -> None:
    with still.expect_download() as download:
        still.click("button.save")
    assert re.fullmatch(r"brain-Made-up-map-[\w-]+\.png", download.value.suggested_filename)
    download.value.save_as(tmp_path / "brain.png")
    saved = np.asarray(Image.open(tmp_path / "brain.png").convert("RGB")).astype(int)
    assert saved.shape[1] >= 2 * still.locator(CANVAS).bounding_box()["width"] - 1
    assert still.locator(CANVAS).evaluate("canvas => canvas.width === Math.round(canvas.clientWidth * devicePixelRatio)")
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
    title_shown(brain, "height")
    with_source = saved_picture(brain, tmp_path / "with.png")
    choose(brain, "map", "depth")  # the same brain without such a line
    title_shown(brain, "depth")
    without = saved_picture(brain, tmp_path / "without.png")
    ratio = max(2, brain.evaluate("devicePixelRatio"))
    assert len(with_source) - len(without) == 15 * ratio
    added = with_source[-round(17 * ratio) :]
    ink = np.flatnonzero((np.abs(added - added[0, 0]) > 60).any(axis=0))
    assert 200 * ratio < np.ptp(ink) < 500 * ratio and ink.max() > added.shape[1] - 40 * ratio  # a line of text, at the right


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
    for turn in range(6):
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
    cdp.detach()
    assert brain.locator(CANVAS).count() == 1


def test_the_stand_alone_file_opens_offline_turns_and_switches_surfaces(new_page, tmp_path) -> None:
    page = new_page()
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
