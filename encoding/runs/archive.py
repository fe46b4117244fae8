"""Read and write the file of an exported fit: a zip of a manifest and arrays, within bounds of size, memory and time.

Format 2 holds all arrays of numbers as one ``arrays.safetensors`` member and arrays of strings in the manifest. Format 1, which earlier
versions wrote, holds each array as a ``.npy`` member; only the plain headers that numpy itself writes are read.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import safetensors
import safetensors.numpy

from encoding.runs.manifest import BadExchange, Checksum, Manifest
from encoding.storage.files import is_passing

Arrays = Mapping[str, np.ndarray]

MANIFEST, ARRAYS = "manifest.json", "arrays.safetensors"
MAX_FILE_BYTES = 256 * 2**20
MAX_BYTES = 1024 * 2**20  # unpacked
MAX_BYTES_FREE = 128 * 2**20  # unpacked, however well it was packed; beyond it a file may grow by MAX_GROWTH
MAX_GROWTH = 16  # unpacked over packed: scores hardly get smaller when packed, so more is an attack on memory
MAX_MEMBERS = 400
MAX_MANIFEST_BYTES = 2**20
MAX_HEADER_BYTES = 2**20  # of the safetensors member
BLOCK_BYTES = 2**20
EPOCH = (1980, 1, 1, 0, 0, 0)  # time of every member, so that equal content is an equal file
UNREADABLE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, OverflowError)
NPY_HEADER = re.compile(r"\{'descr': '([<>|=]?[biufU]\d{1,4})', 'fortran_order': (True|False), 'shape': \(([\d, ]{0,60})\), ?\} *\n?")


def write_archive(manifest: Manifest, arrays: Arrays) -> bytes:
    """Write a manifest and arrays as one file of format 2; equal contents are equal bytes.

    Parameters
    ----------
    arrays : ``part.name`` to an array of numbers, or of strings (n,).
    """
    texts = {name: array.tolist() for name, array in arrays.items() if array.dtype.kind == "U"}
    numbers = {name: np.array(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items() if name not in texts}
    packed = safetensors.numpy.save(numbers)
    listed = replace(manifest, texts=texts, files={ARRAYS: Checksum(len(packed), hashlib.sha256(packed).hexdigest())})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in ((MANIFEST, listed.to_json()), (ARRAYS, packed)):
            member = zipfile.ZipInfo(name, EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data)
    return out.getvalue()


def read_archive(file: BinaryIO) -> tuple[Manifest, dict[str, np.ndarray]]:
    """Read the manifest and all arrays of an exported fit, each checked against its checksum.

    Sizes are bounded before anything is unpacked; no member is written to disk and no pickle is read.

    Returns
    -------
    manifest : the validated manifest.
    arrays : ``part.array`` to array.

    Raises
    ------
    BadExchange where the file is no exported fit, is damaged, or would take too much memory. OSError where it cannot be read now.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > MAX_FILE_BYTES:
        raise BadExchange(f"This file has {size / 2**20:,.0f} MiB; an exported fit has {MAX_FILE_BYTES // 2**20} MiB at most.")
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, size)
            manifest = Manifest.from_json(_read(archive, members.pop(MANIFEST), MAX_MANIFEST_BYTES))
            if set(members) != set(manifest.files):
                odd = sorted(set(members) ^ set(manifest.files))[0]
                raise BadExchange(f"The file's list of contents and its contents differ: {odd!r}.")
            if manifest.version == 1:
                return manifest, {
                    name.removesuffix(".npy"): _npy(_checked(archive, member, manifest), name) for name, member in members.items()
                }
            if set(members) != {ARRAYS}:
                raise BadExchange(f"This file has no {ARRAYS}, so it is no exported fit of format {manifest.version}.")
            return manifest, _tensors(_checked(archive, members[ARRAYS], manifest)) | _texts(manifest)
    except UNREADABLE as error:
        if passing := next((each for each in (error, error.__context__) if is_passing(each)), None):
            raise passing from error  # zipfile calls an error of reading "not a zip file"
        raise BadExchange(f"This is no exported fit, or it is damaged: {error}") from error


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Name to member; BadExchange unless all are plain files of expected names, and of bounded number and size."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise BadExchange(f"This file has {len(members):,} members; an exported fit has {MAX_MEMBERS} at most.")
    named: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = member.filename
        if name in named:
            raise BadExchange(f"{name!r} is twice in this file.")
        if name not in (MANIFEST, ARRAYS) and not (name.endswith(".npy") and is_array_name(name.removesuffix(".npy"))):
            raise BadExchange(f"{name!r} is not what an exported fit holds. Nothing was unpacked.")
        if member.flag_bits & 1:
            raise BadExchange(f"{name!r} is encrypted.")
        named[name] = member
    if MANIFEST not in named:
        raise BadExchange(f"This zip has no {MANIFEST}, so it is no exported fit.")
    total, most = sum(member.file_size for member in members), min(MAX_BYTES, MAX_BYTES_FREE + MAX_GROWTH * size)
    if total > most:
        raise BadExchange(
            f"Unpacked, this file takes {total / 2**20:,.0f} MiB; an exported fit of its size takes {most // 2**20} MiB at most."
        )
    return named


