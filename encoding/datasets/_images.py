"""Image files as stimuli: listing, ordering and decoding."""

from __future__ import annotations

import os
import re
import struct
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from encoding.datasets._base import BadData, Stimuli
from encoding.datasets._spelling import near_name
from encoding.storage import files

SUFFIXES = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".avif", ".avifs", ".jp2",
    ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".pbm", ".pgm", ".ppm", ".pnm", ".qoi",
})  # fmt: skip
LEFT_OUT = frozenset({
    ".eps", ".ps", ".pdf", ".svg", ".wmf", ".emf", ".heic", ".heif", ".jxl", ".psd", ".tga", ".pcx", ".ico", ".exr", ".hdr", ".dng",
    ".cr2", ".nef", ".arw", ".raw", ".fits", ".fit", ".blp", ".bufr", ".bw", ".cur", ".dcx", ".dds", ".flc", ".fli", ".ftc", ".ftu", ".gbr",
    ".grib", ".icb", ".icns", ".iim", ".im", ".msp", ".palm", ".pcd", ".pfm", ".pxr", ".ras", ".rgb", ".rgba", ".sgi", ".vda", ".vst",
    ".xbm", ".xpm",
})  # fmt: skip
"""Endings of images that are not read: no decoder, no defined range of values, or (EPS, PS) a format that runs programs."""
FORMATS = ("JPEG", "PNG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI")
"""The only decoders that a file is given to, whatever its ending. Pillow would give an EPS named .png to Ghostscript."""
SIXTEEN_BITS = ("PNG", "PPM")  # formats whose integers, where Pillow gives 32 bits (mode I), fill 16
TRANSPARENT = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
GREY = (127, 127, 127)  # shows through transparent pixels, as the screen behind the images would

# What Pillow raises for damaged files, its own errors on damaged TIFFs among them.
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError, struct.error, Image.DecompressionBombError)


class ImageFiles(Stimuli):
    """One image file per stimulus, decoded on access.

    Parameters
    ----------
    paths : the files, in the order of the stimuli.
    fingerprint : of their bytes in that order (:func:`encoding.storage.fingerprints.files_fingerprint`).
    """

    def __init__(self, paths: Iterable[Path], *, fingerprint: str) -> None:
        self.paths = tuple(paths)
        self.names = tuple(path.stem for path in self.paths)
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        """Digest of the files' content, in order."""
        return self._fingerprint

    def __getitem__(self, index: int) -> Image.Image:
        """Stimulus ``index`` as RGB; :class:`BadData` naming the file where it cannot be read."""
        return read_image(self.paths[index])


def read_image(path: Path) -> Image.Image:
    """Decode an image file as 8-bit RGB, upright by its EXIF orientation, the first frame of several.

    Raises
    ------
    BadData where the file is missing, special (a pipe, a device), damaged, or of none of :data:`FORMATS`. OSError with the file's name
    where the system cannot read it now.
    """
    require_regular(path)
    try:
        with Image.open(path, formats=readable_formats()) as image:
            if image.mode == "I" and image.format not in SIXTEEN_BITS:
                raise ValueError("its pixels are 32-bit integers of unknown range; save it with 8 bits a channel")
            return as_rgb(upright(image))
    except UNREADABLE as error:
        files.raise_passing(error, path)
        raise BadData(f"{path} cannot be read as an image ({error}). Copy this file again from where it came.") from error


