"""Sweeps over layers: what they compute and what they find."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pandas as pd
import pytest

from encoding import BACKBONES, FitSpec
from encoding.analysis.layer_ranking import best_layers
from encoding.analysis.layer_sweep import Sweep, concat_tables
from encoding.backbones import UnknownLayer
from encoding.cli import parser
from encoding.cli.sweeping import sweep_from
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY, OtherTinySource

SWEEP = Sweep(spec=TINY, cells=(("tinynet", "colour"), ("tinynet", "pixels")))


@pytest.fixture
def other(tiny, monkeypatch):
    monkeypatch.setitem(BACKBONES.sources._members, "othernet", OtherTinySource())


# ---- what is swept


def test_every_layer_is_swept_where_none_is_named(tiny):
    assert Sweep.read(TINY, ["tinynet"]).cells == (("tinynet", "pixels"), ("tinynet", "colour"))


def test_named_layers_come_in_the_network_s_own_order_and_once(tiny):
    assert Sweep.read(TINY, ["tinynet"], ["colour", "pixels", "colour"]).cells == (("tinynet", "pixels"), ("tinynet", "colour"))


def test_a_layer_is_taken_of_each_backbone_that_has_it_or_of_the_one_that_is_named(other):
    assert Sweep.read(TINY, ["tinynet", "othernet"], ["colour"]).cells == (("tinynet", "colour"), ("othernet", "colour"))
    assert Sweep.read(TINY, ["tinynet", "othernet"], ["othernet colour"]).cells == (("othernet", "colour"),)


@pytest.mark.parametrize(
    ("backbones", "layers", "kind", "message"),
    [
        (["tinynet"], ["pixel"], UnknownLayer, "Did you mean 'pixels'"),
        (["tinynet"], ["gabor energy"], UnknownLayer, "gabor, which is not among the backbones: tinynet"),
        (["tinnet"], [], UnknownName, "Did you mean 'tinynet'"),
        ([], [], ValueError, "at least one layer"),
    ],
)
def test_what_cannot_be_swept_is_explained(tiny, backbones, layers, kind, message):
    with pytest.raises(kind, match=message):
        Sweep.read(TINY, backbones, layers)


def test_equal_sweeps_have_equal_keys_whatever_layer_the_spec_names(tiny):
    same = Sweep(spec=replace(TINY, layers=("colour",)), cells=SWEEP.cells)
    assert same == SWEEP and same.job_key == SWEEP.job_key
    assert Sweep(spec=replace(TINY, n_components=3), cells=SWEEP.cells).job_key != SWEEP.job_key


# ---- its words


@pytest.mark.parametrize(
    ("backbones", "layers"),
    [(["tinynet"], []), (["tinynet"], ["colour"]), (["tinynet", "othernet"], ["othernet colour", "tinynet pixels"])],
)
def test_a_sweep_s_command_asks_for_just_that_sweep(other, backbones, layers):
    spec = replace(TINY, readout="ridge", options={"alpha": 3}, rois=("driven",), hemi="lh", weights="random:1")
    sweep = Sweep.read(spec, backbones, layers)
    assert sweep_from(parser().parse_args(shlex.split(sweep.to_command())[3:])) == sweep


def test_a_bare_sweep_needs_no_download(tiny):
    assert Sweep.read(FitSpec(), ["pixels", "gabor"]).cells == (("pixels", "rgb"), ("gabor", "simple"), ("gabor", "energy"))


@pytest.mark.parametrize(
    ("backbones", "networks"),
    [
        (["torchvision/alexnet", "gabor"], ["alexnet", "gabor"]),
        (["torchvision/resnet50", "vonenet/resnet50", "torchvision/alexnet"], ["torchvision/resnet50", "vonenet/resnet50", "alexnet"]),
        (["open_clip/RN50/openai", "open_clip/RN101/openai", "torchvision/resnet50"], ["RN50/openai", "RN101/openai", "resnet50"]),
        (["open_clip/RN50/openai", "open_clip/RN50/yfcc15m"], ["RN50/openai", "RN50/yfcc15m"]),
        (["open_clip/RN50/openai", "gabor"], ["RN50/openai", "gabor"]),
        (["torchvision/alexnet + gabor", "vonenet/alexnet + gabor"], ["torchvision/alexnet + gabor", "vonenet/alexnet + gabor"]),
        (["gabor + torchvision/alexnet", "torchvision/alexnet"], ["gabor + alexnet", "alexnet"]),
        (["a/b/c", "b/c", "x/c"], ["a/b/c", "b/c", "x/c"]),
    ],
)
def test_labels_name_each_network_of_a_sweep_shortly_and_no_two_alike(backbones, networks):
    """Rows of two networks under one label would be mixed, or could not be put into one table."""
    sweep = Sweep(spec=FitSpec(), cells=tuple((backbone, layer) for backbone in backbones for layer in ("early", "late")))
    assert [sweep.label(cell) for cell in sweep.cells] == [f"{name} {layer}" for name in networks for layer in ("early", "late")]
    rows = {cell: pd.DataFrame({"roi": ["V1", "V2"], "r": [number, -number]}) for number, cell in enumerate(sweep.cells)}
    best = best_layers(concat_tables(sweep, rows), None).set_index("roi")["label"]
    assert best.to_dict() == {"V1": f"{networks[-1]} late", "V2": f"{networks[0]} early"}
