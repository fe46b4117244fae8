"""Fits that were finished last, each a link to Explore."""

from __future__ import annotations

import streamlit as st

from encoding.runs.table import newest_pair, short_name, tested
from pages.parts.shared.links import stored_query, view
from pages.parts.shared.runs_table import runs_table
from pages.parts.shared.text import plain

MOST = 5


def recent_fits() -> None:
    """List the fits that were computed here last, and a link that compares the two newest; nothing before there is one."""
    table = tested(runs_table())
    rows = table[~table["imported"]].head(MOST).to_dict("records")
    linked = [(row, query) for row in rows if (query := stored_query(row["key"])) is not None]
    if not linked:
        return
    st.header("Recent fits", anchor=False)
    with st.container(gap="xxsmall", key="recent"):
        for row, query in linked:
            st.page_link(view("explore"), label=plain(short_name(row)), query_params=query)
    older, newer = newest_pair(table)
    if newer and view("compare") is not None:
        st.page_link(view("compare"), label="**Compare the two newest**", query_params={"a": older, "b": newer[0]})
