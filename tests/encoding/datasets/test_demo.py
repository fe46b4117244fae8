"""The demo as a data set: the contract of `Subject`, names that are known without work, and work done once."""

import numpy as np
import pytest

from encoding.datasets import DATASETS
from encoding.datasets.demo import Demo
from encoding.datasets.simulation import responses, scenes
from encoding.datasets.simulation.anatomy import ROI_NAMES
from encoding.datasets.simulation.scenes import CATEGORIES
from encoding.datasets.writers import algonauts2023 as layouts
from encoding.runtime.registry import UnknownName
from encoding.storage.store import Store

N = 60


@pytest.fixture(scope="module")
def small():
    return Demo(n_stimuli=N, n_unlabelled=5)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def subject(small, store):
    return small.open("subj01", store)


def test_the_registered_demo_says_that_it_is_simulated_and_has_a_thousand_stimuli_or_more():
    demo = DATASETS["demo"]
    assert demo.simulated
    assert "imulated" in demo.title
    assert demo.subjects() == ("subj01", "subj02")
    assert demo.n_stimuli >= 1000
    assert demo.where()


def test_the_subject_keeps_the_contract(small, subject):
    assert subject.simulated
    assert (subject.dataset, subject.name, subject.hemis) == ("demo", "subj01", ("lh", "rh"))
    assert subject.n_stimuli == len(subject.stimuli) == len(subject.groups) == N
    assert len(set(subject.groups.tolist())) == N
    assert [name for names in small.roi_names().values() for name in names] == list(ROI_NAMES)
    for hemi in subject.hemis:
        n_vertices = len(subject.vertices[hemi])
        answers, ceiling = subject.responses[hemi], subject.ceiling[hemi]
        assert (answers.shape, answers.dtype) == ((N, n_vertices), np.float32)
        assert not answers.flags.writeable
        assert np.isfinite(answers).all()
        assert np.abs(answers.mean(axis=0)).max() < 1e-4
        assert answers.std(axis=0) == pytest.approx(1, abs=1e-3)
        assert (ceiling.shape, ceiling.dtype) == ((n_vertices,), np.float32)
        assert 0 < ceiling.min() < 0.15 < 0.6 < ceiling.max() < 0.8
        assert subject.vertices[hemi].dtype == np.int64
        assert tuple(subject.rois[hemi]) == ROI_NAMES
        assert all(columns.dtype == np.int64 and (np.diff(columns) > 0).all() for columns in subject.rois[hemi].values())
    assert subject.responses["lh"].shape[1] != subject.responses["rh"].shape[1]


def test_stimuli_are_rgb_pictures_with_names_and_labels(subject):
    picture = subject.stimuli[N - 1]
    assert (picture.mode, picture.size) == ("RGB", (scenes.SIZE, scenes.SIZE))
    assert len(list(subject.stimuli)) == len(set(subject.stimuli.names)) == N
    assert len(subject.unlabelled) == 5
    assert subject.unlabelled.fingerprint != subject.stimuli.fingerprint
    assert set(subject.labels) == {"category", *CATEGORIES}
    strengths = np.stack([subject.labels[category] for category in CATEGORIES], axis=1)
    assert [CATEGORIES[i] for i in strengths.argmax(axis=1)] == list(subject.labels["category"])
    assert all(category in name for category, name in zip(subject.labels["category"], subject.stimuli.names, strict=True))
    with pytest.raises(IndexError):
        subject.stimuli[N]


def test_simulating_again_in_another_store_gives_the_same_bytes_and_names(small, subject, tmp_path):
    again = Demo(n_stimuli=N, n_unlabelled=5).open("subj01", Store(tmp_path))
    assert again.stimuli.fingerprint == subject.stimuli.fingerprint
    assert np.array_equal(np.stack(list(again.stimuli)), np.stack(list(subject.stimuli)))
    for hemi in subject.hemis:
        assert again.fingerprints[hemi] == subject.fingerprints[hemi]
        assert again.responses[hemi].tobytes() == subject.responses[hemi].tobytes()


def test_the_two_subjects_see_the_same_pictures_and_answer_differently(small, store, subject):
    other = small.open("subj02", store)
    assert other.stimuli.fingerprint == subject.stimuli.fingerprint
    assert not set(other.fingerprints.values()) & set(subject.fingerprints.values())
    for hemi in subject.hemis:
        assert not np.array_equal(other.vertices[hemi], subject.vertices[hemi])
    empty = [{(hemi, name) for hemi in one.hemis for name, c in one.rois[hemi].items() if len(c) == 0} for one in (subject, other)]
    assert empty[0] != empty[1]


def test_a_demo_of_another_size_has_other_names():
    sizes = [Demo(n_stimuli=n) for n in (60, 70)]
    assert sizes[0].stimuli_key != sizes[1].stimuli_key
    assert sizes[0].responses_key("subj01") != sizes[1].responses_key("subj01")


def test_the_second_opening_neither_draws_nor_simulates(small, store, subject, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("simulated again")

    monkeypatch.setattr(scenes, "scenes", refuse)
    monkeypatch.setattr(responses, "signals", refuse)
    assert small.is_ready("subj01", store)
    assert small.open("subj01", Store(store.root)).fingerprints == subject.fingerprints


def test_progress_rises_to_the_end_and_readiness_is_per_subject(tmp_path):
    told, tiny, store = [], Demo(n_stimuli=24, n_unlabelled=3), Store(tmp_path)
    assert not tiny.is_ready("subj01", store)
    tiny.open("subj01", store, lambda fraction, text: told.append((fraction, text)))
    assert tiny.is_ready("subj01", store)
    assert not tiny.is_ready("subj02", store)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 1
    assert {"Drawing", "Showing"} <= {text.split()[0] for _, text in told}


def test_the_truth_is_that_of_the_responses(small, store, subject):
    truth = small.truth("subj01", store)
    for hemi in subject.hemis:
        signal, answers = truth.signal[hemi], subject.responses[hemi]
        shared = np.mean(signal * answers, axis=0) ** 2  # both are standardised: the squared correlation
        assert np.array_equal(truth.cortex[hemi].ceiling, subject.ceiling[hemi])
        assert np.corrcoef(shared, subject.ceiling[hemi])[0, 1] > 0.7
        assert shared.mean() == pytest.approx(subject.ceiling[hemi].mean(), abs=0.03)
    assert truth.scenes.images.shape == (N, scenes.SIZE, scenes.SIZE, 3)


def test_the_subject_fits_the_layout_of_algonauts_2023(small, store):
    for name in small.subjects():
        layouts.check(small.open(name, store))


def test_an_unknown_subject_is_refused_before_any_work(small, tmp_path):
    for ask in (small.open, small.truth, small.is_ready):
        with pytest.raises(UnknownName, match=r"Unknown subject of demo 'subj1'\. Did you mean 'subj01'\? Known: subj01, subj02\."):
            ask("subj1", Store(tmp_path))
    assert Store(tmp_path).keys() == []
