"""Predictions of new stimuli: the fit's own numbers on its own stimuli, an independent answer on others, and what is refused."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import Ridge

import encoding.prediction.predict
from encoding import READOUTS, Store, fit
from encoding.datasets.algonauts2021 import BLOCK
from encoding.fits.open import open_fit
from encoding.fits.training_data import Chosen
from encoding.prediction.predict import CannotPredict, predict, predicted_blocks, save_predictions, stimuli_in, unfitted
from encoding.readouts import LinearModel, Readout
from encoding.storage.store import StoreReadOnly
from tests.conftest import TINY, TinyBackbone, TinyStimuli
from tests.encoding.datasets.made2021 import N_TEST
from tests.encoding.prediction.cases import CLIPS, CLOSE, changed, others, photos, quick

NAMES = [name for name, readout in READOUTS.items() if readout.uses_components and not readout.in_order]


def assert_own_stimuli_again(result):
    """Predicting the test stimuli as if they were new gives what the fit predicted."""
    again = predict(result, Chosen(result.plan.subject.stimuli, result.test_rows()), device="cpu")
    assert list(again) == list(result.plan.hemis)
    for hemi, predicted in again.items():
        expected = result.predicted(hemi, np.arange(result.plan.subject.responses[hemi].shape[1]))
        assert predicted.dtype == np.float32 and np.isfinite(predicted).any()
        np.testing.assert_allclose(predicted, expected, **CLOSE)


# ---- what is predicted


@pytest.mark.parametrize("name", NAMES)
def test_the_test_images_again_get_the_fits_own_predictions(name, tiny, store):
    tiny.change(vertices={hemi: np.arange(10) for hemi in ("lh", "rh")})  # which positional asks for
    layers = ("pixels", "colour") if READOUTS[name].by_layer else ("pixels",)
    assert_own_stimuli_again(fit(changed(readout=name, options=quick(name), layers=layers), store))


@pytest.mark.parametrize(
    "values",
    [
        {"n_components": 7},
        {"layers": ("colour", "pixels"), "n_components": 20},
        {"hemi": "rh"},
        {"target_groups": "vertex:lh:3"},
        {"target_groups": "both", "readout": "mlp", "options": quick("mlp")},
        {"target_groups": "roi", "readout": "mlp", "options": quick("mlp")},
        {"target_groups": "roi", "readout": "mlp", "options": quick("mlp"), "rois": ("driven",)},
    ],
    ids=str,
)
def test_so_they_do_whatever_the_components_and_the_focus(values, tiny, store):
    result = fit(changed(**values), store)
    assert_own_stimuli_again(result)
    missing = unfitted(result.plan)
    for hemi, predicted in predict(result, others(), device="cpu").items():
        assert int(np.isnan(predicted).all(0).sum()) == missing[hemi] == int(np.isnan(predicted).any(0).sum()) < 10


def test_so_they_do_where_components_are_found_by_iteration(tiny, store, monkeypatch):
    monkeypatch.setattr("encoding.features.pca.EXACT_BELOW", 10)
    assert_own_stimuli_again(fit(changed(n_components=8), store))


def test_new_images_get_what_scikit_learn_predicts_of_them(tiny, store):
    result, new = fit(changed(options=(("alpha", 3.0),)), store), others()
    (fold,) = result.plan.folds
    X, mine = (pixels.reshape(len(pixels), -1) for pixels in (tiny.subject.stimuli.pixels / 255, new.pixels / 255))
    # the backbone lays pixels out channel by channel; ridge does not care
    for hemi, predicted in predict(result, new, device="cpu").items():
        told = Ridge(alpha=3.0).fit(X[fold.train], tiny.subject.responses[hemi][fold.train])
        np.testing.assert_allclose(predicted, told.predict(mine), atol=2e-5)


def test_with_a_k_fold_split_it_is_the_mean_over_the_models(tiny, store):
    result, new = fit(changed(split="kfold:4:0", options=(("alpha", 3.0),)), store), others()
    X, mine = (pixels.reshape(len(pixels), -1) for pixels in (tiny.subject.stimuli.pixels / 255, new.pixels / 255))
    Y = tiny.subject.responses["rh"]
    told = [Ridge(alpha=3.0).fit(X[fold.train], Y[fold.train]).predict(mine) for fold in result.plan.folds]
    predicted = predict(result, new, device="cpu")["rh"]
    np.testing.assert_allclose(predicted, np.mean(told, axis=0), atol=2e-5)
    assert np.abs(predicted - told[0]).max() > 1e-4, "one model alone would not do"


def test_blocks_of_rows_give_the_same_and_hold_no_more_than_they_may(tiny, store, monkeypatch):
    result, new = fit(changed(n_components=5), store), others()
    whole = predict(result, new, device="cpu")
    monkeypatch.setattr(encoding.prediction.predict, "BLOCK_BYTES", 7 * 4 * 20)
    sizes = [[values.nbytes for values in block.values()] for _, block in predicted_blocks(result, new, device="cpu")]
    assert len(sizes) == 5 and max(map(sum, sizes)) <= 7 * 4 * 20
    for hemi, predicted in predict(result, new, device="cpu").items():
        np.testing.assert_allclose(predicted, whole[hemi], **CLOSE)


def test_features_of_new_stimuli_are_kept(tiny, store, monkeypatch):
    result, new = fit(TINY, store), others()
    first = predict(result, new, device="cpu")["lh"]
    monkeypatch.setattr(TinyBackbone, "activations", lambda *arguments: pytest.fail("they were passed through the network again"))
    np.testing.assert_array_equal(predict(result, new, device="cpu")["lh"], first)


class Looking(Readout):
    """Mean red of a picture, as a readout that looks at pictures itself."""

    name, title, about, per_target = "looking", "Looking", "Planted.", False
    uses_moments = uses_components = False

    def fit(self, data, options, *, device="cpu", report=None):
        Z, Y = looked(data.stimuli), data.Y[:, :]
        slope = ((Z - Z.mean()) * (Y - Y.mean(0))).sum(0) / ((Z - Z.mean()) ** 2).sum()
        return LookingModel(slope[None], Y.mean(0) - Z.mean() * slope)

    def restore(self, arrays, data):
        return LookingModel.from_arrays(arrays)


class LookingModel(LinearModel):
    def basis(self, X):
        return looked(X).astype(np.float32)


def looked(stimuli):
    return np.array([[np.asarray(picture)[..., 0].mean() / 255] for picture in stimuli])


def test_a_readout_that_looks_at_pictures_is_shown_them(tiny, store, monkeypatch):
    monkeypatch.setitem(READOUTS._members, "looking", Looking())
    result, new = fit(changed(readout="looking"), store), others()
    assert_own_stimuli_again(result)
    (fold,) = result.plan.folds
    slope, offset = np.polyfit(looked(tiny.subject.stimuli)[fold.train, 0], tiny.subject.responses["lh"][fold.train, 2], 1)
    np.testing.assert_allclose(predict(result, new)["lh"][:, 2], looked(new)[:, 0] * slope + offset, atol=1e-5)


@pytest.mark.parametrize("over_frames", ["mean", "last", "all", "sequence"])
def test_clips_are_seen_in_as_many_frames_as_the_fit_saw(over_frames, clip_data, store):
    result = fit(dataclasses.replace(CLIPS, over_frames=over_frames), store)
    assert_own_stimuli_again(result)
    assert predict(result, result.plan.subject.unlabelled)[BLOCK].shape == (N_TEST, result.plan.subject.responses[BLOCK].shape[1])


def test_clips_and_pictures_are_not_taken_for_each_other(clip_data, tiny, store):
    clips, pictures = fit(CLIPS, store), fit(TINY, store)
    with pytest.raises(CannotPredict, match=r"saw 3 frames of each clip; it cannot predict from images"):
        predict(clips, others())
    with pytest.raises(CannotPredict, match=r"saw images; it cannot predict from 16 frames of each clip"):
        predict(pictures, clips.plan.subject.unlabelled)


# ---- what is not there


def test_no_stimuli_are_refused(tiny, store):
    with pytest.raises(CannotPredict, match=r"no stimuli"):
        predict(fit(TINY, store), others(0))


def test_components_without_axes_are_refused_before_any_work(tiny, store, monkeypatch):
    monkeypatch.setattr("encoding.features.blocks.BLOCK_BYTES", 64)
    result = fit(changed(split="holdout:0.3:5"), store)
    before = set(store.keys())
    with pytest.raises(CannotPredict, match=r"cannot predict new stimuli. The axes of these components were not kept.* Ask for fewer"):
        predict(result, others())
    assert set(store.keys()) == before


@pytest.mark.parametrize("stages", [("weights",), ("components",), ("weights", "moments", "components", "features")], ids=str)
@pytest.mark.parametrize("name", ["ridge", "mlp"])
def test_what_the_store_let_go_of_is_made_again_and_is_the_same(name, stages, tiny, store):
    result, new = fit(changed(readout=name, options=quick(name), n_components=6), store), others()
    first = predict(result, new, device="cpu")
    for key in store.keys():  # noqa: SIM118
        if key.startswith(stages):
            store.remove(key)
    for hemi, predicted in predict(open_fit(result.key, Store(store.root)), new, device="cpu").items():
        np.testing.assert_allclose(predicted, first[hemi], **CLOSE)


# ---- files


def test_a_folder_of_images_is_read_in_natural_order_and_saved_with_its_names(tiny, store, tmp_path):
    result, new = fit(changed(target_groups="vertex:lh:3"), store), others(12)
    stimuli = stimuli_in(photos(tmp_path / "photos", new), result.plan, store)
    out = save_predictions(result, stimuli, tmp_path / "new" / "out", device="cpu")
    assert {path.name for path in out.iterdir()} == {"lh_predictions.npy", "stimuli.csv", "vertices.csv", "spec.json"}
    names = pd.read_csv(out / "stimuli.csv")
    assert names["row"].tolist() == list(range(12)) and names["name"].tolist() == [f"photo {number}.png" for number in range(12)]
    expected = predict(result, new, device="cpu")
    np.testing.assert_array_equal(np.load(out / "lh_predictions.npy"), expected["lh"])
    np.save(tmp_path / "as_numpy.npy", expected["lh"])
    assert (tmp_path / "as_numpy.npy").read_bytes() == (out / "lh_predictions.npy").read_bytes()
    vertices = pd.read_csv(out / "vertices.csv", keep_default_na=False)
    assert vertices.columns.tolist() == ["hemi", "column", "rois"], "of this subject no place is known"
    assert vertices["column"].tolist() == list(range(10)) and vertices["rois"][3] == "driven"
    about = json.loads((out / "spec.json").read_text())
    assert about["key"] == result.key and about["units"] == "those of the responses of tiny" and about["stimuli"]["n"] == 12
    assert about["unfitted"] == {"lh": 9} and about["n_train"] == [90] and about["simulated"] is True


def test_files_appear_whole_or_not_at_all(tiny, store, tmp_path):
    result = fit(TINY, store)
    photos(tmp_path / "photos", others(4))
    (tmp_path / "photos" / "photo 2.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"photo 2.png cannot be read as an image"):
        save_predictions(result, stimuli_in(tmp_path / "photos", result.plan, store), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_named_before_any_work(tiny, store, tmp_path, monkeypatch):
    result = fit(TINY, store)
    monkeypatch.setattr(encoding.prediction.predict.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    with pytest.raises(CannotPredict, match=r"These predictions take 0\.0 GB; the disk of"):
        save_predictions(result, others(), tmp_path / "out")


# ---- submissions


def test_a_picture_of_any_kind_is_decoded_as_the_data_sets_do(tiny, store, tmp_path):
    result = fit(TINY, store)
    folder = photos(tmp_path / "photos", others(2))
    Image.fromarray(np.full((4, 4), 128, np.uint8)).save(folder / "photo 3.png")
    grey = predict(result, stimuli_in(folder, result.plan, store), device="cpu")["lh"][2]
    same = predict(result, TinyStimuli(np.full((1, 4, 4, 3), 128, np.uint8)), device="cpu")["lh"][0]
    np.testing.assert_allclose(grey, same, **CLOSE)


@pytest.mark.parametrize(
    "more", [{}, {"split": "kfold:3:0", "n_components": 3}, {"target_groups": "vertex:lh:2"}], ids=["plain", "kfold", "vertex"]
)
def test_a_kept_model_predicts_from_a_store_that_cannot_be_written_to(tiny, store, monkeypatch, more):
    """As on a read-only disk: what was fitted is used, and features of the new stimuli are not kept."""
    result = fit(dataclasses.replace(TINY, **more), store, device="cpu")
    new = TinyStimuli(np.random.default_rng(3).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8))
    other = TinyStimuli(np.random.default_rng(4).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8))
    expected = predict(result, new, device="cpu")

    def refuse(*_, **__):
        raise StoreReadOnly("read only")

    for key in [key for key in sorted(store.keys()) if key.startswith("features") and key not in result.plan.feature_keys.values()]:
        store.remove(key)
    before = store.keys()
    monkeypatch.setattr(Store, "writing", refuse)
    monkeypatch.setattr("encoding.prediction.predict.BLOCK_BYTES", 100)  # a few rows at a time
    found = predict(result, new, device="cpu")
    assert set(found) == set(expected) and store.keys() == before
    for hemi, values in expected.items():
        np.testing.assert_allclose(found[hemi], values, atol=1e-5)
        assert (np.isnan(found[hemi]) == np.isnan(values)).all()
    assert np.nanmax(np.abs(predict(result, other, device="cpu")["lh"] - found["lh"])) > 1e-3
