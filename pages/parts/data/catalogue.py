"""Open data sets on the Data page: which there are, and the button that fetches one in the background."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from encoding import DATASETS
from encoding.datasets import data_dir
from encoding.datasets.catalogue import Entry, entries
from encoding.datasets.catalogue.fetch import is_fetched
from encoding.jobs.tasks import FetchRequest, fetch_data
from pages.parts.shared.access import change_button, is_shared, may_change
from pages.parts.shared.job_progress import follow
from pages.parts.shared.links import view
from pages.parts.shared.server_state import jobs
from pages.parts.shared.text import plain


def catalogue_panel() -> None:
    """Show the table "Which data could I use?", and fetch one of them."""
    known = {entry.name: entry for entry in entries()}
    free = sum(not entry.form for entry in known.values())
    with st.expander(
        f"**Which data could I use?** Open data sets that can be fetched: {free}.",
        key="catalogue",
        on_change="rerun",
        bind="query-params",
    ) as opened:
        if not opened.open:
            return
        rows = pd.DataFrame([entry.row for entry in known.values()])
        rows.insert(1, "here", [", ".join(_subjects_here(entry)) for entry in known.values()])
        st.dataframe(rows, hide_index=True, alt="open data sets: what each needs, its size and licence, and what of it was tried")
        st.caption("Your own data need no download: a folder with a `dataset.toml` is a data set.")
        name = st.selectbox(
            "Fetch", list(known), key="fetch_name", bind="query-params", index=None, placeholder="Choose a data set", format_func=str
        )
        if name:
            _fetch_panel(known[name])


def _fetch_panel(entry: Entry) -> None:
    st.markdown(f"**{plain(entry.title)}.** {plain(entry.about)} {plain(entry.shows)}")
    if entry.form:
        st.info(f"It is not fetched: {plain(entry.form)}")
        return
    subjects = st.multiselect("Subjects", entry.subjects, default=entry.subjects[:1], key=f"fetch_subjects_{entry.name}")
    parts = ()
    if entry.parts:
        parts = st.multiselect(
            "Parts",
            list(entry.parts),
            default=entry.default_parts,
            key=f"fetch_parts_{entry.name}",
            help="\n\n".join(f"**{plain(part)}** {plain(about)}" for part, about in entry.parts.items()),
        )
    n_fetched, n_made = entry.sizes(subjects, parts)
    st.markdown(
        f"Downloads **{n_fetched / 1e6:,.0f} MB**, which become {n_made / 1e6:,.0f} MB in `{data_dir() / entry.name}`. "
        f"**Licence** {plain(entry.licence)} **Cite** {plain(entry.citation)}"
    )
    st.caption(plain(entry.seen))
    key = f"fetch-{entry.name}"
    job = jobs().get(key)
    running = job is not None and not job.finished
    if not may_change():
        st.info("This server only shows what is there. Its operator can fetch data.")
    else:
        stimuli = _stimuli(entry)
        agreed = not entry.terms or st.checkbox(
            f"I agree to these terms: {plain(entry.terms)}", key=f"fetch_agreed_{entry.name}", disabled=running
        )
        request = FetchRequest(entry.name, tuple(subjects), tuple(parts), stimuli, confirmed=agreed)
        change_button(
            "Fetch",
            key="fetch_data",
            type="primary",
            on_click=lambda: jobs().submit(fetch_data, request, key=key),
            disabled=running or not agreed or not subjects or bool(entry.parts and not parts) or bool(entry.stimuli and not stimuli),
        )
    if job is not None:
        follow(key, cancel="cancel_fetching")
        if job.state in ("failed", "cancelled"):
            st.caption("What arrived is kept: **Fetch** goes on from there.")
    if entry.name in DATASETS:
        st.page_link(view("data"), label=f"See {entry.title}", query_params={"dataset": entry.name})


def _stimuli(entry: Entry) -> str:
    """The folder of stimuli that the user has; empty where none is needed, given or allowed."""
    if not entry.stimuli:
        return ""
    if is_shared():
        st.info(f"It needs a folder of stimuli, and this server opens no path that is typed here. {plain(entry.stimuli)}")
        return ""
    return st.text_input("Folder of your stimuli", key=f"fetch_stimuli_{entry.name}", help=plain(entry.stimuli)).strip()


def _subjects_here(entry: Entry) -> list[str]:
    return [subject for subject in entry.subjects if is_fetched(entry, subject)]
