"""Subjects are written in the layout of Algonauts 2023 whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from encoding.datasets.algonauts2023 import HEMIS, Algonauts2023Layout
from encoding.datasets.writers.algonauts2023 import write_algonauts2023
from encoding.runtime.progress import Cancelled
from tests.encoding.datasets.made2023 import N_IMAGES, Blocks, made_subject, opened


def test_images_are_cropped_and_resized_to_the_challenges_size(tmp_path):
    class Wide(Blocks):
        def __getitem__(self, index):
            return Image.new("RGB", (64, 32), (index, 0, 0))

    folder = write_algonauts2023(made_subject(stimuli=Wide(N_IMAGES, seed=0)), tmp_path)
    with Image.open(Algonauts2023Layout(folder).training_images / "train-0003_nsd-00030.png") as image:
        assert image.size == (425, 425) and image.mode == "RGB" and image.getpixel((200, 200)) == (2, 0, 0)


def test_places_on_fsaverage5_are_the_first_of_fsaverage(tmp_path, store):
    vertices = {"lh": np.arange(60) * 170, "rh": np.arange(70) * 146}
    write_algonauts2023(made_subject(vertices=vertices), tmp_path, size=8)
    read = opened(tmp_path, store)
    assert all(np.array_equal(read.vertices[hemi], vertices[hemi]) for hemi in HEMIS)


def test_a_measured_subject_is_not_marked_as_simulated(tmp_path, store):
    folder = write_algonauts2023(made_subject(simulated=False, ceiling=None), tmp_path, size=8)
    assert not (folder / "SIMULATED.txt").exists()
    read = opened(tmp_path, store)
    assert not read.simulated and read.ceiling is None


def test_a_cancelled_write_leaves_nothing_behind(tmp_path):
    def stop(fraction, text):
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_algonauts2023(made_subject(), tmp_path, stop, size=8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "demo"}, r"names its subjects subj01, subj02 …; 'demo' is not"),
        ({"vertices": None}, r"places on fsaverage; subj03 has lh, rh without places"),
        ({"responses": {"lh": np.zeros((N_IMAGES, 60), np.float32)}}, r"subj03 has lh\."),
        ({"vertices": {"lh": np.arange(60)[::-1], "rh": np.arange(70)}}, r"lh columns must ascend within fsaverage's 163,842"),
        ({"vertices": {"lh": np.arange(60), "rh": np.arange(70) + 163_800}}, r"rh columns must ascend"),
        ({"rois": {key: {"V1w": np.arange(3)} for key in HEMIS}}, r"no such ROI\. Unknown ROI 'V1w'\. Did you mean 'V1v'\?"),
        (
            {"rois": {"lh": {}, "rh": {"V1v": np.arange(10), "V1d": np.arange(8, 20)}}},
            r"V1v and V1d share 2 rh vertices, but both are of the class prf-visualrois",
        ),
    ],
)
def test_a_subject_that_the_layout_cannot_hold_is_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write_algonauts2023(made_subject(**changes), tmp_path)
    assert list(tmp_path.iterdir()) == []
