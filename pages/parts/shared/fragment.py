"""Fragments of a page that lose no press on the rest of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.scriptrunner import RerunData, RerunException, get_script_run_ctx

P = ParamSpec("P")


def fragment(*, run_every: float | None = None) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Decorate a part of a page that runs alone, as ``st.fragment`` does; the whole page runs where more than it was changed.

    Streamlit's browser sends what changes in one turn of its loop as one request, for the fragment if any of it is in one. A brain that
    tells where it was turned to while a menu is pressed would keep the page from what was chosen there.

    Parameters
    ----------
    run_every : seconds after which it runs by itself; None: never.
    """

    def decorate(function: Callable[P, None]) -> Callable[P, None]:
        @wraps(function)
        def part(*args: P.args, **kwargs: P.kwargs) -> None:
            _run_the_page_if_more_changed()
            function(*args, **kwargs)

        return st.fragment(part, run_every=run_every)  # noqa: TID251

    return decorate


def _run_the_page_if_more_changed() -> None:
    """Stop a run of fragments alone for one of the page, if the browser sent a change of a widget that is in none of them.

    What was pressed is still pressed in the page's run, and its callback is not called again.
    """
    context = get_script_run_ctx()
    if not context or not context.fragment_ids_this_run:
        return
    state = context.session_state._state  # Streamlit tells what changed, and takes what is pressed, nowhere else
    widgets = state._new_widget_state
    changed = [widgets.widget_metadata.get(name) for name in widgets if state._widget_changed(name)]
    if any(each is not None and each.fragment_id not in context.fragment_ids_this_run for each in changed):
        whole_page = RerunData(
            query_string=context.query_string,
            page_script_hash=context.page_script_hash,
            cached_message_hashes=context.cached_message_hashes,
            context_info=context.context_info,
            replay_trigger_states=WidgetStates(widgets=state.get_widget_states()),
        )
        raise RerunException(whole_page)
