"""Fits whose layers are reduced in the pass: keys, folds, new stimuli, occlusion, exchange and other subjects."""

from dataclasses import replace

import numpy as np
import pytest

from encoding import Store, fit
from encoding.fits.open import open_fit
from encoding.fits.plan import plan
from encoding.prediction.predict import predict
from encoding.prediction.predictor import Predictor
from encoding.runs.exchange import export, import_
from tests.conftest import TINY, TinyBackbone, TinyStimuli

WHOLE = replace(TINY, n_components=12)
REDUCED = replace(WHOLE, feature_budget=0.0)


@pytest.fixture
def passes(monkeypatch):
    """Counts the stimuli of every pass through the network."""
    seen, activations = [], TinyBackbone.activations

    def counted(self, batch, layers, pool="none"):
        seen.append((len(batch), tuple(layers)))
        return activations(self, batch, layers, pool)

    monkeypatch.setattr(TinyBackbone, "activations", counted)
    return seen


def stages(store):
    return {key.rpartition("-")[0] for key in store.keys()}  # noqa: SIM118 - a Store is no dict


def test_only_reduced_layers_have_other_keys(tiny, store):
    whole, reduced = plan(WHOLE, store), plan(REDUCED, store)
    assert whole.key == plan(replace(WHOLE, feature_budget=None), store).key == plan(replace(WHOLE, feature_budget=1.0), store).key
    assert whole.key != reduced.key and whole.feature_keys == reduced.feature_keys
    assert reduced.reduced_layers == ("pixels",) and not whole.reduced_layers
    colour, n_bytes = replace(WHOLE, layers=("colour",), n_components=3), 4 * 120 * 3
    assert not plan(replace(colour, feature_budget=(n_bytes + 1) / 1e9), store).reduced_layers
    assert plan(replace(colour, feature_budget=(n_bytes - 1) / 1e9), store).reduced_layers
    assert not plan(replace(REDUCED, n_components=0), store).reduced_layers  # every component is every feature


def test_scores_are_those_of_stored_features(tiny, store):
    whole, reduced = fit(WHOLE, store), fit(REDUCED, store)
    np.testing.assert_allclose(reduced.score("lh"), whole.score("lh"), atol=0.02)
    assert reduced.score("lh")[:5].mean() == pytest.approx(whole.score("lh")[:5].mean(), abs=0.005)


def test_features_are_never_stored_and_stimuli_pass_twice(tiny, store, passes):
    fit(REDUCED, store)
    assert "features" not in stages(store) and {"sketch", "components", "fit"} <= stages(store)
    assert sum(n for n, _ in passes if n != 2) == 2 * 120  # the pass of two grey images tells the sizes


def test_each_fold_has_components_of_its_own_training_stimuli(tiny, store, passes):
    spec = replace(REDUCED, split="kfold:3:0")
    result = fit(spec, store)
    assert sum(n for n, _ in passes if n != 2) == (1 + 3) * 120
    pixels = tiny.subject.stimuli.pixels.transpose(0, 3, 1, 2).reshape(120, -1) / 255
    for number, fold in enumerate(result.plan.folds):
        mean, axes = result.projection(number, ("pixels",))
        np.testing.assert_allclose(mean, pixels[fold.train].mean(0), atol=1e-5)
        np.testing.assert_allclose(result.components(number)[fold.test], (pixels[fold.test] - mean) @ axes, atol=1e-3)


def test_test_images_touch_no_weights(tiny, store):
    before = fit(REDUCED, store)
    pixels = tiny.subject.stimuli.pixels.copy()
    pixels[before.plan.folds[0].test] = 0
    tiny.change(stimuli=TinyStimuli(pixels))
    after = fit(REDUCED, store)
    assert after.key != before.key
    np.testing.assert_allclose(after.model("lh").weights, before.model("lh").weights, atol=1e-5)


def test_several_layers_share_a_pca_or_have_their_own(tiny, store, passes):
    both = replace(REDUCED, layers=("pixels", "colour"), n_components=3)
    fit(both, store)
    banded = fit(replace(both, readout="banded_ridge"), store)
    assert banded.components().shape == (120, 6)
    assert {layers for n, layers in passes if n > 2} == {("pixels", "colour")}


def test_a_layer_under_the_budget_beside_a_larger_one_is_stored(tiny, store):
    spec = replace(REDUCED, layers=("pixels", "colour"), feature_budget=4 * 120 * 10 / 1e9)
    result = fit(spec, store)
    assert result.plan.reduced_layers == ("pixels",) and {"features", "sketch"} <= stages(store)
    assert result.components().shape == (120, 12)


