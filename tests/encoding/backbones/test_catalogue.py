"""Fetching weights: only when asked, on from where it stopped, checked against the promised hash."""

import hashlib
import json
import socket

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from encoding.backbones import BACKBONES, WeightsFile
from encoding.backbones._catalogue import every_file
from encoding.cli import main
from tests import PROJECT

BYTES = np.random.default_rng(0).bytes(3 * 2**20)
SHA256 = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Nothing leaves the machine, and no weights are on it."""

    def refuse(*args, **more):
        raise AssertionError("somebody asked for the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("TORCH_HOME", "HF_HOME", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


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


def test_fetching_by_name_puts_the_file_where_the_network_looks(served, monkeypatch, tmp_path, capsys):
    served.files["/net.pth"] = BYTES
    source = BACKBONES["torchvision/alexnet"]
    file = WeightsFile("torchvision/alexnet", tmp_path / "net.pth", f"{served.address}/net.pth", "none", sha256=SHA256[:8])
    monkeypatch.setattr(type(source), "weights_file", lambda self, network: file)
    assert main(["weights", "fetch", "torchvision/alexnet"]) == 0
    assert file.path.read_bytes() == BYTES and "3.1 MB" in capsys.readouterr().out


def test_the_page_lists_the_weights_and_fetches_nothing(no_network, monkeypatch, tmp_path):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    page = AppTest.from_file(PROJECT / "pages" / "views" / "60_weights.py", default_timeout=60)
    page.run()
    assert not page.exception
    shown = page.dataframe[0].value
    assert "torchvision/alexnet" in set(shown["network"]) and set(shown["here"]) == {""}


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
