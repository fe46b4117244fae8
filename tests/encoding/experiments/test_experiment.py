"""The specification of an experiment: what it expands to, and how it is read and written."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from itertools import product

import pytest

from encoding import FitSpec
from encoding.backbones import UnknownLayer
from encoding.experiments import Experiment
from encoding.experiments.toml import dump_toml
from encoding.readouts import BadOption
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY

RIDGE, LASSO = {"name": "ridge", "alpha": 2.0}, {"name": "lasso", "alpha": 0.1}
GRIDS = {
    "nothing": Experiment(base=TINY),
    "layers": Experiment(base=TINY, vary={"layers": "all"}),
    "several layers": Experiment(base=TINY, vary={"layers": ["pixels", ["pixels", "colour"]]}),
    "readouts": Experiment(base=TINY, vary={"readout": ["ols", RIDGE, {"name": "ridge", "alphas": [1, 10.5]}]}),
    "regions": Experiment(base=TINY, vary={"rois": ["driven", ["driven", "noise"]], "split": ["kfold:3:1", "holdout:0.5:2"]}),
    "budgets": Experiment(base=replace(TINY, feature_budget=None), vary={"layers": "all"}),
    "several budgets": Experiment(base=TINY, vary={"feature_budget": [0.5, 2, "none"]}),
    "networks": Experiment(vary={"backbone": ["gabor", {"name": "torchvision/alexnet", "weights": "random:3", "layers": ["features.1"]}]}),
    "all": Experiment(
        base=replace(TINY, options={"alpha": 3, "flag": True}, rois=("driven",), average_repeats=True),
        vary={"subject": "all", "pool": ["none", "mean"], "n_components": [0, 2], "hemi": ["lh", "both"]},
        title='Text with "quotes", ünicode 🧠, a \\ and\na line break\x7f',
        about="=1+1",
        curves=True,
    ),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_toml_gives_the_same_experiment_back(tiny, grid):
    assert Experiment.from_toml(grid.to_toml()) == grid
    assert Experiment.from_toml(grid.to_toml()).to_toml() == grid.to_toml()


def test_the_grid_is_every_combination_the_last_setting_fastest(tiny):
    grid = Experiment(base=TINY, vary={"readout": ["ols", RIDGE], "layers": ["colour", "pixels"], "n_components": [0, 2]})
    expected = [
        replace(TINY, layers=(layer,), n_components=n, readout=readout, options=options)
        for layer, n, (readout, options) in product(("colour", "pixels"), (0, 2), (("ols", {}), ("ridge", {"alpha": 2.0})))
    ]
    assert list(grid.specs()) == expected
    assert grid.cells()[1].settings == {"layers": "colour", "n_components": "0", "readout": "ridge alpha=2.0"}


def test_a_feature_budget_without_limit_is_none(tiny):
    assert [spec.feature_budget for spec in GRIDS["several budgets"].specs()] == [0.5, 2, None]
    assert 'feature_budget = "none"' in GRIDS["budgets"].to_toml()


def test_a_list_within_the_list_of_layers_is_one_fit_and_all_are_the_backbone_s(tiny):
    assert [spec.layers for spec in GRIDS["several layers"].specs()] == [("pixels",), ("pixels", "colour")]
    assert [spec.layers for spec in GRIDS["layers"].specs()] == [("pixels",), ("colour",)]


def test_layers_that_are_named_nowhere_are_the_curated_ones(tiny):
    grid = Experiment.from_toml('[base]\ndataset = "tiny"\nbackbone = "tinynet"')
    assert [spec.layers for spec in grid.specs()] == [("pixels",), ("colour",)]


def test_a_layer_is_taken_of_each_backbone_that_has_it(tiny):
    grid = Experiment(base=TINY, vary={"backbone": ["tinynet", "gabor"], "layers": ["colour", "energy"]})
    assert [(spec.backbone, spec.layers) for spec in grid.specs()] == [("tinynet", ("colour",)), ("gabor", ("energy",))]


def test_weights_of_a_backbone_without_any_are_no_setting():
    grid = Experiment(vary={"backbone": ["gabor"], "weights": ["random:0", "random:1"]})
    assert [spec.weights for spec in grid.specs()] == ["pretrained"]


def test_the_split_defaults_to_the_data_set_s_own(tiny, monkeypatch):
    monkeypatch.setattr(type(tiny), "split", "kfold:4:0")
    assert Experiment.from_toml('[base]\ndataset = "tiny"').base.split == "kfold:4:0"


def test_the_key_is_of_what_is_computed(tiny):
    grid = GRIDS["readouts"]
    same = [
        replace(grid, title="another", about="text"),
        replace(grid, vary={"readout": list(reversed(grid.vary["readout"]))}),
        replace(grid, base=replace(TINY, readout="ols")),
    ]
    others = [replace(grid, curves=True), replace(grid, base=replace(TINY, n_components=3)), replace(grid, vary={"readout": ["ols"]})]
    assert {each.key for each in same} == {grid.key}
    assert len({each.key for each in [grid, *others]}) == 4


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("[bas]", UnknownName, "Did you mean 'base'"),
        ("[base]\nreadot = 'ridge'", UnknownName, "Unknown setting of [base] 'readot'. Did you mean 'readout'"),
        ("[vary]\nreadouts = ['ridge']", UnknownName, "Unknown setting to vary 'readouts'. Did you mean 'readout'"),
        ("[vary]\ndataset = ['demo']", UnknownName, "Unknown setting to vary 'dataset'"),
        ("[vary]\npool = 'mean'", ValueError, "vary.pool must be a list; not 'mean'"),
        ("[vary]\nlayers = 'every'", ValueError, "vary.layers must be a list, or 'curated' or 'all'; not 'every'"),
        ("[vary]\npool = []", ValueError, "vary.pool must be a list of one value or more"),
        ("base = 3", ValueError, "base must be a table"),
        ("curves = 'yes'", ValueError, "curves must be true or false, not 'yes'"),
        ("[base]\nn_components = '5'", ValueError, "base.n_components must be a whole number, not '5'"),
        ("[base]\npool = 'meen'", ValueError, "meen"),
        ("[base]\npool = 'mean'\n[vary]\npool = ['max']", ValueError, "pool stands in [base] and in [vary]"),
        ("[base]\noptions = {alpha = 1}\n[vary]\nreadout = ['ols']", ValueError, "its parameters stand beside its name"),
        ("[base", ValueError, "This is not TOML"),
        ("[vary]\nbackbone = [{name = 'gabor', wights = 'random:0'}]", UnknownName, "Did you mean 'weights'"),
        ("[vary]\nbackbone = [{name = 'gabor', layers = 'energy'}]", ValueError, 'a list of names, "curated" or "all", not \'energy\''),
        ("[vary]\nbackbone = [{weights = 'random:0'}]", ValueError, "needs its name"),
        ("[vary]\nreadout = [{alpha = 1}]", ValueError, "needs its name"),
    ],
)
def test_what_cannot_be_read_says_what_was_asked_and_what_exists(tiny, tmp_path, text, kind, message):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(kind) as raised:
        Experiment.read(path).cells()
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("base", "vary", "kind", "message"),
    [
        ({}, {"subject": ["subj1"]}, UnknownName, "Did you mean 'subj01'"),
        ({"dataset": "tinny"}, {}, UnknownName, "Did you mean 'tiny'"),
        ({}, {"backbone": ["tinnet"]}, UnknownName, "Did you mean 'tinynet'"),
        ({}, {"layers": ["pixel"]}, UnknownLayer, "Did you mean 'pixels'"),
        ({}, {"backbone": ["tinynet", "gabor"], "layers": ["colur"]}, UnknownLayer, "Did you mean 'colour'"),
        ({}, {"backbone": [{"name": "tinynet", "layers": ["pixl"]}]}, UnknownLayer, "Did you mean 'pixels'"),
        ({}, {"readout": ["rigde"]}, UnknownName, "Did you mean 'ridge'"),
        ({}, {"readout": [{"name": "ridge", "alpa": 1}]}, BadOption, "Did you mean 'alpha'"),
        ({}, {"split": ["half"]}, ValueError, "Split 'half' is not understood"),
        ({}, {"n_components": [1.5]}, ValueError, "vary.n_components must be a whole number, not 1.5"),
        ({}, {"feature_budget": ["much"]}, ValueError, "must be a number of GB, or \"none\" for no limit; not 'much'"),
        ({}, {"rois": [3]}, ValueError, "vary.rois must be a list of names"),
    ],
)
def test_names_are_checked_before_any_work(tiny, monkeypatch, base, vary, kind, message):
    monkeypatch.setattr(type(tiny), "open", lambda *_: pytest.fail("A subject was opened."))
    with pytest.raises(kind) as raised:
        Experiment(base=replace(TINY, **base), vary=vary).cells()
    assert message in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.toml"):
        Experiment.read(tmp_path / "none.toml")


@pytest.mark.parametrize("values", [{"a b": 1, "list": [[1, "x"], []], "inner": {"n": float("inf"), 'q"': False}}, {}, {"x": {}}])
def test_written_toml_is_read_back_by_the_standard_library(values):
    assert tomllib.loads(dump_toml(values)) == values


def test_toml_refuses_what_it_does_not_have():
    with pytest.raises(TypeError, match="NoneType"):
        dump_toml({"a": None})


def test_an_experiment_can_be_hashed_and_compared():
    assert hash(Experiment(vary={"pool": ("none",)})) == hash(Experiment(vary={"pool": ["none"]}))
    assert Experiment(vary={"pool": ("none",)}) == Experiment(vary={"pool": ["none"]}) != Experiment(base=FitSpec(pool="max"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_as_editors_of_any_system_save_it(tiny, tmp_path, encoding):
    file = tmp_path / "grid.toml"
    file.write_bytes('title = "Größe"\r\n[base]\r\ndataset = "tiny"\r\n'.encode(encoding))
    assert Experiment.read(file).title == "Größe"
    file.write_bytes(b"\xdf\xdf")
    with pytest.raises(ValueError, match=r"grid.toml is not text in UTF-8 .* Save it again as UTF-8"):
        Experiment.read(file)


@pytest.mark.parametrize(
    ("base", "vary"),
    [
        ({}, {"frames": [4, 8]}),
        ({}, {"over_frames": ["mean", "max"], "backbone": ["gabor", "pixels"]}),
        ({"backbone": "torchvision/alexnet", "layers": ["features.1"], "readout": "finetune"}, {"n_components": [50, 100]}),
    ],
)
def test_what_varies_and_changes_nothing_is_refused(base, vary):
    with pytest.raises(ValueError, match=rf"vary.{next(iter(vary))} changes nothing: .* Leave it out"):
        Experiment.from_dict({"base": {"dataset": "demo"} | base, "vary": vary}).cells()


def test_what_changes_one_of_the_fits_may_vary(tiny):
    readouts = {"n_components": [50, 100], "readout": ["ridge", "finetune"]}
    assert len(Experiment.from_dict({"base": {"backbone": "torchvision/alexnet", "layers": ["features.1"]}, "vary": readouts}).cells()) == 4
