"""Delays on Explore: offered where rows are samples of runs, read from a link and written into one."""

from dataclasses import replace

from pages.parts.shared.links import explore_query
from tests.encoding.features.test_delays import SPEC, film  # noqa: F401


def fields(page):
    return {each.key: each for each in page.get("text_input")}


def test_delays_of_a_film_are_a_field_that_a_link_holds(film, open_page):  # noqa: F811
    spec = replace(SPEC, delays="2,3/3", options={}, split="runs")
    query = explore_query(spec)
    assert query["delays"] == "2,3/3"
    page = open_page(**query)
    page.run()
    assert not page.exception and not page.error
    assert fields(page)["delays"].value == "2,3/3" and "samples of 6 runs, one every 1.5 s" in fields(page)["delays"].help
    fields(page)["delays"].input("two").run()
    assert not page.exception and "Delays are" in page.error[0].value
