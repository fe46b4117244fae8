"""Simulated data are named as such before anything of them was opened."""

from __future__ import annotations

from encoding import DATASETS
from encoding.datasets.img2brain import Img2BrainLayout
from pages.parts.shared.badges import MARKER, SIMULATED, badge_of_files


def test_files_that_a_simulation_wrote_are_marked_before_they_are_opened(tmp_path, monkeypatch):
    marker = Img2BrainLayout(tmp_path).marker
    assert marker.name == MARKER
    monkeypatch.setattr(type(DATASETS["img2brain"]), "watched", lambda self, subject: [marker, tmp_path / "of_the_data"])
    assert badge_of_files("img2brain", "sub01") == ""
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    assert badge_of_files("img2brain", "sub01") == f"{SIMULATED} "


def test_the_demo_is_always_marked():
    assert badge_of_files("demo", "subj01") == f"{SIMULATED} "
