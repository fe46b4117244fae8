"""Pipes, devices and sockets are refused by name before they are opened; passing errors keep their kind and get the file's name."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import socket
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoding.backbones._checkpoints import read_tensors, weights_fingerprint
from encoding.backbones._weights import checkpoints, find_weights
from encoding.backbones.keras import models
from encoding.datasets import BadData, data_dir
from encoding.datasets._ceilings import read_ceilings
from encoding.datasets._images import read_image
from encoding.datasets._names import read_label_names
from encoding.datasets._tracks2021 import read_arrays
from encoding.datasets._videos import read_frames
from encoding.datasets.doctor._checks import image_facts
from encoding.datasets.own import find_own
from encoding.datasets.own.stimuli import read_text_lines
from encoding.runs.archive import read_archive
from encoding.runs.exchange import import_
from encoding.runs.table import Note, all_runs, read_note, write_note
from encoding.storage import files
from encoding.storage.files import NoHome, NotRegular, in_home, is_passing, open_regular
from encoding.storage.fingerprints import file_facts, file_fingerprint, is_remembered
from encoding.storage.inventory import CHECKED_FILE, check, last_check
from encoding.storage.npy import NpyRows
from encoding.storage.store import DamagedResult, Store
from tests import PROJECT

RUN = "fit-0123456789abcdef0123"


@contextmanager
def soon():
    """Within the block a call that waits for ever is a failure."""
    signal.signal(signal.SIGALRM, lambda *about: pytest.fail("it waits for ever"))
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)


def bind(path):
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may have 107 bytes
    server.bind(path.name)
    os.chdir(here)
    server.close()


SPECIAL = {"pipe": os.mkfifo, "endless device": lambda path: path.symlink_to("/dev/zero"), "socket": bind, "folder": os.mkdir}
READERS = {
    "open_regular": lambda path, store: open_regular(path).__enter__(),
    "fingerprint": lambda path, store: file_fingerprint(path, store),
    "rows": lambda path, store: NpyRows(path),
    "weights": lambda path, store: find_weights("a network", str(path), ""),
    "tensors": lambda path, store: read_tensors(path),
    "weights fingerprint": lambda path, store: weights_fingerprint(path, own=True),
    "import": lambda path, store: import_(path, store),
    "image": lambda path, store: read_image(path),
    "clip": lambda path, store: read_frames(path, lambda n: [0]),
    "names of labels": lambda path, store: read_label_names(path),
    "pickle of 2021": lambda path, store: read_arrays(path),
    "list of images": lambda path, store: read_text_lines(path),
    "ceilings": lambda path, store: read_ceilings([path.parent], {"x": np.arange(3)}, n_images=3),
}


@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_is_no_regular_file_is_refused_by_name_and_not_waited_for(tmp_path, store, make, read):
    path = tmp_path / "x.npy"
    make(path)
    with soon(), pytest.raises((NotRegular, BadData), match=r"x\.npy is (no regular file|refused.*is no regular file)"):
        read(path, store)


@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
def test_what_is_no_regular_file_within_a_store_is_damage(store, make):
    store.put(RUN, {"lh_r": np.zeros((1, 2))}, {"spec": {}})
    store.put("stage-1", {"a": np.zeros(2)}, {})
    (store.root / "notes").mkdir()
    replaced = [store.path("stage-1") / "a.npy", store.path(RUN) / "provenance.json", store.root / CHECKED_FILE]
    for path in [*replaced, store.root / "notes" / f"{RUN}.json"]:
        path.unlink(missing_ok=True)
        make(path)
    with soon():
        assert all_runs(store)["damaged"].tolist() == [True] and read_note(RUN, store) == Note()
        if make is not os.mkdir:
            assert last_check(store) is None
        assert sorted(Store(store.root).verify(remove=False)) == [RUN, "stage-1"]
        with pytest.warns(DamagedResult):
            assert Store(store.root).get("stage-1") is None


@pytest.mark.parametrize("content", ["[]", "{}", '{"when": "", "checked": 1, "damaged": 4}', '{"when": 1, "checked": [], "damaged": 0}'])
def test_a_note_of_the_last_check_that_is_something_else_is_none(store, content):
    store.root.mkdir(exist_ok=True)
    (store.root / CHECKED_FILE).write_text(content)
    assert last_check(store) is None


PASSING = (errno.EIO, errno.ESTALE, errno.ENOMEM, errno.EMFILE, errno.EACCES)


class Failing(io.FileIO):
    """An open file whose every read fails."""

    code = 0

    def read(self, *args):
        raise OSError(self.code, os.strerror(self.code))

    readinto = readline = readall = read


@contextmanager
def failing(name, code, *, at_open):
    """Within the block reads of files of one name fail with a passing error, at ``open`` or later."""
    opened, by_path = Path.open, Image.open

    def fail(self, *args, **more):
        if self.name != name:
            return opened(self, *args, **more)
        if at_open:
            raise OSError(code, os.strerror(code), str(self))
        file = Failing(self)
        file.code = code
        return file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", fail)
        patch.setattr(Image, "open", lambda path, **more: by_path(fail(path, "rb"), **more))
        yield


@pytest.mark.parametrize("code", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("at_open", [True, False])
@pytest.mark.parametrize("what", ["note", "provenance", "scores", "last check"])
def test_a_passing_error_is_no_missing_row_and_no_lost_note(store, code, at_open, what):
    spec = {"dataset": "demo", "subject": "subj01", "backbone": "gabor", "layers": ["energy"]}
    store.put(RUN, {"lh_r": np.ones((1, 2)), "lh_r2": np.ones((1, 2))}, {"spec": spec})
    write_note(RUN, store, Note("mine", ("a",)))
    check("", store)
    checked = last_check(store)
    name = {"note": f"{RUN}.json", "provenance": "provenance.json", "scores": "lh_r.npy", "last check": CHECKED_FILE}[what]
    with failing(name, code, at_open=at_open), pytest.raises(OSError, match=name) as raised:
        last_check(store) if what == "last check" else all_runs(store)
    assert raised.value.errno == code
    row = all_runs(store).iloc[0]
    assert (row["r_mean"], row["note"], row["damaged"]) == (1, "mine", False) and last_check(store) == checked


@pytest.mark.parametrize("code", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("at_open", [True, False])
def test_a_passing_error_of_an_image_is_not_remembered_as_damage(tmp_path, store, code, at_open):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    with failing("a.png", code, at_open=at_open), pytest.raises(OSError, match=r"a\.png") as raised:
        file_facts([path], store, name="images", learn=image_facts)
    assert raised.value.errno == code and not is_remembered([path], store, name="images")
    assert file_facts([path], store, name="images", learn=image_facts)[0]["error"] is None


@pytest.mark.parametrize("code", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("read", ["clip", "names of labels", "pickle of 2021", "tensors", "import", "fingerprint", "rows"])
def test_a_passing_error_is_never_called_damage(tmp_path, store, code, read):
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(100))
    for at_open in (True, False):
        with failing("x.bin", code, at_open=at_open), pytest.raises(OSError, match=r"x\.bin") as raised:
            READERS[read](path, store)
        assert raised.value.errno == code


def test_a_description_that_cannot_be_read_now_is_read_at_the_next_look(tmp_path):
    path = tmp_path / "mine" / "dataset.toml"
    path.parent.mkdir()
    path.write_text('[stimuli]\nfolder = "images"\n[subjects.me]\nresponses = "a.npy"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda self: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error", str(self))))
        assert "Input/output error" in find_own(tmp_path)["mine"].where()
    assert find_own(tmp_path)["mine"].subjects() == ("me",)


def test_a_table_of_fingerprints_that_cannot_be_read_now_is_not_written_anew(tmp_path, store):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    file_fingerprint(tmp_path / "a", store)
    (table,) = (store.root / "fingerprints").iterdir()
    with failing(table.name, errno.EIO, at_open=False), pytest.warns(UserWarning, match="could not be remembered"):
        file_fingerprint(tmp_path / "b", store)
    assert set(json.loads(table.read_text())) == {"a"}


def test_errors_that_tell_of_content_are_not_passing():
    assert all(is_passing(OSError(code, "x")) for code in PASSING)
    content = (OSError(errno.ENOENT, "x"), OSError(errno.EISDIR, "x"), OSError("x"), OSError(-2), ValueError("x"))
    assert not any(map(is_passing, content))
    with pytest.raises(OSError, match="no archive"):
        read_archive(type("Broken", (io.BytesIO,), {"seek": lambda *args: (_ for _ in ()).throw(OSError(errno.EIO, "no archive"))})())


def test_a_home_folder_that_does_not_exist_is_named_with_the_variable_to_set(monkeypatch):
    assert in_home("~/weights", "TORCH_HOME") == Path.home() / "weights"
    monkeypatch.setenv("TORCH_HOME", "~nobody-of-this-name/torch")
    monkeypatch.setenv("KERAS_HOME", "~nobody-of-this-name/keras")
    for folder, variable in ((checkpoints, "TORCH_HOME"), (models, "KERAS_HOME")):
        with pytest.raises(NoHome, match=f"nobody-of-this-name.* Set {variable}, or HOME"):
            folder()


@pytest.mark.parametrize("has_project", [True, False])
def test_folders_are_the_projects_and_those_of_a_wheel_where_one_works(tmp_path, monkeypatch, has_project):
    monkeypatch.chdir(tmp_path)
    for name in ("ENCODING_CACHE_DIR", "ENCODING_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    if not has_project:
        monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "encoding" / "storage" / "files.py"))
    root = PROJECT if has_project else tmp_path
    assert Store().root == root / "cache" and data_dir() == root / "data"
