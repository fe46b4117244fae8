"""Make the pictures of the README from the running app: ``python docs/make_screenshots.py``."""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path

PROJECT = Path(__file__).parents[1]
SIZE = {"width": 1280, "height": 1250}


def main() -> None:
    sys.path.insert(0, str(PROJECT / "tests" / "browser"))
    from driving import CHROMIUM_FLAGS, Server, find_chromium, wait_idle
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        with closing(Server(PROJECT / "app.py", {"ENCODING_CACHE_DIR": f"{folder}/cache"}, Path(folder) / "log.txt")) as server:
            page = browser.new_page(viewport=SIZE)
            page.goto(server.url)
            page.wait_for_selector(".st-key-home_brain canvas", timeout=180_000)
            page.goto(f"{server.url}/explore")
            page.wait_for_selector(".st-key-curve .js-plotly-plot", timeout=180_000)
            wait_idle(page)
            page.wait_for_timeout(1500)
            page.screenshot(path=PROJECT / "docs" / "explore.png")
        browser.close()


if __name__ == "__main__":
    main()
