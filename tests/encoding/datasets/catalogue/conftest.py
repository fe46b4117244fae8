"""An entry of the catalogue whose files lie on a web server of this machine."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

import pytest

from encoding.datasets.catalogue import entry as catalogue
from encoding.storage import download
from tests.serving import serve


@pytest.fixture
def hosting(tmp_path, monkeypatch):
    """``with hosting(name, folder) as server`` serves a folder in place of an entry's host: address and name in it are the same."""
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "SECONDS_BETWEEN_TRIES", 0.0)
    known = {each.name: each for each in catalogue.entries()}

    @contextmanager
    def host(name: str, folder: Path):
        entry = known[name]
        files = entry.remote_files(entry.subjects, tuple(entry.parts))
        there = {urlparse(file.address).path: folder / file.name for file in files}
        named = [path for path in folder.glob("more/**/*.*") if entry.more]
        there |= {urlparse(entry.more.format(name=path.relative_to(folder / "more").as_posix())).path: path for path in named}
        with serve({path: file.read_bytes() for path, file in there.items() if file.is_file()}) as server:
            promised = ("bytes", "md5", "sha256")
            tables = ({key: value for key, value in table.items() if key not in promised} for table in entry.files)
            files = tuple(table | {"address": _moved(table["address"], server.address), "about_bytes": 1} for table in tables)
            known[name] = replace(entry, files=files, more=_moved(entry.more, server.address), made_gb=1e-6)
            monkeypatch.setattr(catalogue, "entries", lambda: tuple(known.values()))
            yield server

    return host


def _moved(address: str, host: str) -> str:
    """An address on another host."""
    return f"{host}/{address.split('://')[1].partition('/')[2]}" if address else ""
