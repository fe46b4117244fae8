"""``.npy`` files are read as numpy reads them, and what is wrong with one is an error and never a signal."""

from __future__ import annotations

import os

import numpy as np
import pytest

from encoding.storage.npy import NpyRows, NpyWriter, read_block, read_npy, write_npy

Y = np.arange(60, dtype=np.float32).reshape(12, 5)
INDICES = {
    "a row": 3,
    "the last row": -1,
    "rows": slice(2, 9),
    "every third row": slice(None, None, 3),
    "rows backwards": slice(None, None, -1),
    "a list of rows": np.array([7, 1, 1, 11]),
    "no rows": np.zeros(0, int),
    "a mask of rows": np.arange(12) % 2 == 0,
    "columns": (slice(None), slice(1, 4)),
    "every second column": (slice(None), slice(None, None, 2)),
    "no columns": (slice(None), slice(4, 2)),
    "a column": (slice(None), 2),
    "a list of columns": (slice(None), np.array([4, 0])),
    "rows and columns": (np.array([3, 0, 4, 5]), slice(2, 5)),
    "pairs": (np.array([3, 0]), np.array([1, 4])),
    "a grid": np.ix_([3, 0], [1, 4, 2]),
    "a number": (3, 2),
    "everything": (slice(None), slice(None)),
}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_indexed_as_an_array_is(tmp_path, name, order):
    write_npy(tmp_path / "Y.npy", np.asarray(Y, order=order))
    rows = NpyRows(tmp_path / "Y.npy")
    np.testing.assert_array_equal(rows[INDICES[name]], Y[INDICES[name]])
    assert (rows.shape, rows.dtype, rows.nbytes, len(rows)) == (Y.shape, Y.dtype, Y.nbytes, len(Y))
    np.testing.assert_array_equal(np.asarray(rows, np.float64), Y)


@pytest.mark.parametrize("n_rows", [1, 11, 13])
def test_a_file_of_another_length_is_an_error_that_names_it(tmp_path, n_rows):
    path = tmp_path / "Y.npy"
    write_npy(path, Y)
    rows = NpyRows(path)
    write_npy(path, np.resize(Y, (n_rows, 5)))
    with pytest.raises(ValueError, match=r"Y\.npy has .* it was changed"):
        rows[:3]


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i8", "|b1", "<U3", "<i2"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_written_is_what_numpy_writes(tmp_path, dtype, shape, order):
    array = np.asarray(np.ones(shape), dtype, order=order)
    write_npy(tmp_path / "ours.npy", array)
    np.save(tmp_path / "theirs.npy", array)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()
    found = read_npy(tmp_path / "ours.npy")
    np.testing.assert_array_equal(found, array)
    assert not found.flags.writeable


def test_large_arrays_are_mapped_and_small_ones_are_read(tmp_path):
    write_npy(tmp_path / "Y.npy", Y)
    assert isinstance(read_npy(tmp_path / "Y.npy", mapped_from=8), np.memmap)
    assert not isinstance(read_npy(tmp_path / "Y.npy"), np.memmap)


@pytest.mark.parametrize("damage", ["cut", "longer", "header", "empty", "text", "pipe", "pickle"])
@pytest.mark.parametrize("mapped_from", [1, 2**30])
def test_a_damaged_file_is_a_value_error(tmp_path, damage, mapped_from):
    path = tmp_path / "Y.npy"
    write_npy(path, Y)
    content = path.read_bytes()
    if damage == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif damage == "pickle":
        np.save(path, np.array([{}], object), allow_pickle=True)
    else:
        changed = {
            "cut": content[:-1],
            "longer": content + b"x",
            "header": content[:20] + b"((((" + content[24:],
            "empty": b"",
            "text": b"Y" * 99,
        }
        path.write_bytes(changed[damage])
    with pytest.raises(ValueError):
        read_npy(path, mapped_from=mapped_from)


def test_a_file_that_got_too_few_rows_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="bytes of"), NpyWriter(tmp_path / "Y.npy", (4, 5)) as writer:
        writer.write(Y[:3])


@pytest.mark.parametrize("columns", [[], [3], [1, 2, 3], [4, 1], [2, 2, 0]])
@pytest.mark.parametrize("rows", [slice(2, 9), np.array([7, 1, 11])], ids=["a slice", "a list"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_block_is_what_an_array_gives_and_reads_no_column_outside_it(tmp_path, monkeypatch, columns, rows, order):
    write_npy(tmp_path / "Y.npy", np.asarray(Y, order=order))
    wanted, expected, read = np.array(columns, int), Y[rows][:, np.array(columns, int)], []
    np.testing.assert_array_equal(read_block(Y, rows, wanted), expected)
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, buffers, offset: read.append(sum(map(len, buffers))) or preadv(file, buffers, offset))
    np.testing.assert_array_equal(read_block(NpyRows(tmp_path / "Y.npy"), rows, wanted), expected)
    span = max(columns) + 1 - min(columns) if columns else 0
    n_rows = len(Y[rows]) if order == "C" else np.ptp(np.arange(12)[rows]) + 1
    assert sum(read) == 4 * n_rows * span
