"""Keras is an extra: nothing here loads it unasked, and what is missing is said. NASNet itself runs in a process of its own."""

import importlib.util
import subprocess
import sys
import types

import pytest

from encoding.backbones import BACKBONES, NoWeights, keras
from encoding.backbones._base import NotInstalled
from tests import PROJECT

SOURCE = BACKBONES[keras.NETWORK]
TESTS = PROJECT / "tests"


@pytest.mark.parametrize(("missing", "says"), [(["jax"], "needs jax, not"), (["keras", "jax"], "needs keras and jax, not")])
def test_where_it_is_not_installed_the_message_says_how_to_install_it(missing, says, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else name in ("keras", "jax") or found(name))
    for ask in (lambda: SOURCE.open(keras.NETWORK, "random:0"), lambda: SOURCE.check_layers(keras.NETWORK, ["activation_5"])):
        keras.every_layer.cache_clear()
        with pytest.raises(NotInstalled, match=f"keras/nasnet_mobile {says} installed here. Install with: pip install keras jax"):
            ask()


def test_keras_on_another_library_is_refused(monkeypatch):
    loaded = types.ModuleType("keras")
    loaded.backend = types.SimpleNamespace(backend=lambda: "torch")
    monkeypatch.setitem(sys.modules, "keras", loaded)
    with pytest.raises(
        RuntimeError, match=r"runs on Keras's jax backend, and this process has loaded Keras with torch\. Start a new process"
    ):
        SOURCE.open(keras.NETWORK, "random:0")


def test_the_weights_file_is_keras_own(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    file = SOURCE.weights_file(keras.NETWORK)
    assert file.path == tmp_path / "models" / "nasnet_mobile.h5" and not file.is_here
    assert not SOURCE.is_ready(keras.NETWORK, "pretrained") and SOURCE.is_ready(keras.NETWORK, "random:0")
    monkeypatch.setattr(keras, "ADDRESS", "http://127.0.0.1:9/NASNet-mobile.h5")
    with pytest.raises(
        NoWeights, match=r"could not be downloaded .* Download http://127\.0\.0\.1:9/NASNet-mobile\.h5 elsewhere and save it as"
    ):
        SOURCE.fingerprint(keras.NETWORK, "pretrained")


def test_nasnet_runs_in_a_process_of_its_own():
    missing = [name for name in ("keras", "jax") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: pip install keras jax")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / "nasnet_process.py")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=TESTS.parent)
    assert done.returncode == 0, done.stdout + done.stderr  # 5 where no test was found
