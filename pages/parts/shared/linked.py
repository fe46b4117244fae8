"""Settings that the link holds, each with a widget that is drawn where it has a place, and keeps its value where it has none.

Streamlit's ``bind="query-params"`` writes the label of a menu into the link, which would break when it is reworded, and forgets what is
not drawn. Of each setting here ``key`` names it in the session and in the link, ``start`` is what a link without it means, and ``place`` is
where its widget is drawn; None draws none, which costs a page nothing. A link's value that a setting cannot take is named in a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from encoding.runtime.registry import unknown
from pages.parts.shared.late_link import goes_back
from pages.parts.shared.link_notes import no_longer, note, taken
from pages.parts.shared.text import plain

_KEPT: dict[str, Any] = {"persist_state": "session"}  # of every widget: its value outlives a run that does not draw it

IDLE = "changes nothing in this fit"
_READ = "_link_read"  # in the session: settings that were read since :func:`begin_reading`


def adopt_link(key: str, *, several: bool = False, link: str = "") -> bool:
    """Put what the link says, under ``link`` or ``key``, into the state of a widget that is not drawn yet, if the link changed.

    Returns whether it did.

    A link changes by being opened or with the browser's Back button. Without the parameter it leaves the state alone, as after a
    change of pages, except for Back, which means the default again.
    """
    linked = st.query_params.get_all(link or key)
    if linked == st.session_state.get(_written(link or key), []):
        return False
    if linked:
        st.session_state[key] = linked if several else linked[-1]
    elif goes_back():
        st.session_state.pop(key, None)
    else:
        return False
    return True


def write_link(key: str, value: str | Iterable[str], start: str | Iterable[str]) -> None:
    """Write a widget's value into the link; nothing where it is ``start``, what a link without the parameter means."""
    texts, default = ([each] if isinstance(each, str) else list(each) for each in (value, start))
    texts = [] if texts == default else texts
    if st.query_params.get_all(key) != texts:
        if texts:
            st.query_params[key] = texts
        else:
            del st.query_params[key]
    st.session_state[_written(key)] = texts
    st.session_state.setdefault(_READ, set()).add(key)


def begin_reading() -> None:
    """Begin to read a group of settings, which :func:`leave_unread_out` ends."""
    st.session_state[_READ] = set()


def leave_unread_out(keys: Iterable[str], starts: Mapping[str, str]) -> None:
    """Take out of the link what it holds of settings that were not read since, as nothing asks for them now; the session keeps them.

    A link that was opened with one that is not as in ``starts`` is warned of, until the setting is read.
    """
    for key in keys:
        if key in st.session_state[_READ]:
            no_longer(key, IDLE)
        elif linked := st.query_params.get_all(key):
            if linked != [starts.get(key)]:
                note(key, f"**{plain(key)}** {IDLE}")
            taken(key)
            write_link(key, (), ())


def linked_value(key: str, link: str, read: Callable[[str], Any], start: Any) -> None:
    """Put what the link says under ``link`` into the state of the widget ``key``, if the link changed; what cannot be read is noted.

    ``start`` is what a link without it means, to which Back may lead.
    """
    texts = st.query_params.get_all(link)
    if texts == st.session_state.get(_written(link), []):
        return
    if not texts:
        if goes_back():
            st.session_state[key] = start
        return
    try:
        st.session_state[key] = read(texts[-1])
        taken(link)
    except ValueError as wrong:
        note(link, f"**{plain(link)}** {plain(wrong)}")


def number_within(text: str, low: float, high: float) -> float:
    """Read a number of a link for :func:`linked_value`; ValueError says which it may be."""
    try:
        number = float(text)
    except ValueError:
        number = high + 1.0
    if not low <= number <= high:
        raise ValueError(f"must be from {low:g} to {high:g}, not {text}")
    return number


def forget(keys: Iterable[str]) -> None:
    """Forget the values of widgets, so that they start as the link says."""
    for key in keys:
        st.session_state.pop(key, None)
        st.session_state.pop(_written(key), None)


def choose(
    label: str,
    key: str,
    options: Sequence[str],
    start: str,
    *,
    labels: Callable[[str], str] = str,
    new: bool = False,
    place: Any = st,
    **more: Any,
) -> str:
    """Choose one of a menu.

    Parameters
    ----------
    labels : text that is shown of an option.
    new : whether other values can be typed.
    more : for ``st.selectbox``.
    """
    linked = adopt_link(key)
    options, value = list(options), st.session_state.get(key)
    first = start if start in options else options[0]
    if value is not None and value not in options:
        if new:
            options.append(value)
        else:
            if linked:  # not of other data, whose choices these were
                _say_unknown(label, key, value, options, first, place)
            value = None
    if value is None:
        value = st.session_state[key] = first
    if place is not None:
        hold(key, value)
        value = place.selectbox(label, options, key=key, format_func=labels, accept_new_options=new, **_KEPT, **more) or start
    write_link(key, value, start)
    return value


