"""Stimuli that are image files in a folder."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from encoding.datasets._base import BadData, Stimuli

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
TRANSPARENT = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
GREY = (127, 127, 127)  # shows through transparent pixels, as the screen behind the pictures would

# What Pillow raises for damaged files, its own slips on damaged TIFFs among them.
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError, struct.error, Image.DecompressionBombError)


class ImageFiles(Stimuli):
    """One image file per stimulus, decoded when asked for.

    Parameters
    ----------
    paths : the files, in the order of the stimuli.
    fingerprint : names their bytes in that order (:func:`encoding.storage.fingerprints.files_fingerprint`).
    """

    def __init__(self, paths: Iterable[Path], *, fingerprint: str) -> None:
        self.paths = tuple(paths)
        self.names = tuple(path.stem for path in self.paths)
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def __getitem__(self, index: int) -> Image.Image:
        """Stimulus ``index`` as RGB; :class:`BadData` naming the file where it cannot be read."""
        return read_image(self.paths[index])


def read_image(path: Path) -> Image.Image:
    """The picture in a file as RGB, upright, its first frame where it has several.

    Raises
    ------
    BadData where the file is missing, damaged, or of no picture format.
    """
    try:
        with Image.open(path) as image:
            return as_rgb(ImageOps.exif_transpose(image))
    except UNREADABLE as error:
        raise BadData(f"{path} cannot be read as a picture ({error}). Copy this file again from where it came.") from error


def as_rgb(image: Image.Image) -> Image.Image:
    """Any picture as 8-bit RGB.

    Greyscale is repeated in three channels, 16 bits keep their upper 8, palettes and CMYK are converted, and
    transparent pixels let a mid-grey screen through (dropping alpha would uncover colours nobody saw).

    Raises
    ------
    ValueError for a floating-point picture: nothing says which values are black and white.
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


def list_images(folder: Path) -> list[Path]:
    """The picture files directly in a folder in natural order, so that ``img10`` comes after ``img9``.

    Hidden files are left out: macOS's zip leaves a ``._name.png`` beside every ``name.png``.

    Raises
    ------
    BadData where there is no such folder.
    """
    if not folder.is_dir():
        raise BadData(f"There is no folder {folder}. Unpack the images there.")
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(found, key=lambda path: natural_order(path.name))


def check_numbers(paths: Iterable[Path], pattern: re.Pattern[str], what: str, example: str) -> None:
    """Hold the ``number`` in each file's name against its place among ``paths``, counted from 1.

    Raises
    ------
    BadData where a name does not match ``pattern`` (an ``example`` of which is shown), or a number is missing or comes twice.
    """
    for row, path in enumerate(paths, start=1):
        found = pattern.fullmatch(path.name)
        if found is None:
            raise BadData(f"{path} is not named like {example}. Rename it or take it out of the folder.")
        if int(found["number"]) != row:
            raise BadData(
                f"{path} has the number {int(found['number'])} but is {what} {row} of its folder. Numbers must run from 1 without gaps."
            )


def natural_order(name: str) -> tuple[tuple[str, int], ...]:
    """A sort key by which numbers within names count as numbers.

    Examples
    --------
    >>> sorted(["img10.png", "img9.png", "img1.png"], key=natural_order)
    ['img1.png', 'img9.png', 'img10.png']
    """
    pieces = re.findall(r"([^0-9]*)([0-9]*)", name)
    return tuple((text, int(number or -1)) for text, number in pieces)
