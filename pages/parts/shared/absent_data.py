"""What to do about a data set that is not on this machine: where it comes from, commands to copy, and a button that simulates it."""

from __future__ import annotations

import shlex

import streamlit as st

from encoding import DATASETS
from encoding.datasets import data_dir
from encoding.jobs.tasks import SimulateRequest, simulate_data
from encoding.storage.keys import digest
from pages.parts.shared.access import change_button
from pages.parts.shared.job_progress import follow
from pages.parts.shared.server_state import jobs
from pages.parts.shared.text import plain


def absent_data(name: str) -> None:
    """Explain over the full width how a data set without subjects gets here.

    Parameters
    ----------
    name : of the data set. One that has no simulation, such as a folder of one's own, is only described.
    """
    known = DATASETS[name]
    st.header(f"{plain(known.title)} is not on this machine", anchor=False)
    st.markdown(plain(known.about))
    if not known.how_to_get():
        st.info(plain(known.where()))
        return
    real, simulated = st.columns(2, gap="medium")
    with real:
        st.markdown(f"**The measured data.** {plain(known.how_to_get())} Then examine the folder:")
        st.code(f"python -m encoding doctor {shlex.quote(str(data_dir() / name))}", language="bash", wrap_lines=True)
    if known.has_simulation:
        with simulated:
            st.markdown("**Or simulate it.** Files of the same layout; no brain is measured, and every page says so. About a minute.")
            st.code(known.simulate_command(), language="bash", wrap_lines=True)
            simulate_button(name)


def simulate_button(name: str, label: str = "Simulate it now") -> None:
    """Show the button that writes a simulated data set where it is looked for, and the progress of that; none on a read-only server."""
    request = SimulateRequest(name)
    key = digest("simulate", 1, layout=name, folder=str(data_dir()))
    job = jobs().get(key)
    change_button(
        label,
        key=f"simulate_{name}",
        type="primary",
        on_click=lambda: jobs().submit(simulate_data, request, key=key),
        disabled=job is not None and not job.finished,
    )
    follow(key, cancel=f"cancel_simulate_{name}")
