"""Decode uploaded images and clips within bounds of size, memory and time; nothing is written to disk.

The format is identified by the file's first bytes, never by its name. The size in pixels is read from the header and checked against
the bounds before a decoder may allocate memory.
"""

from __future__ import annotations

import io
import re
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from encoding.datasets._frames import BadClip, Crop, check_complete, container_kind, frames_at, is_cut_short
from encoding.datasets._images import UNREADABLE, as_rgb, upright
from encoding.datasets._videos import evenly_spaced

if TYPE_CHECKING:
    from av.container import InputContainer

MOST_IMAGE_BYTES = 20 * 2**20
MOST_PIXELS = 40_000_000
LEAST_SIDE, MOST_SIDE = 16, 1_024  # pixels; larger images are reduced to this, which is more than the input of any network here
MOST_ASPECT = 8  # longer side over shorter: networks enlarge the shorter one
IMAGES = "JPEG, PNG, WebP, BMP or GIF"

MOST_CLIP_BYTES = 50 * 2**20
MOST_SECONDS = 60.0
MOST_CLIP_FRAMES = 4_000
MOST_FRAME_PIXELS = 4_096 * 2_304
MOST_DECODED_PIXELS = 2_500_000_000  # of all frames together: some 10 s of work
CLIPS = "MP4, MOV, MKV, WebM or AVI"

ONE_AT_A_TIME = threading.Semaphore(2)  # decoding; a crowd of large files would take all memory


class BadUpload(ValueError):
    """An uploaded file cannot be used. The message gives the reason and the fix in one or two sentences."""


# ---- images


def read_uploaded_image(data: bytes) -> Image.Image:
    """Decode an uploaded image.

    Parameters
    ----------
    data : content of the file.

    Returns
    -------
    8-bit RGB image, upright by its EXIF orientation, the first frame of several, reduced to at most 1,024 pixels on its longer side.

    Raises
    ------
    BadUpload for anything but an undamaged JPEG, PNG, WebP, BMP or GIF within the bounds.
    """
    _check_bytes(data, MOST_IMAGE_BYTES, "an image")
    kind = image_format(data)
    if kind is None:
        raise BadUpload(f"This file is no image that is read here ({IMAGES}). {_looks_like(data)}".strip())
    if kind in CANVAS and (size := CANVAS[kind](data)) is not None:  # these decoders take memory before they tell a size
        _check_pixels(*size)
    try:
        with ONE_AT_A_TIME, Image.open(io.BytesIO(data), formats=[kind]) as image:
            _check_pixels(*image.size)
            image.load()
            _check_pixels(*image.size)
            return _reduced(upright(image))
    except Image.DecompressionBombError as error:
        raise BadUpload(_too_many_pixels()) from error
    except (*UNREADABLE, MemoryError, IndexError, OverflowError) as error:
        if isinstance(error, BadUpload):
            raise
        raise BadUpload(f"This {kind} is damaged or cut short, so it cannot be read. Save it again and try that.") from error


def image_format(data: bytes) -> str | None:
    """Identify the image format of a file by its first bytes, as Pillow names it; None for any format that is not read here.

    Examples
    --------
    >>> image_format(b"GIF89a..."), image_format(b"<svg xmlns=...")
    ('GIF', None)
    """
    starts = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"BM": "BMP", b"GIF87a": "GIF", b"GIF89a": "GIF"}
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for start, kind in starts.items() if data.startswith(start)), None)


def _reduced(image: Image.Image) -> Image.Image:
    """As RGB and no larger than it may be; reduced first where that loses nothing, as conversion takes several times the memory."""
    if image.mode.startswith("I;16"):  # the upper 8 bits, as encoding.datasets takes them
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("1", "P", "PA") or (image.mode == "RGB" and "transparency" in image.info):
        image = as_rgb(image) if "transparency" not in image.info else image.convert("RGBA")
    if max(image.size) > MOST_SIDE and image.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"):
        image = image.copy()
        image.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    made = as_rgb(image)
    made.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.LANCZOS)
    made.info.clear()  # where it was taken, and by whom, is nobody's business
    return made


def _gif_canvas(data: bytes) -> tuple[int, int] | None:
    return struct.unpack_from("<HH", data, 6) if len(data) >= 10 else None


