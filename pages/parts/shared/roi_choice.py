"""ROI menu shared by Explore and Predict, with the best predicted ROI first, and the choice of classes of ROIs for charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from encoding.datasets._unit import Unit
from encoding.runs.labels import class_label
from pages.parts.shared.linked import adopt_link, choose, hold, write_link

BEST = "best predicted"  # offered before the ROIs, and what a bare link looks at


def roi_select(rois: Sequence[str], unit: Unit, *, help: str, on_change: Callable[[], None] | None = None) -> str:
    """Menu of the best predicted ROI, all vertices and each ROI; without ROIs only all vertices."""
    every = f"every {unit}"
    if st.query_params.get("roi") in ("every vertex", "every voxel") and st.query_params["roi"] != every:  # of a link to other data
        st.query_params["roi"] = every
    names = [BEST, every, *rois] if rois else [every]
    help = help if rois else "This data set names no ROIs."
    return choose("ROI", "roi", names, names[0], on_change=on_change, help=help)


def class_choice(classes: Mapping[str, Sequence[str]]) -> list[str]:
    """Choose the classes of ROIs that charts show, the same on all pages of a session; none chosen: all of them."""
    if len(classes) < 2:
        return []
    adopt_link("groups", several=True)
    hold("groups", [kind for kind in st.session_state.get("groups", ()) if kind in classes])
    chosen = st.pills(
        "Groups of regions",
        [*classes],
        key="groups",
        selection_mode="multi",
        format_func=class_label,
        label_visibility="collapsed",
        persist_state="session",
    )
    write_link("groups", chosen, ())
    return chosen
