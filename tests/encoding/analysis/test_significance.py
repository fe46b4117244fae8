"""Permutation test of a finished fit: against its scores and a known truth, its key, and what the shell prints."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from encoding import Store, fit
from encoding.analysis.significance import _labels, significance, significance_key, stored_significance
from encoding.evaluation.permutation import Permutations
from tests.conftest import TINY, register_tiny

FEW = Permutations(n_permutations=199)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The planted subject by hold-out and 4-fold: five vertices of ten in each hemisphere follow the images."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        dataset = register_tiny(monkeypatch)
        store = Store(tmp_path_factory.mktemp("significance"))
        found = {split: fit(replace(TINY, split=split), store, device="cpu") for split in ("holdout:0.75:5", "kfold:4:0")}
        dataset.change(groups=np.repeat(np.arange(20), 6), stimulus_ids=np.arange(120))
        yield found | {"runs": fit(replace(TINY, split="kfold:4:0"), store, device="cpu")}


@pytest.mark.parametrize("split", ["holdout:0.75:5", "kfold:4:0"])
def test_vertices_that_follow_the_images_are_found_and_the_others_are_not(results, split, tiny):
    found = significance(results[split], permutations=FEW)
    for hemi in ("lh", "rh"):
        assert (found.p[hemi][:5] == 1 / 200).all() and (found.p[hemi][5:] > 0.005).sum() >= 4
        assert (found.q[hemi][:5] <= 0.05).all()
    assert found.n_tested == 20
    pooled = np.concatenate([found.p["lh"], found.p["rh"]])
    np.testing.assert_allclose(np.concatenate([found.q["lh"], found.q["rh"]]), false_discovery_control(pooled))
    table = found.table().set_index(["roi", "hemi"])
    assert table.loc[("driven", "lh"), ["n_tested", "n_below", "n_found"]].tolist() == [5, 5, 5]
    assert table.loc[("driven", "lh"), "least_r"] == results[split].score("lh")[:5].min()
    assert table.loc[("all", "rh"), "by_chance"] == 0.5 and table.loc[("empty", "lh"), "n_tested"] == 0
    np.testing.assert_array_equal(np.isfinite(found.thresholded()["lh"]), found.q["lh"] <= 0.05)
    assert found.expected_false(-1) == 20 and found.expected_false(0.9) < 0.1
    assert f"{found.n_found():,} of 20 vertices are predicted above chance" in found.describe()
    assert found.vertices()["p"].tolist() == pooled.tolist()


def test_it_is_kept_and_its_key_follows_all_that_it_reads(results, monkeypatch):
    result = results["holdout:0.75:5"]
    found = significance(result, permutations=FEW)
    monkeypatch.setattr(type(result), "predicted", None)  # nothing is computed again
    assert stored_significance(result, FEW).p["lh"].tolist() == found.p["lh"].tolist()
    assert significance(result, permutations=FEW).n_found() == found.n_found()
    assert stored_significance(result, replace(FEW, seed=1)) is None
    subject = result.plan.subject
    others = [replace(FEW, seed=1), replace(FEW, n_permutations=99), replace(FEW, method="blocks")]
    keys = {significance_key(result, each) for each in (FEW, *others)}
    for changed in (
        replace(subject, groups=subject.groups // 2),
        replace(subject, stimulus_ids=subject.groups // 2),
        replace(subject, rois={hemi: {"driven": np.arange(4)} for hemi in subject.rois}),
    ):
        plan = replace(result.plan, subject=changed)
        keys.add(significance_key(replace(result, plan=replace(plan, spec=replace(plan.spec, rois=("driven",)))), FEW))
    assert len(keys) == 7
    assert significance_key(results["kfold:4:0"], FEW) not in keys


def test_rows_of_runs_are_permuted_as_runs(results, monkeypatch):
    register_tiny(monkeypatch).change(groups=np.repeat(np.arange(20), 6), stimulus_ids=np.arange(120))
    found = significance(results["runs"], permutations=FEW)
    assert (found.method, found.n_units, found.n_fixed) == ("blocks", 20, 0) and "20 test stimuli or runs permuted" in found.describe()
    plan = results["runs"].plan  # samples of runs are whole runs, whatever their groups are
    samples = replace(plan, subject=replace(plan.subject, runs=np.repeat(np.arange(20), 6), groups=np.arange(120), stimulus_ids=None))
    assert [len(np.unique(each)) for each in _labels(replace(results["runs"], plan=samples))[0]] == [5] * 4
    shifted = significance(results["runs"], permutations=replace(FEW, method="shift"))
    assert shifted.p["lh"].tolist() != found.p["lh"].tolist() and (shifted.p["lh"][:5] == 1 / 200).all()


def test_what_cannot_be_tested_is_refused(results):
    result = results["holdout:0.75:5"]
    with pytest.raises(ValueError, match="no test stimuli"):
        significance(replace(result, plan=replace(result.plan, spec=replace(result.plan.spec, split="all"))))
    with pytest.raises(ValueError, match="repeats of one stimulus"):
        significance(result, permutations=replace(FEW, method="shift"))


def test_the_shell_prints_and_writes_it(results, shell, monkeypatch, tmp_path):
    result = results["holdout:0.75:5"]
    register_tiny(monkeypatch)
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(result.store.root))
    out = tmp_path / "vertices.csv"
    code, text, _ = shell("significance", result.key, "--permutations", 199, "--out", out)
    assert code == 0 and "driven" in text and "predicted above chance" in text
    assert out.read_text().splitlines()[0] == "hemisphere,column,r,p,q" and len(out.read_text().splitlines()) == 21
    code, text, _ = shell("significance", result.key, "--permutations", 199, "--json")
    found = significance(result, permutations=FEW)
    document = json.loads(text)
    assert code == 0 and document["n_found"] == found.n_found() and document["method"] == "blocks"
    for words in (("--rate", "2"), ("--permutations", "5"), ("--out", tmp_path)):
        assert shell("significance", result.key, *words)[0] == 2


def test_a_key_is_tested_whole_whatever_was_fitted_first_and_regions_are_asked_for(tiny, store, shell, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    narrow = fit(replace(TINY, rois=("driven",)), store, device="cpu")
    words = ("significance", narrow.key, "--permutations", "19", "--json")
    assert json.loads(shell(*words)[1])["n_tested"] == 20
    document = json.loads(shell(*words, "--roi", "noise")[1])
    assert {row["roi"] for row in document["rois"]} == {"noise"} and document["n_tested"] == 10
    code, _, err = shell(*words, "--roi", "nois")
    assert code == 2 and "Did you mean 'noise'" in err
