"""A composed fit on the Explore page: what it is made of, and which members answer for each vertex."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from encoding import Result
from encoding.fits.composition import ComposedResult
from encoding.jobs.tasks import compute_intervals
from pages.parts.shared.access import may_change
from pages.parts.shared.job_progress import follow
from pages.parts.shared.links import explore_address, explore_query, view
from pages.parts.shared.server_state import jobs, opened_run, stored_intervals
from pages.parts.shared.text import plain


def linked_fit(key: str) -> ComposedResult | None:
    """Open the composed fit that a link names; None after an error. A link to another fit becomes its settings on the controls."""
    with st.sidebar:
        st.page_link(view("explore"), label="Fit a model of your own", icon=":material/arrow_back:")
    result = opened_run(key)
    if isinstance(result, str):
        st.error(plain(result))
        return None
    if isinstance(result, ComposedResult):
        return result
    if result.provenance.get("made_from", {}).get("imported"):
        st.info("This fit was imported. Compare shows its scores, and Predict uses its models.")
        st.page_link(view("compare"), label="Compare it", query_params={"a": result.key})
        return None
    st.query_params.from_dict(explore_query(result.plan.spec))
    return st.rerun()


def members_panel(result: ComposedResult) -> None:
    """List the members with their share of the weights and links to each, and say what is to be found there."""
    st.header("What it is made of", anchor=False)
    st.dataframe(
        members_table(result),
        hide_index=True,
        key="members",
        column_config={
            "link": st.column_config.LinkColumn("", display_text="Open", width="small"),
            "weight": st.column_config.NumberColumn("share of weights", format="percent", help="Mean weight over vertices and folds."),
            "largest": st.column_config.NumberColumn("vertices", help="Of which it has the largest weight, in the first fold."),
            "mean_r": st.column_config.NumberColumn("mean r alone", format="%.3f"),
        },
        alt="the members of this composed fit",
    )
    st.caption(
        "Each member was trained by itself: its learning curve, losses, components, layers' shares and parameters are on its own page. "
        f"Made by: `{result.plan.spec.command or 'encoding.experiments.compose'}`"
    )


def members_table(result: ComposedResult) -> pd.DataFrame:
    """A row for each member: network, layers, readout, weights and its own mean r over all vertices."""
    hemis = result.plan.hemis
    largest = np.concatenate([result.member_of(hemi)[np.isfinite(result.score(hemi))] for hemi in hemis])
    rows = []
    for number, member in enumerate(result.members):
        spec = member.plan.spec
        options = " ".join(f"{name}={value}" for name, value in spec.options)
        rows.append(
            {
                "link": explore_address(spec),
                "backbone": spec.backbone,
                "layers": " + ".join(spec.layers),
                "readout": f"{spec.readout} {options}".strip(),
                "weight": float(np.concatenate([result.weights[hemi][:, number] for hemi in hemis], axis=1).mean()),
                "largest": int((largest == number).sum()),
                "mean_r": float(np.nanmean(np.concatenate([member.score(hemi) for hemi in hemis]))),
                "key": member.key,
            }
        )
    return pd.DataFrame(rows)


def intervals_panel(result: Result) -> None:
    """Offer to compute the intervals of a composed fit where they are missing."""
    if stored_intervals(result) is not None:
        return
    if not may_change():
        st.caption("The bootstrap intervals of this fit were not computed, and this server computes nothing.")
        return
    st.info("The bootstrap intervals of this fit were not computed yet.")
    start = partial(jobs().submit, compute_intervals, result.key, key=result.key, planned=result.plan)
    st.button("Compute them", key="composed_intervals", on_click=start)
    follow(result.key, cancel="cancel_intervals", missing="the intervals of this fit")
