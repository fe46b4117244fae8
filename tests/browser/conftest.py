"""A browser for the session, a guarded page for each test, and servers that tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import CHROMIUM_FLAGS, PROJECT, Guards, Server, find_chromium

collect_ignore_glob = ["apps/*"]  # scripts for a server, not modules


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
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


@pytest.fixture
def page(browser):
    """A page in a context of its own, 1280 x 900. The test fails on what :class:`driving.Guards` forbids.

    ``page.guards.allowed.append(text)`` lets a fault that the test means to cause pass.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.guards = Guards(opened)
    yield opened
    try:
        opened.guards.check()
    finally:
        context.close()


@pytest.fixture(scope="session")
def start_app(browser, tmp_path_factory):
    """``start_app(script, env={}, fresh=False) -> url``: a server of that script, shared by equal calls unless ``fresh``.

    ``script`` is relative to the project. ``env`` adds environment variables. Results go to a temporary Store unless env names one.
    """
    servers: dict[object, Server] = {}

    def start(script: str | Path, env: dict[str, str] | None = None, fresh: bool = False) -> str:
        name = (str(script), tuple(sorted((env or {}).items())), len(servers) if fresh else -1)
        if name not in servers:
            folder = tmp_path_factory.mktemp("server")
            servers[name] = Server(PROJECT / script, {"ENCODING_CACHE_DIR": str(folder / "cache")} | (env or {}), folder / "log.txt")
        return servers[name].url

    yield start
    for server in servers.values():
        server.close()
