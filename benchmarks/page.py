"""What a person waits for on Explore and Layers, in a real browser: opening, a slider, a click on the brain, another score or region.

Times are the page's own, from the event of the person to the last change of what is waited for; software graphics where there is no GPU.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks._visitor import Server, Visitor, serving

BARE = "import plotly.graph_objects as go\nimport streamlit as st\n\nst.plotly_chart(go.Figure(go.Bar(y=list(range(30)))), key='bars')\n"
BARS, BRAIN = ".st-key-bars .js-plotly-plot", ".st-key-brain canvas[data-frames]"
MAIN = "[data-testid=stMain]"
LAYER_BRAIN = ".st-key-layer_brain canvas[data-frames]"
STILL = 0.6  # seconds without a change, after which what was waited for is complete
WATCH = """
(element, event) => {
  window.begun = window.ended = null;
  window.addEventListener(event, () => { window.begun ??= performance.now(); }, { capture: true, once: true });
  window.watching?.disconnect();
  window.watching = new MutationObserver(() => { if (window.begun) window.ended = performance.now(); });
  window.watching.observe(element, { attributes: true, childList: true, characterData: true, subtree: true });
}
"""


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    from encoding import FitSpec, Store
    from encoding.analysis.layer_sweep import Sweep
    from encoding.experiments.sweep import run_sweep
    from encoding.jobs.tasks import study

    n = 2 if quick else 5
    with tempfile.TemporaryDirectory() as scratch:
        folder, spec = Path(scratch), FitSpec()
        store, env = Store(folder / "cache"), {"ENCODING_CACHE_DIR": str(folder / "cache")}
        cold = _cold_start(folder)
        for layers in (("energy",), ("simple",)):
            study(replace(spec, layers=layers), store)
        run_sweep(Sweep.read(spec, ["gabor"], []), store)
        (folder / "bare.py").write_text(BARE)
        with serving(env, folder / "log.txt") as (browser, server), closing(Server(folder / "bare.py", {}, folder / "bare.txt")) as bare:
            load = os.getloadavg()[0]
            rows = [*_opening(browser, server, bare, n), *_explore(Visitor(browser, server), n), *_layers(Visitor(browser, server), n)]
    rows = [cold, *rows]
    for row in rows:
        row["against"] = f"{row['against']}load {load:.1f}, {os.cpu_count()} cores"
    return rows


def _cold_start(folder: Path) -> dict[str, object]:
    """From starting the server on an empty cache to the first bars and brain, which it has to compute."""
    started = time.perf_counter()
    with serving({"ENCODING_CACHE_DIR": str(folder / "empty")}, folder / "cold.txt") as (browser, server):
        page = browser.new_page()
        page.goto(f"{server.url}/explore")
        for each in (BARS, BRAIN):
            page.wait_for_selector(each, timeout=240_000)
        seconds = time.perf_counter() - started
    return _row(
        "starting the server and Chromium on an empty cache, until Explore shows bars and brain, all computed",
        seconds,
        0,
        "30 s",
        ratio=" ",
    )


def _opening(browser, server: Server, bare: Server, n: int) -> list[dict[str, object]]:
    """Opening Explore and a bare page by turns, each in a browser that has been there before."""
    visitors = {"explore": (Visitor(browser, server), "explore", (BARS, BRAIN)), "bare": (Visitor(browser, bare), "", (BARS,))}
    seconds: dict[str, list[float]] = {"explore": [], "bare": []}
    for _ in range(n + 1):
        for name, (visitor, address, drawn) in visitors.items():
            started = time.perf_counter()
            visitor.page.goto(f"{visitor.server.url}/{address}")
            for each in drawn:
                visitor.page.wait_for_selector(each, timeout=120_000)
            seconds[name].append(time.perf_counter() - started)
    explore, empty = (median(seconds[name][1:]) for name in ("explore", "bare"))
    for visitor, _, _ in visitors.values():
        visitor.close()
    what = "opening Explore to bars and brain, against a bare Streamlit page with one plotly chart"
    return [_row(what, explore, 0, "1.1", against=f"{empty:.2f} s, ", ratio=f"{explore / empty:.2f}")]


def _explore(visitor: Visitor, n: int) -> list[dict[str, object]]:
    page = visitor.page
    visitor.open("explore?part=Predictions", ".st-key-observed .js-plotly-plot")
    page.wait_for_selector(BRAIN)
    box = page.locator(BRAIN).bounding_box()
    spots = [(box["x"] + x * box["width"], box["y"] + 0.62 * box["height"]) for x in (0.34, 0.38, 0.36)]
    rows = [_felt(visitor, "a click on the brain to its charts", lambda i: page.mouse.click(*spots[i % 3]), MAIN, n, "0.5 s")]
    rows.append(_felt(visitor, "another region to its charts", _choosing(page, "roi", ("V1v", "V2v", "EBA")), MAIN, n, "0.3 s"))
    visitor.open("explore", BARS)
    rows.append(_felt(visitor, "another score to its bars", _choosing(page, "score", ("RMSE", "R²", "MAE")), ".st-key-bars", n, "0.3 s"))
    page.locator("[data-testid=stMain] h1").first.click()  # the key is the page's, and not a menu's
    _, sent = visitor.cost(visitor.rerun, n)
    visitor.close()
    return [*rows, {"what": "payload of a rerun of Explore", "ours": f"{sent / 1000:.1f} kB", "against": "", "ratio": "", "aim": "40 kB"}]


def _layers(visitor: Visitor, n: int) -> list[dict[str, object]]:
    visitor.open("layers?backbones=gabor&shown=gabor+energy", LAYER_BRAIN)
    page = visitor.page
    page.locator(".st-key-shown_layer input[type=range]").first.focus()
    keys = ("ArrowLeft", "ArrowRight")

    def slide(i: int) -> None:
        page.keyboard.press(keys[i % 2])

    row = _felt(visitor, "the slider of Layers to the repainted brain", slide, LAYER_BRAIN, n, "0.1 s", event="keydown")
    visitor.close()
    return [row]


def _choosing(page, key: str, names: tuple[str, ...]) -> Callable[[int], None]:
    """An act that opens a menu and clicks on one of its entries by turns; opening it does not count."""

    def choose(i: int) -> None:
        page.get_by_role("option", name=names[i % len(names)], exact=True).click()

    def open_menu() -> None:
        page.locator(f".st-key-{key} input").click()
        page.get_by_role("option").first.wait_for()

    choose.before = open_menu
    return choose


def _felt(
    visitor: Visitor, what: str, act: Callable[[int], None], selector: str, n: int, aim: str, event: str = "pointerup"
) -> dict[str, object]:
    """Median seconds from an event to the last change of an element, and the bytes sent."""
    seconds, sent = [], []
    for i in range(n + 1):
        getattr(act, "before", lambda: None)()
        visitor.page.wait_for_timeout(1000 * STILL)
        visitor.page.locator(selector).first.evaluate(WATCH, event)
        visitor.received.clear()
        act(i)
        visitor.page.wait_for_function("() => window.ended", timeout=60_000)
        visitor.page.wait_for_function(f"() => performance.now() - window.ended > {1000 * STILL}", timeout=60_000)
        visitor.settle()
        seconds.append(visitor.page.evaluate("() => (window.ended - window.begun) / 1000"))
        sent.append(sum(visitor.received))
    return _row(what, median(seconds[1:]), median(sent[1:]), aim)


def _row(what: str, seconds: float, sent: float, aim: str, *, against: str = "", ratio: str = "") -> dict[str, object]:
    ratio = ratio or f"{sent / 1000:.1f} kB sent"
    return {"what": what, "ours": f"{seconds:.2f} s", "against": against, "ratio": ratio, "aim": aim, "seconds": seconds}
