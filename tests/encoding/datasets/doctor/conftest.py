"""Small data sets in each layout, sound until a test damages them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from encoding.datasets.algonauts2023 import Algonauts2023Layout
from encoding.datasets.writers.algonauts2023 import write_algonauts2023
from tests.encoding.datasets.doctor.findings import OWN, picture
from tests.encoding.datasets.made2023 import made_subject


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
def data(data_dir):
    """The folder of data sets."""
    return data_dir


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
