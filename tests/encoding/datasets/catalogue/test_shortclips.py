"""Short clips: runs of samples, feature spaces as tables, the test run as the mean of its repeats, places on fsaverage5."""

import h5py
import numpy as np
import pytest

from encoding import DATASETS, FitSpec, fit
from encoding.datasets import BadData, data_dir
from encoding.datasets.catalogue.fetch import NotFetched, fetch_dataset
from encoding.evaluation.noise_ceiling import from_repeats
from tests.encoding.datasets.layouts.shortclips import write_shortclips

RESPONSES = "/gallantlab/shortclips/raw/master/responses/S01_responses.hdf"


@pytest.fixture
def site(hosting, tmp_path):
    (tmp_path / "site").mkdir()
    folder = write_shortclips(tmp_path / "site")
    with hosting("shortclips", folder) as server:
        yield server, folder


def test_clips_are_runs_and_end_in_a_fit_with_delays(site, store, monkeypatch):
    server, folder = site
    content = server.files.pop(RESPONSES)
    with pytest.raises(NotFetched, match="404"):
        fetch_dataset("shortclips")
    server.files[RESPONSES] = content
    server.breaks_after = 20_000
    monkeypatch.setattr("encoding.storage.download.CHUNK", 4096)
    fetch_dataset("shortclips")
    assert any(wanted for path, wanted in server.asked if path == RESPONSES)
    subject = DATASETS["shortclips"].open("S01", store)
    with h5py.File(folder / "S01_responses.hdf") as file:
        train, test = file["Y_train"][:], file["Y_test"][:]
    np.testing.assert_allclose(subject.responses["brain"][:300, :5], train[:, :5])
    np.testing.assert_allclose(subject.responses["brain"][300:], test.mean(0), atol=1e-6)
    assert not subject.responses["brain"][:300, 5].any() and subject.tr == 2
    assert np.bincount(subject.runs).tolist() == [25] * 12 + [60] and subject.rois["brain"]["V1"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(subject.ceiling["brain"], from_repeats(np.moveaxis(test, 0, 1)))
    assert {hemi: [each.tolist() for each in pair] for hemi, pair in subject.sampled.items()} == {"lh": [[5], [1]], "rh": [[7], [2]]}
    spec = FitSpec(
        dataset="shortclips", subject="S01", backbone="given/wordnet", layers=("table",), n_components=0, delays="1,2,3,4", split="first:12"
    )
    result = fit(spec, store, device="cpu")
    assert result.score("brain")[:3].min() > 0.8 and len(result.plan.folds[0].test) == 60


def test_a_map_of_other_voxels_is_refused_and_leaves_no_data_set(site):
    server, folder = site
    write_shortclips(folder.parent, n_voxels=7)
    server.files[RESPONSES] = (folder.parent / "S01_responses.hdf").read_bytes()
    with pytest.raises(BadData, match=r"S01_mappers\.hdf maps \[327684, 6\] vertices and voxels"):
        fetch_dataset("shortclips")
    assert not (data_dir() / "shortclips" / "S01").exists()


def test_features_of_another_number_of_samples_are_refused(site):
    server, folder = site
    write_shortclips(folder.parent, n_samples=24)
    path = next(path for path in server.files if path.endswith("wordnet.hdf"))
    server.files[path] = (folder.parent / "wordnet.hdf").read_bytes()
    with pytest.raises(BadData, match=r"wordnet\.hdf has 288 \+ 60 rows, and there are 300 \+ 60 samples"):
        fetch_dataset("shortclips")
