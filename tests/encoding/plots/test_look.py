"""What all figures share: frame, colours, caption and import. All arrays here are made up for the tests."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from encoding import FitSpec, fit, plots
from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.learning_curve import learning_curve
from encoding.plots.look import STROKE
from tests.conftest import TINY
from tests.encoding.plots.conftest import CLASSES, notes, rois_of


@pytest.fixture
def every_figure(table, intervals, pair):
    curve = np.linspace(0.1, 0.5, 4)
    return [
        plots.roi_bars(table, intervals=intervals, classes=CLASSES, selected="PPA"),
        plots.observed_predicted(*pair, title="V1v", r=0.5, selected=3),
        plots.residual_fitted(*pair, selected=3),
        plots.learning_curve([40, 80, 160, 320], 1 - curve, curve, ceiling=0.7, label="r"),
        plots.epoch_losses(1 - curve, 1.1 - curve, stopped=3),
        plots.score_histogram({"lh": curve, "rh": curve}, selected=0.2, ceiling={"lh": curve}),
    ]


def test_figures_are_json_with_no_background_and_no_text_colour_of_their_own(every_figure):
    for fig in every_figure:
        layout = json.loads(fig.to_json())["layout"]
        assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
        assert "color" not in layout.get("font", {})
        assert not any("color" in note.get("font", {}) for note in layout.get("annotations", []))


def test_small_numbers_on_axes_have_powers_of_ten_and_no_prefixes_of_units(every_figure):
    for fig in every_figure:
        axes = [axis for name, axis in fig.layout.to_plotly_json().items() if name.startswith(("xaxis", "yaxis"))]
        assert axes and all(axis["exponentformat"] == "power" for axis in axes)


def test_a_figure_for_paper_carries_its_caption_and_leaves_the_one_on_screen_alone(every_figure):
    for fig in every_figure:
        before = fig.to_json()
        printed = plots.printable(fig, "Simulated · demo subj01")
        assert "Simulated · demo subj01" in (printed.layout.title.text, printed.layout.title.subtitle.text)
        assert printed.layout.paper_bgcolor == "white" and fig.to_json() == before
        if fig.layout.title.text:
            assert printed.layout.title.text == fig.layout.title.text


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear, float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("colour", [plots.LEFT, plots.RIGHT, plots.TRAIN, plots.TEST, plots.CEILING, STROKE])
def test_colours_show_on_a_light_and_on_a_dark_page(colour):
    for page in ("#ffffff", "#0e1117"):
        light, dark = sorted((luminance(colour)[1], luminance(page)[1]), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3


DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]


@pytest.mark.parametrize("deficiency", [DEUTERANOPIA, PROTANOPIA], ids=["deuteranopia", "protanopia"])
@pytest.mark.parametrize("colours", [(plots.LEFT, plots.RIGHT, plots.CEILING), (plots.TRAIN, plots.TEST)])
def test_colours_of_one_figure_stay_apart_without_red_or_green_cones(colours, deficiency):
    """Machado, Oliveira & Fernandes 2009, severity 1; the distance is Euclidean, in linear RGB of 0 … 1 a channel."""
    for one, other in combinations(colours, 2):
        assert np.linalg.norm(np.array(deficiency) @ (luminance(one)[0] - luminance(other)[0])) > 0.1


def test_a_caption_says_simulated_first_and_only_where_it_is():
    provenance = {"key": "fit-12", "created": "2026-01-31T09:00:00+00:00", "made_from": {"simulated": True}}
    spec = FitSpec(options={"alpha": 10}, weights="random:0", layers=("a", "b"), n_components=0)
    text = plots.caption(provenance, spec, tested="1,080 test images")
    assert (
        text == "Simulated · demo subj01 · untrained gabor (seed 0) a + b · all features · ridge alpha=10 · "
        "1,080 test images · fit-12 · 2026-01-31"
    )
    assert plots.caption(provenance | {"made_from": {"simulated": False}}, replace(spec, dataset="nsd")).startswith("nsd subj01")


def test_a_fits_own_tables_and_arrays_are_drawn(tiny, store):
    result = fit(TINY, store)
    found = roi_intervals(result)
    ends = {hemi: (found[f"{hemi}_low"], found[f"{hemi}_high"]) for hemi in result.plan.hemis}
    fig = plots.roi_bars(result.rois(), intervals=ends, classes=tiny.roi_names())
    assert rois_of(fig) == ["all", "driven", "noise", "empty"] and len(notes(fig, "no vertices")) == 1
    rows = result.test_rows()
    measured, predicted = (of("lh", [0])[:, 0] for of in (result.measured, result.predicted))
    names = [result.plan.subject.stimuli.names[row] for row in rows]
    plots.residual_fitted(measured, predicted, names)
    title = plots.observed_predicted(measured, predicted, names, r=result.score("lh")[0]).layout.title.text
    assert title == f"r = {np.corrcoef(measured, predicted)[0, 1]:.2f}, {len(rows)} images"
    curve = learning_curve(TINY, store)
    assert len(plots.learning_curve(curve["sizes"], curve["lh_train"].mean(1), curve["lh_test"].mean(1), label="r").data) == 3
    assert plots.caption(result.provenance, TINY, tested=result.counted("test")).startswith("Simulated · tiny subj01 · ")
