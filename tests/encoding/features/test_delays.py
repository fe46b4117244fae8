"""Delays (FIR columns) of samples of runs: the Delayer of the voxelwise tutorials, himalaya, the choice by cross-validation, refusals."""

import io
import shlex
from dataclasses import replace

import numpy as np
import pytest
from himalaya.ridge import RidgeCV
from himalaya.scoring import l2_neg_loss
from sklearn.model_selection import LeaveOneGroupOut

from encoding import FitSpec, Store, fit
from encoding.analysis.learning_curve import learning_curve
from encoding.analysis.search_objective import validation_fold
from encoding.cli import parser
from encoding.cli.fitting import describe
from encoding.cli.spec_options import spec_from
from encoding.evaluation.scores import pearson
from encoding.experiments import Experiment, run_experiment
from encoding.features import extraction
from encoding.features.delays import delayed, design_columns, n_columns, read_delays
from encoding.fits.plan import plan
from encoding.fits.resources import preflight
from encoding.pipeline import reduce_features
from encoding.prediction.predict import predict
from encoding.readouts import BadOption
from encoding.runs.exchange import import_, packed
from encoding.runs.exchange_models import check_models, model_arrays
from encoding.runtime.progress import silent
from tests.conftest import TINY, TinyStimuli

RUNS = np.repeat(np.arange(6), 20)
ALPHAS = (1.0, 10.0, 100.0)
SPEC = replace(TINY, delays="1,2,3", split="holdout:0.84:5", options={"alphas": ALPHAS})


def delayer(X, delays):
    """The ``transform`` of voxelwise_tutorials.delayer.Delayer, written from its documentation, for one run."""
    blocks = []
    for delay in delays:
        block = np.zeros_like(X)
        block[delay:] = X[: max(0, len(X) - delay)]
        blocks.append(block)
    return np.hstack(blocks)


def by_run(X, delays, runs=RUNS):
    return np.concatenate([delayer(X[runs == run], delays) for run in np.unique(runs)])


@pytest.fixture
def film(tiny):
    """The planted subject as six runs of twenty samples; responses follow the pixels of three samples before."""
    subject, rng = tiny.subject, np.random.default_rng(1)
    drive = subject.stimuli.pixels.reshape(120, -1) / 255 - 0.5
    responses = {}
    for hemi in subject.hemis:
        weights = rng.normal(size=(48, 10)) * (np.arange(10) < 5)
        responses[hemi] = (by_run(drive, [3]) @ weights + 0.3 * rng.normal(size=(120, 10))).astype(np.float32)
    fingerprints = {hemi: f"film-{hemi}" for hemi in responses}
    tiny.change(runs=RUNS, groups=RUNS, stimulus_ids=np.arange(120), tr=1.5, responses=responses, fingerprints=fingerprints)
    return tiny


@pytest.mark.parametrize("delays", [(1, 2, 3, 4), (0, 2), (5,), (19, 20, 25)])
def test_delayed_columns_are_the_delayers_of_each_run(delays):
    X = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
    np.testing.assert_array_equal(delayed(X, delays, RUNS), by_run(X, delays))
    assert delayed(X, delays, RUNS).shape[1] == n_columns(3, degree=1, delays=",".join(map(str, delays)))


def test_spaces_keep_their_columns_together_and_products_come_before_delays():
    A, B = (np.random.default_rng(seed).normal(size=(120, 2)) for seed in (0, 1))
    both = design_columns([A, B], delays=(1, 2), runs=RUNS)
    np.testing.assert_array_equal(both, np.hstack([by_run(A, (1, 2)), by_run(B, (1, 2))]))
    squared = np.column_stack([A, A[:, 0] ** 2, A[:, 0] * A[:, 1], A[:, 1] ** 2])
    np.testing.assert_allclose(design_columns([A], degree=2, delays=(1, 2), runs=RUNS), by_run(squared, (1, 2)))


def test_a_fit_is_himalayas_ridge_on_delayed_features_with_runs_left_out(film, store):
    result = fit(SPEC, store, device="cpu")
    (fold,), subject = result.plan.folds, film.subject
    X = np.asarray(extraction.load(result.plan.feature_keys["pixels"], store), np.float64).reshape(120, -1)
    X = by_run(X - X[fold.train].mean(0), (1, 2, 3))
    assert len(np.unique(RUNS[fold.train])) == 5 and len(np.unique(RUNS[fold.test])) == 1
    left_out = list(LeaveOneGroupOut().split(X[fold.train], groups=RUNS[fold.train]))
    Y = subject.responses["lh"].astype(np.float64)
    model = RidgeCV(alphas=ALPHAS, cv=left_out, fit_intercept=True, solver_params={"score_func": l2_neg_loss, "warn": False})
    model.fit(X[fold.train], Y[fold.train])
    np.testing.assert_allclose(result.score("lh", "alpha"), model.best_alphas_)
    np.testing.assert_allclose(result.predicted("lh", np.arange(10)), model.predict(X[fold.test]), atol=2e-3)
    expected = pearson(model.predict(X[fold.test]), Y[fold.test])
    np.testing.assert_allclose(result.score("lh"), expected, atol=1e-4)
    assert expected[:5].min() > 0.5 > np.abs(fit(replace(SPEC, delays=""), store, device="cpu").score("lh")[:5]).max()


