"""Stimuli as a grid with filters, any of which can be chosen, and what was measured while the chosen one was seen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import streamlit as st
from PIL import Image

from encoding import plots
from encoding.analysis.tuning import chosen_rows, find_stimulus, kinds, measures, repeats, roi_profile
from encoding.datasets import Stimuli
from pages.parts.data.subject_view import Shown
from pages.parts.shared.chart import chart

A_PAGE, A_ROW = 24, 4  # in half the page's width
THUMBNAIL = 192  # px, the longer side
N_THREADS = 4  # clips take long to decode
SQUEEZED = (  # small buttons close below their pictures
    "<style>[class*=st-key-picks] [data-testid=stVerticalBlock] {gap: 0.15rem}"
    " [class*=st-key-picks] [data-testid=stColumn] {min-width: 0}"
    " [class*=st-key-picks] button {min-height: 1.5rem; padding: 0 0.1rem}"
    " [class*=st-key-picks] button p {font-size: 0.75rem}"
    " [class*=st-key-picks] img {aspect-ratio: 1; object-fit: contain; width: 100%}</style>"
)
FILE_ORDER = "rows"
HOW_PROFILE = (
    "Each bar is the mean measured response of a region's {units} to this one stimulus; the stroke runs over the middle half of its "
    "{units}. Nothing here was predicted. A single response is noisy: compare several stimuli of a kind before believing a difference."
)


def stimulus_choice(shown: Shown) -> int | None:
    """The row of the chosen stimulus, from the sidebar; None where none is chosen, or where there is no such one, which is said."""
    text = st.sidebar.text_input(
        "Stimulus",
        key="stimulus",
        bind="query-params",
        placeholder="choose one, or type 12",
        help=f"The number (1 to {shown.subject.n_stimuli:,}) or the name of one of the {shown.what}.",
    )
    if not text.strip():
        return None
    try:
        return find_stimulus(shown.subject, text)
    except ValueError as wrong:
        st.sidebar.warning(str(wrong))
        return None


def grid(shown: Shown, chosen: int | None) -> None:
    """The stimuli that pass the filters, a page at a time; the button below each chooses it."""
    rows = _filtered(shown)
    n_pages = max(1, -(-len(rows) // A_PAGE))
    if st.session_state.get("page", 1) > n_pages:  # fewer passed than when it was turned to
        st.session_state["page"] = n_pages
    passed = f"{len(rows):,} of {shown.subject.n_stimuli:,} {shown.what}"
    if not len(rows):
        st.info(f"None of {shown.subject.n_stimuli:,} {shown.what} passes these filters.")
        return
    place = st.container()
    page = st.pagination(n_pages, key="page", bind="query-params", max_visible_pages=7) if n_pages > 1 else 1
    with place:
        pictures(
            shown, rows[(page - 1) * A_PAGE : page * A_PAGE], name="grid", chosen=chosen, across=A_ROW if shown.placement else 2 * A_ROW
        )
    frames = " Of each clip its middle frame is shown." if shown.clips else ""
    st.caption(f"{passed}.{frames} Press a number to see the response to it.")


def _filtered(shown: Shown) -> np.ndarray:
    """The rows to show, from the widgets above the grid."""
    known, degrees = kinds(shown.subject), measures(shown.subject)
    columns = st.columns([2, *([3] * len(known)), *([2] if degrees else [])], vertical_alignment="bottom")
    words = columns[0].text_input("Name has", key="find", bind="query-params", placeholder="any", on_change=_first_page)
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
    return chosen_rows(shown.subject, words=words, wanted=wanted, order="" if order == FILE_ORDER else order)


def _first_page() -> None:
    st.session_state["page"] = 1


def pictures(
    shown: Shown, rows: Sequence[int], *, name: str, captions: Sequence[str] = (), chosen: int | None = None, across: int = A_ROW
) -> None:
    """Small pictures, ``across`` a line, with a button below each that chooses it, and a caption where there is one. ``name`` keys them."""
    rows = tuple(map(int, rows))
    names, found = shown.subject.stimuli.names, thumbnails(shown.key, rows, shown.subject.stimuli)
    st.html(SQUEEZED)
    with st.container(key=f"picks_{name}", gap="xsmall"):
        for start in range(0, len(rows), across):
            for place, column in zip(range(start, start + across), st.columns(across, gap="xsmall", wrap=False), strict=True):
                if place >= len(rows):
                    break
                row, picture = rows[place], found[place]
                if isinstance(picture, str):
                    column.caption(":material/broken_image: unreadable", help=picture)
                else:
                    column.image(picture, alt=names[row], width="stretch")
                column.button(
                    f"{row + 1}",
                    key=f"pick_{name}_{place}",
                    on_click=_choose,
                    args=(row,),
                    type="primary" if row == chosen else "secondary",
                    width="stretch",
                    help=names[row],
                )
                if captions:
                    column.caption(captions[place], text_alignment="center")


def _choose(row: int) -> None:
    st.session_state["stimulus"] = str(row + 1)
    st.session_state["paint"] = "chosen"


@st.cache_data(max_entries=256, show_spinner="Reading pictures …")
def thumbnails(key: str, rows: tuple[int, ...], _stimuli: Stimuli, size: int = THUMBNAIL) -> list[bytes | str]:
    """JPEG bytes of each picture, small; a text that says why where it cannot be read. ``key`` names the stimuli's bytes."""
    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(lambda row: _thumbnail(_stimuli, row, size=size), rows))


