"""The value of a trial: mean r on training rows set aside, which test rows never reach."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from encoding import READOUTS, Store
from encoding.analysis.hyperparameter_search import search
from encoding.analysis.search_objective import validation_fold, validation_note
from encoding.fits.plan import plan
from encoding.readouts import LinearModel
from tests.conftest import TINY
from tests.encoding.analysis.searched_readouts import ARRAYS, SIGNED, STEPPED, Signed, SignedArrays, solved


@pytest.mark.parametrize("spec", [SIGNED, ARRAYS], ids=["moments", "arrays"])
def test_a_value_is_the_mean_r_of_scikit_learns_ridge_on_the_fifth_set_aside(planted, store, spec):
    found = search(spec, store, n_trials=4)
    planned = plan(spec, store)
    fold = validation_fold(planned)
    assert len(fold.test) == len(planned.folds[0].train) // 5
    assert sorted([*fold.train, *fold.test]) == list(planned.folds[0].train)
    X = planted.subject.stimuli.pixels.transpose(0, 3, 1, 2).reshape(120, -1) / 255
    for _, trial in found.trials.iterrows():
        r = []
        for Y in planted.subject.responses.values():
            predicted = Ridge(trial["alpha"]).fit(X[fold.train], Y[fold.train]).predict(X[fold.test]) - Y[fold.train].mean(0)
            r += [np.corrcoef(trial["sign"] * predicted[:, i], Y[fold.test, i])[0, 1] for i in range(10)]
        assert trial["value"] == pytest.approx(np.mean(r), abs=1e-4)


@pytest.mark.parametrize("spec", [SIGNED, ARRAYS, replace(STEPPED, n_components=5)], ids=["moments", "arrays", "watched"])
@pytest.mark.parametrize("how", ["scrambled", "not numbers"])
def test_responses_to_test_pictures_are_never_read(planted, store, tmp_path, spec, how):
    before = search(spec, store, n_trials=3)
    test = plan(spec, store).folds[0].test
    changed = {hemi: Y.copy() for hemi, Y in planted.subject.responses.items()}
    for Y in changed.values():
        Y[test] = np.nan if how == "not numbers" else np.random.default_rng(1).permutation(100 * Y[test])
    planted.change(responses=changed)
    after = search(spec, Store(tmp_path / "another"), n_trials=3)
    assert before.key == after.key
    columns = ["number", "value", "state", *before.space]
    pd.testing.assert_frame_equal(before.trials[columns], after.trials[columns])


@pytest.mark.parametrize("split", ["holdout:0.75:5", "kfold:4:0", "first:90", "kfold:3:0/holdout:0.8:0", "kfold:3:0/kfold:2:0"])
def test_what_is_said_of_test_images_is_so(planted, store, split):
    """With one fold the validation rows are never tested; with several every one is, by another fold, and within a split it may be."""
    planned = plan(replace(SIGNED, split=split), store)
    tested = np.isin(validation_fold(planned).test, np.concatenate([fold.test for fold in planned.folds]))
    note = validation_note(split)
    if len(planned.folds) == 1:
        assert note == "No test image is looked at." and not tested.any()
    else:
        assert f"{'may be' if '/' in split else 'are'} tested by the other folds" in note and "a little too high" in note
        assert tested.all() or "/" in split


@pytest.mark.parametrize("split", ["kfold:3:0", "runs"])
def test_no_stimulus_that_runs_share_is_learned_and_validated_on(planted, store, split):
    runs, stimuli = np.arange(120) // 12, np.arange(120)
    for run in range(1, 10, 2):
        stimuli[12 * run : 12 * run + 4] = stimuli[12 * (run - 1) : 12 * (run - 1) + 4]  # two runs begin alike
    planted.change(groups=runs, runs=runs, stimulus_ids=stimuli)
    planned = plan(replace(SIGNED, split=split), store)
    fold = validation_fold(planned)
    assert len(fold.train) and not np.intersect1d(stimuli[fold.train], stimuli[fold.test]).size
    left = np.setdiff1d(planned.folds[0].train, np.concatenate([fold.train, fold.test]))
    assert len(left) and np.isin(stimuli[left], stimuli[fold.test]).all()


def test_responses_to_validation_pictures_are_not_learned_from(planted, store, tmp_path):
    search(SIGNED, store, n_trials=1)
    rows = validation_fold(plan(SIGNED, store)).test
    changed = {hemi: Y.copy() for hemi, Y in planted.subject.responses.items()}
    for Y in changed.values():
        Y[rows] += 1000
    planted.change(responses=changed)
    search(SIGNED, Store(tmp_path / "another"), n_trials=1)
    (left, right), (left_again, right_again) = Signed.fitted[:2], Signed.fitted[2:]
    for one, other in ((left, left_again), (right, right_again)):
        np.testing.assert_array_equal(one.xy, other.xy)


def test_repeats_of_a_picture_are_never_on_both_sides(planted, store):
    planted.change(groups=np.arange(120) // 3)
    fold = validation_fold(plan(SIGNED, store))
    assert not set(fold.train // 3) & set(fold.test // 3)


def test_a_search_of_averaged_repeats_is_one_of_its_own(planted, store, tmp_path):
    """It is kept apart, also by which rows repeat a stimulus; keys of searches that average nothing are those of earlier releases."""
    planted.change(groups=np.arange(120) // 6, stimulus_ids=np.arange(120) // 3)
    single = search(SIGNED, store, n_trials=2)
    spec = replace(SIGNED, average_repeats=True)
    averaged = search(spec, store, n_trials=2)
    assert averaged.key != single.key
    assert averaged.best_value == search(spec, Store(tmp_path / "another"), n_trials=2).best_value != single.best_value
    planted.change(stimulus_ids=np.arange(120) // 2)
    assert search(spec, store, n_trials=1).key != averaged.key and search(SIGNED, store, n_trials=1).key == single.key


def test_vertices_that_do_not_vary_are_left_out_and_none_at_all_is_an_error(planted, store, tmp_path):
    still = {hemi: Y.copy() for hemi, Y in planted.subject.responses.items()}
    for Y in still.values():
        Y[:, 3] = 1
    planted.change(responses=still)
    assert np.isfinite(search(SIGNED, store, n_trials=2).best_value)
    planted.change(responses={hemi: np.ones_like(Y) for hemi, Y in still.items()})
    with pytest.raises(ValueError, match="No vertex varies over the validation rows"):
        search(SIGNED, Store(tmp_path / "another"), n_trials=2)


def test_each_part_has_a_model_and_moments_are_summed_once(planted, store, monkeypatch):
    Signed.fitted.clear()
    monkeypatch.setattr(Signed, "per_target", False)
    search(replace(SIGNED, target_groups="roi"), store, n_trials=2, vary=["alpha"])
    assert [data.n_targets for data in Signed.fitted] == [5] * 8
    search(replace(SIGNED, target_groups="both"), store, n_trials=1)
    assert Signed.fitted[-1].n_targets == 20
    assert sum(key.startswith("moments") for key in store.keys()) == 2  # noqa: SIM118 - a Store is no dict


def test_a_readout_that_treats_layers_apart_is_told_which_components_are_whose(planted, store, monkeypatch):
    monkeypatch.setattr(Signed, "by_layer", True)
    search(replace(SIGNED, layers=("pixels", "colour")), store, n_trials=1)
    assert [data.bands for data in Signed.fitted] == [(48, 3), (48, 3)]


def test_company_learns_neither_test_nor_validation_pictures(planted, store, monkeypatch):
    other = replace(planted.subject, name="subj02")
    monkeypatch.setattr(type(planted), "subjects", lambda self: ("subj01", "subj02"))
    monkeypatch.setattr(type(planted), "open", lambda self, name, *_: other if name == "subj02" else self.subject)
    monkeypatch.setattr(SignedArrays, "shares", True)
    spec = replace(ARRAYS, extra_subjects=("subj02",))
    search(spec, store, n_trials=1)
    planned = plan(spec, store)
    (extra_subjects,) = Signed.fitted[0].extra_subjects
    assert len(extra_subjects.Y.rows) and not set(extra_subjects.Y.rows) & {*validation_fold(planned).test, *planned.folds[0].test}


def test_a_readout_that_looks_at_pictures_sees_the_four_fifths_and_predicts_the_fifth(planted, store, monkeypatch):
    shown = []

    class Pixels(LinearModel):
        def basis(self, X):
            shown.append(X.names)
            return np.stack([np.asarray(picture, float).ravel() for picture in X])

    class Looks(SignedArrays):
        name, uses_components, restores_from_data = "looks", False, True

        def fit(self, data, options, *, device="cpu", report=None):
            shown.append(data.stimuli.names)
            X = np.stack([np.asarray(picture, float).ravel() for picture in data.stimuli])
            return Pixels(*solved(X, data.Y[:, :].astype(float), 1e5))

    monkeypatch.setitem(READOUTS._members, "looks", Looks())
    spec = replace(TINY, readout="looks", hemi="lh")
    assert search(spec, store, n_trials=1).best_value > 0.1
    fold = validation_fold(plan(spec, store))
    assert [[int(name.removeprefix("tiny-")) for name in names] for names in shown] == [list(fold.train), list(fold.test)]
    assert not any(key.startswith("features") for key in store.keys())  # noqa: SIM118 - a Store is no dict
