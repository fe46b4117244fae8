"""Links that come late: a browser asks for the next run with the link that it has, which may lack what the last run wrote there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import parse_qs

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

LATE = 5.0  # seconds in which a browser hears of a link that was written
Link = dict[str, list[str]]
_MEMORY = "_link_written"  # in the session


@dataclass
class _Written:
    """The link as the last run left it, and what the browser may still have in place of it."""

    left: Link = field(default_factory=dict)
    before: dict[str, list[list[str]]] = field(default_factory=dict)  # parameter to its values before, which were not heard to be replaced
    at: float = 0.0  # of the last change, as monotonic tells it
    page: str = ""
    under_way: bool = False  # whether a run that began with it is not over


def goes_back() -> bool:
    """Whether this run shows an earlier link, by the browser's Back button."""
    return getattr(get_script_run_ctx(), "is_history_navigation", False)


def link_as_left() -> Link:
    """The link as the last run left it; it is not one that somebody opened."""
    return st.session_state[_MEMORY].left if _MEMORY in st.session_state else {}


@contextmanager
def keep_what_was_written() -> Iterator[None]:
    """Let a run, a fragment's too, begin with the link as the last one left it, heard of or not.

    Without it the second of two quick changes takes the first one back, as settings follow a link that changed. The browser's Back button,
    another page, and a link that differs in more than that, which somebody followed, are taken as they come.

    Callbacks leave the link to the run that follows them: Streamlit may lose a press that arrives while one writes it.
    """
    memory: _Written = st.session_state.setdefault(_MEMORY, _Written())  # kept, as a run that is broken off can write no state
    if memory.under_way:  # a fragment as the part of a page
        yield
        return
    page = st.session_state.get("_page_of_run", "")
    _restore(memory, page)
    begun, memory.under_way = _link(), True
    try:
        yield
    finally:
        memory.under_way = False
        left = _link()
        changed = [name for name in begun.keys() | left.keys() if begun.get(name) != left.get(name)]
        for name in changed:
            memory.before.setdefault(name, []).append(begun.get(name, []))
        if changed:
            memory.at = monotonic()
        memory.left, memory.page = left, page


def _restore(memory: _Written, page: str) -> None:
    """Set the parameters that come late to what was written; forget what the browser had before of all others."""
    came, left = _link(), memory.left
    other = {name for name in came.keys() | left.keys() if came.get(name) != left.get(name)}
    late = {name for name in other if came.get(name, []) in memory.before.get(name, [])}
    is_followed = page != memory.page or goes_back() or len(other - late) > 1
    if is_followed or monotonic() - memory.at > LATE:
        late = set()
    memory.before = {name: memory.before[name] for name in late}
    for name in late:
        with suppress(StreamlitAPIException):  # of a widget that Streamlit binds to the link: its state comes with the request
            if name in left:
                st.query_params[name] = left[name]
            else:
                st.query_params.pop(name, None)


def _link() -> Link:
    """The link of this run; of Streamlit's context, as that can be read of a run that is broken off."""
    context = get_script_run_ctx()
    return parse_qs(context.query_string if context else "", keep_blank_values=True)
