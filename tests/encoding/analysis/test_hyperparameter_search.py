"""Searches over the parameters of a readout: what is found, and what cannot be searched."""

import shlex
from dataclasses import replace

import pytest

import encoding.analysis.hyperparameter_search as search_module
from encoding import FitSpec
from encoding.analysis.hyperparameter_search import NothingFound, search, space_of
from encoding.cli import parser
from encoding.cli.spec_options import spec_from
from encoding.readouts import BadOption, Choice, Range
from tests.conftest import TINY
from tests.encoding.analysis.searched_readouts import SIGNED, STEPPED, Signed, Stepped

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
    assert list(first["epoch"]) == list(range(10)) and first["r"].is_monotonic_increasing


def test_trainings_that_minimise_different_losses_are_compared_by_r_before_they_are_given_up(planted, store):
    """Here a mean squared error gives the higher r, and is the higher loss: 1 - r is below it throughout."""
    spec = replace(TINY, readout="linear_sgd", hemi="lh", options={"n_epochs": 12, "patience": 12})
    found = search(spec, store, n_trials=12, vary=["loss=mse,1-r", "learning_rate=0.02:0.04"], seed=3, device="cpu")
    later = found.trials[5:]
    assert "mse" in set(later.loc[later["state"] == "complete", "loss"]) and (later["state"] == "pruned").any()
    r, complete = found.epochs.pivot(index="trial", columns="epoch", values="r"), found.trials["state"].to_numpy() == "complete"
    for number in later.loc[later["state"] == "pruned", "number"]:
        last = r.loc[number].last_valid_index()
        assert r.loc[number].max() < r.loc[: number - 1, last][complete[: number - 1]].median()


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


# ---- ranges of one's own


@pytest.mark.parametrize(
    ("readout", "words", "space"),
    [
        ("mlp", "optimiser", {"optimiser": Choice(("adamw", "adam", "sgd"))}),
        ("mlp", "optimiser=adam,sgd", {"optimiser": Choice(("adam", "sgd"))}),
        ("mlp", "learning_rate=.00001:.1", {"learning_rate": Range(1e-5, 1e-1, log=True)}),
        ("mlp", "learning_rate=1e-5:1e-1", {"learning_rate": Range(1e-5, 1e-1, log=True)}),
        ("mlp", "learning_rate=1e-5:1e-1:linear", {"learning_rate": Range(1e-5, 1e-1)}),
        ("mlp", "hidden=64:2048", {"hidden_1": Range(64, 2048, log=True), "hidden_2": Range(64, 2048, log=True)}),
        ("mlp", "activation=relu,tanh", {"activation_1": Choice(("relu", "tanh")), "activation_2": Choice(("relu", "tanh"))}),
        ("mlp", "batch_norm_after", {"batch_norm_after": Choice((True, False))}),
        ("mlp", "batch_norm=true,false", {"batch_norm_1": Choice((True, False)), "batch_norm_2": Choice((True, False))}),
        ("mlp", "dropout_1=0:0.3", {"dropout_1": Range(0.0, 0.3)}),
        ("mlp", "batch_size=50,150", {"batch_size": Choice((50, 150))}),
        ("mlp", "decimals=none,2", {"decimals": Choice((None, 2))}),
        ("mlp", "momentum=0:0.99", {"momentum": Range(0.0, 0.99)}),
        ("lstm", "hidden=64:128", {"hidden": Range(64, 128, log=True)}),
        ("ridge", "alpha=1:1000", {"alpha": Range(1.0, 1000.0, log=True)}),
        ("deep", "loss", {"loss": Choice(("mse", "1-r", "mse+r"))}),
    ],
)
def test_ranges_and_choices_of_ones_own_are_read(readout, words, space):
    assert space_of(FitSpec(readout=readout), [words]) == space


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["n_epochs"], "No range is known for n_epochs of mlp. Give one: n_epochs=low:high"),
        (["learning_rate=1e-1:1e-5"], "Write a range of learning_rate as low:high"),
        (["optimiser=adam:sgd"], "Write a range of optimiser"),
        (["optimiser=adam,sdg"], "optimiser must be adamw, adam or sgd, not 'sdg'"),
        (["dropout_1=0:0.5:log"], "A logarithmic range of dropout_1 begins above 0"),
        (["hidden_1=64.5:100"], "cannot use hidden_1=64.5"),
        (["optimiser=adam"], "two values of optimiser or more"),
        (["hidden=64:128", "hidden_1"], "hidden_1 is varied twice"),
        (["hiden=64:128"], "Unknown parameter of mlp to vary 'hiden'"),
        (["learning_rate=1:2:3:4"], "Write a range of learning_rate"),
    ],
)
def test_a_range_that_cannot_be_is_refused(words, message):
    with pytest.raises(BadOption, match=message):
        space_of(FitSpec(readout="mlp"), words)


def test_a_search_over_a_range_of_ones_own_stays_within_it_and_is_kept_apart(planted, store):
    own = search(SIGNED, store, n_trials=5, vary=["alpha=2:7", "sign=-1,1"])
    assert own.trials["alpha"][1:].between(2, 7).all() and set(own.trials["sign"]) <= {-1, 1}
    assert own.key != search(SIGNED, store, n_trials=1, vary=["alpha", "sign"]).key
