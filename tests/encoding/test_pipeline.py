import io
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV

import encoding.pipeline as pipeline
from encoding import Store, fit
from encoding.analysis import bootstrap
from encoding.analysis.bootstrap import interval_text, intervals_of, roi_intervals
from encoding.analysis.comparison import compare
from encoding.analysis.learning_curve import _fold_curve, correlation, curve_key, learning_curve
from encoding.backbones import UnknownLayer
from encoding.datasets import BadData
from encoding.evaluation.splits import Fold
from encoding.fits.open import open_fit
from encoding.fits.plan import plan
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.readouts import BadOption
from encoding.readouts._moments import Moments
from encoding.runtime.csv import to_csv
from encoding.runtime.progress import Cancelled
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY, TinyStimuli

OLS = replace(TINY, readout="ols")


def test_driven_vertices_are_predicted_and_noise_is_not(tiny, store):
    table = fit(TINY, store).rois().set_index(["roi", "hemi"])
    assert (table.loc["driven", "r_mean"] > 0.8).all() and (table.loc["noise", "r_mean"].abs() < 0.35).all()


def test_an_empty_roi_is_empty_and_not_zero(tiny, store):
    row = fit(TINY, store).rois().set_index(["roi", "hemi"]).loc[("empty", "lh")]
    assert row["n_vertices"] == 0 and np.isnan(row["r_mean"]) and np.isnan(row["mae"])


def test_the_whole_method_is_scikit_learns_by_hand(tiny, store):
    alphas = [0.1, 10.0, 1000.0]
    result = fit(replace(TINY, options={"alphas": alphas}), store)
    fold = result.plan.folds[0]
    X = tiny.subject.stimuli.pixels.transpose(0, 3, 1, 2).reshape(120, -1) / 255
    inner = result.plan.inner(fold)
    splits = [(np.flatnonzero(inner != f), np.flatnonzero(inner == f)) for f in range(5)]
    for column in (0, 7):
        y = tiny.subject.responses["lh"][:, column]
        theirs = RidgeCV(alphas, cv=splits, scoring="neg_mean_squared_error").fit(X[fold.train], y[fold.train])
        assert result.score("lh", "alpha")[column] == theirs.alpha_
        np.testing.assert_allclose(result.predicted("lh", [column])[:, 0], theirs.predict(X[fold.test]), atol=1e-4)
        expected = np.corrcoef(theirs.predict(X[fold.test]), y[fold.test])[0, 1]
        assert result.score("lh")[column] == pytest.approx(expected, abs=1e-4)


def test_the_scores_are_those_of_the_predictions(tiny, store):
    result = fit(replace(TINY, split="kfold:3:0"), store)
    p, m = result.predicted("rh", [2, 8]), result.measured("rh", [2, 8])
    assert p.shape == m.shape == (120, 2)
    parts = np.split(np.arange(120), np.cumsum([len(fold.test) for fold in result.plan.folds])[:-1])
    for i, column in enumerate((2, 8)):
        each = [np.corrcoef(p[rows, i], m[rows, i])[0, 1] for rows in parts]
        assert result.score("rh")[column] == pytest.approx(np.mean(each), abs=1e-4)


@pytest.mark.parametrize("what", ["images", "responses"])
def test_test_rows_never_touch_the_weights(tiny, store, tmp_path, what):
    before = fit(TINY, store)
    test = before.plan.folds[0].test
    if what == "images":
        pixels = tiny.subject.stimuli.pixels.copy()
        pixels[test] = 0
        tiny.change(stimuli=TinyStimuli(pixels))
    else:
        responses = {hemi: Y.copy() for hemi, Y in tiny.subject.responses.items()}
        for Y in responses.values():
            Y[test] = 1e3
        tiny.change(responses=responses, fingerprints={hemi: f"changed-{hemi}" for hemi in responses})
    after = fit(TINY, store)
    assert after.key != before.key and not np.array_equal(after.score("lh"), before.score("lh"))
    for hemi in ("lh", "rh"):
        np.testing.assert_array_equal(after.model(hemi).weights, before.model(hemi).weights)
        np.testing.assert_array_equal(after.model(hemi).intercept, before.model(hemi).intercept)


def test_shuffled_responses_are_not_predicted(tiny, store):
    order = np.random.default_rng(3).permutation(120)
    tiny.change(responses={hemi: Y[order] for hemi, Y in tiny.subject.responses.items()})
    r = fit(TINY, store).rois().set_index("roi").loc["driven", "r_mean"]
    assert (r.abs() < 0.35).all()


