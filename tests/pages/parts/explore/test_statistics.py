"""Statistics of a fit on Explore: computed only when asked for, then shown."""

from dataclasses import replace

import pytest

from encoding import FitSpec
from encoding.jobs.tasks import AnalysisRequest, analyse, study
from encoding.runtime.progress import silent
from pages.parts.shared.links import explore_query
from tests import with_nightly
from tests.conftest import TINY
from tests.pages.conftest import NoWorkers

SPEC = replace(TINY, split=FitSpec().split, layers=("pixels", "colour"), readout="banded_ridge")
CHARTS = {"significance": 0, "partition": 1, "similarity": 1, "spectrum": 1}


@pytest.mark.parametrize("kind", with_nightly(CHARTS, always=("significance", "similarity")))
def test_statistics_are_computed_when_asked_for_and_then_shown(tiny, open_page, store, kind):
    page = open_page("10_explore", **explore_query(SPEC))
    study(SPEC, store)
    page.run()
    assert not page.exception and NoWorkers.submitted == []
    before = len(page.get("plotly_chart"))
    page.session_state[f"statistics_{kind}"] = True
    page.run()
    page.button(key=f"compute_{kind}").click().run()
    assert not page.exception
    (request,) = NoWorkers.specs()
    assert isinstance(request, AnalysisRequest) and request.kind == kind
    analyse(request, store, silent, "cpu")
    page.run()
    assert not page.exception and len(page.get("plotly_chart")) == before + CHARTS[kind] and len(page.dataframe) == (kind != "spectrum")
