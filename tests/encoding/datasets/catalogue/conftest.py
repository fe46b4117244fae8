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
        with serve({path: file.read_bytes() for path, file in there.items() if file.is_file()}) as server:
            moved = tuple(
                {**table, "address": server.address + "/" + table["address"].split("://")[1].partition("/")[2]} for table in entry.files
            )
            sizeless = tuple(
                {key: value for key, value in table.items() if key not in ("bytes", "md5", "sha256")} | {"about_bytes": 1}
                for table in moved
            )
            known[name] = replace(entry, files=sizeless, made_gb=1e-6)
            monkeypatch.setattr(catalogue, "entries", lambda: tuple(known.values()))
            yield server

    return host
