"""Real-world inputs by kind: each is read rightly, or refused with what it is and what to do."""

from __future__ import annotations

import gzip
import os
import pickle
import unicodedata
import zipfile

import nibabel
import numpy as np
import pytest
import scipy.io
from nibabel.gifti import GiftiDataArray, GiftiImage
from PIL import Image

from encoding.cli import main
from encoding.datasets import DATASETS, BadData, data_dir
from encoding.datasets._arrays import open_npy
from encoding.datasets._images import LEFT_OUT, SUFFIXES, readable_formats
from encoding.datasets.doctor import diagnose
from encoding.datasets.own.masks import read_mask
from tests.encoding.datasets.own.test_own import SHORTEST, N, describe, folder, opened  # noqa: F401 - a fixture

Y = np.arange(12.0).reshape(4, 3)
ONE_FILE = SHORTEST.replace('responses = "responses.npy"', "")


# -- arrays, told by their first bytes


def zipped(path, name="Y.npy"):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, b"")


FORMATS = {
    "MATLAB 5": (lambda path: scipy.io.savemat(path, {"Y": Y}), r"is a MATLAB file, not .npy.*scipy\.io\.loadmat\('Y\.mat'\)\['Y'\]"),
    "MATLAB 7.3": (lambda path: path.write_bytes(b"MATLAB 7.3 MAT-file, Platform" + bytes(500)), r"of version 7.3.*h5py\.File.*\.T"),
    "HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500)), r"is an HDF5 file.*h5py\.File"),
    "npz": (lambda path: np.savez(path.open("wb"), Y=Y), r"\.npz, not .npy.*np\.load\('Y\.mat'\)\['Y'\]"),
    "zip": (zipped, "is a zip archive"),
    "NIfTI": (lambda path: path.write_bytes(nibabel.Nifti1Image(np.zeros((2, 2, 2, 3)), np.eye(4)).to_bytes()), "is a NIfTI volume"),
    "NIfTI.gz": (
        lambda path: path.write_bytes(gzip.compress(nibabel.Nifti1Image(np.zeros((2, 2, 2, 3)), np.eye(4)).to_bytes())),
        r"is a NIfTI volume.*nibabel\.load",
    ),
    "NIfTI 2": (lambda path: path.write_bytes(nibabel.Nifti2Image(np.zeros((2, 2, 2)), np.eye(4)).to_bytes()), "is a NIfTI volume"),
    "MGH": (lambda path: path.write_bytes(nibabel.MGHImage(np.zeros((9, 1, 1), "f4"), np.eye(4)).to_bytes()), "is a FreeSurfer volume"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"0" * 3000)), r"compressed with gzip.*gunzip Y\.mat"),
    "csv": (lambda path: np.savetxt(path, Y, delimiter=","), r"is text, not .npy.*np\.loadtxt"),
    "tsv": (lambda path: np.savetxt(path, Y, delimiter="\t", header="é", encoding="utf-8"), r"is text, .*delimiter='\\t'|np\.loadtxt"),
    "csv of Windows": (lambda path: path.write_bytes("1;2\r\n3;4".encode("utf-16")), "is text, .*delimiter=';', encoding='utf-16'"),
    "csv with names": (lambda path: path.write_text("a,b\n1,2\n"), "is text, .*delimiter=',', skiprows=1"),
    "JSON": (lambda path: path.write_text("[[1, 2], [3, 4]]"), r"is text, .*json\.load"),
    "Excel": (lambda path: zipped(path, "[Content_Types].xml"), r"is an Excel workbook.*pandas\.read_excel"),
    "PyTorch": (lambda path: zipped(path, "archive/data.pkl"), r"is a PyTorch file.*weights_only=True"),
    "Feather": (lambda path: path.write_bytes(b"ARROW1\0\0" + bytes(99)), "is a table in Feather"),
    "GIfTI": (
        lambda path: path.write_bytes(GiftiImage(darrays=[GiftiDataArray(np.arange(5, dtype="f4"))]).to_bytes()),
        r"is a GIfTI file.*\.darrays",
    ),
    "MGZ": (
        lambda path: path.write_bytes(gzip.compress(nibabel.MGHImage(np.zeros((9, 1, 1), "f4"), np.eye(4)).to_bytes())),
        "is a FreeSurfer volume",
    ),
    "thickness": (lambda path: path.write_bytes(b"\xff\xff\xff" + bytes(99)), r"is a FreeSurfer map.*read_morph_data"),
    "R": (lambda path: path.write_bytes(gzip.compress(b"X\n\0\0\0\3" + bytes(99))), r"is an R object.*pyreadr"),
    "tar": (lambda path: path.write_bytes(b"Y.npy" + bytes(252) + b"ustar" + bytes(300)), "is an archive of files.*Unpack"),
    "xz": (lambda path: path.write_bytes(b"\xfd7zXZ\0" + bytes(99)), "compressed with xz.*unxz"),
    "an image": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)), r"nor of a format that is known here.*PNG"),
    "zeros": (lambda path: path.write_bytes(bytes(99)), "is a file of zeros.*Copy it again"),
    "LFS": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"), "git lfs pull"),
    "web page": (lambda path: path.write_text("\n<!DOCTYPE html><html>Log in</html>"), "is a web page.*download it again"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"Y": Y})), "is a Python pickle.*not read"),
    "objects": (lambda path: np.save(path.open("wb"), Y.astype(object)), r"Python objects.*np\.save\('Y\.npy'"),
    "empty": (lambda path: path.touch(), "is an empty file"),
}


