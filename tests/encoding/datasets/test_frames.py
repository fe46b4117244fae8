"""Frames are those that a player shows, from a folder and as an upload, and a container that is cut short never loses some silently."""

from __future__ import annotations

import io
import struct
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from encoding.datasets import BadData
from encoding.datasets._frames import BadClip, _turned, check_complete, container_kind
from encoding.datasets._videos import VideoFiles
from encoding.prediction.uploads import BadUpload, read_clip

av = pytest.importorskip("av")

WIDTH, HEIGHT, N = 64, 48, 12
ONE = 1 << 16
QUARTERS = {  # rows of the display matrix; how numpy turns the array of the frame
    "upright": ((ONE, 0, 0, ONE), lambda a: a),
    "90 degrees clockwise": ((0, ONE, -ONE, 0), lambda a: np.rot90(a, -1)),
    "180 degrees": ((-ONE, 0, 0, -ONE), lambda a: np.rot90(a, 2)),
    "270 degrees clockwise": ((0, -ONE, ONE, 0), lambda a: np.rot90(a, 1)),
    "mirrored": ((-ONE, 0, 0, ONE), lambda a: a[:, ::-1]),
    "upside down in the mirror": ((ONE, 0, 0, -ONE), lambda a: a[::-1]),
    "transposed": ((0, ONE, ONE, 0), lambda a: a.swapaxes(0, 1)),
    "transposed from the other corner": ((0, -ONE, -ONE, 0), lambda a: np.rot90(a, 2).swapaxes(0, 1)),
}


def drawn(number):
    """A frame whose four corners differ."""
    pixels = np.full((HEIGHT, WIDTH, 3), 30 + 10 * number, np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = (230, 20, 20)
    pixels[HEIGHT // 2 :, WIDTH // 2 :] = (20, 20, 230)
    pixels[: HEIGHT // 2, WIDTH // 2 :] = (20, 230, 20)
    return pixels


def written(kind, *, aspect=None, codec="libx264", **options):
    """The bytes of a clip of ``N`` frames."""
    with tempfile.NamedTemporaryFile() as file:
        return _write(file.name, kind, aspect, codec, options)


def _write(path, kind, aspect, codec, options):
    with av.open(path, "w", format=kind, options=options) as out:
        stream = out.add_stream(codec, rate=30)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "4"}
        else:
            stream.bit_rate = 2_000_000
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for number in range(N):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(drawn(number), format="rgb24")))
        out.mux(stream.encode())
    return Path(path).read_bytes()


@pytest.fixture(scope="module")
def mp4():
    return written("mp4")


def both(data, tmp_path, n_frames, suffix="mp4"):
    """The frames of a clip in a folder, and of the same one as an upload."""
    path = tmp_path / f"clip.{suffix}"
    path.write_bytes(data)
    return VideoFiles([path], fingerprint="x", n_frames=n_frames).frames(0), read_clip(data, n_frames)


