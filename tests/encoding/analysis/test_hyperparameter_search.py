import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

import encoding.analysis.hyperparameter_search as search_module
from encoding import READOUTS, Store
from encoding.analysis.hyperparameter_search import NothingFound, search, stored_search, study_path
from encoding.analysis.optuna_study import begin, opened
from encoding.analysis.search_objective import validation_fold
from encoding.cli import parser
from encoding.cli.fitting import spec_from
from encoding.fits.plan import plan
from encoding.readouts import BadOption, Choice, LinearModel, Options, Range, Readout, Training, option, search_space
from encoding.readouts._moments import centred
from encoding.runtime.progress import Cancelled
from encoding.storage.store import DamagedResult
from tests import PROJECT
from tests.conftest import TINY, TinyStimuli

SAME = ["number", "value", "state", "alpha", "sign"]


def solved(X, Y, alpha):
    X0, Y0 = X - X.mean(0), Y - Y.mean(0)
    weights = np.linalg.solve(X0.T @ X0 + alpha * np.eye(X.shape[1]), X0.T @ Y0)
    return weights, Y.mean(0) - X.mean(0) @ weights


@dataclass(frozen=True)
class SignedOptions(Options):
    alpha: float = option(1e4, "Penalty.", search=Range(1e-2, 1e5, log=True))
    sign: int = option(1, "Of the weights.", search=Choice((1, -1)))
    fails: bool = option(False, "Whether it fails where the sign is negative.")


class Signed(Readout):
    """Ridge from moments, whose weights may be turned round."""

    name, title, about, options = "signed", "Signed", "Ridge.", SignedOptions
    fitted = []

    def fit(self, data, options, *, device="cpu", report=None):
        if options.fails and options.sign < 0:
            raise FloatingPointError("negative")
        self.fitted.append(data)
        sums = centred(data, np.arange(data.n_folds))
        p = data.n_components
        weights = np.linalg.solve(sums.xx.numpy() + options.alpha * np.eye(p), sums.xy.double().numpy()) * options.sign
        return LinearModel(weights, sums.mean_y.numpy() + data.shift - sums.mean_x.numpy() @ weights)


class SignedArrays(Signed):
    """The same from arrays."""

    name, uses_moments = "signed_arrays", False

    def fit(self, data, options, *, device="cpu", report=None):
        self.fitted.append(data)
        weights, intercept = solved(data.X.astype(float), data.Y[:, :].astype(float), options.alpha)
        return LinearModel(weights * options.sign, intercept)


@dataclass(frozen=True)
class BoostedOptions(Options):
    alpha: float = option(1e4, "Penalty.", search=Range(1e-2, 1e5, log=True))
    boost: int | None = option(None, "Divides the penalty.", search=Range(2, 50))


class Boosted(Signed):
    """Ridge, with a default that no range holds."""

    name, options = "boosted", BoostedOptions

    def fit(self, data, options, *, device="cpu", report=None):
        if (options.boost or 0) > 25:
            raise ValueError("too much")
        return super().fit(data, SignedOptions(alpha=options.alpha / (options.boost or 1)))


@dataclass(frozen=True)
class SteppedOptions(Options):
    rate: float = option(0.3, "Of learning.", search=Range(0.001, 1.0, log=True))


class Stepped(Readout):
    """Gradient descent for ten epochs, watched."""

    name, title, about, uses_moments, options, exact = "stepped", "Stepped", "Steps.", False, SteppedOptions, False
    epochs = []

    def fit(self, data, options, *, device="cpu", report=None):
        X, Y = data.X.astype(float), data.Y[:, :].astype(float)
        mean_x, mean_y = X.mean(0), Y.mean(0)
        X, Y, weights = X - mean_x, Y - mean_y, np.zeros((X.shape[1], Y.shape[1]))
        step = options.rate / np.linalg.eigvalsh(X.T @ X).max()
        self.epochs.append(0)
        for epoch in range(10):
            weights += step * X.T @ (Y - X @ weights)
            self.epochs[-1] += 1
            if data.on_epoch:
                data.on_epoch(epoch, float(np.square(Y - X @ weights).mean()))
        return LinearModel(weights, mean_y - mean_x @ weights)


@pytest.fixture(scope="session")
def empty_study(tmp_path_factory):
    """A study's file before its first trial; making one takes half a second."""
    path = tmp_path_factory.mktemp("study") / "empty.db"
    begin(path)
    return path


