"""Jobs & storage: background jobs, what the Store holds, and fits as files to send and to open."""

import streamlit as st

from pages.parts.cache.panels import exchange_panel, jobs_panel, store_panel
from pages.parts.shared.link_notes import expect
from pages.parts.shared.server_state import settle

st.title("Jobs & storage", anchor=False)
expect(())
st.header("Jobs", anchor=False)
jobs_panel()
st.header("What is kept", anchor=False)
st.markdown("Every stage of every fit is kept under a name made of all that went into it, so nothing is computed twice.")
store_panel()
st.header("Fits as files", anchor=False)
exchange_panel()
settle("a job is watched")