def with_matrix(data, a, b, c, d):
    raw = bytearray(data)
    at = raw.find(b"tkhd") + 4 + 40
    raw[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return bytes(raw)


@pytest.mark.parametrize(("matrix", "turn"), QUARTERS.values(), ids=QUARTERS)
def test_frames_are_turned_and_mirrored_as_the_container_says(mp4, tmp_path, matrix, turn):
    for frames in both(with_matrix(mp4, *matrix), tmp_path, 2):
        for frame, number in zip(frames, (0, N - 1), strict=True):
            expected = turn(drawn(number)).astype(int)
            assert frame.size == expected.shape[1::-1]
            assert np.abs(np.asarray(frame).astype(int) - expected).mean() < 8


def test_a_clip_to_be_shown_askew_is_refused(mp4, tmp_path):
    with pytest.raises(BadData, match=r"clip\.mp4 is to be shown turned by other than quarters: save it upright"):
        both(with_matrix(mp4, 46_341, 46_341, -46_341, 46_341), tmp_path, 1)
    with pytest.raises(BadClip):
        _turned(None, np.zeros((2, 2), int))


@pytest.mark.parametrize("kind", ["mp4", "matroska", "mov"])
@pytest.mark.parametrize(("aspect", "width"), [("4/3", 85), ("1/2", 32), ("2/1", 128)])
def test_pixels_that_are_not_square_are_made_so(tmp_path, kind, aspect, width):
    for frames in both(written(kind, aspect=Fraction(aspect)), tmp_path, 1):
        assert frames[0].size == (width, HEIGHT)
        corners = np.asarray(frames[0])[[2, 2, -3], [2, -3, -3]].argmax(axis=1).tolist()
        assert corners == [0, 1, 2]  # red, green, blue


def test_the_clean_aperture_of_an_mp4_is_what_is_shown(mp4, tmp_path):
    box = struct.pack(">I4s8i", 40, b"clap", 48, 1, 32, 1, 4, 1, -2, 1)  # 48 x 32, its middle 4 to the right and 2 up
    raw = bytearray(mp4)
    entry = raw.rfind(b"avc1")
    end = entry - 4 + struct.unpack(">I", raw[entry - 4 : entry])[0]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        at = raw.rfind(name) - 4
        raw[at : at + 4] = struct.pack(">I", struct.unpack(">I", raw[at : at + 4])[0] + 40)
    raw[end:end] = box
    for frames in both(bytes(raw), tmp_path, 2):
        expected = drawn(N - 1)[6:38, 12:60].astype(int)
        assert frames[1].size == (48, 32) and np.abs(np.asarray(frames[1]).astype(int) - expected).mean() < 8


def test_the_crop_of_a_matroska_file_is_cut_off(tmp_path):
    raw = written("matroska", aspect=Fraction(1, 2))  # has a DisplayUnit, which becomes PixelCropBottom here
    assert raw.count(b"\x54\xb2\x81\x04") == 1
    cropped = raw.replace(b"\x54\xb2\x81\x04", b"\x54\xaa\x81\x10")
    (tmp_path / "clip.mkv").write_bytes(cropped)
    kind = container_kind(cropped[:12])
    assert check_complete(io.BytesIO(cropped), kind) == (0, 0, 0, 16)
    for frames in both(cropped, tmp_path, 1, "mkv"):
        assert frames[0].height == HEIGHT - 16


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        ("mp4", "libx264", {}),
        ("mp4", "libx264", {"movflags": "faststart"}),
        ("mp4", "libx264", {"movflags": "frag_keyframe"}),
        ("matroska", "libx264", {}),
        ("webm", "libvpx", {}),
        ("avi", "mpeg4", {}),
    ],
)
def test_a_container_cut_at_every_place_gives_every_frame_or_an_error(tmp_path, kind, codec, options):
    whole = written(kind, codec=codec, **options)
    full = [np.asarray(frame) for frame in both(whole, tmp_path, N)[0]]
    for keep in sorted({*range(1, len(whole), max(1, len(whole) // 60)), *range(len(whole) - 12, len(whole))}):
        (tmp_path / "cut.mp4").write_bytes(whole[:keep])
        for read, error in (
            (lambda: VideoFiles([tmp_path / "cut.mp4"], fingerprint="x", n_frames=N).frames(0), BadData),
            (lambda data=whole[:keep]: read_clip(data, N), BadUpload),
        ):
            try:
                frames = read()
            except error:
                continue
            assert all(np.array_equal(np.asarray(frame), there) for frame, there in zip(frames, full, strict=True)), keep


def test_a_playlist_named_like_a_clip_is_not_followed(tmp_path):
    for text in ("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n", "ffconcat version 1.0\nfile /etc/hostname\n"):
        (tmp_path / "clip.mp4").write_text(text)
        with pytest.raises(BadData, match="its first bytes are of no container"):
            VideoFiles([tmp_path / "clip.mp4"], fingerprint="x").frames(0)
