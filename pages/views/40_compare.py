"""Compare: two or more finished fits side by side, and the table of all runs."""

import streamlit as st

from pages.parts.compare.choice import choose_runs, open_all
from pages.parts.compare.group import group_panel
from pages.parts.compare.panels import (
    ask_for_intervals,
    comparisons,
    describe_runs,
    difference_panel,
    every_score_panel,
    spread_panel,
    take_away,
    verdict_panel,
)
from pages.parts.shared.access import may_change
from pages.parts.shared.link_notes import expect, stop
from pages.parts.shared.links import view
from pages.parts.shared.runs_table import notes_panel, runs_panel, runs_table
from pages.parts.shared.score_choice import score_choice
from pages.parts.shared.server_state import settle

st.title("Which of two models predicts which part of visual cortex better?", anchor=False)
expect(("a", "b", "other", "compare_score", "compare_over", "find", "tag", "sort", "runs_score", "runs_over"))
table = runs_table()
if table.empty:
    if may_change():
        st.info("Nothing was fitted yet. Fit a model or two, or import fits that somebody sent; they are compared here.")
        st.page_link(view("explore"), label="Fit a model on Explore", icon=":material/neurology:")
        st.page_link(view("cache"), label="Import a fit under Jobs & storage", icon=":material/inventory_2:")
    else:
        st.info("Nothing was fitted yet, and this server only shows what is there.")
    stop()

keys = choose_runs(table)
results = open_all(keys) if len(keys) > 1 else {}
if len(results) > 1 and "A" in results:
    verdict_place = st.container()
    ask_for_intervals(results)
    left, right = st.columns(2, gap="medium")
    places = right.columns(2, gap="small")
    score, statistic = score_choice(list(results.values()), score_key="compare_score", statistic_key="compare_over", places=places)
    compared = comparisons(results, score, statistic)
    with verdict_place:
        verdict_panel(results, compared)
    difference_panel(results, compared, left, right)
    describe_runs(results)
    every_score_panel(results)
    spread_panel(results, score)
    group_panel(results, score, statistic)
    take_away(results)
elif len(keys) < 2:
    if len(table) > 1:
        st.info("Choose two fits above, or tick two rows below.")
    else:
        st.info("There is one finished fit so far, and it takes two to compare: fit another layer, network or readout on Explore.")
        st.page_link(view("explore"), label="Explore", icon=":material/neurology:")

st.header("All runs", anchor=False)
runs_panel(table)
with st.expander("Notes and tags", key="notes", on_change="rerun") as notes:
    if notes.open:
        notes_panel(table)
settle("a fit is shown")