def _thumbnail(stimuli: Stimuli, row: int, *, size: int = THUMBNAIL) -> bytes | str:
    try:
        image = stimuli[row]
    except (ValueError, OSError) as wrong:
        return str(wrong)
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    image.save(written, "JPEG", quality=88)
    return written.getvalue()


def stimulus_panel(shown: Shown, row: int, roi: str | None) -> None:
    """A stimulus, large, and the measured response of every region to it."""
    subject = shown.subject
    st.subheader(f"Stimulus {row + 1}", anchor=False)
    left, right = st.columns([1, 3], gap="medium")
    with left:
        (picture,) = _pictures(shown.key, row, subject.stimuli)
        if isinstance(picture, str):
            st.error(picture)
        else:
            st.image(picture, alt=subject.stimuli.names[row], caption=subject.stimuli.names[row], width="stretch")
        st.markdown(_facts(shown, row))
    with right:
        _profile(shown, row, roi)


@st.cache_data(max_entries=64, show_spinner=False)
def _pictures(key: str, row: int, _stimuli: Stimuli) -> list[bytes | str]:
    return [_thumbnail(_stimuli, row, size=512)]


def _facts(shown: Shown, row: int) -> str:
    """Labels and repeats of a stimulus, in Markdown."""
    subject, lines = shown.subject, []
    lines += ["The middle frame of the clip."] if shown.clips else []
    lines += [f"{label}: **{subject.labels[label][row]}**" for label in kinds(subject)]
    if degrees := [f"{label} {subject.labels[label][row]:.2f}" for label in measures(subject) if subject.labels[label][row] > 0]:
        lines.append(", ".join(degrees))
    same = repeats(subject, row)
    if len(same) > 1:
        lines.append(f"Shown {len(same)} times, in rows {', '.join(f'{each + 1:,}' for each in same[:8])}; responses are their mean.")
    return "  \n".join(lines)


def _profile(shown: Shown, row: int, roi: str | None) -> None:
    """Regions' responses; where there are none, those of all vertices."""
    what, unit = "Measured response", shown.subject.unit
    if not shown.rois:
        values = np.concatenate(list(shown.response(row).values()))
        figure = plots.response_histogram(values, what=what, of=unit.many)
        chart(
            figure,
            "profile",
            alt=f"measured responses of all {unit.many} to stimulus {row + 1}",
            source=shown.source,
            how=unit.fill(HOW_PROFILE),
        )
        st.caption(f"This data set names no ROIs: the response of every {unit}, as a histogram.")
        return
    figure = plots.region_profile(
        roi_profile(shown.subject, shown.response(row)), what=what, classes=shown.classes, selected=roi, unit=unit
    )
    chart(
        figure,
        "profile",
        alt=f"mean measured response of each region to stimulus {row + 1}",
        source=shown.source,
        how=unit.fill(HOW_PROFILE),
    )
