"""Explore: fit one encoding model and inspect its scores, brain map, predictions and training."""

import streamlit as st

from pages.parts.explore.composed import linked_fit, members_panel
from pages.parts.explore.fitting import Shown, choose_fit, find_shown
from pages.parts.explore.layout import STALE, STYLE, question, scores_panel, summary
from pages.parts.explore.search_panel import search_panel
from pages.parts.explore.statistics import statistics_panels
from pages.parts.shared.fit_controls import control_names
from pages.parts.shared.job_progress import say_no_test_score
from pages.parts.shared.link_notes import expect, stop
from pages.parts.shared.recent_fits import recent_fits
from pages.parts.shared.server_state import roi_table, settle

LOOKED = ("start", "fit", "roi", "vertex", "score", "over", "part", "groups", "surface", "outlines", "colours", "hide")

st.html(STYLE)
title = st.container(gap="xsmall")
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
    scores_panel(shown, table)
    if not composed:
        statistics_panels(result)
if not composed and spec is not None:
    search_panel(spec)
settle("a fit is shown")
