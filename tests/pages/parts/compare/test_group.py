"""Fits of several subjects on Compare, as one group."""

from dataclasses import replace

from encoding import DATASETS, fit
from encoding.jobs.tasks import AnalysisRequest, analyse
from encoding.runtime.progress import silent
from tests.conftest import TINY
from tests.encoding.analysis.test_group import SUBJECTS, ThreeSubjects
from tests.pages.conftest import NoWorkers


def test_fits_of_three_subjects_are_a_group_whose_models_are_tested_across_when_asked_for(tiny, open_page, store, monkeypatch):
    monkeypatch.setitem(DATASETS._members, "tiny", ThreeSubjects())
    keys = [fit(replace(TINY, subject=name, split="first:90"), store, device="cpu").key for name in SUBJECTS]
    page = open_page("40_compare")
    page.query_params.update({"a": keys[0], "b": keys[1:]})
    page.run()
    assert not page.exception and "As a group of 3 subjects" in {each.label for each in page.expander}
    before = len(page.get("plotly_chart"))
    page.session_state["group"] = True
    page.run()
    assert not page.exception and len(page.get("plotly_chart")) == before + 1
    page.button(key="compute_across").click().run()
    (request,) = NoWorkers.specs()
    assert isinstance(request, AnalysisRequest) and set(request.keys) == set(keys)
    analyse(request, store, silent, "cpu")
    n_tables = len(page.dataframe)
    page.run()
    assert not page.exception and len(page.dataframe) == n_tables + 1