def test_the_same_fit_twice_computes_nothing(tiny, store, monkeypatch):
    first = fit(TINY, store)
    monkeypatch.setattr(pipeline, "extract_features", lambda *args: pytest.fail("computed again"))
    again = fit(TINY, store)
    assert again.cached and not first.cached
    np.testing.assert_array_equal(again.score("lh"), first.score("lh"))


def test_another_alpha_reuses_components_and_the_moments_of_one_fold(tiny, store, monkeypatch):
    fit(replace(TINY, options={"alpha": 1.0}), store)
    monkeypatch.setattr(pipeline, "fit_components", lambda *args, **kwargs: pytest.fail("components again"))
    monkeypatch.setattr(Moments, "of", lambda *args, **kwargs: pytest.fail("moments again"))
    fit(replace(TINY, options={"alpha": 2.0}), store)
    fit(OLS, store)


def test_the_moments_of_one_fold_are_added_up_from_those_of_five(tiny, store, monkeypatch):
    alone = fit(OLS, Store(store.root / "elsewhere"))
    fit(TINY, store)
    monkeypatch.setattr(Moments, "of", lambda *args, **kwargs: pytest.fail("responses read again"))
    after = fit(OLS, store)
    np.testing.assert_allclose(after.model("lh").weights, alone.model("lh").weights, atol=1e-5)


def test_another_roi_is_only_another_view(tiny, store):
    whole = fit(TINY, store)
    part = fit(replace(TINY, rois=("noise",)), store)
    assert part.cached and part.key == whole.key
    assert list(part.rois()["roi"].unique()) == ["noise"] and len(part.vertices()) == 10


def test_one_hemisphere_reuses_the_weights_of_both(tiny, store, monkeypatch):
    whole = fit(TINY, store)
    monkeypatch.setattr(Moments, "of", lambda *args, **kwargs: pytest.fail("moments again"))
    left = fit(replace(TINY, hemi="lh"), store)
    assert left.plan.hemis == ("lh",)
    np.testing.assert_array_equal(left.score("lh"), whole.score("lh"))


@pytest.mark.parametrize(
    "change", [{"layers": ("colour",)}, {"n_components": 5}, {"readout": "ols"}, {"split": "holdout:0.75:6"}, {"options": {"alpha": 1.0}}]
)
def test_whatever_defines_the_fit_is_in_its_name(tiny, store, change):
    from encoding.fits.plan import plan

    assert plan(replace(TINY, **change), store).key != plan(TINY, store).key


def test_a_raised_stage_version_is_a_new_result(tiny, store, monkeypatch):
    from encoding.fits.plan import plan

    before = plan(TINY, store)
    key, components_key = before.key, before.components_key(before.folds[0])
    monkeypatch.setattr("encoding.readouts._moments.MOMENTS_VERSION", 99)
    after = plan(TINY, store)
    assert after.key != key and after.components_key(after.folds[0]) == components_key


def test_a_fit_that_was_stopped_goes_on_from_its_last_finished_stage(tiny, store, monkeypatch):
    def stop(fraction, text):
        if text.startswith("ridge"):
            raise Cancelled

    with pytest.raises(Cancelled):
        fit(TINY, store, stop)
    monkeypatch.setattr(pipeline, "fit_components", lambda *args, **kwargs: pytest.fail("components again"))
    assert not fit(TINY, store).cached


def test_progress_never_goes_back(tiny, store):
    said = []
    fit(TINY, store, lambda fraction, text: said.append(fraction))
    assert said == sorted(said) and said[-1] == 1 and said[0] >= 0


