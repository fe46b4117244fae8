"""Archives from elsewhere write plain files below their folder, and nothing else."""

import errno
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from encoding.storage.archives import BadArchive, unpack


def write_tar(path, name="a/b.txt", kind=tarfile.REGTYPE, link="", content=b"text"):
    with tarfile.open(path, "w:gz") as archive:
        for each, type_, body in (("good.txt", tarfile.REGTYPE, b"good"), (name, kind, content if kind == tarfile.REGTYPE else b"")):
            info = tarfile.TarInfo(each)
            info.type, info.linkname, info.size = type_, link, len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


def write_zip(path, name="a/b.txt", mode=stat.S_IFREG):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.txt", b"good")
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, b"text")
    return path


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_plain_files_are_unpacked_those_that_are_wanted(write, tmp_path):
    archive = write(tmp_path / "archive")
    assert [path.read_bytes() for path in unpack(archive, tmp_path / "all")] == [b"good", b"text"]
    assert [path.name for path in unpack(archive, tmp_path / "some", wanted=lambda name: name.startswith("a/"))] == ["b.txt"]
    with pytest.raises(BadArchive, match="more than was announced"):
        unpack(archive, tmp_path / "none", max_bytes=7)


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:/evil.txt"])
@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_paths_that_lead_out_are_refused_before_anything_is_written(write, name, tmp_path):
    with pytest.raises(BadArchive, match="leads out of its folder"):
        unpack(write(tmp_path / "archive", name), tmp_path / "out" / "in")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["archive"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind, tmp_path):
    with pytest.raises(BadArchive, match="no plain file"):
        unpack(write_tar(tmp_path / "archive", kind=kind, link="/etc/passwd"), tmp_path / "out")
    with pytest.raises(BadArchive, match="no plain file"):
        unpack(write_zip(tmp_path / "zipped", mode=stat.S_IFLNK), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_archive_is_named(tmp_path):
    path = write_tar(tmp_path / "archive.tgz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadArchive, match=r"archive.tgz cannot be unpacked"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz"])
def test_a_packed_archive_with_a_changed_byte_is_refused_before_its_files_are_taken(kind, tmp_path):
    path, content = tmp_path / "archive", np.random.default_rng(0).bytes(3_000) + bytes(30_000)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.txt", content)
    else:
        with tarfile.open(path, f"w:{kind}") as archive:
            info = tarfile.TarInfo("a.txt")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    whole = path.read_bytes()
    for place in range(60, len(whole) - 30, 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
        with pytest.raises(BadArchive, match="archive cannot be unpacked"):
            unpack(path, tmp_path / "out")


def test_a_full_disk_is_not_called_a_damaged_archive(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "archive")
    monkeypatch.setattr(Path, "open", lambda *args, **more: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        unpack(archive, tmp_path / "out")
