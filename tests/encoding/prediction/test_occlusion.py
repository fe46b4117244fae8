"""Predictions of pictures in memory, the stimuli nearest to them, and what in them drives a region."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from encoding import fit
from encoding.backbones import BACKBONES
from encoding.datasets import BadData
from encoding.prediction import occlusion
from encoding.prediction.nearest_stimuli import Patterns
from encoding.prediction.occlusion import Covered, OcclusionRequest, as_png, columns_digest, compute, occlude, stored
from encoding.prediction.predict import CannotPredict, predict
from encoding.prediction.predictor import InMemory, Predictor, folds_unseen, predict_row
from encoding.prediction.reliable import reliable
from encoding.readouts import READOUTS
from encoding.runs.exchange import export, import_
from tests.conftest import TINY, TinyStimuli
from tests.encoding.prediction.cases import quick

NAMES = [name for name, readout in READOUTS.items() if not readout.in_order and readout.uses_components]


def predict_images(result, images):
    return Predictor.of(result, device="cpu")(InMemory([[image] for image in images]))


def changed(**values):
    return replace(TINY, **values)


def pictures(n=5, seed=9):
    return [Image.fromarray(pixels) for pixels in np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)]


def every(hemi_to_values):
    return np.concatenate(list(hemi_to_values.values()), axis=-1)


# ---- predictions


@pytest.mark.parametrize("name", NAMES)
def test_a_stimulus_of_the_data_set_gets_the_fits_own_prediction(name, tiny, store):
    tiny.change(vertices={hemi: np.arange(10) for hemi in ("lh", "rh")})  # which positional asks for
    layers = ("pixels", "colour") if READOUTS[name].by_layer else ("pixels",)
    result = fit(changed(readout=name, options=quick(name), layers=layers, n_components=20), store)
    rows = result.test_rows()[:3]
    found = predict_images(result, [result.plan.subject.stimuli[int(row)] for row in rows])
    for hemi, predicted in found.items():
        expected = result.predicted(hemi, np.arange(10))[:3]
        np.testing.assert_allclose(predicted, expected, atol=1e-4)
        for row, values in zip(rows, expected, strict=True):
            np.testing.assert_allclose(predict_row(result, int(row))[hemi], values, atol=1e-4)


@pytest.mark.parametrize(
    "values",
    [
        {"hemi": "rh"},
        {"target_groups": "vertex:lh:3"},
        {"split": "kfold:4:0"},
        {"target_groups": "roi", "readout": "mlp", "options": quick("mlp")},
    ],
    ids=str,
)
def test_predictions_in_memory_are_those_of_a_folder(values, tiny, store):
    result, shown = fit(changed(**values), store), pictures()
    expected = predict(result, InMemory([[each] for each in shown]), device="cpu")
    found = predict_images(result, shown)
    assert list(found) == list(expected)
    for hemi in found:
        np.testing.assert_allclose(found[hemi], expected[hemi], atol=1e-5)


class Clips(TinyStimuli):
    """Each picture and its mirror image, one after the other."""

    n_frames = 2

    def frames(self, index):
        return [self[index], self[index].transpose(Image.Transpose.FLIP_LEFT_RIGHT)]


@pytest.mark.parametrize("over", ["mean", "all", "sequence", "last"])
def test_clips_in_memory_get_the_fits_own_predictions(over, tiny, store):
    tiny.change(stimuli=Clips(tiny.subject.stimuli.pixels))
    result = fit(changed(over_frames=over, n_components=10), store)
    rows = result.test_rows()[:3]
    found = Predictor.of(result, device="cpu")(InMemory([result.plan.stimuli.frames(int(row)) for row in rows]))
    for hemi, predicted in found.items():
        np.testing.assert_allclose(predicted, result.predicted(hemi, np.arange(10))[:3], atol=1e-4)
    drives = occlude(Predictor.of(result, device="cpu"), result.plan.stimuli.frames(0), {"lh": np.arange(5)}, n_grid=2, patch=0.5)
    assert drives.drop.shape == (2, 2) and np.abs(drives.drop).max() > 0.01


def test_only_the_columns_that_are_asked_for_come_back(tiny, store):
    result, shown = fit(changed(hemi="rh"), store), InMemory([[each] for each in pictures()])
    ready = Predictor.of(result, device="cpu")
    some = np.array([7, 2])
    np.testing.assert_allclose(ready(shown, columns={"rh": some})["rh"], ready(shown)["rh"][:, some], atol=1e-6)
    vertex = Predictor.of(fit(changed(target_groups="vertex:lh:3"), store), device="cpu")(shown, columns={"lh": np.array([2, 3])})["lh"]
    assert np.isnan(vertex[:, 0]).all() and np.isfinite(vertex[:, 1]).all()


def test_a_stimulus_is_predicted_by_the_models_that_never_saw_it(tiny, store):
    result = fit(changed(split="kfold:4:0", readout="knn"), store)
    row = int(result.plan.folds[2].test[0])
    assert folds_unseen(result, row) == (2,)
    place = list(result.test_rows()).index(row)
    np.testing.assert_allclose(predict_row(result, row)["lh"], result.predicted("lh", np.arange(10))[place], atol=1e-4)
    one = fit(TINY, store)
    assert folds_unseen(one, int(one.plan.folds[0].train[0])) == ()


def test_stimuli_that_a_split_leaves_out_were_seen_by_no_model(tiny, store):
    days = np.arange(120) // 2
    tiny.change(groups=days)
    result = fit(changed(split="holdout:0.8:0/kfold:3:0"), store)
    trained = np.unique(np.concatenate([fold.train for fold in result.plan.folds]))
    left_out = np.setdiff1d(np.arange(120), trained)
    assert len(left_out) == 24 and all(folds_unseen(result, int(row)) == (0, 1, 2) for row in left_out)
    assert all(len(folds_unseen(result, int(row))) == 1 for row in trained)
    ready = Predictor.of(result, device="cpu")(InMemory([[tiny.subject.stimuli[int(left_out[0])]]]))
    np.testing.assert_allclose(predict_row(result, int(left_out[0]))["lh"], ready["lh"][0], atol=1e-4)


def test_nothing_of_a_picture_is_written(tiny, store):
    result = fit(TINY, store)
    before = sorted(store.root.rglob("*"))
    predict_images(result, pictures())
    assert sorted(store.root.rglob("*")) == before


def test_threads_that_predict_at_once_get_their_own_answers(tiny, store):
    ready, shown = Predictor.of(fit(TINY, store), device="cpu"), pictures(8)
    expected = [ready(InMemory([[each]]))["lh"] for each in shown]
    found = [None] * 8

    def work(number):
        found[number] = ready(InMemory([[shown[number]]]))["lh"]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    np.testing.assert_array_equal(found, expected)


def test_what_cannot_predict_says_so(tiny, store, tmp_path, monkeypatch):
    result = fit(TINY, store)
    with pytest.raises(CannotPredict, match=r"saw images; it cannot predict from 2 frames of each clip"):
        Predictor.of(result, device="cpu")(InMemory([pictures(2)]))
    imported = import_(export(result, tmp_path / "fit.zip", models=False), store)
    with pytest.raises(CannotPredict, match="the sender left them out"):
        Predictor.of(imported, device="cpu")
    backbone = BACKBONES["tinynet"].open("tinynet", "pretrained")
    monkeypatch.setattr(type(backbone), "fingerprint", "another")
    with pytest.raises(CannotPredict, match="are not those of this fit"):
        Predictor.of(result, device="cpu")
    store.remove(result.plan.weights_key(result.plan.folds[0], result.plan.target_groups[0]))
    with pytest.raises(CannotPredict, match="Fit it again"):
        Predictor.of(result, device="cpu")


# ---- the nearest stimuli


def test_the_nearest_stimuli_are_those_that_numpy_finds(tiny, store):
    result = fit(TINY, store)
    known = Patterns.of(result, least_r=0.5)
    assert {hemi: columns.tolist() for hemi, columns in known.columns.items()} == {"lh": [0, 1, 2, 3, 4], "rh": [0, 1, 2, 3, 4]}
    predicted = {hemi: values[0] for hemi, values in predict_images(result, pictures(1)).items()}
    rows, r = known.nearest(predicted, 4)
    train, columns = np.sort(result.plan.folds[0].train), np.arange(5)
    measured = np.concatenate([result.plan.subject.responses[hemi][train][:, columns] for hemi in ("lh", "rh")], axis=1)
    mean = measured.mean(0)
    pattern = np.concatenate([predicted[hemi][:5] for hemi in ("lh", "rh")]) - mean
    told = np.array([np.corrcoef(pattern, each - mean)[0, 1] for each in measured])
    assert rows.tolist() == train[np.argsort(-told)[:4]].tolist()
    np.testing.assert_allclose(r, np.sort(told)[::-1][:4], atol=1e-5)


def test_the_measured_response_to_a_training_stimulus_is_nearest_to_itself_unless_left_out(tiny, store):
    tiny.change(groups=np.repeat(np.arange(60), 2))
    result = fit(TINY, store)
    known, row = Patterns.of(result, least_r=0.5), int(np.sort(result.plan.folds[0].train)[6])
    assert len(known.rows) == len(result.plan.folds[0].train) / 2, "repeats count once"
    mine = {hemi: values[row] for hemi, values in result.plan.subject.responses.items()}
    rows, r = known.nearest(mine, 3)
    assert rows[0] == row and r[0] == pytest.approx(1, abs=1e-5)
    left, _ = known.nearest(mine, 3, without=[result.plan.subject.stimulus_of_row[row]])
    assert left.tolist() == [*rows[1:], *left[-1:]] and row not in left


def test_too_few_vertices_have_no_neighbours(tiny, store):
    known = Patterns.of(fit(TINY, store), least_r=0.999_999)
    rows, r = known.nearest({hemi: np.zeros(10) for hemi in ("lh", "rh")}, 3)
    assert len(rows) == len(r) == 0


def test_of_many_vertices_the_best_predicted_are_compared(tiny, store):
    result = fit(TINY, store)
    scores = every({hemi: result.score(hemi) for hemi in ("lh", "rh")})
    chosen = reliable(result, 0.0, most=4)
    assert sorted(every({hemi: result.score(hemi)[columns] for hemi, columns in chosen.items()})) == sorted(scores)[-4:]


# ---- occlusion


def test_a_patch_covers_its_place_and_nothing_else():
    picture = Image.new("RGB", (40, 20), (200, 10, 10))
    covered = Covered([picture], n_grid=4, patch=0.25)
    assert len(covered) == 17 and covered[0] == picture
    pixels = np.asarray(covered[1 + 4 * 3 + 1])  # last row, second place
    grey = (pixels == 127).all(2)
    assert grey[15:, 10:20].all() and grey.sum() == 50
    assert np.asarray(picture)[0, 0].tolist() == [200, 10, 10], "the picture itself stays as it is"
    corner = (np.asarray(Covered([picture], n_grid=4, patch=0.75)[1]) == 127).all(2)
    assert corner[:10, :20].all() and corner.sum() == 200, "cut off at the edge"


def test_every_frame_of_a_clip_is_covered():
    frames = [Image.new("RGB", (16, 16), (level, level, level)) for level in (0, 255)]
    covered = Covered(frames, n_grid=2, patch=0.5)
    assert covered.n_frames == 2 and [np.asarray(frame)[0, 0, 0] for frame in covered.frames(1)] == [127, 127]


def test_the_drop_is_that_of_a_linear_model_worked_out_by_hand(tiny, store):
    """On pixels ridge is linear, so covering a quarter of the picture takes away that quarter's own part of the prediction."""
    result, (picture,) = fit(changed(options=(("alpha", 3.0),)), store), pictures(1)
    found = occlude(Predictor.of(result, device="cpu"), [picture], {"lh": np.arange(3), "rh": np.array([4])}, n_grid=2, patch=0.5)
    from sklearn.linear_model import Ridge

    train, subject = result.plan.folds[0].train, result.plan.subject
    X = subject.stimuli.pixels.reshape(120, -1) / 255
    Y = np.concatenate([subject.responses["lh"][:, :3], subject.responses["rh"][:, 4:5]], axis=1)
    weights = Ridge(alpha=3.0).fit(X[train], Y[train]).coef_.mean(0).reshape(4, 4, 3)
    change = weights * (np.asarray(picture) / 255 - 127 / 255)
    quarters = change.reshape(2, 2, 2, 2, 3).sum((1, 3, 4))
    np.testing.assert_allclose(found.drop, quarters, atol=2e-5)


