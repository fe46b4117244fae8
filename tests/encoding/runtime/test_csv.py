"""No spreadsheet runs what stands in a CSV file, and numbers come back as they were."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from encoding.runtime.csv import FORMULA_STARTS, to_csv
from tests import PROJECT

ATTACKS = ['=HYPERLINK("http://evil","V1")', "@SUM(1+1)", "+1+1", "-2+3", "\t=1", "\n=1", "＝1+1"]


@pytest.mark.parametrize("text", ATTACKS)
def test_a_formula_is_text_in_a_cell_and_in_a_column_name(text):
    written = to_csv(pd.DataFrame({"roi": [text, "V1v"], text: [1.5, -2.5]}))
    back = pd.read_csv(io.StringIO(written, newline=""))
    assert back.iloc[0, 0] == f"'{text}" and back.columns[1] == f"'{text}" and back.iloc[1, 0] == "V1v"
    assert back.iloc[:, 1].tolist() == [1.5, -2.5]


def test_numbers_and_missing_values_stay_as_they_are():
    table = pd.DataFrame(
        {"r": [-0.25, np.nan], "n": [-3, 4], "mixed": [-1.5, "a"], "kind": pd.Categorical(["=x", "b"]), "yes": [True, False]}
    )
    back = pd.read_csv(io.StringIO(to_csv(table)))
    assert back["r"].iloc[0] == -0.25 and back["r"].isna().iloc[1] and back["n"].tolist() == [-3, 4]
    assert back["mixed"].tolist() == ["-1.5", "a"] and back["kind"].tolist() == ["'=x", "b"] and back["yes"].tolist() == [True, False]


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_no_text_ends_its_row(end):
    back = pd.read_csv(io.StringIO(to_csv(pd.DataFrame({"note": [f"a{end}=1+1", f"{end}=2"], "n": [1, 2]})), newline=""))
    assert back["n"].tolist() == [1, 2] and back["note"].tolist() == ["a\n=1+1", "'\n=2"]


def test_two_columns_of_one_name_and_no_rows():
    table = pd.DataFrame([["=a", 1]], columns=["x", "x"])
    assert to_csv(table) == "x,x\n'=a,1\n" and to_csv(table.iloc[:0]) == "x,x\n"
    assert all(to_csv(pd.DataFrame({"a": [start]})).splitlines()[1].lstrip('"').startswith("'") for start in FORMULA_STARTS)


def test_every_csv_file_of_the_project_is_written_by_this_function():
    found = [path for folder in ("encoding", "pages") for path in (PROJECT / folder).rglob("*.py") if ".to_csv(" in path.read_text()]
    assert found == [PROJECT / "encoding/runtime/csv.py"]
