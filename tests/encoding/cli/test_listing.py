"""Data sets, backbones, readouts, layers and ROIs are listed."""

import pytest

from encoding import DATASETS
from encoding.backbones import BACKBONES
from tests.conftest import TinySource


def test_every_member_of_each_registry_is_listed(tiny, ask):
    assert {one["name"] for one in ask("list", "datasets")["datasets"]} == set(DATASETS)
    assert {one["name"] for one in ask("list", "backbones")["backbones"]} == set(BACKBONES)
    ridge = next(one for one in ask("list", "readouts")["readouts"] if one["name"] == "ridge")
    assert {option["name"] for option in ridge["options"]} == {"alpha", "alphas", "n_folds", "alpha_per_target"}


@pytest.mark.parametrize("kind", ["datasets", "backbones", "readouts"])
def test_lists_are_readable_too(tiny, shell, kind):
    code, out, _ = shell("list", kind)
    name = {"datasets": "tiny: Tiny (simulated: no brain was measured)", "backbones": "tinynet", "readouts": "ridge: Ridge"}[kind]
    assert code == 0 and any(line.startswith(name) for line in out.splitlines())


def test_layers_are_the_curated_ones_or_all(tiny, ask, monkeypatch):
    monkeypatch.setattr(TinySource, "every_layer", lambda self, network: ("conv", "pixels", "colour"))
    assert ask("layers", "tinynet") == {"backbone": "tinynet", "curated": True, "layers": ["pixels", "colour"]}
    assert ask("layers", "tinynet", "--all") == {"backbone": "tinynet", "curated": False, "layers": ["conv", "pixels", "colour"]}


def test_a_backbone_without_curated_layers_shows_all_and_says_so(tiny, shell, monkeypatch):
    monkeypatch.setattr(TinySource, "layers", lambda self, network: ())
    monkeypatch.setattr(TinySource, "every_layer", lambda self, network: ("conv",))
    code, out, err = shell("layers", "tinynet")
    assert code == 0 and out == "conv\n" and "all of its layers" in err


def test_rois_counts_each_hemisphere_and_an_empty_roi_is_zero(tiny, ask, shell):
    document = ask("rois", "tiny", "subj01")
    counts = {(row["roi"], row["hemi"]): row["n_vertices"] for row in document["rois"]}
    assert counts["driven", "lh"] == 5 and counts["empty", "rh"] == 0
    assert document["n_vertices"] == {"lh": 10, "rh": 10} and document["simulated"] is True
    _, out, _ = shell("rois", "tiny", "subj01")
    assert ["empty", "planted", "0", "0"] in [line.split() for line in out.splitlines()]