def test_a_region_without_a_model_is_refused(tiny, store):
    ready = Predictor.of(fit(changed(target_groups="vertex:lh:3"), store), device="cpu")
    with pytest.raises(ValueError, match="no vertices"):
        occlude(ready, pictures(1), {"lh": np.zeros(0, int)}, n_grid=2, patch=0.5)
    with pytest.raises(ValueError, match="No vertex of this region was fitted"):
        occlude(ready, pictures(1), {"lh": np.array([1])}, n_grid=2, patch=0.5)
    for wrong in ({"n_grid": 1, "patch": 0.5}, {"n_grid": 4, "patch": 0.0}):
        with pytest.raises(ValueError, match=r"has 2 to 24 places|covers 0\.02 to 0\.9"):
            occlude(ready, pictures(1), {"lh": np.array([3])}, **wrong)


def test_another_mask_under_the_same_name_is_another_map(tiny, store):
    result, shown = fit(TINY, store), pictures(1)

    def asked(result):
        picture = InMemory([shown]).fingerprint
        return OcclusionRequest(result.key, "driven", columns_digest(result, "driven"), 2, 0.5, (), picture, (as_png(shown[0]),))

    before = asked(result)
    first = compute(before, store, device="cpu")
    tiny.change(rois={hemi: {"driven": np.arange(3, 8), "noise": np.arange(5, 10)} for hemi in ("lh", "rh")})
    changed = fit(TINY, store)
    assert changed.key == result.key and asked(changed).key != before.key
    second = compute(asked(changed), store, device="cpu")
    direct = occlude(Predictor.of(changed, device="cpu"), shown, {hemi: np.arange(3, 8) for hemi in ("lh", "rh")}, n_grid=2, patch=0.5)
    np.testing.assert_allclose(second.drop, direct.drop, atol=1e-6)
    assert np.abs(second.drop - first.drop).max() > 1e-3
    store.remove(before.key)
    with pytest.raises(ValueError, match="changed after this map was requested"):
        compute(before, store, device="cpu")


