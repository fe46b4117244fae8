"""The Layers page's own logic, without a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qs

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from encoding import DATASETS, FitSpec
from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.layer_sweep import Sweep
from encoding.jobs import Job
from encoding.jobs.tasks import sweep_layers
from encoding.pipeline import fit
from tests import PROJECT
from tests.conftest import TINY as TINY_QUARTER
from tests.pages.conftest import NoWorkers

TINY = replace(TINY_QUARTER, split=FitSpec().split)  # AppTest cannot press on with a value that is not among the options
SWEEP = Sweep(spec=TINY, cells=(("tinynet", "pixels"), ("tinynet", "colour")))
APP, PAGE = str(PROJECT / "app.py"), "pages/views/30_layers.py"


@pytest.fixture
def page(tiny, open_page):
    """The page on the planted data set, with its own empty Store and no worker process."""
    return open_page("30_layers", dataset="tiny", subject="subj01", backbones="tinynet", components="0")


def job(state: str, **more: object) -> Job:
    values = {"fraction": 0.4, "text": "colour", "seconds": 3.0, "seconds_left": None, "error": None, "error_kind": None, "log": ("one",)}
    return Job(key=SWEEP.job_key, spec=None, state=state, position=None, **values | more)


def one_layer(store, layer: str) -> None:
    roi_intervals(fit(SWEEP.spec_of(("tinynet", layer)), store, device="cpu"))


def figure(page, number: int = 0) -> dict:
    return json.loads(page.get("plotly_chart")[number].proto.spec)


def cells(page) -> np.ndarray:
    """Of the heatmap, whether each cell has a number: (n_layers, n_rois)."""
    z = next(trace for trace in figure(page)["data"] if trace["type"] == "heatmap")["z"]
    if isinstance(z, dict):
        import base64

        values = np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"]).reshape([int(n) for n in z["shape"].split(",")])
    else:
        values = np.array(z, float)
    return np.isfinite(values)


def test_a_sweep_is_offered_and_not_started(page):
    page.run()
    assert (
        not page.exception
        and "2 of 2 layers are not fitted yet" in " ".join(each.value for each in page.markdown)
        and page.button(key="sweep_here").label == "Start sweep"
    )
    assert NoWorkers.submitted == []
    page.button(key="start_sweep").click().run()
    assert NoWorkers.submitted == [(sweep_layers, SWEEP, SWEEP.job_key)]


@pytest.mark.parametrize(("most", "starts"), [(1e9, True), (0.0, False)])
def test_a_link_may_start_a_short_sweep_once(page, monkeypatch, most, starts):
    monkeypatch.setattr("pages.parts.shared.job_progress.SECONDS_BY_LINK", most)
    page.query_params["start"] = "true"
    page.run()
    assert not page.exception and not page.warning and "start" not in page.query_params
    page.run()
    assert NoWorkers.submitted == [(sweep_layers, SWEEP, SWEEP.job_key)] * starts


def test_a_bare_link_sweeps_what_needs_no_download(page, monkeypatch):
    for name in list(page.query_params):
        del page.query_params[name]
    monkeypatch.setattr(type(DATASETS["demo"]), "is_ready", lambda self, subject, store: False)
    page.run()
    assert not page.exception and "3 of 3 layers" in " ".join(each.value for each in page.markdown)
    page.button(key="start_sweep").click().run()
    assert NoWorkers.submitted[0][1] == Sweep.read(FitSpec(), ["pixels", "gabor"])


def test_chosen_layers_and_parameters_reach_the_sweep(page):
    page.query_params.update({"layers": "tinynet colour", "ridge_alpha": "10"})
    page.run()
    page.button(key="start_sweep").click().run()
    sent = NoWorkers.submitted[0][1]
    assert sent.cells == (("tinynet", "colour"),) and dict(sent.spec.options) == {"alpha": 10}


def test_finished_cells_are_shown_while_others_are_awaited(page, store):
    one_layer(store, "colour")
    page.run()
    assert not page.exception
    np.testing.assert_array_equal(cells(page).any(1), [False, True])
    assert (
        any("1 of 2 layers is not fitted yet" in each.value for each in page.markdown) and "Go on" in page.button(key="start_sweep").label
    )
    assert any("The only layer so far: colour" in caption.value for caption in page.caption)


def test_a_hierarchy_says_why_it_has_no_figure_of_how_often_layers_win(page, tiny, store):
    tiny.change(rois={hemi: {"V1v": np.arange(3), "V2v": np.arange(3, 6), "V3v": np.arange(6, 9)} for hemi in ("lh", "rh")})
    for cell in SWEEP.cells:
        fit(SWEEP.spec_of(cell), store, device="cpu")
    page.run()
    assert any("How often each layer of tinynet wins" in each.value and "intervals" in each.value for each in page.caption)
    sweep_layers(SWEEP, store, device="cpu")
    page.run()
    assert not page.exception and not any("How often each layer" in each.value for each in page.caption)


@pytest.mark.parametrize("read_only", [False, True])
def test_fits_without_intervals_are_shown_and_these_offered(page, store, monkeypatch, read_only):
    """Fits made in Python or by the shell's ``fit`` have none; a server that only shows must show them, too."""
    if read_only:
        monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    one_layer(store, "colour")
    fit(SWEEP.spec_of(("tinynet", "pixels")), store, device="cpu")
    page.run()
    said = " ".join(each.value for each in (*page.markdown, *page.caption))
    assert not page.exception and cells(page).all()
    assert "1 of 2 layers has no intervals yet" in said and "not fitted" not in said and "not all intervals were computed" in said
    assert [button.label for button in page.button if button.key == "sweep_here"] == ([] if read_only else ["Compute intervals"])
    sweep_layers(SWEEP, store, device="cpu")
    page.run()
    said = " ".join(each.value for each in page.markdown)
    assert not page.exception and "of draws" in said and not any(button.key == "sweep_here" for button in page.button)


