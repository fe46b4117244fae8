"""A link that a browser sends before it heard what the last run wrote into it."""

from __future__ import annotations

import ast

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.shared import late_link
from tests import PROJECT


def _page() -> None:
    import streamlit as st

    from pages.parts.shared.late_link import keep_what_was_written
    from pages.parts.shared.linked import choose, count, switch, write_link

    def go(name):
        st.session_state["gone_to"] = name

    st.session_state["_page_of_run"] = st.session_state.get("page", "one")
    with keep_what_was_written():
        if (gone_to := st.session_state.pop("gone_to", None)) is not None:
            write_link("lesson", gone_to, "")
        choose("Layer", "layer", ["a", "b", "c"], "a")
        if st.session_state.get("broken_off"):
            raise RuntimeError
        count("Components", "components", 1, 1, 9)
        switch("Average", "average")
        st.button("B again", on_click=lambda: st.session_state.update(layer="b"))
        st.button("None", on_click=go, args=("",))
        st.button("One", on_click=go, args=("one",))


def _page_with_a_fragment() -> None:
    import streamlit as st

    from pages.parts.shared.late_link import keep_what_was_written
    from pages.parts.shared.linked import linked_value, write_link

    @keep_what_was_written()
    def fragment() -> None:
        linked_value("at", "shown", str, "a")
        write_link("shown", st.select_slider("Layer", ["a", "b", "c"], key="at"), ())

    if st.session_state.get("alone"):
        fragment()
    else:
        with keep_what_was_written():
            fragment()


@pytest.fixture
def page():
    page = AppTest.from_function(_page)
    page.query_params.update({"layer": "b", "components": "3"})
    page.run()
    assert values(page) == ("b", 3, False)
    return page


def values(page) -> tuple:
    return page.selectbox(key="layer").value, page.number_input(key="components").value, page.toggle(key="average").value


def late(page, **link: str) -> AppTest:
    """The page with the link that its browser still has."""
    page.query_params.clear()
    page.query_params.update(link)
    return page


@pytest.mark.parametrize("layer", ["c", "a"])  # another value, and the default, which no link holds
def test_the_second_of_two_quick_changes_leaves_the_first_one_alone(page, layer):
    page.selectbox(key="layer").set_value(layer).run()
    late(page, layer="b", components="3").number_input(key="components").set_value(4).run()
    assert values(page) == (layer, 4, False)
    late(page, layer="b", components="3").toggle(key="average").set_value(True).run()
    assert values(page) == (layer, 4, True)
    linked = {"components": "4", "average": "true"} | ({"layer": layer} if layer != "a" else {})
    assert {name: page.query_params[name] for name in page.query_params} == linked


def test_a_fragment_is_a_part_of_its_page_and_a_run_of_its_own():
    page = AppTest.from_function(_page_with_a_fragment)
    page.query_params["shown"] = "a"
    page.run()
    for number, (alone, shown) in enumerate([(False, "b"), (True, "c"), (True, "b"), (False, "a")]):
        page.session_state["alone"] = alone
        page.query_params["shown"] = "a"  # the browser heard of nothing
        page.select_slider(key="at").set_value(shown).run()
        assert page.select_slider(key="at").value == shown == page.query_params["shown"], number


def test_one_setting_changed_twice_has_its_last_value(page):
    page.selectbox(key="layer").set_value("c").run()
    late(page, layer="b", components="3").selectbox(key="layer").set_value("a").run()
    assert values(page)[0] == "a" and "layer" not in page.query_params
    late(page, layer="c", components="3").selectbox(key="layer").set_value("b").run()
    assert values(page)[0] == "b" and page.query_params["layer"] == "b"


def test_a_run_that_is_broken_off_is_remembered(page):
    page.session_state["broken_off"] = True
    page.selectbox(key="layer").set_value("c").run()
    page.session_state["broken_off"] = False
    late(page, layer="b", components="3").run()
    assert values(page) == ("c", 3, False)


def test_a_link_that_was_heard_and_then_changes_back_is_followed(page):
    page.selectbox(key="layer").set_value("c").run()
    page.run()
    late(page, layer="b", components="3").run()
    assert values(page)[0] == "b"


@pytest.mark.parametrize("why", ["other link", "other page", "later"])
def test_a_link_that_somebody_follows_is_not_late(page, why, monkeypatch):
    page.selectbox(key="layer").set_value("c").run()
    link = {"layer": "b", "components": "3"}
    if why == "other link":
        link |= {"components": "5", "average": "true"}
    elif why == "other page":
        page.session_state["page"] = "two"
    else:
        monkeypatch.setattr(late_link, "LATE", 0.0)
    late(page, **link).run()
    assert values(page) == ("b", int(link["components"]), "average" in link)


def test_a_press_that_takes_back_what_was_just_done_is_followed(page):
    page.selectbox(key="layer").set_value("c").run()
    page.button[0].click().run()
    assert values(page)[0] == "b" and page.query_params["layer"] == "b"
    late(page, layer="c", components="3").number_input(key="components").set_value(4).run()  # and outlives late news as a widget's does
    assert values(page)[:2] == ("b", 4)
    for _ in range(2):  # there and back, as from the course to a lesson
        page.button[2].click().run()
        assert page.query_params["lesson"] == "one"
        page.button[1].click().run()
        assert "lesson" not in page.query_params


def test_no_callback_writes_the_link():
    checked = 0
    for path in sorted((PROJECT / "pages").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
        given = [word.value for call in calls for word in call.keywords if (word.arg or "").startswith("on_")]
        for callback in {node.id for value in given for node in ast.walk(value) if isinstance(node, ast.Name)} & functions.keys():
            assert not writes_link(functions[callback], functions), (path.name, callback)
            checked += 1
    assert checked > 20


def writes_link(function: ast.FunctionDef, others: dict[str, ast.FunctionDef], seen: frozenset[str] = frozenset()) -> bool:
    """Whether a function, or one of its module that it calls, changes the query parameters."""
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del) and ast.unparse(node.value) == "st.query_params":
            return True
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.startswith("st.query_params.") and called.rpartition(".")[2] in {"pop", "update", "clear", "from_dict", "setdefault"}:
                return True
            if called == "write_link" or (called in others and called not in seen and writes_link(others[called], others, seen | {called})):
                return True
    return False
