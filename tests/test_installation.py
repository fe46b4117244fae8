"""``pip install -e .``: the package, its data files and the command ``encoding-explorer``."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests import PROJECT
from tests.browser.driving import free_port

REQUIREMENTS = [PROJECT / "requirements.txt", PROJECT / "tests" / "requirements.txt"]


def requirements(path: Path) -> list[Requirement]:
    return [Requirement(line) for line in path.read_text().splitlines() if line and not line.startswith(("#", "-"))]


def answers(port: int) -> bool:
    """Whether a server listens there, asked for a fifth of a second."""
    with socket.socket() as found:
        found.settimeout(0.2)
        time.sleep(0.2)
        return found.connect_ex(("127.0.0.1", port)) == 0


def open_websocket(port: int, host: str) -> int:
    """The status of the answer to a browser that was led here under the name ``host``, as by DNS rebinding."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Host": f"{host}:{port}", "Origin": f"http://{host}:{port}", "Upgrade": "websocket", "Connection": "Upgrade"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Protocol": "streamlit"}
    connection.request("GET", "/_stcore/stream", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The project installed into a folder of its own; the command, and the environment that it runs in."""
    prefix = tmp_path_factory.mktemp("installed")
    words = ["pip", "install", "-q", "-e", str(PROJECT), "--no-deps", "--no-build-isolation", "--no-index", "--prefix", str(prefix)]
    subprocess.run([sys.executable, "-m", *words], check=True)
    [packages] = prefix.glob("**/site-packages")
    # a .pth file works in a site folder alone, so what it does is done by hand
    start = f"import site, sys; site.addsitedir({str(packages)!r}); from encoding.cli.dashboard import main; sys.exit(main())"
    return [sys.executable, "-c", start], prefix


def test_every_command_works_from_any_folder(installed, tmp_path):
    command, prefix = installed
    assert (prefix / "bin" / "encoding-explorer").exists()
    answer = subprocess.run([*command, "list", "backbones", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert any(network["name"] == "torchvision/alexnet" for network in json.loads(answer)["backbones"])


def test_alone_it_starts_the_dashboard(installed, tmp_path):
    command, _ = installed
    port = free_port()
    environment = os.environ | {"STREAMLIT_SERVER_PORT": str(port), "ENCODING_CACHE_DIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as app:
        try:
            while not answers(port):
                assert app.poll() is None
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=20) as answer:
                assert answer.read() == b"ok"
            found = {name: open_websocket(port, name) for name in ("127.0.0.1", "localhost", "evil.example", "127.0.0.1.evil.example")}
            assert found == {"127.0.0.1": 101, "localhost": 101, "evil.example": 403, "127.0.0.1.evil.example": 403}
        finally:
            app.kill()


def test_the_package_declares_what_it_needs_and_its_data_files():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == ["requirements.txt"]
    kept = {pattern.removeprefix("*") for pattern in project["tool"]["setuptools"]["package-data"]["*"]}
    listed = subprocess.run(["git", "ls-files", "encoding", "pages"], cwd=PROJECT, capture_output=True, text=True, check=False).stdout
    suffixes = {Path(name).suffix for name in listed.split()}
    assert suffixes - {".py"} <= kept


def test_the_constraints_hold_a_version_that_every_requirement_allows():
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (PROJECT / "constraints.txt").read_text(), re.MULTILINE))
    for path in REQUIREMENTS:
        for needed in requirements(path):
            assert pins[needed.name.lower().replace("_", "-")] in needed.specifier, needed


@pytest.mark.parametrize("torch", ["2.11.0", version("torch").partition("+")[0]])
def test_the_range_of_torch_admits(torch):
    [needed] = [each for each in requirements(REQUIREMENTS[0]) if each.name == "torch"]
    assert torch in needed.specifier
