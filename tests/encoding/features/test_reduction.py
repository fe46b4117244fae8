"""Components of layers that are never stored: scikit-learn's exact PCA, whatever the batches and shards."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from encoding.features import reduction, sums
from encoding.features.reduction import project_stream, reduce_spaces, sum_shard
from encoding.features.sketch import BLOCK_FEATURES, N_GROUPS, N_NONZEROS, sketch
from encoding.features.sums import Space
from encoding.runtime.progress import silent
from encoding.storage.inventory import entries, prune

TRAIN = np.sort(np.random.default_rng(5).permutation(120)[:90])
TEST = np.setdiff1d(np.arange(120), TRAIN)


def features(n=120, p=700, seed=0):
    """ReLU features with a decaying spectrum, as a layer's are."""
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, 40)) * np.arange(1, 41) ** -0.9) @ rng.normal(size=(40, p)) + 0.05 * rng.normal(size=(n, p)) + 0.5
    return np.maximum(X, 0).astype(np.float32)


def sketched(X, layer):
    Y = sketch(torch.from_numpy(X), layer).numpy()
    lengths = np.linalg.norm(X, axis=1)
    return {"Y": (Y / lengths[:, None]).astype(np.float16), "squares": np.square(lengths, dtype=float), "n_features": np.array(X.shape[1])}


def streaming(layers, passes, size=32):
    def stream(rows, names, report, use):
        passes.append(len(rows))
        for start in range(0, len(rows), size):
            for name in names:
                use(start, name, torch.from_numpy(layers[name][rows[start : start + size]]))

    return stream


def reduced(layers, store, *, k=8, scaled=False, together=True, size=32):
    """Components of some layers, each by itself or together, and the stimuli of every pass."""
    passes = []
    groups = [tuple(layers)] if together else [(layer,) for layer in layers]
    spaces = [Space(f"components-{'-'.join(own)}", {name: sketched(layers[name], name) for name in own}, k, scaled) for own in groups]
    reduce_spaces(spaces, TRAIN, TEST, streaming(layers, passes, size), store, n_frames=1, device="cpu", report=silent)
    return [store.get(space.key) for space in spaces], passes


def test_sketches_keep_inner_products_and_depend_on_neither_batch_nor_block():
    X = torch.from_numpy(features(12, BLOCK_FEATURES + 5_003)) - 0.5
    Y = sketch(X, "layer")
    assert Y.shape == (12, N_GROUPS * N_NONZEROS)
    errors = (Y @ Y.T - X @ X.T) / torch.outer(X.norm(dim=1), X.norm(dim=1))
    assert errors.abs().max() < 5 * (2 / Y.shape[1]) ** 0.5
    torch.testing.assert_close(torch.cat([sketch(X[:5], "layer"), sketch(X[5:], "layer")]), Y, rtol=1e-5, atol=1e-3)
    assert not torch.allclose(sketch(X, "other"), Y)
    one = torch.zeros(1, X.shape[1])
    one[0, BLOCK_FEATURES + 7] = 1
    assert int((sketch(one, "layer") != 0).sum()) == N_NONZEROS


def test_components_explain_what_scikit_learns_do(store):
    X = features()
    (found,), passes = reduced({"a": X}, store)
    exact = PCA(8, svd_solver="full").fit(X[TRAIN].astype(float))
    axes = found["axes"].astype(float)
    np.testing.assert_allclose(axes.T @ axes, np.eye(8), atol=2e-3)
    kept = np.square((X[TRAIN] - X[TRAIN].mean(0)) @ axes).sum() / (len(TRAIN) - 1)
    assert kept == pytest.approx(exact.explained_variance_.sum(), rel=2e-3)
    assert float(found["variance"].sum()) <= kept * (1 + 1e-5)
    assert float(found["total_variance"]) == pytest.approx(X[TRAIN].var(0, ddof=1).sum(), rel=1e-4)
    np.testing.assert_allclose(found["mean"], X[TRAIN].mean(0), atol=1e-5)
    np.testing.assert_allclose(found["scores"][TEST], (X[TEST] - X[TRAIN].mean(0)) @ axes, atol=1e-3)
    assert passes == [len(TRAIN), len(TEST)]


