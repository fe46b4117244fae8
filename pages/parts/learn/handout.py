"""Hand-outs: the lessons as a page to print, with room to write, and the answers on a page of their own."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markupsafe import Markup

from encoding.runtime.html import render
from pages.parts.learn.lesson import Lesson


def handout(lessons: Sequence[Lesson], *, answers: bool = False) -> str:
    """An HTML document with one printed page a lesson, or the sheet of answers of all of them.

    Parameters
    ----------
    lessons : in their order, each with its number in the course (``place``).
    """
    pages = [
        {
            "place": lesson.place,
            "title": lesson.title,
            "idea": _html(lesson.idea),
            "question": _html(lesson.question),
            "answers": [_html(answer) for answer in lesson.answers],
            "right": _html(lesson.answers[lesson.right]),
            "because": _html(lesson.because),
            "task": _html(lesson.exercise.task),
            "ask": _html(lesson.exercise.ask),
            "choices": lesson.exercise.choices,
            "minutes": lesson.minutes,
        }
        for lesson in lessons
    ]
    title = lessons[0].title if len(lessons) == 1 else "Encoding models of visual cortex"
    return str(render("lessons/templates/handout.html", title=title, lessons=pages, with_answers=answers))


def _html(text: str) -> Markup:
    """Markdown of a lesson as HTML; HTML in it is escaped."""
    return Markup(MarkdownIt("commonmark", {"html": False}).render(text))
