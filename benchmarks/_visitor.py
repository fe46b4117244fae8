"""A person's browser at the app, and what the server spends on them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[1]
SCREEN = {"width": 1280, "height": 800}
IDLE_SECONDS = 4
STILL = 0.25  # seconds without a message: a rerun is over

sys.path.insert(0, str(PROJECT / "tests" / "browser"))
from driving import CHROMIUM_FLAGS, IDLE, Server, find_chromium  # noqa: E402


@contextmanager
def serving(env: dict[str, str], log: Path) -> Iterator[tuple[object, Server]]:
    """A running Chromium and a server of the app."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, closing(Server(PROJECT / "app.py", env, log)) as server:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*CHROMIUM_FLAGS, "--js-flags=--expose-gc"])
        yield browser, server
        browser.close()


class Visitor:
    """A page of its own browser context. ``received`` holds the bytes of each websocket frame since it was last cleared."""

    def __init__(self, browser, server: Server) -> None:
        import psutil

        self.server, self.process, self.received = server, psutil.Process(server.process.pid), []
        self.context = browser.new_context(viewport=SCREEN)
        self.page = self.context.new_page()
        self.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: self._hear(frame)))
        self.heard = time.monotonic()

    def _hear(self, frame: bytes | str) -> None:
        self.received.append(len(frame))
        self.heard = time.monotonic()

    def open(self, address: str, drawn: str) -> None:
        """Go to an address of the app and wait until ``drawn`` is there and nothing more comes."""
        self.page.goto(f"{self.server.url}/{address}")
        self.page.wait_for_selector(drawn, timeout=120_000)
        self.settle()

    def settle(self) -> None:
        """Wait until the script is through and nothing was sent for a moment."""
        self.page.wait_for_timeout(100)
        self.page.wait_for_selector(IDLE, timeout=60_000)
        while time.monotonic() - self.heard < STILL:
            self.page.wait_for_timeout(50)

    def cost(self, act: Callable[[], None], n: int) -> tuple[float, float]:
        """CPU seconds that one of ``n`` acts costs the server's process, less what it spends idle, and the bytes that it sends."""
        act()  # what is done once was done
        self.settle()
        idle = self._spent(lambda: self.page.wait_for_timeout(1000 * IDLE_SECONDS)) / IDLE_SECONDS
        self.received.clear()
        started = time.monotonic()
        spent = self._spent(lambda: [(act(), self.settle()) for _ in range(n)])
        return max(0.0, spent - idle * (time.monotonic() - started)) / n, sum(self.received) / n

    def rerun(self) -> None:
        """Run the page's script again, by Streamlit's own key."""
        self.page.keyboard.press("r")

    def _spent(self, act: Callable[[], None]) -> float:
        before = self.process.cpu_times()
        act()
        after = self.process.cpu_times()
        return after.user + after.system - before.user - before.system

    def close(self) -> None:
        self.context.close()
