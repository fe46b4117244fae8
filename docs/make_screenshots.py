"""Make the images of every page, light and dark, from the running app: ``python docs/make_screenshots.py``."""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path

PROJECT = Path(__file__).parents[1]
SIZE = {"width": 1280, "height": 800}
TALL = {"width": 1280, "height": 1250}
PAGES = {  # image to address, and what is there once the page is drawn
    "home": ("", ".st-key-home_brain canvas"),
    "explore": ("explore", ".st-key-bars .js-plotly-plot"),
    "data": ("data", "[data-testid=stImage] img"),
    "region": ("region?roi=V1v", "[data-testid=stImage] img"),
    "layers": ("layers", "canvas"),
    "compare": ("compare", "[data-testid=stDataFrame]"),
    "predict": ("predict", "canvas"),
    "weights": ("weights", "[data-testid=stDataFrame]"),
    "learn": ("learn?lesson=ridge&show=true", ".js-plotly-plot"),
    "cache": ("cache", "[data-testid=stMain] h2"),
}


def main() -> None:
    sys.path[:0] = [str(PROJECT), str(PROJECT / "tests" / "browser")]
    from driving import CHROMIUM_FLAGS, Server, find_chromium, wait_idle
    from playwright.sync_api import sync_playwright

    from encoding import Store
    from encoding.storage.keys import stage_of

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        with closing(Server(PROJECT / "app.py", {"ENCODING_CACHE_DIR": f"{folder}/cache"}, Path(folder) / "log.txt")) as server:
            prepare(browser.new_page(), server.url)
            fits = [key for key in Store(f"{folder}/cache").keys() if stage_of(key) == "fit"]  # noqa: SIM118 - a Store is no dict
            pages = PAGES | {"compare": (f"compare?a={fits[0]}&b={fits[1]}", ".js-plotly-plot")}
            for theme in ("light", "dark"):
                context = browser.new_context(viewport=SIZE, color_scheme=theme)
                page = context.new_page()
                for name, (address, drawn) in pages.items():
                    page.set_viewport_size(TALL if name == "explore" else SIZE)
                    page.goto(f"{server.url}/{address}")
                    page.wait_for_selector(drawn, timeout=120_000)
                    wait_idle(page)
                    page.wait_for_timeout(1500)
                    page.screenshot(path=PROJECT / "docs" / "pages" / f"{name}-{theme}.png")
                context.close()
        browser.close()


def prepare(page, url: str) -> None:
    """Have two fits and a sweep there to be shown."""
    for address in ("explore", "explore?layer=simple", "layers"):
        page.goto(f"{url}/{address}")
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=120_000)
        page.wait_for_timeout(2000)
        for name in ("Fit", "Start sweep", "Go on"):
            start = page.get_by_role("button", name=name, exact=True)
            if start.count() and start.first.is_enabled():
                start.first.click()
        page.wait_for_selector("canvas[data-frames]", timeout=240_000)
        page.wait_for_timeout(20_000 if address == "layers" else 8_000)
    page.close()


if __name__ == "__main__":
    main()
