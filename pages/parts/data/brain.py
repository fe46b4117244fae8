"""The brain of the Data page: a measured response, the noise ceiling, or what the responses are like, at every vertex."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from encoding import plots
from encoding.analysis.tuning import repeats, rois_at
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.colour_ranges import fitting_range
from pages.parts.shared.brain_component import Selection, brain_view, clicked
from pages.parts.shared.brain_controls import START_VIEW, outline_control, say_sampled, surface_control
from pages.parts.shared.chart import chart
from pages.parts.shared.subject_view import SubjectView

PAINTS = {
    "chosen": "The measured response to the chosen stimulus; until one is chosen, the noise ceiling.",
    "ceiling": "The noise ceiling: the share of each {unit}'s variance that any model could explain.",
    "mean": "Each {unit}'s mean response.",
    "spread": "How much each {unit} varies over stimuli: its standard deviation.",
}
UNITS = {
    "measured": "As the data set has it.",
    "z": "In standard deviations of each {unit} over stimuli, from its mean.",
}
Z_ENDS = (-3.0, 3.0)
HOW_STRIP = (
    "Each dot is one {unit}: up is a stronger measured response to this one stimulus. Left to right they stand as in the file, which says "
    "nothing of the brain. A single response is noisy: much of the scatter is noise. A click on a dot chooses it."
)
KEY = "data_brain"
STAYS = "<style>[data-testid=stColumn]:has(.st-key-brain_place) {position: sticky; top: 3.5rem; align-self: flex-start}</style>"


def brain_panel(shown: SubjectView, row: int | None, vertex: Selection | None, roi: str | None) -> None:
    """The brain with its controls; a click chooses a vertex."""
    if shown.placement is None:
        _strip(shown, row, vertex)
        return
    column = shown.subject.unit
    st.html(STAYS)  # the brain stays in sight beside a long grid
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    words = "\n\n".join(f"**{name}** {about}" for name, about in PAINTS.items())
    paint = left.radio("The brain shows", list(PAINTS), key="paint", bind="query-params", horizontal=True, help=column.fill(words))
    with right.popover("View", width="stretch"):
        surface, outlined = surface_control(st), outline_control(st, shown.classes, key="data_outlines")
        words = "\n\n".join(f"**{name}** {about}" for name, about in UNITS.items())
        unit = st.segmented_control(
            "Unit of responses", list(UNITS), key="unit", bind="query-params", default="measured", required=True, help=column.fill(words)
        )
    brain_view(
        BrainMap(
            **_painted(shown, paint, row, unit),
            vertices=shown.placement.vertices,
            columns=shown.placement.columns,
            unit=column,
            rois=shown.placement.rois(shown.subject.rois),
            source=shown.source,
            surface=surface,
            view=START_VIEW,
            outlined=outlined,
            chosen_roi=roi,
            selected=shown.placement.place(vertex),
        ),
        key=KEY,
        height=400,
        on_select=lambda: choose_clicked(shown),
    )
    say_sampled(shown.subject)


def _strip(shown: SubjectView, row: int | None, vertex: Selection | None) -> None:
    """What stands in for the response map where no place is known: the response to the chosen stimulus, column by column."""
    column = shown.subject.unit
    nowhere = f"This data set says nothing of where its {column.many} lie, so there is no brain map."
    if row is None:
        st.info(f"{nowhere} Press the number of a stimulus: the response of every {column} to it is shown here instead.")
        return
    st.caption(f"{nowhere} Instead, the response of every {column}, in the order of the columns: neighbours here may be far apart.")
    figure = plots.response_strip(shown.response(row), what=f"Measured response to stimulus {row + 1}", marked=vertex, unit=column)
    alt = f"measured response of every {column} to stimulus {row + 1}, in the order of the columns"
    click = {"on_select": lambda: _choose_point(figure), "selection_mode": "points"}
    chart(figure, "strip", alt=alt, how=column.fill(HOW_STRIP), source=shown.source, **click)


def _choose_point(figure: Any) -> None:
    """Callback of the strip: the vertex that was clicked is chosen."""
    points = st.session_state["strip"]["selection"]["points"]
    if points:
        block, start = figure.data[points[0]["curve_number"]].meta
        st.session_state["vertex"] = f"{block} {int(points[0]['x']) - start}"


def _painted(shown: SubjectView, paint: str, row: int | None, unit: str) -> dict:
    """Values, title and colours of what the brain is to show, or of what comes nearest to it; says where that is another."""
    subject = shown.subject
    if paint == "chosen" and row is not None:
        return _response(shown, row, unit)
    if paint in ("chosen", "ceiling") and subject.ceiling is not None:
        values = {block: np.asarray(values) for block, values in subject.ceiling.items()}
        return _scaled(shown, values, f"Noise ceiling per {subject.unit}, share of variance", "ceiling")
    if paint == "ceiling":
        st.caption(f"No noise ceiling is known for these responses; the brain shows how much each {subject.unit} varies.")
    found = shown.overview()
    over = f"over {found.n_rows:,} of {subject.n_stimuli:,} {shown.what}"
    if paint == "mean":
        return _scaled(shown, found.mean, f"Mean measured response {over}", "mean")
    return _scaled(shown, found.sd, f"Standard deviation of measured responses {over}", "sd")


def _response(shown: SubjectView, row: int, unit: str) -> dict:
    """The measured response to a stimulus, over the same colours for every stimulus."""
    values, found, n_shown = shown.response(row), shown.overview(), len(repeats(shown.subject, row))
    over = f", mean of {n_shown} repeats" if n_shown > 1 else ""
    name = f"Measured response to {shown.subject.stimuli.names[row]}{over}"
    if unit == "z":
        values, ends = found.standardised(values), Z_ENDS
        name, quantity = f"{name}, in standard deviations of each {shown.subject.unit}", "response (sd)"
    else:
        ends, quantity = found.ends, "response"
    colours = "PuOr_r" if ends[0] < 0 < ends[1] else "viridis"
    return {"values": shown.placement.values(values), "title": name, "quantity": quantity, "colour_range": ends, "colour_map": colours}


def _scaled(shown: SubjectView, values: dict, title: str, quantity: str) -> dict:
    """Any other map, its colours over nearly all of its values: from 0 where none is below, around 0 where both signs are."""
    ends = fitting_range(values)
    colours = "PuOr_r" if ends[0] < 0 < ends[1] else "viridis"
    return {"values": shown.placement.values(values), "title": title, "quantity": quantity, "colour_range": ends, "colour_map": colours}


def choose_clicked(shown: SubjectView) -> None:
    """Callback of the brain: the clicked vertex, and the smallest ROI that holds it, are chosen."""
    found = shown.placement.column(clicked(KEY, shown.placement.vertices))
    st.session_state["vertex"] = f"{found[0]} {found[1]}" if found else ""
    if found:
        holding = rois_at(shown.subject, *found)
        st.session_state["roi"] = holding[0] if holding else NO_ROI


NO_ROI = "none"


def roi_choice(shown: SubjectView) -> str | None:
    """The ROI that stands out on the brain and in the charts, from the sidebar."""
    help = "It stands out on the brain and in the charts." if shown.rois else "This data set names no ROIs."
    roi = st.sidebar.selectbox("ROI", [NO_ROI, *shown.rois], key="roi", bind="query-params", help=help)
    return None if roi == NO_ROI else roi
