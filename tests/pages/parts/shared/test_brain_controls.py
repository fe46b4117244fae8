"""Controls beside brain maps: low values of a score are hidden, and high ones of an error."""

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
