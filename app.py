"""The dashboard's entry: `streamlit run app.py`. Navigation only; pages are files in pages/views."""

from importlib import import_module
from pathlib import Path

import streamlit as st

from encoding.runtime.threads import let_waiting_threads_sleep
from pages.parts.shared import access
from pages.parts.shared.former_links import read_former_parameters

let_waiting_threads_sleep()  # in the workers that this server starts, too
import_module("encoding.jobs.tasks")  # here, so that two first visits at once import packages in the same order: pages differ in theirs
VIEWS = Path(__file__).parent / "pages" / "views"

st.set_page_config(page_title="Encoding Explorer", page_icon="🧠", layout="wide")
st.html(
    "<style>[data-testid=stMainBlockContainer] {padding-top: 3rem; padding-bottom: 3rem}"
    " [data-testid=stProgress] * {transition: none !important}</style>"  # sliding bars took half a core where there is no GPU
)
pages = [st.Page(path, title=path.stem.partition("_")[2].capitalize()) for path in sorted(VIEWS.glob("[0-9]*.py"))]
page = st.navigation(pages, position="sidebar" if access.is_in() else "hidden")  # before entering, or a link would lose its page
access.enter()
read_former_parameters()
page.run()
