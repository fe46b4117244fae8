"""Open the app as a person would, and wait for the first finished fit: ``python .ci/smoke.py URL``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))

from driving import CHROMIUM_FLAGS, Guards, find_chromium, wait_idle


def main(url: str) -> int:
    chromium = find_chromium()
    if chromium is None:
        print("no Chromium on this machine, so no smoke run")
        return 0
    from playwright.sync_api import TimeoutError as TookTooLong
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        guards = Guards(page)
        started = time.monotonic()
        page.goto(url)
        page.wait_for_selector(".st-key-home_brain canvas[data-frames]", timeout=120_000)
        print(f"Home's brain on screen after {time.monotonic() - started:.1f} s")
        wait_idle(page)
        door = page.locator(".st-key-door_explore").get_by_text("Explore this model")
        door.click()
        try:
            page.wait_for_url("**/explore*", timeout=20_000)
        except TookTooLong:
            print("the door was drawn anew under the click, which is repeated once")
            door.click()
            page.wait_for_url("**/explore*", timeout=20_000)
        for drawn in (".st-key-brain canvas", ".st-key-bars .js-plotly-plot"):
            page.wait_for_selector(drawn, timeout=120_000)
        for tab, chart in (("Predictions", "residuals"), ("Images needed", "curve")):
            page.get_by_role("tab", name=tab, exact=True).click()
            page.wait_for_selector(f".st-key-{chart} .js-plotly-plot", timeout=120_000)
        print(f"brain, bars, residuals and learning curve on screen after {time.monotonic() - started:.1f} s")
        guards.check()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