@pytest.mark.parametrize("offset", [0, 10])
def test_the_stated_variance_is_what_scores_times_axes_restore(store, offset):
    X = features() + np.float32(offset)
    (found,), _ = reduced({"a": X}, store)
    centred = X[TRAIN].astype(float) - X[TRAIN].mean(0, dtype=float)
    left = centred - found["scores"][TRAIN].astype(float) @ found["axes"].astype(float).T
    total = np.square(centred).sum() / (len(TRAIN) - 1)
    assert float(found["total_variance"]) == pytest.approx(total, rel=1e-5)
    assert found["variance"].sum() == pytest.approx(total - np.square(left).sum() / (len(TRAIN) - 1), rel=1e-5)


def test_all_layers_go_together_as_far_as_memory_allows(store, tmp_path, monkeypatch):
    from encoding import Store

    layers = {name: features(p=p, seed=p) for name, p in (("a", 700), ("b", 300), ("c", 200))}
    together, passes = reduced(layers, store, together=False)
    assert passes == [len(TRAIN), len(TEST)]
    monkeypatch.setattr(sums, "SUM_BYTES", 4 * 33 * 550)  # b and c share a pass; a is larger than all memory, and goes by a file
    apart, passes = reduced(layers, Store(tmp_path / "apart"), together=False)
    assert passes == [len(TRAIN), len(TEST)] * 2
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one["scores"], other["scores"], atol=1e-5 * np.abs(one["scores"]).max())
    assert {path.name for path in tmp_path.glob("apart/components/*/*")} == {
        *(f"{name}.npy" for name in ("scores", "variance", "mean", "axes", "total_variance")),
        "provenance.json",
    }


@pytest.mark.parametrize("size", [7, 90])
def test_batches_do_not_matter(store, tmp_path, size):
    from encoding import Store

    (one,), _ = reduced({"a": features()}, store)
    (other,), _ = reduced({"a": features()}, Store(tmp_path / "other"), size=size)
    np.testing.assert_allclose(one["scores"], other["scores"], atol=1e-5 * np.abs(one["scores"]).max())


SHARDED = {"a": features(), "b": features(p=300, seed=3)}


@pytest.fixture
def sharded(monkeypatch):
    """Second passes in three shards of the training stimuli."""
    monkeypatch.setattr(reduction, "SHARD_IMAGES", 30)
    assert [len(part) for part in reduction.sum_shards(len(TRAIN))] == [30, 30, 30]
    assert len(reduction.sum_shards(10_000)) == reduction.MOST_SHARDS


def spaces_of(layers, k=8):
    return [Space(f"components-{name}", {name: sketched(X, name)}, k) for name, X in layers.items()]


def same(one, other):
    for name in ("a", "b"):
        first, second = one.get(f"components-{name}"), other.get(f"components-{name}")
        assert all(np.array_equal(first[part], second[part], equal_nan=True) for part in first)


def left(store):
    return {key for key in store.keys() if not key.startswith("components")}  # noqa: SIM118


def test_shards_give_the_same_components_to_rounding(store, tmp_path, monkeypatch):
    from encoding import Store

    whole, _ = reduced(SHARDED, store, together=False)
    monkeypatch.setattr(reduction, "SHARD_IMAGES", 30)
    parts, passes = reduced(SHARDED, Store(tmp_path / "parts"), together=False)
    assert passes == [30, 30, 30, len(TEST)] and not left(Store(tmp_path / "parts"))
    for one, other in zip(whole, parts, strict=True):
        for name in ("scores", "mean", "variance"):
            np.testing.assert_allclose(one[name], other[name], atol=1e-5 * np.nanmax(np.abs(one[name])))


