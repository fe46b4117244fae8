"""Compare: the chosen fits as a group of subjects."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from encoding import Result, plots
from encoding.analysis.columns import TITLES, titled
from encoding.analysis.group import NotAGroup, across_refusal, check_group, group_maps, group_table, stored_across, subject_name
from encoding.analysis.significance import stored_significance
from encoding.analysis.subject_similarity import shared_refusal, stored_subject_similarity
from encoding.evaluation.scores import SCORES
from encoding.plots.brain.score_maps import group_brain
from encoding.plots.score_axis import axis_title
from encoding.runs.labels import parts_label, side_label
from encoding.runtime.csv import to_csv
from pages.parts.explore.statistics import ask_for, show_table
from pages.parts.shared.brain_component import brain_view
from pages.parts.shared.chart import chart, origin
from pages.parts.shared.text import file_stem, plain

HOW = (
    "A bar is the mean over subjects, a dot one subject. Whiskers are the 95 % interval of the mean over subjects: they say how much it "
    "would differ with other subjects, and of two or three subjects they are wide."
)
HOW_RSA = (
    "A bar is the mean over subjects of the correlation of a layer's distances with the subject's. The band is the noise ceiling: each "
    "subject with the mean of the others, up to each with the mean of all. No model can be above the band; one inside it explains all that "
    "subjects share."
)
MAPS = {"mean": "Mean", "n_above": "Subjects above the threshold", "n_subjects": "Subjects with this vertex"}


def group_panel(results: Mapping[str, Result], score: str, statistic: str) -> None:
    """Show the chosen fits as one group, or why they are none, where each is of another subject; nothing otherwise."""
    fits = list(results.values())
    try:
        check_group(fits)
    except NotAGroup as why:
        if 1 < len(set(map(subject_name, fits))) == len(fits):
            st.caption(plain(why))
        return
    with st.expander(f"As a group of {len(fits)} subjects", key="group", on_change="rerun") as opened:
        if opened.open:
            _bars(fits, score, statistic)
            _maps(fits, score)
            _across(fits)
            _rsa(fits)


def _bars(fits: list[Result], score: str, statistic: str) -> None:
    if any(score not in each.score_names for each in fits):
        st.caption(f"Not every subject has {SCORES[score].short}, so it cannot be averaged.")
        return
    table = group_table(fits, score, statistic)
    figure = plots.group_bars(table, title=axis_title(score, statistic))
    source = " | ".join(map(origin, fits))
    chart(figure, "group_bars", alt=f"{SCORES[score].short} of every region, mean and spread over subjects", how=HOW, source=source)
    show_table(table[table["n_subjects"] > 0], "mean and spread over subjects of every region")
    name = file_stem("group", score, statistic, keys=[each.key for each in fits])
    st.download_button("Table (CSV)", to_csv(titled(table)), f"{name}.csv", "text/csv", key="group_csv", on_click="ignore")


def _maps(fits: list[Result], score: str) -> None:
    left, right = st.columns(2)
    shown = left.segmented_control("Map", list(MAPS), format_func=MAPS.get, default="mean", key="group_map", required=True)
    tested = all(each.has_data and stored_significance(each) is not None for each in fits)
    by_test = right.toggle(
        "Significant (q ≤ .05)", key="group_significant", disabled=not tested, help="By the permutation test of Explore."
    )
    threshold = right.number_input("Threshold of the score", value=0.1, step=0.05, key="group_threshold", disabled=by_test and tested)
    try:
        maps = group_maps(fits, score, threshold=None if by_test and tested else threshold)
    except (NotAGroup, ValueError) as why:
        st.caption(plain(str(why)))
        return
    if not maps:
        return
    title = {"mean": f"{SCORES[score].short}, mean over subjects"}.get(shown, MAPS[shown])
    quantity = f"mean {SCORES[score].short}" if shown == "mean" else "subjects"
    brain_view(group_brain(maps, shown, n_subjects=len(fits), title=title, quantity=quantity), key="group_brain", height=360)
    st.caption("Each subject has vertices of its own: a mean is over the subjects that have the vertex; point at one to read how many.")


def _across(fits: list[Result]) -> None:
    st.markdown("**A model of one subject, tested on another**")
    if why := next((why for each in fits if (why := across_refusal(each))), ""):
        st.caption(plain(why))
        return
    table = stored_across(fits)
    if table is None:
        takes = f"{len(fits) ** 2} pairs of {', '.join(map(subject_name, fits))}; each subject's stimuli pass through the network once."
        ask_for("across", fits, takes=plain(takes))
        return
    show_table(table, "each subject's model tested on each subject, for every region")
    st.caption(
        "Shared vertices are those of fsaverage that both subjects have. Stimuli that the model was trained on are left out, and r is the "
        "mean of the folds' r."
    )


def _rsa(fits: list[Result]) -> None:
    st.markdown("**RSA over subjects, and its noise ceiling**")
    if why := shared_refusal(fits):
        st.caption(plain(why))
        return
    table = stored_subject_similarity(fits)
    if table is None:
        takes = f"Distances of the stimuli that all {len(fits)} subjects saw, in every layer and region: some seconds to minutes."
        ask_for("subject_similarity", fits, takes=takes)
        return
    table = table[table["rsa_subjects"].notna()]
    hemis = list(dict.fromkeys(table["hemi"]))
    if not hemis:
        st.caption("No region is there in two subjects.")
        return
    hemi = st.segmented_control(parts_label(hemis), hemis, default=hemis[0], key="group_rsa_hemi", required=True, format_func=side_label)
    rows = table[table["hemi"] == hemi]
    figure = plots.similarity_bars(rows, "rsa_subjects", title=TITLES["rsa_subjects"])
    alt = "RSA of every region and layer, the mean over subjects, with the noise ceiling over subjects"
    chart(figure, "group_rsa", alt=alt, how=HOW_RSA, source=" | ".join(map(origin, fits)))
    show_table(rows.drop(columns="hemi"), alt)
