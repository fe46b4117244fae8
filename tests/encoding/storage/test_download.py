"""Downloads are continued, checked, and go nowhere but to https."""

import contextlib
import hashlib
import re
import shutil
import threading

import numpy as np
import pytest

from encoding.runtime.progress import Cancelled
from encoding.storage import download
from encoding.storage.download import check_address, fetch, reason_of, received_bytes, stated_hash
from tests.serving import serve

BYTES = np.random.default_rng(0).bytes(3 * 2**20)
SHA256 = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "SECONDS_BETWEEN_TRIES", 0.0)
    with serve({"/data.bin": BYTES, "/net.pth": BYTES}) as serving:
        yield serving


def test_a_transfer_that_breaks_off_again_and_again_goes_on_by_itself(server, tmp_path):
    server.breaks_after = 2**20
    target = fetch(f"{server.address}/data.bin", tmp_path / "data.bin", n_tries=3, n_bytes=len(BYTES), md5=hashlib.md5(BYTES).hexdigest())
    assert target.read_bytes() == BYTES and [path.name for path in tmp_path.iterdir()] == ["data.bin"]
    assert [wanted for _, wanted in server.asked] == [None, f"bytes={2**20}-", f"bytes={2 * 2**20}-"]


def test_why_a_download_failed_is_said_in_a_few_words(server, tmp_path, monkeypatch):
    with serve({}) as gone:
        address = gone.address
    refused = r"ConnectionError: Failed to establish a new connection: \[Errno \d+\] Connection refused"
    with pytest.raises(OSError) as found:
        fetch(f"{address}/data.bin", tmp_path / "data.bin")
    assert "Max retries" in str(found.value) and re.fullmatch(refused, reason_of(found.value))
    with pytest.raises(OSError) as found:
        fetch(f"{server.address}/nothing.bin", tmp_path / "data.bin")
    assert reason_of(found.value) == f"{type(found.value).__name__}: {found.value}"
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(OSError) as found:
        fetch("https://example.org/data.bin", tmp_path / "data.bin")
    assert re.fullmatch(refused.replace("Connection", "Proxy", 1), reason_of(found.value))


def test_tries_that_bring_nothing_end(server, tmp_path, monkeypatch):
    with serve({}) as gone:
        address = gone.address
    said = []
    with pytest.raises(OSError, match="refused"):
        fetch(f"{address}/data.bin", tmp_path / "data.bin", n_tries=3, report=lambda fraction, text: said.append(text))
    assert [text[-10:] for text in said] == ["try 2 of 3", "try 3 of 3"]
    with pytest.raises(OSError, match="404"):
        fetch(f"{server.address}/other.bin", tmp_path / "data.bin", n_tries=3)


def test_a_server_without_marks_or_ranges_is_asked_for_everything_again(server, tmp_path):
    for fault in ("marks", "ranges"):
        target = tmp_path / fault
        setattr(server, fault, False)
        with pytest.raises(Cancelled):
            fetch(f"{server.address}/data.bin", target, report=stop_after(0.4))
        assert 2**20 < received_bytes(target) < len(BYTES)
        assert fetch(f"{server.address}/data.bin", target).read_bytes() == BYTES
        assert received_bytes(target) == len(BYTES)


@pytest.mark.parametrize("promise", [{"n_bytes": 17}, {"md5": "00" * 16}, {"sha256": "00" * 32}])
def test_other_bytes_than_were_published_are_not_kept(server, tmp_path, promise):
    with pytest.raises(OSError, match=r"published with 17|not the checksum"):
        fetch(f"{server.address}/data.bin", tmp_path / "data.bin", n_tries=2, **promise)
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin.lock"]


def test_a_disk_without_room_is_seen_before_the_first_byte(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5e8))
    with pytest.raises(OSError, match=r"has 0.5 GB free, and data.bin needs 0.0 GB"):
        fetch(f"{server.address}/data.bin", tmp_path / "data.bin")
    assert received_bytes(tmp_path / "data.bin") == 0


@pytest.mark.parametrize("place", ["http://elsewhere.invalid/data.bin", "ftp://elsewhere.invalid/data.bin"])
def test_redirects_lead_to_https_only(server, tmp_path, place):
    server.moved["/moved"] = place
    with pytest.raises(OSError, match="which is not an https address"):
        fetch(f"{server.address}/moved", tmp_path / "data.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin.lock"]


def test_redirects_within_a_server_are_followed(server, tmp_path):
    server.moved["/moved"] = "/data.bin"
    assert fetch(f"{server.address}/moved", tmp_path / "data.bin").read_bytes() == BYTES


def test_other_hosts_cannot_lead_to_this_machine():
    check_address("https://osf.io/x/download")
    for address in ("http://osf.io/x", "file:///etc/passwd", "https:///x"):
        with pytest.raises(OSError):
            check_address(address)
    for address in ("http://127.0.0.1:8501/x", "https://localhost/x"):
        with pytest.raises(OSError):
            check_address(address, origin="https://osf.io/x")


def stop_after(fraction):
    def report(done, text):
        if done > fraction:
            raise Cancelled

    return report


def test_a_fetch_that_was_stopped_goes_on_from_there(server, tmp_path):
    target = tmp_path / "net.pth"
    with pytest.raises(Cancelled):
        fetch(f"{server.address}/net.pth", target, sha256=SHA256, report=stop_after(0.5))
    there = (tmp_path / "net.pth.part").stat().st_size
    assert 2**20 < there < len(BYTES) and not target.exists()
    fetch(f"{server.address}/net.pth", target, sha256=SHA256)
    assert [wanted for _, wanted in server.asked] == [None, f"bytes={there}-"]
    assert target.read_bytes() == BYTES and [path.name for path in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.parametrize("compares", [True, False])
def test_another_version_on_the_server_is_fetched_from_the_start(server, tmp_path, monkeypatch, compares):
    monkeypatch.setattr(server, "compares", compares)
    with pytest.raises(Cancelled):
        fetch(f"{server.address}/net.pth", tmp_path / "net.pth", report=stop_after(0.5))
    server.files["/net.pth"] = BYTES[::-1]
    assert fetch(f"{server.address}/net.pth", tmp_path / "net.pth").read_bytes() == BYTES[::-1]


def test_all_bytes_there_already_need_nothing_more_than_a_check(server, tmp_path):
    (tmp_path / "net.pth.part").write_bytes(BYTES)
    (tmp_path / "net.pth.part.etag").write_text(f'"{hashlib.md5(BYTES).hexdigest()}"')
    assert fetch(f"{server.address}/net.pth", tmp_path / "net.pth", sha256=SHA256).read_bytes() == BYTES


def test_processes_that_wait_for_a_stopped_fetch_take_turns(server, tmp_path):
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
            fetch(f"{server.address}/net.pth", target, sha256=SHA256, report=report)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == BYTES and set(overlaps) == {1} and len(server.asked) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_what_is_here_is_not_fetched_again(tmp_path):
    (tmp_path / "net.pth").write_bytes(b"mine")
    assert fetch("https://nowhere.invalid/net.pth", tmp_path / "net.pth").read_bytes() == b"mine"


def test_the_hubs_hash_is_read_and_other_marks_are_not():
    assert stated_hash({"X-Linked-ETag": f'"{SHA256}"'}) == SHA256
    assert stated_hash({"X-Linked-ETag": '"5d41402abc"'}) == stated_hash({}) == ""
