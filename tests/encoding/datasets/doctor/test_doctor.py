"""The doctor finds what is wrong with a folder, says it in one line each, and never falls over."""

from __future__ import annotations

import pickle
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from encoding.datasets._download2023 import DOWNLOADS, ROI_SIZES
from encoding.datasets._rois import ROI_CLASSES
from encoding.datasets.algonauts2023 import Algonauts2023Layout
from encoding.datasets.doctor import diagnose, find_subjects
from encoding.datasets.writers.algonauts2023 import write_algonauts2023
from encoding.storage.store import Store
from tests.encoding.datasets.test_algonauts2023 import DAMAGES, made_subject


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "algonauts2023"
    write_algonauts2023(made_subject(), out)
    return out


@pytest.fixture
def layout(written, tmp_path, monkeypatch):
    monkeypatch.setattr("encoding.storage.fingerprints.SETTLED_SECONDS", 0)  # each test changes files before it reads them
    shutil.copytree(written / "subj03", tmp_path / "algonauts2023" / "subj03")
    return Algonauts2023Layout(tmp_path / "algonauts2023" / "subj03")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def levels(findings, level):
    return [str(finding) for finding in findings if finding.level == level]


def test_a_sound_subject_gives_no_error_and_only_the_warning_it_deserves(layout, store):
    findings = diagnose(layout.folder, store)
    assert levels(findings, "error") == []
    assert levels(findings, "warning") == [
        "warning subj03: lh ROIs of fewer than 20 vertices: V1v (10), V1d (5), EBA (18), FFA-1 (3). Their mean scores say little.",
        "warning subj03: rh ROIs of fewer than 20 vertices: V1v (10), V1d (5), EBA (18), FFA-1 (3). Their mean scores say little.",
    ]
    told = "\n".join(levels(findings, "ok"))
    for part in (
        "simulated",
        "24 training images, named by their rows, all readable",
        "5 test images",
        "no image has a double",
        "lh responses 24 x 60, finite, from ",
        "rh masks: 70 vertices, 6 of 31 ROIs have some",
        "mTL-faces, aTL-faces",
        "noise ceilings from ",
    ):
        assert part in told, part
    assert all("\n" not in str(finding) for finding in findings)


def test_a_subject_a_folder_of_subjects_and_the_folder_above_are_recognised(layout):
    (layout.folder.parent / "subj01").mkdir()
    both = [layout.folder.parent / "subj01", layout.folder]
    assert find_subjects(layout.folder) == [layout.folder]
    assert find_subjects(layout.folder.parent) == both
    assert find_subjects(layout.folder.parent.parent) == both


def test_a_folder_without_subjects_is_an_error_that_says_what_to_name(tmp_path, store):
    for folder in (tmp_path, tmp_path / "nowhere"):
        (finding,) = diagnose(folder, store)
        assert finding.level == "error" and str(folder) in finding.what and "subj01, subj02" in finding.fix


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_all_that_the_reader_refuses_is_an_error_said_once(layout, store, damage, message):
    damage(layout)
    errors = levels(diagnose(layout.folder, store), "error")
    assert len(errors) == len(set(errors))
    assert any(re.search(message, error) for error in errors), errors


def test_images_that_cannot_be_read_are_counted_and_the_first_is_named(layout, store):
    for number, nsd in ((4, 31), (9, 36)):
        (layout.training_images / f"train-{number:04d}_nsd-{nsd:05d}.png").write_bytes(b"no picture")
    (error,) = levels(diagnose(layout.folder, store), "error")
    assert "2 of 24 training images cannot be read" in error
    assert "train-0004_nsd-00031.png cannot be read" in error


def test_images_of_another_mode_are_a_warning(layout, store):
    path = layout.training_images / "train-0005_nsd-00032.png"
    with Image.open(path) as image:
        image.convert("L").save(path)
    warnings = levels(diagnose(layout.folder, store), "warning")
    assert any(
        "1 training images are not RGB, the first train-0005_nsd-00032.png (L). They are converted" in warning for warning in warnings
    )


