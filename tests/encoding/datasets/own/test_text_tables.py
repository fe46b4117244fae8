"""Tables in text that could be read as other numbers than were meant."""

from __future__ import annotations

import numpy as np
import pytest

from encoding.datasets import BadData
from encoding.datasets._arrays import open_npy
from encoding.datasets.doctor import diagnose
from encoding.datasets.doctor._findings import Finding, found_by
from encoding.datasets.own.description import StimulusFiles
from encoding.datasets.own.stimuli import event_rows
from encoding.datasets.own.text_tables import read_table

WRONG = {
    "decimal commas": ("0,983\n0,051\n-1,2\n", r"t\.csv, line 1: '0,983' looks like a decimal comma"),
    "minus zero": ("-0,5\n1,2\n", "looks like a decimal comma"),
    "several decimal commas": ("0,98,1,05\n0,12,2,11\n", "looks like a decimal comma"),
    "index": ("0,0.5,1.5\n1,0.25,2.5\n2,0.1,3.5\n", "begins with a column that counts its rows"),
    "index from 1": ("1,0.5\n2,0.25\n3,0.1\n", "begins with a column that counts its rows"),
    "named index": ("row,a\n0,0.5\n1,0.25\n2,0.1\n", "begins with a column that counts its rows"),
    "no rows": ("a,b\n", "holds a line of names and no rows"),
    "quote": ('a,b\n1,"' + "2\n" * 100_000, "is no table in text .*quote"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_table_that_may_mean_other_numbers_is_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BadData, match=message):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("text", ["0,1\n1,0\n1,1\n", "0\n1\n2\n", "0,5\n2,4\n1,3\n", "a,b\n0,5\n0,6\n0,7\n"])
def test_whole_numbers_are_numbers(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    lines = [line for line in text.split() if not line.startswith("a")]
    assert read_table(tmp_path / "t.csv")[1].tolist() == [[float(cell) for cell in line.split(",")] for line in lines]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_end_of_line_is_read(tmp_path, end):
    (tmp_path / "t.csv").write_bytes(end.join(["a,b", "1,2", "3,4", ""]).encode())
    names, values = read_table(tmp_path / "t.csv")
    assert names == ["a", "b"] and values.tolist() == [[1, 2], [3, 4]]


def test_of_two_columns_of_one_name_none_is_chosen(tmp_path):
    path = tmp_path / "e.tsv"
    path.write_text("stim_file\tday\tday\na.png\t1\t2\nb.png\t1\t3\n")
    assert [row["stim_file"] for _, _, row in event_rows(StimulusFiles(None, events=(path,)))] == ["a.png", "b.png"]
    for read in (lambda: list(event_rows(StimulusFiles(None, events=(path,)), "day")), lambda: read_table(path, "day")):
        with pytest.raises(BadData, match=r"e\.tsv has 2 columns named 'day'"):
            read()


def test_a_file_with_bytes_too_many_is_damaged(tmp_path):
    np.save(tmp_path / "Y.npy", np.ones((3, 2), np.float32))
    with (tmp_path / "Y.npy").open("ab") as file:
        file.write(b"four")
    with pytest.raises(BadData, match=r"Y\.npy is damaged: it has 156 bytes where its header says 152"):
        open_npy(tmp_path / "Y.npy")


def test_the_doctor_goes_on_after_a_fault_of_any_kind(data_dir, store):
    for name in ("one", "two"):
        (data_dir / name / "features").mkdir(parents=True)
        (data_dir / name / "names.txt").write_text("a\nb\nc\n")
        np.save(data_dir / name / "Y.npy", np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32))
        (data_dir / name / "dataset.toml").write_text('[stimuli]\nnames = "names.txt"\n[subjects.me]\nresponses = "Y.npy"\n')
        np.save(data_dir / name / "features" / "z.npy", np.eye(3))
    (data_dir / "one" / "features" / "header.csv").write_text("file,a\n")
    with (data_dir / "one" / "Y.npy").open("ab") as file:
        file.write(b"four")
    found = [str(each) for each in diagnose(data_dir, store)]
    assert any("one me" in each and "Y.npy is damaged" in each for each in found)
    assert any("two me: features given/z: table 3 columns" in each for each in found)
    np.save(data_dir / "one" / "Y.npy", np.eye(3, dtype=np.float32))
    found = [str(each) for each in diagnose(data_dir, store)]
    assert any("header.csv holds a line of names and no rows" in each for each in found)
    assert any("one me: features given/z: table 3 columns" in each for each in found)


@pytest.mark.parametrize(("text", "warns"), [("0,5\n1,4\n0,3\n", True), ("0.5,5\n1,4\n0,3\n", False), ("0;5\n1;4\n0;3\n", False)])
def test_the_doctor_warns_where_decimal_commas_cannot_be_told(data_dir, store, text, warns):
    (data_dir / "one").mkdir(parents=True)
    (data_dir / "one" / "names.txt").write_text("a\nb\nc\n")
    (data_dir / "one" / "Y.csv").write_text(text)
    (data_dir / "one" / "dataset.toml").write_text('[stimuli]\nnames = "names.txt"\n[subjects.me]\nresponses = "Y.csv"\n')
    found = [each for each in diagnose(data_dir / "one", store) if "Y.csv holds whole numbers alone, in 2 columns" in each.what]
    assert [each.level for each in found] == ["warning"] * warns


def test_an_error_without_a_name_is_a_finding_and_a_full_memory_is_not():
    def check(error):
        yield Finding("ok", "fine")
        raise error

    assert [each.level for each in found_by(check(ValueError("odd")), "one")] == ["ok", "error"]
    with pytest.raises(MemoryError):
        list(found_by(check(MemoryError())))
