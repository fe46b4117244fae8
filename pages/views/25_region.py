"""One region: the responses of one ROI or vertex, its favourite stimuli, and every fit that covers it."""

import streamlit as st

from encoding import DATASETS
from encoding.runs.labels import subject_label
from pages.parts.data.brain import LOOKED, brain_panel, roi_choice
from pages.parts.data.distributions import regions_panel
from pages.parts.data.stimuli import stimulus_choice
from pages.parts.data.subject_view import choose_dataset, open_shown
from pages.parts.data.vertex import vertex_choice
from pages.parts.region.panels import fits_panel, random_vertex_button, responses_panel, stimuli_panel, title
from pages.parts.shared.badges import simulated_badge
from pages.parts.shared.link_notes import expect, stop
from pages.parts.shared.server_state import settle
from pages.parts.shared.text import plain

place = st.container(gap="xsmall")
expect(LOOKED)
name = choose_dataset()
subject_view = open_shown(name)
if subject_view is None:
    place.title("One region", anchor=False)
    stop()
roi = roi_choice(subject_view, on_change=lambda: st.session_state.update(vertex=""))
vertex = vertex_choice(subject_view)
random_vertex_button(subject_view)
row = stimulus_choice(subject_view)
with place:
    st.title(title(subject_view, roi, vertex), anchor=False)
    badge = simulated_badge(name, subject_view.subject)
    st.markdown(f":small[{badge}{plain(DATASETS[name].title)}, {plain(subject_label(subject_view.subject.name))}]")

left, right = st.columns(2, gap="medium") if subject_view.placement else (st.container(), st.container())
with left, st.container(key="brain_place"):
    brain_panel(subject_view, row, vertex, roi, stays=False)
with right:
    if roi is None and vertex is None:
        where = "Click the brain, choose" if subject_view.placement else "Choose"
        st.info(f"{where} a region in the sidebar, or press *Random {subject_view.subject.unit}*.")
        if subject_view.rois:
            regions_panel(subject_view, None)
        tuning = None
    else:
        tuning = responses_panel(subject_view, roi, vertex, row)
if tuning is not None:
    fits_panel(subject_view, roi, vertex)
    st.header(f"Its favourite {subject_view.what}", anchor=False)
    stimuli_panel(subject_view, tuning, row)
settle("a region is shown")
