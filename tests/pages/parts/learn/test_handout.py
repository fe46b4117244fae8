"""Hand-outs: every lesson has its page and its paragraph of answers, and neither gives the other away."""

from __future__ import annotations

import io
import re
from dataclasses import replace

from pypdf import PdfReader

from pages.parts.learn.handout import LETTERS, handout
from pages.parts.learn.lessons import LESSONS


def read(pdf: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(pdf))


def words(text: str) -> str:
    """A text without Markdown and without how its lines are broken."""
    return " ".join(re.sub(r"[*`]", "", text).split())


def test_the_course_is_one_pdf_that_asks_everything_on_a_page_a_lesson_and_answers_nothing():
    pdf = read(handout(LESSONS))
    pages = [words(page.extract_text()) for page in pdf.pages]
    assert len(pages) == len(LESSONS) and [each.title for each in pdf.outline] == [f"{one.place}. {one.title}" for one in LESSONS]
    for lesson, page in zip(LESSONS, pages, strict=True):
        for text in (lesson.title, lesson.idea, lesson.question, *lesson.answers, lesson.exercise.task, lesson.exercise.ask):
            assert words(text) in page
        assert words(lesson.because.split(".")[0]) not in page and "simulated: no brain was measured" in page


def test_the_sheet_of_answers_has_those_of_each_lesson():
    pdf = read(handout(LESSONS, answers=True))
    text = words(" ".join(re.sub(r"Encoding Explorer\..*$", "", page.extract_text(), flags=re.DOTALL) for page in pdf.pages))
    assert pdf.metadata.title == "Encoding models of visual cortex: answers" and len(pdf.pages) < len(LESSONS)
    for lesson in LESSONS:
        assert words(f"{lesson.answers[lesson.right]} {lesson.because}") in text
        assert words(lesson.idea) not in text


def test_answers_of_exercises_are_those_of_the_fits_and_a_missing_fit_is_said_to_be():
    known = {lesson.exercise: f"answer of {lesson.name}" for lesson in LESSONS if lesson.exercise.choices}
    pdf = read(handout(LESSONS, answers=True, right=known.get))
    text = words(" ".join(page.extract_text() for page in pdf.pages))
    assert len(known) > 3 and all(answer in text for answer in known.values())
    assert text.count("Not known yet") == len(LESSONS) - len(known)


def test_no_heading_of_the_answers_is_parted_from_its_answer():
    pdf = read(handout(LESSONS, answers=True))
    pages = [words(page.extract_text()) for page in pdf.pages]
    for lesson in LESSONS:
        (page,) = (each for each in pages if words(f"{lesson.place}. {lesson.title} {lesson.answers[lesson.right]}") in each)
        assert words(lesson.because) in page and words(f"Exercise: {lesson.exercise.ask}") in page
    assert [each.title for each in pdf.outline] == [f"{one.place}. {one.title}" for one in LESSONS]
    numbers = [pdf.get_destination_page_number(each) for each in pdf.outline]
    assert all(words(lesson.title) in pages[number] for lesson, number in zip(LESSONS, numbers, strict=True))


def test_text_of_a_lesson_is_text_in_letters_that_a_pdf_can_write():
    lesson = replace(LESSONS[0], title="<b>bold</b>", idea="<script>alert(1)</script> and **strong**, γ")
    page = words(read(handout([lesson])).pages[0].extract_text())
    assert "1. <b>bold</b>" in page and "<script>alert(1)</script> and strong, ?" in page
    for each in LESSONS:
        texts = (each.title, each.idea, each.question, *each.answers, each.because, each.exercise.task, each.exercise.ask)
        assert all(text.encode(LETTERS) for text in texts)
