"""Submissions to both challenges, and what is no submission."""

import dataclasses
import json
import pickle
import re
import zipfile

import numpy as np
import pytest

from encoding import fit
from encoding.datasets.algonauts2021 import BLOCK, MINI_TRACK
from encoding.experiments import Experiment, run_experiment
from encoding.experiments.composition import compose
from encoding.experiments.selection import select, with_validation
from encoding.prediction.predict import CannotPredict, predict, stimuli_in
from encoding.prediction.submissions import KIT_ROIS, check, submit, write_pickle
from encoding.readouts import LinearModel
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY
from tests.encoding.datasets.made2021 import N_TEST
from tests.encoding.prediction.cases import CLIPS, IMAGES, others, quick


def test_the_submission_of_2023_is_a_folder_a_subject_in_a_zip(data2023, store, tmp_path):
    results = [fit(dataclasses.replace(IMAGES, subject=subject), store) for subject in ("subj06", "subj01")]
    made = submit(results, tmp_path / "out", device="cpu")
    assert made.subjects == ("subj01", "subj06") and made.missing == ("subj02", "subj03", "subj04", "subj05", "subj07", "subj08")
    assert not made.too_large and all(path.is_file() for path in made.files)
    with zipfile.ZipFile(made.files[-1]) as archive:
        assert archive.namelist() == [f"{subject}/{hemi}_pred_test.npy" for subject in ("subj01", "subj06") for hemi in ("lh", "rh")]
        archive.extractall(tmp_path / "unpacked")
    for result in results:
        folder = data2023 / result.plan.spec.subject / "test_split" / "test_images"
        again = stimuli_in(folder, result.plan, store)  # the challenge's order is that of the files' names
        for hemi, expected in predict(result, again, device="cpu").items():
            handed_in = np.load(tmp_path / "unpacked" / result.plan.spec.subject / f"{hemi}_pred_test.npy")
            assert handed_in.dtype == np.float32 and handed_in.shape == (5, {"lh": 60, "rh": 70}[hemi])
            np.testing.assert_array_equal(handed_in, expected)


def test_the_submission_of_2021_is_a_pickle_a_track(clip_data, store, tmp_path):
    subjects = ("sub03", "sub01", "sub01-full")
    results = {subject: fit(dataclasses.replace(CLIPS, subject=subject), store) for subject in subjects}
    made = submit(list(results.values()), tmp_path / "out", device="cpu")
    assert [path.name for path in made.files] == ["spec.json", "mini_track.pkl", "mini_track.zip", "full_track.pkl", "full_track.zip"]
    assert "sub02" in made.missing and "sub03-full" in made.missing and len(made.missing) == 8 + 9
    with zipfile.ZipFile(tmp_path / "out" / "mini_track.zip") as archive:
        assert archive.namelist() == ["mini_track.pkl"]
        mini = pickle.loads(archive.read("mini_track.pkl"))
    assert tuple(mini) == KIT_ROIS and set(KIT_ROIS) == set(MINI_TRACK)
    assert all(list(of_roi) == ["sub01", "sub03"] for of_roi in mini.values())
    for person in ("sub01", "sub03"):
        subject = results[person].plan.subject
        expected = predict(results[person], subject.unlabelled, device="cpu")[BLOCK]
        for roi, columns in subject.rois[BLOCK].items():
            assert type(mini[roi][person]) is np.ndarray and mini[roi][person].dtype == np.float64
            np.testing.assert_array_equal(mini[roi][person], expected[:, columns])
    full = pickle.loads((tmp_path / "out" / "full_track.pkl").read_bytes())
    assert list(full) == ["WB"] and list(full["WB"]) == ["sub01"] and full["WB"]["sub01"].shape == (N_TEST, 5000)
    np.testing.assert_array_equal(full["WB"]["sub01"], predict(results["sub01-full"], results["sub01"].plan.subject.unlabelled)[BLOCK])


def composed_of(base, layers, store):
    """The best of two layers of each ROI, chosen on validation stimuli, of each of some fits' subjects."""
    grid = Experiment(base=base, vary={"subject": sorted({"subj01", "subj06"} if "2023" in base.dataset else {"sub01", "sub03"}), **layers})
    ran = run_experiment(with_validation(grid, "holdout:0.6:0"), store, device="cpu")
    assert not [cell.error for cell in ran.status.cells if cell.error]
    return compose(select(ran.cells, store), method="stacked", refit=True, device="cpu")


