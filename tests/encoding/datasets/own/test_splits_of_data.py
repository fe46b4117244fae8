"""Splits that come with the data: read from TOML and JSON alike, scored on every test set, refused where they part a stimulus."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from encoding import DATASETS, FitSpec, fit
from encoding.analysis.test_sets import scores_by_test_set
from encoding.cli import main
from encoding.datasets import BadData
from encoding.datasets.doctor import diagnose
from encoding.evaluation.splits import NamedSplit, check_split, folds
from encoding.experiments import Experiment, run_experiment
from encoding.experiments.graph import compile_graph
from encoding.fits.plan import plan

N = 40
TOML = """
[general]
train = ["0:20", 24]
[general.test]
inside = ["21:24", "25:30"]
outside = ["sketches/*", "5b.png"]
[plain]
train = ["10:"]
test = ["0:10"]
"""
JSON = {
    "general": {"train": [*range(20), 24], "test": {"inside": [21, 22, 23, 25, 26, 27, 28, 29], "outside": [20, *range(30, 40)]}},
    "plain": {"train": list(range(10, 40)), "test": list(range(10))},
}
SPEC = FitSpec(dataset="mine", subject="me", backbone="tinynet", layers=("colour",), n_components=0, split="named:general")


@pytest.fixture
def folder(data_dir, tmp_path, monkeypatch, tiny):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "store"))
    folder = data_dir / "mine"
    chance = np.random.default_rng(0)
    colours = chance.integers(0, 256, (N, 3))
    names = [f"photos/{i}.png" for i in range(20)] + ["photos/5b.png"] + [f"photos/{i}.png" for i in range(21, 30)]
    names += [f"sketches/{i}.png" for i in range(30, 40)]
    for name, colour in zip(names, colours, strict=True):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), tuple(map(int, colour))).save(path)
    (folder / "order.txt").write_text("\n".join(names))
    noise = np.where(np.arange(N)[:, None] < 30, 1, 300) * chance.normal(size=(N, 3))  # sketches are hard
    np.save(folder / "Y.npy", (colours + noise).astype(np.float32))
    (folder / "splits.toml").write_text(TOML)
    (folder / "splits.json").write_text(json.dumps(JSON))
    describe(folder, "splits.toml")
    return folder


def describe(folder, splits, more=""):
    text = f'splits = "{splits}"\n[stimuli]\nfolder = "images"\nfiles = "order.txt"\n[subjects.me]\nresponses = "Y.npy"\n{more}'
    (folder / "dataset.toml").write_text(text)


def test_toml_and_json_name_the_same_rows(folder, store):
    found = {}
    for name in ("splits.toml", "splits.json"):
        describe(folder, name)
        found[name] = DATASETS["mine"].open("me", store).splits
        assert DATASETS["mine"].splits("me") == ["named:general", "named:general:inside", "named:general:outside", "named:plain"]
        assert folder / name in DATASETS["mine"].watched("me")
    for split, about in JSON.items():
        tests = about["test"] if isinstance(about["test"], dict) else {"test": about["test"]}
        for each in found.values():
            assert each[split].train.tolist() == about["train"]
            assert {test: rows.tolist() for test, rows in each[split].tests.items()} == tests


def test_one_training_is_scored_on_every_test_set_and_the_table_agrees_with_a_fit_of_each(folder, store, capsys):
    result = fit(SPEC, store)
    table = scores_by_test_set(result)
    assert table["test_set"].tolist() == ["inside", "outside"] and table["n_test"].tolist() == [8, 11]
    assert table["r_mean"].iloc[0] > 0.99 > 0.8 > table["r_mean"].iloc[1]
    assert result.rois()["r_mean"].iloc[0] == table["r_mean"].iloc[0]  # of the first
    outside = fit(replace(SPEC, split="named:general:outside"), store)
    assert outside.cached and outside.rois()["r_mean"].iloc[0] == table["r_mean"].iloc[1]
    weights = [key for key in store.keys() if key.startswith("weights")]  # noqa: SIM118
    assert len(weights) == 1  # trained once
    assert scores_by_test_set(fit(replace(SPEC, split="named:plain"), store)).empty
    words = "fit --dataset mine --subject me --backbone tinynet --layer colour --components 0 --split named:general"
    assert main(words.split()) == 0
    shown = capsys.readouterr().out
    assert "test set  inside: 8 test images" in shown and "test set  outside: 11 test images" in shown


def test_an_experiment_has_every_test_set_also_of_fits_that_were_scored_on_one_alone(folder, store):
    experiment = Experiment(base=SPEC, vary={"readout": ["ridge", "ols"]})
    ridge = fit(SPEC, store)
    store.remove(ridge.plan.test_sets["outside"].key)  # as where a test set was added to the file since
    ran = run_experiment(experiment, store, device="cpu")
    table = ran.table()
    assert ran.status.count("done") == 2 and table["test_set"].tolist() == ["inside", "outside"] * 2
    assert table["n_test"].tolist() == [8, 11] * 2 and table["key"].nunique() == 4 and table["r_low"].notna().all()
    np.testing.assert_array_equal(table["r_mean"][:2], scores_by_test_set(ridge)["r_mean"])
    assert not compile_graph(experiment.cells(), store).tasks
    one = Experiment(base=replace(SPEC, split="named:general:outside"))
    assert run_experiment(one, store, device="cpu").table()["test_set"].tolist() == ["outside"]
    plain = Experiment(base=replace(SPEC, split="named:plain"))
    assert run_experiment(plain, store, device="cpu").table()["test_set"].tolist() == [""]


def test_changed_rows_are_another_fit(folder, store):
    before = plan(SPEC, store).key
    (folder / "splits.toml").write_text(TOML.replace("25:30", "25:29"))
    assert plan(SPEC, store).key != before
    (folder / "splits.toml").write_text(TOML.replace("[plain]", "[renamed]"))
    assert plan(SPEC, store).key == before  # only the rows count


WRONG = {
    "a row that is not there": ("[a]\ntrain = [1, 2]\ntest = [40, 3]", r"a.test.test: 40 names none of the 40 rows"),
    "a range beyond": ("[a]\ntrain = ['0:41']\ntest = [3]", "'0:41' names none of the 40 rows"),
    "a stimulus that is not there": ("[a]\ntrain = ['dog.png']\ntest = [3]", "'dog.png' names none"),
    "both sides": ("[a]\ntrain = ['0:9']\ntest = ['8:12']", r"1 row trains and is of the test set test too, the first 8 \(8.png\)"),
    "no test": ("[a]\ntrain = ['0:9']", r"needs train = \[...\] and test"),
    "an empty part": ("[a]\ntrain = []\ntest = [1]", "a, train: write a list of rows"),
    "a bare word": ("a = 3", r"a needs train"),
    "a flag": ("[a]\ntrain = [true, 1]\ntest = [1]", "True is no row"),
    "a colon in a name": ("['a:b']\ntrain = [1]\ntest = [2]", "name splits with letters"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_names_the_part_and_the_row(folder, store, name):
    text, message = WRONG[name]
    (folder / "splits.toml").write_text(text)
    with pytest.raises(BadData, match=message):
        DATASETS["mine"].open("me", store)


def test_a_split_that_parts_the_rows_of_a_stimulus_is_refused(folder, store):
    """Rows of one stimulus are found by their bytes, whatever the files are called."""
    (folder / "images" / "photos" / "22.png").write_bytes((folder / "images" / "photos" / "3.png").read_bytes())
    with pytest.raises(ValueError, match="trains on row 3 and tests on row 22, which are of one stimulus or group"):
        plan(SPEC, store)
    assert plan(replace(SPEC, split="named:general:outside"), store).n_tested == 11


def test_named_splits_nest_and_unknown_ones_are_named():
    named = {"a": NamedSplit(np.arange(10), {"x": np.arange(10, 14), "y": np.arange(14, 20)})}
    groups = np.arange(20)
    assert folds("named:a:y", groups, named)[0].test.tolist() == [14, 15, 16, 17, 18, 19]
    inner = folds("named:a/kfold:5:0", groups, named)
    assert len(inner) == 5 and sorted(np.concatenate([fold.test for fold in inner])) == list(range(10))
    with pytest.raises(ValueError, match="come with the splits a"):
        folds("named:b", groups, named)
    with pytest.raises(ValueError, match="no named split"):
        folds("named:a", groups)
    with pytest.raises(ValueError, match="test sets x, y"):
        folds("named:a:z", groups, named)
    assert check_split("named:a:x/kfold:3:0") and check_split("named:a")
    for wrong in ("named:", "named:a:b:c", "kfold:5:0/named:a"):
        with pytest.raises(ValueError, match="not understood"):
            check_split(wrong)


def test_the_doctor_counts_rows_and_finds_stimuli_on_both_sides(folder, store):
    def findings():
        found = {each.what.removeprefix("mine me: "): each.level for each in diagnose(folder, store)}
        return {what: level for what, level in found.items() if "named:" in what}

    assert findings() == {
        "split named:general: 21 rows train; test sets: inside 8, outside 11.": "ok",
        "split named:plain: 30 rows train; test sets: test 10.": "ok",
    }
    np.save(folder / "days.npy", np.arange(N) // 10)
    describe(folder, "splits.toml", 'groups = "days.npy"\n')
    assert findings()["named:general:inside trains and tests on rows of 1 of the same stimuli or groups."] == "error"
