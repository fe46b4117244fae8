"""The main job as a person does it: open, look, click, change, cancel, come back by a link."""

from __future__ import annotations

from urllib.parse import parse_qs, urlparse

import pytest

from tests.browser.driving import open_page, wait_idle
from tests.browser.driving_brain import settle

CHARTS = {"Regions": ("bars",), "Predictions": ("observed", "residuals"), "Images needed": ("curve",)}  # by tab


def wait_for_figures(page, *, seconds: float = 180) -> None:
    """Wait until the fit is there, and its brain and bars are drawn."""
    page.locator(".st-key-fit button", has_text="Fitted").wait_for(timeout=seconds * 1000, state="attached")  # a phone hides the sidebar
    page.wait_for_selector(".st-key-brain canvas[data-frames]", timeout=seconds * 1000)
    page.wait_for_selector(".st-key-bars .js-plotly-plot", timeout=seconds * 1000)
    wait_idle(page)


def open_tab(page, name: str) -> None:
    """Open a tab and wait for its charts."""
    page.get_by_role("tab", name=name, exact=True).click()
    wait_idle(page)
    for chart in CHARTS.get(name, ()):
        page.locator(f".st-key-{chart}, .st-key-{chart}_below").first.scroll_into_view_if_needed()  # it may be drawn when it is seen
        page.wait_for_selector(f".st-key-{chart} .js-plotly-plot", timeout=180_000)


@pytest.fixture
def url(app):
    """The address of Explore; the tests of this folder share what it has fitted."""
    return f"{app.url}/explore"


@pytest.fixture
def explored(page, url):
    """The page with the first fit on it."""
    open_page(page, url)
    wait_for_figures(page)
    return page


