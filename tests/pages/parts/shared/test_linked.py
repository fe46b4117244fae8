"""Settings that follow the browser's Back button, whatever kind they are of, and what a run that was broken off wrote."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def _page() -> None:
    import streamlit as st

    from pages.parts.shared.late_link import keep_what_was_written
    from pages.parts.shared.link_notes import expect, read_link, say_unread
    from pages.parts.shared.linked import choose, choose_several, count, enter, linked_value, number_within, pick, switch, write_link

    with keep_what_was_written():
        read_link(st.container())
        expect(("layer", "side", "fit", "find", "components", "average", "hide"))
        choose("Layer", "layer", ["a", "b", "c"], "a")
        pick("Side", "side", ["left", "right"], "left")
        choose_several("Models", "models", ["x", "y", "z"], ["x"], link="fit", max_selections=2)
        enter("Name has", "find")
        count("Components", "components", 1, 1, 9)
        if st.session_state.get("broken_off"):
            raise RuntimeError
        switch("Average", "average")
        linked_value("threshold", "hide", lambda text: number_within(text, 0.0, 1.0), 0.0)
        write_link("hide", f"{st.slider('Hide', 0.0, 1.0, 0.0, 0.1, key='threshold'):g}", "0")
        say_unread()


SETTINGS = {"layer": "b", "side": "right", "models": ["y", "z"], "find": "word", "components": 4, "average": True, "threshold": 0.5}
IN_LINK = {"layer": "b", "side": "right", "fit": ["y", "z"], "find": "word", "components": "4", "average": "true", "hide": "0.5"}


@pytest.fixture
def page():
    return AppTest.from_function(_page).run()


def link(page) -> dict:
    found = {name: [value] if isinstance(value, str) else value for name, value in page.query_params.items()}
    return {name: texts if len(texts) > 1 else texts[0] for name, texts in found.items()}


def widgets(page) -> dict:
    drawn = [*page.selectbox, *page.button_group, *page.multiselect, *page.text_input, *page.number_input, *page.toggle, *page.slider]
    return {each.key: each for each in drawn}


def values(page) -> dict:
    return {key: each.value for key, each in widgets(page).items()}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("before", [{}, IN_LINK], ids=["defaults", "a link"])
def test_back_takes_back_a_change_of_any_setting(page, monkeypatch, setting, before):
    page.query_params.update(before)
    page.run()
    shown, linked = values(page), link(page)
    assert linked == before
    other = {"layer": "c", "side": "left" if before else "right", "models": ["z"], "find": "", "components": 7, "threshold": 0.8}
    widgets(page)[setting].set_value({"average": not before, **other, "find": "" if before else "x"}[setting]).run()
    assert values(page)[setting] != shown[setting] and link(page) != linked
    monkeypatch.setattr("pages.parts.shared.linked.goes_back", lambda: True)
    monkeypatch.setattr("pages.parts.shared.late_link.LATE", 0.0)
    page.query_params.clear()
    page.query_params.update(linked)
    page.run()
    assert values(page) == shown and link(page) == linked and not page.warning


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_run_gives_a_widget_no_value_that_it_has(page, setting):
    """The browser takes one that is given for a change, and goes back to it from what was pressed since the run began."""
    widgets(page)[setting].set_value(SETTINGS[setting]).run()
    page.run()
    assert {key: each.proto.set_value for key, each in widgets(page).items()} == dict.fromkeys(SETTINGS, False)


def test_a_link_sets_every_setting_and_may_not_name_more_than_fit(page):
    page.query_params.update(IN_LINK | {"fit": ["x", "y", "z"]})
    page.run()
    assert values(page) == SETTINGS | {"models": ["x", "y"]}


def test_what_a_run_wrote_before_it_was_broken_off_is_no_link_that_somebody_opened(page):
    page.session_state["broken_off"] = True
    page.selectbox[0].set_value("b").run()
    page.session_state["broken_off"] = False
    page.selectbox[0].set_value("c").run()  # a link that asked for b would be told that it cannot be
    assert not page.warning and link(page) == {"layer": "c"}
