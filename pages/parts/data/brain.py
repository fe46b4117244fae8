"""Brain map of the Data page: a measured response, the noise ceiling or a statistic of the responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st

from encoding import plots
from encoding.analysis.tuning import region_numbers, repeats, rois_at
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.colour_ranges import fitting_range
from pages.parts.shared.brain_component import Selection, brain_view, clicked
from pages.parts.shared.brain_controls import START_VIEW, outline_control, say_sampled, surface_control
from pages.parts.shared.chart import chart
from pages.parts.shared.linked import choose, pick
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

PAINT_NAMES = {
    "chosen": "response to the chosen stimulus",
    "ceiling": "noise ceiling",
    "regions": "regions",
    "mean": "mean response",
    "spread": "spread of responses",
}  # what is shown of a choice; the link holds the key
PAINTS = {
    "chosen": "The measured response to the chosen stimulus; until one is chosen, the noise ceiling.",
    "ceiling": "The noise ceiling: the share of each {unit}'s variance that any model could explain.",
    "regions": "A colour for each region of the outlined classes (View); where two overlap, the smaller one's.",
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
HOW_SLICES = (
    "Axial slices of the volume that was measured, from below to above, seen from above: left is left, up is the front. Each small square "
    "is a {unit}; empty places are outside of the mask."
)
KEY = "data_brain"
LOOKED = ("dataset", "subject", "stimulus", "vertex", "roi", "paint", "unit", "surface", "data_outlines")  # in links
STAYS = """<style>
@media (min-width: 1200px) {[data-testid=stColumn]:has(.st-key-brain_place) {position: sticky; top: 3.5rem; align-self: flex-start}}
</style>"""


def brain_panel(subject_view: SubjectView, row: int | None, vertex: Selection | None, roi: str | None, *, stays: bool = True) -> None:
    """Show the brain map and its controls; a click selects a vertex. With ``stays`` it stays in sight as the page scrolls."""
    if subject_view.placement is None:
        _strip(subject_view, row, vertex)
        return
    column = subject_view.subject.unit
    st.html(STAYS if stays else "<style></style>")
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    names = PAINT_NAMES | ({"chosen": "noise ceiling, until a stimulus is chosen"} if row is None else {})
    words = column.fill("\n\n".join(f"**{PAINT_NAMES[name].capitalize()}.** {about}" for name, about in PAINTS.items()))
    paint = choose("The brain shows", "paint", list(PAINTS), "chosen", labels=names.get, place=left, help=words)
    with right.popover("Brain", width="stretch", help="Surface, outlined regions and unit of the brain map."):
        surface, outlined = surface_control(st), outline_control(st, subject_view.classes, key="data_outlines")
        words = "\n\n".join(f"**{name}** {about}" for name, about in UNITS.items())
        unit = pick("Unit of responses", "unit", list(UNITS), "measured", help=column.fill(words))
    brain_view(
        BrainMap(
            **(_regions(subject_view, outlined) if paint == "regions" else _painted(subject_view, paint, row, unit)),
            vertices=subject_view.placement.vertices,
            columns=subject_view.placement.columns,
            unit=column,
            rois=subject_view.placement.rois(subject_view.subject.rois),
            source=subject_view.source,
            surface=surface,
            view=START_VIEW,
            outlined=outlined,
            chosen_roi=roi,
            selected=subject_view.placement.place(vertex),
        ),
        key=KEY,
        height=400,
        on_select=lambda: choose_clicked(subject_view),
        linked=True,
    )
    say_sampled(subject_view.subject)


def _strip(subject_view: SubjectView, row: int | None, vertex: Selection | None) -> None:
    """What stands in for the response map where no place is known: the response to the chosen stimulus, column by column."""
    column = subject_view.subject.unit
    grid = subject_view.subject.grid
    nowhere = f"This data set says nothing of where its {column.many} lie, so there is no brain map."
    if grid is not None:
        nowhere = f"The {column.many} lie in the subject's own space, so there is no brain map."
    if grid is not None and (row is not None or subject_view.subject.ceiling is not None):
        what = "Noise ceiling" if row is None else f"Measured response to stimulus {row + 1}"
        values = subject_view.response(row) if row is not None else subject_view.subject.ceiling
        figure = plots.volume_slices(grid, np.asarray(next(iter(values.values()))), what=what)
        chart(figure, "slices", alt=f"{what.lower()} of every {column} on slices", how=column.fill(HOW_SLICES), source=subject_view.source)
    if row is None:
        st.info(f"{nowhere} Press a stimulus: the response of every {column} to it is shown here instead.")
        return
    st.caption(f"{nowhere} Instead, the response of every {column}, in the order of the columns: neighbours here may be far apart.")
    figure = plots.response_strip(subject_view.response(row), what=f"Measured response to stimulus {row + 1}", marked=vertex, unit=column)
    alt = f"measured response of every {column} to stimulus {row + 1}, in the order of the columns"
    click = {"on_select": lambda: _choose_point(figure), "selection_mode": "points"}
    chart(figure, "strip", alt=alt, how=column.fill(HOW_STRIP), source=subject_view.source, **click)


def _choose_point(figure: Any) -> None:
    """Callback of the strip: the vertex that was clicked is chosen."""
    points = st.session_state["strip"]["selection"]["points"]
    if points:
        block, start = figure.data[points[0]["curve_number"]].meta
        st.session_state["vertex"] = f"{block} {int(points[0]['x']) - start}"


def _painted(subject_view: SubjectView, paint: str, row: int | None, unit: str) -> dict:
    """Values, title and colours of what the brain is to show, or of what comes nearest to it; says where that is another."""
    subject = subject_view.subject
    if paint == "chosen" and row is not None:
        return _response(subject_view, row, unit)
    if paint in ("chosen", "ceiling") and subject.ceiling is not None:
        values = {block: np.asarray(values) for block, values in subject.ceiling.items()}
        return _scaled(subject_view, values, f"Noise ceiling per {subject.unit}, share of variance", "ceiling")
    if paint == "ceiling":
        st.caption(f"No noise ceiling is known for these responses; the brain shows how much each {subject.unit} varies.")
    overview = subject_view.overview()
    over = f"over {overview.n_rows:,} of {subject.counted(subject_view.what)}"
    if paint == "mean":
        return _scaled(subject_view, overview.mean, f"Mean measured response {over}", "mean")
    return _scaled(subject_view, overview.sd, f"Standard deviation of measured responses {over}", "sd")


def _regions(subject_view: SubjectView, names: Sequence[str]) -> dict:
    """A colour for each of the regions ``names``, of all where none is named; says which are empty."""
    subject = subject_view.subject
    values, named, empty = region_numbers(subject, names or subject_view.rois)
    if empty:
        st.caption(f"Without {subject.unit.many} in this subject: {plain(', '.join(empty))}.")
    return {
        "values": subject_view.placement.values(values),
        "title": f"Region of each {subject.unit}",
        "quantity": "region",
        "colour_range": (0.5, max(1, len(named)) + 0.5),
        "colour_map": "turbo",
        "kinds": named or ("no region",),
    }


def _response(subject_view: SubjectView, row: int, unit: str) -> dict:
    """The measured response to a stimulus, over the same colours for every stimulus."""
    values, overview, n_shown = subject_view.response(row), subject_view.overview(), len(repeats(subject_view.subject, row))
    over = f", mean of {n_shown} repeats" if n_shown > 1 else ""
    name = f"Measured response to {subject_view.subject.stimuli.names[row]}{over}"
    if unit == "z":
        values, ends = overview.standardised(values), Z_ENDS
        name, quantity = f"{name}, in standard deviations of each {subject_view.subject.unit}", "response (sd)"
    else:
        ends, quantity = overview.ends, "response"
    colours = "PuOr_r" if ends[0] < 0 < ends[1] else "viridis"
    return {
        "values": subject_view.placement.values(values),
        "title": name,
        "quantity": quantity,
        "colour_range": ends,
        "colour_map": colours,
    }


def _scaled(subject_view: SubjectView, values: dict, title: str, quantity: str) -> dict:
    """Any other map, its colours over nearly all of its values: from 0 where none is below, around 0 where both signs are."""
    ends = fitting_range(values)
    colours = "PuOr_r" if ends[0] < 0 < ends[1] else "viridis"
    return {
        "values": subject_view.placement.values(values),
        "title": title,
        "quantity": quantity,
        "colour_range": ends,
        "colour_map": colours,
    }


def choose_clicked(subject_view: SubjectView) -> None:
    """Callback of the brain map: select the clicked vertex and the smallest ROI that contains it."""
    vertex = subject_view.placement.column(clicked(KEY, subject_view.placement.vertices))
    st.session_state["vertex"] = f"{vertex[0]} {vertex[1]}" if vertex else ""
    if vertex:
        st.session_state["tab"] = subject_view.subject.unit.one.capitalize()
        holding = rois_at(subject_view.subject, *vertex)
        st.session_state["roi"] = holding[0] if holding else NO_ROI


NO_ROI = "none"


def roi_choice(subject_view: SubjectView, on_change: Callable[[], None] | None = None) -> str | None:
    """Choose, in the sidebar, the ROI to highlight on the brain and in the charts."""
    help = "It stands out on the brain and in the charts." if subject_view.rois else "This data set names no ROIs."
    roi = choose("ROI", "roi", [NO_ROI, *subject_view.rois], NO_ROI, place=st.sidebar, on_change=on_change, help=help)
    return None if roi == NO_ROI else roi
