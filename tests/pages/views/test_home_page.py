"""The Home page, without a browser."""

from __future__ import annotations

import numpy as np
import pytest

from encoding import FitSpec, fit
from encoding.backbones import WeightsFile
from encoding.jobs import Job
from encoding.jobs.machine import Machine
from encoding.jobs.tasks import study
from pages.parts.home import panels as home
from tests.conftest import TINY
from tests.pages.conftest import NoWorkers

MACHINE = Machine(n_cores=4, memory=8e9, disk=1e11, device="cpu", gpus=())


@pytest.fixture
def page(open_page, tmp_path, monkeypatch):
    """The app at its first page, with an empty Store, no data and no worker process."""
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(home, "machine", lambda root: MACHINE)
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
    return " ".join(element.value for kind in (page.header, page.markdown, page.info, page.caption, page.subheader) for element in kind)


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
    assert not page.exception and page.header[0].value == "Explore" and not drawn
    assert page.multiselect(key="layer").value == ["simple", "energy"] and page.number_input(key="components").value == 50


def test_there_is_a_door_to_every_page_that_is_there(page, drawn, tmp_path, monkeypatch):
    page.run()
    doors = [link.proto.page for link in page.get("page_link")]
    assert doors == [name for name in home.PAGE_LINKS if home.view(name) is not None] and "explore" in doors
    assert home.view("nowhere") is None and home.view("data").name == "20_data.py"


def test_what_is_here_comes_first_and_what_is_not_says_where_it_would_be(page, drawn, tmp_path):
    page.run()
    told = [element.value for element in page.markdown if ":small[" in element.value]
    assert told[0].startswith(":green") and "Demo" in told[0]
    (missing,) = [line for line in told if "Algonauts 2023" in line]
    assert missing.startswith(":gray") and str(tmp_path / "data" / "algonauts2023") in missing
    assert str(MACHINE) in shown(page) and "100 GB on the disk" in shown(page)


def test_weights_that_are_here_are_counted_and_named(page, drawn, monkeypatch, tmp_path):
    there = tmp_path / "alexnet.pth"
    there.touch()
    files = [WeightsFile(network=f"net{i}", path=there if i < 1 else tmp_path / "no", address="", licence="", sha256="") for i in range(3)]
    monkeypatch.setattr(home, "every_file", lambda: files)
    assert "1 of 3 networks: net0" in shown(page.run())
