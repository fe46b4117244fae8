import pytest
from streamlit.testing.v1 import AppTest


def app():
    import streamlit as st

    from pages.parts.shared.former_links import read_former_parameters

    read_former_parameters()
    st.write(dict(st.query_params))


@pytest.mark.parametrize(
    ("former", "today"),
    [
        ({"score": "normalised"}, {"score": "normalised_r2"}),
        ({"score": "relative", "layer_score": "normalised"}, {"score": "normalised_r", "layer_score": "normalised_r2"}),
        ({"score": "official", "focus": "roi"}, {"score": "algonauts2023", "target_groups": "roi"}),
    ],
)
def test_links_of_the_first_release_are_read_and_said_to_be_old(former, today):
    page = AppTest.from_function(app, default_timeout=60)
    for name, value in former.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception and {name: page.query_params[name] for name in page.query_params} == today
    assert "earlier release" in page.toast[0].value


def test_a_link_of_today_is_left_alone():
    page = AppTest.from_function(app, default_timeout=60)
    page.query_params["score"] = "r2"
    page.run()
    assert page.query_params["score"] == "r2" and not page.toast
