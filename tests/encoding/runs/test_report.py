"""The report of a fit or a comparison: whole, escaped, and silent towards the network."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from encoding import fit
from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.comparison import compare
from encoding.analysis.learning_curve import learning_curve
from encoding.cli import main
from encoding.plots.brain.score_maps import difference_brain, score_brain, top_of_scale
from encoding.runs.report import how_it_was_tested, report
from encoding.runs.table import Note, write_note
from tests.conftest import TINY

COLOUR = replace(TINY, layers=("colour",))


class Reader(HTMLParser):
    """What a browser would find: elements, the text outside scripts, and the scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.scripts, self.ids, self.addresses, self._inside = [], [], [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self._inside = tag if tag in ("script", "style") else None
        self.ids += [value for name, value in attrs if name == "id"]
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        (self.scripts if self._inside == "script" else [] if self._inside else self.text).append(data)


@pytest.fixture
def two(tiny, store):
    tiny.change(
        vertices={hemi: np.arange(10) * 5 for hemi in ("lh", "rh")},
        ceiling={hemi: np.full(10, 0.8, np.float32) for hemi in ("lh", "rh")},
    )
    results = [fit(spec, store, device="cpu") for spec in (TINY, COLOUR)]
    for result in results:
        roi_intervals(result)
    return results


def test_a_report_of_a_fit_holds_settings_provenance_numbers_and_the_way_back(two, store):
    learning_curve(TINY, store, device="cpu")
    page = Reader(report(two[:1], store))
    text = " ".join(page.text)
    for said in (
        "Simulated: no brain was measured",
        two[0].key,
        TINY.to_command(full=True),
        "result = fit(FitSpec(",
        "holdout:0.75:5",
        "cpu",
    ):
        assert said in text
    r = two[0].rois().set_index(["roi", "hemi"]).loc[("driven", "lh"), "r_mean"]
    assert f"{r:.3f}" in text
    assert "600 pairs of a test image and a vertex" in text  # 30 images, 20 vertices
    assert {"chart0", "chart1", "chart2", "chart3", "brain0", "meshes"} <= set(page.ids) and "chart4" not in page.ids


def test_a_report_of_two_says_what_differs_and_how_it_was_tested(two, store):
    text = " ".join(Reader(page := report(two, store)).text)
    assert (
        "paired bootstrap over test stimuli" in text
        and "30 test stimuli, the same 500 draws" in text
        and "false discovery rate of 5 %" in text
    )
    assert "colour" in text and "A and B" in text and {"brain0", "brain1", "brain2"} <= set(Reader(page).ids)


def test_a_comparison_of_data_with_days_says_that_these_are_what_is_resampled(tiny, store):
    tiny.change(groups=np.arange(120) // 4)
    pair = [fit(spec, store, device="cpu") for spec in (replace(TINY, split="kfold:3:0"), replace(COLOUR, split="kfold:3:0"))]
    for result in pair:
        roi_intervals(result)
    assert "(30 test stimuli or groups (120 rows), the same 500 draws for both)" in how_it_was_tested(compare(*pair))


def test_a_report_asks_no_file_and_no_host(two, store):
    page = Reader(report(two, store))
    assert page.addresses == [] and not {"img", "link", "iframe", "object", "embed"} & set(page.elements)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', report(two[:1], store))[1]
    assert "default-src 'none'" in policy and "http" not in policy


def test_what_people_wrote_is_text_and_no_html(two, store, tiny):
    write_note(two[0].key, store, Note("</script><script>alert(1)</script><img src=http://evil/x>", ("<b>", "</td>")))
    rois = {hemi: {"</script><script>alert(2)": np.arange(5), "noise": np.arange(5, 10)} for hemi in ("lh", "rh")}
    tiny.change(rois=rois)
    named = fit(replace(TINY, n_components=9), store, device="cpu")
    roi_intervals(named)
    for results in ([two[0]], [named], [named, two[0]]):
        page = Reader(report(results, store))
        assert "img" not in page.elements
        assert not any("alert" in script and "figures" not in script and "unpack" not in script for script in page.scripts)
        assert page.elements.count("script") == 4  # plotly, charts, meshes, viewer with maps
    assert "</script><script>alert(1)" in " ".join(Reader(report([two[0]], store)).text)


def test_the_figures_in_it_are_json_that_reads_back(two, store):
    text = report(two, store)
    figures = json.loads(re.search(r"const figures = (\[.*?\]);\n", text, re.DOTALL)[1])
    assert [figure["data"][0]["type"] for figure in figures] == ["bar", "scatter", "scatter"]


def test_no_test_and_why_stands_in_the_report(two, store):
    other = fit(replace(TINY, split="holdout:0.75:6"), store, device="cpu")
    assert "different images" in " ".join(Reader(report([two[0], other], store)).text)
    bare = fit(replace(TINY, n_components=7), store, device="cpu")
    assert how_it_was_tested(compare(two[0], bare)).startswith("The bootstrap intervals of B were not computed")


def test_a_report_without_places_has_no_brain_and_says_so(tiny, store):
    page = Reader(report([fit(TINY, store, device="cpu")], store))
    assert "no brain map" in " ".join(page.text) and "meshes" not in page.ids


def test_reports_of_voxels_say_voxels(store, tiny):
    brain = {name: {"brain": getattr(tiny.subject, name)["lh"]} for name in ("responses", "rois", "fingerprints")}
    tiny.change(**brain, vertices=None, ceiling=None)
    pair = [fit(spec, store, device="cpu") for spec in (TINY, COLOUR)]
    learning_curve(TINY, store, device="cpu")
    for results in (pair[:1], pair):
        text = " ".join(Reader(page := report(results, store)).text)
        figures = re.search(r"const figures = (\[.*?\]);\n", page, re.DOTALL)[1]
        assert "voxels" in text and "voxels" in figures and not re.search(r"\b[vV]ert(ex|ices)\b", text + figures)


def test_a_report_is_of_one_to_six(two, store):
    for results in ([], [two[0]] * 7):
        with pytest.raises(ValueError, match="of 1 to 6 fits"):
            report(results, store)


def test_the_difference_brain_is_the_difference_on_a_scale_around_zero(two):
    brain = difference_brain(compare(*two))
    np.testing.assert_allclose(brain.values["lh"], two[1].score("lh") - two[0].score("lh"))
    low, high = brain.colour_range
    assert brain.diverging and low == -high and brain.colour_map == "PuOr" and high >= np.abs(brain.values["lh"]).max() - 0.05
    assert score_brain(two[1], highest=top_of_scale(two)).colour_range == score_brain(two[0], highest=top_of_scale(two)).colour_range


def test_from_a_shell(two, store, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    path = tmp_path / "new" / "both.html"
    assert main(["report", two[0].key, two[1].key, "--out", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["keys"] == [result.key for result in two]
    assert path.read_text().startswith("<!doctype html>")
    assert main(["report", two[0].key, "--out", str(path)]) == 1 and "Name another file" in capsys.readouterr().err


def test_best_and_worst_vertices_are_those_of_the_sorted_table(two, store):
    result = two[0]
    every = result.vertices().dropna(subset=["r"]).sort_values("r", ascending=False)["r"].to_numpy()
    np.testing.assert_array_equal(result.best_and_worst(2)["r"], [*every[:2], *every[-2:]])
    assert len(result.best_and_worst(10_000)) == len(every)
    errors = result.vertices()["rmse"].dropna().sort_values().to_numpy()
    np.testing.assert_array_equal(result.best_and_worst(2, "rmse")["rmse"], [*errors[:2], *errors[-2:]])  # the lowest error is best
    assert "Best and worst" in report([result], store)