@pytest.mark.parametrize(("write", "message"), FORMATS.values(), ids=FORMATS)
def test_an_array_of_another_format_is_called_by_its_name(tmp_path, write, message):
    write(tmp_path / "Y.mat")
    with pytest.raises(BadData, match=message) as refused:
        open_npy(tmp_path / "Y.mat")
    assert "damaged" not in str(refused.value) and "original data set" not in str(refused.value)


def test_the_line_that_saves_an_array_works_and_leaves_the_original(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for write, file in ((FORMATS["MATLAB 5"][0], "Y.mat"), (FORMATS["csv"][0], "Y.csv"), (FORMATS["objects"][0], "Y.npy")):
        path = tmp_path / file
        write(path)
        before = path.read_bytes()
        with pytest.raises(BadData) as refused:
            open_npy(path)
        line = str(refused.value)[str(refused.value).index("np.save(") :]
        exec(line, {"np": np, "scipy": scipy})
        saved = "Y_numbers.npy" if file == "Y.npy" else "Y.npy"
        assert np.array_equal(np.load(tmp_path / saved), Y) and path.read_bytes() == before
        (tmp_path / saved).unlink()


def test_no_advice_writes_over_the_file_that_it_is_about(folder, store):  # noqa: F811
    path = folder / "responses.npy"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(BadData, match=r"an HDF5 file by its content\. Rename it, so that its name ends with \.h5"):
        opened(folder, store)
    np.save(path, np.ones((N, 2, 3), np.float32))
    with pytest.raises(BadData, match=r"np\.save\('responses_matrix\.npy', Y\.reshape"):
        opened(folder, store)
    np.save(path, np.array([[True]] * N))
    (folder / "responses_float32.npy").touch()
    with pytest.raises(BadData, match=r"keep the original: np\.save\('responses_float322\.npy', np\.load\('responses\.npy'\)"):
        opened(folder, store)


@pytest.mark.parametrize(
    ("values", "advice"), [(Y + 1j, r"np\.abs\(Y\) or Y\.real, and keep the original"), (np.zeros((4, 3), "f4,i4"), r"Y\['f0'\]")]
)
def test_advice_never_costs_a_part_of_the_numbers(folder, store, values, advice):  # noqa: F811
    np.save(folder / "responses.npy", values)
    with pytest.raises(BadData, match=advice):
        opened(folder, store)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir])
