"""RSA, CKA and spectra of a finished fit: against scipy on the data themselves, repeats and their ceiling, keys, refusals and the shell."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import kendalltau, spearmanr

from encoding import Store, fit
from encoding.analysis import similarity as module
from encoding.analysis.similarity import CannotCompare, similarity, similarity_key, spectrum, stored_similarity
from encoding.evaluation.representations import InnerProducts, linear_cka, rsa_ceiling
from tests.conftest import TINY, TinyStimuli, register_tiny

IDS = np.random.default_rng(3).permutation(np.repeat(np.arange(40), 3))  # three presentations of each stimulus, in random order
SPEC = replace(TINY, layers=("pixels", "colour"), n_components=3)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        dataset, rng = register_tiny(monkeypatch), np.random.default_rng(0)
        pixels = dataset.subject.stimuli.pixels[IDS]
        responses = {hemi: (Y[IDS] + 0.3 * rng.normal(size=Y.shape)).astype(np.float32) for hemi, Y in dataset.subject.responses.items()}
        prints = {hemi: f"repeats-{hemi}" for hemi in responses}
        dataset.change(stimuli=TinyStimuli(pixels), responses=responses, fingerprints=prints, groups=IDS)
        yield dataset, Store(tmp_path_factory.mktemp("similarity"))


def features_of(dataset, layer):
    pixels = dataset.subject.stimuli.pixels.astype(np.float64) / 255
    return pixels.mean((1, 2)) if layer == "colour" else pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)


@pytest.mark.parametrize("split", [TINY.split, "kfold:3:0"])
def test_every_measure_is_that_of_the_test_stimuli_themselves(world, split):
    dataset, store = world
    result = fit(replace(SPEC, split=split), store, device="cpu")
    found = similarity(result, device="cpu")
    assert found.spaces == ("pixels", "colour") and found.n_repeats == 3
    assert found.n_stimuli == min(len(np.unique(IDS[fold.test])) for fold in result.plan.folds)
    Y, expected = dataset.subject.responses["rh"][:, :5], []
    for fold in result.plan.folds:
        stimuli = np.unique(IDS[fold.test])
        rows = np.stack([np.flatnonzero(stimulus == IDS) for stimulus in stimuli])  # (n_stimuli, 3)
        X, mean = features_of(dataset, "pixels")[rows[:, 0]], Y[rows].mean(1)
        model, each = pdist(X, "correlation"), np.stack([pdist(Y[rows[:, at]], "correlation") for at in range(3)])
        cka = [linear_cka(*(InnerProducts.of([A]) for A in (X, mean)), debiased=debiased) for debiased in (False, True)]
        single = np.mean([spearmanr(model, one).statistic for one in each])
        brain = pdist(mean, "correlation")
        rsa = [spearmanr(model, brain).statistic, kendalltau(model, brain).statistic]  # without ties tau-b is tau-a
        expected.append([*rsa, *cka, single, *rsa_ceiling(each)])
    table = found.table().set_index(["roi", "hemi", "space"])
    row = table.loc[("driven", "rh", "pixels")]
    names = ["rsa", "rsa_tau", "cka", "cka_debiased", "rsa_repeats", "ceiling_low", "ceiling_high"]
    np.testing.assert_allclose(row[names].astype(float), np.mean(expected, axis=0), atol=2e-3)  # features and responses are float32
    assert row["r_mean"] == pytest.approx(result.score("rh")[:5].mean()) and row["ceiling_low"] < row["ceiling_high"]
    assert row["cka_debiased"] < row["cka"]
    noise = table.loc[("noise", "rh", "pixels")]
    assert noise["ceiling_high"] < row["ceiling_high"]
    assert table.loc[("empty", "lh", "colour"), list(names)].isna().all()


def test_more_stimuli_than_are_compared_are_thinned_evenly(world, monkeypatch):
    monkeypatch.setattr(module, "MOST_STIMULI", 5)
    found = similarity(fit(SPEC, world[1], device="cpu"), device="cpu")
    assert found.n_stimuli == 5 and np.isfinite(found.table().dropna()["rsa"]).all()


def test_it_is_kept_and_its_key_follows_regions_and_repeats(world):
    result = fit(SPEC, world[1], device="cpu")
    found = similarity(result, device="cpu")
    assert stored_similarity(result).table().equals(found.table())
    subject, keys = result.plan.subject, {similarity_key(result)}
    for changed in (
        replace(subject, rois={hemi: {"driven": np.arange(4)} for hemi in subject.rois}),
        replace(subject, stimulus_ids=np.arange(120)),
    ):
        keys.add(similarity_key(replace(result, plan=replace(result.plan, subject=changed))))
    assert len(keys) == 3


def test_the_spectrum_leaves_noise_out_and_goes_with_the_features(world):
    dataset, store = world
    result = fit(SPEC, store, device="cpu")
    found = spectrum(result, "driven", device="cpu")
    assert found.n_stimuli == 40 and found.n_vertices == 10
    Y = np.concatenate([dataset.subject.responses[hemi][:, :5] for hemi in ("lh", "rh")], axis=1)
    rows = np.stack([np.flatnonzero(stimulus == IDS) for stimulus in IDS[np.sort(np.unique(IDS, return_index=True)[1])]])
    between = np.mean(  # covariance of two presentations, summed over vertices: the variance without noise
        [((Y[a] - Y[a].mean(0)) * (Y[b] - Y[b].mean(0))).sum() / 40 for a, b in [(rows[:, 0], rows[:, 1])]]
    )
    assert found.responses.sum() == pytest.approx(between, rel=0.02)
    X = features_of(dataset, "pixels")[rows[:, 0]]
    np.testing.assert_allclose(found.features["pixels"], np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1][:39], atol=1e-5)
    table = found.table()
    assert table["responses"].sum() == pytest.approx(1) and table["rank"].tolist() == list(range(1, 40))
    noise = spectrum(result, "noise", device="cpu")
    assert abs(noise.responses.sum()) < 0.3 * sum(dataset.subject.responses["lh"][:, 5:].var(0)) * 2


def test_without_repeats_there_is_neither_ceiling_nor_spectrum_of_responses(store, tiny):
    result = fit(SPEC, store, device="cpu")
    table = similarity(result, device="cpu").table()
    assert table["ceiling_low"].isna().all() and table["rsa_repeats"].isna().all() and table["rsa"].notna().any()
    found = spectrum(result, device="cpu")
    assert len(found.responses) == 0 and "responses" not in found.table() and found.n_stimuli == 120
    assert np.isnan(found.exponents()["responses"]) and np.isfinite(found.exponents()["pixels"])
    with pytest.raises(CannotCompare, match="empty has no vertex"):
        spectrum(result, "empty")
    samples = replace(result, plan=replace(result.plan, subject=replace(result.plan.subject, runs=np.zeros(120, int))))
    with pytest.raises(CannotCompare, match="samples lag behind what is seen"):
        similarity(samples)
    everything = replace(result, plan=replace(result.plan, spec=replace(result.plan.spec, split="all")))
    with pytest.raises(CannotCompare, match="no test stimuli"):
        similarity(everything)


def test_the_shell_prints_both(world, shell, monkeypatch, tmp_path):
    result = fit(SPEC, world[1], device="cpu")
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(result.store.root))
    code, text, _ = shell("similarity", result.key, "--out", tmp_path / "rsa.csv")
    assert code == 0 and "driven" in text and "ceiling" in text and "colour" in text
    assert (tmp_path / "rsa.csv").read_text().startswith("ROI,hemisphere,vertices,layer,RSA (Spearman),RSA (tau-a),CKA,")
    code, text, _ = shell("similarity", result.key, "--json")
    assert code == 0 and json.loads(text)["n_repeats"] == 3
    code, text, _ = shell("spectrum", result.key, "--roi", "driven", "--json")
    document = json.loads(text)
    assert code == 0 and document["n_stimuli"] == 40 and len(document["variance"]["responses"]) == 39
    code, text, _ = shell("spectrum", result.key)
    assert code == 0 and "responses" in text and "exponent" in text
    assert shell("spectrum", result.key, "--roi", "V9")[0] == 2