def pick(label: str, key: str, options: Sequence[str], start: str, *, place: Any = st, **more: Any) -> str:
    """Choose one of a few that stand side by side; ``more`` is for ``st.segmented_control``."""
    linked, value = adopt_link(key), st.session_state.get(key)
    if value not in options:
        if linked and value is not None:
            _say_unknown(label, key, value, options, start, place)
        value = start
    hold(key, value)
    value = place.segmented_control(label, options, key=key, required=True, **_KEPT, **more) or start
    write_link(key, value, start)
    return value


def choose_several(
    label: str,
    key: str,
    options: Sequence[str],
    start: Sequence[str],
    *,
    labels: Callable[[str], str] = str,
    new: bool = False,
    place: Any = st,
    link: str = "",
    **more: Any,
) -> list[str]:
    """Choose any number of a menu, as :func:`choose` does one; ``more`` is for ``st.multiselect``.

    ``link`` names the setting in the link, and what is chosen, where its key cannot.
    """
    linked = adopt_link(key, several=True, link=link)
    options, values = list(options), list(dict.fromkeys(st.session_state.get(key, start)))
    if new:
        options += [value for value in values if value not in options]
    elif strange := [value for value in values if value not in options]:
        values = [value for value in values if value in options] or list(start)
        if linked:
            _say_unknown(link or label, key, strange[0], options, values, place, link=link)
    values = values[: more.get("max_selections")]
    hold(key, values)
    if place is not None:
        values = place.multiselect(label, options, key=key, format_func=labels, accept_new_options=new, **_KEPT, **more)
    write_link(link or key, values, start)
    return values


def enter(label: str, key: str, start: str = "", *, place: Any = st, **more: Any) -> str:
    """Type a text; ``more`` is for ``st.text_input``."""
    value = _kept(key, start, str)
    if place is not None:
        hold(key, value)
        value = place.text_input(label, key=key, **_KEPT, **more)
    write_link(key, value, start)
    return value


def count(label: str, key: str, start: int, low: int, high: int, *, place: Any = st, **more: Any) -> int:
    """Choose a whole number from ``low`` to ``high``; ``more`` is for ``st.number_input``."""
    value = _kept(key, start, lambda text: int(text) if text.isdecimal() and low <= int(text) <= high else start)
    if place is not None:
        hold(key, value)
        value = place.number_input(label, low, high, key=key, **_KEPT, **more)
    write_link(key, str(value), str(start))
    return int(value)


def switch(label: str, key: str, start: bool = False, *, place: Any = st, **more: Any) -> bool:
    """Switch something on or off; ``more`` is for ``st.toggle``."""
    value = _kept(key, start, lambda text: {"true": True, "false": False}.get(text.lower(), start))
    if place is not None:
        hold(key, value)
        value = place.toggle(label, key=key, **_KEPT, **more)
    write_link(key, str(value).lower(), str(start).lower())
    return value


def hold(key: str, value: Any) -> None:
    """Give a widget its value before it is drawn, where it has another, or another page drew it last.

    At other times nothing is given: the browser would take that for a change, and go back from what was pressed meanwhile.
    """
    drawn, page = f"_drawn_{key}", st.session_state.get("_page_of_run")
    if st.session_state.get(drawn) != page or key not in st.session_state or st.session_state[key] != value:
        st.session_state[key], st.session_state[drawn] = value, page


def _kept(key: str, start: Any, read: Callable[[str], Any]) -> Any:
    """The value of a setting before its widget is drawn: of the link, if that changed, else of the session, else ``start``."""
    if adopt_link(key) and key in st.session_state:
        st.session_state[key] = read(st.session_state[key])
    return st.session_state.setdefault(key, start)


def _say_unknown(label: str, key: str, value: str, options: Sequence[str], instead: Any, place: Any, *, link: str = "") -> None:
    why = plain(unknown(label if label.isupper() else label.lower(), value, filter(None, options)))
    if not note(link or key, why, instead, key=key):
        (place or st).warning(f"The link asks for something that is not here. {why}")


def _written(key: str) -> str:
    return f"_link_{key}"


def leave_out(key: str, name: str) -> None:
    """Take what is chosen elsewhere out of a list that goes beside it."""
    if name in st.session_state.get(key, ()):
        st.session_state[key] = [each for each in st.session_state[key] if each != name]
