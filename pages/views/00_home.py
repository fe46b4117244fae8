"""Home: introduction, a finished fit, links to the other pages, and what this machine has."""

import streamlit as st

from pages.parts.home.panels import brain_panel, findings, forward, page_links
from pages.parts.shared.server_state import settle

forward()
st.header("Encoding Explorer", anchor=False)
st.markdown(
    "How well do the features of a vision network predict the brain? Choose a data set, a network and a layer, and a regression is "
    "fitted for every point of visual cortex, tested on images that it never saw, and drawn beside the most that noise allows. "
    "All of it runs on this machine; nothing is downloaded or sent unless you ask."
)
painted, ways = st.columns([5, 3], gap="medium")
with painted:
    brain_panel()
with ways:
    page_links()
findings()
settle("home is shown")
