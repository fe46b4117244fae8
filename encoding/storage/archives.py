"""Unpack zip and tar archives from elsewhere: plain files below one folder, within a limit of bytes."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from encoding.runtime.progress import Report, silent
from encoding.storage.files import is_passing

CHUNK = 2**20
MAX_BYTES = 100 * 10**9
MAX_FILES = 500_000
UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, OSError)

Member = tuple[str, int, Callable[[], IO[bytes]]]
"""Name in the archive, size in bytes, and what opens it."""


class BadArchive(ValueError):
    """An archive is damaged, or holds what no data need: links, devices, paths that lead out of it, too many bytes."""


def unpack(
    archive: Path,
    folder: Path,
    *,
    wanted: Callable[[str], bool] = lambda name: True,
    max_bytes: int = MAX_BYTES,
    report: Report = silent,
) -> list[Path]:
    """Unpack the files of a zip or tar archive into ``folder``.

    Parameters
    ----------
    wanted : which members, by their names in the archive.
    max_bytes : of all wanted members together.

    Returns
    -------
    The files that were written.

    Raises
    ------
    BadArchive where the archive is damaged or a wanted member is no plain file below ``folder``. Names are all checked before anything
    is written. OSError where it cannot be read, or its files cannot be written, now.
    """
    written = []
    try:
        with _members(archive) as members:
            chosen = [(relative_path(name), size, opened) for name, size, opened in members if wanted(name)]
            total = sum(size for _, size, _ in chosen)
            if total > max_bytes or len(chosen) > MAX_FILES:
                raise BadArchive(f"{archive.name} unpacks to {total / 1e9:,.1f} GB in {len(chosen):,} files, more than was announced.")
            done = 0
            for path, size, opened in chosen:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened() as source, target.open("wb") as file:
                    left = size
                    while chunk := source.read(min(CHUNK, left + 1)):
                        if (left := left - len(chunk)) < 0:
                            raise BadArchive(f"{archive.name}: {path} has more bytes than the archive says.")
                        file.write(chunk)
                done += size
                written.append(target)
                report(done / max(1, total), f"unpacking {archive.name}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")
    except UNREADABLE as error:
        if is_passing(error):
            raise
        raise BadArchive(f"{archive.name} cannot be unpacked ({error}). Remove it to fetch it again.") from error
    return written


def relative_path(name: str) -> PurePosixPath:
    """A member's path below the folder that is unpacked to.

    Raises
    ------
    BadArchive where it leads elsewhere.

    >>> relative_path("./mask/V1.nii.gz").as_posix()
    'mask/V1.nii.gz'
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0] or "\0" in name:
        raise BadArchive(f"The archive holds {name!r}, which leads out of its folder.")
    return path


@contextmanager
def _members(archive: Path) -> Iterator[list[Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            infos = [info for info in opened.infolist() if not info.is_dir()]
            for info in infos:
                if (info.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                    raise BadArchive(f"{archive.name} holds {info.filename!r}, which is no plain file.")
            yield [(info.filename, info.file_size, lambda info=info: opened.open(info)) for info in infos]
    else:
        with tarfile.open(archive) as opened:
            infos = [info for info in opened.getmembers() if not info.isdir()]
            while opened.fileobj.read(CHUNK):  # what follows the last member ends with the checksum of a packed archive
                pass
            for info in infos:
                if not info.isreg():
                    raise BadArchive(f"{archive.name} holds {info.name!r}, which is no plain file.")
            yield [(info.name, info.size, lambda info=info: opened.extractfile(info)) for info in infos]
