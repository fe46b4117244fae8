"""Three people's ways through the app, end to end: a newcomer, a neuroscientist and a lecturer, on three sizes of screen in two themes."""

from __future__ import annotations

import re
from itertools import product

import pytest

from tests.browser.driving import open_page, wait_idle
from tests.browser.test_explore import choose_layer, open_tab, wait_for_figures

SIZES = {"laptop": (1280, 800), "tablet": (820, 1180), "phone": (390, 844)}
SCREENS = list(product(SIZES, ("light", "dark")))


@pytest.fixture
def screen(request, new_page, app):
    """A new visitor's page of the size and theme asked for, at Home."""
    size, theme = request.param
    page = new_page(viewport=dict(zip(("width", "height"), SIZES[size], strict=True)), color_scheme=theme)
    page.home = app.url
    open_page(page, page.home)
    return page


def go(page, title: str, path: str) -> None:
    """Follow a link of the sidebar, which a phone has behind a button."""
    link = page.get_by_test_id("stSidebarNav").get_by_role("link", name=title)
    if not link.is_visible() or link.bounding_box()["x"] < 0:
        page.get_by_test_id("stExpandSidebarButton").click()
    link.click()
    page.wait_for_url(f"**/{path}*")
    wait_idle(page)
    close = page.get_by_test_id("stSidebarCollapseButton").get_by_role("button")
    if page.viewport_size["width"] < 800 and close.count() and (box := close.bounding_box()) and box["x"] > 0:
        close.click()  # or it covers the page
        page.wait_for_timeout(500)


def fits_its_width(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def pick(page, key: str, left: float = 53, y: float = 0.62) -> None:
    """Click the brain low and left (px) of its middle, where visual cortex is however wide the picture, until the link names a vertex."""
    canvas = page.locator(f".st-key-{key} canvas[data-frames]")
    canvas.evaluate("(canvas) => canvas.scrollIntoView({ block: 'center' })")  # else a part of it may do, and not the place
    page.wait_for_timeout(300)
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2 - left, box["y"] + y * box["height"])
    page.wait_for_function("() => location.search.includes('vertex=')")
    wait_idle(page)


@pytest.mark.nightly
@pytest.mark.parametrize("screen", SCREENS, indirect=True, ids="-".join)
def test_a_newcomer_is_shown_around_once_predicts_a_picture_and_finds_what_a_vertex_likes(screen):
    page = screen
    page.wait_for_selector(".st-key-home_brain canvas[data-frames]", timeout=60_000)
    assert page.get_by_text("Simulated").first.is_visible() and fits_its_width(page)
    for number in range(1, 5):
        page.get_by_text(f"{number} of 4 ·").wait_for()
        wait_idle(page)
        page.get_by_role("button", name="Next" if number < 4 else "Done", exact=True).click()
    page.locator(".st-key-tour").wait_for(state="detached")
    wait_idle(page)
    open_page(page, page.home)  # the browser remembers
    page.wait_for_selector(".st-key-home_brain canvas[data-frames]", timeout=60_000)
    assert page.locator(".st-key-tour").count() == 0

    page.locator("[data-testid=stMain]").get_by_role("link", name="Show it your own image").click()
    page.wait_for_selector(".st-key-predict_brain canvas[data-frames]", timeout=60_000)
    page.locator(".st-key-predicted_regions_below").scroll_into_view_if_needed()  # it is drawn when it is seen
    page.wait_for_selector(".st-key-predicted_regions .js-plotly-plot", timeout=60_000)
    assert page.get_by_text("The model never saw it.").is_visible() and fits_its_width(page)

    go(page, "Data", "data")
    page.locator(".st-key-picks_grid img").nth(2).click(force=True)  # its button lies over it
    page.wait_for_function("() => location.search.includes('stimulus=3')")
    page.get_by_role("heading", name="Stimulus 3").wait_for()
    pick(page, "data_brain")
    page.get_by_text("Drive it most").wait_for()
    assert fits_its_width(page)


@pytest.mark.nightly
@pytest.mark.parametrize("screen", SCREENS, indirect=True, ids="-".join)
def test_a_neuroscientist_fits_a_control_compares_it_and_looks_at_one_vertex_under_every_fit(screen):
    page = screen
    page.locator("[data-testid=stMain]").get_by_role("link", name="Explore this model").click()
    page.wait_for_url("**/explore*")
    wait_for_figures(page)
    assert page.get_by_text("of 0.74 possible").is_visible() and fits_its_width(page)
    pick(page, "brain")
    open_tab(page, "Predictions")
    page.get_by_role("heading", name=re.compile(r"Vertex .h \d+ \(fsaverage")).wait_for()
    open_tab(page, "Regions")
    page.get_by_role("button", name="Pin as baseline").click()
    wait_idle(page)

    if page.viewport_size["width"] < 800:
        page.get_by_test_id("stExpandSidebarButton").click()
        page.wait_for_timeout(700)  # a menu that opens while the sidebar slides in is closed by that
    choose_layer(page, "simple")
    fit = page.locator(".st-key-fit button")
    if fit.is_enabled():
        fit.click()
    page.locator(".st-key-fit").get_by_role("button", name="Fitted").wait_for(timeout=240_000, state="attached")
    if page.viewport_size["width"] < 800:
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
    page.get_by_text("Baseline: Gabor filters").first.wait_for(timeout=120_000, state="attached")  # in the sidebar, which a phone hides
    page.get_by_role("link", name="Compare the two").click()
    page.wait_for_url("**/compare*")
    page.locator("[data-testid=stMain] h2").filter(has_not_text="All runs").first.wait_for(timeout=120_000)  # the verdict
    page.wait_for_selector(".st-key-compare_brain canvas[data-frames]", timeout=60_000)
    assert fits_its_width(page)

    open_page(page, f"{page.home}/region?vertex=lh+120")
    page.get_by_role("heading", name="Every finished fit").wait_for(timeout=60_000)
    page.locator(".st-key-covering").get_by_text("simple").first.wait_for(timeout=60_000)
    assert fits_its_width(page)


@pytest.mark.nightly
@pytest.mark.parametrize("screen", SCREENS, indirect=True, ids="-".join)
def test_a_lecturer_opens_the_course_asks_shows_and_goes_on_to_the_model(screen):
    page = screen
    page.locator("[data-testid=stMain]").get_by_role("link", name="Learn", exact=True).click()
    page.wait_for_url("**/learn*")
    wait_idle(page)
    assert fits_its_width(page)
    open_page(page, f"{page.home}/learn?lesson=ridge")
    main = page.locator("[data-testid=stMain]")
    main.get_by_role("radiogroup").first.locator("label").last.click()
    page.get_by_text("What this shows.").wait_for(timeout=60_000)
    main.locator(".js-plotly-plot").first.wait_for()
    slider = page.get_by_role("slider").first
    slider.focus()
    before = page.url
    page.keyboard.press("ArrowRight")
    page.wait_for_function("before => location.href !== before", arg=before)
    wait_idle(page)
    assert fits_its_width(page)
    page.locator(".st-key-next button").click()
    page.get_by_role("heading", name=re.compile("^6. ")).wait_for()
    assert fits_its_width(page)
