"""Decode frames of a clip as a player shows them: container by first bytes, completeness, rotation, mirror, pixel aspect, cropping.

Both the folder readers and the readers of uploads use this, so that a clip has the same frames either way.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from fractions import Fraction
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Crop = tuple[int, int, int, int]  # pixels cut off at the left, top, right and bottom

STILLS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")  # images in the same container as MP4
STARTS = {b"\x1aE\xdf\xa3": "matroska", b"FLV": "flv", b"OggS": "ogg", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf"}
STARTS |= {b"\x00\x00\x01\xba": "mpeg", b"\x47\x40": "mpegts"}
MAX_HEADER = 64 * 2**20  # bytes of an MP4's index that are searched for its crop
MAX_STRETCH = 8  # of pixels, one side over the other
TURN_TOLERANCE = 0.01  # of a display matrix against one that turns by quarters
SEGMENT, TRACKS, TRACK, VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0  # Matroska's elements, and those that crop
CROPS = {0x54CC: 0, 0x54BB: 1, 0x54DD: 2, 0x54AA: 3}


class BadClip(ValueError):
    """A clip cannot be decoded completely. The message completes a sentence that begins with its name."""


def container_kind(start: bytes) -> str | None:
    """Return FFmpeg's name for the container that a file's first 12 bytes announce; None for any other.

    A file is only ever handed to this one reader: FFmpeg, left to guess, would follow a playlist to other files and hosts.
    """
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip") and start[8:12] not in STILLS:
        return "mov"
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return "avi"
    return next((kind for begin, kind in STARTS.items() if start.startswith(begin)), None)


def check_complete(file: IO[bytes], kind: str) -> Crop:
    """Walk the container's outermost blocks and compare their lengths with the file's.

    Returns
    -------
    What the container says to cut off each frame before it is turned (MP4's ``clap``, Matroska's ``PixelCrop``), zeros without.

    Raises
    ------
    BadClip where a block reaches beyond the end: FFmpeg would give fewer frames without a word.
    """
    size = file.seek(0, 2)
    check = {"mov": _check_mov, "matroska": _check_matroska, "avi": _check_avi}.get(kind)
    return (check(file, size) if check else None) or (0, 0, 0, 0)


def _cut_short(end: int, size: int) -> BadClip:
    return BadClip(f"is cut short: it announces {end:,} bytes and has {size:,}")


def _check_mov(file: IO[bytes], size: int) -> Crop | None:
    at, crop = 0, None
    while at < size:
        file.seek(at)
        head = file.read(16)
        if not head.strip(b"\0"):
            break  # padding
        if len(head) < 8:
            raise _cut_short(at + 8, size)
        length, name = struct.unpack(">I4s", head[:8])
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:
            break  # to the end of the file
        if length < 8 or at + length > size:
            raise _cut_short(at + max(length, 8), size)
        if name == b"moov":
            file.seek(at)
            crop = _clean_aperture(file.read(min(length, MAX_HEADER)))
        at += length
    return crop


def _clean_aperture(moov: bytes) -> Crop | None:
    """Read the ``clap`` box of an MP4's index: width, height and offset of the middle, each a fraction of two 32-bit numbers."""
    at, described = moov.find(b"\0\0\0\x28clap"), moov.find(b"stsd")
    if at < 0 or described < 0 or at < described or at + 40 > len(moov):
        return None
    entry = max(
        moov.rfind(name, described, at) for name in (b"avc1", b"avc3", b"hvc1", b"hev1", b"mp4v", b"av01", b"vp09", b"jpeg", b"apcn")
    )
    numbers = struct.unpack(">8i", moov[at + 8 : at + 40])
    if entry < 0 or any(bottom <= 0 for bottom in numbers[1::2]):
        return None
    full_width, full_height = struct.unpack(">HH", moov[entry + 28 : entry + 32])
    width, height, right, down = (Fraction(top, bottom) for top, bottom in zip(numbers[::2], numbers[1::2], strict=True))
    left, top = (full_width - width) / 2 + right, (full_height - height) / 2 + down
    return tuple(round(side) for side in (left, top, full_width - width - left, full_height - height - top))


def _check_avi(file: IO[bytes], size: int) -> None:
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(8)
        if head[:4] != b"RIFF":
            return  # padding behind the last part
        end = at + 8 + int.from_bytes(head[4:8], "little")
        if len(head) < 8 or end > size:
            raise _cut_short(end, size)
        at = end + end % 2


def _check_matroska(file: IO[bytes], size: int) -> Crop | None:
    crop = None
    for name, start, end in _elements(file, 0, size):
        if end is not None and end > size:
            raise _cut_short(end, size)
        if name == SEGMENT:
            for name_in, start_in, end_in in _elements(file, start, size if end is None else end):
                if end_in is None:
                    break  # written while it was recorded
                if end_in > size:
                    raise _cut_short(end_in, size)
                if name_in == TRACKS:
                    crop = _pixel_crop(file, start_in, end_in)
        if end is None:
            break
    return crop


