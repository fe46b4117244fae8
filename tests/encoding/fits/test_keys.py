"""Change anything that a stage reads and its key changes; change what it does not read and it stays: one table."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from encoding import READOUTS, FitSpec
from encoding.datasets import DATASETS
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
    "runs": lambda data: {"runs": np.arange(120) // 20},  # read with delays alone
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


SPEC_CHANGES = {  # field of a spec: another value, what else is set before and after, and whether the numbers depend on it here
    "dataset": (None, {}, "test_the_names_of_a_data_set_and_subject_are_in_no_key"),
    "subject": (None, {}, "test_the_names_of_a_data_set_and_subject_are_in_no_key"),
    "backbone": (None, {}, "test_a_fits_key_changes_with_the_weights_of_its_backbone"),
    "weights": (None, {}, "test_a_fits_key_changes_with_the_weights_of_its_backbone"),
    "input": (None, {}, "test_a_fits_key_changes_with_the_input_of_its_network"),
    "extra_subjects": (None, {}, "test_multi_subject_training_reads_the_other_subjects_stimuli_responses_and_groups"),
    "layers": (("colour",), {}, True),
    "pool": ("max", {}, True),
    "frames": (8, {}, False),  # images have one
    "over_frames": ("max", {}, False),
    "layer_scaling": ("none", {"layers": ("pixels", "colour")}, True),
    "component_scaling": ("zscore", {}, True),
    "reduction": ("sparse_random", {"n_components": 3}, True),
    "n_components": (3, {}, True),
    "degree": (2, {}, True),
    "delays": (None, {}, "test_a_fits_key_changes_with_delays_and_then_with_runs"),
    "readout": ("ols", {}, True),
    "options": ({"alpha": 3.0}, {}, True),
    "split": ("holdout:0.75:6", {}, True),
    "average_repeats": (True, {}, True),
    "rois": (("driven",), {}, False),
    "hemi": ("lh", {}, True),
    "target_groups": ("vertex:lh:3", {}, True),
    "feature_budget": (0.0, {"n_components": 3}, True),
    "feature_dtype": ("float16", {}, True),
}


def test_the_table_of_changes_holds_every_field_of_a_spec():
    assert set(SPEC_CHANGES) == {field.name for field in fields(FitSpec)}
    elsewhere = [reads for value, _, reads in SPEC_CHANGES.values() if value is None]
    assert all(name in globals() for name in elsewhere)


@pytest.mark.parametrize("field", [name for name, (value, _, _) in SPEC_CHANGES.items() if value is not None])
def test_a_fits_key_changes_with_the_fields_of_its_spec_that_it_reads(tiny, store, field):
    value, more, reads = SPEC_CHANGES[field]
    spec = replace(TINY, **more)
    assert (plan(replace(spec, **{field: value}), store).key != plan(spec, store).key) == reads


def test_components_of_few_repeated_stimuli_have_another_key_than_those_with_noise_among_them(tiny, store, monkeypatch):
    def key(n_components):
        made = plan(replace(TINY, n_components=n_components), store)
        return made.components_key(made.folds[0])

    tiny.change(groups=np.arange(120) // 6)
    few, some = key(14), key(20)  # 15 stimuli train, six times each
    monkeypatch.setattr("encoding.features.pca.EXACT_BELOW", 50)
    assert key(14) == few, "more stimuli than components: nothing was wrong"
    assert key(20) != some


def test_the_names_of_a_data_set_and_subject_are_in_no_key(tiny, store, monkeypatch):
    """Equal stimuli and responses are equal fits, whatever they are called."""
    before = plan(TINY, store).key
    monkeypatch.setitem(DATASETS._members, "other", tiny)
    tiny.change(dataset="other", name="subj09")
    assert plan(replace(TINY, dataset="other", subject="subj09"), store).key == before


@pytest.mark.parametrize("readout", ["ridge", "knn"])
def test_a_fits_key_changes_with_delays_and_then_with_runs(tiny, store, readout):
    spec, keys = replace(TINY, readout=readout), []
    for runs in (np.arange(120) // 20, np.arange(120) // 10):
        tiny.change(runs=runs)
        keys += [plan(replace(spec, delays=delays), store).key for delays in ("0", "1,2", "1,2,3", "1,2/1,2,3")]
    assert keys[0] == keys[4] and len(set(keys)) == 7


def other_value(value):
    """Another value of the kind of ``value``, valid or not: keys are made of whatever stands there."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, tuple):
        return (*value, 7)
    return value + 1 if isinstance(value, int | float) else f"{value}-other"


@pytest.mark.parametrize("name", list(READOUTS))
def test_the_key_of_weights_changes_with_every_parameter_of_a_readout(placed, store, name):
    readout = READOUTS[name]
    options = readout.read({})
    base = replace(plan(replace(TINY, layers=("pixels", "colour")), store), readout=readout, options=options)
    keys = {base_key(base)}
    for field in fields(options):
        changed = object.__new__(type(options))
        changed.__dict__.update(vars(options) | {field.name: other_value(getattr(options, field.name))})
        keys.add(base_key(replace(base, options=changed)))
    assert len(keys) == 1 + len(fields(options))


def base_key(planned):
    return planned.weights_key(planned.folds[0], planned.target_groups[0])


def test_a_fits_key_changes_with_the_weights_of_its_backbone(tiny, store, monkeypatch):
    before = plan(TINY, store).key
    monkeypatch.setattr(TinyBackbone, "fingerprint", "trained otherwise")
    assert plan(TINY, store).key != before


def test_a_fits_key_changes_with_the_input_of_its_network(tiny, store):
    """Two ways to say the same thing are one key: here the network's own preprocessing."""
    spec = replace(TINY, backbone="torchvision/squeezenet1_1", layers=("features.2",), weights="random:0")
    texts = ("", "resize", "pad", "crop:128", "resize::bicubic", "resize:96")
    assert len({plan(replace(spec, input=text), store).key for text in texts}) == len(texts)
    assert plan(replace(spec, input="crop:224:bilinear"), store).key == plan(spec, store).key
    assert "input" not in spec.for_digest()


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
