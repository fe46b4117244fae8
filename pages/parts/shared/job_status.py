"""How many jobs run and wait, in the sidebar of every page."""

from __future__ import annotations

import streamlit as st

from pages.parts.shared.fragment import fragment
from pages.parts.shared.links import view
from pages.parts.shared.server_state import experiments, jobs

SECONDS_BETWEEN_LOOKS = 3.0


def job_status() -> None:
    """Link to the jobs under way from the sidebar of every page; nothing while there are none."""
    with st.sidebar.container(key="job_status"):
        if _counts() != (0, 0):
            _watch()


@fragment(run_every=SECONDS_BETWEEN_LOOKS)
def _watch() -> None:
    n_running, n_waiting = _counts()
    if not n_running + n_waiting:
        return
    texts = [f"{n} {what}" for n, what in ((n_running, "running"), (n_waiting, "waiting")) if n]
    st.page_link(view("cache"), label=f"**{', '.join(texts)}**", icon=":material/autorenew:")


def _counts() -> tuple[int, int]:
    """Number of running and of waiting jobs of this server; an experiment counts as one."""
    under_way = [job for job in jobs().all() if not job.finished]
    n_running = sum(job.state == "running" for job in under_way)
    n_grids = sum(not state.finished for state in experiments().all().values())
    return n_running + n_grids, len(under_way) - n_running
