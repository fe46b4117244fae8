import errno
import multiprocessing
import os
import time
import warnings

import numpy as np
import pytest

from encoding.storage.npy import NpyWriter
from encoding.storage.store import DamagedResult, Store, StoreFull
from encoding.storage.verification import check_file

KEY = "stage-0123456789"


def put(store, value=1.0):
    store.put(KEY, {"a": np.full((3, 4), value), "b": np.arange(5)}, {"why": "test"})


def test_what_is_put_comes_back_read_only(store):
    put(store)
    found = store.get(KEY)
    assert not found["a"].flags.writeable
    np.testing.assert_array_equal(found["b"], np.arange(5))


def test_provenance_says_what_made_it_and_with_what(store):
    put(store)
    about = store.provenance(KEY)
    assert about["made_from"] == {"why": "test"} and about["libraries"]["numpy"] == np.__version__
    assert set(about) >= {"created", "commit", "seconds", "files"}


def test_a_missing_key_is_none_and_leaves_nothing(store):
    assert store.get(KEY) is None and not store.is_sound(KEY) and KEY not in store and store.keys() == []


@pytest.mark.parametrize("damage", ["a.npy", "provenance.json"])
def test_a_result_is_sound_until_its_bytes_change(store, damage):
    put(store)
    assert store.is_sound(KEY)
    (store.path(KEY) / damage).write_bytes(b"no result")
    with pytest.warns(DamagedResult):
        assert not store.is_sound(KEY)
    assert KEY not in store


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "provenance"])
def test_a_damaged_result_is_a_miss_with_a_warning_and_is_made_again(store, damage):
    put(store)
    path = store.path(KEY) / "a.npy"
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-8])
    elif damage == "flip":
        path.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    elif damage == "gone":
        path.unlink()
    else:
        (store.path(KEY) / "provenance.json").write_text("{")
    fresh = Store(store.root)
    with pytest.warns(DamagedResult, match="computed again"):
        found = fresh.memo(KEY, lambda: {"a": np.full((3, 4), 2.0), "b": np.arange(5)}, {})
    assert (found["a"] == 2).all()
    assert store.verify() == []


def test_bytes_flipped_while_a_process_runs_are_seen_too(store):
    put(store)
    store.get(KEY)
    path = store.path(KEY) / "a.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.warns(DamagedResult):
        assert store.get(KEY) is None


def test_verify_names_and_removes_the_damaged_alone(store):
    put(store)
    store.put("stage-other", {"a": np.zeros(2)}, {})
    (store.path(KEY) / "b.npy").write_bytes(b"")
    assert store.verify() == [KEY] and store.keys() == ["stage-other"]


def test_what_another_process_removes_while_it_is_checked_is_gone_and_not_damaged(store, monkeypatch):
    def removed_first(path, *about, **known):
        store.remove(KEY)
        return check_file(path, *about, **known)

    monkeypatch.setattr("encoding.storage.store.check_file", removed_first)
    for look in (store.verify, lambda: store.get(KEY) or []):
        put(store)
        assert look() == [] and store.set_aside() == [] and KEY not in store


def test_an_interrupted_write_leaves_nothing(store):
    with pytest.raises(KeyboardInterrupt), store.writing(KEY, {}) as folder:
        np.save(folder / "a.npy", np.zeros(3))
        raise KeyboardInterrupt
    assert KEY not in store and list(store.path(KEY).parent.iterdir()) == []


def test_a_full_disk_is_said_and_nothing_is_left(store, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(NpyWriter, "write", full)
    with pytest.raises(StoreFull, match=r"No room left on the disk .* cache prune"):
        put(store)
    assert KEY not in store and list(store.path(KEY).parent.iterdir()) == []


def test_objects_are_never_pickled(store):
    with pytest.raises(ValueError, match="allow_pickle"):
        store.put(KEY, {"a": np.array([{}], dtype=object)}, {})


def _slow(root, log):
    def make():
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        return {"pid": np.array(os.getpid())}

    return int(Store(root).memo(KEY, make, {})["pid"])


def test_two_processes_make_one_key_once_and_agree(store, tmp_path):
    log = tmp_path / "log"
    with multiprocessing.get_context("fork").Pool(3) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pids = pool.starmap(_slow, [(store.root, log)] * 3)
    assert len(set(pids)) == 1 and log.read_text() == "made\n"


def test_a_second_writer_of_a_key_leaves_the_first_copy(store):
    put(store, 1.0)
    put(store, 2.0)
    assert (store.get(KEY)["a"] == 1).all()


def test_what_dead_processes_left_is_swept_when_old(store):
    put(store)
    left = store.path(KEY).parent / ".writing-dead"
    left.mkdir()
    assert store.sweep() == 0
    os.utime(left, (0, 0))
    assert store.sweep() == 1 and not left.exists() and KEY in store