def test_new_images_are_predicted_through_stored_axes(tiny, store):
    result = fit(REDUCED, store)
    fold = result.plan.folds[0]
    again = TinyStimuli(tiny.subject.stimuli.pixels[fold.test])
    expected = result.predicted("lh", np.arange(10))
    np.testing.assert_allclose(predict(result, again)["lh"], expected, atol=1e-3)
    np.testing.assert_allclose(Predictor.of(result)(again)["lh"], expected, atol=1e-3)


def test_an_exported_fit_predicts_elsewhere(tiny, store, tmp_path):
    result = fit(REDUCED, store)
    imported = import_(export(result, tmp_path / "fit.zip"), Store(tmp_path / "elsewhere"))
    new = TinyStimuli(np.random.default_rng(1).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8))
    np.testing.assert_allclose(predict(imported, new)["lh"], predict(result, new)["lh"], atol=1e-5)


def test_a_stored_fit_opens_by_its_key_whatever_the_budget_of_today(tiny, store):
    reduced, whole = fit(REDUCED, store), fit(replace(WHOLE, feature_budget=None), store)
    for result in (reduced, whole):
        found = open_fit(result.key, store)
        assert found.key == result.key and found.plan.reduced_layers == result.plan.reduced_layers
    about = store.path(whole.key) / "provenance.json"  # of a release without budgets
    about.write_text(about.read_text().replace('"feature_budget": null', '"feature_budget": 0.0'))
    assert not open_fit(whole.key, store).plan.reduced_layers


def test_other_subjects_are_projected_on_the_axes_of_the_first(tiny, store, monkeypatch):
    first = tiny.subject
    shared = np.concatenate([first.stimuli.pixels[:60], 255 - first.stimuli.pixels[60:]])
    second = replace(first, name="subj02", stimuli=TinyStimuli(shared), fingerprints={"lh": "lh-2", "rh": "rh-2"})
    people = {"subj01": first, "subj02": second}
    monkeypatch.setattr(tiny, "subjects", lambda: tuple(people), raising=False)
    monkeypatch.setattr(tiny, "open", lambda subject, store, report=None: people[subject])
    from encoding.fits.extra_subjects import extra_subject_rows

    spec = replace(REDUCED, readout="mlp", options={"n_epochs": 2}, extra_subjects=("subj02",))
    result = fit(spec, store)
    (other,) = result.plan.extra_subjects
    unseen = result.plan.unseen(result.plan.folds[0])
    rows = extra_subject_rows(result.plan, other, 0, unseen, result.components(), store, "cpu")
    assert len(rows.X) == len(set(other.folds[0].train) - set(unseen[unseen < 60]))  # no image that the first is tested on
    assert "features" not in stages(store)


def test_a_lost_sketch_is_not_needed_and_lost_components_are_made_again(tiny, store):
    result = fit(REDUCED, store)
    for key in [key for key in store.keys() if key.startswith(("sketch", "components"))]:  # noqa: SIM118
        store.remove(key)
    new = TinyStimuli(tiny.subject.stimuli.pixels[:4])
    assert predict(result, new)["lh"].shape == (4, 10)


@pytest.mark.parametrize("delays", ["1,2", "1/2,3"])
def test_delays_reach_samples_that_neither_train_nor_are_tested(tiny, store, delays):
    """Samples in the gap have components, too."""
    tiny.change(groups=np.zeros(120, int), stimulus_ids=np.arange(120), runs=np.zeros(120, int))
    spec = replace(REDUCED, split="blocks:4:3", delays=delays, readout="knn", options={"k": 3})
    whole, reduced = fit(replace(spec, feature_budget=None), store), fit(spec, store)
    assert all(np.isfinite(reduced.components(number)).all() for number in range(4))
    np.testing.assert_allclose(reduced.score("lh"), whole.score("lh"), atol=0.05)


def test_only_where_delays_reach_samples_in_no_set_are_keys_of_their_own(tiny, store):
    tiny.change(groups=np.arange(120) // 30, stimulus_ids=np.arange(120), runs=np.arange(120) // 30)
    keys = lambda split, delays: plan(replace(REDUCED, split=split, delays=delays), store)  # noqa: E731
    of = lambda made: made.components_key(made.folds[0])  # noqa: E731
    assert of(keys("runs", "1,2")) == of(keys("runs", ""))
    assert of(keys("blocks:4:3", "1,2")) == of(keys("blocks:4:3", "2")) != of(keys("blocks:4:3", ""))