@pytest.mark.parametrize("name", ["responses.npy", "order.txt", "images/3.png", "mask.nii", "dataset.toml"])
def test_special_files_are_refused_and_never_waited_for(folder, store, make, name):  # noqa: F811
    text = SHORTEST.replace('folder = "images"', 'folder = "images"\nfiles = "order.txt"' if name == "order.txt" else 'folder = "images"')
    describe(folder, text + ("vertices.mask = 'mask.nii'\n" if name == "mask.nii" else ""))
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    with pytest.raises(BadData, match="is no regular file"):
        DATASETS["mine"].open("me", store)


# -- descriptions


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_description_saved_by_windows_tools_is_read(folder, store, encoding):  # noqa: F811
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    (folder / "dataset.toml").write_bytes(mark + SHORTEST.replace("Mine", "Büro").replace("\n", "\r\n").encode(encoding))
    assert DATASETS["mine"].title == "Büro" and DATASETS["mine"].open("me", store).n_stimuli == N


HARMFUL = {
    "a number of 5,000 digits": f"title = {'9' * 5000}\n",
    "deep nesting": "a = " + "[" * 100_000 + "]" * 100_000,
    "a home that nobody has": SHORTEST.replace('"images"', '"~nosuchuser/images"'),
    "a NUL in a path": SHORTEST.replace('"images"', '"a\\u0000b"'),
    "two megabytes": "# " + "x" * 2_000_000,
    "bytes that are no text": "\udcff\udcfe",
    "a date for a table": "subjects = 2020-01-01\n",
}


@pytest.mark.parametrize("text", HARMFUL.values(), ids=HARMFUL)
def test_one_odd_description_harms_no_other_data_set(folder, store, capsys, text):  # noqa: F811
    describe(folder, SHORTEST)
    other = folder.parent / "odd"
    other.mkdir()
    (other / "dataset.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert DATASETS["mine"].open("me", store).n_stimuli == N
    assert DATASETS["odd"].subjects() == () and str(other) in DATASETS["odd"].where()
    with pytest.raises(BadData, match=r"dataset\.toml"):
        DATASETS["odd"].open("me", store)
    assert main(["list", "datasets"]) == 0 and "odd" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["all", "others", " V1", "", "V1\\n", "x" * 81])
@pytest.mark.parametrize("spelled", ['rois."{}" = "V1.npy"', 'rois.kind = {{ labels = "faces.npy", names = ["{}"] }}'])
def test_names_of_rois_that_mean_something_else_are_refused_when_they_are_read(folder, store, name, spelled):  # noqa: F811
    with pytest.raises(BadData, match=r"names an ROI .*(Choose another name|printable characters)"):
        opened(folder, store, SHORTEST + spelled.format(name))


@pytest.mark.parametrize(("blocks", "message"), [(("both", "rh"), "meaning of its own"), (("a", "a_low"), "must not continue another's")])
def test_names_of_blocks_that_could_be_taken_for_others_are_refused(folder, store, blocks, message):  # noqa: F811
    files = ", ".join(f'{block} = "lh.npy"' for block in blocks)
    with pytest.raises(BadData, match=message):
        opened(folder, store, SHORTEST.replace('"responses.npy"', f"{{ {files} }}"))


def test_a_folder_named_like_a_built_in_data_set_is_listed_with_the_reason(folder, store):  # noqa: F811
    describe(folder, SHORTEST)
    folder.rename(folder.parent / "demo")
    assert DATASETS["demo"].simulated  # the one of this package
    assert "Rename the folder" in DATASETS["demo (own data)"].where()
    with pytest.raises(BadData, match="built in"):
        DATASETS["demo (own data)"].open("me", store)


# -- lists of images, repeats and ceilings