@pytest.mark.parametrize("done", [(0, 1, 2), (2, 0), (1,)])
def test_workers_sums_are_added_bit_for_bit(store, tmp_path, sharded, done):
    from encoding import Store

    elsewhere, passes, shards = Store(tmp_path / "workers"), [], reduction.sum_shards(len(TRAIN))
    reduced(SHARDED, store, together=False)
    for number in done:
        given = (spaces_of(SHARDED), TRAIN, shards[number], streaming(SHARDED, passes), elsewhere)
        for _ in range(2):  # the second finds it done
            sum_shard(*given, n_frames=1, device="cpu", report=silent)
    assert passes == [30] * len(done)
    _, passes = reduced(SHARDED, elsewhere, together=False)
    assert passes == [30] * (3 - len(done)) + [len(TEST)] and not left(elsewhere)
    same(store, elsewhere)


def test_sums_of_a_running_pass_are_not_pruned(store, tmp_path, sharded):
    from encoding import Store

    reduced(SHARDED, store, together=False)
    pruning = Store(tmp_path / "pruning")

    def pruned(*given):
        streaming(SHARDED, [])(*given)
        assert not prune(pruning, entries(pruning)).removed

    reduce_spaces(spaces_of(SHARDED), TRAIN, TEST, pruned, pruning, n_frames=1, device="cpu", report=silent)
    same(store, pruning)


@pytest.mark.parametrize("large", [False, True])
def test_a_pass_that_was_killed_goes_on_from_its_last_whole_shard(store, tmp_path, sharded, monkeypatch, large):
    from encoding import Store

    if large:
        monkeypatch.setattr(sums, "SUM_BYTES", 10_000)  # a pass for each layer, its sums in a file
    reduced(SHARDED, store, together=False)
    interrupted, n_passes = Store(tmp_path / "interrupted"), 0

    def dying(rows, names, report, use):
        nonlocal n_passes
        n_passes += 1
        streaming(SHARDED, [])(rows, names, report, use)
        if n_passes == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reduce_spaces(spaces_of(SHARDED), TRAIN, TEST, dying, interrupted, n_frames=1, device="cpu", report=silent)
    assert {key.partition("-")[0] for key in left(interrupted)} == {"sums", "directions"}
    _, passes = reduced(SHARDED, interrupted, together=False)
    assert passes == ([30, len(TEST), 30, 30, 30, len(TEST)] if large else [30, len(TEST)])
    assert not left(interrupted)
    same(store, interrupted)


def test_layers_that_share_components_are_scaled_to_equal_variance(store):
    a, b = features(seed=1), 100 * features(p=60, seed=2)
    (found,), _ = reduced({"a": a, "b": b}, store, scaled=True)
    totals = [X[TRAIN].var(0, ddof=1).sum() for X in (a, b)]
    scaled = [X * np.sqrt(np.mean(totals) / total) for X, total in zip((a, b), totals, strict=True)]
    exact = PCA(8, svd_solver="full").fit(np.hstack(scaled)[TRAIN].astype(float))
    assert float(found["variance"].sum()) == pytest.approx(exact.explained_variance_.sum(), rel=2e-2)
    X = np.hstack([a, b])
    np.testing.assert_allclose(found["scores"][TEST], (X[TEST] - found["mean"]) @ found["axes"], rtol=1e-3, atol=1e-2)


def test_a_layer_that_does_not_vary_is_named(store):
    with pytest.raises(ValueError, match="'flat' gives the same features"):
        reduced({"flat": np.ones((120, 30), np.float32)}, store)
    assert store.get("components-flat") is None


def test_other_stimuli_are_projected_as_they_pass():
    X, V = features(), np.linalg.qr(np.random.default_rng(0).normal(size=(700, 4)))[0]
    parts = {"b": X[:, 300:], "a": X[:, :300]}  # a network computes them in another order than a fit names them
    axes = {"one": ({"a": 700}, X.mean(0), V)}, {"both": ({"a": 300, "b": 400}, X.mean(0), V)}
    for known, layers in zip(axes, ({"a": X}, parts), strict=True):
        (found,) = project_stream(known, np.array([5, 3]), streaming(layers, [])).values()
        np.testing.assert_allclose(found, (X[[5, 3]] - X.mean(0)) @ V, atol=1e-4)
