"""The Explore page in a real browser: cold start to the first brain, start from the cache, layer switch, bytes per switch."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from encoding import FitSpec, Store
from encoding.jobs.tasks import study

PROJECT = Path(__file__).parents[1]
OTHER_LAYER = "simple"
SCREEN = {"width": 1280, "height": 900}
CHARTS = ("bars", "residuals", "curve")


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    sys.path.insert(0, str(PROJECT / "tests" / "browser"))
    from driving import CHROMIUM_FLAGS, Server, find_chromium
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        cache, log = Path(folder) / "cache", Path(folder) / "log.txt"
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        env = {"ENCODING_CACHE_DIR": str(cache)}
        started = time.perf_counter()
        with closing(Server(PROJECT / "app.py", env, log)) as server:
            cold = _until_shown(browser.new_context(viewport=SCREEN), server.url, started)
        study(replace(FitSpec(), layers=(OTHER_LAYER,)), Store(cache))
        with closing(Server(PROJECT / "app.py", env, log)) as server:
            visitor = browser.new_context(viewport=SCREEN)  # keeps its own cache of the app's JavaScript, as a person's browser does
            _until_shown(visitor, server.url, time.perf_counter())  # the server has imported what it needs
            warm = sorted(_until_shown(visitor, server.url, time.perf_counter()) for _ in range(5))[2]
            seconds, payload = _switch(visitor, server.url)
        browser.close()
    rows = [
        (
            "headless browser, software graphics: cold start to bars, brain, residuals and learning curve, all computed",
            cold,
            "30 s",
        ),
        ("the same, from the cache, opened again (median of 5)", warm, "3 s"),
        ("the same, switch to another fitted layer until the brain is repainted", seconds, ""),
    ]
    made = [{"what": what, "ours": f"{value:.2f} s", "against": "", "ratio": "", "aim": aim, "seconds": value} for what, value, aim in rows]
    made[-1]["ratio"] = f"{payload / 1000:.0f} kB received for the whole page"
    return made


def _until_shown(visitor, url: str, started: float) -> float:
    """Seconds from ``started`` until every figure of the page is there."""
    page = visitor.new_page()
    page.goto(f"{url}/explore")
    page.wait_for_selector(".st-key-brain canvas[data-frames]", timeout=120_000)
    for chart in CHARTS:
        page.wait_for_selector(f".st-key-{chart} .js-plotly-plot", timeout=120_000)
    seconds = time.perf_counter() - started
    page.close()
    return seconds


def _switch(visitor, url: str) -> tuple[float, int]:
    """Seconds from choosing another layer to its brain, and the bytes that came over the wire for the whole page."""
    page = visitor.new_page()
    received = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(len(frame))))
    page.goto(f"{url}/explore?layer=energy")
    page.wait_for_selector(".st-key-bars .js-plotly-plot", timeout=60_000)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_timeout(500)
    received.clear()
    page.locator(".st-key-layer input").click()
    started = time.perf_counter()
    page.get_by_role("option", name=OTHER_LAYER, exact=True).click()
    page.locator("[data-testid=stMain] h2").filter(has_text=OTHER_LAYER).wait_for()
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_selector(".st-key-brain canvas[data-frames]", timeout=30_000)
    return time.perf_counter() - started, sum(received)
