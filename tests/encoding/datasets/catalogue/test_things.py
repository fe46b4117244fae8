"""THINGS-fMRI: voxels of regions, training rows and means of repeats, photographs of the user."""

import json
import zipfile
from hashlib import md5

import numpy as np
import pandas as pd
import pytest

from encoding import DATASETS, FitSpec, fit
from encoding.datasets import BadData, data_dir
from encoding.datasets.catalogue.converters.things import ARCHIVE, read_rows
from encoding.datasets.catalogue.fetch import DOWNLOADS, NotConfirmed, NotFetched, fetch_dataset
from tests.encoding.datasets.layouts.things import write_things

LIST, FILE = "/v2/articles/20492835/files", "/ndownloader/files/1"


@pytest.fixture
def site(hosting, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    folder = write_things(tmp_path / "site", tmp_path / "photographs")
    monkeypatch.setattr("encoding.storage.download.CHUNK", 4096)
    with hosting("things", folder) as server:
        server.files[FILE] = (folder / ARCHIVE).read_bytes()
        listed(server)
        yield server, folder, tmp_path / "photographs"


def listed(server, **other):
    content = server.files[FILE]
    about = {"name": ARCHIVE, "size": len(content), "computed_md5": md5(content).hexdigest(), "download_url": f"{server.address}{FILE}"}
    server.files[LIST] = json.dumps([about | other]).encode()


def test_an_interrupted_fetch_goes_on_and_ends_in_a_fit(site, store):
    server, folder, photographs = site
    with pytest.raises(NotConfirmed, match="password"):
        fetch_dataset("things")
    server.breaks_after = 8192
    fetch_dataset("things", stimuli=photographs)
    assert any(wanted for path, wanted in server.asked if path == FILE)
    subject = DATASETS["things"].open("sub-01", store)
    assert subject.n_stimuli == 30 and DATASETS["things"].split == "first:24"
    with zipfile.ZipFile(folder / ARCHIVE) as archive:
        trials = pd.read_csv(archive.open("betas_csv/sub-01_StimulusMetadata.csv"))
    assert list(subject.stimuli.names[:24]) == [name.removesuffix(".jpg") for name in trials["stimulus"][trials["trial_type"] == "train"]]
    red = np.array([np.asarray(subject.stimuli[i])[0, 0, 0] for i in range(30)])
    assert all(np.corrcoef(red, subject.responses["brain"][:, voxel])[0, 1] > 0.95 for voxel in range(3))
    assert np.corrcoef(red[24:], subject.responses["brain"][24:, 0])[0, 1] > 0.99, "the mean of twelve"
    rois = {roi: columns.tolist() for roi, columns in subject.rois["brain"].items()}
    assert rois == {"V1": [0, 1, 2], "IT": [3], "LO1 (prf)": [1, 4]}
    np.testing.assert_allclose(subject.ceiling["brain"], [0.95, 0.95, 0.95, 0.02, 0])
    spec = FitSpec(dataset="things", subject="sub-01", backbone="pixels", layers=("rgb",), n_components=3, split="first:24")
    assert fit(spec, store).score("brain")[:3].min() > 0.8
    assert sorted(path.name for path in (data_dir() / "things" / "sub-01").iterdir() if path.is_dir()) == []


def test_bytes_of_another_hash_are_thrown_away(site):
    server, _, photographs = site
    listed(server, computed_md5="0" * 32)
    with pytest.raises(NotFetched, match="not the checksum that was promised"):
        fetch_dataset("things", stimuli=photographs)
    assert not list((data_dir() / DOWNLOADS / "things").glob("*.part"))


def test_a_photograph_that_is_missing_is_named(site):
    _, _, photographs = site
    next(photographs.rglob("object3_09s.jpg")).unlink()
    with pytest.raises(BadData, match=r"lacks 1 of 30 photographs, the first object3_09s\.jpg"):
        fetch_dataset("things", stimuli=photographs)


def test_a_table_of_other_trials_is_refused():
    with pytest.raises(BadData, match="no column stimulus"):
        read_rows(pd.DataFrame({"trial_type": ["train"]}))
    with pytest.raises(BadData, match="no trial of the type test"):
        read_rows(pd.DataFrame({"trial_type": ["train"], "stimulus": ["a.jpg"]}))
