"""The page of one ROI or vertex, without a browser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import fit
from encoding.analysis.lookup import find_vertex
from tests.conftest import TINY
from tests.pages.views.test_data_page import figure, picked, shown

ON = {"dataset": "tiny", "subject": "subj01"}


@pytest.fixture
def page(tiny, open_page):
    tiny.change(ceiling={hemi: np.linspace(0.1, 0.9, 10).astype(np.float32) for hemi in ("lh", "rh")})
    return open_page("25_region", **ON)


def links(page):
    return [(link.proto.page, link.proto.label, link.proto.query_string) for link in page.get("page_link")]


def test_a_bare_link_says_what_to_do(page):
    page.run()
    assert not page.exception and "press *Random vertex*" in shown(page)
    assert figure(page, "sizes")["data"]  # of regions to choose from
    assert page.sidebar.selectbox(key="subject").options == ["subject 1"]


def test_a_link_to_a_region_that_is_not_there_says_so_once(page):
    page.query_params["roi"] = "nowhere"
    (warning,) = page.run().warning
    assert not page.exception and "Unknown ROI 'nowhere'" in warning.value and "press *Random vertex*" in shown(page)
    page.sidebar.selectbox(key="roi").set_value("driven").run()
    assert not page.warning and page.title[0].value == "driven"


def test_an_roi_has_its_responses_favourites_and_every_fit_that_covers_it(page, tiny, store):
    both = [fit(TINY, store=store), fit(replace(TINY, readout="ols"), store=store)]
    fit(replace(TINY, target_groups="vertex:lh:7"), store=store)
    page.query_params["roi"] = "driven"
    page.run()
    assert not page.exception and page.title[0].value == "driven" and "5 vertices in left hemisphere" in shown(page)
    means = np.concatenate([tiny.subject.responses[hemi][:, :5] for hemi in ("lh", "rh")], axis=1).mean(1)
    assert picked(page, "most") == (np.argsort(-means)[:8] + 1).tolist() and picked(page, "least") == (np.argsort(means)[:8] + 1).tolist()
    assert "2 of 3 finished fits" in shown(page) and len(figure(page, "covering_chart")["layout"]["yaxis"]["ticktext"]) == 2
    predict = [query for name, label, query in links(page) if label == "Predict" and query]
    assert set(predict) == {f"fit={each.key}&roi=driven" for each in both}
    explore = [query for name, label, query in links(page) if label == "Explore" and query]
    assert len(explore) == 2 and all("roi=driven" in query for query in explore)
    assert any("readout=ols" in query for query in explore)


def test_fits_that_differ_in_a_parameter_alone_are_told_apart_by_it(page, tiny, store):
    for alpha in (1.0, 1e6):
        fit(replace(TINY, readout="ridge", options={"alpha": alpha}), store=store)
    page.query_params["roi"] = "driven"
    page.run()
    names = figure(page, "covering_chart")["layout"]["yaxis"]["ticktext"]
    assert len(names) == 2 and {"ridge alpha=1.0" in name.replace("<br>", " ") for name in names} == {True, False}


def test_a_vertex_has_its_own_and_a_random_one_is_one_of_the_subjects(page, tiny, store):
    fit(TINY, store=store)
    page.query_params.update({"vertex": "rh 3", "stimulus": "7"})
    page.run()
    column = tiny.subject.responses["rh"][:, 3]
    assert not page.exception and page.title[0].value == "Vertex rh 3" and "In **driven**" in shown(page)
    assert picked(page, "most") == (np.argsort(-column)[:8] + 1).tolist()
    assert figure(page, "tuning")["layout"]["annotations"][0]["text"].startswith("stimulus 7, ")
    found = set()
    for _ in range(4):
        page.button(key="random_vertex").click().run()
        assert not page.exception
        found.add(find_vertex(tiny.subject, page.text_input(key="vertex").value))
    assert len(found) > 1


@pytest.mark.parametrize(("roi", "words"), [("empty", "has no vertices in this subject"), ("noise", "No fit of this subject is finished")])
def test_what_is_missing_is_said(page, roi, words):
    page.query_params["roi"] = roi
    page.run()
    assert not page.exception and words in shown(page)


def test_choosing_a_region_leaves_the_vertex(page):
    page.query_params["vertex"] = "lh 2"
    page.run()
    page.selectbox(key="roi").select("noise").run()
    assert not page.exception and page.title[0].value == "noise" and page.text_input(key="vertex").value == ""
