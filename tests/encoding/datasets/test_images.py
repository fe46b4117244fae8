"""Any picture file becomes RGB, or an error that names it."""

from __future__ import annotations

import os
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoding.datasets._base import BadData
from encoding.datasets._images import ImageFiles, as_rgb, list_images, natural_order, not_listed, read_image
from encoding.prediction.uploads import read_uploaded_image


@pytest.fixture
def photo():
    """A (24, 32, 3) picture with smooth colour."""
    rows, columns = np.mgrid[0:24, 0:32]
    return Image.fromarray(np.stack([rows * 10, columns * 8, (rows + columns) * 4], axis=-1).astype(np.uint8))


def test_rgb_comes_back_pixel_by_pixel(photo, tmp_path):
    photo.save(tmp_path / "a.png")
    image = ImageFiles([tmp_path / "a.png"], fingerprint="f")[0]
    assert image.mode == "RGB" and np.array_equal(np.asarray(image), np.asarray(photo))


def test_greyscale_is_repeated_in_three_channels(photo, tmp_path):
    photo.convert("L").save(tmp_path / "grey.png")
    pixels = np.asarray(read_image(tmp_path / "grey.png"))
    assert pixels.shape == (24, 32, 3)
    assert np.array_equal(pixels, np.repeat(np.asarray(photo.convert("L"))[..., None], 3, axis=-1))


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bits_keep_their_upper_eight(tmp_path, name):
    deep = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 80
    Image.fromarray(deep).save(tmp_path / name)
    assert np.array_equal(np.asarray(read_image(tmp_path / name))[..., 1], deep >> 8)


def test_transparent_pixels_show_a_grey_screen_and_opaque_ones_their_colour(photo, tmp_path):
    photo.putalpha(Image.fromarray(np.repeat([[0, 255]], 24, axis=0).repeat(16, axis=1).astype(np.uint8)))
    photo.save(tmp_path / "a.png")
    pixels = np.asarray(read_image(tmp_path / "a.png"))
    assert (pixels[:, :16] == 127).all()
    assert np.array_equal(pixels[:, 16:], np.asarray(photo)[:, 16:, :3])


def test_a_palette_with_a_transparent_colour_shows_the_grey_screen(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "p.png", transparency=1)
    pixels = np.asarray(read_image(tmp_path / "p.png"))
    assert tuple(pixels[0, 0]) == (10, 20, 30) and tuple(pixels[3, 3]) == (127, 127, 127)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("1", "png"), ("P", "gif"), ("LA", "png"), ("CMYK", "jpg"), ("CMYK", "tif"), ("YCbCr", "jpg"), ("L", "bmp")]
)
def test_every_other_mode_looks_like_the_picture(photo, tmp_path, mode, suffix):
    photo.convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    expected = photo.convert("1").convert("RGB") if mode == "1" else photo.convert("L").convert("RGB") if mode in ("LA", "L") else photo
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image, int) - np.asarray(expected, int)).mean() < 12


