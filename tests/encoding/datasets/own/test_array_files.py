"""Arrays in every format: the same numbers, whatever the file, and a wrong file called by its name."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io

from encoding.datasets import BadData
from encoding.datasets.own.array_files import find_reader, open_array, read_array, split_member
from encoding.datasets.own.formats import ARRAY_READERS, cifti_columns
from encoding.datasets.own.response_files import ResponseMatrix, RowWork, read_single_rows
from tests.encoding.datasets.own.array_writers import MATRICES, VOLUMES

Y = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
VOLUME = np.random.default_rng(1).normal(size=(4, 3, 2, 6)).astype(np.float32)


def test_every_ending_of_every_reader_has_a_writer():
    written = {suffix for reader in ARRAY_READERS for suffix in reader.suffixes for name in (*MATRICES, *VOLUMES) if name.endswith(suffix)}
    assert written == {suffix for reader in ARRAY_READERS for suffix in reader.suffixes}


@pytest.mark.parametrize("suffix", MATRICES)
def test_a_matrix_has_the_same_numbers_in_every_format(tmp_path, suffix):
    path = tmp_path / f"betas{suffix}"
    MATRICES[suffix](path, Y)
    found = open_array(path)
    assert found.shape == Y.shape and found.dtype.kind == "f" and not found.rows_last
    assert np.array_equal(np.asarray(found).astype(np.float32), Y) and np.array_equal(read_array(path).astype(np.float32), Y)
    assert np.array_equal(found.rows(2, 5).astype(np.float32), Y[2:5])
    assert np.array_equal(found.rows(1, 4, last=True).astype(np.float32), Y.T[1:4])


@pytest.mark.parametrize("suffix", VOLUMES)
def test_volumes_have_the_same_numbers_in_every_format(tmp_path, suffix):
    path = tmp_path / f"volumes{suffix}"
    VOLUMES[suffix](path, VOLUME)
    found = open_array(path)
    assert found.shape == VOLUME.shape and found.rows_last == (suffix != "_betas.npy")
    assert np.array_equal(found.rows(2, 5, last=True), np.moveaxis(VOLUME, -1, 0)[2:5])
    assert np.array_equal(np.asarray(found), VOLUME)


def test_scaled_integers_of_nifti_are_read_as_what_they_stand_for(tmp_path):
    import nibabel

    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    image.to_filename(tmp_path / "a.nii.gz")
    found = open_array(tmp_path / "a.nii.gz")
    assert (
        found.dtype == np.float64
        and np.asarray(found)[0, 0].tolist() == np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj)[0, 0].tolist()
    )


def test_hemispheres_of_a_cifti_file_are_named(tmp_path):
    path = tmp_path / "b.dscalar.nii"
    MATRICES[".dscalar.nii"](path, Y)
    assert np.array_equal(read_array(Path(f"{path}:lh")), Y[:, :4]) and np.array_equal(read_array(Path(f"{path}:rh")), Y[:, 4:])
    columns, vertices, size = cifti_columns(path, "lh")
    assert columns.tolist() == [0, 1, 2, 3] and vertices.tolist() == [0, 3, 6, 9] and size == 32_492
    with pytest.raises(BadData, match=r'"b\.dscalar\.nii:lh" or'):
        open_array(Path(f"{path}:left"))


@pytest.mark.parametrize("write", ["npz", "mat", "hdf5"])
def test_of_several_arrays_one_is_named(tmp_path, write):
    path = tmp_path / f"a.{write}"
    if write == "npz":
        np.savez(path, Y=Y, Z=Y[:2])
    elif write == "mat":
        scipy.io.savemat(path, {"Y": Y, "Z": Y[:2]})
    else:
        with h5py.File(path, "w") as file:
            file["Y"], file["Z"] = Y, Y[:2]
    with pytest.raises(BadData, match=rf'holds 2 arrays: Y 7x5, Z 2x5. Name one, such as "a.{write}:Y"'):
        open_array(path)
    with pytest.raises(BadData, match=rf"holds no array 'X'; it holds Y 7x5, Z 2x5. Write one of these, such as \"a.{write}:Y\""):
        open_array(Path(f"{path}:X"))
    assert np.array_equal(read_array(Path(f"{path}:Z")), Y[:2])
    assert split_member(Path(f"{path}:Z")) == (path, "Z") and split_member(path) == (path, "")


def test_a_column_of_a_table_is_named_whatever_stands_in_the_others(tmp_path):
    (tmp_path / "t.tsv").write_text("image\tsession\na.png\t1\nb.png\t2\n")
    assert read_array(tmp_path / "t.tsv:session").tolist() == [1, 2]
    with pytest.raises(BadData, match=r"t.tsv, line 2, column 'image': 'a.png' is no number"):
        open_array(tmp_path / "t.tsv")
    (tmp_path / "numbers.csv").write_text("\ufeff1;2\n3;4\n", encoding="utf-8")
    assert read_array(tmp_path / "numbers.csv").tolist() == [[1, 2], [3, 4]]


WRONG = {
    "ragged.csv": (lambda path: path.write_text("1,2\n3\n"), "line 2 has 1 cell where line 1 has 2"),
    "empty.csv": (lambda path: path.write_text(""), "an empty file"),
    "index.csv": (lambda path: path.write_text(",v\n0,1\n"), "index=False"),
    "page.csv": (lambda path: path.write_text("<!doctype html><html>"), "a web page"),
    "pickled.npy": (lambda path: np.save(path, np.array([{1}], object), allow_pickle=True), "array of Python objects"),
    "text.npy": (lambda path: path.write_text("1,2\n"), "is text, not .npy"),
    "mat.h5": (lambda path: scipy.io.savemat(path.open("wb"), {"Y": Y}), r"a MATLAB file by its content. Rename it, .* ends with .mat"),
    "npz.npy": (lambda path: np.savez(path.open("wb"), Y=Y), r"an .npz archive by its content. Rename it, .* ends with .npz"),
    "npy.csv": (lambda path: np.save(path.open("wb"), Y), r"a .npy file by its content. Rename it"),
    "words.mat": (lambda path: scipy.io.savemat(path, {"a": "text"}), "holds no array of numbers"),
    "cut.nii": (lambda path: _cut(path, VOLUMES[".nii"], VOLUME), "damaged or cut short"),
    "cut.mat": (lambda path: _cut(path, MATRICES[".mat"], Y), "damaged or cut short"),
    "cut.npz": (lambda path: _cut(path, MATRICES[".npz"], Y), "damaged or cut short"),
    "cut.h5": (lambda path: _cut(path, MATRICES[".h5"], Y), "damaged or cut short"),
    "cut.gii": (lambda path: _cut(path, MATRICES[".gii"], Y), "damaged or cut short"),
    "none.nii.gz": (lambda path: None, "is missing"),
}


def _cut(path, write, values):
    write(path, values)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_called_by_its_name(tmp_path, name):
    write, message = WRONG[name]
    write(tmp_path / name)
    with pytest.raises(BadData, match=message) as raised:
        np.asarray(open_array(tmp_path / name))
    assert re.search(re.escape(name), str(raised.value))


def test_an_array_that_lies_in_other_files_is_refused(tmp_path):
    """The bytes of those files would be in no key."""
    MATRICES[".h5"](tmp_path / "real.h5", Y)
    layout = h5py.VirtualLayout(Y.shape, "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "real.h5", "session1/Y", Y.shape)
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("Y", layout)
        file["linked"] = h5py.ExternalLink("real.h5", "session1/Y")
    with pytest.raises(BadData, match="lies in other files"):
        open_array(tmp_path / "virtual.h5:Y")
    with pytest.raises(BadData, match="holds no array 'linked'"):
        open_array(tmp_path / "virtual.h5:linked")


def test_every_reader_is_found_by_its_endings_and_no_other():
    for reader in ARRAY_READERS:
        assert all(find_reader(Path(f"A{suffix.upper()}")) is reader for suffix in reader.suffixes)
    assert find_reader(Path("a.parquet")) is None


def _scaled_complex(path):
    """NIfTI of complex numbers with a slope of 2, which nibabel reads and does not write."""
    nibabel.Nifti1Image((VOLUME * (1 + 1j)).astype(np.complex64), np.eye(4)).to_filename(path)
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<2f", 2, 0)  # scl_slope, scl_inter
    path.write_bytes(content)


COMPLEX = {
    "Y.npy": lambda path: np.save(path, Y * 1j),
    "Y.npz": lambda path: np.savez(path, Y=Y * 1j),
    "double.mat": lambda path: scipy.io.savemat(path, {"Y": Y.astype(complex)}),
    "single.mat": lambda path: scipy.io.savemat(path, {"Y": Y * np.complex64(1j)}),
    "volume.nii": lambda path: nibabel.Nifti1Image(VOLUME[:1, :1] * np.complex64(1j), np.eye(4)).to_filename(path),
    "scaled.nii": _scaled_complex,
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers_are_never_cut_to_their_real_part(tmp_path, store, name):
    path, mask = tmp_path / name, tmp_path / "mask.nii"
    COMPLEX[name](path)
    nibabel.Nifti1Image(np.ones(VOLUME.shape[:3], np.uint8), np.eye(4)).to_filename(mask)
    with pytest.raises(BadData, match=r"holds complex\d+ where real numbers are needed. Complex numbers have no single real value"):
        read_single_rows(ResponseMatrix([path], mask=mask if name == "scaled.nii" else None), RowWork(), store)
