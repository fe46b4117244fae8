"""The HTML file of a brain needs nothing but itself, and holds texts as texts."""

from __future__ import annotations

import re

import numpy as np

from encoding.datasets._surface import HEMIS, mesh
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.export import standalone_html


def a_map(**more) -> BrainMap:
    vertices = {hemi: np.flatnonzero(mesh("sphere", hemi)[0][:, 1] < -20) for hemi in HEMIS}
    values = {hemi: (mesh("sphere", hemi)[0][vertices[hemi], 2] / 100).astype(np.float32) for hemi in HEMIS}
    rois = {hemi: {"cap": np.flatnonzero(mesh("sphere", hemi)[0][vertices[hemi], 1] < -90)} for hemi in HEMIS}
    ceiling = {hemi: np.full(len(vertices[hemi]), 0.75, np.float32) for hemi in HEMIS}
    given = {"values": values, "vertices": vertices, "rois": rois, "ceiling": ceiling, "title": "made up", "outlined": ["cap"]}
    return BrainMap(**(given | more))


def test_words_enter_the_file_as_text() -> None:
    brain = a_map(title="<script>alert(1)</script> {{ caption }}")
    page = standalone_html(brain, caption="<img src=x> {{ map }}", provenance={"made": "</pre><script>"})
    assert "alert(1)</script>" not in page
    assert "<img" not in page
    assert "</pre><script>" not in page
    assert "{{ caption }}" in page.split("</title>")[0] and "&lt;img src=x&gt; {{ map }}" in page


def test_the_file_names_no_other_file_and_no_host() -> None:
    page = standalone_html(a_map(), caption="simulated", provenance={"subject": "subj01"})
    assert "simulated" in page
    assert "subj01" in page
    assert not re.findall(r"https?://|\bsrc=|<link|@import|\bfetch\(", page)
    assert len(page) < 2_500_000


def test_an_error_is_hidden_above_its_threshold_in_the_file_too() -> None:
    def limit(page: str) -> tuple[str, str]:
        return re.search(r"Hide values (\w+) <input[^>]* value=\"([\d.]+)\"", page).groups()

    assert limit(standalone_html(a_map(threshold=0.25), caption="")) == ("below", "0.25")
    assert limit(standalone_html(a_map(), caption="")) == ("below", "0")
    assert limit(standalone_html(a_map(threshold=0.25, hide_above=True), caption="")) == ("above", "0.25")
    assert limit(standalone_html(a_map(hide_above=True), caption="")) == ("above", "1"), "at the end of the slider nothing is hidden"
