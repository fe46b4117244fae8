"""Identify by its first bytes what a file is that should be ``.npy``, with the line of Python that saves it as one."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable
from pathlib import Path

from encoding.datasets._spelling import MARKS

N_BYTES = 1024  # of a file's start that are looked at
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
ARRAYS = (  # detection by the start of the file, unpacked where it is gzip; what it is; expression of its array
    (lambda start: is_matlab7(start), "a MATLAB file of version 7.3", "h5py.File({name})['Y'][()].T"),
    (lambda start: is_matlab5(start), "a MATLAB file", "scipy.io.loadmat({name})['Y']"),
    (lambda start: is_hdf5(start), "an HDF5 file", "h5py.File({name})['Y'][()]"),
    (lambda start: is_nifti(start) and _is_cifti(start), "a CIFTI file", "nibabel.load({name}).get_fdata()"),
    (lambda start: is_nifti(start), "a NIfTI volume", "nibabel.load({name}).get_fdata()[mask == 1].T"),
    (lambda start: is_mgh(start), "a FreeSurfer volume", "np.asarray(nibabel.load({name}).dataobj).squeeze()"),
    (lambda start: start.startswith(b"\xff\xff\xff\0"), "a FreeSurfer map", "nibabel.freesurfer.read_morph_data({name})"),
    (lambda start: is_gifti(start), "a GIfTI file", "np.stack([each.data for each in nibabel.load({name}).darrays])"),
    (lambda start: is_zip(start) and b"data.pkl" in start, "a PyTorch file", "torch.load({name}, weights_only=True)['Y'].numpy()"),
    (
        lambda start: is_zip(start) and (b"[Content_Types]" in start or b"xl/" in start),
        "an Excel workbook",
        "pandas.read_excel({name}, header=None).to_numpy(float)",
    ),
    (lambda start: is_zip(start), "a zip archive such as an .npz", "np.load({name})['Y']"),
    (lambda start: start.startswith(b"PAR1"), "a table in Parquet", "pandas.read_parquet({name}).to_numpy()"),
    (lambda start: start.startswith((b"ARROW1", b"FEA1")), "a table in Feather", "pandas.read_feather({name}).to_numpy()"),
    (lambda start: start.startswith((b"X\n\0\0\0", b"A\n2\n", b"A\n3\n")), "an R object", "pyreadr.read_r({name})[None].to_numpy()"),
    (lambda start: start.startswith((b"RDX", b"RDA")), "an R workspace", "pyreadr.read_r({name})['Y'].to_numpy()"),
)  # fmt: skip
PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}
OTHERS: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (lambda start: not start, "an empty file", "Copy it again; a download or a save may have failed."),
    (lambda start: not start.strip(b"\0"), "a file of zeros", "Copy it again; a download or a copy may have stopped."),
    (lambda start: _begins(start, b"version https://git-lfs"), "a Git LFS pointer and not the array itself", "Fetch it: git lfs pull"),
    (
        lambda start: _begins(start, b"<!doctype html", b"<html", b"<?xml"),
        "a web page",
        "The download failed or needs a login; download it again.",
    ),
    (
        lambda start: start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5",
        "a Python pickle",
        "Pickles can run programs and are not read. Where you trust it, load it yourself and save the array in it: {save}",
    ),
    (lambda start: start[257:262] == b"ustar" or start.startswith((b"7z\xbc\xaf", b"Rar!")), "an archive of files", "Unpack it first."),
)


def other_format(start: bytes, path: Path) -> str:
    """Say what a file is that is not ``.npy``, and how to convert it; nothing that it advises writes over the file.

    Parameters
    ----------
    start : the first :data:`N_BYTES` of the file.
    """
    save_as = "{what}, not .npy. Save it as .npy and name that: {save}"
    for begins, what, expression in ARRAYS:
        if begins(unpacked(start)):
            where = ", where mask is the volume of the voxels that you want." if "mask" in expression else ""
            return save_as.format(what=what, save=saved(path, expression.format(name=repr(path.name)))) + where
    for begins, what, advice in OTHERS:
        if begins(start):
            return f"{what}, not .npy. {advice.format(save=saved(path, 'Y'))}"
    for begins, (kind, command) in PACKED.items():
        if start.startswith(begins):
            return f"compressed with {kind}, not .npy. Unpack it first: {command} {path.name}"
    if expression := _text_reader(start, path.name):
        return save_as.format(what="text", save=saved(path, expression))
    return f"no .npy, nor of a format that is known here (it begins with {start[:8]!r}). Save its array: {saved(path, 'Y')}"


def unpacked(start: bytes) -> bytes:
    """The first bytes of a file, unpacked where they are gzip."""
    if start[:2] == b"\x1f\x8b":
        try:
            return zlib.decompressobj(31).decompress(start, N_BYTES)
        except zlib.error:
            return start
    return start


def saved(path: Path, expression: str, suffix: str = "numbers") -> str:
    """The call that saves an array beside ``path`` under a name that no file has."""
    stem = path.name.split(".")[0] or "array"
    names = [f"{stem}.npy", f"{stem}_{suffix}.npy", *(f"{stem}_{suffix}{number}.npy" for number in range(2, 100))]
    free = next((name for name in names if name != path.name and not (path.parent / name).exists()), names[-1])
    return f"np.save({free!r}, {expression})"


def _text_reader(start: bytes, name: str) -> str:
    """The expression that reads numbers from a text, by its first line; empty where the file is no text."""
    encoding = next((known for mark, known in MARKS.items() if start.startswith(mark)), "utf-8")
    text = codecs.getincrementaldecoder(encoding)(errors="strict")
    try:
        lines = text.decode(start).splitlines()
    except UnicodeDecodeError:
        return ""
    if not lines or CONTROL.search("".join(lines)):
        return ""
    if lines[0].lstrip().startswith(("[", "{")):
        return f"np.array(json.load(open({name!r})), float)"
    delimiter = next((each for each in ";\t," if each in lines[0]), None)
    options = [] if delimiter is None else [f"delimiter={delimiter!r}"]
    try:
        list(map(float, lines[0].split(delimiter)))
    except ValueError:
        options.append("skiprows=1")
    options += [f"encoding={encoding!r}"] if encoding != "utf-8" else []
    return f"np.loadtxt({', '.join([repr(name), *options])})"


def _begins(start: bytes, *begins: bytes) -> bool:
    return start.lower().lstrip(b"\xef\xbb\xbf \r\n\t").startswith(begins)


def is_matlab5(start: bytes) -> bool:
    """Whether a file begins as MATLAB's until version 7."""
    return start.startswith(b"MATLAB 5.0")


