"""Every page on a subject of full size, 39,548 vertices: what a warm rerun costs the server, and what it sends to the browser.

Cost is the CPU time of the server's own process, its workers left out, less what it spends idle: other load on the machine does
not count. A rerun is the whole page once more, with nothing left to compute.
"""

from __future__ import annotations

import sys

from benchmarks._visitor import Visitor, serving
from benchmarks.full_subject import SPEC, prepared

N_RERUNS = 12
OF_SUBJECT = f"dataset={SPEC.dataset}&subject={SPEC.subject}"
LAYER_BRAIN = ".st-key-layer_brain canvas[data-frames]"


def addresses(fits: list[str]) -> dict[str, tuple[str, str]]:
    """Page to its address, and what is there once it is drawn."""
    return {
        "Home": ("", ".st-key-home_brain canvas[data-frames]"),
        "Explore": (f"explore?{OF_SUBJECT}", ".st-key-bars .js-plotly-plot"),
        "Data": (f"data?{OF_SUBJECT}&stimulus=7&vertex=lh+120", ".st-key-profile .js-plotly-plot"),
        "Data, all responses": (f"data?{OF_SUBJECT}&tab=Responses", ".st-key-ceilings .js-plotly-plot"),
        "Layers": (f"layers?{OF_SUBJECT}", LAYER_BRAIN),
        "Layers, best layer": (f"layers?{OF_SUBJECT}&on_brain=best+layer", LAYER_BRAIN),
        "Compare": (f"compare?a={fits[0]}&b={fits[1]}", ".st-key-vertices .js-plotly-plot"),
        "Predict": (f"predict?fit={fits[0]}", ".st-key-regions .js-plotly-plot"),
        "Learn": ("learn?lesson=ridge&show=true", ".js-plotly-plot"),
        "Weights": ("weights", "[data-testid=stDataFrame]"),
        "Cache": ("cache", "[data-testid=stDataFrame]"),
    }


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    rows = []
    with prepared() as (env, fits, folder), serving(env, folder / "log.txt") as (browser, server):
        for name, (address, drawn) in addresses(fits).items():
            visitor = Visitor(browser, server)
            visitor.open(address, drawn)
            seconds, sent = visitor.cost(visitor.rerun, 3 if quick else N_RERUNS)
            visitor.close()
            rows.append(row(f"{name} at 39,548 vertices: the server's CPU time of a warm rerun", seconds, sent, "300 ms"))
            print(rows[-1]["what"], rows[-1]["ours"], rows[-1]["ratio"], file=sys.stderr, flush=True)
    return rows


def row(what: str, seconds: float, sent: float, aim: str) -> dict[str, object]:
    ours, told = f"{1000 * seconds:.0f} ms", f"{sent / 1000:.0f} kB sent"
    return {"what": what, "ours": ours, "against": "", "ratio": told, "aim": aim, "seconds": seconds, "bytes": sent}