def test_a_finished_sweep_is_shown_at_once_and_cannot_be_started(page, store):
    sweep_layers(SWEEP, store, device="cpu")
    page.run()
    assert not page.exception and cells(page).all() and page.button(key="start_sweep").disabled
    assert page.select_slider(key="shown_layer").options == ["tinynet pixels", "tinynet colour"]
    assert any("Simulated" in text.value for text in page.markdown)


def test_the_slider_says_the_score_of_its_layer_and_the_link_opens_it_again(page, store, monkeypatch):
    sweep_layers(SWEEP, store, device="cpu")
    page.query_params["layer_roi"] = "driven"
    page.run()
    assert page.select_slider(key="shown_layer").value == "tinynet pixels"
    page.select_slider(key="shown_layer").set_value("tinynet colour").run()
    drawn = [*page.select_slider, *page.selectbox, *page.multiselect, *page.button_group]
    given = {each.key for each in drawn if each.proto.set_value}
    assert "shown_layer" in {each.key for each in drawn} and not given, "the browser would go back from what is pressed meanwhile"
    said = next(text.value for text in page.markdown if "predicts" in text.value and "driven" in text.value)
    r = fit(SWEEP.spec_of(("tinynet", "colour")), store, device="cpu").rois().set_index("roi").loc["driven", "r_mean"].mean()
    assert said.startswith("**colour** predicts **driven**") and f"**{r:.3f}**" in said and "in 0 % of draws" in said
    assert page.query_params["shown"] == "tinynet colour"
    page.query_params["layer_hemi"] = "rh"
    page.run()
    right = next(text.value for text in page.markdown if "predicts" in text.value and "of the right hemisphere" in text.value)
    r = fit(SWEEP.spec_of(("tinynet", "colour")), store, device="cpu").rois().set_index(["roi", "hemi"]).loc[("driven", "rh"), "r_mean"]
    assert f"**{r:.3f}**" in right
    del page.query_params["layer_hemi"]
    monkeypatch.setattr("pages.parts.shared.late_link.LATE", 0.0)
    page.query_params["shown"] = "tinynet pixels"  # as Back does
    assert page.run().select_slider(key="shown_layer").value == "tinynet pixels" == page.query_params["shown"]
    page.select_slider(key="shown_layer").set_value("tinynet colour").run()

    pinned = fit(SWEEP.spec_of(("tinynet", "pixels")), store, device="cpu")
    page.query_params["pin"] = pinned.key
    page.session_state["profile_open"] = True
    page.run()
    rows = pinned.rois().set_index(["roi", "hemi"])["r_mean"]["driven"]
    line = next(text.value for text in page.markdown if text.value.startswith("Baseline"))
    assert all(f"**{value:.3f}**" in line for value in rows.dropna())
    drawn = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    assert any(trace.get("name") == "Baseline, left" for figure in drawn for trace in figure["data"])

    again = AppTest.from_file(APP, default_timeout=60)
    again.switch_page(PAGE)
    again.query_params.update(page.query_params)
    assert again.run().select_slider(key="shown_layer").value == "tinynet colour"


def test_the_door_into_explore_has_the_same_settings(page, store):
    sweep_layers(SWEEP, store, device="cpu")
    page.query_params.update({"shown": "tinynet colour", "layer_roi": "driven"})
    page.run()
    path, _, query = page.get("link_button")[0].proto.url.partition("?")
    assert path == "explore"
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    assert asked == {"dataset": "tiny", "backbone": "tinynet", "layer": "colour", "components": "0", "roi": "driven"}


