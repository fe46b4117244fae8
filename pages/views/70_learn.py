"""Learn: lessons of one screen each, on a simulated subject whose truth is known."""

import streamlit as st

from encoding.runtime.registry import unknown
from pages.parts.learn.lesson import Lesson, explore_link, prepared
from pages.parts.learn.lessons import LESSONS
from pages.parts.learn.lessons._subject import warm
from pages.parts.shared.badges import SIMULATED
from pages.parts.shared.server_state import settle
from pages.parts.shared.text import plain

NAMES = [lesson.name for lesson in LESSONS]
STYLE = """<style>
[data-testid=stMainBlockContainer] {padding: 3.75rem 2rem 0.5rem}
[data-testid=stMainBlockContainer] [data-testid=stMarkdownContainer] :is(p, li) {font-size: 0.9rem; line-height: 1.4}
[data-testid=stMainBlockContainer] [data-testid=stVerticalBlock] {gap: 0.5rem}
[data-testid=stMainBlockContainer] h3 {padding: 0 0 0.375rem; font-size: 1.375rem}
[data-testid=stMainBlockContainer] :is([data-testid=stButton] button, [data-testid=stLinkButton] a) {min-height: 2rem; padding: 0.25rem}
</style>"""  # a lesson fits on the screen of a small laptop


def choose_lesson() -> int:
    """Choose a lesson from the link or the row of names and return its position."""
    linked = st.query_params.get("lesson")
    if linked is not None and linked not in NAMES:  # Streamlit drops it without a word
        st.warning(f"The link asks for something that is not here. {plain(unknown('lesson', linked, NAMES))}")
    name = st.segmented_control(
        "Lesson", NAMES, key="lesson", bind="query-params", default=NAMES[0], required=True, label_visibility="collapsed", on_change=hide
    )
    return NAMES.index(name)


def hide() -> None:
    """Callback: hide the lesson's content until its question is answered."""
    st.session_state["show"] = st.session_state.get(f"answer_{st.session_state['lesson']}") is not None


def go(number: int) -> None:
    """Callback: go to another lesson."""
    st.session_state["lesson"] = NAMES[number]
    hide()


def reveal() -> None:
    """Callback: show the lesson's content after an answer, also in the link."""
    st.session_state["show"] = True


def ask(lesson: Lesson) -> None:
    """Ask the lesson's question and, once answered, say whether the answer was right and why."""
    answered = st.radio(
        f"**Predict first.** {lesson.question}",
        lesson.answers,
        index=None,
        key=f"answer_{lesson.name}",
        persist_state="session",
        on_change=reveal,
    )
    if answered is not None:
        right = lesson.answers.index(answered) == lesson.right
        st.markdown(f"{':green-badge[Right]' if right else ':orange-badge[Not this time]'} {lesson.because}")


st.html(STYLE)
number = choose_lesson()
lesson = LESSONS[number]
title, badge, before, after = st.columns([15, 7, 3, 3], vertical_alignment="center", gap="small")
title.subheader(f"{number + 1}. {lesson.title}", anchor=False)
badge.markdown(SIMULATED, text_alignment="right")
before.button("← Previous", key="previous", width="stretch", disabled=number == 0, on_click=go, args=(number - 1,))
after.button("Next →", key="next", width="stretch", disabled=number + 1 == len(NAMES), on_click=go, args=(number + 1,))
if not prepared():
    st.stop()
warm()

words, images = st.columns([4, 7], gap="medium")
with words:
    st.markdown(lesson.idea)
    ask(lesson)
    shown = st.toggle("Show me", key="show", bind="query-params", help="Answering shows it, too.")
with images:
    if shown:
        happened, _, behind = lesson.show().partition("\n\n")
        if behind:
            st.markdown(behind)
    else:
        st.info("What would you expect? Answer the question, or press **Show me**: then there is something to move here.")
with words:
    if shown:
        st.markdown(f"**What just happened.** {happened}")
        explore_link(lesson.explore_spec())
settle("a lesson is shown")
