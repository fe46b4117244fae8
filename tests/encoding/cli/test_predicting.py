"""``python -m encoding predict``: documents, files, exit codes and what is told of wrong words."""

import dataclasses
import json
import pickle
import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from encoding import Result, fit
from encoding.fits.open import open_fit
from encoding.prediction.predict import predict
from encoding.prediction.submissions import CHALLENGES
from encoding.storage.store import Store
from tests.conftest import TINY, TinyBackbone
from tests.encoding.cli.words import TINY_FIT
from tests.encoding.prediction.cases import CLIPS, IMAGES, changed, others, photos
from tests.encoding.prediction.conftest import challenge2023, clip_data, clips, data2023  # noqa: F401 - fixtures

DOCUMENT = {"key", "spec", "simulated", "units", "n_models", "n_train", "unfitted", "n_stimuli", "n_vertices", "out", "seconds"}


@pytest.fixture
def fitted(tiny, cache) -> Result:
    return fit(TINY, cache)


@pytest.fixture
def images(tmp_path) -> Path:
    return photos(tmp_path / "photos", others(6))


def test_the_key_that_fit_prints_predicts_a_folder_of_images(tiny, ask, images, tmp_path, cache):
    key = ask(*TINY_FIT)["key"]
    document = ask("predict", key, "--images", images, "--out", tmp_path / "out")
    assert set(document) == DOCUMENT and document["key"] == key and document["spec"] == TINY.to_dict()
    assert document["n_stimuli"] == 6 and document["n_vertices"] == {"lh": 10, "rh": 10} and document["unfitted"] == {"lh": 0, "rh": 0}
    assert document["n_models"] == 1 and document["n_train"] == [90] and document["simulated"] is True
    folder = Path(document["out"])
    for hemi, expected in predict(open_fit(key, cache), others(6), device="cpu").items():
        np.testing.assert_array_equal(np.load(folder / f"{hemi}_predictions.npy"), expected)
    assert pd.read_csv(folder / "stimuli.csv")["name"].tolist() == [f"photo {number}.png" for number in range(6)]
    assert pd.read_csv(folder / "vertices.csv")["hemi"].tolist() == ["lh"] * 10 + ["rh"] * 10


