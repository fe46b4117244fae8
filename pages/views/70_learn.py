"""Learn: a course of lessons of one screen each, on a simulated subject whose truth is known."""

import streamlit as st

from pages.parts.learn.classroom import class_predictions, note_step, open_class, teacher_view
from pages.parts.learn.course import NAMES, STYLE, chosen_lesson, course_page, expect_link, lesson_header
from pages.parts.learn.exercise import exercise_panel
from pages.parts.learn.lesson import Lesson, door, prepared
from pages.parts.learn.lessons import LESSONS
from pages.parts.learn.lessons._subject import warm
from pages.parts.learn.notebook import notebook_button
from pages.parts.learn.progress import DONE, keep_progress, note_progress
from pages.parts.shared.badges import SIMULATED
from pages.parts.shared.link_notes import stop
from pages.parts.shared.server_state import settle


def reveal(lesson: Lesson) -> None:
    """Callback: show the lesson's content after an answer, also in the link, and count the lesson as done.

    For the class, an answer counts as a prediction only where the content was still hidden.
    """
    if not st.session_state.get("show"):
        note_step(lesson, "predicted", lesson.answers.index(st.session_state[f"answer_{lesson.name}"]))
    st.session_state["show"] = True
    note_progress(DONE, [lesson.name])


def ask(lesson: Lesson) -> str | None:
    """Ask the lesson's question and, once answered, say whether the answer was right and why; return the answer."""
    answered = st.radio(
        f"**Predict first.** {lesson.question}",
        lesson.answers,
        index=None,
        width="stretch",
        key=f"answer_{lesson.name}",
        persist_state="session",
        on_change=reveal,
        args=(lesson,),
    )
    if answered is not None:
        right = lesson.answers.index(answered) == lesson.right
        st.markdown(f"{':green-badge[Right]' if right else ':orange-badge[Not this time]'} {lesson.because}")
    return answered


def teach(lesson: Lesson) -> None:
    """Show a lesson: its idea and question, then what can be moved and what just happened."""
    words, images = st.columns([4, 7], gap="medium")
    words = words.container(key="lesson_words")
    with words:
        st.markdown(f"{SIMULATED} {lesson.idea}")
        answered = ask(lesson)
        shown = st.toggle("Show me", key="show", bind="query-params", help="Answering shows it, too.")
        note_step(lesson, "reading" if not shown else "shown" if answered is None else "predicted")
        if shown:
            class_predictions(lesson)
    with images, st.container(key="lesson_figures"):
        if shown:
            happened, _, behind = lesson.show().partition("\n\n")
            if behind:
                st.markdown(behind)
        elif answered is not None:
            st.info("Your answer is kept. **Show me** brings back what there is to see and move.")
        else:
            st.info("What would you expect? Answer the question, or press **Show me**: then there is something to move here.")
    with words:
        if shown:
            st.markdown(f"**What this shows.** {happened}")
            onward, exercise, notebook = st.columns(3, gap="small")
            with onward:
                door(lesson)
            with exercise:
                exercise_panel(lesson.name, lesson.exercise)
            with notebook:
                notebook_button(lesson)


st.html(STYLE)
open_class(LESSONS)
lesson = chosen_lesson()
expect_link(lesson)
if lesson is None:
    teacher_view(LESSONS)
    course_page()
else:
    lesson_header(lesson)
    if not prepared():
        stop()
    warm()
    teach(lesson)
keep_progress(NAMES)
settle("a lesson is shown")
