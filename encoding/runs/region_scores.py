"""Compare every finished fit on one ROI or one vertex."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from encoding.analysis.bootstrap import estimate_scores
from encoding.fits.composition import ComposedResult
from encoding.fits.score_tables import ScoreTables
from encoding.runs.report import roi_ends

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("key", "hemi", "n_vertices", "r", "low", "high", "ceiling_r")


def region_scores(results: Iterable[ScoreTables], *, roi: str = "", vertex: tuple[str, int] | None = None) -> pd.DataFrame:
    """Tabulate the r of one ROI, or of one vertex, under several fits of a subject; fits that do not cover all of it are left out.

    Parameters
    ----------
    results : fits of one subject, computed here or imported; an iterator may open one after another.
    roi : name of the ROI; not read where ``vertex`` is given.
    vertex : hemisphere and column.

    Returns
    -------
    DataFrame
        One row for each fit and hemisphere, the fit with the highest r over all its vertices first: ``key``, ``hemi``, ``n_vertices``
        that have a score, ``r`` (their mean), the 95 % interval ``low`` and ``high`` over test stimuli, and ``ceiling_r``, the mean
        square root of the noise ceiling. An ROI's interval is the one stored with the fit, and NaN where it was not computed; a vertex's
        is computed from its predictions, and NaN where those would take the network or the models are no longer stored.
    """
    import pandas as pd

    rows = []
    for result in results:
        rows += _rows_of(result, roi, vertex) if result.plan.has_test else []
    table = pd.DataFrame(rows, columns=COLUMNS)
    if table.empty:
        return table
    total = (table["r"] * table["n_vertices"]).groupby(table["key"]).sum() / table.groupby("key")["n_vertices"].sum()
    return table.assign(total=table["key"].map(total)).sort_values("total", ascending=False, kind="stable", ignore_index=True)[
        list(COLUMNS)
    ]


def _rows_of(result: ScoreTables, roi: str, vertex: tuple[str, int] | None) -> list[tuple]:
    """Rows of one fit, a tuple of :data:`COLUMNS` for each hemisphere of which it fits every vertex of the ROI, or the vertex."""
    columns = {hemi: result.columns(roi, hemi) for hemi in result.plan.hemis} if vertex is None else {vertex[0]: np.array([vertex[1]])}
    known, rows = roi_ends(result) if vertex is None else {}, []
    for hemi, chosen in columns.items():
        fitted = [group.columns[hemi] for group in result.plan.target_groups if hemi in group.columns]
        if not fitted or not np.isin(chosen, np.concatenate(fitted)).all():
            continue
        r, ceiling = result.score(hemi)[chosen], result.ceiling(hemi)
        has_score = np.isfinite(r)
        if not has_score.any():
            continue
        ends = known.get((roi, hemi), (np.nan, np.nan)) if vertex is None else _vertex_ends(result, hemi, chosen)
        ceiling_r = np.nan if ceiling is None else float(np.sqrt(ceiling[chosen][has_score]).mean(dtype=float))
        rows.append((result.key, hemi, int(has_score.sum()), float(r[has_score].mean(dtype=float)), *ends, ceiling_r))
    return rows


def _vertex_ends(result: ScoreTables, hemi: str, column: np.ndarray) -> tuple[float, float]:
    """95 % interval (low, high) of one vertex's r; NaN where it cannot be predicted from what is stored. ``column`` is (1,)."""
    members = result.members if isinstance(result, ComposedResult) else (result,)
    if not result.has_data or not all(each.is_complete() and each.plan.readout.uses_components for each in members):
        return np.nan, np.nan
    low, high = estimate_scores(result, hemi, members={"vertex": column}, scores=("r",)).interval("r")
    return float(low[0]), float(high[0])