def test_the_text_says_what_the_numbers_are_and_whose(tiny, shell, images, tmp_path, cache):
    key = fit(changed(split="kfold:4:0", target_groups="vertex:rh:2"), cache).key
    code, out, _ = shell("predict", key.removeprefix("fit-")[:8], "--images", images, "--out", tmp_path / "out")
    assert code == 0
    assert "responses to 6 images: vertices 10 in rh" in out and "units      those of the responses of tiny" in out
    assert "NaN        vertices that were not fitted: 9 in rh" in out
    assert "tiny subj01 (simulated: no brain was measured), tinynet pixels, ridge" in out
    assert "90 training images each, mean of 4 models, one a fold" in out
    written, time = out.splitlines()[-2:]
    assert written == f"written    {tmp_path / 'out'}" and re.fullmatch(r"time       \d+ s", time)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["KEY", "--out", "out"], "Say what to predict: --images DIR, --table FILE, or --submission for the test set of a challenge."),
        (["KEY", "--images", "photos", "--submission", "--out", "out"], "Leave out --images, or --submission."),
        (["KEY", "KEY", "--images", "photos", "--out", "out"], "Several keys make one --submission."),
        (["KEY", "--images", "phots", "--out", "out"], "--images phots is no folder."),
        (["KEY", "--images", "photos", "--out", "photos/photo 0.png"], "is a file; give a folder."),
        (["KEY", "--images", "photos"], "the following arguments are required: --out"),
        (["fit-nothing", "--images", "photos", "--out", "out"], "Unknown fit 'fit-nothing'. "),
        (["KEY", "--submission", "--out", "out"], "tiny has no challenge to submit to. Those that have: algonauts2021, algonauts2023."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words_are_exit_code_2_and_write_nothing(words, message, fitted, images, shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = shell("predict", *(fitted.key if word == "KEY" else word for word in words))
    assert code == 2 and out == "" and message in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_what_fails_in_the_work_is_exit_code_1_and_its_own_sentence(fitted, shell, ask, images, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    code, _, err = shell("predict", fitted.key, "--images", tmp_path / "empty", "--out", tmp_path / "out")
    assert code == 1 and "error: " in err and "holds no images (.png, .jpg …), which the fit of tiny subj01 predicts from." in err
    (images / "photo 3.png").write_bytes(b"no picture")
    code, _, err = shell("predict", fitted.key, "--images", images, "--out", tmp_path / "out")
    assert code == 1 and "photo 3.png cannot be read as an image" in err and "--debug" not in err
    monkeypatch.setattr(TinyBackbone, "fingerprint", "other weights")
    document = ask("predict", fitted.key, "--images", images, "--out", tmp_path / "out", code=1)
    assert document["exit_code"] == 1 and "are not those that it was fitted with" in document["error"]


def test_two_subjects_make_one_zip(data2023, shell, ask, cache, tmp_path):  # noqa: F811
    keys = [ask(*shlex.split(changed_subject(IMAGES, name).to_command())[3:])["key"] for name in ("subj01", "subj06")]
    document = ask("predict", *keys, "--submission", "--out", tmp_path / "out")
    assert document["challenge"] == "algonauts2023" and document["keys"] == keys and document["subjects"] == ["subj01", "subj06"]
    assert len(document["missing_subjects"]) == 6 and document["simulated"] is True and document["too_large"] is False
    handed_in = Path(document["files"][-1]["path"])
    assert handed_in.stat().st_size == document["files"][-1]["bytes"]
    with zipfile.ZipFile(handed_in) as archive:
        assert len(archive.namelist()) == 4
        archive.extractall(tmp_path / "unpacked")
    for key, name in zip(keys, ("subj01", "subj06"), strict=True):
        result = open_fit(key, cache)
        expected = predict(result, result.plan.subject.unlabelled, device="cpu")
        for hemi in ("lh", "rh"):
            np.testing.assert_array_equal(np.load(tmp_path / "unpacked" / name / f"{hemi}_pred_test.npy"), expected[hemi])
    code, out, _ = shell("predict", *keys, "--submission", "--out", tmp_path / "again")
    assert code == 0 and "missing    subj02, subj03, subj04, subj05, subj07, subj08: the challenge asks for them" in out
    assert f"written    {tmp_path / 'again' / 'algonauts2023_submission.zip'} (" in out


def test_a_zip_that_the_challenge_would_not_take_is_named(data2023, shell, ask, cache, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setitem(CHALLENGES, "algonauts2023", dataclasses.replace(CHALLENGES["algonauts2023"], most_bytes=2000))
    key = fit(IMAGES, cache).key
    assert ask("predict", key, "--submission", "--out", tmp_path / "out")["too_large"] is True
    out = shell("predict", key, "--submission", "--out", tmp_path / "out")[1]
    assert "too large  algonauts2023_submission.zip: the challenge takes at most 2.0 kB" in out


def test_a_submission_of_some_vertices_is_exit_code_2(data2023, shell, cache, tmp_path):  # noqa: F811
    key = fit(changed_subject(IMAGES, "subj01", hemi="lh"), cache).key
    code, out, err = shell("predict", key, "--submission", "--out", tmp_path / "out")
    assert code == 2 and out == "" and "has no model for 70 of 70 vertices in rh" in err and not (tmp_path / "out").exists()


def test_clips_are_submitted_as_a_pickle(clip_data, ask, cache, tmp_path):  # noqa: F811
    key = fit(CLIPS, cache).key
    document = ask("predict", key[:12], "--submission", "--out", tmp_path / "out")
    assert [Path(file["path"]).name for file in document["files"]] == ["spec.json", "mini_track.pkl", "mini_track.zip"]
    read = pickle.loads((tmp_path / "out" / "mini_track.pkl").read_bytes())
    assert read["V1"]["sub01"].shape[0] == 3 and json.loads((tmp_path / "out" / "spec.json").read_text())["fits"][0]["key"] == key


def test_the_help_has_an_example(shell, capsys):
    code, out, err = shell("predict", "--help")
    assert code == 0 and "python -m encoding predict fit-3fa92c --images photos --out predictions" in out + err


def changed_subject(spec, name, **values):
    return dataclasses.replace(spec, subject=name, **values)


def test_the_store_of_another_process_will_do(fitted, images, ask, tmp_path, cache):
    assert open_fit(fitted.key, Store(cache.root)).key == ask("predict", fitted.key, "--images", images, "--out", tmp_path / "out")["key"]
