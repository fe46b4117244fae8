"""RSA, CKA and spectra of a finished fit: against scipy on the data themselves, repeats and their ceiling, keys, refusals and the shell."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import kendalltau, spearmanr

from encoding import fit
from encoding.analysis import similarity as module
from encoding.analysis.similarity import CannotCompare, similarity, similarity_key, stored_similarity
from encoding.analysis.spectrum import spectrum
from encoding.evaluation.representations import InnerProducts, linear_cka, rsa_ceiling
from tests.conftest import TINY
from tests.encoding.analysis.repeated_stimuli import IDS, SPEC, features_of


@pytest.mark.parametrize("split", [TINY.split, "kfold:3:0"])
def test_every_measure_is_that_of_the_test_stimuli_themselves(repeated, split):
    dataset, store = repeated
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


def test_more_stimuli_than_are_compared_are_thinned_evenly(repeated, monkeypatch):
    monkeypatch.setattr(module, "MOST_STIMULI", 5)
    found = similarity(fit(SPEC, repeated[1], device="cpu"), device="cpu")
    assert found.n_stimuli == 5 and np.isfinite(found.table().dropna()["rsa"]).all()


def test_it_is_kept_and_its_key_follows_regions_and_repeats(repeated):
    result = fit(SPEC, repeated[1], device="cpu")
    found = similarity(result, device="cpu")
    assert stored_similarity(result).table().equals(found.table())
    subject, keys = result.plan.subject, {similarity_key(result)}
    for changed in (
        replace(subject, rois={hemi: {"driven": np.arange(4)} for hemi in subject.rois}),
        replace(subject, stimulus_ids=np.arange(120)),
    ):
        keys.add(similarity_key(replace(result, plan=replace(result.plan, subject=changed))))
    assert len(keys) == 3


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


def test_the_shell_prints_both(repeated, shell, monkeypatch, tmp_path):
    result = fit(SPEC, repeated[1], device="cpu")
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
