"""RSA over subjects: against scipy, subject by subject, with repeats, other images and other orders; keys, refusals and the shell."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import rankdata, spearmanr

from encoding import DATASETS, Store, fit
from encoding.analysis import subject_similarity as module
from encoding.analysis.group import NotAGroup
from encoding.analysis.subject_similarity import stored_subject_similarity, subject_similarity
from tests.conftest import TINY, TinyStimuli, register_tiny
from tests.encoding.analysis.test_group import SUBJECTS, ThreeSubjects

ORDER = np.random.default_rng(5).permutation(np.concatenate([np.arange(120), np.arange(30)]))  # of the second; 30 images twice


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        register_tiny(monkeypatch)
        dataset = ThreeSubjects()
        second = dataset.by_name["subj02"]
        noise = np.random.default_rng(6)
        Y = {hemi: (each[ORDER] + 0.2 * noise.normal(size=(150, 10))).astype(np.float32) for hemi, each in second.responses.items()}
        prints = {hemi: f"reordered-{hemi}" for hemi in Y}
        images = TinyStimuli(second.stimuli.pixels[ORDER])
        dataset.by_name["subj02"] = replace(second, stimuli=images, responses=Y, fingerprints=prints, groups=ORDER)
        monkeypatch.setitem(DATASETS._members, "tiny", dataset)
        store = Store(tmp_path_factory.mktemp("subjects"))
        spec = replace(TINY, layers=("colour", "pixels"))
        yield dataset, [fit(replace(spec, subject=name), store, device="cpu") for name in SUBJECTS]


def by_hand(dataset, columns):
    """RSA of the pixels with each subject, and the ceiling's lower and upper bound, as rsatoolbox computes them from ranks."""
    first, second, third = (dataset.by_name[name].responses["lh"] for name in SUBJECTS)
    mean = np.stack([second[image == ORDER].mean(0) for image in range(90)])
    each = [pdist(Y[:90][:, some], "correlation") for Y, some in zip((first, mean, third), columns, strict=True) if len(some) > 2]
    model = pdist(dataset.by_name["subj01"].stimuli.pixels[:90].reshape(90, -1) / 255, "correlation")
    ranks = np.array([rankdata(one) for one in each])
    low = np.mean([spearmanr(one, np.delete(ranks, at, 0).mean(0)).statistic for at, one in enumerate(each)])
    high = np.mean([spearmanr(one, ranks.mean(0)).statistic for one in each])
    return [np.mean([spearmanr(model, one).statistic for one in each]), low, high]


def test_it_is_the_mean_over_subjects_within_the_ceiling_of_the_others_and_of_all(world):
    dataset, fits = world
    table = subject_similarity(fits, device="cpu")
    assert set(table["n_stimuli"]) == {90}  # the second and third subject saw 30 images of their own
    rows = table.set_index(["roi", "hemi", "space"])
    numbers = ["rsa_subjects", "ceiling_low", "ceiling_high"]
    for roi, n_subjects in (("noise", 3), ("driven", 2)):  # the third has a single driven vertex, which has no pattern
        row = rows.loc[(roi, "lh", "pixels")]
        columns = [dataset.by_name[name].rois["lh"][roi] for name in SUBJECTS]
        assert row["n_subjects"] == n_subjects and row["ceiling_low"] < row["ceiling_high"]
        np.testing.assert_allclose(row[numbers].astype(float), by_hand(dataset, columns), atol=2e-3)
    assert rows.loc[("driven", "lh", "pixels"), "ceiling_low"] > rows.loc[("noise", "lh", "pixels"), "ceiling_low"] + 0.1


def test_it_is_kept_thinned_and_refused(world, monkeypatch):
    _, fits = world
    found = subject_similarity(fits, device="cpu")
    assert stored_subject_similarity(fits).equals(found) and stored_subject_similarity(fits[:2]) is None
    monkeypatch.setattr(module, "MOST_STIMULI", 7)
    assert set(subject_similarity(fits[:2], device="cpu")["n_stimuli"]) == {7}
    film = replace(fits[1], plan=replace(fits[1].plan, subject=replace(fits[1].plan.subject, runs=np.zeros(150, int))))
    with pytest.raises(NotAGroup, match="film's samples"):
        subject_similarity([fits[0], film])
    other = fit(replace(TINY, subject="subj02", layers=("pixels",)), fits[0].store, device="cpu")
    with pytest.raises(NotAGroup, match="same network and layers"):
        subject_similarity([fits[0], other])


def test_the_shell_prints_it(world, shell, monkeypatch):
    _, fits = world
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(fits[0].store.root))
    code, text, _ = shell("group", *(each.key for each in fits), "--rsa", "--json")
    assert code == 0 and {row["n_stimuli"] for row in json.loads(text)["rsa"]} == {90}
    code, text, _ = shell("group", *(each.key for each in fits), "--rsa")
    assert code == 0 and "RSA, single subjects" in text and "ceiling from" in text
