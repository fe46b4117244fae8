"""RSA, CKA and cross-validated PCA: against rsatoolbox, published formulas written out, invariances, and data of known signal."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from encoding.evaluation.representations import (
    InnerProducts,
    linear_cka,
    power_law,
    rank_correlation,
    rsa_ceiling,
    shared_spectrum,
)


def inner(X: np.ndarray) -> InnerProducts:
    return InnerProducts.of([X[:, :3], X[:, 3:]])


@pytest.fixture
def planted():
    """Features (12, 9) and four subjects' responses (4, 12, 8) to the same stimuli."""
    rng = np.random.default_rng(7)
    signal = rng.normal(size=(12, 6))
    X = (signal @ rng.normal(size=(6, 9)) + 0.5 * rng.normal(size=(12, 9))).round(2)
    return X, np.stack([(signal @ rng.normal(size=(6, 8)) + 0.8 * rng.normal(size=(12, 8))).round(2) for _ in range(4)])


def test_rsa_and_its_ceiling_are_those_of_rsatoolbox(planted):
    """Numbers that rsatoolbox 0.3.2 gives of these arrays: calc_rdm "correlation", compare, boot_noise_ceiling."""
    model, brains = inner(planted[0]).distances(), np.stack([inner(Y).distances() for Y in planted[1]])
    spearman = [0.45980586577601507, 0.45341822356747735, 0.4856486796785305, 0.5381275440976934]
    tau = [0.32867132867132864, 0.30815850815850815, 0.3473193473193473, 0.3724941724941725]
    np.testing.assert_allclose([rank_correlation(model, brain) for brain in brains], spearman, rtol=1e-12)
    np.testing.assert_allclose([rank_correlation(model, brain, "tau-a") for brain in brains], tau, rtol=1e-12)
    np.testing.assert_allclose(rsa_ceiling(brains), [0.5819390823030788, 0.7775562622238117], rtol=1e-12)
    np.testing.assert_allclose(rsa_ceiling(brains, "tau-a"), [0.4153846153846154, 0.5890442890442891], rtol=1e-12)


def test_distances_and_rank_correlations_are_those_of_their_definitions(planted):
    X, (Y, *_) = planted
    np.testing.assert_allclose(inner(X).distances(), pdist(X, "correlation"), atol=1e-12)
    some = np.array([1, 4, 5, 11])
    np.testing.assert_allclose(inner(X).some(some).distances(), pdist(X[some], "correlation"), atol=1e-12)
    one, other = np.round(pdist(X, "correlation"), 1), np.round(pdist(Y, "correlation"), 1)  # with ties
    signs = [np.sign(np.subtract.outer(each, each)) for each in (one, other)]
    assert rank_correlation(one, other, "tau-a") == pytest.approx((signs[0] * signs[1]).sum() / (len(one) * (len(one) - 1)))
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    flat = X.copy()
    flat[2] = 5.0
    assert np.isnan(inner(flat).distances()).sum() == 11 and np.isnan(rank_correlation(inner(flat).distances(), other))
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5.0)))


@pytest.mark.parametrize("means", ["one", "of columns"])
@pytest.mark.parametrize("spread", [0.02, 0.002])
def test_features_far_from_0_lose_no_digits_in_float32(means, spread):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(30, 2_000)) * spread + (10 if means == "one" else rng.uniform(5, 15, 2_000))).astype(np.float32)
    blocks = InnerProducts.of([X[:, :700], X[:, 700:]])
    exact = pdist(X.astype(np.float64), "correlation")
    np.testing.assert_allclose(blocks.distances(), exact, rtol=1e-4)
    some = np.array([2, 3, 11, 29])
    np.testing.assert_allclose(blocks.some(some).distances(), pdist(X[some].astype(np.float64), "correlation"), rtol=1e-4)
    Y = X[:, :40].astype(np.float64) + spread * rng.normal(size=(30, 40))
    x, y = X - X.mean(0, dtype=np.float64), Y - Y.mean(0)
    expected = np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    assert linear_cka(blocks, InnerProducts.of([Y])) == pytest.approx(expected, rel=1e-4)
    K, L = u_centred(x @ x.T), u_centred(y @ y.T)
    expected = (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum())
    assert linear_cka(blocks, InnerProducts.of([Y]), debiased=True) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_that_do_not_vary_have_no_cka_and_a_flat_row_no_distance(dtype):
    X = np.random.default_rng(0).normal(size=(12, 40)).astype(dtype)
    flat = InnerProducts.of([np.full((12, 40), 0.1, dtype)])
    assert np.isnan(linear_cka(flat, InnerProducts.of([X]))) and np.isnan(linear_cka(flat, flat, debiased=True))
    assert np.isnan(flat.distances()).all()
    X[3] = 0.1
    assert np.isnan(InnerProducts.of([X, X + dtype(0)]).distances()).sum() == 11


