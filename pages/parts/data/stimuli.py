"""Stimulus grid with filters on the Data page, and the measured response to the selected stimulus."""

from __future__ import annotations

import numpy as np
import streamlit as st

from encoding import plots
from encoding.analysis.lookup import find_stimulus
from encoding.analysis.tuning import chosen_rows, kinds, measures, repeats, roi_profile
from pages.parts.shared.chart import chart
from pages.parts.shared.linked import enter
from pages.parts.shared.screen import is_narrow, watch_screen
from pages.parts.shared.stimulus_grid import A_ROW, stimulus_grid, thumbnails
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

A_PAGE = 24
FILE_ORDER = "rows"
HOW_PROFILE = (
    "Each bar is the mean measured response of a region's {units} to this one stimulus; the stroke runs over the middle half of its "
    "{units}. Nothing here was predicted. A single response is noisy: compare several stimuli of a kind before believing a difference."
)


def stimulus_choice(subject_view: SubjectView) -> int | None:
    """Choose a stimulus in the sidebar and return its row; None, with a message, where there is no such one."""
    text = enter(
        "Stimulus",
        "stimulus",
        place=st.sidebar,
        placeholder="choose one, or type 12",
        help=f"The number (1 to {subject_view.subject.n_stimuli:,}) or the name of one of the {subject_view.what}.",
    )
    if not text.strip():
        return None
    try:
        return find_stimulus(subject_view.subject, text)
    except ValueError as wrong:
        st.sidebar.warning(plain(wrong))
        return None


def grid(subject_view: SubjectView, chosen: int | None) -> None:
    """Show the stimuli that pass the filters, a page at a time; pressing one selects it."""
    rows = _filtered(subject_view)
    n_pages = max(1, -(-len(rows) // A_PAGE))
    if st.session_state.get("page", 1) > n_pages:  # fewer passed than when it was turned to
        st.session_state["page"] = n_pages
    passed = f"{len(rows):,} of {subject_view.subject.counted(subject_view.what)}"
    if not len(rows):
        st.info(f"None of {subject_view.subject.counted(subject_view.what)} passes these filters.")
        return
    place = st.container()
    page = st.pagination(n_pages, key="page", bind="query-params", max_visible_pages=7) if n_pages > 1 else 1
    with place:
        stimulus_grid(
            subject_view,
            rows[(page - 1) * A_PAGE : page * A_PAGE],
            name="grid",
            chosen=chosen,
            across=A_ROW if subject_view.placement else 2 * A_ROW,
        )
    frames = " Of each clip its middle frame is shown." if subject_view.clips else ""
    st.caption(f"{passed}.{frames} Press one to see the response to it.")


def _filtered(subject_view: SubjectView) -> np.ndarray:
    """The rows to show, from the widgets above the grid."""
    known, degrees = kinds(subject_view.subject), measures(subject_view.subject)
    columns = st.columns([2, *([3] * len(known)), *([2] if degrees else [])], vertical_alignment="bottom")
    words = enter("Name has", "find", place=columns[0], placeholder="any", on_change=_first_page)
    wanted = {
        label: column.multiselect(
            label.capitalize(), values, key=f"is_{label}", bind="query-params", placeholder="any", on_change=_first_page
        )
        for column, (label, values) in zip(columns[1:], known.items(), strict=False)
    }
    order = FILE_ORDER
    if degrees:
        order = columns[-1].selectbox(
            "Order",
            [FILE_ORDER, *degrees],
            key="order",
            bind="query-params",
            on_change=_first_page,
            help="rows: as in the responses. Else those first that show most of it.",
        )
    if not known and not degrees:
        st.caption("This data set comes without labels.")
    return chosen_rows(subject_view.subject, words=words, wanted=wanted, order="" if order == FILE_ORDER else order)


def _first_page() -> None:
    st.session_state["page"] = 1


def stimulus_panel(subject_view: SubjectView, row: int, roi: str | None) -> None:
    """Show a stimulus, large, and the measured mean response of every ROI to it."""
    subject = subject_view.subject
    st.header(f"Stimulus {row + 1}", anchor=False)
    left, right = st.columns([1, 3], gap="medium")
    with left:
        (image,) = thumbnails(subject_view.key, (row,), subject.stimuli, size=512)
        if isinstance(image, str):
            (st.info if subject.stimuli.without_images else st.error)(plain(image))
        else:
            st.image(image, alt=subject.stimuli.names[row], caption=plain(subject.stimuli.names[row]), width="stretch")
        st.markdown(_facts(subject_view, row))
    with right:
        _profile(subject_view, row, roi)


def _facts(subject_view: SubjectView, row: int) -> str:
    """Labels and repeats of a stimulus, in Markdown."""
    subject, lines = subject_view.subject, []
    lines += ["The middle frame of the clip."] if subject_view.clips else []
    lines += [f"{plain(label)}: **{plain(subject.labels[label][row])}**" for label in kinds(subject)]
    if degrees := [f"{label} {subject.labels[label][row]:.2f}" for label in measures(subject) if subject.labels[label][row] > 0]:
        lines.append(", ".join(degrees))
    same = repeats(subject, row)
    if len(same) > 1:
        lines.append(f"Shown {len(same)} times, in rows {', '.join(f'{each + 1:,}' for each in same[:8])}; responses are their mean.")
    return "  \n".join(lines)


def _profile(subject_view: SubjectView, row: int, roi: str | None) -> None:
    """Regions' responses; where there are none, those of all vertices."""
    what, unit = "Measured response", subject_view.subject.unit
    if not subject_view.rois:
        values = np.concatenate(list(subject_view.response(row).values()))
        figure = plots.response_histogram(values, what=what, of=unit.many)
        chart(
            figure,
            "profile",
            alt=f"measured responses of all {unit.many} to stimulus {row + 1}",
            source=subject_view.source,
            how=unit.fill(HOW_PROFILE),
        )
        st.caption(f"This data set names no ROIs: the response of every {unit}, as a histogram.")
        return
    rows = roi_profile(subject_view.subject, subject_view.response(row))
    look = {"classes": subject_view.classes, "selected": roi, "unit": unit, "horizontal": is_narrow()}
    figure = plots.region_profile(rows, what=what, **look)
    chart(
        figure,
        "profile",
        alt=f"mean measured response of each region to stimulus {row + 1}",
        source=subject_view.source,
        how=unit.fill(HOW_PROFILE),
    )
    watch_screen()
