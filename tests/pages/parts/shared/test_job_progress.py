"""How a job stands, said on a page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from encoding import FitSpec
from encoding.jobs import Job
from pages.parts.shared.job_progress import live_losses, stages_text, standing
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
    assert behind.startswith("Waiting, place 2 in the queue; now running: Fit tiny subj01") and "lasso" in behind and "Gabor" in behind


def test_the_stages_of_a_fit_are_ticked_up_to_the_one_under_way():
    text = stages_text(TINY, replace(JOB, state="running", stage="readout"))
    places = [text.index(each) for each in ("✓ images", "✓ components", "**● readout**", "○ scores", "○ intervals")]
    assert places == sorted(places)
    assert "✓" not in stages_text(TINY, replace(JOB, state="running", stage=""))
    without_components = stages_text(replace(TINY, readout="finetune"), JOB)
    assert "components" not in without_components and "readout" in without_components


def test_losses_are_drawn_while_a_network_is_trained(monkeypatch):
    drawn = []
    monkeypatch.setattr("pages.parts.shared.job_progress.chart", lambda figure, key, **_: drawn.append(figure))
    epochs = [{"epoch": n, "train_loss": 1 / n, "validation_loss": 2 / n, "learning_rate": 0.1 / n} for n in (1, 2, 3)]
    live_losses(replace(JOB, state="running", epochs=tuple(epochs[:1])))  # one epoch is no curve
    live_losses(replace(JOB, state="running", epochs=tuple(epochs)))
    (figure,) = drawn
    assert [list(trace.y) for trace in figure.data] == [[1, 1 / 2, 1 / 3], [2, 1, 2 / 3]]
    assert all("learning rate" in trace.hovertemplate and list(trace.customdata) == [0.1, 0.05, 0.1 / 3] for trace in figure.data)
