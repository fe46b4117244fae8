"""Write tables as CSV, safe from formula injection in spreadsheets, and as rows for JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")  # what spreadsheets take for the start of a formula


def to_csv(table: pd.DataFrame) -> str:
    """Format a table as CSV without its index; text that a spreadsheet would run as a formula is prefixed with a quote.

    Names of ROIs, tags and files are other people's text, and ``=HYPERLINK(…)`` in a cell runs when the file is opened (CWE-1236).
    Numbers, negative ones too, stay as they are. All CSV files of this project are written by this function.
    """
    import pandas as pd

    columns = [series.map(_plain) if _holds_text(series) else series for _, series in table.items()]
    plain = pd.concat([series.reset_index(drop=True) for series in columns], axis=1) if columns else table
    return plain.set_axis([_plain(name) for name in table.columns], axis=1).to_csv(index=False)


def _holds_text(series: pd.Series) -> bool:
    return series.dtype.kind not in "biufcmM"


def _plain(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.replace("\r\n", "\n").replace("\r", "\n")  # pandas quotes a line feed, but not a carriage return, which ends the row
    return f"'{value}" if value.startswith(FORMULA_STARTS) else value


def to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as plain values for JSON; NaN becomes None."""
    return json.loads(table.to_json(orient="records", double_precision=10))