def test_one_of_several_sets_is_chosen_on_the_training_runs(film, store):
    spec = replace(SPEC, delays="1,2/3/1,2,3,4", split="kfold:3:0", hemi="lh")
    result = fit(spec, store, device="cpu")
    assert [result.delays(number) for number in range(3)] == [(3,)] * 3
    r = store.get(result.plan.delays_key(result.plan.folds[0]))["r"]
    assert r[1] > r[2] > r[0]
    given = fit(replace(spec, delays="3"), store, device="cpu")
    np.testing.assert_array_equal(result.score("lh"), given.score("lh"))
    number = next(i for i, fold in enumerate(result.plan.folds) if 5 in RUNS[fold.test])
    other = {hemi: np.where(RUNS[:, None] == 5, 1, Y) for hemi, Y in film.subject.responses.items()}
    film.change(responses=other, fingerprints={hemi: f"other-{hemi}" for hemi in other})  # where the run is tested, the choice never saw it
    blind = plan(spec, store)
    assert reduce_features(blind, blind.folds[number], store, silent, "cpu").shape == (120, 48)
    before, after = (store.get(each.delays_key(each.folds[number]))["r"] for each in (result.plan, blind))
    np.testing.assert_array_equal(before, after)


def test_delays_are_bands_of_banded_ridge_where_that_is_asked(film, store):
    spec = replace(SPEC, readout="banded_ridge", layers=("pixels", "colour"), options={"n_candidates": 6}, hemi="lh")
    together = fit(spec, store, device="cpu")
    apart = fit(replace(spec, options={"n_candidates": 6, "delays_apart": True}), store, device="cpu")
    assert list(together.layer_shares("lh")) == ["pixels", "colour"]
    shares = apart.layer_shares("lh")
    assert list(shares) == [f"{layer} at delay {delay}" for layer in ("pixels", "colour") for delay in (1, 2, 3)]
    np.testing.assert_allclose(sum(shares.values()), apart.score("lh", "r2"), atol=1e-5)
    assert shares["pixels at delay 3"][:5].mean() > 3 * abs(shares["pixels at delay 1"][:5].mean())
    assert apart.key != together.key and "log10_penalty_5" in apart.detail_names and "log10_penalty_2" not in together.detail_names


@pytest.mark.parametrize("readout", ["ols", "ridge", "knn", "forest", "pls", "linear_sgd"])
def test_every_kind_of_readout_takes_delayed_columns_and_scores_itself_from_the_store(film, store, readout):
    options = {"linear_sgd": {"n_epochs": 2}, "forest": {"n_trees": 5}}.get(readout, {})
    spec = replace(SPEC, readout=readout, options=options, n_components=4)
    result = fit(spec, store, device="cpu")
    assert result.components().shape == (120, 12)
    r = pearson(*(values("lh", np.arange(10)) for values in (result.predicted, result.measured)))
    np.testing.assert_allclose(r, result.score("lh"), atol=1e-4)


def test_learning_curves_and_searches_keep_runs_whole(film, store):
    curve = learning_curve(SPEC, store, device="cpu")
    np.testing.assert_allclose(curve["lh_test"][-1], fit(SPEC, store).score("lh"), atol=1e-5)
    assert curve["sizes"][0] > 80  # every one of five inner folds needs rows of a run of its own
    validation = validation_fold(plan(SPEC, store))
    assert not set(RUNS[validation.train]) & set(RUNS[validation.test])


def test_keys_change_with_delays_and_runs_and_the_spec_is_read_back(film, store):
    assert "delays" not in TINY.for_digest() and replace(TINY, delays="0").for_digest() == TINY.for_digest()
    several = replace(SPEC, delays="1,2/2,3")
    for spec in (SPEC, several):
        assert spec_from(parser().parse_args(shlex.split(spec.to_command())[3:])) == spec and FitSpec.from_dict(spec.to_dict()) == spec
    made = {spec: plan(spec, store) for spec in (replace(SPEC, delays=""), SPEC, several, replace(SPEC, delays="1,2"))}
    assert len({each.key for each in made.values()}) == 4
    assert len({each.components_key(each.folds[0]) for each in made.values()}) == 1


