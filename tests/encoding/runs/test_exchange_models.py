"""An imported fit predicts new pictures, bit for bit as the one that was sent; and what models do not get in, or not out."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from encoding import READOUTS, fit
from encoding.datasets import DATASETS
from encoding.prediction.predict import CannotPredict, predict
from encoding.prediction.predictor import InMemory, Predictor
from encoding.runs.exchange import import_, packed
from encoding.runs.exchange_models import export_refusal
from encoding.runs.imported import NotSent
from encoding.runs.manifest import BadExchange
from tests.conftest import TINY, TinyBackbone, TinyStimuli
from tests.encoding.runs.conftest import drop, put, rewritten

SENT = [name for name in READOUTS if not READOUTS[name].export_refusal]
KEPT = ["knn", "rse", "tree", "forest", "mlp"]  # lstm takes clips, positional places, finetune a real network


@pytest.fixture
def new():
    """Seven pictures that no fit saw."""
    return TinyStimuli(np.random.default_rng(9).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8))


def predict_images(result, images):
    return Predictor.of(result, device="cpu")(InMemory([[image] for image in images]))


def over(result, **more):
    return io.BytesIO(packed(result, **more))


@pytest.mark.parametrize("readout", SENT)
@pytest.mark.filterwarnings("ignore::encoding.readouts._base.NotConverged")
def test_an_imported_fit_predicts_the_same_bits_in_an_empty_store(tiny, store, elsewhere, new, monkeypatch, readout):
    layers = ("pixels", "colour") if READOUTS[readout].by_layer else ("pixels",)
    result = fit(replace(TINY, readout=readout, layers=layers, n_components=3), store, device="cpu")
    there = import_(over(result), elsewhere)
    monkeypatch.delitem(DATASETS._members, "tiny")  # nor is its data set here
    expected, found = (predict(each, new, device="cpu") for each in (result, there))
    assert set(expected) == {"lh", "rh"}
    for hemi in expected:
        assert np.isfinite(expected[hemi]).all() and expected[hemi].std() > 0
        np.testing.assert_array_equal(found[hemi], expected[hemi])
    shown = predict_images(there, list(new))
    np.testing.assert_array_equal(shown["rh"], predict_images(result, list(new))["rh"])


@pytest.mark.parametrize(
    "more",
    [{"split": "kfold:3:0"}, {"target_groups": "vertex:rh:2"}, {"hemi": "lh"}, {"readout": "multitask_lasso", "target_groups": "roi"},
     {"readout": "multitask_lasso", "target_groups": "both"}],
    ids=str,
)  # fmt: skip
def test_folds_and_parts_of_the_vertices_come_along(tiny, store, elsewhere, new, more):
    result = fit(replace(TINY, n_components=4, **more), store, device="cpu")
    passed_on = import_(over(import_(over(result), elsewhere), by="Ada"), elsewhere)
    expected, found = (predict(each, new, device="cpu") for each in (result, passed_on))
    assert set(expected) == set(found)
    for hemi in expected:
        np.testing.assert_array_equal(found[hemi], expected[hemi])


@pytest.mark.parametrize("readout", KEPT)
def test_other_models_are_not_sent_and_the_receiver_reads_why(tiny, store, elsewhere, new, readout):
    why = READOUTS[readout].export_refusal
    result = fit(replace(TINY, readout=readout, n_components=3), store, device="cpu")
    assert export_refusal(result) == why
    there = import_(over(result), elsewhere)
    assert not any(name.startswith("model.") for name in there.arrays)
    for ask in (lambda: predict(there, new, device="cpu"), lambda: predict_images(there, list(new))):
        with pytest.raises(CannotPredict, match=why.replace(".", r"\.")):
            ask()
    with pytest.raises(NotSent, match="did not come with it"):
        there.model("lh")


def test_whatever_is_more_than_weights_is_kept_back_in_a_sentence():
    assert {name for name in READOUTS if READOUTS[name].export_refusal} == {*KEPT, "lstm", "deep", "positional", "finetune"}
    assert all(READOUTS[name].uses_moments or name == "linear_sgd" for name in SENT)


def test_models_may_be_left_out_or_be_too_large_for_the_file(tiny, store, elsewhere, new, monkeypatch):
    result = fit(TINY, store, device="cpu")
    with pytest.raises(CannotPredict, match="the sender left them out, or there was no room"):
        predict(import_(over(result, models=False), elsewhere), new)
    monkeypatch.setattr("encoding.runs.exchange_models.MAX_MODEL_BYTES", 1000)
    assert "there is room for 0 MiB" in export_refusal(result)
    assert len(packed(result)) == len(packed(result, models=False))


@pytest.mark.parametrize("change", [{"target_groups": "vertex:lh:7"}, {"target_groups": "roi", "rois": ("noise",)}, {}], ids=str)
@pytest.mark.parametrize("split", [TINY.split, "all"])
def test_a_fit_without_its_models_counts_the_vertices_that_it_predicts(tiny, store, elsewhere, change, split):
    result = fit(replace(TINY, split=split, **change), store, device="cpu")
    there = import_(over(result, models=False), elsewhere)
    if split == TINY.split:
        pd.testing.assert_frame_equal(there.rois(), result.rois())
    assert not there.rois().empty


def test_another_network_under_the_same_name_does_not_predict(tiny, store, elsewhere, new, monkeypatch):
    there = import_(over(fit(TINY, store, device="cpu")), elsewhere)
    monkeypatch.setattr(TinyBackbone, "fingerprint", "other weights")
    with pytest.raises(CannotPredict, match="The weights of tinynet here are not those that it was fitted with"):
        predict(there, new)


def test_a_path_in_a_file_is_never_opened(tiny, store, elsewhere, new):
    def named(manifest, arrays):
        manifest["provenance"]["made_from"]["spec"]["weights"] = "net.pt"

    there = import_(rewritten(packed(fit(TINY, store, device="cpu")), named), elsewhere)
    assert there.plan.spec.weights == "net.pt"
    with pytest.raises(CannotPredict, match="weights from a file of the sender's"):
        predict(there, new)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("model.f0_p0_weights", np.zeros((3, 9), "f4")), "models of another shape"),
        (put("model.f0_p0_weights", np.full((48, 10), np.nan, "f4")), "models of another shape"),
        (put("model.f0_c0_axes", np.zeros((2, 48), "f4")), "components of another shape"),
        (put("model.f0_c0_mean", np.zeros(48, "i8")), "components of another shape"),
        (put("model.p0_lh", np.arange(10) + 5), "models of vertices that there are not"),
        (put("model.p1_lh", np.arange(10)), "models of vertices that there are not"),
        (put("model.f0_p9_weights", np.zeros((48, 10), "f4")), "models of other names|no possible number"),
        (put("model.evil", np.zeros(3)), "models of other names"),
        (put("other.evil", np.zeros(3)), "parts of another name"),
        (put("about.n_frames", np.array(0)), "no possible number of frames"),
        (drop("model.f0_p1_weights"), "models of other names"),
        (drop("model.f0_c0_mean"), "models of other names"),
    ],
)
def test_models_that_do_not_fit_the_fit_are_refused_and_leave_nothing(tiny, store, elsewhere, change, said):
    data = packed(fit(TINY, store, device="cpu"))
    with pytest.raises(BadExchange, match=said):
        import_(rewritten(data, change), elsewhere)
    assert elsewhere.keys() == []


def test_a_readout_that_sends_no_models_is_not_believed_to_have_some(tiny, store, elsewhere):
    def claimed(manifest, arrays):
        manifest["provenance"]["made_from"]["spec"].update(readout="knn", options={})

    with pytest.raises(BadExchange, match="a readout whose models are not sent"):
        import_(rewritten(packed(fit(TINY, store, device="cpu")), claimed), elsewhere)


def test_the_shell_predicts_from_an_imported_fit(tiny, store, elsewhere, shell, monkeypatch, tmp_path):
    result = fit(TINY, store, device="cpu")
    there = import_(over(result), elsewhere)
    folder = tmp_path / "new"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (4, 4), (number * 80, 10, 200)).save(folder / f"{number}.png")
    for each, name in ((there, "theirs"), (result, "ours")):
        monkeypatch.setenv("ENCODING_CACHE_DIR", str(each.store.root))
        code, _, err = shell("predict", each.key, "--images", folder, "--out", tmp_path / name, "--device", "cpu")
        assert code == 0, err
    found, expected = (np.load(tmp_path / name / "lh_predictions.npy") for name in ("theirs", "ours"))
    np.testing.assert_array_equal(found, expected)
