"""What tests of pages share: a page over its own empty Store, and jobs of which none ever runs."""

from __future__ import annotations

import re

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest, element_tree

from encoding.experiments.run import run_serially
from encoding.jobs import Job
from tests import PROJECT

APP = str(PROJECT / "app.py")


class NoWorkers:
    """Remembers what was submitted and cancelled, and does none of it; ``job`` is how the job of its key stands, or every job's without."""

    submitted: list = []
    cancelled: list = []
    job: Job | None = None

    def __init__(self, root):
        NoWorkers.submitted, NoWorkers.cancelled = [], []

    carry_out = staticmethod(run_serially)  # an experiment's tasks, in the thread that asks

    def start(self):
        pass

    def get(self, key):
        return NoWorkers.job if NoWorkers.job is not None and NoWorkers.job.key in ("", key) else None

    def all(self):
        return []

    def submit(self, task, spec, *, key, planned=None, optional=False):
        NoWorkers.submitted.append((task, spec, key))
        return NoWorkers.job

    def cancel(self, key):
        NoWorkers.cancelled.append(key)

    @staticmethod
    def specs():
        """What the submitted jobs were of, in their order."""
        return [spec for _, spec, _ in NoWorkers.submitted]


@pytest.fixture(autouse=True)
def texts_as_they_are_read(monkeypatch):
    """Let AppTest give texts as people read them, without the backslashes that keep Markdown from reading anything into them."""
    for kind in (element_tree.AlertBase, element_tree.HeadingBase, element_tree.Markdown, element_tree.Toast):
        monkeypatch.setattr(kind, "value", property(lambda self: re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", self.proto.body)))


@pytest.fixture(autouse=True)
def charts_are_in_sight(monkeypatch):
    """Let AppTest, which has no window to scroll, see the charts further down a page."""
    monkeypatch.setattr("pages.parts.shared.chart.when_seen", lambda draw, key, height: draw())


@pytest.fixture
def open_page(store, monkeypatch):
    """``open_page("10_explore", dataset="tiny")``: a page as a link opens it, before its first run, but that Advanced is open."""
    from pages.parts.shared import server_state

    def forget():
        st.cache_resource.clear()
        st.cache_data.clear()

    def opened(view: str = "", *, workers: type = NoWorkers, **link: str) -> AppTest:
        forget()
        monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
        monkeypatch.setattr(server_state, "Jobs", workers)
        monkeypatch.setattr(NoWorkers, "job", None)
        monkeypatch.setattr(NoWorkers, "submitted", [])
        at = AppTest.from_file(APP, default_timeout=60)
        if view:
            at.switch_page(f"pages/views/{view}.py")
        at.query_params.update(link)
        at.session_state["advanced"] = True
        return at

    yield opened
    forget()
