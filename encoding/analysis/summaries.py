"""Short summaries of a finished fit that pages, reports and notebooks show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from encoding.fits.result import EVERY_VERTEX

if TYPE_CHECKING:
    import pandas as pd


def best_roi(table: pd.DataFrame) -> str:
    """The ROI of the highest mean r over both hemispheres, from :meth:`encoding.fits.result.Result.rois`; ``all`` where there is none."""
    rois = table[(table["roi"] != EVERY_VERTEX) & (table["n_vertices"] > 0)]
    return rois.groupby("roi")["r_mean"].mean().idxmax() if len(rois) else EVERY_VERTEX
