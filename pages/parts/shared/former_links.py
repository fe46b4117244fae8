"""Links of earlier releases: their parameters are read under today's names for one release, and the page says so."""

from __future__ import annotations

import streamlit as st

FORMER_PARAMETERS = {"focus": "target_groups", "company": "extra_subjects"}  # name in the first release to today's


def read_former_parameters() -> None:
    """Rename the query parameters of a link from an earlier release, before any widget reads them."""
    former = [name for name in FORMER_PARAMETERS if name in st.query_params]
    for name in former:
        values = st.query_params.get_all(name)
        del st.query_params[name]
        if FORMER_PARAMETERS[name] not in st.query_params:
            st.query_params[FORMER_PARAMETERS[name]] = values
    if former:
        renamed = ", ".join(f"{name} is now {FORMER_PARAMETERS[name]}" for name in former)
        st.toast(f"This link is of an earlier release ({renamed}). It works in this release only; copy the address again.")
