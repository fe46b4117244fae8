"""Controls beside brain maps: low values of a score are hidden, and high ones of an error; what they show stands in the link."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from encoding.evaluation.scores import SCORES


def page(score: str) -> None:
    import streamlit as st

    from pages.parts.shared.brain_controls import threshold_control

    st.json(threshold_control(st, score, 2.0, 0.05, key="hide"))


@pytest.mark.parametrize("score", SCORES)
def test_every_score_is_hidden_from_its_bad_end(score: str) -> None:
    import json

    at = AppTest.from_function(page, args=(score,), default_timeout=60).run()
    assert not at.exception
    above = SCORES[score].lower_is_better
    assert at.slider[0].label == f"Hide values {'above' if above else 'below'}"
    assert json.loads(at.json[0].value) == {"threshold": 0.0, "hide_above": above}, "nothing is hidden at first"
    at.slider[0].set_value(0.5).run()
    assert json.loads(at.json[0].value) == {"threshold": 0.5, "hide_above": above}


def linked_page(score: str) -> None:
    import streamlit as st

    from pages.parts.shared.brain_controls import colour_controls, outline_control, surface_control
    from pages.parts.shared.link_notes import expect, read_link, say_unread

    read_link(st)
    expect(("surface", "outlines", "colours", "hide"))
    classes = {"early": ["V1"], "faces": ["FFA"]}
    looks = {"surface": surface_control(st), "outlined": outline_control(st, classes), **colour_controls(st, score, 1.0, (0.0, 0.8), 0.05)}
    st.json(looks)
    say_unread()


def test_the_look_of_a_brain_stands_in_the_link_and_comes_back_from_it():
    import json

    at = AppTest.from_function(linked_page, args=("r",), default_timeout=60).run()
    assert not at.exception and not at.query_params and not at.warning
    at.segmented_control(key="surface").set_value("flat")
    at.multiselect(key="outlines").set_value([])
    at.slider(key="range_r").set_value((0.1, 0.5))
    at.slider(key="threshold_r").set_value(0.2).run()
    link = dict(at.query_params.items())
    assert link == {"surface": "flat", "outlines": "none", "colours": "0.1,0.5", "hide": "0.2"}
    opened = AppTest.from_function(linked_page, args=("r",), default_timeout=60)
    opened.query_params.update(link)
    assert json.loads(opened.run().json[0].value) == json.loads(at.json[0].value) and not opened.warning


def page_of_fits() -> None:
    import streamlit as st

    from pages.parts.shared.brain_controls import colour_controls
    from pages.parts.shared.late_link import keep_what_was_written

    with keep_what_was_written():
        highest = st.selectbox("Fit", [0.8, 0.3], key="highest")
        st.json(colour_controls(st, "r", 1.0, (0.0, highest), 0.05))


def test_colours_are_those_of_the_fit_at_hand_until_somebody_chooses_them():
    import json

    at = AppTest.from_function(page_of_fits, default_timeout=60).run()

    def colours(highest: float) -> list[float]:
        at.selectbox(key="highest").set_value(highest).run()
        assert not at.exception
        return json.loads(at.json[0].value)["colour_range"]

    for highest in (0.8, 0.3, 0.8, 0.3):
        assert colours(highest) == [0.0, highest] and not at.query_params
    at.slider(key="range_r").set_value((0.1, 0.5)).run()
    assert colours(0.8) == colours(0.3) == [0.1, 0.5] and at.query_params["colours"] == "0.1,0.5"


def test_a_look_that_cannot_be_is_named():
    at = AppTest.from_function(linked_page, args=("rmse",), default_timeout=60)
    at.query_params.update({"surface": "bent", "outlines": "hands", "colours": "0.5,0.2", "hide": "7"})
    (warning,) = at.run().warning
    for expected in (
        "Unknown surface 'bent'. Known: inflated, ",
        "**outlines** cannot be hands",
        "**colours** must be two numbers",
        "**hide** must be from 0",
    ):
        assert expected in warning.value