def test_a_click_on_a_cell_chooses_its_layer_and_roi(page, store, monkeypatch):
    from pages.parts.layers import panels as layermaps

    sweep_layers(SWEEP, store, device="cpu")
    page.run()
    state = {"heatmap": {"selection": {"points": [{"customdata": ["pixels", "noise"]}]}}}
    monkeypatch.setattr(layermaps.st, "session_state", state)
    found = layermaps.SweepResult(SWEEP, dict.fromkeys(SWEEP.cells), store)
    layermaps._choose_clicked(found)
    assert (state["layer_roi"], state["shown_layer"], state["on_brain"]) == ("noise", "tinynet pixels", "one layer")
    state["heatmap"]["selection"]["points"][0]["customdata"] = ["colour", "driven"]
    layermaps._choose_clicked(layermaps.SweepResult(SWEEP, dict.fromkeys(SWEEP.cells[:1]), store))
    assert (state["layer_roi"], state["shown_layer"]) == ("driven", "tinynet pixels")  # colour is not fitted yet


def test_a_running_sweep_shows_progress_and_can_be_cancelled(page, store):
    one_layer(store, "colour")
    NoWorkers.job = job("running")
    page.run()
    assert not page.exception and page.button(key="start_sweep").disabled
    assert cells(page).any()  # what is finished is shown beside the progress
    page.button(key="cancel_sweep").click().run()
    assert NoWorkers.cancelled == [SWEEP.job_key]


def test_a_sweep_that_failed_says_why(page):
    NoWorkers.job = job("failed", error="No room.", error_kind="NoRoom")
    page.run()
    assert any("No room." in error.value for error in page.error)
    assert not page.button(key="start_sweep").disabled


def test_a_cancelled_sweep_can_go_on(page, store):
    one_layer(store, "colour")
    NoWorkers.job = job("cancelled")
    assert any("Cancelled. What was finished is kept." in each.value for each in page.run().markdown)
    page.button(key="start_sweep").click().run()
    assert len(NoWorkers.submitted) == 1


def test_without_a_ceiling_there_is_no_normalised_score(page, store):
    sweep_layers(SWEEP, store, device="cpu")
    page.run()
    assert "No noise ceiling" in page.selectbox(key="layer_score").help
    assert any("test stimuli, fewer than 50" in caption.value for caption in page.caption)


def test_where_a_ceiling_is_known_scores_can_be_normalised(page, tiny, store):
    tiny.change(ceiling={hemi: np.full(10, 0.5, np.float32) for hemi in ("lh", "rh")})
    sweep_layers(SWEEP, store, device="cpu")
    page.query_params["layer_score"] = "normalised_r2"
    page.run()
    assert not page.exception
    heat = next(trace for trace in figure(page)["data"] if trace["type"] == "heatmap")
    assert heat["name"] == "r² / ceiling"


def test_data_without_places_have_no_brain_and_say_so(page, store):
    sweep_layers(SWEEP, store, device="cpu")
    assert any("no brain map" in info.value for info in page.run().info)


def test_the_published_table_stands_beside_the_sweep_with_its_origin(page, store):
    sweep_layers(SWEEP, store, device="cpu")
    page.run()
    assert any("Hierarchy index **+0.82** over 6 regions" in text.value for text in page.markdown)
    assert any("noise-normalised r² (not r)" in caption.value for caption in page.caption)
    assert any("fewer than three regions have a stage" in text.value for text in page.markdown)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layers", "tinynet pixel", "Did you mean 'pixels'"),
        ("layers", "gabor energy", "not among the backbones: tinynet"),
        ("backbones", "tinnet", "Did you mean 'tinynet'"),
        ("ridge_alpha", "ten", "alpha must be a number"),
        ("split", "kfold:500:0", "only 120 different stimuli"),
    ],
)
def test_a_wrong_choice_is_explained(page, name, value, message):
    page.query_params[name] = value
    page.run()
    assert not page.exception
    assert any(message in error.value for error in page.error)


def test_the_link_of_a_sweep_keeps_weights_and_frames_of_any_of_its_networks():
    from pages.parts.shared.links import layers_query

    spec = FitSpec(weights="random:3", frames=4)
    cells = (("gabor", "energy"), ("torchvision/alexnet", "features.1"))
    link = layers_query(Sweep(spec=spec, cells=cells))
    assert link["weights"] == "random:3" and "frames" not in link  # of images
    assert "weights" not in layers_query(Sweep(spec=spec, cells=cells[:1]))
