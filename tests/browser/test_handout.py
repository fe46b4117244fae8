"""The hand-out in a browser: its button asks for the print dialogue, which makes one PDF of the course, a page a lesson."""

import re

from pages.parts.learn.handout import handout
from pages.parts.learn.lessons import LESSONS


def test_the_course_prints_as_one_pdf_with_a_page_for_each_lesson_and_the_answers_apart(browser, tmp_path):
    page = browser.new_page()
    page.add_init_script("window.print = () => { window.printed = true; }")
    counts = {}
    for answers in (False, True):
        file = tmp_path / f"{answers}.html"
        file.write_text(handout(LESSONS, answers=answers), "utf-8")
        page.goto(file.as_uri())
        page.get_by_role("button", name="Print, or save as one PDF").click()
        assert page.evaluate("window.printed")
        counts[answers] = len(re.findall(rb"/Type\s*/Page\b", page.pdf()))
    page.close()
    assert counts[False] == len(LESSONS) and counts[True] < len(LESSONS)