@pytest.fixture(autouse=True)
def planted(tiny, monkeypatch, empty_study):
    """Readouts with a space, registered for one test, on the planted data."""

    def begin_quickly(path):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty_study, path)
        begin(path)

    monkeypatch.setattr(search_module, "begin", begin_quickly)
    list(READOUTS)
    for readout in (Signed(), SignedArrays(), Boosted(), Stepped()):
        monkeypatch.setitem(READOUTS._members, readout.name, readout)
    for kept in (Signed.fitted, Stepped.epochs):
        kept.clear()
    return tiny


SIGNED, ARRAYS, STEPPED = (replace(TINY, readout=name) for name in ("signed", "signed_arrays", "stepped"))


def same(found, other):
    pd.testing.assert_frame_equal(found.trials[SAME], other.trials[SAME])


# ---- what is judged


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


# ---- what is found


def test_the_best_trial_beats_the_defaults_and_makes_a_fit(planted, store):
    found = search(SIGNED, store, n_trials=15)
    assert dict(found.trials.loc[0, ["alpha", "sign"]]) == {"alpha": 1e4, "sign": 1}
    assert found.best_value == found.trials["value"].max() > found.trials["value"][0] + 0.05
    assert found.best["sign"] == 1 and found.best["alpha"] < 1e3
    assert dict(found.best_spec.options) == {"alpha": found.best["alpha"]}  # what equals the default is left out
    assert len(f"{found.best['alpha']:g}".replace(".", "").lstrip("0").split("e")[0]) <= 3
    assert spec_from(parser().parse_args(shlex.split(found.best_spec.to_command())[3:])) == found.best_spec


def test_defaults_outside_the_space_are_tried_first_all_the_same(planted, store, monkeypatch):
    monkeypatch.setattr("encoding.analysis.optuna_study.LEAST_FOR_IMPORTANCES", 3)
    found = search(replace(TINY, readout="boosted", hemi="lh"), store, n_trials=9)
    assert dict(found.trials.loc[0, ["alpha", "boost"]]) == {"alpha": 1e4, "boost": None}
    assert all(isinstance(boost, int) and 2 <= boost <= 50 for boost in found.trials["boost"][1:])
    assert found.trials["value"][0] == search(replace(SIGNED, hemi="lh"), store, n_trials=1).best_value
    assert set(found.importances) == {"alpha", "boost"}


def test_what_a_readout_refuses_is_a_failed_trial_unless_it_refuses_the_defaults(planted, store):
    spec = replace(TINY, readout="boosted")
    found = search(spec, store, n_trials=8)
    assert list(found.trials["state"] == "failed") == [(boost or 0) > 25 for boost in found.trials["boost"]]
    assert set(found.trials["error"]) == {"", "ValueError: too much"}
    with pytest.raises(ValueError, match="too much"):
        search(replace(spec, options={"boost": 50}), store, n_trials=3)


def test_importances_say_which_parameter_mattered(planted, store):
    found = search(SIGNED, store, n_trials=15)
    assert sum(found.importances.values()) == pytest.approx(1)
    assert list(found.importances) == ["sign", "alpha"] and found.importances["sign"] > 0.6
    assert search(SIGNED, store, n_trials=3, seed=1).importances == {}


def test_what_the_spec_sets_stays_and_vary_limits_the_rest(planted, store):
    found = search(replace(SIGNED, options={"sign": -1}), store, n_trials=3)
    assert list(found.space) == ["alpha"] and (found.trials["value"] < 0).all()
    assert dict(found.best_spec.options)["sign"] == -1
    found = search(SIGNED, store, n_trials=3, vary=["sign"])
    assert list(found.space) == ["sign"] and "alpha" not in found.trials


def test_parameters_that_were_tried_before_are_not_fitted_again(planted, store):
    found = search(SIGNED, store, n_trials=8, vary=["sign"])
    assert len(Signed.fitted) == 2 * len(set(found.trials["sign"])) == 4
    assert found.trials.groupby("sign")["value"].nunique().eq(1).all()


def test_a_trial_that_fails_is_noted_and_the_search_goes_on(planted, store):
    found = search(replace(SIGNED, options={"fails": True}), store, n_trials=8)
    failed = found.trials[found.trials["state"] == "failed"]
    assert len(failed) and len(found.trials) == 8
    assert set(failed["error"]) == {"FloatingPointError: negative"} and failed["value"].isna().all()


