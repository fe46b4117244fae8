"""Fits of several networks: the same numbers as one network with all their layers, with work shared, predicted, exported and planned."""

import io
from dataclasses import replace

import numpy as np
import pytest

from encoding import BACKBONES, READOUTS, Store, fit
from encoding.backbones import UnknownLayer
from encoding.backbones._base import JOIN
from encoding.cli import parser
from encoding.cli.command import BadArguments
from encoding.cli.spec_options import spec_from
from encoding.datasets import DATASETS
from encoding.experiments import Experiment, run_experiment
from encoding.features import extraction
from encoding.fits.plan import plan
from encoding.fits.resources import preflight
from encoding.prediction.predict import predict
from encoding.prediction.predictor import InMemory, Predictor
from encoding.readouts import BadOption
from encoding.runs.exchange import import_, packed
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY, OtherTinySource, TinyBackbone, TinyStimuli

BOTH = replace(TINY, backbone="tinynet + othernet", layers=("tinynet pixels", "othernet colour"), n_components=3)
ONE = replace(BOTH, backbone="tinynet", layers=("pixels", "colour"))  # the other network gives the same numbers
READ = [name for name in ("ridge", "banded_ridge", "knn", "rse", "ols") if name in READOUTS]


@pytest.fixture(autouse=True)
def networks(tiny, monkeypatch):
    monkeypatch.setitem(BACKBONES.sources._members, "othernet", OtherTinySource())


@pytest.fixture
def passes(monkeypatch):
    """Layers of each pass of the data set's stimuli through a network."""
    seen, stream = [], extraction._stream
    monkeypatch.setattr(extraction, "_stream", lambda stimuli, *rest: seen.append(len(stimuli)) or stream(stimuli, *rest))
    return seen


def assert_equal_scores(one, other):
    for hemi in one.plan.hemis:
        np.testing.assert_array_equal(one.score(hemi), other.score(hemi))


@pytest.mark.parametrize("readout", READ)
@pytest.mark.parametrize("split", [TINY.split, "kfold:3:0"])
def test_layers_of_two_networks_are_as_good_as_those_of_one(store, tmp_path, readout, split):
    options = {"n_candidates": 4} if readout == "banded_ridge" else {}
    both, one = (
        fit(replace(spec, readout=readout, options=options, split=split), where)
        for spec, where in ((BOTH, store), (ONE, Store(tmp_path / "one")))
    )
    assert_equal_scores(both, one)
    assert both.key != one.key


def test_each_band_of_banded_ridge_is_named_after_its_network(store):
    result = fit(replace(BOTH, readout="banded_ridge"), store)
    shares = result.layer_shares("lh")
    assert list(shares) == ["tinynet pixels", "othernet colour"]
    np.testing.assert_allclose(sum(shares.values()), result.score("lh", "r2"), atol=1e-6)


@pytest.fixture
def unlike(monkeypatch):
    """The other network sees squared intensities, so that the two networks' features differ."""
    squared = type("Squared", (OtherTinySource,), {"open": lambda self, *given: _Squared()})
    monkeypatch.setitem(BACKBONES.sources._members, "othernet", squared())


class _Squared(TinyBackbone):
    fingerprint = "other-backbone"

    def prepare(self, image):
        return super().prepare(image) ** 2


ALPHAS = (1e-2, 1.0, 100.0)
WHOLE = replace(
    BOTH, layer_scaling="none", layers=("tinynet pixels", "othernet pixels"), n_components=0
)  # 48 features each; 90 training images


def features_by_hand():
    """(120, 48) of either network."""
    pixels = DATASETS["tiny"].subject.stimuli.pixels.transpose(0, 3, 1, 2).reshape(120, -1) / 255
    return pixels, pixels**2


def test_two_networks_as_bands_are_himalayas_groups(store, unlike):
    from himalaya.ridge import GroupRidgeCV
    from sklearn.model_selection import PredefinedSplit

    options = {"alphas": ALPHAS, "n_candidates": 6, "equalize": False}
    result = fit(replace(WHOLE, readout="banded_ridge", options=options), store)
    plan, fold = result.plan, result.plan.folds[0]
    Y = plan.subject.responses["lh"]
    search = {"n_iter": 6, "alphas": np.array(ALPHAS), "progress_bar": False, "warn": False}
    cv = PredefinedSplit(plan.inner(fold, plan.readout.n_folds(plan.options)))
    theirs = GroupRidgeCV("input", solver_params=search, random_state=0, cv=cv, fit_intercept=True)
    theirs.fit([X[fold.train] for X in features_by_hand()], Y[fold.train])
    predicted = theirs.predict([X[fold.test] for X in features_by_hand()])
    np.testing.assert_allclose(result.predicted("lh", np.arange(10)), predicted, atol=1e-3)
    assert len(np.unique(theirs.deltas_, axis=1).T) > 1  # vertices weigh the networks differently


def test_two_networks_side_by_side_are_ridge_on_the_joined_features(store, unlike):
    from sklearn.linear_model import Ridge

    result = fit(replace(WHOLE, readout="ridge", options={"alphas": (3.0,)}), store)
    fold, Y, X = result.plan.folds[0], result.plan.subject.responses["rh"], np.hstack(features_by_hand())
    predicted = Ridge(3.0).fit(X[fold.train], Y[fold.train]).predict(X[fold.test])
    np.testing.assert_allclose(result.predicted("rh", np.arange(10)), predicted, atol=1e-3)
    one = fit(replace(WHOLE, backbone="tinynet", layers=("pixels",), readout="ridge", options={"alphas": (3.0,)}), store)
    assert np.abs(one.predicted("rh", np.arange(10)) - predicted).max() > 0.01  # the second network counts


