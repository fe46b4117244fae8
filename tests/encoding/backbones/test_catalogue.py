"""Fetching weights: only when asked, on from where it stopped, checked against the promised hash."""

import contextlib
import hashlib
import http.server
import json
import socket
import threading

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from encoding.backbones import BACKBONES, WeightsFile
from encoding.backbones._catalogue import every_file
from encoding.cli import main
from encoding.runtime.progress import Cancelled
from encoding.storage.download import fetch, stated_hash
from tests import PROJECT

BYTES = np.random.default_rng(0).bytes(3 * 2**20)
SHA256 = hashlib.sha256(BYTES).hexdigest()


class Serving(http.server.BaseHTTPRequestHandler):
    """One file, its ETag, and the ranges of it that are asked for."""

    etag, content, asked, breaks_off = '"v1"', BYTES, [], False

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range") if self.headers.get("If-Range") == self.etag else None
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and start >= len(self.content):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", self.etag)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start : start + 2**21] if self.breaks_off else self.content[start:])


@pytest.fixture
def serving(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    kind = type("Server", (Serving,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kind.address = f"http://127.0.0.1:{server.server_port}/net.pth"
        yield kind
        server.shutdown()


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Nothing leaves the machine, and no weights are on it."""

    def refuse(*args, **more):
        raise AssertionError("somebody asked for the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("TORCH_HOME", "HF_HOME", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


def stop_after(fraction):
    def report(done, text):
        if done > fraction:
            raise Cancelled

    return report


def test_a_fetch_that_was_stopped_goes_on_from_there(serving, tmp_path):
    target = tmp_path / "net.pth"
    with pytest.raises(Cancelled):
        fetch(serving.address, target, sha256=SHA256, report=stop_after(0.5))
    there = (tmp_path / "net.pth.part").stat().st_size
    assert 2**20 < there < len(BYTES) and not target.exists()
    fetch(serving.address, target, sha256=SHA256)
    assert serving.asked == [None, f"bytes={there}-"]
    assert target.read_bytes() == BYTES and [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_another_version_on_the_server_is_fetched_from_the_start(serving, tmp_path):
    with pytest.raises(Cancelled):
        fetch(serving.address, tmp_path / "net.pth", report=stop_after(0.5))
    serving.etag, serving.content = '"v2"', BYTES[::-1]
    assert fetch(serving.address, tmp_path / "net.pth").read_bytes() == BYTES[::-1]


def test_all_bytes_there_already_need_nothing_more_than_a_check(serving, tmp_path):
    (tmp_path / "net.pth.part").write_bytes(BYTES)
    (tmp_path / "net.pth.part.etag").write_text('"v1"')
    assert fetch(serving.address, tmp_path / "net.pth", sha256=SHA256).read_bytes() == BYTES


def test_other_bytes_than_promised_are_thrown_away(serving, tmp_path):
    with pytest.raises(OSError, match="not the checksum that was promised"):
        fetch(serving.address, tmp_path / "net.pth", sha256="00" * 4)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth.lock"]  # others may wait for it


def test_processes_that_wait_for_a_stopped_fetch_take_turns(serving, tmp_path):
    """The lock of a fetch that failed stays: removed, it would let two write to one part."""
    target = tmp_path / "net.pth"
    inside, overlaps, stopped = [], [], threading.Event()

    def report(done, text):
        if not stopped.is_set():
            stopped.set()
            raise Cancelled
        if done < 1:
            inside.append(threading.get_ident())
            overlaps.append(len(set(inside)))

    def work():
        with contextlib.suppress(Cancelled):
            fetch(serving.address, target, sha256=SHA256, report=report)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == BYTES and set(overlaps) == {1} and len(serving.asked) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_a_server_that_breaks_off_is_asked_again_from_there(serving, tmp_path):
    serving.breaks_off = True
    with pytest.raises(OSError):
        fetch(serving.address, tmp_path / "net.pth", sha256=SHA256)
    serving.breaks_off = False
    assert fetch(serving.address, tmp_path / "net.pth", sha256=SHA256).read_bytes() == BYTES
    assert serving.asked[0] is None and serving.asked[1].startswith("bytes=")


def test_an_address_that_is_no_web_address_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(b"s")
    with pytest.raises(OSError):
        fetch(f"file://{tmp_path / 'secret'}", tmp_path / "net.pth")
    assert not (tmp_path / "net.pth").exists()


def test_what_is_here_is_not_fetched_again(no_network, tmp_path):
    (tmp_path / "net.pth").write_bytes(b"mine")
    assert fetch("http://nowhere.invalid/net.pth", tmp_path / "net.pth").read_bytes() == b"mine"


def test_the_hubs_hash_is_read_and_other_marks_are_not():
    assert stated_hash({"X-Linked-ETag": f'"{SHA256}"'}) == SHA256
    assert stated_hash({"X-Linked-ETag": '"5d41402abc"'}) == stated_hash({}) == ""


def test_listing_asks_for_nothing_and_names_every_learned_backbone(no_network, capsys):
    files = every_file()
    assert {file.network for file in files} <= set(BACKBONES)
    assert all(file.address.startswith("https://") and not file.is_here for file in files)
    assert main(["weights", "list", "--json"]) == 0
    told = {one["network"]: one for one in json.loads(capsys.readouterr().out)["weights"]}
    assert not told["torchvision/alexnet"]["here"] and told["torchvision/alexnet"]["sha256"] == "7be5be79"


def test_a_backbone_that_learns_nothing_has_nothing_to_fetch(capsys):
    assert main(["weights", "fetch", "gabor"]) == 1
    assert "nothing in it is learned" in capsys.readouterr().err


def test_a_fetch_without_network_says_where_to_put_the_file(no_network, monkeypatch, capsys):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: (_ for _ in ()).throw(OSError("unreachable")))
    assert main(["weights", "fetch", "torchvision/alexnet"]) == 1
    told = capsys.readouterr().err
    assert "alexnet-owt-7be5be79.pth elsewhere and save it as" in told and "random:0" in told


def test_fetching_by_name_puts_the_file_where_the_network_looks(serving, monkeypatch, tmp_path, capsys):
    source = BACKBONES["torchvision/alexnet"]
    file = WeightsFile("torchvision/alexnet", tmp_path / "net.pth", serving.address, "none", sha256=SHA256[:8])
    monkeypatch.setattr(type(source), "weights_file", lambda self, network: file)
    assert main(["weights", "fetch", "torchvision/alexnet"]) == 0
    assert file.path.read_bytes() == BYTES and "3.1 MB" in capsys.readouterr().out


def test_the_page_lists_the_weights_and_fetches_nothing(no_network, monkeypatch, tmp_path):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    page = AppTest.from_file(PROJECT / "pages" / "views" / "60_weights.py", default_timeout=60)
    page.run()
    assert not page.exception
    shown = page.dataframe[0].value
    assert "torchvision/alexnet" in set(shown["backbone"]) and not shown["here"].any()


@pytest.mark.parametrize(
    ("network", "found_best"),
    [
        ("torchvision/alexnet", {"classifier.6"}),
        ("torchvision/resnet18", {"maxpool", "fc"}),
        ("torchvision/resnet50", {"avgpool", "fc"}),
        ("torchvision/inception_v3", {"Mixed_5b", "Mixed_6b", "Mixed_7c"}),
        ("vonenet/resnet50", {"layer4.2", "fc"}),
        ("vonenet/alexnet", {"classifier.6"}),
    ],
)
def test_curated_layers_hold_those_that_published_models_found_best_and_stay_short(network, found_best):
    layers = BACKBONES[network].layers(network)
    assert found_best <= set(layers) and len(set(layers)) == len(layers) <= 24
