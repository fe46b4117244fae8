import numpy as np
import pytest
from sklearn.decomposition import PCA

from encoding.features import blocks, pca
from encoding.features.components import project
from encoding.features.pca import fit_components


def features(n, p, seed=0, rank=30):
    """ReLU features with a decaying spectrum, as a layer's are."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, rank + 1) ** -0.7
    X = (rng.normal(size=(n, rank)) * spectrum) @ rng.normal(size=(rank, p)) + 0.1 * rng.normal(size=(n, p)) + 0.5
    return np.maximum(X, 0).astype(np.float32)


def agree(found, X, train, k, atol):
    exact = PCA(k, svd_solver="full").fit(X[train].astype(np.float64))
    ours, theirs = found.scores, exact.transform(X)
    theirs = theirs * np.sign((ours * theirs).sum(0))
    np.testing.assert_allclose(ours, theirs, atol=atol * np.abs(theirs).max())
    np.testing.assert_allclose(found.variance, exact.explained_variance_, rtol=2e-3)
    assert found.explained == pytest.approx(exact.explained_variance_ratio_.sum(), rel=1e-3)


TRAIN = np.sort(np.random.default_rng(5).permutation(200)[:150])


@pytest.mark.parametrize("p", [40, 900], ids=["tall", "wide"])
def test_exact_components_are_scikit_learns(p):
    X = features(200, p)
    agree(fit_components([X], TRAIN, 20), X, TRAIN, 20, atol=1e-5)


def test_iterated_components_are_scikit_learns(monkeypatch):
    monkeypatch.setattr(pca, "EXACT_BELOW", 1)
    X = features(200, 900)
    agree(fit_components([X], TRAIN, 12), X, TRAIN, 12, atol=5e-3)


def test_iterated_components_explain_what_the_exact_do_on_a_slow_spectrum(monkeypatch):
    X = features(400, 1200, rank=400)
    train = np.arange(350)
    exact = fit_components([X], train, 40)
    monkeypatch.setattr(pca, "EXACT_BELOW", 1)
    found = fit_components([X], train, 40)
    assert found.explained >= 0.999 * exact.explained
    assert found.explained <= exact.explained * (1 + 1e-6)


@pytest.mark.parametrize("below", [1, 10**6], ids=["iterated", "exact"])
def test_axes_are_orthonormal_and_give_the_scores(monkeypatch, below):
    monkeypatch.setattr(pca, "EXACT_BELOW", below)
    X = features(200, 300)
    found = fit_components([X], TRAIN, 10)
    np.testing.assert_allclose(found.axes.T @ found.axes, np.eye(10), atol=1e-5)
    np.testing.assert_allclose(found.scores, (X - found.mean) @ found.axes, atol=1e-4)
    np.testing.assert_allclose(found.scores[TRAIN].mean(0), 0, atol=1e-4)


@pytest.mark.parametrize("below", [1, 10**6], ids=["iterated", "exact"])
def test_small_blocks_change_nothing(monkeypatch, below):
    monkeypatch.setattr(pca, "EXACT_BELOW", below)
    X = features(200, 300)
    at_once = fit_components([X], TRAIN, 10)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 40_000)
    np.testing.assert_allclose(fit_components([X], TRAIN, 10).scores, at_once.scores, atol=1e-3)


@pytest.mark.parametrize("below", [1, 10**6], ids=["iterated", "exact"])
@pytest.mark.parametrize("p", [40, 900], ids=["tall", "wide"])
def test_test_rows_never_touch_the_axes(monkeypatch, below, p):
    monkeypatch.setattr(pca, "EXACT_BELOW", below)
    X = features(200, p)
    before = fit_components([X], TRAIN, 8)
    X[np.setdiff1d(np.arange(200), TRAIN)] = 1e3
    after = fit_components([X], TRAIN, 8)
    for name in ("mean", "axes", "variance"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    np.testing.assert_array_equal(after.scores[TRAIN], before.scores[TRAIN])


@pytest.mark.parametrize("below", [1, 10**6], ids=["iterated", "exact"])
def test_layers_side_by_side_are_one_wide_layer(monkeypatch, below):
    monkeypatch.setattr(pca, "EXACT_BELOW", below)
    X = features(200, 320)
    together, apart = fit_components([X], TRAIN, 10), fit_components([X[:, :20], X[:, 20:]], TRAIN, 10)
    np.testing.assert_allclose(apart.scores, together.scores, atol=1e-3)


def test_all_components_keep_every_distance_between_training_rows():
    X = features(200, 900)
    scores = fit_components([X], TRAIN, 0).scores[TRAIN]
    centred = X[TRAIN].astype(float) - X[TRAIN].mean(0, dtype=float)
    np.testing.assert_allclose(scores @ scores.T, centred @ centred.T, atol=1e-3 * (centred**2).sum(1).max())


def test_no_more_components_are_kept_than_there_are():
    X = np.repeat(features(200, 3), 4, axis=1)  # rank 3
    assert fit_components([X], TRAIN, 100).scores.shape == (200, 3)
    assert fit_components([features(200, 900)], TRAIN, 500).scores.shape == (200, 149)


@pytest.mark.parametrize("below", [1, 10**6], ids=["iterated", "exact"])
@pytest.mark.parametrize("p", [30, 500], ids=["tall", "wide"])
def test_layers_scaled_to_equal_variance_are_the_pca_of_scaled_features(monkeypatch, below, p):
    monkeypatch.setattr(pca, "EXACT_BELOW", below)
    small, large = features(200, p, seed=1), 50 * features(200, 2 * p, seed=2)
    found = fit_components([small, large], TRAIN, 6, scaling="equal")
    variances = np.array([layer[TRAIN].astype(float).var(0, ddof=1).sum() for layer in (small, large)])
    scaled = [layer * np.sqrt(variances.mean() / variance) for layer, variance in zip((small, large), variances, strict=True)]
    assert found.total_variance == pytest.approx(variances.sum(), rel=1e-4)
    agree(found, np.concatenate(scaled, 1), TRAIN, 6, atol=2e-2 if below == 1 else 1e-4)
    np.testing.assert_allclose(found.mean, np.concatenate([small, large], 1)[TRAIN].mean(0), rtol=1e-3, atol=1e-3)
    again = project([small, large], found.mean, found.axes)
    np.testing.assert_allclose(again, found.scores, atol=1e-3 * np.abs(found.scores).max())


def test_scaling_changes_nothing_of_a_single_layer_or_where_it_is_none():
    X = features(200, 60)
    np.testing.assert_array_equal(fit_components([X], TRAIN, 5, scaling="equal").scores, fit_components([X], TRAIN, 5).scores)
    parts = [X[:, :20], X[:, 20:]]
    np.testing.assert_array_equal(fit_components(parts, TRAIN, 5).scores, fit_components(parts, TRAIN, 5, scaling="none").scores)


@pytest.mark.parametrize("p", [20, 900], ids=["tall", "wide"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_layer_that_never_varies_is_refused_by_name(p, value):
    dead = np.full((200, p), value, np.float32)
    dead[np.setdiff1d(np.arange(200), TRAIN)] = 5.0  # it may vary over test images
    dead[TRAIN[3]] = np.nextafter(np.float32(value), np.float32(1e9))  # rounding is no variance
    if not value:
        dead[TRAIN[3]] = 0
    with pytest.raises(ValueError, match="Layer 'dead' gives the same features for every training image"):
        fit_components([features(200, 30), dead], TRAIN, 5, names=("alive", "dead"))
    alive = dead.copy()
    alive[TRAIN[-1], -1] += 1 + value
    assert np.isfinite(fit_components([alive], TRAIN, 5, names=("alive",)).scores).all()
    assert np.isfinite(fit_components([dead], TRAIN, 5).scores).all()  # of responses, such as a tree's: 0 where nothing varies


@pytest.mark.parametrize("bytes_at_once", [4_096, 2**27])
def test_exact_components_of_many_rows_are_read_in_blocks(monkeypatch, bytes_at_once):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", bytes_at_once)
    read = []

    class Layer(np.ndarray):
        def __getitem__(self, index):
            part = super().__getitem__(index)
            read.append(np.size(part))
            return part

    X = features(200, 40)
    agree(fit_components([X.view(Layer)], TRAIN, 20), X, TRAIN, 20, atol=1e-5)
    assert max(read) <= max(bytes_at_once // 8, 40)


@pytest.mark.parametrize("offset", [0, 100, 10_000], ids="offset {}".format)
@pytest.mark.parametrize("scaling", ["none", "zscore"])
def test_components_without_variance_are_left_out_however_they_are_found(monkeypatch, scaling, offset):
    """As where each image is shown several times: 20 different rows have 19 components, and those after are noise of float32."""
    rng = np.random.default_rng(0)
    seen, new = rng.normal(size=(20, 600)), rng.normal(size=(40, 600))
    X = (np.concatenate([np.repeat(seen, 10, axis=0), new]) + offset).astype(np.float32)
    train = np.arange(200)
    exact = fit_components([X], train, 30, scaling=scaling)
    monkeypatch.setattr(pca, "EXACT_BELOW", 1)
    found = fit_components([X], train, 30, scaling=scaling)
    assert found.scores.shape[1] == exact.scores.shape[1] == 19
    np.testing.assert_allclose(found.variance, exact.variance, rtol=1e-3)
    assert found.explained == pytest.approx(1, abs=1e-4)
    assert np.abs(found.scores[200:] / np.sqrt(found.variance)).max() < 10, "a new row is as far out as noise is divided by"


@pytest.mark.parametrize("offset", [1_000, 100_000])
def test_features_far_from_zero_have_the_components_of_those_around_it(monkeypatch, offset):
    monkeypatch.setattr(pca, "EXACT_BELOW", 1)
    X = np.round(features(200, 900) * 64) / 64  # which float32 holds at every offset
    near, far = (fit_components([X + np.float32(shift)], TRAIN, 12) for shift in (0, offset))
    np.testing.assert_allclose(np.abs(far.scores), np.abs(near.scores), atol=5e-3 * np.abs(near.scores).max())
    assert far.explained == pytest.approx(near.explained, rel=1e-3)
    np.testing.assert_allclose(far.mean - offset, near.mean, atol=offset * 1e-6)
