"""Many interactions in a real browser: the layer slider, the browser's heap after 30 switches, the server's memory over 200 reruns."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from encoding import FitSpec, Store
from encoding.sweep import Sweep, run
from encoding.tasks import study

PROJECT = Path(__file__).parents[1]
SCREEN = {"width": 1280, "height": 800}
N_SWITCHES, N_SESSIONS, N_RERUNS = 30, 5, 200
SLIDER = ".st-key-shown_layer [role=slider]"
CELLS = (("pixels", "rgb"), ("gabor", "simple"), ("gabor", "energy"))


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    sys.path.insert(0, str(PROJECT / "tests" / "browser"))
    from driving import CHROMIUM_FLAGS, Server, find_chromium
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        cache = Path(folder) / "cache"
        study(FitSpec(), Store(cache))
        run(Sweep(FitSpec(), CELLS), Store(cache))
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*CHROMIUM_FLAGS, "--js-flags=--expose-gc"])
        with closing(Server(PROJECT / "app.py", {"ENCODING_CACHE_DIR": str(cache)}, Path(folder) / "log.txt")) as server:
            slider = _slide(browser.new_context(viewport=SCREEN), server.url, 6 if quick else N_SWITCHES)
            memory = _rerun(browser, server, 20 if quick else N_RERUNS)
        browser.close()
    return [slider, memory]


def _slide(visitor, url: str, n: int) -> dict[str, object]:
    page, received = visitor.new_page(), []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(len(frame))))
    page.goto(f"{url}/layers")
    page.wait_for_selector(f"{SLIDER}", timeout=120_000)
    page.wait_for_selector(".st-key-layer_brain canvas[data-frames]", timeout=60_000)
    page.wait_for_timeout(3_000)
    client, slider, seconds, sent = visitor.new_cdp_session(page), page.locator(SLIDER).first, [], []
    slider.focus()
    before = _heap(page, client)
    for number in range(n):
        frames = page.locator(".st-key-layer_brain canvas").get_attribute("data-frames")
        received.clear()
        started = time.perf_counter()
        page.keyboard.press("ArrowLeft" if number % 4 < 2 else "ArrowRight")
        page.wait_for_function(
            "before => document.querySelector('.st-key-layer_brain canvas').dataset.frames !== before", arg=frames, timeout=20_000
        )
        seconds.append(time.perf_counter() - started)
        page.wait_for_timeout(700)
        sent.append(sum(received))
    after = _heap(page, client)
    return {
        "what": f"the layer slider repaints the brain, median of {n}",
        "ours": f"{sorted(seconds)[n // 2]:.2f} s, at most {max(sent) / 1000:.0f} kB",
        "against": "",
        "ratio": f"browser heap {before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after",
        "aim": "0.4 s; 100 kB; 150 MB",
        "seconds": sorted(seconds),
    }


def _heap(page, client) -> float:
    page.evaluate("() => globalThis.gc && gc()")
    client.send("Performance.enable")
    return next(each["value"] for each in client.send("Performance.getMetrics")["metrics"] if each["name"] == "JSHeapUsedSize")


def _rerun(browser, server, n: int) -> dict[str, object]:
    """The server's own memory, its workers left out, while several sessions change what they look at."""
    import psutil

    pages = [browser.new_context(viewport=SCREEN).new_page() for _ in range(N_SESSIONS)]
    for page in pages:
        page.goto(f"{server.url}/learn?lesson=ridge&show=true")
        page.wait_for_selector(".st-key-ridge_alpha [role=slider], [role=slider]", timeout=60_000)
        page.wait_for_timeout(1_500)
    process, sizes = psutil.Process(server.process.pid), []
    for number in range(n):
        page = pages[number % N_SESSIONS]
        page.locator("[role=slider]").first.focus()
        page.keyboard.press("ArrowRight" if (number // N_SESSIONS) % 12 < 6 else "ArrowLeft")
        page.wait_for_timeout(350)
        sizes.append(process.memory_info().rss)
    settled, last = sizes[n // 4], sizes[-1]
    return {
        "what": f"the server's memory over {n} reruns in {N_SESSIONS} sessions",
        "ours": f"{settled / 1e6:.0f} MB after {n // 4}, {last / 1e6:.0f} MB after {n}",
        "against": "",
        "ratio": f"{(last - settled) / (n - n // 4) / 1e3:+.0f} kB a rerun",
        "aim": "no growth",
        "bytes": sizes[:: max(1, n // 20)],
    }
