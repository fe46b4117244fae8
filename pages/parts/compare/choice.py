"""Which fits the Compare page compares, by its link or its menus, and what they are called in charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from encoding import Result
from encoding.runs.table import newest_pair, short_name
from encoding.runtime.registry import unknown
from pages.parts.shared.baseline import pinned_key
from pages.parts.shared.fit_names import fit_names
from pages.parts.shared.runs_table import MOST_COMPARED
from pages.parts.shared.server_state import opened_run
from pages.parts.shared.text import plain


def choose_runs(table: pd.DataFrame) -> tuple[str, ...]:
    """Choose the fits to compare (``a`` and ``b`` of the link) and return their keys, A first; may be fewer than two."""
    names = {row["key"]: short_name(row) for row in table.to_dict("records")}
    _follow_link(names)
    pinned = pinned_key()
    if "a" not in st.query_params and ("compare_a" not in st.session_state or pinned != st.session_state.get("_compare_pin")):
        st.session_state["compare_a"], st.session_state["compare_b"] = newest_pair(table, first=pinned)
    st.session_state["_compare_pin"] = pinned
    for key in ("compare_a", "compare_b"):  # one that was removed meanwhile
        kept = st.session_state.get(key)
        if key == "compare_a" and kept not in names:
            st.session_state[key] = None
        elif key == "compare_b":
            st.session_state[key] = [name for name in kept or [] if name in names]
    left, middle, right = st.columns([7, 2, 7], vertical_alignment="bottom")
    first = left.selectbox(
        "A", list(names), format_func=names.get, key="compare_a", persist_state="session", placeholder="Choose a fit",
        help="The fit that the others are held against.",
    )  # fmt: skip
    middle.button("Swap", key="swap", icon=":material/swap_horiz:", help="A becomes B, and B becomes A.", width="stretch", on_click=_swap)
    others = right.multiselect(
        "B, C …", [key for key in names if key != first], format_func=names.get, key="compare_b", persist_state="session",
        max_selections=MOST_COMPARED - 1, placeholder="Choose one or more fits", help="Differences are theirs minus those of A.",
    )  # fmt: skip
    _write_link(first, others)
    return (first, *others) if first else ()


def _swap() -> None:
    """Callback: A and B change places."""
    first, others = st.session_state["compare_a"], st.session_state["compare_b"]
    if first and others:
        st.session_state["compare_a"], st.session_state["compare_b"] = others[0], [first, *others[1:]]


def _follow_link(names: Mapping[str, str]) -> None:
    """Choose what a link names. The widgets are not bound to the URL, where their labels would stand instead of keys."""
    linked = (st.query_params.get("a"), tuple(st.query_params.get_all("b")))
    if linked == st.session_state.get("_compare_link") or linked == (None, ()):
        return
    st.session_state["_compare_link"] = linked
    for key in [key for key in (linked[0], *linked[1]) if key and key not in names]:
        known = plain(unknown("fit", key, names, show=3))
        st.warning(f"The link asks for a fit that is not here. {known} Whoever has it can export it on Jobs & storage.")
    if linked[0] in names:
        st.session_state["compare_a"] = linked[0]
    st.session_state["compare_b"] = [key for key in dict.fromkeys(linked[1]) if key in names and key != linked[0]]


def _write_link(first: str | None, others: Sequence[str]) -> None:
    now = (first, tuple(others))
    if now != (st.query_params.get("a"), tuple(st.query_params.get_all("b"))):
        st.session_state["_compare_link"] = now
        for name, value in (("a", first), ("b", list(others))):
            if value:
                st.query_params[name] = value
            else:
                st.query_params.pop(name, None)


def open_all(keys: Sequence[str]) -> dict[str, Result]:
    """Open the chosen fits, by letter; shows an error for each that cannot be opened."""
    results = {}
    for letter, key in zip("ABCDEF", keys, strict=False):
        result = opened_run(key)
        if isinstance(result, str):
            st.error(f"{letter}: {plain(result)}")
        else:
            results[letter] = result
    return results


def names_of(results: Mapping[str, Result]) -> dict[str, str]:
    """Letter of each fit to its name in charts: the letter and :func:`fit_names`."""
    return {letter: f"{letter} · {name}" for letter, name in fit_names(results).items()}