@pytest.mark.parametrize("challenge", ["algonauts2023", "algonauts2021"])
def test_composed_fits_of_every_stimulus_are_submitted_to_both_challenges(challenge, data2023, clip_data, store, tmp_path):
    base = IMAGES if challenge == "algonauts2023" else CLIPS
    base = dataclasses.replace(base, split="holdout:0.5:0", n_components=3)
    results = composed_of(base, {"n_components": [2, 3]}, store)
    made = submit(results, tmp_path / "out", device="cpu")
    assert len(made.subjects) == 2 and {result.plan.spec.split for result in results} == {"all"}
    for result in results:
        expected = predict(result, result.plan.subject.unlabelled, device="cpu")
        name = result.plan.spec.subject
        if challenge == "algonauts2023":
            for hemi in ("lh", "rh"):
                np.testing.assert_array_equal(np.load(tmp_path / "out" / name / f"{hemi}_pred_test.npy"), expected[hemi])
        else:
            mini = pickle.loads((tmp_path / "out" / "mini_track.pkl").read_bytes())
            for roi, columns in result.plan.subject.rois[BLOCK].items():
                np.testing.assert_array_equal(mini[roi][name], expected[BLOCK][:, columns].astype(np.float64))
    about = json.loads((tmp_path / "out" / "spec.json").read_text())["fits"]
    assert [fit["spec"]["readout"] for fit in about] == ["composed", "composed"]


def test_its_pickle_names_nothing_that_numpy_1_does_not_have(tmp_path):
    values = {"V1": {"sub01": np.arange(6.0).reshape(2, 3)}, "V2": {"sub01": np.zeros((2, 0))}}
    write_pickle(values, tmp_path / "a.pkl")
    written = (tmp_path / "a.pkl").read_bytes()
    assert b"numpy._core" not in written and b"cnumpy.core.multiarray\n_reconstruct\n" in written and written[:2] == b"\x80\x03"
    read = pickle.loads(written)
    for roi in values:
        np.testing.assert_array_equal(read[roi]["sub01"], values[roi]["sub01"])


def test_a_data_set_without_a_challenge_is_refused(tiny, store):
    with pytest.raises(UnknownName, match=r"tiny has no challenge to submit to. Those that have: algonauts2021, algonauts2023."):
        check([fit(TINY, store)])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"hemi": "lh"},
            "has no model for 70 of 70 vertices in rh (target groups hemisphere, hemi lh). The challenge asks for all of them: fit",
        ),
        ({"target_groups": "vertex:lh:5"}, "has no model for 59 of 60 vertices in lh (target groups vertex:lh:5, hemi both)."),
        (
            {"target_groups": "roi", "readout": "mlp", "options": quick("mlp"), "rois": ("V1v",)},
            "has no model for 50 of 60 vertices in lh (target groups roi, hemi both, ROIs V1v)",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_fit_of_some_vertices_is_no_submission(values, message, data2023, store, tmp_path):
    with pytest.raises(CannotPredict, match=re.escape(message)):
        submit([fit(dataclasses.replace(IMAGES, **values), store)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_fits_of_one_subject_or_of_two_challenges_are_refused(data2023, clip_data, store):
    one, two = fit(IMAGES, store), fit(dataclasses.replace(IMAGES, n_components=2), store)
    with pytest.raises(CannotPredict, match=r"2 of these fits are of subj01. A submission holds one for each subject"):
        check([one, two])
    with pytest.raises(CannotPredict, match=r"A submission is to one challenge; these fits are of algonauts2023 and algonauts2021"):
        check([one, fit(CLIPS, store)])


def with_subject(result, **values):
    return dataclasses.replace(result, plan=dataclasses.replace(result.plan, subject=dataclasses.replace(result.plan.subject, **values)))


def test_the_challenges_own_numbers_are_asked_of_data_that_are_not_simulated(data2023, clip_data, store):
    images, clips = fit(IMAGES, store), fit(CLIPS, store)
    with pytest.raises(CannotPredict, match=r"algonauts2023 subj01 has 5 test stimuli here; the challenge's are 159. Unpack"):
        check([with_subject(images, simulated=False)])
    with pytest.raises(CannotPredict, match=r"subj01 has 60 vertices in lh here; the challenge's are 19,004"):
        check([with_subject(images, simulated=False, unlabelled=others(159))])
    with pytest.raises(CannotPredict, match=r"sub01 has 3 test stimuli here; the challenge's are 102"):
        check([with_subject(clips, simulated=False)])
    with pytest.raises(CannotPredict, match=r"sub01 has 126 vertices in brain here; the challenge's are 3,859"):
        check([with_subject(clips, simulated=False, unlabelled=others(102))])
    with pytest.raises(CannotPredict, match=r"The test stimuli of algonauts2023 subj01 are not here"):
        check([with_subject(images, unlabelled=others(0))])


def test_predictions_that_are_no_numbers_are_not_handed_in(data2023, store, tmp_path, monkeypatch):
    result = fit(IMAGES, store)
    monkeypatch.setattr(LinearModel, "basis", lambda self, X: X * np.nan)
    with pytest.raises(CannotPredict, match=r"predicts NaN or infinity for some vertices"):
        submit([result], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