def test_a_damaged_stage_is_computed_again(tiny, store):
    first = fit(TINY, store)
    path = store.path(first.plan.moments_key(first.plan.folds[0], "lh")) / "xy.npy"
    path.write_bytes(path.read_bytes()[:-4])
    store.remove(first.key)
    store.remove(first.plan.weights_key(first.plan.folds[0], first.plan.target_groups[0]))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        again = fit(TINY, store)
    assert any("computed again" in str(warning.message) for warning in said)
    np.testing.assert_array_equal(again.score("lh"), first.score("lh"))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dataset": "tny"}, UnknownName, "Did you mean 'tiny'"),
        ({"backbone": "tinynett"}, UnknownName, "Did you mean 'tinynet'"),
        ({"layers": ("pixel",)}, UnknownLayer, "Did you mean 'pixels'"),
        ({"readout": "rigde"}, UnknownName, "Did you mean 'ridge'"),
        ({"rois": ("drven",)}, UnknownName, "Did you mean 'driven'"),
        ({"options": {"aplha": 1}}, BadOption, "Did you mean 'alpha'"),
        ({"split": "kfold:200:0"}, ValueError, "only 120 different stimuli"),
        (
            {"options": {"n_folds": 100}},
            ValueError,
            "100 folds of the training rows need as many groups at least; there are 90",
        ),
    ],
)
def test_a_wrong_name_is_told_before_any_work(tiny, store, monkeypatch, change, error, message):
    monkeypatch.setattr(pipeline, "extract_features", lambda *args: pytest.fail("work was started"))
    with pytest.raises(error, match=message):
        fit(replace(TINY, **change), store)


def test_more_features_than_images_are_fitted_exactly(tiny, store):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (120, 12, 12, 3), dtype=np.uint8)
    tiny.change(stimuli=TinyStimuli(pixels))
    result = fit(replace(TINY, options={"alpha": 100.0}), store)
    fold = result.plan.folds[0]
    from sklearn.linear_model import Ridge

    X = pixels.transpose(0, 3, 1, 2).reshape(120, -1) / 255
    theirs = Ridge(alpha=100.0).fit(X[fold.train], tiny.subject.responses["lh"][fold.train])
    np.testing.assert_allclose(result.predicted("lh", np.arange(10)), theirs.predict(X[fold.test]), atol=1e-4)


@pytest.mark.parametrize(
    ("split", "groups", "message"),
    [
        ("holdout:0.97:5", np.arange(120), "leaves 4 different test stimuli of 120"),
        ("kfold:30:0", np.arange(120), "leaves 4 different test stimuli in a fold of 120"),
        ("first:116", np.arange(120), "leaves 4 different test stimuli of 120"),
        ("holdout:0.9:5", np.arange(120) // 3, "leaves 4 different test stimuli of 40"),  # 12 rows
    ],
)
def test_fewer_than_five_test_stimuli_give_no_score(tiny, store, split, groups, message):
    tiny.change(groups=groups)
    with pytest.raises(ValueError, match=f"{message}. A score needs 5 at least: choose a split that tests more"):
        fit(replace(TINY, split=split), store)
    assert list(store.keys()) == []


@pytest.mark.parametrize("split", ["holdout:0.958:5", "kfold:24:0"])
def test_five_test_stimuli_give_a_score(tiny, store, split):
    result = fit(replace(TINY, split=split, options={"alpha": 1.0}), store)
    assert {len(fold.test) for fold in result.plan.folds} == {5} and np.isfinite(result.score("lh")).all()


def test_a_fit_says_in_words_what_it_was_trained_and_tested_on(tiny, store):
    def words():
        result = fit(replace(TINY, split="kfold:4:0", readout="ols"), store)
        assert result.plan.subject.counted("images").split()[1] == result.row_word("training") == result.row_word("test")
        return result.counted("training"), result.counted("test")

    assert words() == ("90 training images", "120 test images")
    tiny.change(groups=np.repeat(np.arange(40), 3))
    assert words() == ("90 trials of 30 training images", "120 trials of 40 test images")
    averaged = fit(replace(TINY, split="kfold:4:0", readout="ols", average_repeats=True), store)
    assert averaged.counted("test") == "40 test images"
    tiny.change(groups=np.arange(120) // 30, stimulus_ids=np.arange(120), runs=np.arange(120) // 30)
    assert words() == ("90 training samples", "120 test samples")


@pytest.mark.parametrize("split", ["runs", "blocks:4:2"])
def test_samples_of_a_stimulus_that_is_tested_in_another_run_do_not_train(tiny, store, split):
    runs, shown = np.arange(120) // 30, np.arange(120)
    shown[50:55] = shown[:5]  # too few for the two runs to be a group
    fits = []
    for ids in (np.arange(120), shown):
        tiny.change(groups=runs, stimulus_ids=ids, runs=runs)
        fits.append(fit(replace(TINY, split=split, readout="ols"), store))
        assert not any(np.intersect1d(ids[fold.train], ids[fold.test]).size for fold in fits[-1].plan.folds)
    apart, repeated = (each.plan.folds for each in fits)
    assert sum(len(fold.train) for fold in apart) == sum(len(fold.train) for fold in repeated) + 10
    assert fits[0].key != fits[1].key


def test_leaving_out_one_run_at_a_time_gives_scores_without_intervals(tiny, store):
    """Stimuli are counted where groups are coarser; one run a fold does not tell how scores vary between runs."""
    tiny.change(groups=np.arange(120) // 30, stimulus_ids=np.arange(120))
    result = fit(replace(TINY, split="kfold:4:0", readout="ols"), store)
    found = roi_intervals(result)
    driven = list(found["rois"]).index("driven")
    assert result.score("lh")[:5].mean() > 0.5
    assert np.isnan([found["lh_low"][driven], found["lh_high"][driven]]).all()
    assert interval_text(result).endswith("There is no interval: a fold tests a single group, such as one run.")
    other = fit(replace(TINY, split="kfold:4:0", readout="ols", n_components=8), store)
    roi_intervals(other)
    assert compare(result, other).table["p"].isna().all()


def test_the_learning_curve_ends_where_the_fit_is(tiny, store):
    curve = learning_curve(TINY, store)
    result = fit(TINY, store)
    assert curve["sizes"][-1] == result.n_train and (np.diff(curve["sizes"]) > 0).all()
    np.testing.assert_allclose(curve["lh_test"][-1], result.score("lh"), atol=1e-4)
    assert curve["lh_train"].shape == curve["lh_test"].shape == (len(curve["sizes"]), 10)
    assert curve["lh_test"][-1, :5].mean() > curve["lh_test"][0, :5].mean()


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "kfold:7:0", "options": {"alpha": 1.0}},  # training sets of 102 and 103 images
        {"split": "kfold:3:0", "readout": "knn", "n_components": 8, "hemi": "lh"},
        {"split": "kfold:3:0", "readout": "ols", "n_components": 8, "target_groups": "roi"},
        {"readout": "pls", "n_components": 8, "options": {"n_components": 2}, "target_groups": "both"},
        {"readout": "tree", "n_components": 8, "target_groups": "roi:both"},
    ],
    ids=["ridge", "knn", "ols", "hemispheres-together", "regions-of-both"],
)
def test_the_learning_curve_of_folds_ends_at_the_mean_over_folds(tiny, store, changes):
    spec = replace(TINY, **changes)
    result, curve = fit(spec, store), learning_curve(spec, store)
    driven = slice(0, 5)
    np.testing.assert_allclose(curve["lh_test"][-1, driven], result.score("lh")[driven], atol=1e-4)
    assert curve["sizes"][-1] == result.n_train and curve["lh_test"][0, driven].mean() < curve["lh_test"][-1, driven].mean()


