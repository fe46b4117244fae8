"""Driving the turning brain of ``apps/brain_app.py``."""

from __future__ import annotations

import io
import json

import numpy as np
from PIL import Image

from encoding.datasets._surface import HEMIS, mesh
from tests.browser.driving import open_page, wait_idle

APP = "tests/browser/apps/brain_app.py"
CANVAS = "canvas.picture"
INFLATED = {hemi: mesh("inflated", hemi)[0] for hemi in HEMIS}


def drawn(page, start_app):
    open_page(page, start_app(APP))
    page.wait_for_selector(f"{CANVAS}[data-frames]")
    return page


def project(page, hemi: str, vertices) -> list[dict]:
    """Where vertices are in the picture: x and y in pixels, and whether they are visible."""
    ask = "(canvas, [hemi, vertices]) => vertices.map((vertex) => canvas.brain.project(hemi, vertex))"
    return page.locator(CANVAS).evaluate(ask, [hemi, [int(vertex) for vertex in vertices]])


def settle(page) -> None:
    """Wait until a frame that was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def place(page, hemi: str, vertex: int) -> dict:
    return project(page, hemi, [vertex])[0]


def state(page, name: str):
    return json.loads(page.locator(CANVAS).get_attribute(f"data-{name}"))


def set_view(page, view: str) -> None:
    page.click(f"button[data-view={view}]")
    page.wait_for_selector(f"button[data-view={view}][aria-pressed=true]")


def choose(page, key: str, option: str) -> None:
    page.locator(f".st-key-{key} label").get_by_text(option, exact=True).click()
    wait_idle(page)


def title_shown(page, name: str) -> None:
    page.wait_for_selector(f'{CANVAS}[data-title^="Made-up map: {name}"]')


def pixels(page):
    """(height, width, 3) int: what the person sees of the picture."""
    return np.asarray(Image.open(io.BytesIO(page.locator(CANVAS).screenshot())).convert("RGB")).astype(int)


def visible_among(page, hemi: str, vertices: np.ndarray) -> list[int]:
    return [int(vertex) for vertex, at in zip(vertices, project(page, hemi, vertices), strict=True) if at["visible"]]


def in_the_cap(page, hemi: str) -> int:
    """A visible vertex of the app's ROI "cap" that has a value."""
    y, z = mesh("sphere", hemi)[0][:, 1:].T / 100
    return visible_among(page, hemi, np.flatnonzero((y < -0.95) & (np.abs(z) > 0.1)))[0]


def frontmost(hemi: str) -> int:
    return int(INFLATED[hemi][:, 1].argmax())


def rearmost(hemi: str) -> int:
    return int(INFLATED[hemi][:, 1].argmin())


def hover(page, hemi: str, vertex: int) -> tuple[float, float]:
    box, at = page.locator(CANVAS).bounding_box(), place(page, hemi, vertex)
    point = box["x"] + at["x"], box["y"] + at["y"]
    page.mouse.move(*point)
    return point


def press_slider(page, *keys: str) -> None:
    page.locator(".st-key-threshold [role=slider], .st-key-threshold input[type=range]").first.focus()
    for key in keys:
        page.keyboard.press(key)
    wait_idle(page)


def drag(page, dx: float, dy: float, side: str = "left") -> None:
    box = page.locator(CANVAS).bounding_box()
    x, y = box["x"] + box["width"] * (0.25 if side == "left" else 0.75), box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=5)
    page.mouse.up()
    settle(page)
