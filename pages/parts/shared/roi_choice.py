"""ROI menu shared by Explore and Predict, with the best predicted ROI first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from encoding.datasets._unit import Unit

BEST = "best predicted"  # offered before the ROIs, and what a bare link looks at


def roi_select(rois: Sequence[str], unit: Unit, *, help: str, on_change: Callable[[], None] | None = None) -> str:
    """Menu of the best predicted ROI, all vertices and each ROI; without ROIs only all vertices."""
    every = f"every {unit}"
    if st.query_params.get("roi") in ("every vertex", "every voxel") and st.query_params["roi"] != every:  # of a link to other data
        st.query_params["roi"] = every
    names = [BEST, every, *rois] if rois else [every]
    help = help if rois else "This data set names no ROIs."
    return st.selectbox("ROI", names, key="roi", bind="query-params", on_change=on_change, help=help)