def test_a_list_from_another_machine_names_the_files_that_are_there(folder, store):  # noqa: F811
    names = [f"{i:02d} café ü.png" for i in range(N)]
    names[0] = "#" + names[0]
    for i, name in enumerate(names):
        (folder / "images" / f"{i}.png").rename(folder / "images" / unicodedata.normalize("NFD", name))
    lines = ["# a comment", *("images\\" + unicodedata.normalize("NFC", name) for name in names)]
    (folder / "order.txt").write_text("\r\n".join(lines), encoding="utf-8-sig")
    text = SHORTEST.replace('folder = "images"', 'files = "order.txt"')
    lines[1] = "images/" + unicodedata.normalize("NFD", names[0])
    subject = opened(folder, store, text)
    assert [unicodedata.normalize("NFC", name) + ".png" for name in subject.stimuli.names] == names
    in_folder = SHORTEST.replace('folder = "images"', 'folder = "images"\nfiles = "order.txt"')
    (folder / "order.txt").write_text("\n".join(unicodedata.normalize("NFD", name) for name in names), encoding="utf-8")
    assert opened(folder, store, in_folder).n_stimuli == N
    (folder / "order.txt").write_text("\n".join(name.upper() for name in names), encoding="utf-8")
    with pytest.raises(BadData, match=r"line 1: there is no .*Did you mean .*\.png, with other capitals\?|Did you mean"):
        opened(folder, store, in_folder)


