"""The glossary is in reach on every page, and costs nothing until it is opened."""

from streamlit.testing.v1 import AppTest

from pages.parts.shared.glossary import REGIONS, TERMS, explain


def _shown(opened: bool) -> None:
    import streamlit as st

    from pages.parts.shared.glossary import glossary

    st.session_state.setdefault("glossary", opened)
    glossary()


def texts(opened: bool, word: str | None = None) -> str:
    at = AppTest.from_function(_shown, args=(opened,)).run()
    if word:
        at = at.selectbox(key="glossary_word").select(word).run()
    assert not at.exception
    return " ".join(each.value for each in at.markdown)


def test_a_closed_glossary_sends_nothing_and_an_open_one_every_word():
    assert texts(False) == ""
    assert all(f"**{word}** {explain(word)}" in texts(True) for word in (*list(TERMS)[:3], *list(REGIONS)[:3]))


def test_one_word_is_found():
    assert texts(True, "PPA") == f"**PPA** {explain('PPA')}"
