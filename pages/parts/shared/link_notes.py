"""What a link asked for and a page could not do, in one warning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import streamlit as st

from pages.parts.shared.late_link import link_as_left
from pages.parts.shared.text import plain

ASKED, NOTES = "_link_asked", "_link_notes"  # in the session: parameters to check, and warnings
EXPECTED, PLACE = "_link_expected", "_link_place"  # the parameters of the page that runs, None until it names them, and where to warn
EVERYWHERE = ("camera", "pin", "embed", "embed_options")  # parameters of any page


def read_link(place: Any, *, arrived: bool = False) -> None:
    """Remember what a newly opened link asks for, before widgets read it: they drop what they do not know without a word.

    Parameters
    ----------
    place : where :func:`say_unread` warns.
    arrived : whether the run before was another page's, whose parameters a quick change of pages leaves in the link for a moment.
    """
    st.session_state[PLACE] = place
    link, of_other_page = _link(), (st.session_state.get(EXPECTED) or ()) if arrived else ()
    if link != link_as_left() or ASKED not in st.session_state:
        asked = {name: texts for name, texts in link.items() if name not in of_other_page}
        st.session_state[ASKED], st.session_state[NOTES] = asked, {}
    st.session_state[EXPECTED] = None


def expect(names: Iterable[str]) -> None:
    """Name every parameter of the page's link, in one call or more.

    :func:`say_unread` warns of any other, which a misspelt name is, and where a widget of such a name did not take the link's value.
    """
    st.session_state[EXPECTED] = {*EVERYWHERE, *(st.session_state.get(EXPECTED) or ()), *names}


def note(name: str, why: str, instead: Any = None, *, key: str = "") -> bool:
    """Let :func:`say_unread` warn of a parameter that could not be read, and return whether it will: not where the link has none such.

    ``instead`` is what the widget of that name, or of ``key``, shows in place of it, and the warning stays as long as it does.
    """
    if name not in st.session_state.get(ASKED, {}):
        return False
    st.session_state[ASKED].pop(name)
    st.session_state[NOTES][name] = (why, key or name, instead)
    return True


def taken(name: str) -> None:
    """Say that a parameter was read, where no widget has its name."""
    st.session_state.get(ASKED, {}).pop(name, None)


def no_longer(name: str, why: str) -> None:
    """Take back a :func:`note` whose words end so."""
    if st.session_state.get(NOTES, {}).get(name, ("",))[0].endswith(why):
        st.session_state[NOTES].pop(name)


def say_unread() -> None:
    """Warn, at the top of the page, of the parameters of the link that no widget took, until what is shown instead changes."""
    asked, notes = st.session_state.get(ASKED, {}), st.session_state.get(NOTES, {})
    expected = st.session_state.get(EXPECTED)
    for name, texts in list(asked.items()):
        if expected is None:
            break
        if name in expected and name in st.session_state:
            value = st.session_state[name]
            if not _says(texts, value):
                wanted, got = (plain(", ".join(each)) for each in (texts, _texts(value)))
                notes[name] = (f"**{plain(name)}** cannot be {wanted or 'empty'} here, so it is {got or 'empty'}", name, value)
        elif name in expected:
            continue  # until its widget is drawn
        else:
            notes[name] = (f"there is no setting **{plain(name)}**", name, None)
        asked.pop(name)
    shown = [why for why, key, value in notes.values() if value is None or st.session_state.get(key) == value]
    if shown:
        st.session_state[PLACE].warning(f"Not all of this link could be shown: {'; '.join(why.removesuffix('.') for why in shown)}.")


def stop() -> NoReturn:
    """End the page here, as ``st.stop``, and say what of the link could not be read, which nothing can any more after it."""
    say_unread()
    st.stop()


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
