"""Features stored as float16: half the room, the same components, whatever the scale and offset of a layer."""

from dataclasses import replace

import numpy as np
import pytest

from encoding import READOUTS, Store, fit
from encoding.features import extraction
from encoding.features.extraction import extract, feature_keys, load
from encoding.features.half import HalfRows, encode
from encoding.features.pca import fit_components
from tests.conftest import TINY
from tests.encoding.features.test_extraction import Flat, Pictures

RNG = np.random.default_rng(0)
RELU = np.maximum(RNG.normal(size=(60, 30)) * np.arange(1, 31) ** -0.8 @ RNG.normal(size=(30, 400)) + 0.2, 0).astype(np.float32)
KINDS = {
    "as they are": RELU,
    "beyond 65,504": RELU * np.float32(1e6),
    "below what float16 holds": RELU * np.float32(1e-9),
    "tiny": RELU * np.float32(1e-30),
    "an offset": RELU * np.float32(0.01) + np.float32(1_000),
    "columns of many scales": RELU * (10.0 ** RNG.uniform(-4, 2, 400)).astype(np.float32),
    "stimuli of many scales": RELU * (10.0 ** RNG.uniform(-3, 3, (60, 1))).astype(np.float32),
    "sparse": RELU * (RNG.random(RELU.shape) < 0.02),
    "a blank first stimulus": np.concatenate([np.zeros((1, 400), np.float32), RELU[1:] + 5]),
}


def halved(X):
    half, scale = encode(X, X[0])
    assert half.dtype == np.float16 and np.isfinite(half).all() and (np.log2(scale) % 1 == 0).all()
    return HalfRows(half, scale, X[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [3, 20])
def test_components_explain_the_same_variance(kind, k):
    X = KINDS[kind]
    one, other = (fit_components([layer], np.arange(50), k) for layer in (X, halved(X)))
    assert other.explained == pytest.approx(one.explained, abs=1e-4)
    assert other.total_variance == pytest.approx(one.total_variance, rel=1e-4)
    np.testing.assert_allclose(other.variance, one.variance, rtol=1e-3)


def test_differences_from_the_first_stimulus_keep_eleven_bits():
    for X in KINDS.values():
        differences = X.astype(float) - X[0]
        error = np.abs(np.asarray(halved(X)).astype(float) - X)
        rounding = 2.0**-24 * np.maximum(np.abs(X), np.abs(differences))  # of float32 itself
        assert (error <= 2.0**-11 * np.abs(differences) + 2.0**-39 * np.abs(differences).max(1, keepdims=True) + 3 * rounding).all()


@pytest.mark.parametrize(
    "index",
    [3, slice(4, 9), np.array([5, 1, 5]), (slice(None), slice(3, 7)), (2, slice(1, 4)), (np.array([4, 0]), slice(2, 3)), -1],
    ids=str,
)
def test_blocks_are_those_of_the_whole(index):
    rows = halved(RELU)
    assert rows.shape == RELU.shape and len(rows) == 60 and rows[index].dtype == np.float32
    np.testing.assert_array_equal(rows[index], np.asarray(rows)[index])
    frames = rows.reshape(60 * 4, -1)
    assert frames.shape == (240, 100)
    np.testing.assert_array_equal(frames[index], np.asarray(rows).reshape(240, 100)[index])


def test_differences_beyond_float32_are_an_error():
    with pytest.raises(ValueError, match="differ by more than float32 can hold"):
        encode(np.array([[3e38], [-3e38]], np.float32), np.array([3e38], np.float32))


def test_rows_are_the_same_whatever_the_sharding_and_take_half_the_room(store, tmp_path, monkeypatch):
    keys, stores = feature_keys("stimuli", "backbone", ["pixels", "colour"], dtype="float16"), [store, Store(tmp_path / "parts")]
    whole = feature_keys("stimuli", "backbone", ["pixels", "colour"])
    assert not set(keys.values()) & set(whole.values())
    extract(Pictures(), Flat, keys, stores[0], dtype="float16")
    monkeypatch.setattr(extraction, "SHARD_IMAGES", 10)
    extract(Pictures(), Flat, keys, stores[1], dtype="float16")
    extract(Pictures(), Flat, whole, store)
    for layer in keys:
        exact, rows = load(whole[layer], store), [load(keys[layer], each) for each in stores]
        np.testing.assert_array_equal(np.asarray(rows[0]), np.asarray(rows[1]))
        np.testing.assert_allclose(np.asarray(rows[0]), exact, atol=2.0**-11)
    assert store.size(keys["pixels"]) < 0.6 * store.size(whole["pixels"])


@pytest.mark.parametrize("change", [{}, {"layers": ("pixels", "colour")}, {"n_components": 0}, {"split": "kfold:3:0"}], ids=str)
def test_fits_score_the_same_and_stored_float32_features_stay(tiny, store, change):
    spec = replace(TINY, **change)
    exact, kept = fit(spec, store), fit(replace(spec, feature_dtype="float16"), store)
    assert exact.key != kept.key and load(exact.plan.feature_keys["pixels"], store).dtype == np.float32
    np.testing.assert_allclose(kept.score("lh")[:5], exact.score("lh")[:5], atol=1e-3)  # the others' responses are noise


def test_twice_as_many_features_are_within_the_budget(tiny, store):
    spec = replace(TINY, layers=("colour",), n_components=3, feature_budget=3 * 120 * 3 / 1e9)
    assert fit(spec, store).plan.reduced_layers and not fit(replace(spec, feature_dtype="float16"), store).plan.reduced_layers


def test_a_readout_that_takes_images_has_the_same_key(tiny, store):
    from encoding.fits.plan import plan

    planned = plan(TINY, store)
    finetuned = replace(planned, readout=next(readout for readout in READOUTS.values() if not readout.uses_components))
    other = replace(finetuned, spec=replace(TINY, feature_dtype="float16"))
    assert finetuned.feature_keys == other.feature_keys
