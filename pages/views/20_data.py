"""Data: contents and faults of a data set, and measured responses by stimulus and by vertex."""

import streamlit as st

from encoding import DATASETS
from encoding.analysis.tuning import kinds
from encoding.runs.labels import subject_label
from pages.parts.data.brain import LOOKED, brain_panel, roi_choice
from pages.parts.data.catalogue import catalogue_panel
from pages.parts.data.distributions import regions_panel, responses_panel
from pages.parts.data.importing import importing_panel
from pages.parts.data.stimuli import grid, stimulus_choice, stimulus_panel
from pages.parts.data.subject_view import choose_dataset, doctor_panel, headline, open_shown, tabs
from pages.parts.data.vertex import vertex_choice, vertex_panel
from pages.parts.shared.badges import simulated_badge
from pages.parts.shared.link_notes import expect, stop
from pages.parts.shared.server_state import settle
from pages.parts.shared.text import plain

place = st.container(gap="xsmall")
expect((*LOOKED, "tab", "find", "order", "page", "doctor", "catalogue", "fetch_name"))
name = choose_dataset()
with st.container(gap="xsmall"):
    doctor_panel(name)
    catalogue_panel()
    importing_panel()
subject_view = open_shown(name)
if subject_view is None:
    place.title(plain(DATASETS[name].title), anchor=False)
    if DATASETS[name].subjects():  # else it is described below
        place.markdown(f":small[{simulated_badge(name)}{plain(DATASETS[name].about)}]")
    stop()
place.title(f"What did **{plain(subject_label(subject_view.subject.name))}** see, and what did visual cortex do?", anchor=False)
with place:
    headline(subject_view)
expect(f"is_{label}" for label in kinds(subject_view.subject))
row, vertex, roi = stimulus_choice(subject_view), vertex_choice(subject_view), roi_choice(subject_view)

left, right = st.columns(2, gap="medium") if subject_view.placement else (st.container(), st.container())
with left, st.container(key="brain_place"):
    brain_panel(subject_view, row, vertex, roi)
with right:
    stimuli, regions, responses, one = tabs(subject_view, vertex)
    if stimuli.open:
        with stimuli:
            grid(subject_view, row)
    if regions.open:
        with regions:
            regions_panel(subject_view, roi)
    if responses.open:
        with responses:
            responses_panel(subject_view)
    if one.open:
        with one:
            if vertex is None:
                st.info(f"Click the brain, or type a {subject_view.subject.unit} in the sidebar.")
            else:
                vertex_panel(subject_view, vertex, row)
if row is not None:
    stimulus_panel(subject_view, row, roi)
settle("data are shown")
