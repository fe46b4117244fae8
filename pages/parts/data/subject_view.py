"""Choice and opening of a subject on the Data page, and the check of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from encoding import DATASETS
from encoding.datasets import data_dir
from encoding.datasets.doctor import Finding
from encoding.datasets.doctor.cached import findings_key, folder_state, kept_findings
from encoding.jobs.tasks import examine, open_subject
from encoding.runs.labels import dataset_label, split_label, subject_label
from encoding.storage.keys import digest
from pages.parts.shared.absent_data import absent_data
from pages.parts.shared.access import may_change
from pages.parts.shared.badges import simulated_badge
from pages.parts.shared.brain_component import Selection
from pages.parts.shared.job_progress import follow
from pages.parts.shared.linked import choose
from pages.parts.shared.server_state import SECONDS_BETWEEN_LOOKS, jobs, opened, opening_key, store
from pages.parts.shared.start import START
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

ICONS = {"ok": ":green[:material/check_circle:]", "warning": ":orange[:material/warning:]", "error": ":red[:material/error:]"}


def choose_dataset() -> str:
    """Choose a data set in the sidebar and return its name."""
    abouts = "\n\n".join(f"**{plain(name)}** {plain(known.title)}. {plain(known.about)}" for name, known in DATASETS.items())
    return choose("Data", "dataset", list(DATASETS), START.dataset, labels=dataset_label, help=abouts, place=st.sidebar)


def open_shown(name: str) -> SubjectView | None:
    """Choose and open a subject of a data set; None, with a message, while there is none."""
    known = DATASETS[name]
    if not known.subjects():
        absent_data(name)
        return None
    chosen = choose("Subject", "subject", list(known.subjects()), START.subject, labels=subject_label, place=st.sidebar)
    key = opening_key(name, chosen)
    job = jobs().get(key)
    try:
        subject = opened(name, chosen)
    except (LookupError, ValueError, OSError) as wrong:
        st.error(plain(wrong))
        return None
    if subject is not None:
        return SubjectView(known, subject)
    how = "Every file is read once, in the background, and checked."
    st.info(
        f"This subject was not opened before, or its files have changed. {how if may_change() else 'This server only shows what is there.'}"
    )
    if may_change() and (job is None or job.finished):
        st.button("Open it", key="open", type="primary", on_click=lambda: jobs().submit(open_subject, (name, chosen), key=key))
    follow(key, missing="what it read of this subject")
    return None


def headline(subject_view: SubjectView) -> None:
    """Show the subject's contents in one line."""
    subject, dataset = subject_view.subject, subject_view.dataset
    n_vertices = sum(values.shape[1] for values in subject.responses.values())
    without = f", {len(subject.unlabelled):,} more without responses" if len(subject.unlabelled) else ""
    title = f"{simulated_badge(dataset.name, subject)}{plain(dataset.title)}"
    st.markdown(
        f":small[{title}: responses of {subject.unit.count(n_vertices)} to {subject.counted(subject_view.what)}"
        f"{without}. Split: {plain(split_label(dataset.split))}. {plain(dataset.about)}]"
    )


def doctor_panel(name: str) -> None:
    """Show the findings of the data set doctor and the button that runs it; nothing where there is no folder."""
    folder = data_dir() / name
    if not folder.is_dir():
        return
    key = digest("examine", 1, dataset=name)
    job = jobs().get(key)
    state = _folder_state(str(folder), job.state if job else "")
    findings = kept_findings(state, store())
    with st.expander(
        f"**Is anything wrong with it?** {_summary(findings)}", key="doctor", on_change="rerun", bind="query-params"
    ) as opened:
        if not opened.open:
            return
        running = job is not None and not job.finished
        if may_change():
            st.button(
                "Examine again" if findings else "Examine",
                key="examine",
                on_click=lambda: jobs().submit(examine, name, key=key),
                disabled=running,
                help="Reads every file of the data set once, in the background; what is learnt is remembered.",
            )
        if job is not None and (job.state != "done" or findings is None):
            follow(key, cancel="cancel_examining", missing="what was found")
        if findings:
            st.table(_findings_table(findings))
            examined = (store().provenance(findings_key(state)) or {}).get("created", "")[:16].replace("T", " ")
            st.caption(f"Examined {examined} (UTC), and no file has changed since. `python -m encoding doctor {folder}` says the same.")


@st.cache_data(ttl=SECONDS_BETWEEN_LOOKS, max_entries=16, show_spinner=False)
def _folder_state(folder: str, after: str) -> str:
    return folder_state(Path(folder))


def _summary(findings: list[Finding] | None) -> str:
    if findings is None:
        return "Not examined yet, or files have changed since."
    levels = {level: sum(finding.level == level for finding in findings) for level in ICONS}
    return " · ".join(f"{ICONS[level]} {number} {level}" for level, number in levels.items())


def _findings_table(findings: list[Finding]) -> pd.DataFrame:
    worst_first = sorted(findings, key=lambda finding: -[*ICONS].index(finding.level))
    columns = {
        "level": [f"{ICONS[each.level]}\N{NO-BREAK SPACE}{each.level}" for each in worst_first],
        "finding": [each.what for each in worst_first],
    }
    columns |= {"what it means": [each.meaning for each in worst_first], "how to fix it": [each.fix for each in worst_first]}
    return pd.DataFrame({name: texts for name, texts in columns.items() if any(texts)}).set_index("level")


def tabs(subject_view: SubjectView, vertex: Selection | None) -> Sequence[Any]:
    """Tabs of stimuli, regions, responses, and the chosen vertex; a vertex that was just chosen opens its own."""
    names = ["Stimuli", "Regions", "Responses", subject_view.subject.unit.one.capitalize()]
    before, st.session_state["_vertex_before"] = st.session_state.get("_vertex_before"), vertex
    if vertex is not None and vertex != before and "tab" not in st.query_params:
        st.session_state["tab"] = names[-1]
    elif st.session_state.get("tab") not in (None, *names):  # of a subject with another unit
        st.session_state["tab"] = names[0]
    return st.tabs(names, key="tab", bind="query-params", on_change="rerun")
