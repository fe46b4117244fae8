"""Fingerprints name bytes, are learnt once, and never outlive a change of the file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys

import pytest

from encoding.datasets.doctor.cached import folder_state
from encoding.runtime.progress import Cancelled
from encoding.storage.fingerprints import file_facts, file_fingerprint, files_fingerprint, is_remembered
from encoding.storage.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    paths = [folder / f"{i}.bin" for i in range(6)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]) * 100)
    return paths


def test_a_file_is_named_by_its_sha256(store, files):
    assert file_fingerprint(files[3], store) == hashlib.sha256(bytes([3]) * 100).hexdigest()


def test_many_files_are_named_by_their_bytes_in_order_and_not_by_their_place(store, files, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copies = [elsewhere / f"copy{i}.bin" for i in range(6)]
    for path, copy in zip(files, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    assert files_fingerprint(files, store) == files_fingerprint(copies, store)
    assert files_fingerprint(files, store) != files_fingerprint(files[::-1], store)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_folders_whose_names_are_not_utf_8_are_read(store, files, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    copies = [shutil.copy(path, folder) for path in files]
    assert files_fingerprint(copies, store) == files_fingerprint(files, store) and is_remembered(copies, store)
    assert folder_state(folder) == folder_state(folder)


def test_a_file_is_read_once_until_it_changes(store, files):
    read = []

    def learn(path):
        read.append(path)
        return len(path.read_bytes())

    assert file_facts(files, store, name="length", learn=learn) == [100] * 6
    assert file_facts(files, Store(store.root), name="length", learn=learn) == [100] * 6
    assert len(read) == 6 and is_remembered(files, store, name="length")
    files[2].write_bytes(b"longer" * 100)
    assert not is_remembered(files, store, name="length")
    assert file_facts(files, store, name="length", learn=learn)[2] == 600
    assert len(read) == 7


def test_a_change_of_equal_length_right_after_reading_is_seen(store, files):
    first = file_fingerprint(files[0], store)
    files[0].write_bytes(b"z" * 100)
    assert file_fingerprint(files[0], store) != first


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"0.bin": 3}', "\x00\xff"])
def test_a_damaged_table_is_ignored_and_written_anew(store, files, damage):
    right = file_fingerprint(files[0], store)
    table = next((store.root / "fingerprints").glob("*.json"))
    table.write_bytes(damage.encode("latin1"))
    assert file_fingerprint(files[0], store) == right
    assert json.loads(table.read_text())["0.bin"][-1] == right


def test_what_was_learnt_before_a_cancel_is_kept(store, files):
    def stop(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        files_fingerprint(files, store, report=stop)
    assert any(is_remembered([path], store) for path in files)


def test_a_store_that_cannot_be_written_to_is_a_warning(files, tmp_path):
    store = Store(tmp_path / "cache")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="could not be remembered"):
        assert file_fingerprint(files[0], store) == hashlib.sha256(bytes(100)).hexdigest()


def test_a_missing_file_is_an_error_that_names_it(store, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.bin"):
        file_fingerprint(tmp_path / "nowhere.bin", store)