def _pixel_crop(file: IO[bytes], start: int, end: int) -> Crop | None:
    for track, *inside in _elements(file, start, end):
        for video, *about in _elements(file, *inside) if track == TRACK else ():
            if video == VIDEO:
                crop = [0, 0, 0, 0]
                for name, first, last in _elements(file, *about):
                    if name in CROPS:
                        file.seek(first)
                        crop[CROPS[name]] = int.from_bytes(file.read(min(last - first, 8)), "big")
                return tuple(crop)
    return None


def _elements(file: IO[bytes], at: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """Yield id, first byte and end of each EBML element; an end of None is not known."""
    while at < end:
        file.seek(at)
        head = file.read(12)
        n_id = 9 - head[0].bit_length() if head and head[0] else 9
        n_size = 9 - head[n_id].bit_length() if n_id <= 4 and n_id < len(head) and head[n_id] else 9
        if n_size > 8 or n_id + n_size > len(head):
            raise _cut_short(at + 12, end)
        length = int.from_bytes(head[n_id : n_id + n_size], "big") & ((1 << 7 * n_size) - 1)
        start = at + n_id + n_size
        at = start + length
        yield int.from_bytes(head[:n_id], "big"), start, None if length == (1 << 7 * n_size) - 1 else at


def frames_at(
    container: InputContainer, places: Collection[int], crop: Crop = (0, 0, 0, 0), *, max_pixels: int | None = None
) -> tuple[dict[int, Image.Image], int]:
    """Decode the frames at ``places`` of a container's first video.

    Parameters
    ----------
    places : 0-based indices in display order.
    crop : as :func:`check_complete` gives it.
    max_pixels : maximum number of pixels of a frame, as stored and as displayed.

    Returns
    -------
    frames : place to :func:`as_shown` frame, of those places that exist.
    n_decoded : how many frames were decoded to get to the last of them.

    Raises
    ------
    BadClip where a frame is damaged, too large, or has an unsupported display transform.
    """
    found, n_decoded, stream, last = {}, 0, container.streams.video[0], max(places)
    for place, frame in enumerate(container.decode(stream)):
        if frame.is_corrupt or (max_pixels and frame.width * frame.height > max_pixels):
            raise BadClip(f"is damaged at frame {place} (counted from 0)")
        n_decoded += 1
        if place in places:
            found[place] = as_shown(frame, stream, crop, max_pixels)
        if place == last:
            break
    return found, n_decoded


def as_shown(frame: VideoFrame, stream: VideoStream, crop: Crop = (0, 0, 0, 0), max_pixels: int | None = None) -> Image.Image:
    """Convert a frame to RGB as a player shows it: cropped, its pixels made square by changing the width, then turned and mirrored."""
    image = frame.to_image()
    if any(crop):
        left, top, right, bottom = crop
        if min(crop) < 0 or left + right >= image.width or top + bottom >= image.height:
            raise BadClip(f"says to crop its frames of {image.width} x {image.height} pixels by {crop}")
        image = image.crop((left, top, image.width - right, image.height - bottom))
    aspect = stream.sample_aspect_ratio
    if aspect and aspect != 1:
        if not 1 / MAX_STRETCH <= aspect <= MAX_STRETCH:
            raise BadClip(f"says that its pixels are {float(aspect):.3g} times as wide as high")
        width = max(1, round(image.width * aspect))
        if max_pixels and width * image.height > max_pixels:
            raise BadClip(f"is shown with {width:,} x {image.height:,} pixels, too many")
        image = image.resize((width, image.height), Image.Resampling.BICUBIC)
    for each in frame.side_data:
        if each.type.name == "DISPLAYMATRIX":
            return _turned(image, np.frombuffer(bytes(each), "=i4")[[0, 1, 3, 4]].reshape(2, 2))
    return image


def _turned(image: Image.Image, matrix: np.ndarray) -> Image.Image:
    """Apply the upper left (2, 2) of a display matrix, which maps (x, y) to (x, y) @ matrix; y points down.

    Raises
    ------
    BadClip unless it turns by quarters, with or without a mirror.
    """
    signs = np.where(np.abs(matrix) > TURN_TOLERANCE * np.abs(matrix).max(), np.sign(matrix), 0).astype(int)
    if not (np.abs(signs).sum(axis=0) == 1).all() or not (np.abs(signs).sum(axis=1) == 1).all():
        raise BadClip("is to be shown turned by other than quarters: save it upright")
    if not signs[0, 0]:  # x and y change places
        image = image.transpose(Image.Transpose.TRANSPOSE)
    if signs[:, 0].sum() < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if signs[:, 1].sum() < 0 else image


def is_cut_short(stream: VideoStream, n_packets: int) -> bool:
    """Check whether an MP4's index lists more packets than the file holds."""
    return "mov" in stream.container.format.name and n_packets < len(stream.index_entries)
