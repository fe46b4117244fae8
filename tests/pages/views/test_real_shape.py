"""Explore, Data and Compare of a subject of the shape that measured ones have, under k-fold with averaged repeats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import Store, fit
from encoding.analysis.bootstrap import roi_intervals
from encoding.jobs.tasks import study
from pages.parts.shared.links import explore_query
from tests.conftest import TINY, register_tiny
from tests.encoding.test_real_shape import give_real_shape

SPEC = replace(TINY, split="kfold:5:0", average_repeats=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two finished fits with intervals, made once for every page."""
    with pytest.MonkeyPatch.context() as patch:
        give_real_shape(register_tiny(patch))
        store = Store(tmp_path_factory.mktemp("real"))
        study(SPEC, store)
        roi_intervals(fit(replace(SPEC, layers=("colour",)), store, device="cpu"))
    return store


@pytest.fixture
def real(tiny):
    give_real_shape(tiny)


def text_of(page):
    return " ".join(each.value for kind in (page.markdown, page.info, page.warning, page.error, page.caption) for each in kind)


def test_explore_shows_the_fit_with_its_brain_and_says_how_it_was_scored(real, open_page):
    page = open_page("10_explore", **explore_query(SPEC)).run()
    assert not page.exception and not page.error
    assert page.get("plotly_chart") and "no brain map" not in text_of(page)
    words = text_of(page) + " ".join(chart.proto.spec for chart in page.get("plotly_chart"))
    assert "Repeats of each test stimulus are averaged" in words and "20 test stimuli or groups (40 rows)" in words


@pytest.mark.parametrize("tab", ["Stimuli", "Regions", "Responses"])
def test_data_shows_every_part_of_the_subject(real, open_page, tab):
    page = open_page("20_data", dataset="tiny", tab=tab).run()
    assert not page.exception and not page.error and "was not opened before" not in text_of(page)
    assert page.image or page.get("plotly_chart") or page.get("imgs")


def test_compare_pairs_two_fits_and_the_brain_has_its_places(real, store, open_page):
    one, other = (fit(replace(SPEC, layers=layers), store, device="cpu") for layers in (("pixels",), ("colour",)))
    page = open_page("40_compare", a=one.key, b=other.key).run()
    assert not page.exception and not page.error
    assert "paired bootstrap" in text_of(page) and "It is not known where" not in text_of(page)
    table = page.dataframe[-1].value.set_index("key")
    assert set(table.index) == {one.key, other.key} and np.isfinite(table["score"]).all()
