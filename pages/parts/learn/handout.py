"""Hand-outs: the lessons as one PDF to print, a page each with room to write, and the answers as one of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fpdf import FPDF, FontFace, TextStyle
from markdown_it import MarkdownIt

from pages.parts.learn.exercise import Exercise
from pages.parts.learn.lesson import Lesson

MARGIN, LINE = 18, 8  # mm
GREY = 90  # of small print, from 0 to 255; 7 to 1 against white
ABOUT = "Encoding Explorer. The subject of these lessons is simulated: no brain was measured."
LETTERS = "windows-1252"  # what fonts that every reader of PDF has can write
MARKDOWN = MarkdownIt("commonmark", {"html": False})
STYLES = {"p": TextStyle(t_margin=0, b_margin=1), "li": TextStyle(l_margin=3), "code": FontFace(family="courier")}


class _Sheets(FPDF):
    """A4 pages that say what they are of and their number."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.core_fonts_encoding = LETTERS
        self.set_title(title)
        self.set_lang("en")
        self.set_margin(MARGIN)
        self.set_auto_page_break(True, MARGIN)
        self.add_page()
        self.set_font("helvetica", "B", 18)
        self.line(title)

    def footer(self) -> None:
        self.set_y(-MARGIN + 4)
        self.small(f"{ABOUT} Page {self.page_no()} of {{nb}}.")

    def line(self, text: str) -> None:
        """Write plain text, broken where the page ends."""
        self.multi_cell(0, text=_writable(text), new_x="LMARGIN", new_y="NEXT")

    def small(self, text: str) -> None:
        self.set_font("helvetica", "", 8.5)
        self.set_text_color(GREY)
        self.line(text)
        self.set_text_color(0)

    def heading(self, text: str, level: int = 1) -> None:
        """Write a heading; those of level 0 are the outline that a reader shows."""
        if level == 0:
            self.start_section(_writable(text))
        self.ln(3)
        self.set_font("helvetica", "B", 11 if level else 14)
        self.line(text)
        self.ln(1)

    def markdown(self, text: str) -> None:
        """Write Markdown of a lesson; HTML in it is shown as it is written."""
        self.set_font("helvetica", "", 11)
        html = MARKDOWN.render(text).replace("<p>", "<p line-height=1.35>")
        self.write_html(_writable(html), tag_styles=STYLES)
        self.set_x(self.l_margin)

    def boxes(self, choices: Sequence[str]) -> None:
        """A box to tick before each choice, in Markdown."""
        for choice in choices:
            self.set_left_margin(MARGIN + 7)
            top = self.get_y()
            self.markdown(choice)
            self.set_left_margin(MARGIN)
            self.rect(MARGIN + 1, top + 4.4, 3, 3)

    def room(self, n_lines: int = 3) -> None:
        """Lines to write on."""
        self.set_draw_color(150)
        for _ in range(n_lines):
            self.ln(LINE)
            self.cell(0, 0, border="B", new_x="LMARGIN", new_y="NEXT")
        self.set_draw_color(0)


def handout(lessons: Sequence[Lesson], *, answers: bool = False, right: Callable[[Exercise], str | None] = lambda _: None) -> bytes:
    """A PDF with a page for each lesson, or the sheet of answers of all of them.

    Parameters
    ----------
    lessons : in their order, each with its number in the course (``place``).
    right : the right answer to an exercise; None where its fits are not there.
    """
    title = lessons[0].title if len(lessons) == 1 else "Encoding models of visual cortex"
    sheets = _Sheets(f"{title}: answers" if answers else title)
    for number, lesson in enumerate(lessons):
        if answers:
            found = right(lesson.exercise)
            with sheets.offset_rendering() as tried:
                _answers(tried, lesson, found)
            if tried.page_break_triggered:  # a heading stays with what it is of
                sheets.add_page()
            _answers(sheets, lesson, found)
        else:
            if number:
                sheets.add_page()
            _lesson_page(sheets, lesson)
    return bytes(sheets.output())


def _answers(sheets: _Sheets, lesson: Lesson, right: str | None) -> None:
    """The right answer to a lesson's question, and to its exercise as the fits that are here say it."""
    exercise = lesson.exercise
    sheets.heading(f"{lesson.place}. {lesson.title}", level=0)
    sheets.markdown(f"**{lesson.answers[lesson.right]}**  \n{lesson.because}")
    missing = f"Not known yet: it is computed from {'its fit' if len(exercise.specs) == 1 else 'its fits'}, to be made in Explore first."
    sheets.markdown(f"*Exercise:* {exercise.ask} {missing if right is None else f'**{right}**'}")


def _lesson_page(sheets: _Sheets, lesson: Lesson) -> None:
    exercise = lesson.exercise
    sheets.heading(f"{lesson.place}. {lesson.title}", level=0)
    sheets.small(f"{lesson.minutes} minutes · Name: {'_' * 40}")
    sheets.markdown(lesson.idea)
    sheets.heading("Predict first")
    sheets.markdown(lesson.question)
    sheets.boxes(lesson.answers)
    sheets.heading("What I saw")
    sheets.room()
    sheets.heading("Exercise in Explore")
    sheets.markdown(f"{exercise.task}\n\n{exercise.ask}")
    if exercise.choices:
        sheets.boxes(exercise.choices)
    else:
        sheets.line(f"Answer: {'_' * 14}")
    sheets.heading("Notes")
    sheets.room(5)


def _writable(text: str) -> str:
    """A text in letters that the fonts have; a question mark stands for any other."""
    return text.encode(LETTERS, "replace").decode(LETTERS)
