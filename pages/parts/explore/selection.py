"""Selected ROI or vertex of the Explore page, set by clicks and widgets and kept in the URL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from encoding import Result
from encoding.analysis.lookup import find_vertex, vertex_name
from encoding.analysis.summaries import best_roi
from encoding.analysis.tuning import rois_at
from encoding.datasets import Subject
from encoding.datasets._base import roi_names
from encoding.datasets._placement import Placement
from encoding.datasets._unit import Unit
from encoding.fits.score_tables import EVERY_VERTEX
from pages.parts.shared.brain_component import Selection, clicked
from pages.parts.shared.glossary import explained
from pages.parts.shared.linked import enter
from pages.parts.shared.roi_choice import BEST, roi_select
from pages.parts.shared.text import plain


@dataclass(frozen=True)
class Focus:
    """Selected ROI, and vertex where one is selected.

    Attributes
    ----------
    columns : per hemisphere, the columns looked at: the vertex's one, or the ROI's.
    subject : whose vertices, or voxels, they are.
    chosen : whether a person chose the ROI; else it is the best predicted one.
    """

    roi: str
    vertex: Selection | None
    columns: Mapping[str, np.ndarray]
    subject: Subject
    chosen: bool = True

    @property
    def label(self) -> str:
        """Label of the selection in charts."""
        if self.vertex:
            return vertex_name(self.subject, *self.vertex)
        n = self.subject.unit.count(sum(map(len, self.columns.values())))
        return f"mean of {n}" if self.roi == EVERY_VERTEX else f"mean of {self.roi} ({n})"


def focus_controls(result: Result, table: pd.DataFrame, places: Sequence[Any], *, warn: Any) -> Focus:
    """Choose ROI and vertex in two places; without ROIs only all vertices can be chosen. ``warn`` is where a wrong vertex is named."""
    rois, unit = roi_names(result.plan.subject), result.plan.subject.unit
    example, (left, right) = f"{result.plan.hemis[0]} 120", places
    with left:
        meaning = explained(name) if (name := str(st.session_state.get("roi") or st.query_params.get("roi", ""))) else ""
        help = f"**{plain(name)}** {meaning}\n\n" if meaning else ""
        help += "The region that the charts are of. A click on a bar or on the brain chooses too."
        choice = roi_select(rois, unit, help=help, on_change=_forget_vertex)
    with right:
        typed = enter(
            unit.one.capitalize(),
            "vertex",
            placeholder=f"such as {example}" if Placement.of(result.plan.subject) is None else "click the brain",
            help=f"Where it is and the number of one {unit}: its column in the responses ({example}), or fsaverage and its number on that "
            f"mesh ({result.plan.hemis[0]} fsaverage 5274). Empty: the whole region.",
        )
    chosen = choice in rois
    roi = best_roi(table) if choice == BEST else choice if chosen else EVERY_VERTEX
    vertex = _read_vertex(typed, result, warn)
    if vertex:
        return Focus(roi, vertex, {vertex[0]: np.array([vertex[1]])}, result.plan.subject)
    return Focus(roi, None, {hemi: result.columns(roi, hemi) for hemi in result.plan.hemis}, result.plan.subject, chosen)


def choose_clicked_vertex(key: str, result: Result) -> None:
    """Callback of the brain map: select the clicked vertex and the smallest ROI that contains it."""
    placement = Placement.of(result.plan.subject)
    vertex = placement.column(clicked(key, placement.vertices))
    st.session_state["vertex"] = f"{vertex[0]} {vertex[1]}" if vertex else ""
    if vertex:
        holding = rois_at(result.plan.subject, *vertex)
        st.session_state["roi"] = holding[0] if holding else f"every {result.plan.subject.unit}"


def choose_clicked_bar(key: str, unit: Unit) -> None:
    """Callback of the ROI bars: select the clicked ROI."""
    points = st.session_state[key]["selection"]["points"]
    if points:
        roi = points[0]["customdata"][0]
        st.session_state["roi"] = f"every {unit}" if roi == EVERY_VERTEX else roi
        _forget_vertex()


def _forget_vertex() -> None:
    st.session_state["vertex"] = ""


def _read_vertex(text: str, result: Result, place: Any) -> Selection | None:
    if not text.strip():
        return None
    try:
        hemi, column = find_vertex(result.plan.subject, text)
    except ValueError as wrong:
        place.warning(plain(wrong))
        return None
    if hemi not in result.plan.hemis:
        place.warning(f"This fit predicts {', '.join(result.plan.hemis)}, not {hemi}.")
        return None
    return hemi, column
