"""The dashboard's entry: `streamlit run app.py`. Navigation only; pages are files in pages/views."""

from importlib import import_module

import streamlit as st

from encoding.runtime.threads import let_waiting_threads_sleep
from pages.parts.shared import access
from pages.parts.shared.back_button import count_steps_back
from pages.parts.shared.former_links import read_former_parameters
from pages.parts.shared.glossary import glossary
from pages.parts.shared.job_status import job_status
from pages.parts.shared.late_link import keep_what_was_written
from pages.parts.shared.link_notes import read_link, say_unread
from pages.parts.shared.navigation import NAVIGATION_STYLE, OTHERS, absent_page, arrive, has_arrived, sections

let_waiting_threads_sleep()  # in the workers that this server starts, too
import_module("encoding.jobs.tasks")  # here, so that two first visits at once import packages in the same order: pages differ in theirs

st.set_page_config(page_title="Encoding Explorer", page_icon="🧠", layout="wide")
st.html(NAVIGATION_STYLE)
count_steps_back()
pages = {section: [st.Page(path, title=title, icon=icon) for path, title, icon in each] for section, each in sections().items()}
pages |= {OTHERS: hidden} if (hidden := absent_page()) else {}
page = st.navigation(pages, position="sidebar" if access.is_in() else "hidden")  # before entering, or a link would lose its page
access.enter()
arrive(page)
with keep_what_was_written():
    read_former_parameters()
    with st.sidebar:
        glossary()
    job_status()
    read_link(st.container(key="link_notes", gap="xsmall"), arrived=has_arrived())
    page.run()
    say_unread()