@pytest.mark.parametrize(("written", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_of_any_name_may_be_composed_otherwise_on_disk(folder, store, written, on_disk):  # noqa: F811
    (folder / "images").rename(folder / unicodedata.normalize(on_disk, "Bücher"))
    (folder / "responses.npy").rename(folder / unicodedata.normalize(on_disk, "Réponses.npy"))
    text = SHORTEST.replace("images", unicodedata.normalize(written, "Bücher"))
    text = text.replace("responses.npy", unicodedata.normalize(written, "Réponses.npy"))
    assert opened(folder, store, text).n_stimuli == N
    lines = [f"{unicodedata.normalize(written, 'Bücher')}\\{i}.png" for i in range(N)]
    (folder / "order.txt").write_bytes("\r\n".join(lines).encode("utf-16"))
    assert opened(folder, store, text.replace("folder = ", "files = 'order.txt'\n# ")).n_stimuli == N


def test_a_name_with_other_capitals_or_in_quotes_is_hinted_at(folder, store):  # noqa: F811
    with pytest.raises(BadData, match=r"Responses\.NPY is missing\. Did you mean responses\.npy"):
        opened(folder, store, SHORTEST.replace("responses.npy", "Responses.NPY"))
    with pytest.raises(BadData, match=r"no folder .*IMAGES\. Did you mean images"):
        opened(folder, store, SHORTEST.replace("images", "IMAGES"))
    (folder / "order.txt").write_text('"images/0.png"\n')
    with pytest.raises(BadData, match="Write paths without quotes"):
        opened(folder, store, SHORTEST.replace('folder = "images"', 'files = "order.txt"'))


def test_images_in_folders_below_are_spoken_of(folder, store):  # noqa: F811
    for i in range(N):
        (folder / "images" / f"kind{i % 3}").mkdir(exist_ok=True)
        (folder / "images" / f"{i}.png").rename(folder / "images" / f"kind{i % 3}" / f"{i}.png")
    with pytest.raises(BadData, match=r"holds no images .* 12 images lie in 3 folders below it.*stimuli\.files"):
        opened(folder, store)
    Image.new("RGB", (8, 8)).save(folder / "images" / "one.png")
    with pytest.raises(BadData, match=r"holds 1 image but .* 12 images lie in 3 folders below"):
        opened(folder, store)
    assert any("folders below" in str(finding) for finding in diagnose(folder, store))


def test_repeats_counted_from_one_are_warned_of(folder, store):  # noqa: F811
    np.save(folder / "rows.npy", np.arange(N) % 6 + 1)
    with pytest.warns(UserWarning, match=r"rows\.npy never names image 0.*save repeats - 1"):
        opened(folder, store, SHORTEST + 'repeats = "rows.npy"')
    assert any("fitted to the wrong image" in str(finding) for finding in diagnose(folder, store))


def ceilings(folder, store, lh, rh, more=""):  # noqa: F811
    np.save(folder / "lh_c.npy", lh)
    np.save(folder / "rh_c.npy", rh)
    two = '{{ lh = "lh{0}.npy", rh = "rh{0}.npy" }}'
    text = SHORTEST.replace('"responses.npy"', two.format("")) + f"ceiling = {two.format('_c')}\n{more}"
    return opened(folder, store, text).ceiling


def test_one_unit_holds_for_the_ceilings_of_every_block(folder, store):  # noqa: F811
    percent, faint = np.linspace(10, 60, 4), np.linspace(0.1, 0.9, 5)
    np.testing.assert_allclose(ceilings(folder, store, percent, faint)["rh"], faint / 100, rtol=1e-6)
    np.testing.assert_allclose(ceilings(folder, store, percent / 100, faint)["rh"], faint, rtol=1e-6)
    np.testing.assert_allclose(ceilings(folder, store, faint[:4], faint, 'ceiling_unit = "percent"')["lh"], faint[:4] / 100, rtol=1e-6)
    over = np.array([0.3, 0.4, 0.5, 0.6, 1.02])
    with pytest.raises(BadData, match=r"largest noise ceiling is 1\.02.*np\.minimum\(values, 1\).*ceiling_unit"):
        ceilings(folder, store, percent / 100, over)
    with pytest.raises(BadData, match="in this unit lies between 0 and 1"):
        ceilings(folder, store, percent / 100, over, 'ceiling_unit = "fraction"')
    with pytest.raises(BadData, match='ceiling_unit is one of "fraction", "percent", "r"'):
        ceilings(folder, store, percent, faint, 'ceiling_unit = "parts"')


# -- volumes

AFFINE = np.array([[3.0, 0, 0, -90], [0, 3, 0, -126], [0, 0, 3, -72], [0, 0, 0, 1]])


def volume(path, affine=AFFINE, unit=None, codes=None):
    values = np.zeros((61, 73, 61), np.uint8)
    values[20:30, 20:30, 20:30] = 1
    image = nibabel.Nifti1Image(values, affine)
    if unit:
        image.header.set_xyzt_units(unit)
    if codes == 0:
        image.set_sform(None, 0)
        image.set_qform(None, 0)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize(("unit", "factor"), [(None, 1), ("mm", 1), ("meter", 1e-3), ("micron", 1e3)])
def test_the_unit_of_length_of_a_mask_is_honoured(tmp_path, unit, factor):
    scale = np.diag([factor, factor, factor, 1.0])
    _, shape, affine = read_mask(volume(tmp_path / "m.nii.gz", scale @ AFFINE, unit), 1000)
    assert shape == (61, 73, 61)
    np.testing.assert_allclose(affine, AFFINE, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": 0}, "does not say where it lies.*left and right could be swapped"),
        ({"affine": np.diag([0.001, 0.001, 0.001, 1])}, r"has voxels of 0\.001 x 0\.001 x 0\.001 mm"),
        ({"affine": AFFINE + np.array([[0, 0, 0, 5000]] + [[0] * 4] * 3)}, "lies from .* mm, away from any brain"),
    ],
)
def test_a_mask_that_cannot_be_placed_is_refused_with_the_reason(tmp_path, change, message):
    with pytest.raises(BadData, match=rf"m\.nii\.gz {message}"):
        read_mask(volume(tmp_path / "m.nii.gz", **change), 1000)


def odd_volume(path, kind):
    values = np.zeros((9, 9, 9), np.int16)
    values[4, 4, 4] = 1
    if kind in ("analyze.img", "spm.img"):
        nibabel.save({"analyze.img": nibabel.AnalyzeImage, "spm.img": nibabel.Spm99AnalyzeImage}[kind](values, AFFINE), path)
    elif kind == "flag.mgh":
        content = bytearray(nibabel.MGHImage(values, AFFINE).to_bytes())
        content[28:30] = b"\0\0"
        path.write_bytes(content)
    elif kind == "flag.mgz":
        odd_volume(path.with_suffix(".mgh"), "flag.mgh")
        path.write_bytes(gzip.compress(path.with_suffix(".mgh").read_bytes()))
    else:
        image = nibabel.Nifti1Image(values, AFFINE)
        image.set_sform(AFFINE, 2)
        image.set_qform(AFFINE @ np.diag([-1, 1, 1, 1]) if kind == "sides.nii" else AFFINE, 1)
        image.header["xyzt_units"] = 4 if kind == "unit.nii" else 2
        nibabel.save(image, path)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("analyze.img", "does not say where it lies"),
        ("spm.img", "does not say where it lies"),
        ("flag.mgh", "does not say where it lies"),
        ("flag.mgz", "does not say where it lies"),
        ("sides.nii", "contradicts itself.*opposite sides"),
        ("unit.nii", "no unit of length that exists"),
    ],
)
def test_a_volume_that_may_be_the_wrong_way_round_is_refused(tmp_path, kind, message):
    with pytest.raises(BadData, match=message):
        read_mask(odd_volume(tmp_path / kind, kind), 1)