def test_a_test_image_among_the_training_images_is_found_by_its_bytes(layout, store):
    shutil.copy(layout.test_images / "test-0003_nsd-00054.png", layout.training_images / "train-0008_nsd-00035.png")
    warnings = levels(diagnose(layout.folder, store), "warning")
    assert any("1 test images are training images too, the first test-0003_nsd-00054.png, which is train-0008" in line for line in warnings)


def test_equal_images_of_different_ids_are_found_and_repeats_of_one_are_not(layout, store):
    shutil.copy(layout.training_images / "train-0001_nsd-00007.png", layout.training_images / "train-0002_nsd-00007.png")
    assert not any("equal others" in line for line in levels(diagnose(layout.folder, store), "warning"))
    shutil.copy(layout.training_images / "train-0003_nsd-00030.png", layout.training_images / "train-0009_nsd-00036.png")
    warnings = levels(diagnose(layout.folder, store), "warning")
    assert any(
        "1 training images equal others of another NSD id, the first train-0009_nsd-00036.png and train-0003" in line for line in warnings
    )


def test_labels_that_differ_between_the_two_spaces_are_a_warning(layout, store):
    path = layout.labels("rh", "streams", space="fsaverage")
    labels = np.load(path)
    labels[np.flatnonzero(labels == 1)[:3]] = 0
    np.save(path, labels)
    warnings = levels(diagnose(layout.folder, store), "warning")
    assert any("rh.streams_fsaverage_space.npy and rh.streams_challenge_space.npy disagree at 3 vertices" in line for line in warnings)


def test_constant_responses_are_an_error(layout, store):
    np.save(layout.responses("lh"), np.zeros((24, 60), np.float32))
    (error,) = levels(diagnose(layout.folder, store), "error")
    assert "lh_training_fmri.npy holds nothing but 0.0" in error


def test_missing_test_images_are_a_warning_and_missing_ceilings_are_not(layout, store):
    shutil.rmtree(layout.test_images)
    shutil.rmtree(layout.ceilings[0])
    findings = diagnose(layout.folder, store)
    assert any("There is nothing to predict for a submission" in line for line in levels(findings, "warning"))
    assert any("no noise ceilings. Scores are shown without them. To have them, lay lh.npy" in line for line in levels(findings, "ok"))


def test_ceilings_from_ncsnr_without_repeats_are_said_to_be_the_highest_possible(layout, store):
    for hemi, n in (("lh", 60), ("rh", 70)):
        (layout.ceilings[0] / f"{hemi}.npy").unlink()
        np.save(layout.ceilings[0] / f"{hemi}.ncsnr.npy", np.ones(n))
    findings = diagnose(layout.folder, store)
    assert any("medians lh 0.750, rh 0.750" in line for line in levels(findings, "ok"))
    assert any("no repeats.npy beside lh.ncsnr.npy. All images count as seen three times" in line for line in levels(findings, "warning"))


# -- against the real download's known numbers


def as_downloaded(layout, monkeypatch, **changes):
    """Take the subject for the challenge's own, which is made to look like it."""
    layout.marker.unlink()
    ranges = {hemi: (float(np.load(layout.responses(hemi)).min()), float(np.load(layout.responses(hemi)).max())) for hemi in ("lh", "rh")}
    like = replace(DOWNLOADS["subj03"], n_images=24, n_test=5, n_vertices={"lh": 60, "rh": 70}, ranges=ranges)
    monkeypatch.setitem(DOWNLOADS, "subj03", replace(like, **changes))
    return ranges


