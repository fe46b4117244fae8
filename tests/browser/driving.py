"""Starting a Streamlit server and driving a real Chromium, for every test in this folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

PROJECT = Path(__file__).parents[2]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card; forcing the page itself through it would slow everything
)
LOOPBACK = {"127.0.0.1", "localhost", "::1", "[::1]"}
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
START_SECONDS = 60
PATIENCE = 150  # seconds, where other work shares the cores; a page that is loaded again takes some two on an idle machine
SLOW = "backbone=torchvision/resnet50&weights=random:0&layer=layer4"  # a minute or more on a CPU: there is time to cancel it


def find_chromium() -> str | None:
    """The path of a Chromium: ``$CHROMIUM`` or one on the PATH; None where there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for path in map(shutil.which, CHROMIUM_NAMES) if path), None)


class Server:
    """One Streamlit server on a free loopback port, with the project's settings.

    Raises
    ------
    RuntimeError with the server's own output where it does not answer within a minute.
    """

    def __init__(self, script: Path, env: dict[str, str], log: Path) -> None:
        self.log = log
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port), "--server.fileWatcherType", "none"]
        with log.open("wb") as out:
            paths = {"PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])}
            self.process = subprocess.Popen(command, cwd=PROJECT, env=os.environ | paths | env, stdout=out, stderr=subprocess.STDOUT)
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        self.close()
        raise RuntimeError(f"The server did not start:\n{self.log.read_text(errors='replace')}")

    def close(self) -> None:
        """End the server; twice is once."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Guards:
    """What must not happen on a page: script errors, console errors, requests that leave the machine, Streamlit exceptions.

    ``allowed`` holds texts; a console error or page error that contains one of them is let pass.
    """

    def __init__(self, page) -> None:
        self.page = page
        self.forget()
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("console", self._hear)
        page.on("request", self._look_at_request)

    def forget(self) -> None:
        """Begin anew: nothing happened, and nothing is allowed."""
        self.faults: list[str] = []
        self.allowed: list[str] = []

    def _hear(self, message) -> None:
        probed = "/_stcore/" in message.location.get("url", "")  # Streamlit looks for its server below a page's address before it finds it
        if message.type == "error" and not probed:
            self.faults.append(f"console error: {message.text}")

    def _look_at_request(self, request) -> None:
        address = urlparse(request.url)
        if address.scheme not in ("data", "blob", "file", "about") and address.hostname not in LOOPBACK:
            self.faults.append(f"request left the machine: {request.url}")

    def check(self) -> None:
        """AssertionError that lists everything that happened."""
        shown = self.page.locator("[data-testid=stException]").all_inner_texts()
        faults = [fault for fault in self.faults if not any(text in fault for text in self.allowed)]
        assert not faults + shown, "\n".join(faults + [f"exception shown: {text}" for text in shown])


def wait_idle(page, *, timeout: float = PATIENCE) -> None:
    """Wait until the app's script has run and nothing more is on its way (seconds)."""
    page.wait_for_selector(IDLE, state="attached", timeout=timeout * 1000)
    page.wait_for_timeout(150)  # a click's rerun starts a moment later
    page.wait_for_selector(IDLE, state="attached", timeout=timeout * 1000)


def wait_begun(page, *, timeout: float = PATIENCE) -> None:
    """Wait until the app shows something (seconds): before its script first runs, it seems to be idle."""
    page.locator("[data-testid=stMain] [data-testid=stElementContainer]").first.wait_for(state="attached", timeout=timeout * 1000)


def open_page(page, url: str) -> None:
    """Load an address of the app and wait until its first run is over."""
    page.goto(url)
    wait_begun(page)
    wait_idle(page)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
