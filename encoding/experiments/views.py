"""Views of an experiment's long table: rows of one region and hemisphere, means over settings that a figure does not show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.analysis.layer_ranking import BOTH
from encoding.evaluation.scores import SCORES

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


def rows_of(table: pd.DataFrame, score: str, *, hemi: str = BOTH, roi: str | None = None) -> pd.DataFrame:
    """One row for each fit and ROI, with columns ``score``, ``low`` and ``high``.

    Parameters
    ----------
    score : a key of :data:`~encoding.evaluation.scores.SCORES`.
    hemi : a hemisphere, or :data:`~encoding.analysis.layer_ranking.BOTH`: then every vertex counts once, and there is no interval where a
        fit has two hemispheres.
    roi : one region; None for all.
    """
    column, known = SCORES[score].mean_column, SCORES[score]
    counted = "n_normalised" if known.needs_ceiling and "n_normalised" in table else "n_vertices"
    some = table if roi is None else table[table[ROI] == roi]
    some = some.assign(score=some[column], low=some[f"{score}_low"], high=some[f"{score}_high"], weight=some[counted].astype(float))
    if hemi != BOTH:
        return some[some["hemi"] == hemi].reset_index(drop=True)
    found = some["score"].notna() & (some["weight"] > 0)
    some = some.assign(weight=some["weight"].where(found, 0.0), weighted=(some["score"] * some["weight"]).where(found, 0.0))
    groups = some.groupby(["key", ROI], sort=False)
    both = groups.head(1).reset_index(drop=True)
    sums = groups[["weight", "weighted", "n_vertices"]].sum().reset_index(drop=True)
    alone = groups.size().to_numpy() == 1
    with np.errstate(invalid="ignore"):
        mean = sums["weighted"].to_numpy() / sums["weight"].to_numpy()
    return both.assign(
        hemi=np.where(alone, both["hemi"], BOTH),
        n_vertices=sums["n_vertices"],
        score=mean,
        low=both["low"].where(alone),
        high=both["high"].where(alone),
    )


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
