"""BOLD5000: its file is found in figshare's list, trials follow the list of photographs, repeats give ceilings."""

import json
from hashlib import md5

import numpy as np
import pytest

from encoding import DATASETS, FitSpec, fit
from encoding.datasets import BadData, data_dir
from encoding.datasets.catalogue.converters.bold5000 import BETAS
from encoding.datasets.catalogue.fetch import DOWNLOADS, NotConfirmed, NotFetched, fetch_dataset
from encoding.runtime.progress import Cancelled
from tests.encoding.datasets.layouts.bold5000 import write_bold5000

LIST, FILE = "/v2/articles/14456124/files", "/ndownloader/files/1"


@pytest.fixture
def site(hosting, tmp_path):
    (tmp_path / "site").mkdir()
    folder = write_bold5000(tmp_path / "site")
    with hosting("bold5000", folder) as server:
        server.files[FILE] = (folder / BETAS).read_bytes()
        listed(server)
        yield server


def listed(server, **other):
    content = server.files[FILE]
    about = {"name": BETAS, "size": len(content), "computed_md5": md5(content).hexdigest(), "download_url": f"{server.address}{FILE}"}
    server.files[LIST] = json.dumps([{"name": "CSI1_brainmask.nii.gz"}, about | other]).encode()


def test_an_interrupted_fetch_goes_on_and_ends_in_a_fit(site, store, monkeypatch):
    monkeypatch.setattr("encoding.storage.download.CHUNK", 4096)
    site.breaks_after = 8192

    def stop(fraction, text):
        if "Stimuli.zip" in text:
            raise Cancelled

    with pytest.raises(NotConfirmed, match="not commercial"):
        fetch_dataset("bold5000")
    assert site.asked == []
    with pytest.raises(Cancelled):
        fetch_dataset("bold5000", confirmed=True, report=stop)
    assert [path for path, _ in site.asked][:2] == [LIST, FILE] and any(wanted for path, wanted in site.asked if path == FILE)
    n_asked = len(site.asked)
    fetch_dataset("bold5000", confirmed=True)
    assert {path.rpartition("/")[2] for path, _ in site.asked[n_asked:]} == {"BOLD5000_Stimuli.zip"}
    subject = DATASETS["bold5000"].open("CSI1", store)
    assert subject.n_stimuli == 30 + 18 and len(np.unique(subject.groups)) == 30
    assert {roi: list(columns) for roi, columns in subject.rois["rh"].items()}["PPA"] == [9, 10, 11]
    red = [np.asarray(subject.stimuli[i])[0, 0, 0] for i in range(subject.n_stimuli)]
    assert np.corrcoef(red, subject.responses["lh"][:, 3])[0, 1] > 0.95
    assert subject.ceiling["lh"][::3].min() > 0.8 and subject.ceiling_about == "ncsnr of 6 stimuli shown 4 times (24 of 48 rows)"
    spec = FitSpec(dataset="bold5000", subject="CSI1", backbone="pixels", layers=("rgb",), n_components=3, split="holdout:0.75:5")
    assert fit(spec, store).score("lh")[::3].min() > 0.8


def test_bytes_of_another_hash_than_the_list_states_are_thrown_away(site):
    listed(site, computed_md5="0" * 32)
    with pytest.raises(NotFetched, match="not the checksum that was promised"):
        fetch_dataset("bold5000", confirmed=True)
    assert not list((data_dir() / DOWNLOADS / "bold5000").glob("*.part"))


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"<html>", "is no list of files"), (b'[{"name": "other.zip"}]', "lists other.zip, and no BOLD5000"), (b"[3]", "is no list of files")],
)
def test_another_list_is_named_with_the_way_by_hand(site, content, match):
    site.files[LIST] = content
    with pytest.raises(NotFetched, match=rf"{match}.*save it as"):
        fetch_dataset("bold5000", confirmed=True)


def test_a_list_that_leads_elsewhere_than_https_fetches_nothing(site):
    listed(site, download_url="file:///etc/passwd")
    with pytest.raises(NotFetched, match="not an https address"):
        fetch_dataset("bold5000", confirmed=True)


def test_trials_of_another_number_than_the_list_names_are_refused(site, tmp_path):
    (tmp_path / "more").mkdir()
    write_bold5000(tmp_path / "more", n_repeated=7)
    site.files[FILE] = (tmp_path / "more" / BETAS).read_bytes()
    listed(site)
    with pytest.raises(BadData, match=r"LHEarlyVis of CSI1 has shape \(51, 3\), and its list names 48 trials"):
        fetch_dataset("bold5000", confirmed=True)