def test_an_undamaged_download_is_recognised_by_its_numbers(layout, store, monkeypatch):
    as_downloaded(layout, monkeypatch)
    findings = diagnose(layout.folder, store)
    assert levels(findings, "error") == []
    assert all("fewer than 20" in line for line in levels(findings, "warning"))
    assert sum("as in an undamaged download" in line for line in levels(findings, "ok")) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_images": 9082}, "24 training images. The challenge's download has 9,082: part of it is missing or changed. Unpack"),
        ({"n_test": 293}, "5 test images. The challenge's download has 293"),
        ({"n_vertices": {"lh": 19_004, "rh": 70}}, "60 lh vertices. The challenge's download has 19,004"),
        (
            {"ranges": {"lh": (-9.1, 7.2), "rh": (0, 1)}},
            "An undamaged download has -9.1000 to 7.2000; these were changed or belong to somebody else",
        ),
    ],
)
def test_numbers_unlike_the_downloads_are_a_warning(layout, store, monkeypatch, changes, message):
    as_downloaded(layout, monkeypatch, **changes)
    assert any(message in line for line in levels(diagnose(layout.folder, store), "warning"))


def test_rois_unlike_the_downloads_and_odd_image_sizes_are_warnings(layout, store, monkeypatch):
    as_downloaded(layout, monkeypatch)
    monkeypatch.setitem(ROI_SIZES, ("subj03", "lh"), {"V1v": 10, "V1d": 828})
    Image.new("RGB", (30, 40)).save(layout.training_images / "train-0001_nsd-00007.png")
    warnings = levels(diagnose(layout.folder, store), "warning")
    assert any("5 vertices in lh V1d. The challenge's download has 828" in line for line in warnings)
    assert not any("lh V1v." in line for line in warnings)
    assert any("1 training images are not 425 x 425, the first train-0001_nsd-00007.png" in line for line in warnings)


def test_the_known_download_has_the_challenges_totals():
    assert [DOWNLOADS[f"subj{i:02d}"].n_images for i in range(1, 9)] == [9841, 9841, 9082, 8779, 9841, 9082, 9841, 8779]
    assert [DOWNLOADS[f"subj{i:02d}"].n_test for i in range(1, 9)] == [159, 159, 293, 395, 159, 293, 159, 395]
    assert {name: tuple(known.n_vertices.values()) for name, known in DOWNLOADS.items() if known.n_vertices["lh"] != 19_004} == {
        "subj06": (18_978, 20_220),
        "subj08": (18_981, 20_530),
    }
    names = {name for names in ROI_CLASSES.values() for name in names}
    assert all(set(sizes) <= names for sizes in ROI_SIZES.values())


# -- other layouts


def told(findings, level):
    return "\n".join(levels(findings, level))


