"""An axis of scores: the column of a table that holds one, its title and its upper bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from encoding.evaluation.scores import SCORES
from encoding.runtime.registry import unknown

if TYPE_CHECKING:
    import pandas as pd


def score_column(table: pd.DataFrame, score: str, statistic: str) -> str:
    """Name of the column of :meth:`Result.rois` that holds a score.

    Raises
    ------
    ValueError
        If the table has no such column; the message says how to compute it.
    """
    if score not in SCORES:
        raise ValueError(unknown("score", score, SCORES))
    if statistic not in ("mean", "median"):
        raise ValueError(unknown("statistic", statistic, ("mean", "median")))
    definition = SCORES[score]
    column = definition.column(statistic)
    if column not in table:
        why = " It needs a noise ceiling, which is not known here." if definition.needs_ceiling else ""
        raise ValueError(f"The table has no column {column!r}.{why} Columns: {', '.join(table.columns)}.")
    return column


def axis_title(score: str, statistic: str) -> str:
    """Title of the y axis: statistic and full name of the score; on a second line the unit and, for errors, that lower is better.

    >>> axis_title("mae", "median")
    'Median absolute error<br>response units, lower is better'
    """
    definition = SCORES[score]
    below = ", ".join(part for part in (definition.unit, "lower is better" if definition.lower_is_better else "") if part)
    return "<br>".join(part for part in (f"{statistic.capitalize()} {definition.title}", below) if part)


def ceilings(rows: pd.DataFrame, score: str, statistic: str) -> np.ndarray:
    """Upper bound of the score in each row, (n_rows,), given the noise ceiling; NaN where unknown or where the score has no such bound."""
    if statistic == "mean" and (column := SCORES[score].ceiling_column) in rows:
        return rows[column].to_numpy(float)
    if (bound := SCORES[score].ceiling_level) is not None:
        return np.where(np.isfinite(rows[score_column(rows, score, statistic)].to_numpy(float)), bound, np.nan)
    return np.full(len(rows), np.nan)


def ceiling_name(score: str) -> str:
    """Name of the upper bound of a score: the noise ceiling is a share of variance, and what bounds r is its root.

    >>> ceiling_name("r"), ceiling_name("r2")
    ('Highest r', 'Noise ceiling')
    """
    return "Highest r" if SCORES[score].ceiling_column == "ceiling_r" else "Noise ceiling"
