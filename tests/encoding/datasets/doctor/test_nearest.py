"""Where no layout is recognised, the doctor names the nearest."""

from __future__ import annotations

import re

import pytest

from encoding.datasets.doctor import diagnose


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
