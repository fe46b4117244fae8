"""Sparse random projection is scikit-learn's, stored or in the pass, alone, in an experiment and for new stimuli; features as they are."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.random_projection import SparseRandomProjection

from encoding import FitSpec, Store, fit
from encoding.analysis.learning_curve import learning_curve
from encoding.cli import parser
from encoding.cli.spec_options import spec_from
from encoding.experiments import Experiment, run_experiment
from encoding.features import extraction
from encoding.features.random_projection import multiply, random_matrix, seed_of
from encoding.fits.plan import plan
from encoding.fits.resources import preflight
from encoding.prediction.predict import predict
from encoding.prediction.predictor import Predictor
from encoding.runs.exchange import export, import_
from encoding.runs.exchange_models import check_models
from tests.conftest import TINY, TinyBackbone, TinyStimuli

SPEC = replace(TINY, reduction="sparse_random", n_components=6, readout="ols")
IN_PASS = replace(SPEC, feature_budget=0.0)
BOTH = ("pixels", "colour")


def features_of(tiny):
    pixels = tiny.subject.stimuli.pixels.astype(np.float64) / 255
    return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)


def theirs(n_components=6, layer="pixels"):
    return SparseRandomProjection(n_components, random_state=seed_of(f"tinynet {layer}"))


@pytest.fixture
def passes(monkeypatch):
    """Number of stimuli of every batch through the network, without the two grey images that tell the sizes."""
    seen, activations = [], TinyBackbone.activations

    def counted(self, batch, layers, pool="none"):
        seen.extend([len(batch)] * (len(batch) != 2))
        return activations(self, batch, layers, pool)

    monkeypatch.setattr(TinyBackbone, "activations", counted)
    return seen


@pytest.mark.parametrize(("n_features", "k"), [(1, 3), (300, 20), (5000, 7)])
def test_a_projection_is_scikit_learns(n_features, k):
    X = np.random.default_rng(0).normal(3, 2, (9, n_features)).astype(np.float32)
    expected = SparseRandomProjection(k, random_state=seed_of("net layer")).fit_transform(X)
    ours = random_matrix("net layer", n_features, k)
    np.testing.assert_allclose(multiply(X, ours), expected, atol=1e-5 * max(1, np.abs(expected).max()))
    np.testing.assert_array_equal(multiply(X[3:5], ours), multiply(X, ours)[3:5])  # whatever the shard


def test_a_large_layers_matrix_is_sparse_and_another_layers_another():
    made = random_matrix("net large", 800_000, 100)
    assert made.nnz == pytest.approx(100 * 800_000**0.5, rel=0.02) and np.unique(np.abs(made.data)).size == 1
    assert abs(made - random_matrix("net other", 800_000, 100)).nnz > made.nnz
    random_matrix.cache_clear()
    assert abs(made - random_matrix("net large", 800_000, 100)).nnz == 0


@pytest.mark.parametrize("spec", [SPEC, IN_PASS], ids=["stored", "in the pass"])
def test_a_fit_is_scikit_learns_pipeline_here_elsewhere_and_for_new_images(tiny, store, tmp_path, passes, spec):
    result = fit(spec, store, device="cpu")
    assert sum(passes) == 120  # nothing is fitted, so no second pass
    (fold,), X, Y = result.plan.folds, features_of(tiny), tiny.subject.responses["lh"]
    np.testing.assert_allclose(result.components(), theirs().fit_transform(X), atol=1e-5)
    expected = make_pipeline(theirs(), LinearRegression()).fit(X[fold.train], Y[fold.train]).predict(X[fold.test])
    np.testing.assert_allclose(result.predicted("lh", np.arange(10)), expected, atol=1e-3 * Y.std())
    there = import_(export(result, tmp_path / "fit.zip"), Store(tmp_path / "elsewhere"))
    again = TinyStimuli(tiny.subject.stimuli.pixels[fold.test])
    for predicted in (predict(result, again), predict(there, again), Predictor.of(there, device="cpu")(again)):
        np.testing.assert_allclose(predicted["lh"], expected, atol=1e-3 * Y.std())
    assert ("features" in {key.partition("-")[0] for key in store.keys()}) == (spec is SPEC)  # noqa: SIM118
    assert result.kept_variance() == [] and np.isfinite(learning_curve(spec, store, device="cpu")["lh_test"]).all()


def test_a_scaled_projection_is_a_pipeline_of_standard_scalers(tiny, store):
    spec = replace(SPEC, layer_scaling="zscore", component_scaling="zscore")
    result = fit(spec, store, device="cpu")
    (fold,), X = result.plan.folds, features_of(tiny)
    expected = make_pipeline(StandardScaler(), theirs(), StandardScaler()).fit(X[fold.train]).transform(X)
    ratio = (len(fold.train) - 1) / len(fold.train)  # a deviation's denominator
    np.testing.assert_allclose(result.components(), expected * ratio**0.5, atol=1e-4)
    again = TinyStimuli(tiny.subject.stimuli.pixels[fold.test])
    np.testing.assert_allclose(predict(result, again)["lh"], result.predicted("lh", np.arange(10)), atol=1e-4)


@pytest.mark.parametrize("readout", ["ols", "banded_ridge", "mlp"])
def test_several_layers_are_projected_apart_stored_and_in_the_pass_alike(tiny, store, readout):
    options = {"mlp": {"n_epochs": 2}, "banded_ridge": {"n_candidates": 3}}.get(readout, {})
    found = [fit(replace(spec, layers=BOTH, readout=readout, options=options), store, device="cpu") for spec in (SPEC, IN_PASS)]
    assert found[0].key != found[1].key
    Z = found[0].components()
    np.testing.assert_allclose(found[1].components(), Z, atol=1e-5)
    if readout == "banded_ridge":
        np.testing.assert_allclose(Z[:, :6], theirs().fit_transform(features_of(tiny)), atol=1e-5)
    else:  # the same total variance of each
        train, colour = found[0].plan.folds[0].train, tiny.subject.stimuli.pixels.mean((1, 2)) / 255
        parts = [theirs().fit_transform(features_of(tiny)), theirs(layer="colour").fit_transform(colour)]
        spread = [part[train].var(0, ddof=1).sum() for part in parts]
        expected = sum(part * (np.mean(spread) / each) ** 0.5 for part, each in zip(parts, spread, strict=True))
        np.testing.assert_allclose(Z, expected, atol=1e-4)


def test_shards_of_an_experiment_make_the_same_numbers(tiny, store, tmp_path, monkeypatch, passes):
    alone = fit(IN_PASS, Store(tmp_path / "alone"), device="cpu")
    del passes[:]
    monkeypatch.setattr(extraction, "SHARD_IMAGES", 50)
    grid = Experiment(base=replace(IN_PASS, hemi="lh"), vary={"reduction": ["pca", "sparse_random"], "layers": [["pixels"], list(BOTH)]})
    found = run_experiment(grid, store, device="cpu")
    assert found.status.count("done") == 4
    (same,) = [each for each in found.results if each.plan.spec.reduction == "sparse_random" and each.plan.spec.layers == ("pixels",)]
    np.testing.assert_array_equal(same.components(), alone.components())
    np.testing.assert_allclose(same.score("lh"), alone.score("lh"), atol=1e-6)


def test_features_as_they_are(tiny, store):
    result = fit(replace(TINY, reduction="none", readout="linear_sgd", options={"n_epochs": 1}), store, device="cpu")
    X = features_of(tiny).astype(np.float32)
    np.testing.assert_array_equal(result.components(), X)
    fold = result.plan.folds[0]
    again = TinyStimuli(tiny.subject.stimuli.pixels[fold.test])
    np.testing.assert_allclose(predict(result, again)["lh"], result.predicted("lh", np.arange(10)), atol=1e-5)
    both = replace(result.plan.spec, layers=BOTH, layer_scaling="none")
    colour = tiny.subject.stimuli.pixels.mean((1, 2)) / 255
    np.testing.assert_allclose(fit(both, store, device="cpu").components(), np.hstack([X, colour]), atol=1e-6)
    few = replace(TINY, layers=("colour",), readout="ridge")  # every component of PCA is a rotation of the features
    r = [fit(replace(few, reduction=name), store, device="cpu").score("lh") for name in ("none", "pca")]
    np.testing.assert_allclose(*r, atol=1e-4)


def test_other_subjects_are_projected_by_the_same_matrix(tiny, store, monkeypatch):
    first = tiny.subject
    second = replace(first, name="subj02", stimuli=TinyStimuli(255 - first.stimuli.pixels), fingerprints={"lh": "lh-2", "rh": "rh-2"})
    people = {"subj01": first, "subj02": second}
    monkeypatch.setattr(tiny, "subjects", lambda: tuple(people), raising=False)
    monkeypatch.setattr(tiny, "open", lambda subject, store, report=None: people[subject])
    more = {"readout": "mlp", "options": {"n_epochs": 2, "hidden_1": 4, "hidden_2": 4}, "extra_subjects": ("subj02",)}
    r = [fit(replace(spec, component_scaling="zscore", **more), store, device="cpu").score("lh") for spec in (SPEC, IN_PASS)]
    np.testing.assert_allclose(*r, atol=1e-3)


def test_the_spec_is_read_back_and_its_estimate_is_that_of_sparse_axes(tiny, store):
    assert "reduction" not in TINY.for_digest()
    for spec in (SPEC, replace(TINY, reduction="none")):
        assert spec_from(parser().parse_args(spec.to_command().split()[3:])) == spec and FitSpec.from_dict(spec.to_dict()) == spec
    assert SPEC.components_label == "sparse random projection 6" and TINY.components_label == "all features"
    ours, pca = (preflight(plan(replace(IN_PASS, reduction=name), store), store, "cpu") for name in ("sparse_random", "pca"))
    assert ours.network_seconds < pca.network_seconds and ours.disk < pca.disk


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"reduction": "ica"}, "reduction must be pca, sparse_random or none"), ({"n_components": 0}, "needs a number of components")],
)
def test_what_cannot_be_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(SPEC, **changed)


@pytest.mark.parametrize("wrong", [{"indices": 1}, {"indptr": -1}, {"data": np.nan}])
def test_sparse_axes_that_point_outside_are_not_imported(tiny, store, wrong):
    from encoding.runs.exchange_models import model_arrays

    models = model_arrays(fit(replace(SPEC, hemi="lh"), store, device="cpu"))
    counts = {"n_folds": 1, "n_spaces": 1, "n_frames": 1, "sparse": True}
    assert check_models(models, {"lh": 10}, **counts) == ""
    ((name, value),) = wrong.items()
    spoilt = models[f"f0_c0_axes_{name}"].copy()
    spoilt[-1] = value * 1000
    assert check_models(models | {f"f0_c0_axes_{name}": spoilt}, {"lh": 10}, **counts) == "components of another shape"


def test_scores_of_features_far_from_zero_are_those_of_their_predictions(tiny, store, monkeypatch):
    """Such as years: an intercept is then many times the response, and sums about it lose their digits."""
    activations = TinyBackbone.activations

    def far(self, *args, **more):
        return {layer: block + 100 for layer, block in activations(self, *args, **more).items()}

    monkeypatch.setattr(TinyBackbone, "activations", far)
    result = fit(replace(TINY, reduction="none", layers=("colour",), hemi="lh"), store, device="cpu")
    predicted, measured = (of("lh", np.arange(10)).astype(float) for of in (result.predicted, result.measured))
    expected = [np.corrcoef(p, m)[0, 1] for p, m in zip(predicted.T, measured.T, strict=True)]
    varies = predicted.std(0) > 1e-3 * measured.std(0)  # the others are shrunk to nothing but rounding
    assert varies.sum() >= 7
    np.testing.assert_allclose(result.score("lh")[varies], np.array(expected)[varies], atol=2e-3)
    np.testing.assert_allclose(result.score("lh", "rmse"), np.sqrt(((predicted - measured) ** 2).mean(0)), rtol=1e-3)
