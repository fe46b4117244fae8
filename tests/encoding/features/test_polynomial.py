"""Polynomial features of degree 2 of components: scikit-learn's pipeline, prediction of new images, export, refusals and estimates."""

import io
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from encoding import FitSpec, Store, fit
from encoding.cli import parser
from encoding.cli.spec_options import spec_from
from encoding.datasets import Chosen
from encoding.features import extraction
from encoding.features.components import n_polynomial, polynomial_features
from encoding.fits.plan import plan
from encoding.fits.resources import preflight
from encoding.prediction.predictor import Predictor
from encoding.readouts import BadOption
from encoding.runs.exchange import import_, packed
from tests.conftest import TINY

SPEC = replace(TINY, n_components=4, degree=2, readout="ols")


@pytest.mark.parametrize("k", [1, 2, 7])
def test_products_are_scikit_learns(k):
    Z = np.random.default_rng(k).normal(size=(5, k)).astype(np.float32)
    ours = polynomial_features(Z, 2)
    np.testing.assert_array_equal(ours, PolynomialFeatures(2, include_bias=False).fit_transform(Z))
    assert ours.shape[1] == n_polynomial(k, 2) and polynomial_features(Z, 1) is Z


def test_a_fit_is_scikit_learns_pipeline_and_predicts_stored_and_new_images_here_and_elsewhere(tiny, store, tmp_path):
    result = fit(SPEC, store, device="cpu")
    (fold,), subject = result.plan.folds, result.plan.subject
    X = np.asarray(extraction.load(result.plan.feature_keys["pixels"], store), np.float64).reshape(subject.n_stimuli, -1)
    Y = subject.responses["lh"]
    reference = make_pipeline(PCA(4, svd_solver="full"), PolynomialFeatures(2, include_bias=False), LinearRegression())
    expected = reference.fit(X[fold.train], Y[fold.train]).predict(X[fold.test])
    columns = np.arange(Y.shape[1])
    np.testing.assert_allclose(result.predicted("lh", columns), expected, atol=2e-3 * Y.std())
    there = import_(io.BytesIO(packed(result)), Store(tmp_path / "elsewhere"))
    for each in (result, there):
        new = Predictor.of(each, device="cpu")(Chosen(result.plan.stimuli, fold.test))
        np.testing.assert_allclose(new["lh"], expected, atol=2e-3 * Y.std())


def test_the_key_changes_with_the_degree_alone_and_the_spec_is_read_back(tiny, store):
    assert "degree" not in TINY.for_digest()
    for readout in ("ridge", "mlp"):  # from moments, and from rows
        one, two = (plan(replace(SPEC, readout=readout, degree=degree), store) for degree in (1, 2))
        assert one.key != two.key and one.components_key(one.folds[0]) == two.components_key(two.folds[0])
    assert spec_from(parser().parse_args(SPEC.to_command().split()[3:])) == SPEC and FitSpec.from_dict(SPEC.to_dict()) == SPEC


def test_the_estimate_counts_the_products(tiny, store):
    one, two = (preflight(plan(replace(SPEC, n_components=20, degree=degree), store), store, "cpu") for degree in (1, 2))
    assert two.ram > one.ram and two.disk > one.disk


@pytest.mark.parametrize("more", [{"readout": "banded_ridge", "layers": ("pixels", "colour")}, {"over_frames": "sequence"}])
def test_products_are_refused_where_components_are_not_one_set(tiny, store, more):
    with pytest.raises(BadOption, match="leave --degree at 1"):
        plan(replace(SPEC, **more), store)


@pytest.mark.parametrize("degree", [0, 3, True, 1.5])
def test_other_degrees_are_refused(degree):
    with pytest.raises(ValueError, match=r"degree must be (1|a whole number)"):
        FitSpec(degree=degree)