def test_features_are_those_of_fits_of_one_network(store, passes):
    for backbone, layer in (("tinynet", "pixels"), ("othernet", "colour")):
        fit(replace(TINY, backbone=backbone, layers=(layer,), n_components=3), store)
    assert len(passes) == 2
    fit(BOTH, store)
    assert len(passes) == 2


def test_an_experiment_passes_each_network_once(store, passes, tmp_path):
    vary = {
        "backbone": [
            {"name": BOTH.backbone, "layers": [list(BOTH.layers)]},
            {"name": "othernet", "layers": ["colour", "pixels"]},
        ],
        "readout": ["ridge", "banded_ridge"],
    }
    result = run_experiment(Experiment(base=replace(TINY, n_components=3), vary=vary), store, device="cpu")
    assert result.status.count("done") == 6 and len(passes) == 2
    by_readout = {each.plan.spec.readout: each for each in result.results if JOIN in each.plan.spec.backbone}
    assert set(by_readout) == {"ridge", "banded_ridge"}
    for readout, found in by_readout.items():
        assert_equal_scores(found, fit(replace(BOTH, readout=readout), Store(tmp_path / readout)))


@pytest.mark.parametrize("readout", ["ridge", "banded_ridge"])
def test_new_stimuli_are_predicted_here_and_where_the_fit_is_sent(store, tmp_path, monkeypatch, readout):
    new = TinyStimuli(np.random.default_rng(9).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8))
    result = fit(replace(BOTH, readout=readout, weights="random:3"), store)
    one = predict(fit(replace(ONE, readout=readout), store), new, device="cpu")
    there = import_(io.BytesIO(packed(result)), Store(tmp_path / "there"))
    monkeypatch.delitem(DATASETS._members, "tiny")
    for each in (result, there):
        np.testing.assert_array_equal(predict(each, new, device="cpu")["lh"], one["lh"])
        in_memory = Predictor.of(each, device="cpu")(InMemory([[image] for image in new]))
        np.testing.assert_allclose(in_memory["lh"], one["lh"], rtol=1e-5, atol=1e-5)


def test_large_layers_are_reduced_network_by_network_where_layers_are_apart(store, tmp_path):
    small = {"feature_budget": 0.0, "readout": "banded_ridge"}
    both = fit(replace(BOTH, **small), store)
    assert both.plan.reduced_layers == BOTH.layers and not [key for key in store.keys() if key.startswith("features-")]  # noqa: SIM118
    assert_equal_scores(both, fit(replace(ONE, **small), Store(tmp_path / "one")))
    with pytest.raises(ValueError, match=r"several networks cannot share one PCA.*banded_ridge"):
        plan(replace(BOTH, feature_budget=0.0), store)


def test_what_it_takes_counts_both_networks(store):
    one = [
        preflight(plan(replace(TINY, backbone=b, layers=(x,), n_components=3), store), store)
        for b, x in (("tinynet", "pixels"), ("othernet", "colour"))
    ]
    both = preflight(plan(BOTH, store), store)
    assert both.feature_bytes == sum(each.feature_bytes for each in one) > 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"layers": ("pixels",)}, UnknownLayer, "'pixels' names no network: write 'tinynet' or another"),
        ({"layers": ("tinynet pixels",)}, UnknownLayer, "No layer of othernet is among tinynet pixels"),
        ({"layers": ("tinynet pixels", "othernet color")}, UnknownLayer, "layer of othernet 'color'.*Did you mean 'colour'"),
        ({"backbone": "tinynet + othernot"}, UnknownName, "'othernot'.*Did you mean 'othernet'"),
        ({"backbone": "tinynet + tinynet"}, UnknownName, "names a network twice"),
        ({"weights": "pretrained + random:0 + random:1"}, ValueError, "2 networks, but 3 weights"),
        ({"readout": "finetune"}, BadOption, "one at a time, not tinynet"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(store, changes, error, message):
    with pytest.raises(error, match=message):
        plan(replace(BOTH, **changes), store)


def test_the_command_gives_the_spec_back(store, monkeypatch):
    monkeypatch.setattr(BACKBONES["othernet"], "needs_weights", True)

    def parsed(*words):
        return spec_from(parser().parse_args(["fit", *words]))

    given = replace(BOTH, layers=(*BOTH.layers, "tinynet colour"), weights="pretrained + random:1")
    assert given.layers == ("tinynet pixels", "tinynet colour", "othernet colour")  # network by network
    assert parsed(*given.command_options()) == given
    assert parsed("--layer", "pixels", "--backbone", "tinynet", "--layer", "colour").layers == ("pixels", "colour")  # of one, in any order
    for words, message in (
        (
            ["--layer", "x", "--backbone", "tinynet", "--backbone", "othernet", "--layer", "colour"],
            "--layer x stands before every --backbone",
        ),
        (["--backbone", "tinynet", "--backbone", "othernet", "--layer", "colour"], "tinynet needs --layer"),
        (["--backbone", "tinynet", "--layer", "pixels"] * 2, "--backbone tinynet is given twice"),
    ):
        with pytest.raises(BadArguments, match=message):
            parsed(*words)


def test_each_network_gets_its_own_weights(store, monkeypatch):
    opened, open_network = [], OtherTinySource.open
    monkeypatch.setattr(OtherTinySource, "open", lambda self, *given: opened.append(given) or open_network(self, *given))
    fit(replace(BOTH, weights="pretrained + random:7"), store)
    assert ("othernet", "random:7") in opened and ("othernet", "pretrained") not in opened
