"""Navigation sections and the number of jobs under way, which every page shows."""

from __future__ import annotations

import pytest

from pages.parts.shared.navigation import OTHERS, SECTIONS, VIEWS, absent_name, sections
from tests.conftest import TINY
from tests.pages.conftest import NoWorkers
from tests.pages.views.test_cache_page import job


def test_every_page_is_in_one_section_and_every_section_has_its_pages():
    listed = [path for pages in sections().values() for path, _, _ in pages]
    assert sorted(listed) == sorted(VIEWS.glob("[0-9]*.py"))
    assert OTHERS not in sections() and list(sections()) == list(SECTIONS)


def test_every_page_but_home_has_the_file_that_the_first_visitor_of_a_fresh_server_needs():
    names = {path.stem.partition("_")[2] for path in VIEWS.glob("[0-9]*.py")} - {"home"}
    assert names == {path.stem for path in VIEWS.parent.glob("*.py")} - {"__init__"}
    texts = {(VIEWS.parent / f"{name}.py").read_text() for name in names}
    assert len(texts) == 1  # each only hands over to app.py


def test_a_page_that_no_section_names_is_listed_all_the_same(tmp_path, monkeypatch):
    for name in ("00_home", "99_extra"):
        (tmp_path / f"{name}.py").write_text("")
    monkeypatch.setattr("pages.parts.shared.navigation.VIEWS", tmp_path)
    assert [title for _, title, _ in sections()[OTHERS]] == ["Extra"]


@pytest.mark.parametrize(
    ("address", "absent"),
    [
        ("", None),
        ("http://host/", None),
        ("http://host/explore", None),
        ("http://host/nope", "nope"),
        ("https://host/lab/app/nope/", "nope"),
        ("http://host/<b>", None),
    ],
)
def test_an_address_without_a_page_is_known_by_its_last_part(address, absent):
    assert absent_name(address) == absent


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ([], None),
        (["done", "failed", "cancelled"], None),
        (["running"], "1 running"),
        (["queued", "running", "queued", "done"], "1 running, 2 waiting"),
    ],
)
def test_every_page_says_how_many_jobs_run_and_wait(tiny, open_page, states, words):
    class Some(NoWorkers):
        def all(self):
            return [job(f"{number}", state, spec=TINY) for number, state in enumerate(states)]

    at = open_page("60_weights", workers=Some).run()
    assert not at.exception
    links = [link.proto.label for link in at.sidebar.get("page_link")]
    assert links == ([f"**{words}**"] if words else [])
