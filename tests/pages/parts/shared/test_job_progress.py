"""How a job stands, said on a page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from encoding import FitSpec
from encoding.jobs import Job
from pages.parts.shared.job_progress import standing
from tests.conftest import TINY
from tests.pages.conftest import NoWorkers

JOB = Job(
    key="",
    spec=TINY,
    state="queued",
    position=2,
    fraction=0.0,
    text="Waiting for a worker",
    seconds=0.0,
    seconds_left=None,
    error=None,
    error_kind=None,
    log=(),
)


@pytest.mark.parametrize(
    ("state", "shown"),
    [("done", "The job is done, but the fit is not here"), ("cancelled", "Cancelled."), ("failed", "The fit failed: no room")],
)
def test_a_job_that_ended_without_a_result_says_so_and_can_be_started_again(tiny, open_page, monkeypatch, state, shown):
    at = open_page("10_explore", dataset="tiny", subject="subj01", backbone="tinynet", layer="pixels", components="0")
    at.run()
    monkeypatch.setattr(NoWorkers, "job", replace(JOB, state=state, position=None, error="no room" if state == "failed" else None))
    at.run()
    assert not at.exception and not at.button(key="fit").disabled
    assert any(shown in each.value for each in (*at.warning, *at.info, *at.error))


def test_a_waiting_job_names_what_runs():
    assert standing(JOB) == "Waiting, place 2 in the queue"
    other = replace(TINY, readout="lasso")
    behind = standing(replace(JOB, running=(other, FitSpec())))
    assert behind.startswith("Waiting, place 2 in the queue; now running: Fit tiny subj01") and "lasso" in behind and "gabor" in behind
