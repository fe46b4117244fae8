"""Findings that are kept for as long as no file changes."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from PIL import Image

from encoding.datasets.doctor.cached import checkup, folder_state, kept_findings
from encoding.jobs.tasks import examine, open_subject

DESCRIBED = '[stimuli]\nfolder = "images"\n[subjects.ann]\nresponses = { lh = "Y.npy" }\n'


@pytest.fixture
def folder(data_dir):
    """The data set ``mine`` below the data folder."""
    mine = data_dir / "mine"
    (mine / "images").mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (8, 8), (30 * number, 0, 0)).save(mine / "images" / f"{number}.png")
    np.save(mine / "Y.npy", np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32))
    (mine / "dataset.toml").write_text(DESCRIBED)
    return mine


def test_findings_are_read_back_as_they_were(folder, store):
    assert kept_findings(folder_state(folder), store) is None
    found = checkup(folder, store)
    assert kept_findings(folder_state(folder), store) == found and len(found) > 2


@pytest.mark.parametrize("change", ["new", "gone", "rewritten", "renamed"])
def test_any_changed_file_makes_findings_those_of_another_folder(folder, store, change):
    checkup(folder, store)
    if change == "new":
        (folder / "images" / "8.png").touch()
    elif change == "gone":
        (folder / "images" / "7.png").unlink()
    elif change == "rewritten":
        np.save(folder / "Y.npy", np.zeros((8, 5), np.float32))
    else:
        (folder / "images" / "7.png").rename(folder / "images" / "9.png")
    assert kept_findings(folder_state(folder), store) is None


def test_a_second_look_takes_the_place_of_the_first(folder, store, monkeypatch):
    from encoding.datasets.doctor import cached as module

    checkup(folder, store)
    first = kept_findings(folder_state(folder), store)
    monkeypatch.setattr(module, "diagnose", lambda folder, store, report: first[:1])
    checkup(folder, store)
    assert kept_findings(folder_state(folder), store) == first[:1]


def test_findings_of_files_that_change_meanwhile_are_not_kept(folder, store, monkeypatch):
    from encoding.datasets.doctor import cached as module

    honest = module.diagnose

    def slow(folder, store, report):
        found = honest(folder, store, report)
        (folder / "late.png").touch()
        return found

    monkeypatch.setattr(module, "diagnose", slow)
    before = folder_state(folder)
    assert checkup(folder, store) and kept_findings(before, store) is None and kept_findings(folder_state(folder), store) is None


def test_links_are_followed_and_circles_end(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.npy").write_bytes(b"1")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "circle").symlink_to(folder)
    (folder / "nowhere").symlink_to(tmp_path / "missing")
    before = folder_state(folder)
    (elsewhere / "a.npy").write_bytes(b"12")
    assert folder_state(folder) != before


def test_the_tasks_leave_findings_and_an_opened_subject_in_the_store(folder, store):
    from encoding import DATASETS

    assert not DATASETS["mine"].is_ready("ann", store)
    open_subject(("mine", "ann"), store)
    assert DATASETS["mine"].is_ready("ann", store) and kept_findings(folder_state(folder), store) is None
    examine("mine", store)
    assert any("no image has a duplicate" in finding.what for finding in kept_findings(folder_state(folder), store))


def test_a_passing_error_of_the_system_is_no_finding(folder, store, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("encoding.datasets.doctor._checks.read_image", fail)
        with pytest.raises(OSError, match=r"\.png"):
            checkup(folder, store)
    assert kept_findings(folder_state(folder), store) is None
    assert not any(finding.level == "error" for finding in checkup(folder, store))
