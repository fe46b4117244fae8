"""Read links of earlier releases: query parameters and score names of the first release are renamed, and the page says so."""

from __future__ import annotations

import streamlit as st

from encoding.evaluation.scores import FORMER_SCORES

FORMER_PARAMETERS = {"focus": "target_groups", "company": "extra_subjects"}  # name in the first release to today's
SCORE_PARAMETERS = ("score", "layer_score")  # whose values are names of scores
FORMER_SORTS = {"mean_r": "score", "pooled_r": "score"}  # order of the table of fits


def read_former_parameters() -> None:
    """Rename the query parameters, and values that name a score, of a link from an earlier release, before any widget reads them."""
    former = [name for name in FORMER_PARAMETERS if name in st.query_params]
    for name in former:
        values = st.query_params.get_all(name)
        del st.query_params[name]
        if FORMER_PARAMETERS[name] not in st.query_params:
            st.query_params[FORMER_PARAMETERS[name]] = values
    today = {name: FORMER_PARAMETERS[name] for name in former}
    for name, names in {**dict.fromkeys(SCORE_PARAMETERS, FORMER_SCORES), "sort": FORMER_SORTS}.items():
        value = st.query_params.get(name)
        if value in names:  # the widget has read the former value from the link already, and refuses it
            st.query_params[name] = st.session_state[name] = today[value] = names[value]
    if today:
        renamed = ", ".join(f"{name} is now {other}" for name, other in today.items())
        st.toast(f"This link is of an earlier release ({renamed}). It works in this release only; copy the address again.")
