"""The doctor on Algonauts 2023: each fault is one line, and known downloads are recognised."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from encoding.datasets._download2023 import DOWNLOADS, ROI_SIZES
from encoding.datasets._rois import ROI_CLASSES
from encoding.datasets.doctor import diagnose
from tests.encoding.datasets.damages2023 import DAMAGES
from tests.encoding.datasets.doctor.findings import levels


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
    assert any("1 training image is not RGB, the first train-0005_nsd-00032.png (L). They are converted" in warning for warning in warnings)


def test_a_test_image_among_the_training_images_is_found_by_its_bytes(layout, store):
    shutil.copy(layout.test_images / "test-0003_nsd-00054.png", layout.training_images / "train-0008_nsd-00035.png")
    warnings = levels(diagnose(layout.folder, store), "warning")
    assert any("1 test image is a training image too, the first test-0003_nsd-00054.png, which is train-0008" in line for line in warnings)


def test_equal_images_of_different_ids_are_found_and_repeats_of_one_are_not(layout, store):
    shutil.copy(layout.training_images / "train-0001_nsd-00007.png", layout.training_images / "train-0002_nsd-00007.png")
    assert not any("equal others" in line for line in levels(diagnose(layout.folder, store), "warning"))
    shutil.copy(layout.training_images / "train-0003_nsd-00030.png", layout.training_images / "train-0009_nsd-00036.png")
    warnings = levels(diagnose(layout.folder, store), "warning")
    assert any(
        "1 training image equals one of another NSD id, the first train-0009_nsd-00036.png and train-0003" in line for line in warnings
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
    assert any("1 training image is not 425 x 425, the first train-0001_nsd-00007.png" in line for line in warnings)


def test_the_known_download_has_the_challenges_totals():
    assert [DOWNLOADS[f"subj{i:02d}"].n_images for i in range(1, 9)] == [9841, 9841, 9082, 8779, 9841, 9082, 9841, 8779]
    assert [DOWNLOADS[f"subj{i:02d}"].n_test for i in range(1, 9)] == [159, 159, 293, 395, 159, 293, 159, 395]
    assert {name: tuple(known.n_vertices.values()) for name, known in DOWNLOADS.items() if known.n_vertices["lh"] != 19_004} == {
        "subj06": (18_978, 20_220),
        "subj08": (18_981, 20_530),
    }
    names = {name for names in ROI_CLASSES.values() for name in names}
    assert all(set(sizes) <= names for sizes in ROI_SIZES.values())
