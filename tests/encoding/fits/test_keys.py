"""Change anything that a stage reads and its key changes; change what it does not read and it stays: one table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import READOUTS
from encoding.fits.digests import groups_digest, positions_digest
from encoding.fits.plan import plan
from tests.conftest import TINY, TinyBackbone, TinyStimuli

CHANGES = {
    "stimuli": lambda data: {"stimuli": TinyStimuli(255 - data.stimuli.pixels)},
    "responses": lambda data: {"fingerprints": data.fingerprints | {"lh": "other"}},
    "groups": lambda data: {"groups": np.arange(120) // 2},
    "rois": lambda data: {"rois": data.rois | {"lh": {**data.rois["lh"], "driven": np.arange(4)}}},
    "places": lambda data: {"vertices": {hemi: np.arange(10) * 7 for hemi in data.hemis}},
    "ceilings": lambda data: {"ceiling": {hemi: np.full(10, 0.25) for hemi in data.hemis}},
    "nothing": lambda data: {},
}
READS = {  # stage of the readout: what of CHANGES it reads (groups of two make another split and other inner folds)
    ("features", "ridge"): {"stimuli"},
    ("components", "ridge"): {"stimuli", "groups"},
    ("moments", "ridge"): {"stimuli", "responses", "groups"},
    ("weights", "ols"): {"stimuli", "responses", "groups"},
    ("weights", "ridge"): {"stimuli", "responses", "groups"},
    ("weights", "knn"): {"stimuli", "responses", "groups"},
    ("weights", "mlp"): {"stimuli", "responses", "groups"},
    ("weights", "linear_sgd"): {"stimuli", "responses", "groups"},
    ("weights", "linear_sgd roi"): {"stimuli", "responses", "groups", "rois"},
    ("weights", "positional"): {"stimuli", "responses", "groups", "places"},
    ("fit", "ridge"): {"stimuli", "responses", "groups"},
    ("fit", "linear_sgd roi"): {"stimuli", "responses", "groups", "rois"},
    ("fit", "positional"): {"stimuli", "responses", "groups", "places"},
}


@pytest.fixture
def placed(tiny):
    """The planted subject with places on the cortex and noise ceilings."""
    hemis = tiny.subject.hemis
    tiny.change(vertices={hemi: np.arange(10) for hemi in hemis}, ceiling={hemi: np.full(10, 0.5) for hemi in hemis})
    return tiny


def key_of(stage, readout, store):
    name, _, option = readout.partition(" ")
    options = {"early_stopping": option} if option else {}
    planned = plan(replace(TINY, readout=name, options=options), store)
    fold, group = planned.folds[0], planned.target_groups[0]
    keys = {
        "features": lambda: planned.feature_keys["pixels"],
        "components": lambda: planned.components_key(fold),
        "moments": lambda: planned.moments_key(fold, "lh"),
        "weights": lambda: planned.weights_key(fold, group),
        "fit": lambda: planned.key,
    }
    return keys[stage]()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("stage", "readout"), READS)
def test_a_key_changes_with_what_its_stage_reads_and_with_nothing_else(placed, store, stage, readout, change):
    before = key_of(stage, readout, store)
    placed.change(**CHANGES[change](placed.subject))
    assert (key_of(stage, readout, store) != before) == (change in READS[stage, readout])


@pytest.mark.parametrize(
    "change",
    [
        {"layers": ("colour",)},
        {"pool": "max"},
        {"n_components": 3},
        {"readout": "ols"},
        {"options": {"alpha": 3.0}},
        {"split": "holdout:0.75:6"},
        {"hemi": "lh"},
        {"target_groups": "vertex:lh:3"},
    ],
    ids=str,
)
def test_a_fits_key_changes_with_every_field_of_its_spec(tiny, store, change):
    assert plan(replace(TINY, **change), store).key != plan(TINY, store).key


def test_a_fits_key_changes_with_the_weights_of_its_backbone(tiny, store, monkeypatch):
    before = plan(TINY, store).key
    monkeypatch.setattr(TinyBackbone, "fingerprint", "trained otherwise")
    assert plan(TINY, store).key != before


def test_the_rois_that_are_reported_are_not_in_the_key(tiny, store):
    assert plan(replace(TINY, rois=("driven",)), store).key == plan(TINY, store).key


@pytest.mark.parametrize("change", [name for name in CHANGES if name not in ("places", "ceilings")])
def test_multi_subject_training_reads_the_other_subjects_stimuli_responses_and_groups(placed, store, monkeypatch, change):
    first, second = placed.subject, replace(placed.subject, name="subj02", fingerprints={"lh": "lh-2", "rh": "rh-2"})
    people = {"subj01": first, "subj02": second}
    monkeypatch.setattr(placed, "subjects", lambda: tuple(people), raising=False)
    monkeypatch.setattr(placed, "open", lambda subject, store, report=None: people[subject])
    spec = replace(TINY, readout="mlp", extra_subjects=("subj02",))
    before = plan(spec, store).key
    people["subj02"] = replace(second, **CHANGES[change](second))
    assert (plan(spec, store).key != before) == (change in ("stimuli", "responses", "groups"))


def test_every_readout_declares_what_it_uses_in_words_that_keys_know():
    for name, readout in READOUTS.items():
        assert set(readout.uses(readout.read({}))) <= {"groups", "rois", "positions", "extra_subjects"}, name


def test_the_digest_of_positions_follows_the_positions(placed):
    subject, columns = placed.subject, {"lh": np.array([1, 2])}
    changed = replace(subject, **CHANGES["places"](subject))
    assert positions_digest(subject, columns) != positions_digest(changed, columns)
    assert positions_digest(subject, columns) != positions_digest(replace(subject, vertices=None), columns) == ""


def test_groups_are_named_by_who_is_with_whom():
    assert groups_digest(np.array([5, 3, 9])) == ""
    assert groups_digest(np.array([0, 0, 1])) == groups_digest(np.array([7, 7, 2])) != groups_digest(np.array([0, 1, 1]))
