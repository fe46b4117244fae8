import os
import subprocess
import sys

import pytest

from encoding.runtime.registry import Registry, UnknownName, unknown
from tests import PROJECT


def test_an_unknown_name_gets_the_nearest_and_the_known():
    registry = Registry("readout", "encoding.readouts")
    registry._loaded = True
    registry.register("ridge", 1)
    registry.register("ols", 2)
    with pytest.raises(UnknownName, match=r"Unknown readout 'rigde'. Did you mean 'ridge'\? Known: ols, ridge."):
        registry["rigde"]
    assert "rigde" not in registry and "ols" in registry


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("torchvision/nope", None),
        ("torchvision/alexnt", "torchvision/alexnet"),
        ("alexnt", "vonenet/alexnet"),
        ("timm/swin", "timm/swin_t"),
    ],
)
def test_a_hint_is_near_in_what_follows_the_folder_and_the_folder_comes_first(name, hint):
    known = ["gabor", "vonenet/alexnet", "timm/swin_t", "torchvision/alexnet", "torchvision/swin_t"]
    text = unknown("backbone", name, known)
    assert f"Did you mean {hint!r}?" in text if hint else "Did you mean" not in text
    if name.startswith("torchvision/"):
        assert "Known: torchvision/alexnet, torchvision/swin_t, gabor" in text


def test_a_long_list_says_how_many_more():
    assert unknown("x", "q", [f"name{i}" for i in range(20)]).endswith("and 8 more.")


def test_a_name_is_registered_once():
    registry = Registry("thing", "encoding.readouts")
    registry.register("a", 1)
    with pytest.raises(ValueError, match="registered twice"):
        registry.register("a", 2)


def test_the_core_needs_no_interface_changes_no_variable_and_lists_without_heavy_libraries():
    code = """
import os, sys
sys.modules["streamlit"] = None
before = dict(os.environ)
import encoding
import encoding.plots
assert dict(os.environ) == before
list(encoding.DATASETS), list(encoding.BACKBONES), list(encoding.READOUTS)
encoding.DATASETS["demo"].roi_names(), encoding.DATASETS["demo"].responses_key("subj01")
heavy = {"torch", "torchvision", "scipy", "sklearn", "nilearn", "plotly", "distributed", "pandas", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"KMP_INIT_AT_FORK": "FALSE", "KMP_DUPLICATE_LIB_OK": "True"}  # which joblib and threadpoolctl set where they are not
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_threads_that_read_a_registry_while_it_is_filled_see_all_of_it():
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from encoding import BACKBONES, DATASETS, READOUTS
sys.setswitchinterval(1e-5)
kinds = [DATASETS, READOUTS, BACKBONES.sources] * 4
with ThreadPoolExecutor(len(kinds)) as pool:
    seen = list(pool.map(list, kinds))
assert all(names == list(kind) and len(names) > 3 for names, kind in zip(seen, kinds, strict=True)), seen
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_module_that_is_imported_to_fill_a_registry_may_read_it_and_a_failure_is_not_the_end(tmp_path, monkeypatch):
    (tmp_path / "odd_members").mkdir()
    (tmp_path / "odd_members" / "__init__.py").write_text("")
    (tmp_path / "odd_members" / "a.py").write_text("odd_registry.register('a', 1)\nassert list(odd_registry) == ['a']\n")
    (tmp_path / "odd_members" / "b.py").write_text(
        "import builtins\nif builtins.odd_fails: raise OSError('disk')\nodd_registry.register('b', 2)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("thing", "odd_members")
    monkeypatch.setattr("builtins.odd_registry", registry, raising=False)
    monkeypatch.setattr("builtins.odd_fails", True, raising=False)
    with pytest.raises(OSError, match="disk"):
        list(registry)
    monkeypatch.setattr("builtins.odd_fails", False)
    assert dict(registry) == {"a": 1, "b": 2}


EXTRA = """
import numpy as np
from encoding.backbones import Backbone, Source
from encoding.datasets.demo import Demo
from encoding.readouts import READOUTS
from encoding.readouts.ols import OLS


class Small(Demo):
    name, title = "small", "Small"

    def __init__(self):
        super().__init__(n_stimuli=60, n_unlabelled=2)


class Mean(Backbone):
    fingerprint = "mean-1"

    def prepare(self, image):
        import torch
        return torch.from_numpy(np.asarray(image.resize((8, 8)), np.float32).transpose(2, 0, 1) / 255)

    def activations(self, batch, layers, pool="none"):
        return {layer: batch.mean((2, 3)) for layer in layers}

    def to(self, device):
        return self


class MeanSource(Source):
    name, needs_weights = "meannet", False

    def networks(self):
        return ("meannet",)

    def layers(self, network):
        return ("mean",)

    every_layer = layers

    def fingerprint(self, network, weights):
        return Mean.fingerprint

    def open(self, network, weights):
        return Mean()


class Again(OLS):
    name, title = "again", "OLS of another package"


again = Again()
"""
ENTRY_POINTS = """
[encoding_explorer.datasets]
small = encoding_extra:Small

[encoding_explorer.backbones]
meannet = encoding_extra:MeanSource

[encoding_explorer.readouts]
again = encoding_extra:again
ols = encoding_extra:again
gone = encoding_missing:nothing
"""


@pytest.fixture
def extra_package(tmp_path):
    """Another installed package: a folder that holds its module and what pip writes of it."""
    (tmp_path / "encoding_extra.py").write_text(EXTRA)
    info = tmp_path / "encoding_extra-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: encoding-extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def test_another_package_adds_a_dataset_a_backbone_and_a_readout_that_fit(extra_package, tmp_path):
    code = (
        "import sys, warnings\n"
        "from encoding import BACKBONES, DATASETS, READOUTS, FitSpec, Store, fit\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    listed = [*DATASETS, *BACKBONES, *READOUTS]\n"
        "assert {'small', 'meannet', 'again'} <= set(listed), listed\n"
        "assert 'torch' not in sys.modules\n"
        "said = ' '.join(str(warning.message) for warning in caught)\n"
        "assert \"'ols' of encoding-extra is left out\" in said and \"'gone' of encoding-extra cannot be loaded\" in said, said\n"
        "spec = FitSpec(dataset='small', backbone='meannet', layers=('mean',), n_components=0, readout='again')\n"
        f"assert fit(spec, Store({str(tmp_path / 'store')!r})).rois()['r_mean'].notna().any()\n"
    )
    path = os.pathsep.join([str(extra_package), str(PROJECT)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
