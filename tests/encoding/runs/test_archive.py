"""The file of an exported fit: format 1 and 2 are read, and nothing else; size, memory and names are bounded."""

from __future__ import annotations

import io
import json
import pickle
import stat
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from encoding.runs import archive
from encoding.runs.archive import ARRAYS, MANIFEST, read_archive, write_archive
from encoding.runs.exchange import import_
from encoding.runs.manifest import BadExchange, Manifest
from tests.encoding.runs.conftest import as_version_1, members, npy, rewritten, zipped


def test_arrays_and_texts_come_back_as_they_were():
    rng = np.random.default_rng(0)
    arrays = {
        "fit.lh_r": np.asfortranarray(rng.normal(size=(3, 7))),
        "fit.big": rng.normal(size=4).astype(">f8"),
        "about.n": np.array(5),
        "about.mask": rng.random((2, 3)) < 0.5,
        "about.none": np.zeros((0, 4), np.float32),
        "about.rois": np.array(["V1v", "a b", "é"]),
        "about.no_rois": np.zeros(0, "U1"),
    }
    manifest = Manifest(version=2, by="Ada", command="x", provenance={"key": "k"}, files={})
    found, back = read_archive(io.BytesIO(write_archive(manifest, arrays)))
    assert (found.by, found.command, found.provenance) == ("Ada", "x", {"key": "k"}) and set(back) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].shape == array.shape and back[name].dtype.kind == array.dtype.kind
    assert write_archive(manifest, arrays) == write_archive(manifest, dict(reversed(arrays.items())))


def test_version_1_gives_the_same_arrays_as_version_2(exported):
    (first, one), (second, two) = read_archive(as_version_1(exported)), read_archive(io.BytesIO(exported))
    assert (first.version, second.version) == (1, 2) and set(one) == set(two)
    for name, array in two.items():
        np.testing.assert_array_equal(one[name], array)
        assert one[name].dtype.kind == array.dtype.kind or not len(array)


HEADER = b"\x93NUMPY\x01\x00"


def with_header(text: bytes) -> bytes:
    return HEADER + struct.pack("<H", len(text)) + text


VERSION_1 = {
    "a pickle": (pickle.dumps({"a": 1}), "is no array"),
    "an array of objects": (npy(np.array([{"a": 1}], dtype=object)), "is no array"),
    "an archive of arrays": (b"PK\x03\x04" + b"0" * 40, "is no array"),
    "a shape beyond its bytes": (npy(np.zeros((1, 10))).replace(b"(1, 10)", b"(9, 10)"), "length is not"),
    "dates": (npy(np.zeros((1, 10), "M8[s]")), "is no array"),
    "a header that is a deep expression": (with_header(b"(" * 9_000), "is no array"),
    "a header that is a long number": (
        with_header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9" * 5_000 + b",), }"),
        "is no array",
    ),
    "a type that does not exist": (with_header(b"{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }") + bytes(3), "is no array"),
    "nothing": (b"", "is no array"),
}  # fmt: skip


@pytest.mark.parametrize("what", VERSION_1)
def test_what_numpy_did_not_write_is_not_read(exported, elsewhere, what):
    content, message = VERSION_1[what]
    with pytest.raises(BadExchange, match=message):
        import_(as_version_1(exported, lambda manifest, files: files.__setitem__("fit.lh_r.npy", content)), elsewhere)


@pytest.mark.parametrize("name", ["../../evil.npy", "/tmp/evil.npy", "C:\\evil.npy", "fit..npy", "fit.evil.py", "arrays.pkl"])
def test_members_of_other_names_are_refused_before_anything_is_unpacked(exported, elsewhere, name, monkeypatch):
    file = zipped(members(exported) | {name: b"x"})
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(BadExchange, match="is not what an exported fit holds"):
        import_(file, elsewhere)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no arrays"),
        (pickle.dumps({"a": 1}), "holds no arrays|header of more"),
        ((2**60).to_bytes(8, "little") + b"{}", "header of more than 1 MiB"),
        ((2).to_bytes(8, "little") + b"[]", "holds no arrays"),
        ((2).to_bytes(8, "little") + b"((", "holds no arrays"),
    ],
)
def test_what_is_no_safetensors_file_is_refused(exported, elsewhere, content, message):
    files = members(exported)
    manifest = json.loads(files[MANIFEST])
    manifest["files"][ARRAYS] = {"bytes": len(content), "sha256": __import__("hashlib").sha256(content).hexdigest()}
    with pytest.raises(BadExchange, match=message):
        import_(zipped({MANIFEST: json.dumps(manifest), ARRAYS: content}), elsewhere)


