"""The page keeps its place while what it shows arrives."""

from __future__ import annotations

import pytest

from tests import with_nightly
from tests.browser.driving import open_page, wait_idle
from tests.browser.layout_faults import layout_faults

MOST = 0.1  # of cumulative layout shift, what web.dev calls good
OBSERVER = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) shifts.push({ value: entry.value, time: entry.startTime });
}).observe({ type: "layout-shift", buffered: true });
new MutationObserver(() => {
  const main = document.querySelector("[data-testid=stMainBlockContainer]");
  if (main?.querySelector("h1") && getComputedStyle(main).paddingTop === "56px") window.began ??= performance.now();
}).observe(document, { childList: true, subtree: true });
"""
# Streamlit's frame and its loader of our style come before.
AFTER = "() => shifts.filter(({ time }) => time > began + 200).reduce((sum, { value }) => sum + value, 0)"


@pytest.mark.parametrize(("address", "brain"), [("explore", "brain"), ("layers?backbones=gabor", "layer_brain")])
def test_nothing_jumps_when_the_brain_arrives(new_page, app, address, brain):
    page = new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(OBSERVER)
    open_page(page, app.url)  # the browser then has what it loads Streamlit's elements from
    open_page(page, f"{app.url}/{address}")
    page.wait_for_selector(f".st-key-{brain} canvas[data-frames]")
    page.wait_for_timeout(500)
    height = page.locator(f".st-key-{brain}").evaluate("(place) => [place.offsetHeight, parseFloat(getComputedStyle(place).minHeight)]")
    assert height[0] == pytest.approx(height[1], abs=40)
    assert page.evaluate(AFTER) < MOST
    for width in (1280, 360):  # of a column, and of a phone
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(500)
        buttons = page.locator(f".st-key-{brain} .toolbar button")
        assert buttons.evaluate_all("(all) => new Set(all.map((button) => button.offsetTop)).size") == 1
        assert buttons.last.evaluate("(button) => button.getBoundingClientRect().right") <= width


FULL = (
    "explore?groups=streams", "explore?vertex=lh+784&part=Predictions", "layers?backbones=gabor", "experiments?backbone=gabor", "predict",
    "data?stimulus=3", "region?roi=V1v", "learn?lesson=ridge&show=true", "learn?lesson=pitfalls&show=true",
)  # fmt: skip


@pytest.mark.parametrize("address", with_nightly(FULL, always=("layers?backbones=gabor", "experiments?backbone=gabor", "region?roi=V1v")))
def test_every_word_of_a_chart_has_room_on_a_tablet_and_a_phone(new_page, app, address):
    page = new_page(viewport={"width": 820, "height": 1180})
    open_page(page, f"{app.url}/{address}")
    page.wait_for_selector("[data-testid=stMain] :is(.js-plotly-plot, canvas, img)")
    for width in (820, 390):
        page.set_viewport_size({"width": width, "height": 1180})
        for screen in range(6):  # what is below the fold is drawn when it is seen
            page.get_by_test_id("stMain").evaluate("(main, y) => main.scrollTo(0, y)", 900 * screen)
            page.wait_for_timeout(300)
        wait_idle(page)
        assert not layout_faults(page)


@pytest.mark.parametrize(("address", "card", "leads_to"), [("", "door_learn", "learn"), ("learn", "lesson_response", "lesson=response")])
def test_the_whole_of_a_card_is_its_link(new_page, app, address, card, leads_to):
    page = new_page(viewport={"width": 1280, "height": 800})
    open_page(page, f"{app.url}/{address}")
    corner = """([card, leads]) => {
      const box = document.querySelector(`.st-key-${card}`)?.getBoundingClientRect();
      const at = box && [box.right - 10, box.bottom - 5];
      return at && (!leads || document.elementFromPoint(...at)?.closest("a, button")) ? at : null;
    }"""
    page.wait_for_function(corner, arg=[card, True])
    at, before = page.evaluate(corner, [card, False]), None
    while at != before:  # until what is above it has come
        page.wait_for_timeout(1000)
        at, before = page.evaluate(corner, [card, False]), at
    page.mouse.click(*at)
    page.wait_for_url(f"**{leads_to}*")


def test_the_links_of_a_closed_sidebar_are_not_in_the_order_of_the_tab_key(new_page, app):
    page = new_page(viewport={"width": 390, "height": 800})
    open_page(page, f"{app.url}/learn")
    page.wait_for_selector("[data-testid=stSidebar][data-collapsed=true]", state="attached")
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getBoundingClientRect().right > 0"), "the focus is off screen"
    page.locator("[data-testid=stExpandSidebarButton]").click()
    page.get_by_role("link", name="Explore").first.wait_for()