def picture(path, seed, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The folder of data sets."""
    monkeypatch.setattr("encoding.storage.fingerprints.SETTLED_SECONDS", 0)
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def img2brain(data):
    """Eleven numbered images and their responses, as a simulation would mark them."""
    folder = data / "img2brain" / "Data_img2brain"
    for number in range(1, 12):
        picture(folder / "trainingIMG" / f"{number:02d}.jpg", number)
    picture(folder / "testIMG" / "1.jpg", 99)
    (folder / "trainingfMRI").mkdir()
    np.save(folder / "trainingfMRI" / "training.npy", np.random.default_rng(0).normal(2, 3, (11, 30)).astype(np.float32))
    (folder / "SIMULATED.txt").touch()
    return folder


def test_a_sound_img2brain_gives_nothing_but_what_is_so(img2brain, store):
    for folder in (img2brain, img2brain.parent, img2brain.parent.parent):
        findings = diagnose(folder, store)
        assert {finding.level for finding in findings} == {"ok"}
    for part in (
        "img2brain: simulated",
        "no ROIs, no brain map and no noise ceiling",
        "11 training images, all readable, all 8 x 8 pixels",
        "natural order of file names, from 01.jpg to 11.jpg",
        "no image has a duplicate",
        "training responses 11 x 30 float32, finite",
    ):
        assert part in told(findings, "ok"), part
    spread = re.search(r"varies by ([\d.]+) \(median standard deviation\) around ([\d.]+)\.", told(findings, "ok"))
    values = np.load(img2brain / "trainingfMRI" / "training.npy")
    assert float(spread[1]) == pytest.approx(np.median(values.std(0)), rel=0.01)
    assert float(spread[2]) == pytest.approx(np.median(values.mean(0)), rel=0.01)


def test_img2brain_without_the_marker_is_compared_with_the_download(img2brain, store):
    (img2brain / "SIMULATED.txt").unlink()
    warnings = told(diagnose(img2brain, store), "warning")
    for part in ("11 training images. The download has 8,857", "1 test images. The download has 984", "30 voxels. The download has 10,000"):
        assert part in warnings, part


def test_what_is_wrong_with_img2brain_is_named(img2brain, store):
    images = img2brain / "trainingIMG"
    (images / "05.jpg").unlink()
    shutil.copy(images / "01.jpg", images / "11.jpg")
    shutil.copy(images / "02.jpg", img2brain / "testIMG" / "2.jpg")
    picture(images / "03.jpg", 3, "L")
    (images / "04.jpg").write_bytes(b"no picture")
    responses = np.load(img2brain / "trainingfMRI" / "training.npy").astype(float)
    responses[:, 7] = 1.5
    np.save(img2brain / "trainingfMRI" / "training.npy", responses)
    findings = diagnose(img2brain, store)
    assert "trainingIMG holds 10 images but training.npy has 11 rows" in told(findings, "error")
    assert "1 of 10 training images cannot be read, the first: " in told(findings, "error")
    for part in (
        "the numbers in file names leave out 1, the first 5. If an image is missing, all rows after it are wrong",
        "1 images without responses are training images too, the first 2.jpg, which is 02.jpg",
        "1 rows have an image that another row has too, the first rows 0 and 9 (11.jpg)",
        "1 training images are not RGB, the first 03.jpg (L)",
        "1 training vertices have the same response in every row. They have no r.",
    ):
        assert part in told(findings, "warning"), part
    assert "training.npy is float64. A float32 copy of 0.00 GB is kept in the cache" in told(findings, "ok")


def test_names_that_a_plain_sort_would_order_otherwise_are_a_warning(img2brain, store):
    for path in sorted((img2brain / "trainingIMG").iterdir()):
        path.rename(path.with_name(f"{int(path.stem)}.jpg"))
    warnings = told(diagnose(img2brain, store), "warning")
    assert "from 1.jpg to 11.jpg. A plain sort would put 10.jpg into row 1, not 2.jpg." in warnings


def test_img2brain_elsewhere_is_said_to_be_in_no_menu(img2brain, store, tmp_path):
    elsewhere = shutil.move(img2brain, tmp_path / "downloads")
    assert "is not where the data set is looked for. It is in no menu. Move it to" in told(diagnose(elsewhere, store), "warning")


OWN = """
title = "Mine"
[stimuli]
folder = "images"
[subjects.ann]
responses = "Y.npy"
rois.V1 = "V1.npy"
rois.none = "none.npy"
"""


@pytest.fixture
def own(data):
    """Eleven images, a tiny ROI and an empty one."""
    folder = data / "mine"
    for number in range(11):
        picture(folder / "images" / f"{number:02d}.png", number)
    np.save(folder / "Y.npy", np.random.default_rng(0).normal(size=(11, 30)))
    np.save(folder / "V1.npy", np.arange(30) < 3)
    np.save(folder / "none.npy", np.zeros(30, bool))
    (folder / "dataset.toml").write_text(OWN)
    return folder


def test_sound_data_of_ones_own_give_only_the_warning_they_deserve(own, store):
    findings = diagnose(own, store)
    assert diagnose(own.parent, store) == findings
    assert levels(findings, "error") == []
    assert levels(findings, "warning") == ["warning mine ann: brain ROIs of fewer than 20 vertices: V1 (3). Their mean scores say little."]
    for part in (
        "mine: dataset.toml is understood: Mine, 1 subject.",
        "mine ann: 11 rows.",
        "mine ann: brain responses 11 x 30 float64, finite",
        "2 ROIs hold 3 of 30 vertices",
        "brain ROIs without vertices: none. That is usual",
        "no places on the cortex. There is no brain map. To have one, name vertices.",
        "no noise ceilings. Scores are shown without them.",
    ):
        assert part in told(findings, "ok"), part


OWN_FAULTS = {
    "description": ({"text": OWN.replace("title", "titel")}, "error", "Unknown key 'titel'. Did you mean 'title'"),
    "rows": ({"Y": np.zeros((10, 30))}, "error", "11 images but .*Y.npy has 10 rows"),
    "constant": ({"Y": np.zeros((11, 30))}, "error", "Y.npy holds nothing but 0.0"),
    "NaN": ({"Y": np.full((11, 30), np.nan)}, "error", "Y.npy holds NaN or infinite responses in 30 vertices"),
    "mask": ({"V1": np.arange(30)}, "error", "is no mask. For labels write"),
    "missing": ({"text": OWN + "ceiling = 'nc.npy'"}, "error", "nc.npy is missing"),
    "from one": (
        {"text": OWN + "repeats = 'r.npy'", "r": np.repeat(np.arange(1, 11), [2, *[1] * 9])},
        "warning",
        "1 of 11 images belong to no row",
    ),
    "twins": ({"copy": ("00.png", "10.png")}, "warning", "1 rows have an image that another row has too, the first rows 0 and 10"),
    "no unlabelled": ({"text": OWN.replace("[subjects.ann]", "unlabelled = '.'\n[subjects.ann]")}, "warning", "nothing to predict without"),
    "built in": ({"rename": "demo"}, "error", "demo is the name of a data set that is built in. This one can't be opened by it. Rename"),
    "elsewhere": ({"rename": "../other/mine"}, "warning", "is not in the folder of data sets, .*Move it there, or set ENCODING_DATA_DIR"),
}


@pytest.mark.parametrize(("change", "level", "message"), OWN_FAULTS.values(), ids=OWN_FAULTS)
def test_a_fault_in_data_of_ones_own_is_a_finding(own, store, change, level, message):
    for name, value in change.items():
        if name == "text":
            (own / "dataset.toml").write_text(value)
        elif name == "copy":
            shutil.copy(own / "images" / value[0], own / "images" / value[1])
        elif name == "rename":
            (own.parent / value).parent.mkdir(exist_ok=True)
            own = own.rename((own.parent / value).resolve())
        else:
            np.save(own / f"{name}.npy", value)
    found = levels(diagnose(own, store), level)
    assert any(re.search(message, line) for line in found), found


def test_groups_that_keep_doubles_together_are_in_order(own, store):
    shutil.copy(own / "images" / "00.png", own / "images" / "10.png")
    np.save(own / "g.npy", np.r_[np.arange(10), 0])
    (own / "dataset.toml").write_text(OWN + "groups = 'g.npy'")
    findings = diagnose(own, store)
    assert "no image has a duplicate that a split could part" in told(findings, "ok")
    assert "Splits keep 10 groups of rows together" in told(findings, "ok")


def test_a_description_speaks_for_all_of_its_folder(own, store):
    (own / "subj01" / "training_split").mkdir(parents=True)
    (own / "trainingIMG").mkdir()
    assert all(finding.what.startswith("mine") for finding in diagnose(own.parent, store))


def test_several_data_sets_in_one_folder_are_all_examined(own, img2brain, layout, store):
    shutil.copytree(layout.folder, own.parent / "algonauts2023" / "subj03")
    names = {finding.what.partition(":")[0] for finding in diagnose(own.parent, store)}
    assert names == {"mine", "mine ann", "img2brain", "subj03"}


# -- Algonauts 2021


@pytest.fixture
def videos(data):
    """Twelve clips of three frames, of which ten have responses: nine ROIs of one person, and a whole brain of another."""
    pytest.importorskip("av")
    from encoding.datasets.algonauts2021 import MINI_TRACK
    from tests.encoding.datasets.test_videos import write

    folder = data / "algonauts2021"
    clips = folder / "AlgonautsVideos268_All_30fpsmax"
    clips.mkdir(parents=True)
    for number in range(1, 13):
        write(clips / f"{number:04d}_0-1.mp4", n=2 + number)
    chance = np.random.default_rng(0)
    for place, roi, n in [("mini_track/sub01", roi, 25) for roi in MINI_TRACK] + [("full_track/sub02", "WB", 40)]:
        path = folder / "participants_data_v2021" / place / f"{roi}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((78, 93, 71))
        mask.ravel()[:n] = 1
        path.write_bytes(pickle.dumps({"train": chance.normal(size=(10, 3, n)).astype(np.float32), "voxel_mask": mask}, protocol=2))
    (folder / "SIMULATED.txt").touch()
    return folder


def test_sound_videos_give_nothing_but_what_is_so(videos, store):
    findings = diagnose(videos.parent, store)
    assert {finding.level for finding in findings} == {"ok"}
    for part in (
        "algonauts2021: 12 clips, named by their rows, all readable, of 3 to 14 frames",
        "no clip has a double",
        "sub01: 10 rows answer the first 10 clips; 2 are test clips",
        "sub01: voxels: V1 25, V2 25",
        "sub02-full: voxels: WB 40",
        "A rough noise ceiling",
    ):
        assert part in told(findings, "ok"), part


def test_videos_without_the_marker_are_compared_with_the_download(videos, store):
    (videos / "SIMULATED.txt").unlink()
    warnings = told(diagnose(videos, store), "warning")
    for part in (
        "12 clips. The challenge's download has 1,102",
        "sub01: 10 rows. The challenge's download has 1,000",
        "sub01: 25 voxels in V1. The challenge's download has 232",
    ):
        assert part in warnings, part


def test_what_is_wrong_with_videos_is_named(videos, store):
    clips, mini = (
        sorted((videos / "AlgonautsVideos268_All_30fpsmax").iterdir()),
        videos / "participants_data_v2021" / "mini_track" / "sub01",
    )
    clips[2].write_bytes(b"no clip")
    shutil.copy(clips[4], clips[5])
    for path in clips[9:]:
        path.unlink()
    (mini / "V1.pkl").unlink()
    (mini / "V2.pkl").write_bytes(pickle.dumps(shutil.rmtree, protocol=2))
    findings = diagnose(videos, store)
    for part in (
        "1 of 9 clips cannot be read, the first: ",
        "sub01 lacks V1.pkl",
        "V2.pkl is refused, and nothing in it was run",
        "sub02-full: 9 clips for 10 rows. Each row answers one clip.",
    ):
        assert part in told(findings, "error"), part
    assert "1 clips equal others, the first 0006_0-1.mp4 and 0005_0-1.mp4" in told(findings, "warning")


def test_clips_without_people_have_no_responses(videos, store):
    shutil.rmtree(videos / "participants_data_v2021")
    assert "no sub01, sub02 … in mini_track or full_track. There are no responses." in told(diagnose(videos, store), "error")


# -- nothing recognised


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "It is empty."),
        (["notes.txt"], "subj01, subj02"),
        (["Training-IMG/1.jpg", "trainingfMRI0/x"], r"looks most like img2brain \(Training-IMG, perhaps meant as trainingIMG"),
        (["subject1/training_images/a.png", "subject1/roi_mask/x"], r"most like Algonauts 2023 \(training_images, roi_mask, perhaps"),
        (["mini_track/sub01/V1.pkl"], r"most like Algonauts 2021 \(mini_track\)"),
        (["datasets.toml"], r"most like your own data \(datasets.toml, perhaps meant as dataset.toml\). The description must be named"),
    ],
)
def test_where_nothing_is_recognised_the_nearest_layout_is_named(tmp_path, store, names, message):
    for name in names:
        (tmp_path / "some" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "some" / name).touch()
    (tmp_path / "some").mkdir(exist_ok=True)
    (finding,) = diagnose(tmp_path / "some", store)
    assert finding.level == "error" and re.search(message, str(finding)), str(finding)
