"""What the page looks at closely: one ROI, or one vertex. Clicking anything sets it; the URL holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from encoding import Result
from encoding.datasets._base import roi_names
from encoding.datasets._placement import Placement
from encoding.fits.result import EVERY_VERTEX
from pages.parts.shared.brain_component import Selection, clicked
from pages.parts.shared.units import said

BEST, EVERY = "best predicted", "every vertex"  # offered before the ROIs; a bare link looks at the best predicted one


@dataclass(frozen=True)
class Focus:
    """A ROI, and a vertex where one is chosen.

    Attributes
    ----------
    columns : per hemisphere, the columns looked at: the vertex's one, or the ROI's.
    chosen : whether a person chose the ROI; else it is the best predicted one.
    """

    roi: str
    vertex: Selection | None
    columns: Mapping[str, np.ndarray]
    chosen: bool = True

    @property
    def label(self) -> str:
        """What charts call it."""
        if self.vertex:
            return said(f"vertex {self.vertex[1]} of {self.vertex[0]}")
        n = sum(map(len, self.columns.values()))
        return said(f"mean of {n:,} vertices" if self.roi == EVERY_VERTEX else f"mean of {self.roi} ({n:,} vertices)")


def focus_controls(result: Result, table: pd.DataFrame) -> Focus:
    """The chosen ROI and vertex, from two widgets in the sidebar; without ROIs, every vertex is all there is to choose."""
    rois = roi_names(result.plan.subject)
    names = (BEST, EVERY, *rois) if rois else (EVERY,)
    example = f"{result.plan.hemis[0]} 120"
    with st.sidebar:
        st.divider()
        roi = st.selectbox(
            "ROI",
            names,
            key="roi",
            bind="query-params",
            on_change=_forget_vertex,
            help="The region looked at in the charts below. A click on a bar or on the brain chooses too."
            if rois
            else "This data set names no ROIs.",
        )
        typed = st.text_input(
            said("Vertex"),
            key="vertex",
            bind="query-params",
            placeholder=f"type {example}" if Placement.of(result.plan.subject) is None else f"click the brain, or type {example}",
            help=said("Where it is, and the column, of one vertex."),
        )
    chosen = roi not in (BEST, EVERY)
    roi = {BEST: best_roi(table), EVERY: EVERY_VERTEX}.get(roi, roi)
    vertex = _read_vertex(typed, result)
    if vertex:
        return Focus(roi, vertex, {vertex[0]: np.array([vertex[1]])})
    return Focus(roi, None, {hemi: result.columns(roi, hemi) for hemi in result.plan.hemis}, chosen)


def best_roi(table: pd.DataFrame) -> str:
    """The ROI of highest mean r over both hemispheres."""
    rois = table[(table["roi"] != EVERY_VERTEX) & (table["n_vertices"] > 0)]
    return rois.groupby("roi")["r_mean"].mean().idxmax() if len(rois) else EVERY_VERTEX


def choose_clicked_vertex(key: str, result: Result) -> None:
    """Callback of the brain: the clicked vertex and the smallest ROI that holds it become the focus."""
    placement = Placement.of(result.plan.subject)
    found = placement.column(clicked(key, placement.vertices))
    st.session_state["vertex"] = f"{found[0]} {found[1]}" if found else ""
    if found:
        hemi, column = found
        holding = {roi: len(columns) for roi, columns in result.plan.subject.rois[hemi].items() if column in columns}
        st.session_state["roi"] = min(holding, key=holding.get) if holding else EVERY


def choose_clicked_bar(key: str) -> None:
    """Callback of the ROI bars: the clicked ROI becomes the focus."""
    points = st.session_state[key]["selection"]["points"]
    if points:
        roi = points[0]["customdata"][0]
        st.session_state["roi"] = EVERY if roi == EVERY_VERTEX else roi
        _forget_vertex()


def _forget_vertex() -> None:
    st.session_state["vertex"] = ""


def _read_vertex(text: str, result: Result) -> Selection | None:
    if not text.strip():
        return None
    hemi, _, number = text.strip().replace("-", " ").partition(" ")
    hemis = result.plan.hemis
    if hemi not in hemis or not number.strip().isdigit():
        st.sidebar.warning(said(f"No vertex {text!r}. Write where it is ({', '.join(hemis)}) and a number, such as {hemis[0]} 120."))
        return None
    n_vertices = result.plan.subject.responses[hemi].shape[1]
    if int(number) >= n_vertices:
        st.sidebar.warning(said(f"{hemi} has the vertices 0 to {n_vertices - 1}, so no {number}."))
        return None
    return hemi, int(number)
