"""What a link asked for and a page could not do, in one warning."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import streamlit as st

from pages.parts.shared.text import plain

ASKED, NOTES, LEFT = "_link_asked", "_link_notes", "_link_left"  # in the session: parameters to check, warnings, the link as a run left it


def read_link() -> None:
    """Remember what a newly opened link asks for, before widgets read it: they drop what they do not know without a word."""
    link = _link()
    if link != st.session_state.get(LEFT):
        st.session_state[ASKED], st.session_state[NOTES] = link, {}


def note(name: str, why: str) -> bool:
    """Let :func:`say_unread` warn of a parameter that could not be read, and return whether it will: not on a page that reads no link."""
    if name not in st.session_state.get(ASKED, {}):
        return False
    st.session_state[ASKED].pop(name)
    st.session_state[NOTES][name] = (why, None)
    return True


def taken(name: str) -> None:
    """Say that a parameter was read, where no widget has its name."""
    st.session_state.get(ASKED, {}).pop(name, None)


def say_unread(place: Any, known: Collection[str]) -> None:
    """Warn in a place of the parameters of the link that no widget took, until what is shown instead changes.

    Parameters
    ----------
    known : names of parameters whose widgets may not be drawn.
    """
    asked, notes = st.session_state.get(ASKED, {}), st.session_state.get(NOTES, {})
    for name, texts in list(asked.items()):
        if name in st.session_state:
            value = st.session_state[name]
            if not _says(texts, value):
                wanted, got = (plain(", ".join(each)) for each in (texts, _texts(value)))
                notes[name] = (f"**{plain(name)}** cannot be {wanted or 'empty'} here, so it is {got or 'empty'}", value)
        elif name in known:
            continue  # until its widget is drawn
        else:
            notes[name] = (f"there is no setting **{plain(name)}**", None)
        asked.pop(name)
    shown = [why for name, (why, value) in notes.items() if value is None or st.session_state.get(name) == value]
    if shown:
        place.warning(f"Not all of this link could be shown: {'; '.join(why.removesuffix('.') for why in shown)}.")
    st.session_state[LEFT] = _link()


def _link() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in st.query_params}


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else [] if value is None else [str(value)]


def _says(texts: Sequence[str], value: Any) -> bool:
    """Whether the texts of a link mean a widget's value."""
    if isinstance(value, bool):
        return texts[-1].lower() == str(value).lower()
    if isinstance(value, (int, float)):
        try:
            return float(texts[-1]) == value
        except ValueError:
            return False
    return list(texts) == _texts(value) or texts[-1:] == _texts(value) or (not value and texts[-1] == "")
