"""The component's Python side: what it serves, what a click means, and what it says when it cannot serve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.parts.shared import brain_component as brain

APP = """
import numpy as np, streamlit as st
from encoding.plots.brain.brain_map import BrainMap
from pages.parts.shared.brain_component import brain_view
vertices = {"lh": np.array([5, 3, 20_000]), "rh": np.array([7])}
values = {hemi: np.zeros(len(places), np.float32) for hemi, places in vertices.items()}
st.text(str(brain_view(BrainMap(values=values, vertices=vertices), key="view")))
"""


@pytest.fixture
def app(tmp_path: Path) -> AppTest:
    script = tmp_path / "app.py"
    script.write_text(APP)
    return AppTest.from_file(str(script), default_timeout=60)


def test_the_first_run_puts_the_viewer_and_the_meshes_beside_the_main_script(app: AppTest, tmp_path: Path) -> None:
    app.run(timeout=30)
    assert not app.exception
    assert {path.name for path in (tmp_path / "static").iterdir()} == {brain.VIEWER_FILE, brain.MESH_FILES["fsaverage5"]}
    assert "createBrainView" in (tmp_path / "static" / brain.VIEWER_FILE).read_text("utf-8")


def test_a_file_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old")
    brain._write(tmp_path / "there", lambda: pytest.fail("made again"))
    assert (tmp_path / "there").read_text() == "old"


def test_a_static_folder_that_cannot_be_written_is_named(app: AppTest, tmp_path: Path) -> None:
    (tmp_path / "static").write_text("a file where the folder should be")
    app.run(timeout=30)
    assert app.exception[0].message.startswith(f"The brain needs to write {brain.VIEWER_FILE} into {tmp_path / 'static'}, which failed: ")
    assert "Make that folder writable" in app.exception[0].message


def test_static_serving_turned_off_is_told_before_anything_is_drawn(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    option = st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: False if name == "server.enableStaticServing" else option(name))
    app.run(timeout=30)
    assert "static serving" in app.exception[0].message


@pytest.mark.parametrize(
    ("state", "selection"),
    [
        ({}, None),
        ({"vertex": None}, None),
        ({"vertex": {"hemi": "lh", "vertex": 3}}, ("lh", 1)),
        ({"vertex": {"hemi": "rh", "vertex": 7}}, ("rh", 0)),
        ({"vertex": {"hemi": "rh", "vertex": 3}}, None),  # this subject has no column there
        ({"vertex": {"hemi": "middle", "vertex": 3}}, None),
    ],
)
def test_a_clicked_vertex_means_the_column_of_this_subject_or_nothing(
    state: dict, selection: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(st, "session_state", {"view": state})
    assert brain.clicked("view", {"lh": np.array([5, 3, 20_000]), "rh": np.array([7])}) == selection


def test_the_loader_stays_short_because_it_travels_with_every_switch() -> None:
    assert len(brain.LOADER) < 1_500