def u_centred(K: np.ndarray) -> np.ndarray:
    """Székely & Rizzo (2014), whose inner products are the unbiased HSIC."""
    n, K = len(K), K - np.diag(np.diag(K))
    K = K - K.sum(0) / (n - 2) - K.sum(1)[:, None] / (n - 2) + K.sum() / ((n - 1) * (n - 2))
    return K - np.diag(np.diag(K))


def test_cka_is_that_of_its_definitions(planted):
    X, (Y, *_) = planted
    x, y = X - X.mean(0), Y - Y.mean(0)
    expected = np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    assert linear_cka(inner(X), inner(Y)) == pytest.approx(expected)
    K, L = u_centred(X @ X.T), u_centred(Y @ Y.T)
    expected = (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum())
    assert linear_cka(inner(X), inner(Y), debiased=True) == pytest.approx(expected)


@pytest.mark.parametrize("debiased", [False, True])
def test_cka_ignores_rotation_scale_and_means_but_not_what_is_unrelated(planted, debiased):
    X, (Y, *_) = planted
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 9)))[0]
    for other in (3.5 * X, X + 4.0, X @ rotation):
        assert linear_cka(inner(other), inner(X), debiased=debiased) == pytest.approx(1)
        assert linear_cka(inner(other), inner(Y), debiased=debiased) == pytest.approx(linear_cka(inner(X), inner(Y), debiased=debiased))
    assert np.isnan(linear_cka(inner(np.ones((12, 9))), inner(Y), debiased=debiased))
    assert np.isnan(linear_cka(inner(X[:3]), inner(Y[:3]), debiased=debiased))


def test_only_debiased_cka_is_0_on_average_of_unrelated_noise():
    rng = np.random.default_rng(0)
    pairs = [[InnerProducts.of([rng.normal(size=(20, p))]) for p in (60, 80)] for _ in range(200)]
    assert np.mean([linear_cka(*pair) for pair in pairs]) > 0.7
    assert abs(np.mean([linear_cka(*pair, debiased=True) for pair in pairs])) < 0.02


def stringers(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Shared variance along the components of the first presentation, as the paper's published code computes it from an SVD."""
    first, second = first - first.mean(0), second - second.mean(0)
    axes = np.linalg.svd(first, full_matrices=False)[2][: len(first) - 1].T
    return ((first @ axes) * (second @ axes)).sum(0) / len(first)


def test_the_shared_spectrum_is_the_published_one_and_leaves_noise_out():
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(60, 150)) * np.arange(1, 151) ** -0.75
    X = [signal + 0.3 * rng.normal(size=(60, 150)) for _ in range(2)]
    found = shared_spectrum(InnerProducts.of([np.concatenate(X)]).products, n_draws=3, seed=4)
    draws, expected = np.random.default_rng(4), []
    for _ in range(3):
        flip = (draws.random(60) < 0.5)[:, None]
        expected.append(stringers(np.where(flip, X[1], X[0]), np.where(flip, X[0], X[1])))
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-10)
    variance = (signal - signal.mean(0)).var(0).sum()
    assert found.sum() == pytest.approx(variance, rel=0.1) and (X[0] - X[0].mean(0)).var(0).sum() > 3 * variance
    noise = rng.normal(size=(120, 150))
    assert abs(shared_spectrum(noise @ noise.T).sum()) < 0.05 * 150
    same = np.tile(signal @ signal.T, (2, 2))  # without noise: the plain spectrum
    plain = np.linalg.svd(signal - signal.mean(0), compute_uv=False)[:59] ** 2 / 60
    np.testing.assert_allclose(shared_spectrum(same, n_draws=2), plain, atol=1e-10)


def test_the_exponent_is_that_of_the_law_and_undefined_where_there_is_none():
    ranks = np.arange(1, 301)
    assert power_law(7 * ranks**-1.1, 11, 200) == pytest.approx(1.1)
    assert np.isnan(power_law(np.where(ranks > 50, -1.0, 1.0), 11, 200)) and np.isnan(power_law(1.0 / ranks, 11, 12))
