"""Views of an experiment's long table: rows of one region and hemisphere, means over settings that a figure does not show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.evaluation.scores import SCORES
from encoding.fits.score_tables import BOTH

if TYPE_CHECKING:
    import pandas as pd

ROI = "roi"
LAYERS = "layers"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Copy a long table with the parameters of a readout behind its name, as in the labels of cells."""
    return table.assign(readout=(table["readout"] + " " + table["options"]).str.strip())


def varied_settings(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Those of the settings ``names`` that have several values in a readable table."""
    return [name for name in names if table[name].astype(str).nunique() > 1]


def scores_of(table: pd.DataFrame) -> list[str]:
    """Keys of the scores that some row of a long table has."""
    return [key for key, score in SCORES.items() if score.mean_column in table and table[score.mean_column].notna().any()]


def rows_of(table: pd.DataFrame, score: str, statistic: str = "mean", *, hemi: str = BOTH, roi: str | None = None) -> pd.DataFrame:
    """One row for each fit and ROI, with columns ``score``, ``low`` and ``high``; only means have an interval.

    Parameters
    ----------
    table : with rows of both hemispheres together, where they are wanted (:func:`encoding.experiments.table.long_table`).
    score, statistic : a key of :data:`~encoding.evaluation.scores.SCORES` and one of its statistics over vertices.
    hemi : a hemisphere, or :data:`~encoding.fits.score_tables.BOTH`, of which a fit of one hemisphere has the rows of that one.
    roi : one region; None for all.
    """
    some = table if roi is None else table[table[ROI] == roi]
    several = some.loc[some["hemi"] == BOTH, "key"].unique()
    some = some[(some["hemi"] == BOTH) | ~some["key"].isin(several)] if hemi == BOTH else some[some["hemi"] == hemi]
    ends = {end: some[f"{score}_{end}"] if statistic == "mean" else np.nan for end in ("low", "high")}
    return some.assign(score=some[SCORES[score].column(statistic)], **ends).reset_index(drop=True)


def averaged(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean score for each combination of the settings ``by``, over all fits that differ in others; in the order of the rows.

    Returns
    -------
    DataFrame
        Columns ``by``, ``score`` and ``n``, the number of fits with a score. Combinations without any are left out.
    """
    some = rows[rows["score"].notna()]
    return some.groupby(list(by), sort=False)["score"].agg(score="mean", n="size").reset_index()


def with_networks(rows: pd.DataFrame, others: Sequence[str]) -> pd.DataFrame:
    """Write the network before a layer's name, unless ``backbone`` is among the ``others`` that a figure tells apart."""
    if "backbone" in others or rows["backbone"].nunique() < 2:
        return rows
    return rows.assign(layers=rows["backbone"] + " " + rows[LAYERS])
