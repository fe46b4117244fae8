"""Grid of small stimulus images, each of which is a button with its number below."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import streamlit as st
from PIL import Image

from encoding.datasets import Stimuli
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

A_ROW = 4  # in half the page's width
THUMBNAIL = 192  # px, the longer side
N_THREADS = 4  # clips take long to decode
SQUEEZED = (  # small buttons close below their images
    "<style>[class*=st-key-picks] [data-testid=stVerticalBlock] {gap: 0.15rem}"
    " [class*=st-key-picks] [data-testid=stColumn] {min-width: 0}"
    " [class*=st-key-picks] [data-testid=stColumn] {position: relative}"
    " [class*=st-key-picks] [data-testid=stColumn] :is(div, button) {position: static}"
    " [class*=st-key-picks] button {min-height: 1.5rem; padding: 0 0.1rem}"
    " [class*=st-key-picks] button::after {content: ''; position: absolute; inset: 0; border-radius: 4px}"  # presses reach it on the image
    " [class*=st-key-picks] [data-testid=stColumn]:has(button:hover) img {outline: 2px solid var(--st-primary-color)}"
    " [class*=st-key-picks] [data-testid=stElementToolbar] {display: none}"
    " [class*=st-key-picks] button p {font-size: 0.75rem}"
    " [class*=st-key-picks] img {aspect-ratio: 1; object-fit: contain; width: 100%}</style>"
)


def stimulus_grid(
    subject_view: SubjectView,
    rows: Sequence[int],
    *,
    name: str,
    captions: Sequence[str] = (),
    chosen: int | None = None,
    across: int = A_ROW,
) -> None:
    """Show small images, ``across`` a line, each a button with its number and an optional caption below. ``name`` keys them."""
    rows = tuple(map(int, rows))
    names, images = subject_view.subject.stimuli.names, thumbnails(subject_view.key, rows, subject_view.subject.stimuli)
    st.html(SQUEEZED)
    with st.container(key=f"picks_{name}", gap="xsmall"):
        for start in range(0, len(rows), across):
            for place, column in zip(range(start, start + across), st.columns(across, gap="xsmall", wrap=False), strict=True):
                if place >= len(rows):
                    break
                row, image = rows[place], images[place]
                if subject_view.subject.stimuli.without_images:
                    column.caption(plain(names[row]))
                elif isinstance(image, str):
                    column.caption(":material/broken_image: unreadable", help=plain(image))
                else:
                    column.image(image, alt=names[row], width="stretch")
                column.button(
                    f"{row + 1}",
                    key=f"pick_{name}_{place}",
                    on_click=_choose,
                    args=(row,),
                    type="primary" if row == chosen else "secondary",
                    width="stretch",
                    help=plain(names[row]),
                )
                if captions:
                    column.caption(captions[place], text_alignment="center")


def _choose(row: int) -> None:
    st.session_state["stimulus"] = str(row + 1)
    st.session_state["paint"] = "chosen"


def thumbnails(key: str, rows: tuple[int, ...], stimuli: Stimuli, size: int = THUMBNAIL) -> list[bytes | str]:
    """Encode small JPEGs of stimuli; an error text in place of one that cannot be read. ``key`` names the stimuli's bytes."""
    try:
        return _thumbnails(key, rows, stimuli, size)
    except OSError as passing:  # not cached
        return [str(passing)] * len(rows)


@st.cache_data(max_entries=256, show_spinner="Reading images …")
def _thumbnails(key: str, rows: tuple[int, ...], _stimuli: Stimuli, size: int) -> list[bytes | str]:
    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(lambda row: thumbnail(_stimuli, row, size=size), rows))


def thumbnail(stimuli: Stimuli, row: int, *, size: int = THUMBNAIL) -> bytes | str:
    """Encode a small JPEG of a stimulus; an error text where it cannot be read."""
    try:
        image = stimuli[row]
    except ValueError as wrong:
        return str(wrong)
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    image.save(written, "JPEG", quality=88)
    return written.getvalue()
