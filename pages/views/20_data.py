"""Data: what a data set holds, whether anything is wrong with it, and what was measured, by stimulus and by vertex."""

import streamlit as st

from encoding import DATASETS
from pages.parts.data.brain import brain_panel, roi_choice
from pages.parts.data.distributions import regions_panel, responses_panel
from pages.parts.data.stimuli import grid, stimulus_choice, stimulus_panel
from pages.parts.data.subject_view import choose_dataset, doctor_panel, headline, open_shown
from pages.parts.data.vertex import vertex_choice, vertex_panel
from pages.parts.shared.badges import SIMULATED
from pages.parts.shared.server_state import settle
from pages.parts.shared.text import plain

st.header("Data", anchor=False)
name = choose_dataset()
st.markdown(f"{SIMULATED + ' ' if DATASETS[name].simulated else ''}**{plain(DATASETS[name].title)}** {plain(DATASETS[name].about)}")
doctor_panel(name)
shown = open_shown(name)
if shown is None:
    st.stop()
headline(shown)
row, vertex, roi = stimulus_choice(shown), vertex_choice(shown), roi_choice(shown)

left, right = st.columns(2, gap="medium") if shown.placement else (st.container(), st.container())
with left, st.container(key="brain_place"):
    brain_panel(shown, row, vertex, roi)
with right:
    stimuli, regions, responses = st.tabs(["Stimuli", "Regions", "Responses"], key="tab", bind="query-params", on_change="rerun")
    if stimuli.open:
        with stimuli:
            grid(shown, row)
    if regions.open:
        with regions:
            regions_panel(shown, roi)
    if responses.open:
        with responses:
            responses_panel(shown)
if row is not None:
    stimulus_panel(shown, row, roi)
if vertex is not None:
    vertex_panel(shown, vertex, row)
settle("data are shown")