@pytest.mark.parametrize("kind", ["sound.nii", "sound.mgh", "sound.mgz", "pair.img"])
def test_a_volume_that_says_where_it_lies_is_read(tmp_path, kind):
    values = np.zeros((9, 9, 9), np.int16)
    values[4, 4, 4] = 1
    nibabel.save({"n": nibabel.Nifti1Image, "m": nibabel.MGHImage, "i": nibabel.Nifti1Pair}[kind[-3]](values, AFFINE), tmp_path / kind)
    np.testing.assert_allclose(read_mask(tmp_path / kind, 1)[2], AFFINE)


def test_every_ending_that_pillow_opens_is_read_or_named_as_left_out():
    Image.init()
    others = {".h5", ".hdf", ".mpeg", ".mpg"}  # no images
    assert set(Image.registered_extensions()) - others <= SUFFIXES | LEFT_OUT and not SUFFIXES & LEFT_OUT
    assert {end for end, kind in Image.registered_extensions().items() if kind in readable_formats()} - {".pfm"} <= SUFFIXES  # of floats


@pytest.mark.parametrize("row", [[3, 0, 0, np.nan], [np.inf, 0, 0, 0], [0, 0, 0, 0], [0, 3, 0, 0]])
def test_an_affine_that_is_not_finite_or_singular_is_refused(tmp_path, row):
    values = np.zeros((9, 9, 9), np.uint8)
    values[4, 4, 4] = 1
    image = nibabel.Nifti1Image(values, None)
    for name, numbers in zip(("srow_x", "srow_y", "srow_z"), (row, [0, 3, 0, 0], [0, 0, 3, 0]), strict=True):
        image.header[name] = numbers
    image.header["sform_code"] = 4
    nibabel.save(image, tmp_path / "m.nii")
    with pytest.raises(BadData, match=r"m\.nii has an affine that places no voxels"):
        read_mask(tmp_path / "m.nii", 1)


@pytest.mark.parametrize("block", ["left", "right"])
def test_a_block_of_any_name_can_be_fitted_alone(folder, store, block, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    describe(folder, SHORTEST.replace('"responses.npy"', '{ left = "lh.npy", right = "rh.npy" }'))
    words = ["fit", "--dataset", "mine", "--subject", "me", "--backbone", "pixels", "--layer", "rgb", "--components", "2"]
    assert main([*words, "--split", "holdout:0.5:5", "--hemi", block, "--json"]) == 0
    assert f'"{block}"' in capsys.readouterr().out
    assert main([*words, "--hemi", "lh"]) != 0 and "left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dtype", "factor", "words"), [("uint16", 16, "hardly vary"), ("uint16", 1, "hardly vary"), ("int32", 1, "cannot be read")]
)
def test_the_doctor_speaks_of_images_that_are_black_or_unreadable(folder, store, dtype, factor, words):  # noqa: F811
    describe(folder, SHORTEST)
    for i in range(N):
        ramp = np.roll(np.tile(np.arange(256), (32, 1)), i, axis=1).astype(dtype) * np.dtype(dtype).type(factor)
        (folder / "images" / f"{i}.png").unlink()
        Image.fromarray(ramp).save(folder / "images" / f"{i}.tif")
    assert any(words in str(finding) for finding in diagnose(folder, store))


def test_a_home_folder_that_is_not_there_names_the_variable(monkeypatch):
    monkeypatch.setenv("ENCODING_DATA_DIR", "~nosuchuser/data")
    with pytest.raises(BadData, match="ENCODING_DATA_DIR is ~nosuchuser/data"):
        data_dir()
