"""The Algonauts 2021 layout: what is written is read back, fitted to a known truth, and what is wrong is named."""

from __future__ import annotations

import pickle
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest

from encoding import FitSpec, fit
from encoding.datasets import DATASETS, BadData
from encoding.datasets import _tracks2021 as tracks
from encoding.datasets._placement import Placement
from encoding.datasets._surface import mesh
from encoding.datasets._tracks2021 import AFFINE, VOLUME, read_arrays
from encoding.datasets.algonauts2021 import BLOCK, MINI_TRACK, Algonauts2021, Algonauts2021Layout
from encoding.datasets.writers.algonauts2021 import simulate_algonauts2021, write_algonauts2021, write_pickle
from encoding.evaluation.noise_ceiling import from_repeats
from encoding.runtime.registry import UnknownName
from tests.encoding.datasets.made2021 import N_CLIPS, N_TEST, frames_of, made_person, write_made


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with two people, written once."""
    return write_made(tmp_path_factory.mktemp("algonauts2021"))


@pytest.fixture
def root(written, tmp_path):
    """A copy of it to be damaged."""
    shutil.copytree(written, tmp_path / "algonauts2021")
    return tmp_path / "algonauts2021"


def opened(root, store, subject="sub01"):
    return Algonauts2021(root).open(subject, store)


def averaged(repeats):
    return (np.sum(repeats, axis=1, dtype=np.float64) / 3).astype(np.float32)


# -- written and read back


def test_the_mini_track_is_read_back_averaged_with_its_rois_side_by_side(written, store):
    made, read = made_person(), opened(written, store)
    assert (read.dataset, read.name, read.hemis, read.simulated) == ("algonauts2021", "sub01", (BLOCK,), True)
    np.testing.assert_array_equal(read.responses[BLOCK], np.hstack([averaged(made.rois[roi]) for roi in MINI_TRACK]))
    assert read.responses[BLOCK].dtype == np.float32 and not read.responses[BLOCK].flags.writeable
    assert list(read.rois[BLOCK]) == ["V1", "V2", "V3", "V4", "LOC", "EBA", "FFA", "STS", "PPA"]
    for roi, columns in read.rois[BLOCK].items():
        np.testing.assert_array_equal(read.responses[BLOCK][:, columns], averaged(made.rois[roi]))
        np.testing.assert_allclose(read.ceiling[BLOCK][columns], from_repeats(made.rois[roi]), atol=1e-6)
        assert columns.dtype == np.int64
    assert len(read.rois[BLOCK]["FFA"]) == 0
    assert read.vertices is None and read.sampled is None and Placement.of(read) is None
    assert np.array_equal(read.groups, np.arange(N_CLIPS))


def test_the_full_track_is_the_whole_brain_without_rois(written, store):
    made, read = made_person(3), opened(written, store, "sub03-full")
    np.testing.assert_array_equal(read.responses[BLOCK], averaged(made.brain))
    np.testing.assert_allclose(read.ceiling[BLOCK], from_repeats(made.brain), atol=1e-6)
    assert read.rois == {BLOCK: {}} and read.vertices is None and set(read.sampled) == {"lh", "rh"}


def test_clips_with_responses_come_first_and_the_others_are_unlabelled(written, store):
    read = opened(written, store)
    assert (len(read.stimuli), len(read.unlabelled)) == (N_CLIPS, N_TEST)
    assert read.stimuli.names[0] == "0001_simulated" and read.unlabelled.names[0] == "0041_simulated"
    for row, stimuli, clip in ((0, read.stimuli, 0), (N_CLIPS - 1, read.stimuli, N_CLIPS - 1), (2, read.unlabelled, N_CLIPS + 2)):
        for frame, drawn in zip(stimuli.sampled(6).frames(row), frames_of(clip), strict=True):
            assert np.abs(np.asarray(frame, int) - drawn).max() <= 6  # lossy


def test_files_are_named_and_typed_as_in_the_download(written):
    found = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    assert len(found) == N_CLIPS + N_TEST + 2 * (9 + 1) + 1
    assert {"participants_data_v2021/mini_track/sub01/V1.pkl", "participants_data_v2021/full_track/sub03/WB.pkl"} < found
    assert {"AlgonautsVideos268_All_30fpsmax/0001_simulated.mp4", "SIMULATED.txt"} < found
    with (written / "participants_data_v2021/full_track/sub03/WB.pkl").open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy on its old name
        trusting = pickle.Unpickler(file, encoding="latin1")  # as the development kit reads them
        content = trusting.load()
    assert content["train"].shape == (N_CLIPS, 3, 5000) and content["voxel_mask"].shape == (78, 93, 71)
    np.testing.assert_array_equal(np.flatnonzero(content["voxel_mask"] == 1), made_person(3).voxels)


def test_the_second_opening_reads_no_pickle_and_no_byte_of_a_clip(root, store, monkeypatch):
    data = Algonauts2021(root)
    for subject in ("sub01", "sub01-full"):
        assert not data.is_ready(subject, store)
        first = data.open(subject, store)
        assert data.is_ready(subject, store)
        with monkeypatch.context() as patch:
            for name in (
                "encoding.datasets._tracks2021.read_arrays",
                "encoding.datasets._volumes.on_surface",
                "encoding.storage.fingerprints.sha256",
            ):
                patch.setattr(name, lambda *_: pytest.fail("read again"))
            again = data.open(subject, store)
        assert again.fingerprints == first.fingerprints and again.stimuli.fingerprint == first.stimuli.fingerprint
        np.testing.assert_array_equal(again.responses[BLOCK], first.responses[BLOCK])


def test_another_byte_in_a_pickle_or_a_clip_is_another_fingerprint(root, store):
    before = opened(root, store)
    layout = Algonauts2021Layout(root)
    write_pickle({"train": made_person(5).rois["V4"]}, layout.roi("sub01", "V4"))
    assert not Algonauts2021(root).is_ready("sub01", store)
    after = opened(root, store)
    assert after.fingerprints != before.fingerprints and after.stimuli.fingerprint == before.stimuli.fingerprint
    shutil.copy(layout.clips / "0002_simulated.mp4", layout.clips / "0001_simulated.mp4")
    last = opened(root, store)
    assert last.fingerprints == after.fingerprints and last.stimuli.fingerprint != after.stimuli.fingerprint


def test_subjects_are_both_tracks_of_each_person(root, tmp_path):
    (root / "participants_data_v2021" / "full_track" / "sub07").mkdir()
    (root / "participants_data_v2021" / "mini_track" / "notes").mkdir()
    assert Algonauts2021(root).subjects() == ("sub01", "sub03", "sub01-full", "sub03-full", "sub07-full")
    nowhere = Algonauts2021(tmp_path / "nowhere")
    assert nowhere.subjects() == () and "simulate --layout algonauts2021" in nowhere.where() and str(tmp_path) in nowhere.where()


def test_the_registered_data_set_has_clips_and_the_development_kits_split(written, tmp_path):
    data = DATASETS["algonauts2021"]
    assert data.clips and not data.simulated and data.roi_names()["early visual"] == ("V1", "V2", "V3", "V4")
    assert Algonauts2021(tmp_path / "nowhere").split == "first:900"
    assert Algonauts2021(written).split == "holdout:0.9:5"  # the first 900 of 40 clips would leave none to test
    many = Algonauts2021Layout(tmp_path / "many")
    many.clips.mkdir(parents=True)
    for number in range(1000):
        (many.clips / f"{number + 1:04d}_a.mp4").touch()
    assert Algonauts2021(many.folder).split == "first:900"


def test_an_unknown_subject_gets_the_nearest(written, store, tmp_path):
    with pytest.raises(UnknownName, match=r"Unknown subject 'sub1'\. Did you mean 'sub01'\?"):
        opened(written, store, "sub1")
    with pytest.raises(UnknownName, match=r"No subject 'sub01': Not on this machine"):
        opened(tmp_path / "nowhere", store)


def test_nothing_is_written_over_data_or_by_another_name(written, tmp_path):
    with pytest.raises(FileExistsError, match="AlgonautsVideos268_All_30fpsmax exists already"):
        write_algonauts2021(written, [], {}, simulated=True)
    with pytest.raises(ValueError, match="names its subjects sub01, sub02"):
        write_algonauts2021(tmp_path, [], {"subj01": made_person()}, simulated=True)
    with pytest.raises(ValueError, match="Each column of sub01's whole brain needs a voxel of its own"):
        write_algonauts2021(tmp_path, [], {"sub01": replace(made_person(), voxels=np.arange(3))}, simulated=True)
    with pytest.raises(UnknownName, match="Unknown simulated subject 'subj9'"):
        simulate_algonauts2021(tmp_path, subjects=["subj9"])
    assert not list(tmp_path.iterdir())


# -- on the surface


def test_values_on_the_surface_are_those_nilearn_finds_in_their_volume(written, store):
    import nibabel
    from nilearn.surface import InMemoryMesh, vol_to_surf

    subject = opened(written, store, "sub01-full")
    values = np.asarray(subject.responses[BLOCK][0])
    volume = np.full(VOLUME, np.nan, np.float32)
    volume.ravel()[made_person().voxels] = values
    placed = Placement.of(subject)
    for hemi, here in placed.values({BLOCK: values}).items():
        pial, white = (InMemoryMesh(*mesh(name, hemi)) for name in ("pial", "white"))
        theirs = vol_to_surf(
            nibabel.Nifti1Image(volume, AFFINE), pial, inner_mesh=white, interpolation="nearest_most_frequent", depth=[0.5]
        )
        np.testing.assert_array_equal(placed.vertices[hemi], np.flatnonzero(np.isfinite(theirs)))
        np.testing.assert_allclose(here, theirs[placed.vertices[hemi]])
        assert len(here) > 50 and (np.diff(placed.vertices[hemi]) > 0).all()


# -- fitted to a known truth


def test_a_fit_finds_what_the_voxels_answer_to(written, store, monkeypatch):
    monkeypatch.setitem(DATASETS._members, "algonauts2021", Algonauts2021(written))
    spec = FitSpec(
        dataset="algonauts2021", subject="sub01", backbone="pixels", layers=("rgb",), frames=2, n_components=0, split="kfold:4:0",
    )  # fmt: skip
    result = fit(spec, store)
    r, highest = result.score(BLOCK), np.sqrt(result.ceiling(BLOCK))
    v1 = result.plan.subject.rois[BLOCK]["V1"]
    assert (r[v1[:4]] > 0.95).all()  # hardly any noise there
    assert np.abs(r - highest).mean() < 0.15 and np.corrcoef(r, highest)[0, 1] > 0.7
    rows = result.rois()
    assert rows["roi"].tolist() == ["all", *MINI_TRACK] and rows.set_index("roi").loc["FFA", "n_vertices"] == 0


# -- what is wrong is named


def rewrite(path, **arrays):
    write_pickle(arrays, path)


def with_nan(values):
    values = values.copy()
    values[3, 1, 0] = np.nan
    return values


MASK = np.zeros(VOLUME, np.uint8)
DAMAGES = {
    "an ROI missing": (lambda at: at.roi("sub01", "LOC").unlink(), "sub01", r"LOC\.pkl is missing\. Copy this file again"),
    "the whole brain missing": (lambda at: at.whole_brain("sub01").unlink(), "sub01-full", r"WB\.pkl is missing"),
    "an ROI cut short": (
        lambda at: at.roi("sub01", "V1").write_bytes(at.roi("sub01", "V1").read_bytes()[:2000]),
        "sub01",
        r"V1\.pkl is refused, and nothing in it was run",
    ),
    "no training responses": (
        lambda at: rewrite(at.roi("sub01", "V2"), test=np.zeros(3)),
        "sub01",
        r"V2\.pkl holds no array 'train'; it has test",
    ),
    "responses without repetitions": (
        lambda at: rewrite(at.roi("sub01", "V2"), train=np.zeros((N_CLIPS, 5))),
        "sub01",
        r"V2\.pkl: train holds float64 of shape \(40, 5\) where numbers \(n_clips, n_repetitions, n_voxels\) belong",
    ),
    "clips of another number": (
        lambda at: rewrite(at.roi("sub01", "V3"), train=np.zeros((9, 3, 5))),
        "sub01",
        r"V3\.pkl has 9 clips, the files before it 40",
    ),
    "NaN": (lambda at: rewrite(at.roi("sub01", "V1"), train=with_nan(made_person().rois["V1"])), "sub01", r"V1\.pkl holds NaN or infinite"),
    "a mask of another brain": (
        lambda at: rewrite(at.whole_brain("sub01"), train=made_person().brain, voxel_mask=MASK),
        "sub01-full",
        r"WB\.pkl: voxel_mask marks 0 voxels, but train has 5,000",
    ),
    "a mask of another shape": (
        lambda at: rewrite(at.whole_brain("sub01"), train=made_person().brain, voxel_mask=MASK[1:]),
        "sub01-full",
        r"WB\.pkl: voxel_mask has shape \(77, 93, 71\)",
    ),
    "no mask": (
        lambda at: rewrite(at.whole_brain("sub01"), train=made_person().brain),
        "sub01-full",
        r"WB\.pkl holds no array 'voxel_mask'",
    ),
    "a clip missing": (
        lambda at: (at.clips / "0004_simulated.mp4").unlink(),
        "sub01",
        r"0005_simulated\.mp4 has the number 5 but is clip 4 of its folder",
    ),
    "clips cut off": (
        lambda at: [path.unlink() for path in at.clips.iterdir() if path.name > "0030"],
        "sub01",
        r"AlgonautsVideos268_All_30fpsmax holds 29 clips, but the responses have 40 rows",
    ),
    "a clip of another name": (lambda at: (at.clips / "holiday.mp4").touch(), "sub01", r"holiday\.mp4 is not named like 0001_0-0-1"),
    "no clips": (lambda at: shutil.rmtree(at.clips), "sub01", r"There is no folder .*AlgonautsVideos268_All_30fpsmax"),
}


@pytest.mark.parametrize(("damage", "subject", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named_with_its_mend(root, store, damage, subject, message):
    damage(Algonauts2021Layout(root))
    data = Algonauts2021(root)
    assert not data.is_ready(subject, store)
    with pytest.raises(BadData, match=message):
        data.open(subject, store)


def test_a_broken_clip_is_named_when_it_is_looked_at(root, store):
    path = Algonauts2021Layout(root).clips / "0004_simulated.mp4"
    path.write_bytes(path.read_bytes()[:700])
    stimuli = opened(root, store).stimuli
    with pytest.raises(BadData, match=r"0004_simulated\.mp4 "):
        stimuli.frames(3)


def test_one_file_at_a_time_is_in_memory(root, store, monkeypatch):
    """Averages of what was read are kept, never the repetitions of two files."""
    import weakref

    seen = []

    def watched(path):
        assert not [array for array in seen if array() is not None and array().ndim == 3]
        found = {name: values.copy() for name, values in read_arrays(path).items()}
        seen.extend(weakref.ref(values) for values in found.values())
        return found

    monkeypatch.setattr(tracks, "read_arrays", watched)
    opened(root, store)
    assert len(seen) == 9