def test_where_every_trial_fails_the_reason_is_told(planted, store):
    with pytest.raises(NothingFound, match=r"None of 2 trials gave a value. The last: FloatingPointError: negative"):
        search(replace(SIGNED, options={"fails": True, "sign": -1}), store, n_trials=2)


def test_trials_worse_than_the_median_are_given_up_early(planted, store):
    found = search(STEPPED, store, n_trials=15)
    pruned = found.trials[found.trials["state"] == "pruned"]
    assert len(pruned) and pruned["value"].isna().all()
    n_epochs = found.epochs.groupby("trial").size()
    assert (n_epochs[pruned["number"]] < 10).all() and (n_epochs[pruned["number"]] > 5).all()
    complete = found.trials.loc[found.trials["state"] == "complete", "number"]
    assert (n_epochs[complete] == 10).all()
    assert Stepped.epochs[0] == 10 and sum(Stepped.epochs) == n_epochs.sum() + 10 * len(complete)  # the second hemisphere is not watched
    first = found.epochs[found.epochs["trial"] == 1]
    assert list(first["epoch"]) == list(range(10)) and first["loss"].is_monotonic_decreasing


# ---- resuming


def test_more_trials_continue_the_same_search(planted, store, tmp_path):
    few = search(SIGNED, store, n_trials=4)
    n_fitted = len(Signed.fitted)
    more = search(SIGNED, store, n_trials=9)
    assert few.key == more.key and len(Signed.fitted) > n_fitted
    pd.testing.assert_frame_equal(more.trials[:4], few.trials)
    same(more, search(SIGNED, Store(tmp_path / "another"), n_trials=9))


def test_asking_again_computes_nothing(planted, store, monkeypatch):
    found = search(SIGNED, store, n_trials=4)
    monkeypatch.setattr("encoding.analysis.search_objective.extract_features", None)
    again = search(SIGNED, store, n_trials=2)
    pd.testing.assert_frame_equal(found.trials, again.trials)


def test_another_seed_is_another_search(planted, store):
    one, other = search(SIGNED, store, n_trials=3), search(SIGNED, store, n_trials=3, seed=1)
    assert one.key != other.key and list(one.trials["alpha"][1:]) != list(other.trials["alpha"][1:])


@pytest.mark.parametrize("stop", [Cancelled, KeyboardInterrupt])
def test_a_trial_that_is_interrupted_is_not_counted(planted, store, tmp_path, stop):
    def report(fraction, text):
        if "trial 4 of 6" in text and "fitting" in text:
            raise stop

    with pytest.raises(stop):
        search(SIGNED, store, n_trials=6, report=report)
    planned = plan(SIGNED, store)
    assert len(stored_search(planned, store).trials) == 3
    same(search(SIGNED, store, n_trials=6), search(SIGNED, Store(tmp_path / "another"), n_trials=6))


KILLED = """
import os, signal
import pytest
from encoding import Store
from encoding.analysis.hyperparameter_search import search
from tests.encoding.analysis import test_hyperparameter_search as test_search
from tests.conftest import TinyDataset, TinySource
from encoding.backbones import BACKBONES
from encoding.datasets import DATASETS
from encoding.readouts import READOUTS

list(DATASETS), list(BACKBONES), list(READOUTS)
DATASETS._members["tiny"], BACKBONES.sources._members["tinynet"] = TinyDataset(), TinySource()
READOUTS._members["signed"] = test_search.Signed()

def report(fraction, text):
    if "trial 3 of 4" in text and "rh" in text:
        os.kill(os.getpid(), signal.SIGKILL)

search(test_search.SIGNED, Store({root!r}), n_trials=4, report=report)
"""


