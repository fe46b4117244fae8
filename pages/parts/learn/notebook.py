"""A lesson as a Jupyter notebook: its question, the code that draws its figure, and the answer."""

from __future__ import annotations

import streamlit as st

from encoding.runs.notebook import as_notebook, code_cell, markdown_cell
from pages.parts.learn.lesson import Lesson

OPEN = (
    "from encoding.lessons.material import Material\n\nm = Material.open()  # simulated and fitted the first time, then read from the Store"
)


def lesson_notebook(lesson: Lesson) -> str:
    """The notebook of a lesson as JSON of nbformat 4.5. Whoever runs it needs this program, and nothing else."""
    answers = "\n".join(f"- {answer}" for answer in lesson.answers)
    cells = [
        markdown_cell(f"# {lesson.place}. {lesson.title}\n\n**Simulated: no brain was measured.** {lesson.idea}"),
        markdown_cell(f"**Predict first.** {lesson.question}\n\n{answers}"),
        code_cell(OPEN),
        code_cell(lesson.code.rstrip()),
        markdown_cell(f"**{lesson.answers[lesson.right]}** {lesson.because}"),
        markdown_cell(f"**Exercise in Explore.** {lesson.exercise.task} {lesson.exercise.ask}"),
    ]
    return as_notebook(cells)


def notebook_button(lesson: Lesson) -> None:
    """Offer a lesson's notebook."""
    about = "This lesson as a Jupyter notebook: the functions behind it, to change and run."
    name, make = f"lesson-{lesson.name}.ipynb", lambda: lesson_notebook(lesson)
    key = f"notebook_{lesson.name}"
    st.download_button("Notebook", make, name, "application/x-ipynb+json", key=key, on_click="ignore", help=about, width="stretch")