@pytest.mark.parametrize("what", ["responses", "stimuli"])
def test_a_map_of_data_that_change_meanwhile_is_not_stored(tiny, store, monkeypatch, what):
    result, shown = fit(TINY, store), pictures(1)
    digest_of = columns_digest(result, "driven")
    asked = OcclusionRequest(result.key, "driven", digest_of, 2, 0.5, (), InMemory([shown]).fingerprint, (as_png(shown[0]),))
    others = {
        "responses": {"fingerprints": dict.fromkeys(("lh", "rh"), "other")},
        "stimuli": {"stimuli": TinyStimuli(tiny.subject.stimuli.pixels[::-1].copy())},
    }

    def meanwhile(*args, **options):
        tiny.change(**others[what])
        return occlude(*args, **options)

    monkeypatch.setattr(occlusion, "occlude", meanwhile)
    before = sorted(store.root.rglob("*.npy"))
    with pytest.raises(BadData, match="changed while they were read"):
        compute(asked, store, device="cpu")
    assert stored(asked.key, store) is None and sorted(store.root.rglob("*.npy")) == before


def test_a_job_computes_the_same_map_once_and_keeps_no_image(tiny, store, monkeypatch):
    result, shown = fit(TINY, store), pictures(1)
    asked = OcclusionRequest(
        result.key, "driven", columns_digest(result, "driven"), 2, 0.5, (), InMemory([shown]).fingerprint, (as_png(shown[0]),)
    )
    assert asked.key != replace(asked, image=InMemory([pictures(1, seed=1)]).fingerprint).key
    assert stored(asked.key, store) is None
    found = compute(asked, store, device="cpu")
    columns = {hemi: result.columns("driven", hemi) for hemi in result.plan.hemis}
    direct = occlude(Predictor.of(result, device="cpu"), shown, columns, n_grid=2, patch=0.5)
    np.testing.assert_allclose(found.drop, direct.drop, atol=1e-6)
    monkeypatch.setattr(Predictor, "of", None)
    np.testing.assert_array_equal(compute(asked, store).drop, found.drop)
    assert sum(path.stat().st_size for path in store.path(asked.key).glob("*.npy")) < 1000
    assert "frames" not in repr(asked)


def test_a_job_decodes_each_frame_once_before_threads_share_it(tiny, store, monkeypatch):
    """Pillow decodes at the first use, and two threads that decode one image at once break its data stream."""
    result, decoding = fit(TINY, store), []
    start = PngImageFile.load_prepare
    monkeypatch.setattr(PngImageFile, "load_prepare", lambda image: (decoding.append(threading.current_thread()), start(image))[1])
    frames = tuple(map(as_png, pictures(1)))
    compute(OcclusionRequest(result.key, "driven", columns_digest(result, "driven"), 2, 0.5, (), "shown", frames), store, device="cpu")
    assert decoding == [threading.current_thread()]
