"""Tables of numbers in text, separated by commas, tabs or semicolons, with or without a line of names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._images import require_regular
from encoding.datasets._spelling import decoded
from encoding.datasets.own.arrays import choose_member
from encoding.runtime.wording import counted
from encoding.storage.files import passing_errors_of

MAX_TEXT_BYTES = 2 * 2**30
LEAST_COUNTED = 3  # rows that a first column counts, for it to be no chance


def read_table(path: Path, column: str = "") -> tuple[list[str], np.ndarray]:
    """Read numbers from comma-, tab- or semicolon-separated text with or without a line of names.

    Parameters
    ----------
    column : the one to read; empty for all.

    Returns
    -------
    names : of the columns; empty where the first line holds numbers. values : (n_rows, n_columns) float64.

    Raises
    ------
    BadData where a line has another number of cells, a cell is no number, or there is no such column; the line is named.
    """
    names, lines = read_lines(path)
    if not lines:
        raise BadData(f"{path} holds a line of names and no rows. Save the table again.")
    if column:
        place = place_of_column(path, choose_member(path, column, {name: ((len(lines),), float) for name in names}), names)
        names, lines = [column], [(number, [cells[place]]) for number, cells in lines]
    try:
        values = np.array([cells for _, cells in lines], dtype=np.float64)
    except ValueError:
        for number, cells in lines:
            for place, cell in enumerate(cells):
                if not is_number(cell):
                    where = f"column {names[place]!r}" if names else f"column {place + 1}"
                    raise BadData(
                        f"{path}, line {number}, {where}: {cell[:20]!r} is no number. Leave that column out, "
                        "or write one column's name after the file's and a colon."
                    ) from None
        raise
    values = values.reshape(len(lines), -1)
    n_rows, n_columns = values.shape
    if n_rows >= LEAST_COUNTED and n_columns > 1 and any(np.array_equal(values[:, 0], np.arange(n_rows) + first) for first in (0, 1)):
        raise BadData(
            f"{path} begins with a column that counts its rows, such as pandas writes of its index. "
            "Save it with to_csv(..., index=False), or leave that column out."
        )
    return names, values


def read_lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read the cells of a table as text: names of the columns (none where the first line is numbers), and (line number, cells).

    Raises
    ------
    BadData where it is too large, no text, empty, or a line has another number of cells than the first.
    """
    require_regular(path)
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise BadData(f"{path} has {path.stat().st_size / 1e9:.1f} GB, too many for a table in text. Save the array as .npy.")
    try:
        with passing_errors_of(path):
            text = decoded(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")  # the latter alone: old programs of the Mac
    except UnicodeDecodeError as error:
        raise BadData(f"{path} is no text in UTF-8 ({error}). Save it again as UTF-8.") from error
    first = text.split("\n", 1)[0]
    delimiter = "\t" if path.name.lower().endswith(".tsv") or "\t" in first else ";" if ";" in first else ","
    try:
        lines = [(number, cells) for number, cells in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), start=1) if any(cells)]
    except csv.Error as error:  # a quote that is never closed makes one endless cell
        raise BadData(f"{path} is no table in text ({error}). Look for a quote without its other one, and save the table again.") from error
    if not lines:
        raise BadData(f"{path} is empty. Save the table again.")
    for number, cells in lines:
        if len(cells) != len(lines[0][1]):
            raise BadData(
                f"{path}, line {number} has {counted(len(cells), 'cell')} "
                f"where line {lines[0][0]} has {len(lines[0][1])}. Save the table again."
            )
    if all(map(is_number, lines[0][1])):
        if delimiter == "," and _are_decimal_commas([cells for _, cells in lines]):
            raise BadData(f"{path}, line {lines[0][0]}: {','.join(lines[0][1])!r} looks like a decimal comma. Write numbers with a point.")
        return [], lines
    names = [cell.strip() for cell in lines[0][1]]
    if names[0] in ("", "Unnamed: 0"):
        raise BadData(
            f"{path} begins with a column without a name, such as pandas writes of its index. Save it with to_csv(..., index=False)."
        )
    return names, lines[1:]


def _are_decimal_commas(rows: Sequence[Sequence[str]]) -> bool:
    """Whether pairs of cells are the two sides of decimal commas: whole numbers throughout, second ones such as 05 among them."""
    sides = [(row[place].strip(), row[place + 1].strip()) for row in rows for place in range(0, len(row) - 1, 2)]
    whole = len(rows[0]) % 2 == 0 and all(re.fullmatch(r"[+-]?\d+", left) and re.fullmatch(r"\d+", right) for left, right in sides)
    return whole and any((len(right) > 1 and right[0] == "0") or left == "-0" for left, right in sides)


def place_of_column(path: Path, column: str, names: Sequence[str]) -> int:
    """Place of a column among those of a table, from 0. BadData where two have its name; ValueError where none has."""
    if names.count(column) > 1:
        raise BadData(f"{path} has {names.count(column)} columns named {column!r}, so which is meant is open. Give each its own name.")
    return names.index(column)


def is_number(cell: str) -> bool:
    """Whether text is a number, NaN and infinity among them."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
