"""Hand-outs: every lesson has its page and its line of answers, and neither gives the other away."""

from __future__ import annotations

from dataclasses import replace
from html import unescape

from pages.parts.learn.handout import handout
from pages.parts.learn.lessons import LESSONS


def test_a_hand_out_asks_everything_and_answers_nothing():
    html = unescape(handout(LESSONS))
    assert html.count('<section class="lesson">') == len(LESSONS)
    for lesson in LESSONS:
        assert lesson.title in html and lesson.exercise.ask in html
        assert lesson.because.split(".")[0].replace("*", "") not in html.replace("<strong>", "").replace("</strong>", "")
    assert "simulated" in html and "http" not in html


def test_the_sheet_of_answers_has_a_line_for_each_lesson():
    html = handout(LESSONS, answers=True)
    assert html.count('<section class="answer">') == len(LESSONS) and '<section class="lesson">' not in html
    assert "answers" in html.split("</title>")[0]


def test_text_of_a_lesson_is_text():
    lesson = replace(LESSONS[0], title="<b>bold</b>", idea="<script>alert(1)</script> and **strong**")
    html = handout([lesson])
    assert "<script>" not in html and "<b>" not in html and "<strong>strong</strong>" in html
