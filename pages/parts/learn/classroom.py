"""Class mode: a join link, the class's predictions after one's own, and the teacher's view of who is where.

The operator sets ``ENCODING_CLASS`` to the name of the class (docs/teaching.md).
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import secrets
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from encoding import FitSpec
from encoding.jobs.tasks import study
from encoding.lessons.classroom import NAME, STEPS, Classroom
from encoding.runtime.wording import counted
from pages.parts.learn.lesson import Lesson
from pages.parts.shared.access import change_button, may_change
from pages.parts.shared.fragment import fragment
from pages.parts.shared.server_state import find_result, job_key, jobs, planned, store
from pages.parts.shared.start import START
from pages.parts.shared.text import plain

SECONDS_BETWEEN_LOOKS = 5.0  # of the teacher's view, at who is where


def class_name() -> str:
    """Name of the class of this server; empty where there is none."""
    return os.environ.get("ENCODING_CLASS", "")


@st.cache_resource
def classroom(name: str) -> Classroom:
    """The class of this server."""
    return Classroom(store().root / "classes" / name)


@st.cache_resource
def teacher_token(name: str) -> str:
    """Secret of the teacher's link, new with each start of the server and printed there."""
    token = secrets.token_urlsafe(16)
    print(f"Class {name}: students join at /learn?class={name}, the teacher's view is at /learn?teacher={token}", flush=True)
    return token


def browser_name(cookie: str) -> str:
    """Name of a browser, the same in all its tabs and after a reload; a new one where there is no cookie.

    Streamlit sets a cookie against forged requests in Tornado's format, ``2|mask|masked token|time``: the mask changes with each page,
    the token behind it stays.
    """
    try:
        _, mask, masked, _ = cookie.split("|")
        token = bytes(one ^ other for one, other in zip(bytes.fromhex(masked), itertools.cycle(bytes.fromhex(mask)), strict=False))
    except ValueError:
        token = b""
    return hashlib.sha256(token).hexdigest()[:16] if token else secrets.token_hex(8)


def open_class(lessons: Sequence[Lesson]) -> None:
    """Read from the link whether this session is a student's or the teacher's, and restore what a student answered before.

    The token leaves the link, which may be projected.
    """
    name = class_name()
    if not name:
        return
    if not NAME.fullmatch(name):
        st.error("ENCODING_CLASS may have letters, digits, _ and -, 40 at most: there is no class mode.")
        return
    if not may_change():
        st.info("This server is read-only, so predictions of the class are not kept.")
        return
    token = teacher_token(name)
    given = st.query_params.get("teacher")
    if given is not None:
        del st.query_params["teacher"]
        if hmac.compare_digest(given.encode(), token.encode()):
            st.session_state["_teacher"] = True
        else:
            st.warning("This is not the teacher's link of this class. The server printed it when it started.")
    if st.query_params.get("class") == name:
        if "_student" not in st.session_state:
            st.session_state["_student"] = browser_name(st.context.cookies.get("_streamlit_xsrf", ""))
        given_before = classroom(name).answers(st.session_state["_student"])
        for lesson in lessons:
            if 0 <= (place := given_before.get(lesson.name, -1)) < len(lesson.answers):
                st.session_state.setdefault(f"answer_{lesson.name}", lesson.answers[place])
    elif "class" in st.query_params:
        st.warning(f"The class of this server has another name. Its link ends in ?class={plain(name)}.")


def note_step(lesson: Lesson, step: str, answer: int | None = None) -> None:
    """Keep where the student of this session is, and the prediction; for other sessions nothing is kept."""
    if student := st.session_state.get("_student"):
        try:
            classroom(class_name()).note(student, lesson.name, step, answer)
        except OSError as wrong:
            st.warning(plain(f"Your prediction could not be kept for the class: {wrong}"))


def class_predictions(lesson: Lesson) -> None:
    """Draw what the class predicted as bars behind the lesson's answers: for students who answered, and for the teacher."""
    answered = st.session_state.get("_student") and st.session_state.get(f"answer_{lesson.name}") is not None
    if not (answered or st.session_state.get("_teacher")):
        return
    counts = classroom(class_name()).predictions(lesson.name, len(lesson.answers))
    st.html(_bars(f".st-key-answer_{lesson.name} [role=radiogroup] >", counts))
    st.caption(f"**The class predicted** {' · '.join(map(str, counts))}")


def _bars(group: str, counts: Sequence[int]) -> str:
    """Style sheet with a bar behind each answer of a group, as long as its share of all predictions, and its count at the end."""
    rules = [f"{group} *, {group} * > label {{width: 100%; position: relative; border-radius: 0.25rem}}"]
    for place, n in enumerate(counts, 1):
        label, share = f"{group} :nth-child({place}) > label", f"{n / max(1, sum(counts)):.0%}"
        bar = f"linear-gradient(to right, rgba(17, 158, 136, 0.3) {share}, rgba(128, 128, 128, 0.1) {share})"
        rules.append(f"{label} {{background: {bar}}}")
        rules.append(f"{label}::after {{content: '{n}'; position: absolute; top: 0; right: 0.5rem; font-weight: 600}}")
    return f"<style>{' '.join(rules)}</style>"


def teacher_view(lessons: Sequence[Lesson]) -> None:
    """Show the teacher the join link and how many students are at each step of each lesson."""
    if st.session_state.get("_teacher"):
        _who_is_where(lessons)
        _fits_beforehand(lessons)


def specs_of(lessons: Sequence[Lesson]) -> list[FitSpec]:
    """The fits behind all doors and all exercises, each once."""
    behind = [spec for lesson in lessons for spec in lesson.specs()]
    return list(dict.fromkeys(replace(spec, rois=(), target_groups=FitSpec.target_groups) for spec in behind))


def _fits_beforehand(lessons: Sequence[Lesson]) -> None:
    """Offer to compute before the class what its students would wait for."""
    if find_result(START) is None:
        st.caption("The lessons' subject is not there yet: open the first lesson, then come back to compute the fits of all lessons.")
        return
    specs = specs_of(lessons)
    missing = [spec for spec in specs if find_result(spec) is None]
    if not missing:
        st.caption(f"The {counted(len(specs), 'fit')} behind the lessons' doors and exercises are all there.")
        return

    def compute() -> None:
        for spec in missing:
            jobs().submit(study, spec, key=job_key(spec), planned=planned(spec))

    label = f"Compute the lessons' fits beforehand ({len(missing)} of {len(specs)} are missing)"
    change_button(label, key="beforehand", on_click=compute, help="Behind doors into Explore and exercises. **Jobs & storage** shows them.")


@fragment(run_every=SECONDS_BETWEEN_LOOKS)
def _who_is_where(lessons: Sequence[Lesson]) -> None:
    places = classroom(class_name()).places()
    rows = [
        {"Lesson": f"{number}. {lesson.title}"} | {step.capitalize(): places[lesson.name, step] for step in STEPS}
        for number, lesson in enumerate(lessons, 1)
        if any(places[lesson.name, step] for step in STEPS)
    ]
    with st.container(border=True):
        st.markdown(f"**Class {class_name()}** · students: **{sum(places.values())}** · they join at `/learn?class={class_name()}`")
        if rows:
            st.dataframe(pd.DataFrame(rows), hide_index=True, alt="number of students at each step of each lesson")
