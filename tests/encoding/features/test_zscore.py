"""Features z-scored before PCA and components after it, against scikit-learn; in the key, and refused where not offered."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from encoding import FitSpec, fit
from encoding.cli import parser
from encoding.cli.spec_options import spec_from
from encoding.features import pca
from encoding.features.components import project, unit_variance
from encoding.features.pca import fit_components
from encoding.features.random_projection import fit_linear
from encoding.fits.plan import plan
from tests.conftest import TINY

TRAIN = np.arange(0, 60)


@pytest.fixture(scope="module", params=["narrow", "wide"])
def layers(request):
    """Two layers of 80 rows, of unlike sizes and far from 0, the first with a constant feature."""
    rng, n = np.random.default_rng(0), {"narrow": 12, "wide": 150}[request.param]
    X = rng.normal(size=(80, n)) @ rng.normal(size=(n, n)) * np.geomspace(1e-2, 1e2, n) + 30
    X[:, 3] = 5.0
    return [X[:, :5].astype(np.float32), X[:, 5:].astype(np.float32)]


def test_z_scored_features_have_scikit_learns_components(layers):
    X = np.concatenate(layers, axis=1).astype(np.float64)
    scaler = StandardScaler().fit(X[TRAIN])
    Z = np.where(X[TRAIN].std(0) > 0, scaler.transform(X), 0)
    pca = PCA(4, svd_solver="full").fit(Z[TRAIN])
    ours = fit_components(layers, TRAIN, 4, scaling="zscore")
    np.testing.assert_allclose(np.abs(ours.scores), np.abs(pca.transform(Z)), atol=1e-3 * np.abs(ours.scores).max())
    np.testing.assert_allclose(ours.variance, pca.explained_variance_, rtol=1e-3)
    assert ours.explained == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-3)
    np.testing.assert_allclose(project(layers, ours.mean, ours.axes), ours.scores, atol=1e-3 * np.abs(ours.scores).max())


def test_z_scored_features_do_not_depend_on_their_units(layers):
    ours = fit_components(layers, TRAIN, 4, scaling="zscore")
    other = fit_components([layers[0] * np.float32(1000), layers[1]], TRAIN, 4, scaling="zscore")
    np.testing.assert_allclose(np.abs(other.scores), np.abs(ours.scores), atol=1e-3 * np.abs(ours.scores).max())


def test_iterated_components_are_those_of_the_exact_way(layers, monkeypatch):
    if sum(layer.shape[1] for layer in layers) < 100:
        pytest.skip("so few features are never iterated over")
    exact = fit_components(layers, TRAIN, 2, scaling="zscore")
    monkeypatch.setattr(pca, "EXACT_BELOW", 1)
    monkeypatch.setattr(pca, "TOLERANCE", 0)
    iterated = fit_components(layers, TRAIN, 2, scaling="zscore")
    np.testing.assert_allclose(iterated.scores, exact.scores, atol=2e-2 * np.abs(exact.scores).max())


def test_components_of_unit_variance_project_as_they_are_stored(layers):
    plain = fit_components(layers, TRAIN, 4)
    ours = unit_variance(plain)
    np.testing.assert_allclose(ours.scores[TRAIN].std(0, ddof=1), 1, rtol=1e-4)
    np.testing.assert_allclose(project(layers, ours.mean, ours.axes), ours.scores, atol=1e-3)
    assert ours.explained == plain.explained


def test_a_fit_with_both_predicts_from_its_stored_projection(tiny, store):
    spec = replace(TINY, layer_scaling="zscore", component_scaling="zscore", n_components=3)
    result = fit(spec, store, device="cpu")
    train = result.plan.folds[0].train
    np.testing.assert_allclose(result.components()[train].std(0, ddof=1), 1, rtol=1e-3)
    keys = {plan(replace(spec, **more), store).key for more in ({}, {"layer_scaling": "none"}, {"component_scaling": "none"})}
    assert len(keys) == 3 and len(result.kept_variance()) == 1
    assert spec_from(parser().parse_args(spec.to_command().split()[3:])) == spec and FitSpec.from_dict(spec.to_dict()) == spec
    assert "component_scaling" not in TINY.for_digest()


def test_features_of_layers_that_are_reduced_in_the_pass_are_not_z_scored(tiny, store):
    with pytest.raises(ValueError, match=r"features are not z-scored: .* Pool the layer, or give a larger feature budget"):
        plan(replace(TINY, n_components=3, feature_budget=0.0, layer_scaling="zscore"), store)


@pytest.mark.parametrize("layers", [("pixels",), ("pixels", "colour")])
def test_components_of_layers_that_are_reduced_in_the_pass_have_unit_variance(tiny, store, layers):
    spec = replace(TINY, layers=layers, n_components=5, feature_budget=0.0, readout="ols", component_scaling="zscore")
    ours, plain = fit(spec, store), fit(replace(spec, component_scaling="none"), store)
    assert ours.plan.reduced_layers == layers and ours.plan.components_key(ours.plan.folds[0]) != plain.plan.components_key(
        plain.plan.folds[0]
    )
    train, Z = ours.plan.folds[0].train, ours.components()
    np.testing.assert_allclose(Z[train].std(0, ddof=1), 1, rtol=1e-3)
    scale = plain.components()[train].std(0, ddof=1)
    np.testing.assert_allclose(Z * scale, plain.components(), atol=2e-3 * np.abs(plain.components()).max())  # test rows too
    np.testing.assert_allclose(ours.score("lh")[:5], plain.score("lh")[:5], atol=1e-3)  # least squares does not see units
    np.testing.assert_allclose(ours.kept_variance()[0]["explained"], plain.kept_variance()[0]["explained"], rtol=1e-6)


def test_an_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match="component_scaling must be none or zscore, not 'unit'"):
        FitSpec(component_scaling="unit")


def test_a_column_that_does_not_vary_becomes_0():
    X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    X[:, 1], X[:, 2] = 0.1, 0
    made = fit_linear([X], [sparse.eye_array(4, format="csr", dtype=np.float32)], np.arange(20))
    ours = unit_variance(made)
    np.testing.assert_allclose(ours.scores[:20].std(0, ddof=1), [1, 0, 0, 1], rtol=1e-5)
    assert not ours.scores[:, 1:3].any()
    np.testing.assert_allclose(project([X], ours.mean, ours.axes), ours.scores, rtol=1e-5)