def is_matlab7(start: bytes) -> bool:
    """Whether a file begins as MATLAB's of version 7.3, which is HDF5 with its axes reversed."""
    return start.startswith(b"MATLAB 7.3")


def is_hdf5(start: bytes) -> bool:
    """Whether a file begins as HDF5."""
    return start.startswith(b"\x89HDF\r\n\x1a\n")


def is_mgh(start: bytes) -> bool:
    """Whether a file begins as an unpacked FreeSurfer volume."""
    return start.startswith(b"\0\0\0\1\0")  # version 1, and a first axis of less than 2**24; fsaverage's has 163,842


def is_gifti(start: bytes) -> bool:
    """Whether a file begins as GIFTI."""
    return b"<GIFTI" in start


def is_zip(start: bytes) -> bool:
    """Whether a file begins as a zip archive."""
    return start.startswith(b"PK\x03\x04")


def is_nifti(start: bytes) -> bool:
    """Whether an unpacked file begins as NIfTI, of version 1 or 2."""
    return start[344:347] in (b"n+1", b"ni1") or start[4:7] in (b"n+2", b"ni2")


def _is_cifti(start: bytes) -> bool:
    """Whether the intent code of a NIfTI-2 header is one of CIFTI's."""
    return start[4:6] == b"n+" and any(3000 <= int.from_bytes(start[504:508], order) < 3100 for order in ("little", "big"))
