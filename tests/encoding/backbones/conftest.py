"""What the tests of backbones share."""

import socket
import urllib.request

import pytest


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
