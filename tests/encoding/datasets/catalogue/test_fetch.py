"""Fetching from a local server: interrupted, continued, damaged, converted, fitted."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from encoding import DATASETS, FitSpec, fit
from encoding.datasets import BadData, data_dir
from encoding.datasets.catalogue import entry as catalogue
from encoding.datasets.catalogue.fetch import DOWNLOADS, NotConfirmed, NotFetched, fetch_dataset
from encoding.runtime.progress import Cancelled
from tests import PROJECT
from tests.encoding.datasets.layouts.kay2008 import write_kay2008


@pytest.fixture
def kay(hosting, tmp_path):
    (tmp_path / "site").mkdir()
    write_kay2008(tmp_path / "site", size=64)
    with hosting("kay2008", tmp_path / "site") as server:
        yield server


def stop(fraction, text):
    if fraction > 0.2:
        raise Cancelled


def test_a_killed_fetch_goes_on_and_ends_in_a_fit(kay, store):
    with pytest.raises(Cancelled):
        fetch_dataset("kay2008", confirmed=True, report=stop)
    assert "kay2008" not in DATASETS and list((data_dir() / DOWNLOADS / "kay2008").glob("*.part"))
    done = fetch_dataset("kay2008", confirmed=True)
    assert [bool(wanted) for _, wanted in kay.asked] == [False, True]
    assert done.folder == data_dir() / "kay2008" and not (data_dir() / DOWNLOADS / "kay2008").exists()
    fitted = fit(FitSpec(dataset="kay2008", subject="S1", backbone="pixels", layers=("rgb",), n_components=5, split="first:24"), store)
    assert DATASETS["kay2008"].split == "first:24" and set(fitted.rois()["roi"]) >= {"V1", "LatOcc"}
    n_asked = len(kay.asked)
    fetch_dataset("kay2008", confirmed=True)
    assert len(kay.asked) == n_asked


KILLED = """
from dataclasses import replace
from encoding.datasets.catalogue import entry
from encoding.datasets.catalogue import entry as catalogue
from encoding.datasets.catalogue.fetch import fetch_dataset
kay = entry.find_entry("kay2008")
entry.entries = lambda: (replace(kay, files=tuple(table | {"address": "ADDRESS"} for table in kay.files)),)
fetch_dataset("kay2008", confirmed=True)
"""


def test_a_process_that_is_killed_leaves_what_the_next_goes_on_from(kay):
    kay.pause = 0.3
    (data_dir() / "kay2008" / ".writing-elsewhere-1-1-abc").mkdir(parents=True)
    os.utime(data_dir() / "kay2008" / ".writing-elsewhere-1-1-abc", (0, 0))
    code = KILLED.replace("ADDRESS", f"{kay.address}/ymnjv/download")
    child = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, start_new_session=True)
    part = data_dir() / DOWNLOADS / "kay2008" / "kay_images.npz.part"
    while not (part.is_file() and part.stat().st_size) and child.poll() is None:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    there = part.stat().st_size
    kay.pause = 0
    fetch_dataset("kay2008", confirmed=True)
    assert [wanted for _, wanted in kay.asked] == [None, f"bytes={there}-"] and there > 0
    assert sorted(path.name for path in (data_dir() / "kay2008").iterdir()) == ["S1", "dataset.toml"]


def test_nothing_is_asked_of_the_host_before_terms_are_confirmed(kay):
    with pytest.raises(NotConfirmed, match="do not pass it on"):
        fetch_dataset("kay2008")
    assert kay.asked == []


@pytest.mark.parametrize("name", ["nsd", "algonauts2023"])
def test_what_stands_behind_a_form_is_not_fetched(name):
    with pytest.raises(NotConfirmed, match="http"):
        fetch_dataset(name, confirmed=True)


def test_a_server_that_has_no_such_file_is_named_with_the_way_by_hand(kay, tmp_path):
    kay.files = {}
    with pytest.raises(NotFetched, match=r"404.*download .*/ymnjv/download elsewhere and save it as .*kay_images.npz"):
        fetch_dataset("kay2008", confirmed=True)
    by_hand = data_dir() / DOWNLOADS / "kay2008" / "kay_images.npz"
    by_hand.write_bytes((tmp_path / "site" / "kay_images.npz").read_bytes())
    assert fetch_dataset("kay2008", confirmed=True, keep=True).subjects == ("S1",) and by_hand.is_file()


def test_a_file_of_another_layout_is_kept_and_leaves_no_data_set(kay):
    np.savez_compressed(path := data_dir().parent / "other.npz", stimuli=np.zeros((3, 4, 4)))
    kay.files = {"/ymnjv/download": path.read_bytes()}
    with pytest.raises(BadData, match=r"holds no array responses; it holds stimuli.*never opened.*kept in"):
        fetch_dataset("kay2008", confirmed=True)
    assert (data_dir() / DOWNLOADS / "kay2008" / "kay_images.npz").is_file()
    assert [path.name for path in (data_dir() / "kay2008").iterdir()] == []


def test_a_folder_of_somebodys_own_is_left_alone(kay):
    (data_dir() / "kay2008").mkdir(parents=True)
    (data_dir() / "kay2008" / "dataset.toml").write_text("title = 'Mine'")
    with pytest.raises(BadData, match="were not fetched"):
        fetch_dataset("kay2008", confirmed=True)
    assert kay.asked == []


def test_the_command_shows_terms_first_and_ends_with_what_to_do(kay, shell, store, monkeypatch):
    code, _, err = shell("fetch", "kay2008")
    assert code == 2 and "add --yes where you agree" in err and "licence" in err and kay.asked == []
    code, out, err = shell("fetch", "kay2008", "--yes")
    assert shell("doctor", data_dir() / "kay2008")[0] == 0
    assert code == 0 and "fit --dataset kay2008 --subject S1" in out and "/data?dataset=kay2008" in out, err
    listed = json.loads(shell("fetch", "list", "--json")[1])["datasets"]
    assert next(one for one in listed if one["name"] == "kay2008")["here"] == ["S1"]
    assert "algonauts2023  no    a form" in shell("fetch", "list")[1]


def test_options_that_a_data_set_has_no_use_for_are_refused(shell, tmp_path):
    code, _, wrong = shell("fetch", "kay2008", "--yes", "--stimuli", tmp_path)
    assert code == 2 and "kay2008 asks for no folder of stimuli" in wrong
    code, _, wrong = shell("fetch", "kay2008", "--yes", "--part", "one")
    assert code == 2 and "Known: none." in wrong
    code, _, wrong = shell("fetch", "list", "--yes")
    assert code == 2 and "takes no options but --json" in wrong


@pytest.mark.parametrize("promise", [{"bytes": 17}, {"md5": "00" * 16}, {"sha256": "00" * 32}])
def test_a_file_put_there_by_hand_is_compared_with_what_was_published(kay, monkeypatch, promise):
    entry = catalogue.find_entry("kay2008")
    files = tuple(table | promise for table in entry.files)
    monkeypatch.setattr(catalogue, "entries", lambda: (replace(entry, files=files),))
    target = data_dir() / DOWNLOADS / "kay2008" / files[0]["name"]
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half of it")
    with pytest.raises(NotFetched, match=r"published with 17|not the checksum") as refused:
        fetch_dataset("kay2008", confirmed=True)
    assert f"Remove it to fetch {files[0]['name']}" in str(refused.value) and target.read_bytes() == b"half of it" and not kay.asked


@pytest.mark.parametrize("text", ["{", "[]", '{"parts": []}', '{"parts": [], "split": "all", "table": 3}'])
def test_a_damaged_note_of_a_subject_is_named_with_what_to_do(kay, text):
    folder = fetch_dataset("kay2008", confirmed=True).folder / "S1"
    (folder / "subject.json").write_text(text)
    with pytest.raises(BadData, match=r"subject.json is damaged. Remove the folder .*S1 to fetch S1 again"):
        fetch_dataset("kay2008", confirmed=True)