def is_array_name(name: str) -> bool:
    """Check that a name has the form ``part.array``: letters, digits, ``_`` and ``-`` with one dot between, so no folder and no drive.

    Examples
    --------
    >>> [is_array_name(name) for name in ("fit.lh_r", "../fit", "/etc/fit", "a.b.exe")]
    [True, False, False, False]
    """
    parts = name.split(".")
    plain = all(part and part.isascii() and part.replace("_", "").replace("-", "").isalnum() for part in parts)
    return len(name) <= 80 and len(parts) == 2 and plain


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """A member's bytes, stopping at once where it is longer than it says or than it may be."""
    most = min(most, member.file_size)
    out = bytearray()
    with archive.open(member) as opened:
        while block := opened.read(BLOCK_BYTES):
            out += block
            if len(out) > most:
                raise BadExchange(f"{member.filename!r} is longer than it may be.")
    if len(out) != member.file_size:
        raise BadExchange(f"{member.filename!r} is shorter than it says.")
    return bytes(out)


def _checked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, manifest: Manifest) -> bytes:
    data = _read(archive, member, MAX_BYTES)
    if Checksum(len(data), hashlib.sha256(data).hexdigest()) != manifest.files[member.filename]:
        raise BadExchange(f"{member.filename!r} is not what was exported: its checksum differs.")
    return data


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, read-only; BadExchange unless all are of numbers and of sound names."""
    if int.from_bytes(data[:8], "little") > MAX_HEADER_BYTES:
        raise BadExchange(f"{ARRAYS!r} has a header of more than {MAX_HEADER_BYTES // 2**20} MiB.")
    try:
        found = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadExchange(f"{ARRAYS!r} holds no arrays: {error}") from error
    for name, array in found.items():
        if not is_array_name(name) or array.dtype.kind not in "biuf":
            raise BadExchange(f"{name!r} is not what an exported fit holds.")
        array.flags.writeable = False
    return found


def _texts(manifest: Manifest) -> dict[str, np.ndarray]:
    for name in manifest.texts:
        if not is_array_name(name):
            raise BadExchange(f"{name!r} is not what an exported fit holds.")
    return {name: np.array(texts, dtype=str) for name, texts in manifest.texts.items()}


def _npy(data: bytes, name: str) -> np.ndarray:
    """The array of a ``.npy`` file, read-only; BadExchange unless its header is as numpy writes it and says its length.

    The header is matched, never evaluated: numpy's own reader parses any Python literal.
    """
    start = 10 + int.from_bytes(data[8:10], "little")
    header = NPY_HEADER.fullmatch(data[10:start].decode("latin-1")) if data[:8] == b"\x93NUMPY\x01\x00" else None
    if header is None:
        raise BadExchange(f"{name!r} is no array of numbers or texts.")
    try:
        dtype, shape = np.dtype(header[1]), tuple(int(part) for part in header[3].split(",") if part.strip())
        if math.prod(shape) * dtype.itemsize != len(data) - start:
            raise BadExchange(f"{name!r} is no array: its length is not that of its shape.")
        if not math.prod(shape):
            return np.zeros(shape, dtype)
        return np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if header[2] == "True" else "C")
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, BadExchange) else BadExchange(f"{name!r} is no array: {error}") from error
