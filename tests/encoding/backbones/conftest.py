"""What the tests of backbones share."""

import socket
import urllib.request

import pytest

from tests.serving import serve


@pytest.fixture
def nothing_here(monkeypatch, tmp_path):
    """Empty caches, and a network that fails the test when anything asks it."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def served(monkeypatch):
    """A server on this machine, whose ``files`` the test fills."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve({}) as server:
        yield server