@pytest.mark.slow
def test_a_search_that_was_killed_ends_with_the_same_trials(planted, store, tmp_path):
    project = str(PROJECT)
    env = os.environ | {"PYTHONPATH": project, "PYTHONHASHSEED": "0"}
    ran = subprocess.run([sys.executable, "-c", KILLED.format(root=str(store.root))], env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == -9, ran.stderr
    (file,) = (store.root / "search").glob("*.db")
    with opened(file, "ro") as study:
        assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE"] * 2 + ["RUNNING"]
    name = study_path(plan(SIGNED, store), search_space(SignedOptions), 0, store)
    file.rename(name)  # the planted data's fingerprints are of this process alone
    found = search(SIGNED, store, n_trials=4)
    with opened(name, "ro") as study:
        assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE"] * 2 + ["FAIL"] + ["COMPLETE"] * 2
    same(found, search(SIGNED, Store(tmp_path / "another"), n_trials=4))


def test_the_defaults_are_tried_once_however_often_the_first_trial_is_killed(planted, store):
    space = search_space(SignedOptions)
    path = study_path(plan(SIGNED, store), space, 0, store)
    begin(path)
    with opened(path, "rw") as study:
        study.enqueue_trial({"alpha": 1e4, "sign": 1})  # killed before the trial began
    found = search(SIGNED, store, n_trials=4)
    assert list(found.trials["alpha"] == 1e4) == [True, False, False, False]


def test_a_search_can_be_watched_from_outside_while_it_goes_on(planted, store):
    planned, seen = plan(SIGNED, store), []
    assert stored_search(planned, store) is None
    search(SIGNED, store, n_trials=3, report=lambda fraction, text: seen.append(len(stored_search(planned, store).trials)))
    assert seen == sorted(seen) and set(seen) == {0, 1, 2, 3}


def test_progress_never_goes_back(planted, store):
    told = []
    search(SIGNED, store, n_trials=3, report=lambda fraction, text: told.append((fraction, text)))
    assert told == sorted(told, key=lambda each: each[0]) and told[-1] == (1.0, "done")
    assert any("trial 3 of 3, best r" in text for _, text in told)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""], ids=["other", "empty"])
def test_a_damaged_file_is_told_and_begun_anew(planted, store, content):
    found = search(SIGNED, store, n_trials=2)
    path = store.root / "search" / f"{found.key}.db"
    path.write_bytes(content)
    with pytest.warns(DamagedResult, match="begins anew"):
        same(search(SIGNED, store, n_trials=2), found)


def test_any_folder_will_do_for_a_store(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(search_module, "begin", begin)
    store = Store(tmp_path / "50 % {of} what? #1")
    assert len(search(SIGNED, store, n_trials=1).trials) == 1
    assert [path.suffix for path in (store.root / "search").iterdir()] == [".db"]


# ---- what is asked


@pytest.mark.parametrize(
    ("spec", "vary", "message"),
    [
        (replace(TINY, readout="ols"), (), "ols has no parameters to search. Readouts that have: .*signed"),
        (SIGNED, ("alhpa",), "Unknown parameter of signed to vary 'alhpa'. Did you mean 'alpha'?"),
        (replace(SIGNED, options={"alpha": 3.0}), ("alpha",), "alpha is set to 3.0, so it cannot be varied"),
        (replace(SIGNED, options={"alpha": 3.0, "sign": 1}), (), "Every parameter of signed that can be searched is set: alpha, sign"),
    ],
)
def test_what_cannot_be_searched_is_told_before_any_work(planted, store, monkeypatch, spec, vary, message):
    monkeypatch.setattr(search_module, "plan", None)
    with pytest.raises(BadOption, match=message):
        search(spec, store, vary=vary)


def test_no_trials_are_no_search(planted, store):
    with pytest.raises(ValueError, match="n_trials must be 1 or more, not 0"):
        search(SIGNED, store, n_trials=0)


list(READOUTS)
SPACES = [(name, key) for name, readout in READOUTS.items() for key in search_space(readout.options)]


@pytest.mark.parametrize(("name", "key"), SPACES, ids=" ".join)
def test_every_declared_range_holds_values_that_its_readout_takes(name, key):
    space = search_space(READOUTS[name].options)[key]
    values = space.values if isinstance(space, Choice) else (space.low, space.high)
    for value in values:
        assert getattr(READOUTS[name].read({key: value}), key) == value
    if isinstance(space, Range):
        assert space.low < space.high and (space.low > 0 or not space.log)


def test_some_of_the_training_rows_bring_their_pictures():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 2, 2, 3), dtype=np.uint8)
    rows = Training.of(np.zeros((6, 0)), np.zeros((6, 1)), stimuli=TinyStimuli(pixels)).some(np.array([4, 1]))
    assert rows.stimuli.names == ("tiny-0004", "tiny-0001")
    np.testing.assert_array_equal(np.asarray(rows.stimuli[1]), pixels[1])