def query(page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def choose_layer(page, name: str) -> None:
    """Put another layer in place of the chosen one."""
    page.locator(".st-key-layer input").click()
    page.get_by_role("option", name=name, exact=True).click()
    wait_idle(page)


def camera(page) -> str:
    return page.locator(".st-key-brain canvas").get_attribute("data-camera")


def test_opening_the_app_ends_in_a_finished_fit_that_says_it_is_simulated_above_the_fold(explored):
    assert explored.get_by_text("Simulated: no brain was measured").is_visible()
    assert explored.get_by_text("900 training and 100 test images").is_visible()
    explored.set_viewport_size({"width": 1280, "height": 800})
    brain, bars = (
        explored.locator(f".st-key-{key} {drawn}").bounding_box() for key, drawn in (("brain", "canvas"), ("bars", ".plot-container"))
    )
    assert brain["y"] + brain["height"] <= 800 and bars["y"] + 450 <= 800 and brain["x"] + brain["width"] <= bars["x"]
    explored.get_by_text("Advanced", exact=True).click()
    fit = explored.locator(".st-key-fit button")
    assert fit.bounding_box()["y"] + fit.bounding_box()["height"] <= 800
    explored.set_viewport_size({"width": 1000, "height": 800})
    brain, bars = (explored.locator(f".st-key-{key}").bounding_box() for key in ("brain", "bars"))
    assert brain["y"] + brain["height"] <= bars["y"]
    open_tab(explored, "Images")
    images = explored.locator("[data-testid=stImage] img")
    images.nth(11).wait_for()
    assert images.count() == 12


def test_a_click_moves_everything_to_that_vertex_of_the_brain_and_then_to_that_bars_roi(explored):
    box = explored.locator(".st-key-brain canvas").bounding_box()
    explored.mouse.click(box["x"] + 0.38 * box["width"], box["y"] + 0.62 * box["height"])
    explored.wait_for_function("() => location.search.includes('vertex=')")
    wait_idle(explored)
    hemi, column = query(explored)["vertex"].split()
    open_tab(explored, "Predictions")
    assert explored.get_by_role("heading", name=f"Vertex {hemi} {column} (fsaverage").is_visible()
    assert explored.locator(".st-key-vertex input").input_value() == f"{hemi} {column}"
    assert query(explored)["roi"] == explored.locator(".st-key-roi input").input_value()

    open_tab(explored, "Regions")
    explored.locator(".st-key-bars .barlayer .point path").nth(20).click(force=True)
    explored.wait_for_function("() => !location.search.includes('vertex=')")
    wait_idle(explored)
    roi = query(explored)["roi"]
    open_tab(explored, "Predictions")
    assert explored.get_by_role("heading", name=f"Mean of {roi} (").is_visible()


def test_a_link_opens_the_view_it_names(page, url):
    open_page(page, f"{url}?roi=FFA-1&score=mae&over=median&layer=energy")
    wait_for_figures(page)
    assert page.locator(".st-key-score input").input_value() == "MAE"
    page.locator(".st-key-bars .xtitle").wait_for()
    assert "bsolute error" in page.locator(".st-key-bars .xtitle").text_content()
    open_tab(page, "Predictions")
    assert page.get_by_role("heading", name="Mean of FFA-1 (").is_visible()


def test_a_link_leads_to_the_region_it_names_and_one_press_of_back_to_all_that_was_set(page, url):
    open_page(page, f"{url}?roi=V2v&surface=pial&over=median")
    wait_for_figures(page)
    page.get_by_text("V2v under every fit").click()
    page.get_by_role("heading", name="V2v", exact=True).wait_for()
    page.wait_for_function("() => location.pathname.endsWith('/region') && location.search.includes('roi=V2v')")
    wait_idle(page)
    page.go_back()
    wait_for_figures(page)
    assert {"roi": "V2v", "surface": "pial", "over": "median"}.items() <= query(page).items() and "/explore" in page.url


def test_two_quick_changes_over_a_slow_line_both_stay(new_page, url):
    page, held, waiting = new_page(), [], False

    def join(line) -> None:
        server = line.connect_to_server()
        server.on_message(lambda message: held.append((line, message)) if waiting else line.send(message))

    page.route_web_socket("**/_stcore/stream", join)
    open_page(page, f"{url}?layer=simple")
    page.get_by_text("not fitted yet").wait_for()
    waiting = True
    for key, option in (("layer", "energy"), ("readout", "nearest")):
        page.locator(f".st-key-{key} input").click()
        page.get_by_role("option", name=option).first.click()
        page.wait_for_timeout(1500)  # the server answers, and the browser does not hear of it
    waiting = False
    assert held and query(page)["layer"] == "simple"
    for line, message in held:
        line.send(message)
    page.wait_for_function("() => location.search.includes('readout=knn')")
    wait_idle(page)
    assert "layer" not in query(page) and "energy" in page.locator("[data-testid=stMain] h1").first.inner_text()


def test_another_layer_is_fitted_on_demand_and_the_camera_stays(explored):
    explored.locator(".st-key-brain canvas").focus()
    at_first = camera(explored)
    for _ in range(5):
        explored.keyboard.press("ArrowLeft")
    settle(explored)
    turned = camera(explored)
    assert turned != at_first
    choose_layer(explored, "simple")
    explored.get_by_text("not fitted yet").wait_for()
    assert explored.locator(".st-key-bars .js-plotly-plot").is_visible()  # the last result stays
    explored.locator(".st-key-fit button").click()
    wait_for_figures(explored)
    explored.get_by_text("Compare the two").wait_for()
    assert camera(explored) == turned
    choose_layer(explored, "energy")
    wait_for_figures(explored)
    assert camera(explored) == turned


def test_a_chart_further_down_is_drawn_when_it_comes_into_sight(explored):
    explored.set_viewport_size({"width": 1280, "height": 700})
    residuals, place = explored.locator(".st-key-residuals .js-plotly-plot"), explored.locator(".st-key-residuals_below")
    explored.get_by_role("tab", name="Predictions", exact=True).click()
    explored.wait_for_selector(".st-key-observed .js-plotly-plot")
    wait_idle(explored)
    height = place.bounding_box()["height"]
    assert residuals.count() == 0 and height > 300  # its place is kept
    place.scroll_into_view_if_needed()
    residuals.wait_for()
    assert place.bounding_box()["height"] == pytest.approx(height, abs=2)


@pytest.mark.parametrize(
    "charts", [{"Predictions": ("observed",)}, pytest.param(CHARTS, marks=pytest.mark.nightly)], ids=["one-chart", "every-chart"]
)
def test_everything_can_be_taken_away_and_charts_saved_in_the_format_chosen(explored, charts):
    open_tab(explored, "Take away")
    for label, beginning in (
        ("ROIs, CSV", b"roi,hemi,n_vertices"),
        ("Vertices, CSV", b"hemi,column,"),
        ("Brain, HTML", b"<!doctype html>"),
    ):
        with explored.expect_download() as download:
            explored.get_by_role("button", name=label).click()
        content = download.value.path().read_bytes()
        assert content[: len(beginning)].lower() == beginning.lower()
    text = explored.locator("[data-testid=stMain]").inner_text()
    assert "python -m encoding fit --dataset demo" in text
    assert "FitSpec(" in text and "backbone='gabor'" in text  # every setting is spelled out
    assert explored.url.split("?")[0].rstrip("/") in text

    for image_format, beginning in (("png", b"\x89PNG"), ("svg", b"<svg")):
        open_tab(explored, "Take away")
        explored.locator(".st-key-chart_format").get_by_role("radio", name=image_format).click()
        wait_idle(explored)
        for name, key in ((name, key) for name, keys in charts.items() for key in keys):
            open_tab(explored, name)
            chart = explored.locator(f".st-key-{key}")
            chart.scroll_into_view_if_needed()
            chart.hover()
            with explored.expect_download() as download:
                chart.locator("[data-title^='Download plot']").click()
            assert download.value.suggested_filename == f"encoding-explorer-{key}.{image_format}"
            assert download.value.path().read_bytes().startswith(beginning)