def test_a_missing_or_unlisted_member_is_refused(exported, elsewhere):
    files = members(exported)
    for changed in ({MANIFEST: files[MANIFEST]}, files | {"fit.zz_r.npy": b""}):
        with pytest.raises(BadExchange, match="contents differ"):
            import_(zipped(changed), elsewhere)


def test_a_changed_byte_is_refused(exported, elsewhere):
    files = members(exported)
    content = bytearray(files[ARRAYS])
    content[-1] ^= 0xFF
    with pytest.raises(BadExchange, match="its checksum differs"):
        import_(zipped(files | {ARRAYS: bytes(content)}), elsewhere)
    data = bytearray(exported)
    with zipfile.ZipFile(io.BytesIO(exported)) as opened:
        data[opened.getinfo(ARRAYS).header_offset + 200] ^= 0xFF
    with pytest.raises(BadExchange):
        import_(io.BytesIO(bytes(data)), elsewhere)


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04 cut short", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_zip_or_an_empty_one_is_refused(elsewhere, data):
    with pytest.raises(BadExchange, match="no exported fit"):
        import_(io.BytesIO(data), elsewhere)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_refused(exported, elsewhere, cut):
    with pytest.raises(BadExchange):
        import_(io.BytesIO(exported[: int(cut * len(exported))]), elsewhere)


def test_a_small_file_that_unpacks_to_a_lot_is_refused_before_it_is_unpacked(exported, elsewhere, monkeypatch):
    file = zipped(members(exported) | {ARRAYS: bytes(archive.MAX_BYTES_FREE + 2**24)})
    assert file.seek(0, io.SEEK_END) < 2**20
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(BadExchange, match="Unpacked, this file takes"):
        import_(file, elsewhere)


def test_an_import_takes_a_few_times_the_memory_of_its_arrays(exported, elsewhere):
    def grow(manifest, arrays):
        for name in [name for name in arrays if name.startswith("model.")]:
            arrays.pop(name)
        for hemi in ("lh", "rh"):
            arrays[f"fit.{hemi}_padding"] = np.zeros((1, 10))
        arrays["curve.sizes"] = np.arange(1, 40_001)
        for hemi in ("lh", "rh"):
            arrays |= {f"curve.{hemi}_{line}": np.zeros((40_000, 10), np.float32) for line in ("train", "test")}

    file = rewritten(exported, grow)
    n_bytes = len(members(file.getvalue())[ARRAYS])
    tracemalloc.start()
    try:
        import_(file, elsewhere)
        assert tracemalloc.get_traced_memory()[1] < 5 * n_bytes
    finally:
        tracemalloc.stop()


def test_a_member_longer_than_it_says_is_stopped(exported, elsewhere):
    data = exported
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        true = opened.getinfo(ARRAYS).file_size
    name = ARRAYS.encode()
    for place in (data.find(name) - 30 + 22, data.rfind(name) - 46 + 24):  # both headers' uncompressed size
        assert int.from_bytes(data[place : place + 4], "little") == true
        data = data[:place] + (10).to_bytes(4, "little") + data[place + 4 :]
    with pytest.raises(BadExchange):
        import_(io.BytesIO(data), elsewhere)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("MAX_FILE_BYTES", 100, "MiB at most"), ("MAX_MEMBERS", 1, "1 at most"), ("MAX_MANIFEST_BYTES", 10, "longer than it may be")],
)
def test_too_large_too_many_too_long(exported, elsewhere, monkeypatch, name, value, message):
    monkeypatch.setattr(archive, name, value)
    with pytest.raises(BadExchange, match=message):
        import_(io.BytesIO(exported), elsewhere)


def test_one_name_twice_or_a_link_is_refused(exported, elsewhere):
    out = io.BytesIO(exported)
    with zipfile.ZipFile(out, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr(ARRAYS, b"x")
    with pytest.raises(BadExchange, match="twice in this file"):
        import_(out, elsewhere)
    out = io.BytesIO(exported)
    link = zipfile.ZipInfo("about.link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(out, "a") as opened:
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(BadExchange, match="is not what an exported fit holds"):
        import_(out, elsewhere)