def test_the_learning_curve_is_named_by_the_groups_it_adds_together(tiny, store):
    def key_of(groups, fit_key="fit-0"):
        tiny.change(groups=groups)
        return curve_key(fit_key, plan(TINY, store))

    rows = np.arange(120)
    key = key_of(rows)
    assert key_of(1000 - rows) == key
    assert len({key, key_of(rows // 2), key_of(rows // 3), key_of(rows, "fit-1")}) == 4
    spec, curves = replace(TINY, options={"alpha": 1.0}), []
    for groups in (rows, 1000 - rows, rows // 2):
        tiny.change(groups=groups)
        fold = Fold(train=rows[:90], test=rows[90:])
        planned = replace(plan(spec, store), folds=[fold])
        Z = tiny.subject.stimuli.pixels.reshape(120, -1) / 255
        curves.append(_fold_curve(planned, fold, Z, np.array([40, 90]), (), lambda fraction, text: None, "cpu")["lh_test"])
    np.testing.assert_array_equal(curves[0], curves[1])
    assert not np.array_equal(curves[0][0], curves[2][0])


def test_a_correlation_from_sums_is_that_of_predictions(tiny, store):
    result = fit(TINY, store)
    Z, fold = np.array(result.components()), result.plan.folds[0]
    sums = Moments.of(Z, tiny.subject.responses["lh"], np.zeros(len(fold.test), int), rows=fold.test)
    np.testing.assert_allclose(correlation(result.model("lh"), sums), result.score("lh"), atol=1e-4)


def test_intervals_hold_the_score_and_are_wider_for_fewer_vertices(tiny, store):
    result = fit(TINY, store)
    found = roi_intervals(result)
    place = {roi: i for i, roi in enumerate(found["rois"])}
    driven = place["driven"]
    mean = result.score("lh")[:5].mean()
    assert found["lh_low"][driven] < mean < found["lh_high"][driven]
    assert np.isnan(found["lh_low"][place["empty"]])
    assert place[EVERY_VERTEX] == 0


def test_what_is_saved_is_what_was_found(tiny, store, tmp_path):
    import json

    import pandas as pd

    result = fit(TINY, store)
    folder = result.save(tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {"spec.json", "rois.csv", "vertices.parquet", "lh_r.npy", "rh_r.npy"}
    np.testing.assert_allclose(np.load(folder / "lh_r.npy"), result.score("lh"), atol=1e-6)
    vertices = pd.read_parquet(folder / "vertices.parquet")
    assert len(vertices) == 20 and set(vertices["rois"]) == {"driven", "noise"}
    saved = json.loads((folder / "spec.json").read_text())
    assert saved["simulated"] is True and saved["spec"]["dataset"] == "tiny"
    summary = result.summary()
    json.dumps(summary, allow_nan=False)
    assert next(row for row in summary["rois"] if row["roi"] == "empty")["r_mean"] is None


def test_weights_that_change_under_a_fit_are_refused(tiny, store, monkeypatch):
    from tests.conftest import TinySource

    monkeypatch.setattr(TinySource, "fingerprint", lambda self, network, weights: "as it was when planned")
    with pytest.raises(ValueError, match="changed after the fit was planned"):
        fit(TINY, store)


def test_a_stored_fit_of_few_test_stimuli_opens_without_intervals_and_is_not_made_anew(tiny, store, monkeypatch):
    """A first release made such fits; they are browsed, and only new ones refused."""
    spec = replace(TINY, split="kfold:30:0")
    with monkeypatch.context() as patch:
        patch.setattr("encoding.fits.plan.LEAST_UNITS", 2)
        key = fit(spec, store, device="cpu").key
    result = open_fit(key, store)
    assert result.rois()["r_mean"].notna().any() and fit(spec, store, device="cpu").cached
    intervals = roi_intervals(result)
    assert np.isnan(intervals["lh_low"]).all() and np.isnan(intervals["lh_draws"]).all() and intervals_of(result) is not None
    assert interval_text(result).endswith("There is no interval: fewer than 5 stimuli per fold.")
    with pytest.raises(ValueError, match="leaves 4 different test stimuli in a fold"):
        fit(replace(spec, options={"alpha": 3.0}), store, device="cpu")


@pytest.mark.parametrize("compute", ["curve", "intervals"])
def test_what_follows_a_fit_keeps_nothing_of_data_that_changed_meanwhile(tiny, store, monkeypatch, compute):
    result = fit(TINY, store, device="cpu")
    kept = set(store.keys())

    def changing(function):
        def changed(*given, **more):
            found = function(*given, **more)
            tiny.change(fingerprints={"lh": "other", "rh": "other"})
            return found

        return changed

    path = "encoding.analysis.learning_curve._fold_curve" if compute == "curve" else "encoding.analysis.bootstrap.estimate_scores"
    monkeypatch.setattr(path, changing(_fold_curve if compute == "curve" else bootstrap.estimate_scores))
    with pytest.raises(BadData, match="changed while they were read"):
        learning_curve(TINY, store, device="cpu") if compute == "curve" else roi_intervals(result)
    assert set(store.keys()) == kept


@pytest.mark.parametrize("split", ["kfold:4:0", "kfold:5:0"])
def test_penalties_over_folds_are_the_median_which_a_fold_used(tiny, store, tmp_path, split):
    """Of an even number of folds the lower middle: a mean over folds would be a penalty that none used. So in every table and file."""
    result = fit(replace(TINY, split=split, options={"alphas": [1e-2, 1e1, 1e4]}), store, device="cpu")
    stored = np.asarray(result._arrays["lh_alpha"], float)
    assert len(np.unique(stored)) > 1 and len(stored) == len(result.plan.folds)
    median = np.sort(stored, axis=0)[(len(stored) - 1) // 2]
    table = result.vertices()
    np.testing.assert_array_equal(result.score("lh", "alpha"), median)
    np.testing.assert_array_equal(table.loc[table["hemi"] == "lh", "alpha"], median)
    text = pd.read_csv(io.StringIO(to_csv(table)))
    np.testing.assert_allclose(text.loc[text["hemi"] == "lh", "alpha"], median)
    np.testing.assert_array_equal(pd.read_parquet(result.save(tmp_path / "out") / "vertices.parquet")["alpha"], table["alpha"])
