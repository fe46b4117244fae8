"""The Data page's choice of a subject, its opening, and the doctor."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from encoding import DATASETS, FitSpec
from encoding.datasets import data_dir
from encoding.datasets.doctor import Finding
from encoding.datasets.doctor.cached import findings_key, folder_state, kept_findings
from encoding.jobs.tasks import examine, open_subject
from encoding.runtime.registry import unknown
from encoding.storage.keys import digest
from pages.parts.shared.access import may_change
from pages.parts.shared.badges import SIMULATED
from pages.parts.shared.job_progress import follow
from pages.parts.shared.server_state import SECONDS_BETWEEN_LOOKS, jobs, opened, store
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

ICONS = {"ok": ":green[:material/check_circle:]", "warning": ":orange[:material/warning:]", "error": ":red[:material/error:]"}


def choose_dataset() -> str:
    """The name of the data set, from the sidebar."""
    abouts = "\n\n".join(f"**{plain(name)}** {plain(known.title)}. {plain(known.about)}" for name, known in DATASETS.items())
    return _choose("Dataset", "dataset", list(DATASETS), help=abouts)


def open_shown(name: str) -> SubjectView | None:
    """The chosen subject of a data set; while there is none, or it was never opened, that is said and None returned."""
    known = DATASETS[name]
    if not known.subjects():
        st.info(f"No subject of {plain(known.title)} can be opened. {plain(known.where())}")
        return None
    chosen = _choose("Subject", "subject", list(known.subjects()))
    key = digest("open", 1, dataset=name, subject=chosen)
    job = jobs().get(key)
    try:
        subject = opened(name, chosen)
    except (LookupError, ValueError, OSError) as wrong:
        st.error(plain(wrong))
        return None
    if subject is not None:
        return SubjectView(known, subject)
    st.info("This subject was not opened before. The first time every file is read once, in the background, and checked.")
    if may_change() and (job is None or job.finished):
        st.button("Open it", key="open", type="primary", on_click=lambda: jobs().submit(open_subject, (name, chosen), key=key))
    follow(key, missing="what it read of this subject")
    return None


def _choose(label: str, key: str, options: list[str], **more: str) -> str:
    asked = st.query_params.get(key)
    if asked is not None and asked not in options:  # Streamlit drops it without a word
        st.warning(f"The link asks for something that is not here. {plain(unknown(label.lower(), asked, options))}")
    start = getattr(FitSpec(), key)
    index = options.index(start) if start in options else 0
    return st.sidebar.selectbox(label, options, index=index, key=key, bind="query-params", **more)


def headline(shown: SubjectView) -> None:
    """What the subject holds, in a line."""
    subject, dataset = shown.subject, shown.dataset
    if subject.simulated and not dataset.simulated:
        st.markdown(f"{SIMULATED} These files say that a simulation wrote them.")
    n_vertices = sum(values.shape[1] for values in subject.responses.values())
    st.caption(
        f"{subject.n_stimuli:,} {shown.what} with responses of {subject.unit.count(n_vertices)}, "
        f"{len(subject.unlabelled):,} {shown.what} without. "
        f"Its own split: `{dataset.split}`. {plain(dataset.where())}"
    )


def doctor_panel(name: str) -> None:
    """What the doctor found in a data set's folder, and the button that sends for him; nothing where there is no folder."""
    folder = data_dir() / name
    if not folder.is_dir():
        return
    key = digest("examine", 1, dataset=name)
    job = jobs().get(key)
    state = _folder_state(str(folder), job.state if job else "")
    found = kept_findings(state, store())
    with st.expander(f"**Is anything wrong with it?** {_summary(found)}", key="doctor", on_change="rerun", bind="query-params") as opened:
        if not opened.open:
            return
        running = job is not None and not job.finished
        if may_change():
            st.button(
                "Examine again" if found else "Examine",
                key="examine",
                on_click=lambda: jobs().submit(examine, name, key=key),
                disabled=running,
                help="Reads every file of the data set once, in the background; what is learnt is remembered.",
            )
        if job is not None and (job.state != "done" or found is None):
            follow(key, cancel="cancel_examining", missing="what was found")
        if found:
            st.table(_findings_table(found))
            examined = (store().provenance(findings_key(state)) or {}).get("created", "")[:16].replace("T", " ")
            st.caption(f"Examined {examined} (UTC), and no file has changed since. `python -m encoding doctor {folder}` says the same.")


@st.cache_data(ttl=SECONDS_BETWEEN_LOOKS, max_entries=16, show_spinner=False)
def _folder_state(folder: str, after: str) -> str:
    return folder_state(Path(folder))


def _summary(found: list[Finding] | None) -> str:
    if found is None:
        return "Not examined yet, or files have changed since."
    levels = {level: sum(finding.level == level for finding in found) for level in ICONS}
    return " · ".join(f"{ICONS[level]} {number} {level}" for level, number in levels.items())


def _findings_table(found: list[Finding]) -> pd.DataFrame:
    worst_first = sorted(found, key=lambda finding: -[*ICONS].index(finding.level))
    columns = {
        "level": [f"{ICONS[each.level]}\N{NO-BREAK SPACE}{each.level}" for each in worst_first],
        "finding": [each.what for each in worst_first],
    }
    columns |= {"what it means": [each.meaning for each in worst_first], "how to fix it": [each.fix for each in worst_first]}
    return pd.DataFrame({name: texts for name, texts in columns.items() if any(texts)}).set_index("level")