def test_a_photograph_taken_sideways_is_turned_upright(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is on the right of the file
    photo.save(tmp_path / "side.png", exif=exif)
    assert np.array_equal(np.asarray(read_image(tmp_path / "side.png")), np.rot90(np.asarray(photo), -1))


def test_a_floating_point_picture_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(BadData, match=r"f\.tif cannot be read.*unknown range; save it with 8 bits"):
        read_image(tmp_path / "f.tif")


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_what_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(BadData, match=r"odd\.png cannot be read as an image .* Copy this file again"):
        read_image(tmp_path / "odd.png")


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(BadData, match=r"gone\.png cannot be read"):
        read_image(tmp_path / "gone.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "bmp", "webp"])
def test_a_damaged_file_gives_a_picture_or_bad_data_and_nothing_else(photo, tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    photo.save(path)
    whole, chance = path.read_bytes(), random.Random(0)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadData):
        read_image(path)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            assert read_image(path).mode == "RGB"
        except BadData as error:
            assert path.name in str(error)


def test_files_are_listed_in_natural_order_without_what_macos_leaves_behind(tmp_path):
    for name in ["img10.png", "img9.PNG", "img1.jpeg", "._img1.jpeg", "notes.txt", "Thumbs.db"]:
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["img1.jpeg", "img9.PNG", "img10.png"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(BadData, match=r"There is no folder .*nowhere"):
        list_images(tmp_path / "nowhere")


def test_stimuli_can_be_counted_iterated_pickled_and_read_from_threads(photo, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        Image.new("RGB", (4, 4), (i, i, i)).save(path)
    stimuli = pickle.loads(pickle.dumps(ImageFiles(paths, fingerprint="f")))
    assert len(stimuli) == 8 and stimuli.names[3] == "3" and stimuli.fingerprint == "f"
    with ThreadPoolExecutor(4) as pool:
        assert [image.getpixel((0, 0))[0] for image in pool.map(stimuli.__getitem__, range(8))] == list(range(8))
    assert [image.getpixel((0, 0))[0] for image in stimuli] == list(range(8))
    assert stimuli[-1].getpixel((0, 0)) == (7, 7, 7)
    with pytest.raises(IndexError):
        stimuli[8]


def test_the_answer_is_a_picture_of_its_own(photo):
    as_rgb(photo).putpixel((0, 0), (1, 2, 3))
    assert photo.getpixel((0, 0)) == (0, 0, 0)


DAMAGED_EXIF = {
    "empty": b"\0",
    "no TIFF header": b"camera says hello",
    "header missing": b"\0\x08\0\x02\x01\x12\0\x03\0\0\0\1\0\6\0\0",
    "an offset beyond the end": b"MM\0*\xff\xff\xff\xf0",
    "an orientation of text": b"MM\0*\0\0\0\x08\0\1\x01\x12\0\2\0\0\0\4abc\0\0\0\0\0",
}


@pytest.mark.parametrize("block", DAMAGED_EXIF.values(), ids=DAMAGED_EXIF)
@pytest.mark.parametrize(("suffix", "more"), [("png", {}), ("webp", {"lossless": True}), ("jpg", {"quality": 100, "subsampling": 0})])
def test_a_damaged_exif_block_costs_no_pixels(photo, tmp_path, suffix, more, block):
    path = tmp_path / f"x.{suffix}"
    photo.save(path, exif=(b"Exif\0\0" if suffix == "jpg" else b"") + block, **more)
    with Image.open(path) as plain:
        expected = np.asarray(plain.convert("RGB"))
    assert np.array_equal(np.asarray(read_image(path)), expected)
    photo.resize((32, 24)).save(path, exif=(b"Exif\0\0" if suffix == "jpg" else b"") + block, **more)
    assert np.array_equal(np.asarray(read_uploaded_image(path.read_bytes())), np.asarray(read_image(path)))


@pytest.mark.parametrize("factor", [1, 257, 65536])
def test_integers_of_32_bits_are_refused_as_their_range_is_unknown(tmp_path, factor):
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.int32), (48, 1)) * np.int32(factor)
    Image.fromarray(ramp).save(tmp_path / "ramp.tif")
    with pytest.raises(BadData, match=r"ramp\.tif cannot be read.*32-bit integers of unknown range; save it with 8 bits"):
        read_image(tmp_path / "ramp.tif")


def test_sixteen_bits_of_a_pgm_keep_their_upper_eight(tmp_path):
    deep = (np.arange(24 * 32).reshape(24, 32) * 80).astype(">u2")
    (tmp_path / "deep.pgm").write_bytes(b"P5 32 24 65535\n" + deep.tobytes())
    assert np.array_equal(np.asarray(read_image(tmp_path / "deep.pgm"))[..., 0], deep >> 8)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.ppm"])
def test_postscript_is_never_run_whatever_its_ending(tmp_path, name, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was run"))
    (tmp_path / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n{} loop\n")
    with pytest.raises(BadData, match="cannot be read as an image"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "avif", "ppm", "pnm", "dib", "jp2", "qoi", "apng"])
def test_every_listed_ending_is_read(photo, tmp_path, suffix):
    kind = {"jfif": "JPEG", "jpe": "JPEG", "pnm": "PPM", "jp2": "JPEG2000", "apng": "PNG"}.get(suffix, suffix.upper())
    photo.save(tmp_path / f"a.{suffix}", format=kind)
    assert list_images(tmp_path) == [tmp_path / f"a.{suffix}"]
    assert np.abs(np.asarray(read_image(tmp_path / f"a.{suffix}")).astype(int) - np.asarray(photo)).mean() < 12


def test_images_that_are_left_out_are_named(photo, tmp_path):
    for name in ("a.png", "b/c.png", "b/d/e.jpg", "f/g.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        photo.save(tmp_path / name)
    (tmp_path / "b" / "notes.txt").touch()
    assert not_listed(tmp_path / "f") == ""
    assert not_listed(tmp_path).startswith("3 images lie in 2 folders below it, which are not searched: list them in a text file")
    for name in ("z.heic", "x.EPS"):
        (tmp_path / name).touch()
    assert not_listed(tmp_path).startswith("2 files in formats that are not read are left out, the first x.EPS: save them as PNG.")
    assert list_images(tmp_path) == [tmp_path / "a.png"]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("gone")])
def test_special_files_are_refused_before_they_are_opened(tmp_path, make):
    make(tmp_path / "a.png")
    for refused in (lambda: read_image(tmp_path / "a.png"), lambda: list_images(tmp_path)):
        with pytest.raises(BadData, match=r"a\.png (is no regular file|cannot be read)"):
            refused()


def test_the_order_ignores_capitals_and_the_spelling_of_accents():
    names = ["IMG_10.png", "img_2.png", "Img_1.png", "img_01.png", "e\u0301_2.png", "\u00e9_1.png"]
    expected = ["Img_1.png", "img_01.png", "img_2.png", "IMG_10.png", "\u00e9_1.png", "e\u0301_2.png"]
    for given in (names, names[::-1]):
        assert sorted(given, key=natural_order) == expected
