"""What stands in a link, a file or a description is shown as text: it loads no image and is no link."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from encoding.analysis.hyperparameter_search import SearchRequest
from encoding.jobs.tasks import study
from pages.parts.shared.job_progress import job_title
from pages.parts.shared.text import plain
from tests import PROJECT
from tests.conftest import TINY

PAYLOAD = "![x](http://evil.example/b.png)[Log in again](http://evil.example)<b>"
LIVE = re.compile(r"(?<!\\)!\[|(?<!\\)\]\(|(?<!\\)<b>")
VIEWS = sorted((PROJECT / "pages" / "views").glob("[0-9]*.py"))
PLAIN_ELEMENTS = ("arrow_data_frame", "plotly_chart", "code", "text", "json")  # shown letter by letter
CHOSEN = ("dataset", "subject", "backbone", "readout")  # read by a function of fit_controls.py that all of them share
FREE = {*CHOSEN, "layer", "layers", "backbones", "split", "pool", "weights", "target_groups", "extra_subjects", "roi", "vertex", "stimulus",
        "a", "b", "fit", "lesson", "region", "at", "picture"}  # what a person may type or a file may name  # fmt: skip
FIELDS_OF_MARKDOWN = ("body", "label", "help", "text", "caption", "title", "legend")


def parameters(view: Path) -> list[str]:
    """Every query parameter that the parts of a page read."""
    page = view.stem.partition("_")[2]
    folders = [page, *(["shared"] if page in ("explore", "layers") else [])]
    files = [view, *(path for folder in folders for path in (PROJECT / "pages" / "parts" / folder).rglob("*.py"))]
    source = "\n".join(path.read_text() for path in files)
    bound = re.findall(r'key="(\w+)",[^()]*?bind="query-params"', source, re.DOTALL)
    return sorted({*bound, *re.findall(r'query_params(?:\.get\(|\.get_all\(|\[)"(\w+)"', source), *(CHOSEN if "shared" in folders else ())})


def live_markdown(at: AppTest) -> list[str]:
    """Texts on the page in which the payload still is Markdown."""
    found = []

    def look(node) -> None:
        proto = getattr(node, "proto", None)
        if proto is not None and getattr(node, "type", "") not in PLAIN_ELEMENTS:
            for _, message in [("", proto), *((field.name, value) for field, value in proto.ListFields() if field.message_type)]:
                if hasattr(message, "ListFields"):
                    texts = {field.name: value for field, value in message.ListFields() if isinstance(value, str)}
                    found.extend(texts[name] for name in FIELDS_OF_MARKDOWN if LIVE.search(texts.get(name, "")))
        for child in getattr(node, "children", {}).values():
            look(child)

    look(at._tree)
    return found


def test_the_search_for_live_markdown_finds_it():
    lines = ("import streamlit as st", f"x = {PAYLOAD!r}", "st.warning(x)", "st.button('a', help=x)", "st.code(x)")
    assert len(live_markdown(AppTest.from_string("\n".join(lines)).run())) == 2


@pytest.mark.parametrize("view", VIEWS, ids=lambda path: path.stem)
def test_no_parameter_of_a_link_is_markdown(tiny, store, open_page, view):
    study(TINY, store)
    own = {"dataset": "tiny", "subject": "subj01", "backbone": "tinynet", "layer": "pixels", "components": "0"}
    names = parameters(view)
    links = [{name: PAYLOAD} for name in names if name in FREE]  # one at a time: a page may stop at the first that it refuses
    links.append({name: PAYLOAD for name in names if name not in FREE})
    for link in links:
        assert live_markdown(open_page(view.stem, **own | link).run()) == [], link


@pytest.mark.parametrize("field", ["title", "about"])
@pytest.mark.parametrize("view", ["00_home", "10_explore", "20_data"])
def test_no_description_of_a_data_set_is_markdown(tiny, open_page, monkeypatch, view, field):
    monkeypatch.setattr(type(tiny), field, PAYLOAD)
    own = {"dataset": "tiny", "subject": "subj01", "backbone": "tinynet", "layer": "pixels", "components": "0"}
    assert live_markdown(open_page(view, **({} if view == "00_home" else own)).run()) == []


def test_titles_of_jobs_are_plain():
    from dataclasses import replace

    spec = replace(TINY, weights=PAYLOAD, layers=(PAYLOAD,))
    for title in (job_title(spec), job_title(SearchRequest(spec=spec)), job_title(PAYLOAD)):
        assert not LIVE.search(title)
    assert job_title(SearchRequest(spec=TINY)).startswith("Search\\: tiny subj01")


@pytest.mark.parametrize("text", ["https://evil.example", "see http://a.b/c", "www.evil.example"])
def test_addresses_do_not_become_links(text):
    shown = re.sub(r"\\(.)", r"\1", plain(text))  # what Markdown makes of it
    assert "://" not in shown and "www." not in shown
