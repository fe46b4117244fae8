"""Names of ROI labels, read from pickles that may be hostile."""

from __future__ import annotations

import os
import pickle
import tracemalloc

import numpy as np
import pytest

from encoding.datasets import BadData
from encoding.datasets._names import read_label_names
from tests.encoding.datasets.test_pickles import Runs


def saved(path, content, protocol=4):
    """As ``np.save`` writes a dict, with any pickle protocol."""
    holder = np.empty((), dtype=object)
    holder[()] = content
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(holder, file, protocol=protocol)
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_names_are_read_from_every_pickle_protocol(tmp_path, protocol):
    names = {0: "Unknown", 1: "V1v", np.int64(2): "V1d", np.dtype(">i2").type(300): "V2v", np.int8(-1): "Größe"}
    assert read_label_names(saved(tmp_path / "m.npy", names, protocol)) == {0: "Unknown", 1: "V1v", 2: "V1d", 300: "V2v", -1: "Größe"}
    assert all(type(label) is int for label in read_label_names(tmp_path / "m.npy"))


def test_names_written_by_numpy_1_are_read(tmp_path):
    path = saved(tmp_path / "m.npy", {1: "V1v"}, protocol=2)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert read_label_names(path) == {1: "V1v"}


@pytest.mark.parametrize("where", ["value", "key", "instead"])
def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(tmp_path, where):
    """By the reader of :mod:`tests.encoding.datasets.test_pickles`, which tries every protocol and other functions."""
    witness = tmp_path / "witness"
    hostile = Runs(os.system, f"touch {witness}")
    content = {"value": {1: hostile}, "key": {hostile: "V1v"}, "instead": hostile}[where]
    with pytest.raises(
        BadData, match=r"m\.npy is refused, and nothing in it was run: it asks for (posix|nt)\.system, which a file of names"
    ):
        read_label_names(saved(tmp_path / "m.npy", content))
    assert not witness.exists()
    np.load(tmp_path / "m.npy", allow_pickle=True)  # the same file does run where it is trusted
    assert witness.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"V1v": 1}, r"holds str: int where a whole number: text belongs"),
        ({1: ["V1v"]}, r"holds int: list where"),
        ({1.5: "V1v"}, r"holds float: str where"),
        ({True: "V1v"}, r"holds bool: str where"),
        ({np.float64(1): "V1v"}, r"holds float: str where"),
        ({1: np.zeros(3)}, r"holds int: StoredArray where"),
        (["V1v"], r"holds no dict"),
        ("V1v", r"holds no dict"),
        (None, r"holds no dict"),
    ],
)
def test_anything_but_a_plain_dict_of_names_is_refused(tmp_path, content, message):
    with pytest.raises(BadData, match=message):
        read_label_names(saved(tmp_path / "m.npy", content))


def test_a_file_of_names_that_is_damaged_is_refused(tmp_path):
    path = saved(tmp_path / "m.npy", {0: "Unknown", 1: "V1v"})
    whole = path.read_bytes()
    for keep in (0, 5, 60, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(BadData, match=r"m\.npy is refused"):
            read_label_names(path)
    np.save(path, np.arange(3))
    with pytest.raises(BadData, match=r"it holds an array of int64 with shape \(3,\)"):
        read_label_names(path)
    path.write_bytes(whole + bytes(1_000_000))
    with pytest.raises(BadData, match=r"holds 1,000,\d+ bytes, too many for a dict of names"):
        read_label_names(path)


def test_a_file_of_names_cannot_fill_the_memory(tmp_path):
    path = saved(tmp_path / "m.npy", {1: "V1v"})
    header = path.read_bytes()[:128]
    path.write_bytes(header + b"\x80\x02Nr\xff\xff\xff\x7f.")  # remember None as object 2,147,483,647
    tracemalloc.start()
    with pytest.raises(BadData, match="as number 2,147,483,647"):
        read_label_names(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_flipped_bytes_in_a_file_of_names_give_names_or_bad_data_and_nothing_else(tmp_path):
    path, chance = saved(tmp_path / "m.npy", {0: "Unknown", 1: "V1v"}), np.random.default_rng(0)
    whole = path.read_bytes()
    for _ in range(400):
        bent = bytearray(whole)
        for place in chance.integers(128, len(whole), 2):
            bent[place] = chance.integers(256)
        path.write_bytes(bent)
        try:
            names = read_label_names(path)
            assert all(type(label) is int and type(name) is str for label, name in names.items())
        except BadData as error:
            assert "m.npy" in str(error)
