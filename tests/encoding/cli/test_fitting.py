"""Words of ``fit`` are read as people write them, and what it prints and writes."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from encoding import FitSpec, fit
from encoding.cli import parser
from encoding.cli.command import whole_number
from encoding.cli.spec_options import option, spec_from
from tests.conftest import TINY
from tests.encoding.cli.words import TINY_FIT
from tests.encoding.prediction.conftest import clip_data, clips  # noqa: F401 - fixtures


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10), (".5", 0.5), ("1.", 1.0), ("+1", 1), ("1e-3", 1e-3), ("-2", -2), ("None", None), ("null", None), ("True", True),
        ("true", True), ("1,10", (1, 10)), ("[1, 10]", [1, 10]), ("(.1, 1.)", (0.1, 1.0)), ("roi", "roi"), ("'roi'", "roi"), ("1_0", 10),
        ("", ""), ("a=b", "a=b"), ("(" * 10_000, "(" * 10_000),
    ],
)  # fmt: skip
def test_values_are_read_as_json_or_as_python_writes_them(text, value):
    assert option(f"alpha={text}") == ("alpha", value)


@pytest.mark.parametrize("hemi", ["left", "brain", "lh", "both"])
def test_any_block_can_be_named_and_planning_decides_whether_it_is_there(hemi):
    assert FitSpec.from_dict(FitSpec(hemi=hemi).to_dict()).hemi == hemi
    for wrong in ("", "l h", "--x"):
        with pytest.raises(ValueError, match="hemi must be lh, rh, another block"):
            FitSpec(hemi=wrong)


@pytest.mark.parametrize(("text", "number"), [("100", 100), ("1e2", 100), ("100.0", 100), (" 16 ", 16), ("-1", -1), ("9" * 19, 10**19 - 1)])
def test_a_whole_number_is_read_as_people_write_it(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["1.5", "1,5", "ten", "", "nan", "inf", "1e400", "0x10"])
def test_what_is_no_whole_number_is_refused_with_an_example(text):
    with pytest.raises(argparse.ArgumentTypeError, match="a whole number such as 100 is needed"):
        whole_number(text)


def test_fit_shows_another_score_with_its_interval(tiny, shell, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    words = ["fit", "--dataset", "tiny", "--backbone", "tinynet", "--layer", "pixels", "--components", "0", "--split", "kfold:3:0"]
    code, out, _ = shell(*words, "--score", "pooled_r")
    assert code == 0 and "mean r, pooled" in out and "95 % from" in out and "One r over the predictions of all 3 folds together" in out
    code, out, _ = shell(*words[:-1], "holdout:0.75:5", "--score", "pooled_r")
    assert code == 0 and "one fold, of which pooled r is r" in out


@pytest.mark.parametrize("words", ["fit", "search --readout mlp", "sweep --all-layers --backbone pixels gabor"])
def test_weights_are_refused_where_nothing_is_learned(shell, tmp_path, monkeypatch, words):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    code, _, wrong = shell(*words.split(), "--weights", "random:0")
    assert code == 2 and "nothing there is learned, so there are no weights. Leave --weights random:0 out." in wrong
    assert "--weights" not in FitSpec(weights="random:0").to_command(full=True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("fit --frames 4", "The stimuli of demo are no clips, so they have no frames. Leave --frames 4 out."),
        ("sweep --all-layers --over-frames max", "Leave --over-frames max out."),
        ("search --readout mlp --frames 4", "Leave --frames 4 out."),
        ("fit --dataset algonauts2021 --backbone given/words --layer all --frames 4", "given/words is a feature table"),
        (
            "fit --backbone torchvision/alexnet --layer features.1 --readout finetune --components 50",
            "makes no components. Leave --components 50 out.",
        ),
        (
            "fit --backbone torchvision/alexnet --layer features.1 --readout finetune --layer-scaling zscore",
            "Leave --layer-scaling zscore out.",
        ),
        ("fit --reduction none --components 50", "keeps every feature as it is. Leave --components 50 out."),
    ],
)
def test_options_that_would_change_nothing_are_refused(shell, tmp_path, monkeypatch, words, why):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    code, _, wrong = shell(*words.split())
    assert code == 2 and why in wrong


def test_commands_hold_nothing_that_is_refused(shell):
    assert FitSpec(frames=4, over_frames="max", weights="random:0").to_command() == FitSpec().to_command()
    assert "--frames" in FitSpec(dataset="algonauts2021", frames=4).command_options()
    finetune = FitSpec(backbone="timm/sam", layers=("neck",), readout="finetune")
    assert replace(finetune, n_components=50, component_scaling="zscore").to_command() == finetune.to_command()


def test_a_score_that_responses_do_not_have_is_refused_before_any_work(tiny, clip_data, shell, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    code, _, wrong = shell(*TINY_FIT, "--score", "normalised_r2")
    assert code == 2 and "needs a noise ceiling" in wrong
    words = [
        "fit",
        "--dataset",
        "algonauts2021",
        "--subject",
        "sub01",
        "--backbone",
        "tinynet",
        "--layer",
        "pixels",
        "--split",
        "kfold:3:0",
    ]
    code, _, wrong = shell(*words, "--score", "algonauts2023")
    assert code == 2 and "is one of images" in wrong
    assert not list((tmp_path / "cache").glob("fit/*"))


KEYS = {"key", "spec", "cached", "seconds", "device", "n_train", "n_test", "rois"}
ROI_KEYS = {"roi", "hemi", "n_vertices", "r_mean", "r_median", "r2_mean", "rmse", "mae", "smooth_l1"}


# ---- words


SPECS = [
    FitSpec(),
    FitSpec(backbone="torchvision/alexnet", layers=("features.1", "features.4"), weights="random:0", hemi="lh"),
    FitSpec(rois=("V1v", "V1d"), hemi="rh", n_components=0, split="kfold:5:0"),
    FitSpec(backbone="timm/sam", layers=("neck",), rois=("FFA-1",), readout="ols", weights="/a folder/with 'quotes'.pt"),
    FitSpec(options={"alpha": 10}),
    FitSpec(options={"alpha": 10.5, "n_folds": 3}, subject="subj02"),
    FitSpec(options={"alphas": (1.0, 10.0), "flag": True, "nothing": None}),
    FitSpec(options={"kernel": "rbf", "digits": "10", "truth": "true", "quoted": '"x"', "spaced": "a b=c", "empty": ""}),
    TINY,
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: " ".join(map(str, spec.changed().values())) or "default")
def test_the_command_of_a_spec_is_read_back_as_the_same_spec(spec):
    words = shlex.split(spec.to_command())
    assert words[:4] == ["python", "-m", "encoding", "fit"]
    found = spec_from(parser().parse_args(words[3:]))
    assert found == spec and hash(found) == hash(spec)
    assert {name: type(value) for name, value in found.options} == {name: type(value) for name, value in spec.options}


def test_rois_may_stand_before_other_options_and_be_given_twice():
    words = ["fit", "--roi", "V1v", "V1d", "--hemi", "lh", "--roi", "hV4", "V1v", "--json"]
    spec = spec_from(parser().parse_args(words))
    assert spec.rois == ("V1v", "V1d", "hV4") and spec.hemi == "lh"


def test_without_options_fit_means_the_default_spec():
    assert spec_from(parser().parse_args(["fit"])) == FitSpec()


# ---- fit


def test_fit_prints_one_document_with_the_keys_of_the_issue(tiny, shell, cache):
    code, out, _ = shell(*TINY_FIT, "--json")
    document = json.loads(out)
    assert code == 0 and set(document) >= KEYS
    assert document["n_train"] == 90 and document["n_test"] == 30 and document["cached"] is False
    assert document["spec"] == TINY.to_dict() and document["key"] in cache
    assert [(row["roi"], row["hemi"]) for row in document["rois"]][:3] == [("all", "lh"), ("all", "rh"), ("driven", "lh")]
    assert all(set(row) >= ROI_KEYS for row in document["rois"])
    empty = next(row for row in document["rois"] if row["roi"] == "empty")
    assert empty["n_vertices"] == 0 and empty["r_mean"] is None


def test_the_shell_and_a_notebook_give_the_same_numbers(tiny, ask, store):
    here = fit(TINY, store).summary()
    there = ask(*TINY_FIT)
    assert there["key"] == here["key"] and there["rois"] == here["rois"]


def test_the_same_fit_again_is_kept(tiny, ask):
    assert ask(*TINY_FIT)["cached"] is False
    assert ask(*TINY_FIT)["cached"] is True


def test_the_table_has_both_hemispheres_side_by_side_and_says_what_is_simulated(tiny, shell):
    document = json.loads(shell(*TINY_FIT, "--json")[1])
    r = {(row["roi"], row["hemi"]): row["r_mean"] for row in document["rois"]}
    code, out, _ = shell(*TINY_FIT)
    lines = out.splitlines()
    assert code == 0 and lines[0].split() == ["left", "right"]
    assert lines[1].split() == ["ROI", "vertices", "mean", "r", "vertices", "mean", "r"]
    assert ["driven", "5", f"{r['driven', 'lh']:.3f}", "5", f"{r['driven', 'rh']:.3f}"] in [line.split() for line in lines]
    assert ["empty", "0", "-", "0", "-"] in [line.split() for line in lines]
    assert "simulated: no brain was measured" in out and document["key"] in out
    assert len({len(line) for line in lines[1 : 1 + 5]}) == 1, "columns end together"


@pytest.mark.parametrize(
    ("groups", "regions"),
    [("hemisphere", [("lh", "driven"), ("rh", "driven")]), ("roi", [(h, r) for r in ("driven", "noise") for h in ("lh", "rh")])],
)
def test_losses_are_of_each_region_where_each_has_a_model_and_never_of_an_empty_one(groups, regions, tiny, shell, ask):
    words = [*TINY_FIT, "--readout", "linear_sgd", "--set", "n_epochs=2", "--roi", "empty", "driven", "noise", "--target-groups", groups]
    _, out, _ = shell(*words)
    errors = {(row["hemi"], row["roi"]): row["validation_mse"] for row in ask(*words)["training_errors"]}
    lines = [line for line in out.splitlines() if line.startswith("training")]
    assert [tuple(line.split(":")[0].split()[1:]) for line in lines] == [(f"{hemi},", roi) for hemi, roi in regions]
    assert all(f"{errors[region]:.4f} on validation" in line for region, line in zip(regions, lines, strict=True))


def test_the_ceiling_is_shown_where_it_is_known(tiny, shell):
    tiny.change(ceiling={hemi: np.full(10, 0.25, np.float32) for hemi in ("lh", "rh")})
    _, out, _ = shell(*TINY_FIT, "--roi", "driven", "--hemi", "rh")
    assert out.splitlines()[0].split() == ["right"]
    assert out.splitlines()[2].split()[-1] == "0.500"


def test_measured_responses_are_not_called_simulated(tiny, shell):
    tiny.change(simulated=False)
    assert "simulated" not in shell(*TINY_FIT)[1]


def test_out_writes_the_five_files(tiny, ask, tmp_path):
    document = ask(*TINY_FIT, "--out", tmp_path / "new" / "out")
    folder = Path(document["out"])
    assert {path.name for path in folder.iterdir()} == {"spec.json", "rois.csv", "vertices.parquet", "lh_r.npy", "rh_r.npy"}
    assert FitSpec.from_dict(json.loads((folder / "spec.json").read_text())["spec"]) == TINY
    expected = {(row["roi"], row["hemi"]): row["r_mean"] for row in document["rois"]}
    for row in pd.read_csv(folder / "rois.csv").itertuples():
        assert row.r_mean == pytest.approx(expected[row.roi, row.hemi], abs=1e-8) or row.n_vertices == 0
    vertices = pd.read_parquet(folder / "vertices.parquet")
    np.testing.assert_allclose(np.load(folder / "rh_r.npy"), vertices[vertices.hemi == "rh"].r, atol=1e-6)


def test_out_on_a_file_is_refused_before_any_work(tiny, shell, tmp_path, cache):
    (tmp_path / "file").write_text("mine")
    code, _, err = shell(*TINY_FIT, "--out", tmp_path / "file")
    assert code == 2 and "is a file; give a folder" in err
    assert cache.keys() == [] and (tmp_path / "file").read_text() == "mine"


def test_the_default_backbone_needs_no_layer_and_no_download(tiny, ask):
    document = ask("fit", "--dataset", "tiny", "--components", "10")
    assert document["spec"]["backbone"] == "gabor" and document["spec"]["layers"] == ["energy"]
    assert document["n_train"] == 108 and np.isfinite(document["rois"][0]["r_mean"])


def test_samples_of_runs_are_not_called_images(tiny, shell, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    runs = np.arange(120) // 15
    tiny.change(groups=runs, stimulus_ids=np.arange(120), runs=runs)
    for words in (TINY_FIT, ["sweep", *TINY_FIT[1:]]):
        code, out, wrong = shell(*words)
        assert code == 0 and "responses to test samples" in out and "test images" not in out, wrong


def test_a_file_that_holds_no_weights_is_said_without_the_name_of_an_error(shell, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "net.pth").write_bytes(b"\x01" * 100)
    words = ["--dataset", "tiny", "--backbone", "torchvision/alexnet", "--layer", "features.1", "--split", "holdout:0.75:5"]
    code, _, wrong = shell("fit", *words, "--weights", tmp_path / "net.pth")
    assert code == 1 and f"error: {tmp_path / 'net.pth'} was refused" in wrong and "ValueError" not in wrong and "--debug" not in wrong
