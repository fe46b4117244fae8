"""Many interactions in a real browser: the layer slider, the browser's heap after 30 switches, the server's memory over 200 reruns.

All on a subject of full size. The server's cost is the CPU time of its own process, less what it spends idle.
"""

from __future__ import annotations

import sys
from itertools import count

from benchmarks._visitor import Visitor, serving
from benchmarks.full_subject import prepared
from benchmarks.pages import LAYER_BRAIN, OF_SUBJECT

N_SWITCHES, N_SESSIONS, N_RERUNS = 30, 5, 200
SLIDER = ".st-key-shown_layer input[type=range]"
CANVAS = ".st-key-layer_brain canvas"
WATCH = """(canvas) => {  // the brain lives in a shadow root, and its canvas may be another one after a rerun
  const root = canvas.getRootNode(), title = canvas.dataset.title;
  let started = performance.now();
  addEventListener("keydown", () => { started = performance.now(); }, { once: true, capture: true });
  window.painted = new Promise((done, fail) => {
    setTimeout(() => fail(new Error("The brain was not painted anew in 20 s.")), 20000);
    const look = () => {
      const now = root.querySelector("canvas");
      if (now && now.dataset.title !== title) done((performance.now() - started) / 1000);
      else requestAnimationFrame(look);
    };
    look();
  });
}"""
HEAP = "JSHeapUsedSize"


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    with prepared() as (env, fits, folder):
        with serving(env, folder / "log.txt") as (browser, server):
            slider = _slide(Visitor(browser, server), 6 if quick else N_SWITCHES)
        print(slider, file=sys.stderr, flush=True)
        with serving(env, folder / "log.txt") as (browser, server):
            memory = _rerun([Visitor(browser, server) for _ in range(N_SESSIONS)], fits, 20 if quick else N_RERUNS)
    return [*slider, memory]


def _slide(visitor: Visitor, n: int) -> list[dict[str, object]]:
    """Move the slider ``n`` times: seconds until the brain is painted anew, bytes, heap, whether the camera stayed, the server's share."""
    page = visitor.page
    visitor.open(f"layers?{OF_SUBJECT}", LAYER_BRAIN)
    page.wait_for_timeout(3_000)
    client, seconds, sent = visitor.context.new_cdp_session(page), [], []
    page.locator(SLIDER).first.focus()
    numbers = count()
    _press(visitor, next(numbers))
    before, camera = _heap(page, client), page.locator(CANVAS).get_attribute("data-camera")
    for _ in range(n):
        visitor.received.clear()
        seconds.append(_press(visitor, next(numbers)))
        visitor.settle()
        sent.append(sum(visitor.received))
    after, stayed = _heap(page, client), page.locator(CANVAS).get_attribute("data-camera") == camera
    cpu, _ = visitor.cost(lambda: _press(visitor, next(numbers)), n)
    first = {
        "what": f"the layer slider repaints the brain of 39,548 vertices, median of {n}",
        "ours": f"{sorted(seconds)[n // 2]:.2f} s, at most {max(sent) / 1000:.0f} kB",
        "against": "",
        "ratio": f"{1000 * cpu:.0f} ms of the server's CPU time, camera {'still' if stayed else 'moved'}",
        "aim": "0.4 s; 100 kB",
        "seconds": sorted(seconds),
        "bytes": sent,
    }
    heap = {"what": f"browser heap after {n} switches of the layer", "ours": f"{after / 1e6:.0f} MB", "against": f"{before / 1e6:.0f} MB"}
    return [first, heap | {"ratio": f"{(after - before) / n / 1e3:+.0f} kB a switch", "aim": "150 MB"}]


def _press(visitor: Visitor, number: int) -> float:
    """Move the slider by a layer, there and back again; seconds until the brain's next image, by the page's own clock."""
    visitor.page.locator(CANVAS).evaluate(WATCH)
    visitor.page.keyboard.press("ArrowLeft" if number % 4 < 2 else "ArrowRight")
    return visitor.page.evaluate("() => window.painted")


def _heap(page, client) -> float:
    page.evaluate("() => globalThis.gc && gc()")
    client.send("Performance.enable")
    return next(each["value"] for each in client.send("Performance.getMetrics")["metrics"] if each["name"] == HEAP)


def _rerun(visitors: list[Visitor], fits: list[str], n: int) -> dict[str, object]:
    """The server's own memory, its workers left out, while sessions run different pages again and again."""
    pages = [
        (f"explore?{OF_SUBJECT}", ".st-key-bars .js-plotly-plot"),
        (f"layers?{OF_SUBJECT}", LAYER_BRAIN),
        (f"compare?a={fits[0]}&b={fits[1]}", ".st-key-vertices .js-plotly-plot"),
        (f"data?{OF_SUBJECT}&stimulus=7", ".st-key-profile .js-plotly-plot"),
        ("learn?lesson=ridge&show=true", ".js-plotly-plot"),
    ]
    for visitor, (address, drawn) in zip(visitors, pages, strict=True):
        visitor.open(address, drawn)
    sizes = []
    for number in range(n):
        visitor = visitors[number % len(visitors)]
        visitor.rerun()
        visitor.settle()
        sizes.append(visitor.process.memory_info().rss)
    settled, last = sizes[n // 4], sizes[-1]
    return {
        "what": f"the server's memory over {n} reruns in {len(visitors)} sessions on five pages",
        "ours": f"{settled / 1e6:.0f} MB after {n // 4}, {last / 1e6:.0f} MB after {n}",
        "against": "",
        "ratio": f"{(last - settled) / (n - n // 4) / 1e3:+.0f} kB a rerun",
        "aim": "no growth",
        "bytes": sizes[:: max(1, n // 20)],
    }
