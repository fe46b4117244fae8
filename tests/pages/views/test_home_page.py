"""The Home page, without a browser."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from encoding import FitSpec, fit
from encoding.backbones import WeightsFile
from encoding.jobs import Job
from encoding.jobs.machine import Machine
from encoding.jobs.tasks import study
from pages.parts.home import doors, findings
from pages.parts.home import panels as home
from pages.parts.shared.links import view
from tests.conftest import TINY
from tests.pages.conftest import NoWorkers

MACHINE = Machine(n_cores=4, memory=8e9, disk=1e11, device="cpu", gpus=())


@pytest.fixture
def page(open_page, tmp_path, monkeypatch):
    """The app at its first page, with an empty Store, no data and no worker process."""
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(findings, "machine", lambda root: MACHINE)
    return open_page()


@pytest.fixture
def drawn(monkeypatch):
    """The brains that the page drew."""
    brains = []
    monkeypatch.setattr(home, "brain_view", lambda brain, **more: brains.append(brain))
    return brains


def ended(state, error=None):
    return Job(
        key="", spec=None, state=state, position=None, fraction=0.3, text="features", seconds=2, seconds_left=None, error=error,
        error_kind=None, log=(),
    )  # fmt: skip


def shown(page):
    return " ".join(element.value for kind in (page.title, page.markdown, page.info, page.caption, page.header) for element in kind)


def test_the_tour_has_four_steps_on_a_first_visit_and_ends_when_it_is_done_or_skipped(page, drawn):
    page.run()
    assert not page.exception and not [button for button in page.button if button.key == "tour_next"]  # the browser has not said anything
    page.button(key="take_tour").click().run()
    titles = []
    for _ in range(3):
        titles += [text.value for text in page.markdown if " of 4 · " in text.value]
        page.button(key="tour_next").click().run()
    page.button(key="tour_done").click().run()
    assert not page.exception and len(titles) == 3 and not any(" of 4 · " in text.value for text in page.markdown)
    page.button(key="take_tour").click().run()
    page.button(key="tour_skip").click().run()
    assert not any(" of 4 · " in text.value for text in page.markdown)


def test_a_first_visit_sees_a_brain_at_once_and_starts_the_first_fit_once(page, drawn, store):
    page.run()
    assert not page.exception and [each[:2] for each in NoWorkers.submitted] == [(study, FitSpec())]
    assert "noise ceiling" in drawn[0].title and "Simulated: no brain was measured" in shown(page)
    assert set(drawn[0].values) == {"lh", "rh"} and "V1v" in drawn[0].outlined and "V1v" in drawn[0].rois["lh"]
    assert not list(store.root.glob("responses/*"))  # nothing was simulated in the session
    NoWorkers.job = ended("running")
    page.run()
    assert len(NoWorkers.submitted) == 1 and "30%" in page.get("progress")[0].proto.text


def test_the_ceiling_shown_meanwhile_is_the_one_that_the_simulation_gets(page, drawn, store):
    from encoding.datasets.demo import Demo

    page.run()
    subject = Demo(n_stimuli=20, n_unlabelled=2).open("subj01", store)
    for hemi in ("lh", "rh"):
        np.testing.assert_array_equal(drawn[0].values[hemi], subject.ceiling[hemi])
        np.testing.assert_array_equal(drawn[0].vertices[hemi], subject.vertices[hemi])


def test_a_finished_fit_is_painted(page, drawn, tiny, store, monkeypatch):
    places = {hemi: np.arange(10) * 3 for hemi in ("lh", "rh")}
    tiny.change(vertices=places, ceiling={hemi: np.full(10, 0.5, np.float32) for hemi in places})
    for module in ("pages.parts.home.panels", "pages.parts.shared.fit_controls"):
        monkeypatch.setattr(f"{module}.START", TINY)
    study(TINY, store)

    result = fit(TINY, store)
    page.run()
    assert not page.exception and NoWorkers.submitted == [] and drawn[0].title == "r per vertex"
    np.testing.assert_array_equal(drawn[0].values["lh"], result.score("lh"))
    np.testing.assert_allclose(drawn[0].ceiling["rh"], np.sqrt(0.5), rtol=1e-6)
    assert "Best predicted region: **driven**" in shown(page) and f"over {result.n_test} images" in shown(page)


@pytest.mark.parametrize(
    ("job", "message"), [(ended("failed", "No room."), "The first fit failed: No room."), (ended("cancelled"), "was cancelled")]
)
def test_a_fit_that_did_not_come_says_why_and_can_be_started_again(page, drawn, job, message):
    NoWorkers.job = job
    page.run()
    assert message in " ".join(element.value for kind in (page.error, page.info) for element in kind) and NoWorkers.submitted == []
    page.button(key="home_fit").click().run()
    assert [each[:2] for each in NoWorkers.submitted] == [(study, FitSpec())] and len(drawn) == 2


def test_a_server_that_only_shows_starts_nothing(page, drawn, monkeypatch):
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    page.run()
    assert not page.exception and NoWorkers.submitted == [] and len(drawn) == 1


def test_links_from_when_explore_came_first_still_open_explore(page, drawn):
    page.query_params.update({"layer": ["simple", "energy"], "roi": "V1v", "components": "50"})
    page.run()
    assert not page.exception and "simple + energy" in page.title[0].value and not drawn
    assert page.multiselect(key="layer").value == ["simple", "energy"] and page.number_input(key="components").value == 50


def cards(page):
    """Title of each card, in order: a link where something is opened, a button where a fit is started."""
    found = {link.proto.label for link in page.get("page_link")} | {button.label for button in page.button}
    return [door.title for door in doors.DOORS if door.title in found]


def test_every_door_is_there_and_leads_to_a_page(page, drawn):
    page.run()
    assert cards(page) == [door.title for door in doors.DOORS] and len(doors.DOORS) == 6
    assert all(view(door.page) is not None for door in doors.DOORS) and view("nowhere") is None
    started = [button.label for button in page.button if str(button.key).startswith("go_")]
    assert started == [door.title for door in doors.DOORS if door.spec is not None]


def test_a_door_starts_its_fit_and_opens_explore_on_it(page, drawn):
    page.run()
    page.button(key="go_simple").click().run()
    assert not page.exception and FitSpec(layers=("simple",)) in NoWorkers.specs()
    assert page.selectbox(key="layer").value == "simple"


def test_a_finished_fit_is_opened_by_a_link_and_is_among_the_recent_ones(page, drawn, tiny, store, monkeypatch):
    monkeypatch.setattr(doors, "DOORS", (doors.Door("one", "This one", "About it.", "explore", TINY),))
    fit(TINY, store), fit(replace(TINY, layers=("colour",)), store), fit(replace(TINY, split="kfold:4:0/holdout:0.8:0"), store)
    page.run()
    links = {link.proto.label: link.proto.query_string for link in page.get("page_link")}
    assert "backbone=tinynet" in links["This one"] and "ready" in shown(page)
    recent = [text for text in links if text.replace("\\", "").startswith("tinynet ")]
    assert len(recent) == 2 and "colour" in recent[0] and "pixels" in recent[1] and "a=fit-" in links["**Compare the two newest**"]


def test_a_door_says_how_long_its_fit_takes(page, drawn, tiny, monkeypatch):
    monkeypatch.setattr(doors, "DOORS", (doors.Door("one", "This one", "About it.", "explore", TINY),))
    page.run()
    assert re.search(r"About it\. :blue-badge\[\d+ s\]", shown(page))


def test_a_server_that_only_shows_has_links_and_no_buttons(page, drawn, monkeypatch):
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    page.run()
    assert [button.key for button in page.button] == ["take_tour"] and cards(page) == [door.title for door in doors.DOORS]


def test_what_is_here_is_counted_and_what_is_not_has_a_link_to_how_it_is_got(page, drawn, tmp_path):
    page.run()
    assert "Data sets: 1 of 4 are here" in [each.label for each in page.expander]
    listed = [element.value for element in page.markdown if ":small[" in element.value]
    assert listed[0].startswith(":green") and "Demo" in listed[0]
    (missing,) = [line for line in listed if "Algonauts 2023" in line]
    assert missing.startswith(":gray") and str(tmp_path / "data" / "algonauts2023") in missing
    assert any(link.proto.query_string == "dataset=algonauts2023" for link in page.get("page_link"))
    page.button(key="simulate_algonauts2023").click().run()
    assert "Simulate algonauts2023" in map(str, NoWorkers.specs())


def test_weights_that_are_here_are_counted_and_named(page, drawn, monkeypatch, tmp_path):
    there = tmp_path / "alexnet.pth"
    there.touch()
    files = [WeightsFile(network=f"net{i}", path=there if i < 1 else tmp_path / "no", address="", licence="", sha256="") for i in range(3)]
    monkeypatch.setattr(findings, "every_file", lambda: files)
    page.run()
    assert "Pretrained weights: 1 of 3 networks' are here" in [each.label for each in page.expander] and "those of net0." in shown(page)
