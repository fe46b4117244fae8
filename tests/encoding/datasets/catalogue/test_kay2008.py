"""Kay 2008: images by one common range, rows in order, ROIs by name."""

import numpy as np
import pytest
from PIL import Image

from encoding import DATASETS
from encoding.datasets import BadData, data_dir
from encoding.datasets.catalogue.converters import kay2008
from encoding.datasets.catalogue.converters._parts import NpzArrays
from encoding.datasets.catalogue.fetch import fetch_dataset
from tests.encoding.datasets.layouts.kay2008 import write_kay2008


def test_numbers_and_images_are_those_of_the_file(hosting, tmp_path, store):
    path = write_kay2008(tmp_path, n_train=70, n_test=5)
    with hosting("kay2008", tmp_path):
        fetch_dataset("kay2008", confirmed=True)
    made, given = DATASETS["kay2008"].open("S1", store), np.load(path)
    everything = np.concatenate([given["stimuli"], given["stimuli_test"]])
    assert np.array_equal(made.responses["brain"], np.concatenate([given["responses"], given["responses_test"]]))
    for row in (0, 69, 70, 74):
        scaled = 255 * (everything[row] - everything.min()) / (everything.max() - everything.min())
        assert np.abs(np.asarray(made.stimuli[row])[..., 0] - scaled).max() <= 0.51
    names = [str(name) for name in given["roi_names"]]
    assert {roi: list(columns) for roi, columns in made.rois["brain"].items()} == {
        name: list(np.flatnonzero(given["roi"] == label)) for label, name in enumerate(names) if name != "Other"
    }
    images = sorted((data_dir() / "kay2008" / "S1" / "images").iterdir())
    assert len(images) == 75 and images[70].name == "0071_test-0001.png" and Image.open(images[0]).mode == "L"


def test_an_npz_is_read_by_blocks_whether_compressed_or_by_columns(tmp_path):
    values = np.arange(60.0).reshape(10, 2, 3)
    np.savez_compressed(tmp_path / "a.npz", rows=values, columns=np.asfortranarray(values))
    with NpzArrays(tmp_path / "a.npz") as arrays:
        for name in ("rows", "columns"):
            assert np.array_equal(np.concatenate(list(arrays.blocks(name, 4))), values)
        with pytest.raises(BadData, match="holds no array other; it holds rows, columns"):
            arrays.header("other")


def test_labels_that_do_not_fit_the_published_counts_are_refused(tmp_path, monkeypatch):
    write_kay2008(tmp_path, n_voxels=16)
    monkeypatch.setattr(kay2008, "N_VOXELS", 16)
    with NpzArrays(tmp_path / "kay_images.npz") as arrays, pytest.raises(BadData, match=r"where .* were published"):
        kay2008.read_regions(arrays, 16)
