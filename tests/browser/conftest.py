"""A browser for the session, a guarded page for each test, and servers that tests share."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.driving import CHROMIUM_FLAGS, PATIENCE, PROJECT, Guards, Server, find_chromium, open_page
from tests.browser.driving_brain import CANVAS, choose, drawn, press_slider, title_shown

FIRST_FIT_SECONDS = 300  # 20 on two idle cores: the subject is simulated first
SIZE = {"width": 1280, "height": 900}
collect_ignore_glob = ["apps/*"]  # scripts for a server, not modules


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser():
    """A running Chromium; the test is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -r tests/requirements.txt")
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium on this machine: install it (Debian: apt-get install chromium) or set CHROMIUM to its path")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        yield running
        running.close()


@pytest.fixture(scope="package")
def kept_page(browser):
    """The page of :func:`page`; loading an address in it again takes a third of the time that a new one does."""
    kept = browser.new_context(viewport=SIZE).new_page()
    kept.set_default_timeout(PATIENCE * 1000)
    kept.guards = Guards(kept)
    yield kept
    kept.context.close()


@pytest.fixture
def page(kept_page):
    """A page, 1280 x 900, that tests share. The test fails on what :class:`driving.Guards` forbids.

    ``page.guards.allowed.append(text)`` lets a fault that the test means to cause pass.
    """
    kept_page.guards.forget()
    kept_page.set_viewport_size(SIZE)
    yield kept_page
    kept_page.guards.check()


@pytest.fixture
def new_page(browser):
    """``new_page(**options) -> page``: in a context of its own, with those options and the same guards."""
    with contextlib.ExitStack() as contexts:
        pages = []

        def opened(**options):
            context = browser.new_context(**({"viewport": SIZE} | options))
            contexts.callback(context.close)
            pages.append(context.new_page())
            pages[-1].set_default_timeout(PATIENCE * 1000)
            pages[-1].guards = Guards(pages[-1])
            return pages[-1]

        yield opened
        for each in pages:
            each.guards.check()


@pytest.fixture(scope="package")
def start_app(browser, tmp_path_factory):
    """``start_app(script, env={}) -> url``: a server of that script, shared by equal calls.

    ``script`` is relative to the project. ``env`` adds environment variables. Results go to a temporary Store unless env names one.
    """
    servers: dict[object, Server] = {}

    def start(script: str | Path, env: dict[str, str] | None = None) -> str:
        name = (str(script), tuple(sorted((env or {}).items())))
        if name not in servers:
            folder = tmp_path_factory.mktemp("server")
            servers[name] = Server(PROJECT / script, {"ENCODING_CACHE_DIR": str(folder / "cache")} | (env or {}), folder / "log.txt")
        return servers[name].url

    yield start
    for server in servers.values():
        server.close()


@dataclass(frozen=True)
class App:
    """A server of the app, and the folder of its Store."""

    url: str
    folder: Path


@pytest.fixture(scope="package")
def app(start_app, kept_page, tmp_path_factory):
    """The app after its first visitor: from Home, as the first request to a server names no page, to Explore and a finished fit.

    ``ENCODING_TEST_STORE`` names a Store to begin with, where one was filled by a first visitor already.
    """
    folder = tmp_path_factory.mktemp("app") / "cache"
    if filled := os.environ.get("ENCODING_TEST_STORE"):
        shutil.copytree(filled, folder)
    started = App(start_app("app.py", {"ENCODING_CACHE_DIR": str(folder)}), folder)
    open_page(kept_page, started.url)
    kept_page.goto(f"{started.url}/explore")
    kept_page.wait_for_selector(".st-key-bars .js-plotly-plot", timeout=FIRST_FIT_SECONDS * 1000)
    return started


@pytest.fixture(scope="package")
def still(browser, start_app):
    """A page that many tests share: they turn the brain but leave the app's widgets alone."""
    shared = browser.new_context(viewport=SIZE).new_page()
    shared.set_default_timeout(PATIENCE * 1000)
    guards = Guards(shared)
    yield drawn(shared, start_app)
    guards.check()
    shared.context.close()


@pytest.fixture
def brain(still):
    """The page of :func:`still`, whose widgets a test may change: they are put back."""
    yield still
    choose(still, "map", "height")
    choose(still, "surface", "inflated")
    press_slider(still, *["PageDown"] * 6)
    still.wait_for_selector(".hidden-part", state="detached")
    title_shown(still, "height")


@pytest.fixture
def flat(brain):
    """The brain's flat surface."""
    choose(brain, "surface", "flat")
    brain.wait_for_selector(f"{CANVAS}[data-surface=flat]")
    return brain
