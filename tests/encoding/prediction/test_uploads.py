"""Uploads: what is read, what is made of it, and hostile files, each refused in a plain sentence before it costs anything."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from encoding.prediction import uploads
from encoding.prediction.uploads import BadUpload, clip_format, image_format, read_clip, read_uploaded_image


def saved(image, kind, **more):
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def noise(width=48, height=32, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width, height, body=b""):
    """A PNG whose header promises so many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def gif_of(width, height):
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0)


def webp_of(width, height):
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\x00\x00\x00" + sides + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def clip(n=12, size=(64, 48), kind="mp4", rate=10, codec="mpeg4"):
    """A clip whose frames grow brighter."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(n):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 20 * number % 256, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


# ---- pictures that are read


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "JPEG", "WEBP"])
def test_every_format_is_known_by_its_content(kind):
    data = saved(noise(), kind)
    assert image_format(data) == kind
    found = read_uploaded_image(data)
    assert (found.mode, found.size) == ("RGB", (48, 32))
    if kind in ("PNG", "BMP"):
        assert found == noise()


def test_a_picture_is_turned_upright_and_says_nothing_of_its_maker():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # orientation: turn it clockwise
    data = saved(noise(), "JPEG", exif=exif, quality=95)
    found = read_uploaded_image(data)
    assert found.size == (32, 48) and not found.info and not found.getexif()
    np.testing.assert_array_equal(found, Image.open(io.BytesIO(data)).transpose(Image.Transpose.ROTATE_270))


def test_modes_become_what_a_screen_would_show():
    half = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    half.paste((0, 255, 0, 255), (0, 0, 16, 32))
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.paste(0, (0, 0, 16, 32))
    deep = Image.fromarray(np.full((32, 32), 0x80FF, np.uint16))
    expected = {
        "RGBA": (saved(half, "PNG"), (0, 255, 0), (127, 127, 127)),
        "P": (saved(palette, "PNG", transparency=0), (127, 127, 127), (0, 0, 255)),
        "CMYK": (saved(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=100), (254, 0, 0), (254, 0, 0)),
        "I;16": (saved(deep, "PNG"), (128, 128, 128), (128, 128, 128)),
        "1": (saved(Image.new("1", (32, 32), 1), "PNG"), (255, 255, 255), (255, 255, 255)),
    }
    for mode, (data, left, right) in expected.items():
        found = read_uploaded_image(data)
        assert found.mode == "RGB", mode
        for place, wanted in (((4, 16), left), ((28, 16), right)):
            np.testing.assert_allclose(found.getpixel(place), wanted, atol=2, err_msg=mode)


def test_the_first_frame_of_several_is_taken():
    red, blue = Image.new("RGB", (32, 32), (255, 0, 0)), Image.new("RGB", (32, 32), (0, 0, 255))
    for kind in ("GIF", "WEBP"):
        data = saved(red, kind, save_all=True, append_images=[blue], duration=100, lossless=True)
        np.testing.assert_allclose(read_uploaded_image(data).getpixel((5, 5)), (255, 0, 0), atol=4)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "I;16"])
def test_large_pictures_are_reduced(mode):
    image = Image.fromarray(np.zeros((1500, 2000), np.uint16)) if mode == "I;16" else Image.new(mode, (2000, 1500))
    assert read_uploaded_image(saved(image, "JPEG" if mode == "CMYK" else "PNG")).size == (1024, 768)


# ---- and those that are not


DAMAGED = "damaged or cut short"
REFUSED = {
    "nothing": (b"", "is empty"),
    "too many bytes": (b"\xff\xd8\xff" + bytes(uploads.MOST_IMAGE_BYTES), "20.0 MB; an image may have 20 MB"),
    "svg": (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "SVG drawing: save it as PNG"),
    "html": (b"\n<!DOCTYPE html><html><img src=x onerror=alert(1)></html>", "web page"),
    "zip": (b"PK\x03\x04" + bytes(40), "zip archive"),
    "pdf": (b"%PDF-1.7 ...", "a PDF"),
    "tiff": (saved(noise(), "TIFF"), "a TIFF: save it as PNG"),
    "text": (b"hello there", "no image that is read here"),
    "heic": (b"\x00\x00\x00\x18ftypheic" + bytes(20), "save it as JPEG"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "no image that is read here"),
    "half a jpeg": (saved(noise(400, 300), "JPEG")[:4000], DAMAGED),
    "half a png": (saved(noise(400, 300), "PNG")[:4000], DAMAGED),
    "half a webp": (saved(noise(400, 300), "WEBP")[:3000], DAMAGED),
    "half a bmp": (saved(noise(400, 300), "BMP")[:3000], DAMAGED),
    "only a start": (b"\xff\xd8\xff", DAMAGED),
    "only a webp's start": (b"RIFF\x00\x00\x00\x00WEBP", DAMAGED),
    "png of 65,000 x 65,000": (png_of(65_000, 65_000), "million are the most"),
    "png of 7,000 x 7,000": (png_of(7_000, 7_000), "7,000 x 7,000 pixels; 40 million are the most"),
    "gif of 65,535 x 65,535": (gif_of(65_535, 65_535), "40 million are the most"),
    "webp of 16,383 x 16,383": (webp_of(16_383, 16_383), "40 million are the most"),
    "a line": (saved(Image.new("RGB", (2000, 20)), "PNG"), "8 times the other"),
    "a dot": (saved(Image.new("RGB", (4, 4)), "PNG"), "16 a side are the least"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_or_broken_file_is_refused_in_a_plain_sentence(name):
    data, message = REFUSED[name]
    with pytest.raises(BadUpload, match=message) as caught:
        read_uploaded_image(data)
    text = str(caught.value)
    assert len(text) < 200 and "0x" not in text and "Traceback" not in text and "BytesIO" not in text


@pytest.mark.parametrize("data", [png_of(60_000, 60_000), gif_of(60_000, 60_000), webp_of(16_383, 16_383)], ids=["png", "gif", "webp"])
def test_a_bomb_takes_no_memory(data):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    with pytest.raises(BadUpload):
        read_uploaded_image(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_a_text_chunk_that_unpacks_to_much_is_refused_or_left_packed():
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80 * 2**20), 9))
    whole = saved(noise(), "PNG")
    place = whole.index(b"IDAT") - 4
    tracemalloc.start()
    try:
        read_uploaded_image(whole[:place] + bomb + whole[place:])
    except BadUpload as error:
        assert DAMAGED in str(error)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_a_zip_bomb_is_never_unpacked():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("picture.png", bytes(50 * 2**20))
    with pytest.raises(BadUpload, match="unpack it first"):
        read_uploaded_image(out.getvalue())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_damage_anywhere_gives_a_picture_or_a_plain_refusal(kind):
    """Whatever bytes change, nothing but BadUpload comes out."""
    sound, random = saved(noise(60, 40), kind), np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(sound)
        for place in random.integers(0, len(data), random.integers(1, 12)):
            data[place] = random.integers(0, 256)
        data = data[: random.integers(1, len(data) + 1)] if random.random() < 0.3 else data
        try:
            assert read_uploaded_image(bytes(data)).mode == "RGB"
        except BadUpload as error:
            assert str(error).endswith(".")


# ---- clips


@pytest.mark.parametrize(("kind", "reader"), [("mp4", "mov"), ("avi", "avi"), ("matroska", "matroska"), ("mov", "mov")])
def test_frames_of_a_clip_are_evenly_spaced(kind, reader):
    data = clip(kind=kind)
    assert clip_format(data) == reader
    frames = read_clip(data, 4)
    assert [frame.size for frame in frames] == [(64, 48)] * 4 and {frame.mode for frame in frames} == {"RGB"}
    np.testing.assert_allclose([np.asarray(frame).mean() for frame in frames], [0, 60, 140, 220], atol=6)


def test_a_clip_of_one_frame_is_shown_over_and_over():
    frames = read_clip(clip(n=1), 3)
    assert len(frames) == 3 and frames[0] == frames[2]


def test_a_clip_out_of_bounds_is_refused(monkeypatch):
    with pytest.raises(BadUpload, match="is empty"):
        read_clip(b"", 4)
    with pytest.raises(BadUpload, match="It is an image, and this model was fitted to clips"):
        read_clip(saved(noise(), "PNG"), 4)
    with pytest.raises(BadUpload, match="too long: 60 seconds"):
        read_clip(clip(n=70, rate=1, size=(16, 16)), 4)
    monkeypatch.setattr(uploads, "MOST_FRAME_PIXELS", 1000)
    with pytest.raises(BadUpload, match="64 x 48 pixels"):
        read_clip(clip(), 4)
    monkeypatch.setattr(uploads, "MOST_FRAME_PIXELS", 10_000)
    monkeypatch.setattr(uploads, "MOST_DECODED_PIXELS", 12 * 64 * 48 - 1)
    with pytest.raises(BadUpload, match="too many together"):
        read_clip(clip(), 4)


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
    ],
    ids=["hls", "concat", "dash", "sdp"],
)
def test_a_list_of_other_files_is_no_clip(data):
    assert clip_format(data) is None
    with pytest.raises(BadUpload, match="no clip that is read here"):
        read_clip(data, 4)


def test_a_playlist_dressed_as_a_clip_opens_nothing(tmp_path):
    """The reader is fixed by the first bytes, so what follows them is never taken for a playlist."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for start in (b"\x00\x00\x00\x08ftyp", b"\x1aE\xdf\xa3", b"RIFF\x00\x00\x00\x00AVI "):
        with pytest.raises(BadUpload, match=f"{DAMAGED}|holds no video"):
            read_clip(start + f"\n#EXTM3U\n#EXTINF:1,\nfile://{secret}\n".encode(), 2)


def test_half_a_clip_is_refused():
    whole = clip(n=40, size=(128, 96))
    for data in (whole[:300], whole[: len(whole) // 2], whole[:12] + bytes(2000)):
        with pytest.raises(BadUpload, match=f"{DAMAGED}|holds no"):
            read_clip(data, 4)


def test_damage_anywhere_in_a_clip_gives_frames_or_a_plain_refusal():
    random = np.random.default_rng(1)
    for sound in (clip(n=6, size=(32, 32)), clip(n=6, size=(32, 32), kind="avi"), clip(n=6, size=(32, 32), kind="matroska")):
        for _ in range(25):
            data = bytearray(sound)
            for place in random.integers(0, len(data), random.integers(1, 12)):
                data[place] = random.integers(0, 256)
            try:
                assert len(read_clip(bytes(data), 2)) == 2
            except BadUpload as error:
                assert str(error).endswith(".")