def _webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Width and height that a WebP file announces: of its canvas, or of its only frame."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return tuple(1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(data) >= 30:
        return tuple(side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    raise BadUpload("This WEBP is damaged or cut short, so it cannot be read. Save it again and try that.")


CANVAS: dict[str, Callable[[bytes], tuple[int, int] | None]] = {"GIF": _gif_canvas, "WEBP": _webp_canvas}


def _check_bytes(data: bytes, most: int, what: str) -> None:
    if not data:
        raise BadUpload("This file is empty.")
    if len(data) > most:
        raise BadUpload(f"This file has {len(data) / 2**20:,.1f} MB; {what} may have {most / 2**20:,.0f} MB.")


def _check_pixels(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise BadUpload(_too_many_pixels(width, height))
    _check_shape(width, height)


def _check_shape(width: int, height: int) -> None:
    if min(width, height) < LEAST_SIDE:
        raise BadUpload(f"This image has {width:,} x {height:,} pixels; {LEAST_SIDE} a side are the least.")
    if max(width, height) > MOST_ASPECT * min(width, height):
        raise BadUpload(f"This image has {width:,} x {height:,} pixels: one side may be {MOST_ASPECT} times the other at most. Crop it.")


def _too_many_pixels(*size: int) -> str:
    has = f"has {size[0]:,} x {size[1]:,} pixels" if size else "has far too many pixels"
    return f"This image {has}; {MOST_PIXELS / 1e6:,.0f} million are the most. Save it smaller."


def _looks_like(data: bytes) -> str:
    """Guess the type of a file that is not read here, with a fix; empty where it is unknown."""
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if re.search(rb"<svg\b", start):
        return "It is an SVG drawing: save it as PNG."
    if start.startswith((b"<!doctype html", b"<html", b"<?xml", b"<script")):
        return "It is a web page or XML: save the image itself."
    known = {b"pk\x03\x04": "a zip archive: unpack it first", b"%pdf": "a PDF: save the image as PNG"}
    known |= {b"ii*\x00": "a TIFF: save it as PNG", b"mm\x00*": "a TIFF: save it as PNG"}
    if data[4:8] == b"ftyp":
        known[start[:4]] = "a video, or a HEIC or AVIF image: save it as JPEG"
    return next((f"It is {what}." for begin, what in known.items() if start.startswith(begin)), "")


# ---- clips


def read_clip(data: bytes, n_frames: int) -> list[Image.Image]:
    """Decode evenly spaced frames of an uploaded video; its sound is ignored.

    Parameters
    ----------
    data : content of the file.
    n_frames : number of frames, from the first to the last.

    Returns
    -------
    ``n_frames`` RGB images, reduced to at most 1,024 pixels on their longer side.

    Raises
    ------
    BadUpload for anything but an undamaged video within the bounds.
    """
    _check_bytes(data, MOST_CLIP_BYTES, "a clip")
    kind = clip_format(data)
    if kind is None:
        still = "It is an image, and this model was fitted to clips." if image_format(data) else ""
        raise BadUpload(f"This file is no clip that is read here ({CLIPS}). {still or _looks_like(data)}".strip())
    with ONE_AT_A_TIME, _opened(data, kind) as container:
        crop, n_packets = check_complete(io.BytesIO(data), kind), _check_clip(container)
    with ONE_AT_A_TIME:
        places = evenly_spaced(n_packets, n_frames)
        decoded, n_there = _frames_at(data, kind, places, crop)
        if len(decoded) < len(set(places)):  # some packets held no frame to be shown
            if n_there == 0:
                raise BadUpload("This clip holds no frames.")
            places = evenly_spaced(n_there, n_frames)
            decoded, _ = _frames_at(data, kind, places, crop)
    if len(decoded) < len(set(places)):
        raise BadUpload("This clip is damaged or cut short, so it cannot be read.")
    return [decoded[place] for place in places]


def clip_format(data: bytes) -> str | None:
    """Identify the video container of a file by its first bytes, as FFmpeg names its demuxer; None for any that is not read here.

    A file is only ever passed to this one demuxer: FFmpeg, left to guess, would follow a playlist to other files and hosts.
    """
    kind = container_kind(data[:12])
    return kind if kind in ("mov", "matroska", "avi") else None


def _check_clip(container: InputContainer) -> int:
    """Return how many frames a clip has by its packets, none of them decoded; BadUpload where it is out of bounds or cut short."""
    stream = container.streams.video[0]
    width, height = stream.codec_context.width, stream.codec_context.height
    if not 0 < width * height <= MOST_FRAME_PIXELS:
        most = f"{MOST_FRAME_PIXELS / 1e6:.1f} million"
        raise BadUpload(f"This clip's frames have {width:,} x {height:,} pixels; {most} are the most. Save it smaller.")
    _check_shape(width, height)
    seconds, n_packets, n_there = (container.duration or 0) / 1e6, 0, 0
    for packet in container.demux(stream):
        n_packets += packet.size > 0
        n_there += packet.size > 0 and not packet.is_discard
        if packet.pts is not None and packet.time_base:
            seconds = max(seconds, float(packet.pts * packet.time_base))
        if n_there > MOST_CLIP_FRAMES or seconds > MOST_SECONDS:
            most = f"{MOST_SECONDS:.0f} seconds and {MOST_CLIP_FRAMES:,} frames are the most"
            raise BadUpload(f"This clip is too long: {most}. Cut it.")
    if n_there * width * height > MOST_DECODED_PIXELS:
        raise BadUpload(f"This clip has {n_there:,} frames of {width:,} x {height:,} pixels, too many together. Save it smaller.")
    if is_cut_short(stream, n_packets):
        raise BadClip("is cut short: its index names more frames than it holds")
    return max(1, n_there)


def _frames_at(data: bytes, kind: str, places: Sequence[int], crop: Crop) -> tuple[dict[int, Image.Image], int]:
    """Return the frames at ``places`` so far as they are there, reduced, and how many were decoded to get to the last of them."""
    with _opened(data, kind) as container:
        frames, n_decoded = frames_at(container, places, crop, max_pixels=MOST_FRAME_PIXELS)
    for image in frames.values():
        image.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.LANCZOS)
    return frames, n_decoded


@contextmanager
def _opened(data: bytes, kind: str) -> Iterator[InputContainer]:
    """The container, with a first video whose decoder refuses frames that are too large; whatever it raises becomes a BadUpload."""
    import av

    try:
        with av.open(io.BytesIO(data), format=kind) as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise BadUpload("This file holds no video that can be decoded.")
            context = container.streams.video[0].codec_context
            context.thread_count = 1
            context.options = {"max_pixels": str(MOST_FRAME_PIXELS)}
            yield container
    except BadUpload:
        raise
    except BadClip as error:
        raise BadUpload(f"This clip {error}.") from error
    except (av.FFmpegError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise BadUpload("This clip is damaged or cut short, so it cannot be read.") from error
