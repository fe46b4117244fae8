"""An empty Store that commands use, and one way to ask them for JSON."""

import json

import pytest

from encoding.storage.store import Store


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The Store that commands use: an empty one."""
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return Store(tmp_path / "cache")


@pytest.fixture
def ask(shell):
    """Run a command with ``--json``; the one document that it prints."""

    def run(*words, code=0):
        found, out, err = shell(*words, "--json")
        assert found == code, err
        return json.loads(out)

    return run
