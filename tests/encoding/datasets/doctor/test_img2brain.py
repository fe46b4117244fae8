"""The doctor on img2brain."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from encoding.datasets.doctor import diagnose
from tests.encoding.datasets.doctor.findings import picture, told


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
    for part in ("11 training images. The download has 8,857", "1 test image. The download has 984", "30 voxels. The download has 10,000"):
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
        "1 image without responses is a training image too, the first 2.jpg, which is 02.jpg",
        "1 row has an image that another row has too, the first rows 0 and 9 (11.jpg)",
        "1 training image is not RGB, the first 03.jpg (L)",
        "1 training vertex has the same response in every row. They have no r.",
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