@cache
def readable_formats() -> tuple[str, ...]:
    """Return those of :data:`FORMATS` that this build of Pillow decodes."""
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; an image whose EXIF block is damaged is returned as it lies in the file."""
    try:
        return ImageOps.exif_transpose(image)
    except UNREADABLE as error:
        if files.is_passing(error):
            raise
        image.load()  # damaged pixels are another matter, and are not forgiven
        return image


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert any image to 8-bit RGB.

    Greyscale is repeated in three channels, 16 bits keep their upper 8, palettes and CMYK are converted, and
    transparent pixels show mid-grey (dropping alpha would uncover colours nobody saw).

    Raises
    ------
    ValueError for a floating-point image, whose values for black and white are unknown.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; save it with 8 bits a channel")
    if image.mode.startswith("I"):  # 16-bit greyscale, whatever the byte order
        upper = np.clip(np.asarray(image).astype(np.int64) // 256, 0, 255)
        return Image.fromarray(upper.astype(np.uint8)).convert("RGB")
    if image.mode in TRANSPARENT or "transparency" in image.info:
        screen = Image.new("RGBA", image.size, (*GREY, 255))
        return Image.alpha_composite(screen, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def require_regular(path: Path) -> None:
    """Raise BadData unless ``path`` is a regular file, which alone ends; OSError where the system cannot look at it now."""
    try:
        files.require_regular(path)
    except files.NotRegular as error:
        raise BadData(str(error)) from error
    except (OSError, ValueError) as error:
        files.raise_passing(error, path)
        raise BadData(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from error


def list_images(folder: Path) -> list[Path]:
    """List the image files directly in a folder in :func:`natural_order`, so that ``img10`` comes after ``img9``.

    Hidden files are left out: macOS's zip leaves a ``._name.png`` beside every ``name.png``.

    Raises
    ------
    BadData where there is no such folder, or something with the name of an image is no regular file.
    """
    if not folder.is_dir():
        raise BadData(f"There is no folder {folder}. {near_name(folder) or 'Unpack the images there.'}")
    return list_files(folder, SUFFIXES)


def list_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """List the regular files of a folder that have one of these endings, in :func:`natural_order`; BadData for special files."""
    paths = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and Path(entry.name).suffix.lower() in suffixes:
                if not entry.is_file():
                    require_regular(Path(entry.path))
                paths.append(folder / entry.name)
    return sorted(paths, key=lambda path: natural_order(path.name))


def not_listed(folder: Path) -> str:
    """Describe the images that :func:`list_images` ignores, in other formats or in subfolders; empty where there are none."""
    others, below, folders = [], 0, 0
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in LEFT_OUT:
            others.append(path.name)
        elif path.is_dir():
            n_there = sum(1 for each in path.glob("**/*") if each.suffix.lower() in SUFFIXES and not each.name.startswith("."))
            below, folders = below + n_there, folders + bool(n_there)
    notes = []
    if others:
        first = min(others, key=natural_order)
        notes.append(f"{len(others):,} files in formats that are not read are left out, the first {first}: save them as PNG.")
    if below:
        notes.append(
            f"{below:,} images lie in {folders:,} folders below it, which are not searched: list them in a text file, one path a line"
            " (of your own data: or write subfolders = true)."
        )
    return " ".join(notes)


def check_numbers(paths: Iterable[Path], pattern: re.Pattern[str], what: str, example: str) -> None:
    """Compare the ``number`` in each file's name with its position among ``paths``, counted from 1.

    Raises
    ------
    BadData where a name does not match ``pattern`` (an ``example`` of which is given), or a number is missing or comes twice.
    """
    for row, path in enumerate(paths, start=1):
        match = pattern.fullmatch(path.name)
        if match is None:
            raise BadData(f"{path} is not named like {example}. Rename it or take it out of the folder.")
        if int(match["number"]) != row:
            raise BadData(
                f"{path} has the number {int(match['number'])} but is {what} {row} of its folder. Numbers must run from 1 without gaps."
            )


def natural_order(name: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Sort key in which digits within names compare as numbers, regardless of case and of composed or decomposed accents.

    Names that differ in nothing else (``img1``, ``img01``, ``IMG1``) are ordered by their characters.

    Examples
    --------
    >>> sorted(["img10.png", "IMG9.png", "img1.png"], key=natural_order)
    ['img1.png', 'IMG9.png', 'img10.png']
    """
    pieces = re.findall(r"([^0-9]*)([0-9]*)", unicodedata.normalize("NFC", name).casefold())
    return tuple((text, int(number or -1)) for text, number in pieces), name