def test_the_estimate_counts_the_delays(film, store):
    one, four = (preflight(plan(replace(SPEC, n_components=20, delays=delays), store), store, "cpu") for delays in ("", "1,2,3,4"))
    assert four.ram > one.ram and four.disk > one.disk


@pytest.mark.parametrize(
    "more",
    [{}, {"delays": "1,2/3/1,2,3,4", "split": "kfold:3:0"}, {"degree": 2, "n_components": 4},
     {"readout": "banded_ridge", "options": {"n_candidates": 4, "delays_apart": True}}],
    ids=str,
)  # fmt: skip
def test_an_exported_fit_with_delays_predicts_a_run_bit_for_bit(film, store, tmp_path, more):
    result = fit(replace(SPEC, **more), store, device="cpu")
    there = import_(io.BytesIO(packed(result)), Store(tmp_path / "elsewhere"))
    run = TinyStimuli(np.random.default_rng(9).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8))
    expected, found = (predict(each, run, device="cpu") for each in (result, there))
    for hemi in result.plan.hemis:
        np.testing.assert_array_equal(found[hemi], expected[hemi])
    assert there.delays(0) == result.delays(0) and there.delays(0)


def test_delays_that_are_not_the_specs_are_refused(film, store):
    models = model_arrays(fit(SPEC, store, device="cpu"))
    counts = {"n_folds": 1, "n_spaces": 1, "n_frames": 1, "delay_sets": [(1, 2, 3)]}
    assert check_models(models, {"lh": 10, "rh": 10}, **counts) == ""
    for wrong in (np.array([1, 2, 4]), np.array([1, 2]), np.array([[1, 2, 3]])):
        assert "delays" in check_models(models | {"f0_delays": wrong}, {"lh": 10, "rh": 10}, **counts)
    assert "other names" in check_models(models, {"lh": 10, "rh": 10}, **counts | {"delay_sets": ()})


def test_a_choice_that_was_pruned_is_made_again(film, store):
    spec = replace(SPEC, delays="1/3")
    first = fit(spec, store, device="cpu")
    store.remove(first.plan.delays_key(first.plan.folds[0]))
    with pytest.raises(FileNotFoundError, match="choice of this fit's delays"):
        first.delays(0)
    assert not fit(spec, store, device="cpu").cached and first.delays(0) == (3,)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"over_frames": "sequence"}, "leave --delays out"),
        ({"delays": "", "readout": "banded_ridge", "options": {"delays_apart": True}}, "needs one set"),
        ({"delays": "1/2", "readout": "banded_ridge", "options": {"delays_apart": True}}, "needs one set"),
    ],
)
def test_delays_are_refused_where_there_is_no_one_set_of_columns(film, store, more, match):
    with pytest.raises(BadOption, match=match):
        plan(replace(SPEC, **{"options": {}} | more), store)


def test_rows_that_are_no_samples_have_no_delays(tiny, store):
    with pytest.raises(BadOption, match="single trials"):
        plan(replace(SPEC, split=TINY.split), store)


@pytest.mark.parametrize("text", ["a", "1,,x", "-1", "1,1", "61", "1/", [1, 1], ",".join(map(str, range(31)))])
def test_delays_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="Delays are"):
        read_delays(text)


def test_a_result_says_its_delays_and_which_folds_chose_them(film, store):
    chosen = fit(replace(SPEC, delays="1,2/3", split="kfold:2:0", hemi="lh"), store, device="cpu")
    assert "delays    3 (in 2 of 2 folds), in samples before, one every 1.5 s" in describe(chosen)
    assert chosen.plan.spec.components_label == "all features, delays 1,2 or 3"
    given = fit(replace(SPEC, reduction="none", hemi="lh"), store, device="cpu")
    assert "delays    1, 2, 3, in samples before" in describe(given) and given.components().shape == (120, 144)


@pytest.mark.parametrize("readout", ["ridge", "banded_ridge"])
def test_an_experiment_over_delays_is_its_fits_one_by_one_and_reduces_layers_once(film, store, tmp_path, readout):
    options = {"n_candidates": 3} if readout == "banded_ridge" else {}
    base = replace(SPEC, readout=readout, layers=("pixels", "colour"), options=options, hemi="lh", n_components=3)
    found = run_experiment(Experiment(base=base, vary={"delays": ["1,2", "1/3"]}), store, device="cpu")
    other = Store(tmp_path / "other")
    for result in found.results:
        np.testing.assert_array_equal(result.score("lh"), fit(result.plan.spec, other, device="cpu").score("lh"))
    assert sum(key.startswith("components-") for key in store.keys()) == (2 if readout == "banded_ridge" else 1)  # noqa: SIM118
