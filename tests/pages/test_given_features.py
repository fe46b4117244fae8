"""Pages on a subject of names alone, with a feature table: it is chosen among networks, fitted, shown, and says why no image is."""

from __future__ import annotations

import pytest

from encoding.jobs.tasks import study
from pages.parts.shared.links import explore_query
from tests.encoding.datasets.own.test_given_features import SPEC, folder  # noqa: F401

TABLE = "given/words"


def widgets(page, kind):
    return {each.key: each for each in page.get(kind)}


def test_a_table_is_among_the_networks_of_its_data_set_and_settings_of_networks_are_not_offered(folder, open_page, store):  # noqa: F811
    study(SPEC, store)
    page = open_page(**explore_query(SPEC))
    page.run()
    assert not page.exception and not page.error
    boxes = widgets(page, "selectbox")
    assert "words (given)" in boxes["backbone"].options and boxes["backbone"].value == "given/words"
    assert not {"pool", "weights"} & boxes.keys() and "input" not in widgets(page, "text_input")
    page.session_state["part"] = "Predictions"
    page.run()
    assert page.button(key="fit").disabled and page.get("plotly_chart")
    other = open_page(dataset="demo")
    other.run()
    assert TABLE not in widgets(other, "selectbox")["backbone"].options


@pytest.mark.parametrize("view", ["20_data", "50_predict"])
def test_pages_with_images_say_why_there_are_none(folder, open_page, store, view):  # noqa: F811
    study(SPEC, store)
    page = open_page(view, **explore_query(SPEC), stimulus="1")
    page.run()
    assert not page.exception
    texts = " ".join(each.value for kind in (page.error, page.info, page.warning) for each in kind)
    wanted = {"20_data": "no images of them are known", "50_predict": "in which new images have no row"}[view]
    assert wanted in texts.replace("\\", "")
