"""Variance partitioning: against scikit-learn on every subset, the Venn diagram's sums, duplicates of a space, and its refusals."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score

from encoding import BACKBONES, READOUTS, Store, fit
from encoding.analysis import variance_partition
from encoding.analysis.bootstrap import estimate_scores, noise_share
from encoding.analysis.variance_partition import (
    CannotPartition,
    partition,
    partition_key,
    stored_partition,
    subsets_of,
    venn_parts,
)
from encoding.evaluation.leave_one_out import jackknife_variance
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY, OtherTinySource, register_tiny

LAYERS = ("tinynet pixels", "tinynet colour", "othernet colour")
THREE = replace(TINY, backbone="tinynet + othernet", layers=LAYERS, n_components=4, target_groups="hemisphere")
SPACES = {"pixels": ("tinynet pixels",), "colour": ("tinynet colour",), "again": ("othernet colour",)}
TWO = {"pixels": SPACES["pixels"], "colours": ("tinynet colour", "othernet colour")}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        dataset = register_tiny(monkeypatch)
        monkeypatch.setitem(BACKBONES.sources._members, "othernet", OtherTinySource())
        yield dataset, Store(tmp_path_factory.mktemp("partition"))


def brute_force(dataset, result, subset, *, alpha):
    """R² (n_vertices,) of a model of some spaces, by scikit-learn from the pixels, the mean over folds."""
    pixels = dataset.subject.stimuli.pixels.astype(np.float64) / 255
    raw = {"pixels": pixels.transpose(0, 3, 1, 2).reshape(120, -1), "colour": pixels.mean((1, 2)), "again": pixels.mean((1, 2))}
    Y, values = dataset.subject.responses["lh"], []
    for fold in result.plan.folds:
        parts = []
        for name in subset:
            pca = PCA(min(4, raw[name].shape[1])).fit(raw[name][fold.train])
            Z = pca.transform(raw[name])
            parts.append(Z if alpha is None else Z / np.sqrt(Z[fold.train].var(0).sum()))
        X = np.concatenate(parts, axis=1)
        model = (LinearRegression() if alpha is None else Ridge(alpha)).fit(X[fold.train], Y[fold.train])
        values.append(r2_score(Y[fold.test], model.predict(X[fold.test]), multioutput="raw_values"))
    return np.mean(values, axis=0)


@pytest.mark.parametrize("split", [TINY.split, "kfold:3:0"])
@pytest.mark.parametrize(("readout", "alpha"), [("ols", None), ("ridge", 7.0)])
def test_every_subset_is_the_model_that_scikit_learn_fits_of_it(world, readout, alpha, split):
    dataset, store = world
    spec = replace(THREE, readout=readout, split=split, options={} if alpha is None else {"alpha": alpha})
    result = fit(spec, store, device="cpu")
    found = partition(result, device="cpu", spaces=SPACES)
    for number, subset in enumerate(found.subsets):
        expected = brute_force(dataset, result, subset, alpha=alpha)
        np.testing.assert_allclose(found.r2["lh"][number], expected, atol=2e-4, err_msg=str(subset))
    parts = found.parts("lh")
    np.testing.assert_allclose(sum(parts.values()), found.r2["lh"][-1], atol=1e-5)
    np.testing.assert_allclose(found.product["lh"].sum(0), found.r2["lh"][-1], atol=1e-3)
    if alpha is None:  # of two equal spaces neither is unique, and pixels share nothing with only one of them
        np.testing.assert_allclose([found.unique("lh")["colour"], parts[("pixels", "again")]], 0, atol=1e-4)
        np.testing.assert_allclose(found.r2["lh"][1], found.r2["lh"][2], atol=1e-6)


def test_of_banded_ridge_the_model_of_all_spaces_is_the_fit_itself(world):
    result = fit(replace(THREE, readout="banded_ridge", options={"n_candidates": 5}), world[1], device="cpu")
    found = partition(result, device="cpu", spaces=TWO)
    for hemi in result.plan.hemis:
        np.testing.assert_allclose(found.r2[hemi][-1], result.score(hemi, "r2"), atol=1e-5)
        shares = result.layer_shares(hemi)
        np.testing.assert_allclose(found.product[hemi][0], shares["tinynet pixels"], atol=1e-5)
        np.testing.assert_allclose(found.product[hemi][1], shares["tinynet colour"] + shares["othernet colour"], atol=1e-5)
    alone = fit(replace(THREE, backbone="tinynet", layers=("pixels",), readout="banded_ridge", options={"n_candidates": 5}), world[1])
    np.testing.assert_allclose(found.r2["rh"][0], alone.score("rh", "r2"), atol=1e-5)


@pytest.mark.parametrize("split", [TINY.split, "kfold:3:0"])
def test_intervals_of_parts_are_those_of_differences_of_two_fits_r2(world, split):
    result = fit(replace(THREE, readout="banded_ridge", split=split, options={"n_candidates": 3}), world[1], device="cpu")
    found = partition(result, device="cpu", spaces=TWO)
    estimates, place = estimate_scores(result, "lh", scores=["r2"]), result.selected_rois.index("driven")
    assert found.df == estimates.df
    one_layer = replace(result.plan.spec, backbone="tinynet", layers=("pixels",))
    single = fit(one_layer, world[1], device="cpu")
    whole, alone = estimates.left_out["r2"], estimate_scores(single, "lh", scores=["r2"]).left_out["r2"]
    expected = np.sqrt(jackknife_variance([a - b for a, b in zip(whole, alone, strict=True)]))[place]  # all less pixels: only colours
    if len(result.plan.folds) > 1:
        expected *= np.sqrt(1 + noise_share(result, "lh", np.arange(5)).mean())
    assert found.part_se["lh"][1, place] == pytest.approx(expected, rel=1e-3)
    row = found.table().set_index(["roi", "hemi", "spaces"]).loc[("driven", "lh", "colours")]
    reach = t.isf(0.025, found.df) * expected
    assert [row["part_low"], row["part_high"]] == pytest.approx([row["part"] - reach, row["part"] + reach], rel=1e-3)


def test_intervals_of_parts_resample_the_groups_that_a_data_set_names(tmp_path, monkeypatch):
    dataset, spec = register_tiny(monkeypatch), replace(TINY, layers=("pixels", "colour"), n_components=3, readout="ols")
    one = partition(fit(spec, Store(tmp_path), device="cpu"), device="cpu")
    dataset.change(groups=np.repeat(np.arange(40), 3), stimulus_ids=np.arange(120))
    result = fit(spec, Store(tmp_path), device="cpu")
    found, place = partition(result, device="cpu"), result.selected_rois.index("driven")
    (fold,) = result.plan.folds
    groups = np.unique(dataset.subject.groups[fold.test])
    assert found.df == len(groups) - 2 < one.df
    Y, values = dataset.subject.responses["lh"][:, :5].astype(np.float64), []
    pixels = dataset.subject.stimuli.pixels.astype(np.float64) / 255
    raw = {"pixels": pixels.transpose(0, 3, 1, 2).reshape(120, -1), "colour": pixels.mean((1, 2))}
    Z = {name: PCA(3).fit(X[fold.train]).transform(X) for name, X in raw.items()}
    for group in (None, *groups):
        rows, r2 = fold.test[dataset.subject.groups[fold.test] != group], {}
        for subset in found.subsets:
            X = np.concatenate([Z[name] for name in subset], axis=1)
            model = LinearRegression().fit(X[fold.train], Y[fold.train])
            r2[subset] = r2_score(Y[rows], model.predict(X[rows]), multioutput="raw_values").mean()
        values.append([venn_parts(r2)[T] for T in found.subsets])
    np.testing.assert_allclose(found.part_se["lh"][:, place], np.sqrt(jackknife_variance([np.array(values[1:])])), rtol=2e-3)


LINEAR = [name for name, each in READOUTS.items() if each.uses_moments and each.uses_components]
QUICK = {"banded_ridge": {"n_candidates": 3}, "ridge": {"alpha_per_target": False}, "elastic_net": {"alpha": 0.01, "l1_ratio": 0.5}}
QUICK |= {"lasso": {"alpha": 0.01}, "multitask_lasso": {"alpha": 0.3}, "multitask_elastic_net": {"alpha": 0.3, "l1_ratio": 0.5}}


@pytest.mark.parametrize("readout", LINEAR)
def test_every_linear_readout_can_be_partitioned_whatever_shares_a_model(world, readout):
    options, target_groups = QUICK.get(readout, {}), "hemisphere" if READOUTS[readout].per_target and readout != "ridge" else "roi"
    result = fit(replace(THREE, readout=readout, options=options, target_groups=target_groups), world[1], device="cpu")
    found = partition(result, device="cpu", spaces=TWO)
    assert np.isfinite(found.r2["lh"]).all() and found.r2["lh"].shape == (3, 10)
    if READOUTS[readout].by_layer:
        np.testing.assert_allclose(found.r2["lh"][-1], result.score("lh", "r2"), atol=1e-5)


@pytest.mark.parametrize("reduction", ["sparse_random", "none"])
def test_other_reductions_than_pca_are_taken_layer_by_layer_too(world, reduction):
    n_components = 0 if reduction == "none" else 2
    spec = replace(THREE, readout="banded_ridge", options={"n_candidates": 3}, reduction=reduction, n_components=n_components)
    result = fit(spec, world[1], device="cpu")
    np.testing.assert_allclose(partition(result, device="cpu", spaces=TWO).r2["lh"][-1], result.score("lh", "r2"), atol=1e-5)
    assert np.isfinite(partition(fit(replace(spec, readout="ridge", options={}), world[1], device="cpu"), spaces=TWO).r2["lh"]).all()


@pytest.mark.parametrize("options", [{"n_candidates": 3}, {"n_candidates": 3, "delays_apart": True}])
def test_delays_of_samples_belong_to_their_layer(tmp_path, monkeypatch, options):
    register_tiny(monkeypatch).change(runs=np.repeat(np.arange(8), 15), groups=np.repeat(np.arange(8), 15), stimulus_ids=np.arange(120))
    spec = replace(TINY, layers=("pixels", "colour"), n_components=3, delays="0,1", readout="banded_ridge", options=options)
    result = fit(spec, Store(tmp_path), device="cpu")
    found = partition(result, device="cpu")
    np.testing.assert_allclose(found.r2["lh"][-1], result.score("lh", "r2"), atol=1e-5)
    np.testing.assert_allclose(found.product["lh"].sum(0), found.r2["lh"][-1], atol=1e-5)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_parts_that_touch_a_subset_sum_to_its_r2(n):
    rng = np.random.default_rng(n)
    r2 = {subset: rng.normal(size=5) for subset in subsets_of("abcd"[:n])}
    parts = venn_parts(r2)
    assert list(parts) == list(r2) and len(r2) == 2**n - 1
    for subset, value in r2.items():
        np.testing.assert_allclose(sum(part for T, part in parts.items() if set(T) & set(subset)), value)


def test_tables_keys_and_default_spaces(world, monkeypatch):
    result = fit(THREE, world[1], device="cpu")
    assert stored_partition(result) is None
    found = partition(result, device="cpu")
    assert dict(found.spaces) == {"tinynet": LAYERS[:2], "othernet": LAYERS[2:]}
    assert stored_partition(result).r2["lh"].tolist() == found.r2["lh"].tolist()
    table = found.table().set_index(["roi", "hemi", "spaces"])
    row = table.loc[("driven", "lh", "tinynet & othernet")]
    assert row["r2"] == pytest.approx(found.r2["lh"][2, :5].mean(), abs=1e-6) and np.isnan(row["product"])
    single = table.loc[("driven", "lh", "tinynet")]
    assert single["part"] == pytest.approx((found.r2["lh"][2] - found.r2["lh"][1])[:5].mean(), abs=1e-6)
    assert single["product"] == pytest.approx(found.product["lh"][0, :5].mean(), abs=1e-6)
    assert table.loc[("empty", "lh", "tinynet"), "n_vertices"] == 0
    assert len({partition_key(result, spaces) for spaces in (SPACES, TWO, dict(reversed(TWO.items())))}) == 3
    earlier = partition_key(result, SPACES)
    monkeypatch.setattr(variance_partition, "PARTITION_VERSION", 2)
    assert partition_key(result, SPACES) == earlier  # of one fold nothing changed


def test_what_cannot_be_divided_is_refused(world):
    store = world[1]
    one = fit(replace(THREE, backbone="tinynet", layers=("pixels",)), store, device="cpu")
    with pytest.raises(CannotPartition, match="2 to 4 feature spaces, not 1"):
        partition(one)
    result = fit(THREE, store, device="cpu")
    with pytest.raises(UnknownName, match="colours"):
        partition(result, spaces={"a": ("tinynet colours",), "b": ("tinynet pixels",)})
    with pytest.raises(CannotPartition, match="no layer may be in two spaces"):
        partition(result, spaces={"a": LAYERS[:1], "b": LAYERS[:2]})
    with pytest.raises(CannotPartition, match="linear models"):
        partition(fit(replace(THREE, readout="knn"), store, device="cpu"))


def test_the_shell_prints_a_venn_table_and_names_spaces(world, shell, monkeypatch, tmp_path):
    result = fit(THREE, world[1], device="cpu")
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(result.store.root))
    spaces = ("--space", "pixels=tinynet pixels", "--space", "colours=tinynet colour,othernet colour")
    code, text, _ = shell("partition", result.key, *spaces, "--out", tmp_path / "parts.csv")
    assert code == 0 and "only pixels" in text and "pixels & colours" in text and "driven" in text
    assert (tmp_path / "parts.csv").read_text().startswith("ROI,hemisphere,vertices,feature spaces,")
    code, text, _ = shell("partition", result.key, *spaces, "--json")
    document = json.loads(text)
    assert document["spaces"] == {name: list(layers) for name, layers in TWO.items()} and len(document["rois"]) == 4 * 2 * 3
    assert shell("partition", result.key, "--space", "pixels")[0] == 2
