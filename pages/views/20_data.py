"""Data: what a data set holds, where it lies, and whether anything is wrong with it."""

import numpy as np
import pandas as pd
import streamlit as st

from encoding import DATASETS, FitSpec
from encoding.datasets import Subject, data_dir
from encoding.doctor import diagnose
from encoding.plan import roi_names
from encoding.registry import unknown
from pages.parts.handles import SECONDS_BETWEEN_LOOKS, store

ICONS = {"ok": "✅", "warning": "⚠️", "error": "❌"}
N_SHOWN = 6


def choose(label: str, key: str, options: list[str]) -> str:
    asked = st.query_params.get(key)
    if asked is not None and asked not in options:  # Streamlit drops it without a word
        st.warning(f"The link asks for something that is not here. {unknown(label.lower(), asked, options)}")
    start = getattr(FitSpec(), key)
    return st.selectbox(label, options, index=options.index(start) if start in options else 0, key=key, bind="query-params")


@st.cache_resource(ttl=SECONDS_BETWEEN_LOOKS, max_entries=4, show_spinner="Looking at the data …")
def opened(dataset: str, subject: str) -> Subject:
    return DATASETS[dataset].open(subject, store())


def contents(subject: Subject) -> pd.DataFrame:
    """One row for each block of responses."""
    placed = subject.vertices or {}
    rows = [
        {
            "responses": block,
            "rows": len(values),
            "vertices": values.shape[1],
            "ROIs": len(subject.rois[block]),
            "of them empty": sum(len(columns) == 0 for columns in subject.rois[block].values()),
            "on the cortex": "known" if block in placed else "voxels" if subject.sampled else "unknown",
            "noise ceiling (median)": float(np.median(subject.ceiling[block])) if subject.ceiling else None,
        }
        for block, values in subject.responses.items()
    ]
    return pd.DataFrame(rows)


def progress(fraction: float, text: str) -> None:
    bar.progress(min(1.0, fraction), text)


st.header("Data", anchor=False)
name = choose("Dataset", "dataset", list(DATASETS))
dataset, folder = DATASETS[name], data_dir() / name
st.markdown(f"**{dataset.title}** {dataset.about}")
st.caption(dataset.where())

if folder.is_dir():
    st.subheader("Is anything wrong with it?", anchor=False)
    if st.button("Examine", key="examine", help="Reads every file of the data set once; what is learnt is remembered."):
        bar = st.progress(0.0, "Examining …")
        st.session_state[f"_findings_{name}"] = diagnose(folder, store(), progress)
        bar.empty()
    if findings := st.session_state.get(f"_findings_{name}"):
        levels = {level: sum(finding.level == level for finding in findings) for level in ICONS}
        st.markdown(" · ".join(f"{ICONS[level]} {number} {level}" for level, number in levels.items()))
        st.table(
            pd.DataFrame(
                {
                    "": [ICONS[finding.level] for finding in findings],
                    "finding": [finding.what for finding in findings],
                    "what it means": [finding.meaning for finding in findings],
                    "how to mend it": [finding.mend for finding in findings],
                }
            ).set_index("")
        )

if not dataset.subjects():
    st.stop()
st.subheader("What it holds", anchor=False)
chosen = choose("Subject", "subject", list(dataset.subjects()))
try:
    if not dataset.is_ready(chosen, store()):
        st.info("This subject was not opened before. The first time every file is read once.")
        if not st.button("Open it", key="open", type="primary"):
            st.stop()
        bar = st.progress(0.0, "Opening …")
        dataset.open(chosen, store(), progress)
        st.rerun()
    subject = opened(name, chosen)
except (LookupError, ValueError, OSError) as wrong:
    st.error(str(wrong))
    st.stop()

if subject.simulated:
    st.markdown(":orange-badge[Simulated: no brain was measured]")
kind = "clips" if dataset.clips else "images"
repeats = subject.n_stimuli - len(np.unique(subject.groups))
st.markdown(
    f"{subject.n_stimuli:,} {kind} with responses, {len(subject.unlabelled):,} without. "
    + (f"Repeats: splits keep {len(np.unique(subject.groups)):,} groups of rows together. " if repeats else "")
    + f"Its own split: `{dataset.split}`."
)
st.dataframe(contents(subject), hide_index=True)
if not roi_names(subject):
    st.info("This data set names no ROIs, so there are no bars to compare.")
if subject.vertices is None and subject.sampled is None:
    st.info("This data set says nothing of where its vertices lie, so there is no brain map.")
try:
    first = range(min(N_SHOWN, subject.n_stimuli))
    st.image([subject.stimuli[i] for i in first], caption=[subject.stimuli.names[i] for i in first], width=160)
except ValueError as wrong:
    st.error(str(wrong))
