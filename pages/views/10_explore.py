"""Explore: fit one encoding model and inspect its scores, brain map, predictions and training."""

import streamlit as st

from pages.parts.explore.composed import linked_fit, members_panel
from pages.parts.explore.fitting import Shown, choose_fit, find_shown
from pages.parts.explore.layout import STALE, STYLE, links_onward, look_at, question, summary, tabs
from pages.parts.explore.panels import brain_panel
from pages.parts.explore.search_panel import search_panel
from pages.parts.explore.selection import focus_controls
from pages.parts.explore.statistics import statistics_panels
from pages.parts.shared.fit_controls import control_names
from pages.parts.shared.job_progress import say_no_test_score
from pages.parts.shared.link_notes import expect, stop
from pages.parts.shared.recent_fits import recent_fits
from pages.parts.shared.score_choice import score_choice
from pages.parts.shared.server_state import roi_table, settle

LOOKED = ("start", "fit", "roi", "vertex", "score", "over", "part", "groups", "surface", "outlines", "colours", "hide")

st.html(STYLE)
title = st.container(gap="xsmall")
notes = st.container(gap="xsmall")
expect((*control_names(), *LOOKED))
composed = "fit" in st.query_params
if composed:
    result = linked_fit(st.query_params["fit"])
    shown, spec = result and Shown(result), result and result.plan.spec
else:
    spec = choose_fit()
    shown = find_shown(spec)
if spec is not None:
    question(title, spec, shown)
if shown is None:
    if spec is not None and not composed:
        recent_fits()
        search_panel(spec)
    stop()

result = shown.result
with st.container(key="result"):
    st.html("<style></style>" if shown.current else STALE)
    if not result.plan.has_test:
        say_no_test_score(result)
        if composed:
            members_panel(result)
        stop()
    table = roi_table(result)
    summary(result, table)
    region, vertex, score_place, display = look_at()
    display = display.popover("Display", width="stretch", help="Mean or median, and the brain's surface, outlined regions and colours.")
    focus = focus_controls(result, table, (region, vertex), warn=notes)
    score, statistic = score_choice([result], score_key="score", statistic_key="over", places=(score_place, display))
    left, right = st.columns(2, gap="medium")
    with left, st.container(key="brain_place", gap="xsmall"):
        brain = brain_panel(result, focus, score, display)
        links_onward(result, focus)
    with right:
        tabs(shown, table, focus, score=score, statistic=statistic, brain=brain)
    if not composed:
        statistics_panels(result)
if not composed and spec is not None:
    search_panel(spec)
settle("a fit is shown")
