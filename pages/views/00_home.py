"""Home: one question, a finished fit, six doors, recent fits, and what this machine has."""

import streamlit as st

from pages.parts.home.doors import STYLE, doors, show_times
from pages.parts.home.findings import data_sets_found, machine_found, weights_found
from pages.parts.home.panels import brain_panel, forward
from pages.parts.home.tour import tour, tour_button
from pages.parts.shared.recent_fits import recent_fits
from pages.parts.shared.server_state import settle

forward()
st.html(STYLE)
st.title("Encoding Explorer", anchor=False)
st.markdown("Which part of visual cortex does each layer of a vision network predict, and how near does it come to what noise allows?")
painted, ways = st.columns([5, 3], gap="medium")
with painted:
    brain_panel()
with ways:
    waiting = doors()
recent_fits()
data_sets_found()
weights_found()
machine_found()
tour_button()
tour()
settle("home is shown")
show_times(waiting)
