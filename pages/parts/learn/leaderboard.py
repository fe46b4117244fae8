"""The class's leaderboard on the course page: enter a fit, and see the r of everyone's on images that only the server knows."""

from __future__ import annotations

import threading

import pandas as pd
import streamlit as st

from encoding.lessons.leaderboard import LONGEST_NAME, MOST_ENTRIES, N_HIDDEN, Entry, Hidden, Leaderboard
from encoding.prediction.inputs import CannotPredict
from encoding.prediction.predict import predict
from encoding.runs.table import all_runs, open_run, short_name
from pages.parts.learn.classroom import class_name
from pages.parts.shared.server_state import store
from pages.parts.shared.start import START
from pages.parts.shared.text import plain

ABOUT = (
    f"Each fit predicts the responses to **{N_HIDDEN} new images** that this server drew in secret, so no score in Explore could be "
    "tuned on them. r is the mean over **all** vertices of both hemispheres (one that was not fitted counts as 0), with a 95 % interval "
    "over images. Two fits with overlapping intervals may change places on other images, and the first of many is a little lucky, too: "
    f"the more enter, the more so. That is why a student may enter {MOST_ENTRIES} fits, and the last counts, not the best."
)


@st.cache_resource(show_spinner=False)
def _board(name: str) -> Leaderboard:
    return Leaderboard(store().root / "classes" / name / "leaderboard")


@st.cache_resource(show_spinner=False, max_entries=1)
def _hidden(name: str) -> Hidden:
    return Hidden.draw(START.subject, _board(name).seed)


@st.cache_resource
def _turn() -> threading.Lock:
    """One fit of the class is scored at a time: they would share the same cores."""
    return threading.Lock()


def leaderboard() -> None:
    """Show students and the teacher the leaderboard of their class; for other sessions nothing is shown."""
    student = st.session_state.get("_student")
    if not (student or st.session_state.get("_teacher")):
        return
    with st.expander("Leaderboard of the class", key="leaderboard", on_change="rerun") as opened:
        if not opened.open:
            return
        st.markdown(ABOUT)
        if student:
            _enter(student)
        entries = _board(class_name()).table()
        shown = [f"{each.r:z.3f}" for each in entries]
        rows = [
            {"Place": 1 + shown.index(r), "Name": each.name, "Model": each.model, "r": r, "95 %": f"{each.low:z.3f} to {each.high:z.3f}"}
            for each, r in zip(entries, shown, strict=True)
        ]
        if rows:
            st.dataframe(pd.DataFrame(rows), hide_index=True, alt="name, model and r of each student's last entry, highest first")
        else:
            st.caption("Nobody entered a fit yet.")


def _enter(student: str) -> None:
    left = _board(class_name()).n_left(student)
    if not left:
        st.caption("All your entries are used.")
        return
    runs = all_runs(store())
    runs = runs[(runs["dataset"] == START.dataset) & (runs["subject"] == START.subject) & ~runs["imported"] & ~runs["damaged"]]
    names = {row["key"]: short_name(row) for row in runs.to_dict("records")}
    with st.form("enter_fit", border=False):
        which, name, press = st.columns([5, 2, 2], vertical_alignment="bottom")
        key = which.selectbox("Finished fit of this subject", list(names), format_func=names.get, key="entered_fit")
        called = name.text_input("Name in the table", max_chars=LONGEST_NAME, placeholder="such as 7 or blue", key="entered_name")
        pressed = press.form_submit_button(f"Enter ({left} left)", key="enter", width="stretch")
    if pressed and key:
        try:
            with st.spinner("Predicting the hidden images …"), _turn():
                r, low, high = _hidden(class_name()).score(predict(open_run(key, store()), _hidden(class_name()).stimuli))
            _board(class_name()).enter(student, Entry(called, key, " · ".join(names[key].split(" · ")[:3]), r, low, high))
        except (CannotPredict, ValueError, LookupError, OSError) as wrong:
            st.error(plain(wrong))
        else:
            st.rerun()  # the button counts the entries that are left
