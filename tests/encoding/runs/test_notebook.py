"""A fit in a notebook: the file is valid, its code runs and gives the same numbers, and what it shows is escaped and static."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import encoding
from encoding import fit
from encoding.plots.brain.export import BrainFrame
from encoding.runs.exchange import import_
from encoding.runs.notebook import notebook
from tests.conftest import TINY


def run(document: str, monkeypatch, store) -> list[object]:
    """What the last line of each code cell evaluates to, all in one namespace, against a Store of the test's own."""
    monkeypatch.setattr(encoding, "Store", lambda: store)
    names: dict[str, object] = {}
    found = []
    for cell in json.loads(document)["cells"]:
        if cell["cell_type"] == "code":
            body, _, last = cell["source"].rpartition("\n")
            exec(body, names)
            found.append(eval(last, names))
    return found


@pytest.mark.parametrize("more", [{}, {"split": "kfold:3:0", "readout": "ols", "rois": ("driven", "empty")}], ids=["holdout", "kfold"])
def test_its_code_runs_and_gives_the_same_numbers(tiny, store, monkeypatch, more):
    tiny.change(vertices={hemi: np.arange(10) * 5 for hemi in ("lh", "rh")})
    result = fit(replace(TINY, **more), store, device="cpu")
    document = notebook(result, score="rmse", statistic="median", selected="driven")
    nbformat.validate(nbformat.reads(document, as_version=4))
    table, again, bars, brain = run(document, monkeypatch, store)
    pd.testing.assert_frame_equal(table, result.rois())
    assert again.key == result.key and isinstance(bars, go.Figure) and isinstance(brain, BrainFrame)
    assert brain._repr_html_().startswith("<iframe srcdoc=") and brain._repr_html_().count("<") == 2  # the page in it is escaped


def test_without_places_there_is_no_brain(sent, tiny, store):
    tiny.change(vertices=None)
    bare = fit(TINY, store, device="cpu")
    assert "BrainFrame" not in notebook(bare) and "BrainFrame" in notebook(sent)
    assert "Simulated: no brain was measured" in notebook(bare)


def test_an_imported_fit_has_a_notebook_too(exported, sent, elsewhere):
    there = import_(io.BytesIO(exported), elsewhere)
    nbformat.validate(nbformat.reads(notebook(there), as_version=4))
    assert there._repr_html_() == sent._repr_html_().replace(sent.key, there.key)


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.bars, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        if tag == "rect":
            self.bars.append(dict(attrs))

    def handle_data(self, data):
        self.text.append(data)


def test_a_result_shows_static_bars_and_the_table(tiny, store):
    rois = {
        hemi: {"<script>alert(1)</script>": np.arange(5), "noise": np.arange(5, 10), "empty": np.zeros(0, int)} for hemi in ("lh", "rh")
    }
    tiny.change(rois=rois)
    result = fit(TINY, store, device="cpu")
    page, table = Elements(result._repr_html_()), result.rois()
    assert not {"script", "img", "link", "iframe"} & set(page.found) and "<script>alert(1)</script>" in page.text
    assert page.found.count("tr") == 1 + len(table) and len(page.bars) == table["r_mean"].notna().sum()
    low, high = min(0, table["r_mean"].min()), max(0.1, table["r_mean"].max())
    for bar, r in zip(page.bars, table["r_mean"].dropna(), strict=True):
        assert float(bar["width"]) == pytest.approx(200 * abs(r) / (high - low), abs=0.06)
        assert float(bar["x"]) == pytest.approx(200 * (min(r, 0) - low) / (high - low), abs=0.06)
    assert f"{table['r_mean'].iloc[0]:.3f}" in page.text and "Simulated: no brain was measured" in page.text
