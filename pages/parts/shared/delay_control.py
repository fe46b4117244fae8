"""The control of delays, for data whose rows are samples of runs."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from encoding.runtime.wording import counted
from pages.parts.shared.linked import enter
from pages.parts.shared.server_state import subject_runs


def has_delays(dataset: str, subject: str) -> bool:
    """Whether the control is shown: the rows of the subject are samples of runs, or a link names delays."""
    return "delays" in st.query_params or subject_runs(dataset, subject)[0] > 0


def delay_control(dataset: str, subject: str, place: DeltaGenerator | None) -> str:
    """Choose delays in samples, as ``FitSpec.delays`` takes them; empty for none."""
    n_runs, tr = subject_runs(dataset, subject)
    rows = f"Rows are samples of {counted(n_runs, 'run')}{f', one every {tr:g} s' if tr else ''}. " if n_runs else ""
    return enter(
        "Delays",
        "delays",
        place=place,
        placeholder="none",
        help=f"{rows}Features of so many samples before enter side by side, so that the fit finds the haemodynamic lag: 1,2,3,4 with a TR "
        "of 2 s. Of several sets, 1,2,3/2,3,4, each fold takes the one of highest cross-validated r. Empty: features of the same sample.",
    )
