"""The Data page, without a browser."""

from __future__ import annotations

import base64
import os
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from encoding import DATASETS, Store
from encoding.datasets.writers.img2brain import write_img2brain
from encoding.jobs import Job
from tests import PROJECT
from tests.encoding.datasets.test_img2brain import planted
from tests.pages.conftest import NoWorkers

APP = str(PROJECT / "app.py")
DESCRIBED = (
    '[stimuli]\nfolder = "images"\n[subjects.ann]\nresponses = { lh = "Y.npy" }\nrois.lh.V1 = "V1.npy"\nvertices.space = "fsaverage5"\n'
)
PLAIN = {"position": None, "fraction": 1.0, "text": "", "seconds": 1.0, "seconds_left": None, "log": ()}


class AtOnce(NoWorkers):
    """Jobs that are done the moment they are submitted."""

    def __init__(self, root):
        self.store, self.jobs = Store(root), {}

    def start(self):
        pass

    def get(self, key):
        return self.jobs.get(key)

    def all(self):
        return list(self.jobs.values())

    def submit(self, task, spec, *, key, planned=None):
        try:
            task(spec, self.store)
            ended = {"state": "done", "error": None, "error_kind": None}
        except Exception as error:
            ended = {"state": "failed", "error": str(error), "error_kind": type(error).__name__}
        self.jobs[key] = Job(key=key, spec=spec, **PLAIN, **ended)


@pytest.fixture
def page(data_dir, open_page):
    """The page on data sets of its own, with an empty Store."""
    write_img2brain(planted(), data_dir / "img2brain", size=16)
    mine = data_dir / "mine"
    (mine / "images").mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (8, 8), (30 * number, 0, 0)).save(mine / "images" / f"{number}.png")
    np.save(mine / "Y.npy", np.random.default_rng(0).normal(size=(8, 10_242)).astype(np.float32))
    np.save(mine / "V1.npy", np.arange(10_242) < 5)
    (mine / "dataset.toml").write_text(DESCRIBED)
    return open_page("20_data", workers=AtOnce)


@pytest.fixture
def labelled(tiny, page):
    """The page on planted responses with places, labels and repeats: the last twenty rows show the first twenty images again."""
    rng = np.random.default_rng(1)
    tiny.change(
        groups=np.array([*range(100), *range(20)]),
        vertices={hemi: np.arange(10) * 3 for hemi in ("lh", "rh")},
        ceiling={hemi: np.linspace(0.1, 0.9, 10).astype(np.float32) for hemi in ("lh", "rh")},
        labels={"kind": np.array(["face", "house", "word"])[np.arange(120) % 3], "redness": rng.random(120).astype(np.float32)},
    )
    page.query_params["dataset"] = "tiny"
    return page


def on(page, dataset, **more):
    page.query_params.update({"dataset": dataset} | more)
    return page.run()


def shown(page):
    return " ".join(element.value for kind in (page.markdown, page.info, page.caption, page.header) for element in kind)


def picked(page, name):
    """The numbers on the buttons below images."""
    return [int(button.label) for button in page.button if (button.key or "").startswith(f"pick_{name}_")]


def figure(page, key):
    import json

    (found,) = [chart for chart in page.get("plotly_chart") if chart.proto.id.endswith(f"-{key}")]
    return json.loads(found.proto.spec)


def tab(page, name):
    page.query_params["tab"] = name
    return page.run()


# ---- opening, and the doctor


def test_a_subject_is_opened_when_asked_and_its_contents_are_counted(page):
    on(page, "img2brain", tab="Responses")
    assert not page.exception and "was not opened before" in shown(page) and not page.dataframe
    page.button(key="open").click().run()
    assert not page.exception and not page.error
    contents = page.dataframe[0].value["brain"]
    assert contents[["rows", "voxels", "ROIs", "on the cortex", "noise ceiling (median)"]].tolist() == [
        "150",
        "20",
        "0",
        "unknown",
        "unknown",
    ]
    assert "Simulated: no brain was measured" in shown(page) and "no brain map" in shown(page) and "No noise ceiling" in shown(page)
    assert "responses of 20 voxels to 150 images, 6 more without responses" in shown(page)
    assert "80 % train, 20 % test (seed 224)" in shown(page)
    assert "names no ROIs" in shown(tab(page, "Regions"))
    assert "vert" not in shown(page).lower()


def test_where_no_place_is_known_the_response_to_a_stimulus_is_a_strip_of_voxels(page):
    on(page, "img2brain")
    page.button(key="open").click().run()
    assert "the response of every voxel to it is shown here instead" in shown(page)
    page.text_input(key="vertex").set_value("brain 3")
    page.text_input(key="stimulus").set_value("7").run()
    assert not page.exception and "neighbours here may be far apart" in shown(page)
    strip = figure(page, "strip")
    drawn = np.frombuffer(base64.b64decode(strip["data"][0]["y"]["bdata"]), "f4")
    subject = DATASETS["img2brain"].open("subj01", Store(os.environ["ENCODING_CACHE_DIR"]))
    np.testing.assert_array_equal(drawn, np.asarray(subject.responses["brain"][6], "f4"))
    assert strip["layout"]["xaxis"]["title"]["text"] == "Voxels, in the order of the responses' columns"
    assert any(shape["x0"] == 3 for shape in strip["layout"]["shapes"])
    assert "vert" not in shown(page).lower()


def test_a_click_on_the_strip_chooses_the_voxel(monkeypatch):
    from encoding import plots
    from pages.parts.data import brain as data_brain

    drawn = plots.response_strip({"one": np.zeros(4), "two": np.arange(5.0)}, what="r")
    state = {"strip": {"selection": {"points": [{"curve_number": 1, "x": 6}]}}}
    monkeypatch.setattr(data_brain.st, "session_state", state)
    data_brain._choose_point(drawn)
    assert state["vertex"] == "two 2"


def test_places_and_rois_of_ones_own_data_are_counted(page):
    on(page, "mine", tab="Responses")
    page.button(key="open").click().run()
    assert page.dataframe[0].value.loc[["vertices", "ROIs", "on the cortex"], "lh"].tolist() == ["10,242", "1", "known"]
    assert "Simulated" not in shown(page) and "no brain map" not in shown(page)
    assert "V1" in str(figure(tab(page, "Regions"), "sizes")["data"][0]["y"])


def test_findings_come_when_asked_for_and_stay_until_a_file_changes(page, tmp_path):
    on(page, "mine", doctor="true")
    assert not page.exception and not page.table and "Not examined yet" in page.expander[0].label
    page.button(key="examine").click().run()
    table = page.table[0].value
    assert "mine ann: lh ROIs of fewer than 20 vertices: V1 (5)." in table["finding"].tolist()
    assert "warning" in table.index[table["finding"].str.contains("fewer than 20")][0] and "0 error" in page.expander[0].label
    assert page.run().table[0].value.equals(table)
    np.save(tmp_path / "data" / "mine" / "Y.npy", np.zeros((8, 10_242), np.float32))
    st.cache_data.clear()  # half a minute later
    assert "files have changed since" in page.run().expander[0].label and not page.table
    page.button(key="examine").click().run()
    assert "error" in page.table[0].value.index[0] and "1 error" in page.expander[0].label


def test_another_session_sees_the_findings_that_one_asked_for(page):
    on(page, "mine", doctor="true").button(key="examine").click().run()
    other = AppTest.from_file(APP, default_timeout=60)
    other.switch_page("pages/views/20_data.py")
    assert len(on(other, "mine", doctor="true").table) == 1


def test_damage_is_said_where_the_data_would_be(page, tmp_path):
    (tmp_path / "data" / "mine" / "images" / "3.png").unlink()
    on(page, "mine")
    page.button(key="open").click().run()
    assert not page.exception and "holds 7 images but" in page.error[0].value
    (tmp_path / "data" / "mine" / "dataset.toml").write_text("titel = 1")
    assert "Unknown key 'titel'" in shown(page.run()) and not page.exception


def test_a_link_that_names_something_unknown_says_so(page):
    assert "Did you mean 'mine'" in on(page, "mime").warning[0].value


def test_a_server_that_only_shows_opens_and_examines_nothing(page, monkeypatch):
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    on(page, "mine", doctor="true")
    assert not page.exception and not page.button and "was not opened before" in shown(page)


# ---- stimuli


def test_a_page_of_pictures_is_shown(labelled):
    labelled.run()
    assert not labelled.exception and picked(labelled, "grid") == list(range(1, 25)) and "120 of 120 trials" in shown(labelled)


def test_a_link_names_the_page_of_pictures(labelled):
    labelled.query_params["page"] = "5"
    assert picked(labelled.run(), "grid") == list(range(97, 121))


def test_filters_narrow_the_grid_and_a_page_beyond_it_becomes_its_last(labelled):
    labelled.query_params.update({"page": "5"})
    labelled.run()
    labelled.multiselect(key="is_kind").set_value(["house"]).run()
    assert not labelled.exception and picked(labelled, "grid") == list(range(2, 74, 3))
    labelled.text_input(key="find").set_value("tiny-001").run()
    assert picked(labelled, "grid") == [11, 14, 17, 20]
    labelled.text_input(key="find").set_value("blue").run()
    assert not labelled.exception and "None of 120 trials of 100 images passes" in shown(labelled)


def test_an_order_puts_those_first_that_show_most(labelled, tiny):
    labelled.query_params["order"] = "redness"
    best = np.argsort(-tiny.subject.labels["redness"], kind="stable")[:24] + 1
    assert picked(labelled.run(), "grid") == best.tolist()


def test_a_link_to_a_page_that_is_not_there_opens_one_that_is(labelled):
    labelled.query_params["page"] = "999"
    labelled.run()
    assert not labelled.exception and len(picked(labelled, "grid")) == 24


def test_repeats_of_an_image_are_not_counted_as_images(labelled):
    text = shown(labelled.run())
    assert "vertices to 120 trials of 100 images" in text and "120 of 120 trials of 100 images" in text
    assert "120 images" not in text


def test_a_chosen_picture_has_its_measured_profile_over_repeats(labelled, tiny):
    labelled.run().button(key="pick_grid_4").click().run()
    assert not labelled.exception and labelled.text_input(key="stimulus").value == "5"
    assert "Stimulus 5" in shown(labelled) and "Shown 2 times, in rows 5, 105" in shown(labelled)
    profile = {(tuple(roi), hemi["name"]): None for hemi in figure(labelled, "profile")["data"] for roi in hemi["customdata"]}
    assert len(profile) == 6
    from encoding.analysis.tuning import response_map, roi_profile

    table = roi_profile(tiny.subject, response_map(tiny.subject, 4))
    assert table["mean"][0] == pytest.approx((tiny.subject.responses["lh"][[4, 104], :5]).mean(), rel=1e-5)


def test_a_stimulus_that_is_not_there_is_explained(labelled):
    labelled.query_params["stimulus"] = "121"
    assert "has the stimuli 1 to 120, so no 121" in labelled.run().sidebar.warning[0].value and not labelled.exception
    labelled.text_input(key="stimulus").set_value("tiny-0007").run()
    assert "Stimulus 8" in shown(labelled) and not labelled.sidebar.warning


def test_a_picture_that_cannot_be_read_leaves_the_others(labelled, tiny, monkeypatch):
    stimuli = type(tiny.subject.stimuli)
    whole = stimuli.__getitem__

    def damaged(self, index):
        if index == 2:
            raise ValueError("tiny-0002 is damaged")
        return whole(self, index)

    monkeypatch.setattr(stimuli, "__getitem__", damaged)
    labelled.query_params["stimulus"] = "3"
    labelled.run()
    assert not labelled.exception and "tiny-0002 is damaged" in [error.value for error in labelled.error]
    assert len(labelled.get("image")) == 23 and len(picked(labelled, "grid")) == 24


# ---- the brain, and a vertex


def test_the_brain_shows_what_is_chosen_and_says_what_that_is(labelled, monkeypatch):
    from pages.parts.data import brain as data_brain

    drawn = []
    monkeypatch.setattr(data_brain, "brain_view", lambda brain, **more: drawn.append(brain))
    labelled.run()
    labelled.text_input(key="stimulus").set_value("5").run()
    labelled.segmented_control(key="unit").set_value("z").run()
    labelled.selectbox(key="paint").set_value("spread")
    labelled.selectbox(key="roi").set_value("driven")
    labelled.text_input(key="vertex").set_value("rh 2").run()
    assert not labelled.exception
    assert [brain.title.partition(",")[0] for brain in drawn[:2]] == ["Noise ceiling per vertex", "Measured response to tiny-0004"]
    assert (
        "mean of 2 repeats" in drawn[1].title and drawn[1].colour_map == "PuOr_r" and drawn[1].colour_range[0] == -drawn[1].colour_range[1]
    )
    assert "standard deviations of each vertex" in drawn[2].title and drawn[2].colour_range == (-3, 3)
    assert "over 120 of 120 trials of 100 images" in drawn[3].title and drawn[3].chosen_roi == "driven" and drawn[3].selected == ("rh", 2)


def test_regions_have_a_colour_each_and_those_without_vertices_are_named(labelled, monkeypatch):
    from pages.parts.data import brain as data_brain

    drawn = []
    monkeypatch.setattr(data_brain, "brain_view", lambda brain, **more: drawn.append(brain))
    labelled.query_params["paint"] = "regions"
    labelled.run()
    assert not labelled.exception and "in this subject: empty." in shown(labelled)
    assert (
        list(drawn[0].kinds) == ["driven", "noise"]
        and drawn[0].colour_range == (0.5, 2.5)
        and set(np.unique(drawn[0].values["lh"])) >= {1.0, 2.0}
    )


def test_a_map_without_a_ceiling_is_of_something_else_and_says_so(labelled, tiny):
    tiny.change(ceiling=None)
    labelled.query_params["paint"] = "ceiling"
    assert "No noise ceiling is known" in shown(labelled.run()) and not labelled.exception


def test_the_vertex_panel_shows_what_drives_it_most_and_least(labelled, tiny):
    labelled.query_params.update({"vertex": "rh 3", "stimulus": "7"})
    labelled.run()
    assert not labelled.exception and "Vertex rh 3" in shown(labelled)
    column = tiny.subject.responses["rh"][:, 3]
    means = np.array([column[tiny.subject.groups == group].mean() for group in range(100)])
    assert (
        picked(labelled, "most") == (np.argsort(-means)[:8] + 1).tolist()
        and picked(labelled, "least") == (np.argsort(means)[:8] + 1).tolist()
    )
    assert f"{means.max():+.2f}" in shown(labelled) and "In **driven**" in shown(labelled)
    assert "Noise ceiling **0.37**: no model is expected to reach a higher r than **0.61**" in shown(labelled)
    assert "120 rows of 100 different images" in shown(labelled)
    assert figure(labelled, "tuning")["layout"]["annotations"][0]["text"].startswith("stimulus 7, ")
    assert len(figure(labelled, "labels")["data"][0]["hovertext"]) == 3 and "redness" in shown(labelled)


def test_a_vertex_without_labels_ceiling_or_roi_says_what_is_missing(labelled, tiny):
    tiny.change(labels={}, ceiling=None, rois={hemi: {} for hemi in ("lh", "rh")})
    labelled.query_params["vertex"] = "lh 0"
    text = shown(labelled.run())
    assert not labelled.exception and "comes without labels" in text and "noise ceiling is not known" in text and "names no ROIs" in text


@pytest.mark.parametrize(("text", "message"), [("lh 10", "lh has the vertices 0 to 9"), ("left", "such as lh 120")])
def test_a_vertex_that_does_not_exist_is_explained(labelled, text, message):
    labelled.query_params["vertex"] = text
    assert message in labelled.run().sidebar.warning[0].value and not labelled.exception


def test_changed_responses_are_never_shown_from_the_cache(labelled, tiny):
    from pages.parts.shared import server_state as handles

    labelled.query_params["vertex"] = "lh 0"
    labelled.run()
    before = figure(labelled, "tuning")["data"][0]
    lh = tiny.subject.responses["lh"][:, ::-1].copy()
    tiny.change(responses=dict(tiny.subject.responses) | {"lh": lh}, fingerprints={"lh": "other", "rh": "rh"})
    handles._opened.clear()  # half a minute later
    assert figure(labelled.run(), "tuning")["data"][0] != before


def test_clips_say_that_their_middle_frame_is_shown(labelled, tiny, monkeypatch):
    monkeypatch.setattr(type(tiny), "clips", True)
    labelled.query_params["stimulus"] = "1"
    text = shown(labelled.run())
    assert (
        "Of each clip its middle frame is shown" in text
        and "The middle frame of the clip" in text
        and "120 of 120 trials of 100 clips" in text
    )


def test_responses_say_how_many_stimuli_they_are_from_and_how_often_each_was_shown(labelled):
    text = shown(tab(labelled, "Responses"))
    assert "of 100 different images, 80 once, 20 2 times" in text and "From all 120 trials of 100 images" in text
    assert {chart.proto.id.rpartition("-")[2] for chart in labelled.get("plotly_chart")} == {"spread", "ceilings"}


def test_a_region_is_explained(labelled, tiny):
    rois = {hemi: {"V1v": np.arange(3), "FFA-1": np.zeros(0, int)} for hemi in ("lh", "rh")}
    tiny.subject = replace(tiny.subject, rois=rois)
    labelled.query_params["roi"] = "V1v"
    assert "Primary visual cortex" in shown(tab(labelled, "Regions")) and "3 in lh, 3 in rh" in shown(labelled)


def test_an_open_data_set_is_fetched_once_its_terms_are_confirmed(page, monkeypatch):
    asked = []
    monkeypatch.setattr("encoding.jobs.tasks.fetch_dataset", lambda name, **how: asked.append((name, how["subjects"], how["confirmed"])))
    page.query_params.update(catalogue="true", fetch_name="kay2008")
    page.run()
    assert not page.exception
    table = next(frame.value for frame in page.dataframe if "it needs" in frame.value)
    assert table.set_index("name").loc[["kay2008", "nsd"], "it needs"].tolist() == ["terms confirmed", "a form"]
    button = next(each for each in page.button if each.label == "Fetch")
    assert button.disabled and any("never opened" in each.value for each in page.caption)
    next(each for each in page.checkbox if each.label.startswith("I agree to these terms")).check()
    page.run()
    next(each for each in page.button if each.label == "Fetch").click()
    page.run()
    assert asked == [("kay2008", ("S1",), True)] and any(each.value == "Done." for each in page.success)


def test_what_stands_behind_a_form_has_no_button(page):
    page.query_params.update(catalogue="true", fetch_name="algonauts2023")
    page.run()
    assert any("sign its agreement" in each.value for each in page.info)
    assert all(each.label != "Fetch" for each in page.button)


def test_a_fetch_that_failed_says_why_in_a_sentence(page, monkeypatch):
    def fail(name, **how):
        raise ConnectionError("kay_images.npz could not be fetched.")

    monkeypatch.setattr("encoding.jobs.tasks.fetch_dataset", fail)
    page.query_params.update(catalogue="true", fetch_name="kay2008")
    page.run()
    next(each for each in page.checkbox if each.label.startswith("I agree to these terms")).check()
    page.run()
    next(each for each in page.button if each.label == "Fetch").click()
    page.run()
    assert [each.value for each in page.error if "could not be fetched" in each.value]
    assert any("goes on from there" in each.value for each in page.caption)


def test_voxels_of_the_subjects_own_space_are_shown_as_slices(page, tmp_path):
    import nibabel

    mine = tmp_path / "data" / "mine"
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[1, :, 2:4] = 1
    nibabel.Nifti1Image(mask, np.eye(4)).to_filename(mine / "mask.nii")
    np.save(mine / "Y.npy", np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32))
    np.save(mine / "rows.npy", np.arange(8) // 2)
    (mine / "dataset.toml").write_text(
        '[stimuli]\nfolder = "images"\n[subjects.ann]\nresponses = "Y.npy"\nvertices = { mask = "mask.nii", space = "native" }\n'
        'repeats = "rows.npy"\nceiling_from = "split-half"\n'
    )
    on(page, "mine", tab="Responses")
    page.button(key="open").click().run()
    assert not page.exception and "own space" in shown(page)
    assert page.dataframe[0].value.loc["on the cortex", "brain"] == "slices"
    assert "split-half of 4 stimuli shown 2 times (8 of 8 rows)" in shown(page)
    assert any('"heatmap"' in chart.proto.spec for chart in page.get("plotly_chart"))


def test_an_absent_data_set_says_how_to_get_it_and_is_simulated_by_a_button(page, monkeypatch, tmp_path):
    from encoding.jobs import tasks
    from tests.encoding.datasets.made2023 import made_subject

    class Small(type(DATASETS["demo"])):
        def open(self, *_):
            return made_subject()

    folder = tmp_path / "data" / "algonauts2023"
    on(page, "algonauts2023")
    assert not page.exception and "Algonauts 2023 (NSD) is not on this machine" in [each.value for each in page.header]
    assert "algonauts.csail.mit.edu" in shown(page)
    commands = [each.value for each in page.code]
    assert f"python -m encoding doctor {folder}" in commands
    assert f"python -m encoding simulate --layout algonauts2023 --out {folder}" in commands
    monkeypatch.setitem(DATASETS._members, "demo", Small())
    page.button(key="simulate_algonauts2023").click().run()
    assert not page.exception and DATASETS["algonauts2023"].subjects() == (made_subject().name,)
    assert not any(button.key == "simulate_algonauts2023" for button in page.button) and page.button(key="open")
    assert str(tasks.SimulateRequest("algonauts2023")) == "Simulate algonauts2023"


def test_a_server_that_only_shows_simulates_nothing(page, monkeypatch):
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    on(page, "algonauts2021")
    assert not page.exception and not any(str(button.key).startswith("simulate") for button in page.button)


def test_a_folder_of_ones_own_is_described_once_its_choices_are_made(page, tmp_path):
    lab = tmp_path / "data" / "lab"
    (lab / "images").mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(lab / "images" / f"{number}.png")
        np.save(lab / f"betas{number % 2}.npy", np.ones((4, 3)) * number)
    page.query_params.update(dataset="mine")
    page.session_state["importing"] = True
    page.run()
    assert next(each for each in page.selectbox if each.label == "Folder").options == ["lab"]
    next(each for each in page.selectbox if each.label == "Folder").select("lab")
    page.run()
    assert next(each for each in page.button if each.label == "Write it").disabled
    radio = next(each for each in page.radio if "responses" in each.label)
    assert radio.options == ["betas0.npy", "betas1.npy"]
    radio.set_value("betas1.npy")
    page.run()
    assert not page.exception and any('responses = "betas1.npy"' in each.value for each in page.code)
    next(each for each in page.button if each.label == "Write it").click()
    page.run()
    assert not page.exception and 'responses = "betas1.npy"' in (lab / "dataset.toml").read_text()


def test_a_read_only_server_describes_nothing(page, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    (tmp_path / "data" / "lab").mkdir()
    page.session_state["importing"] = True
    page.session_state["import_folder"] = "lab"
    page.run()
    assert not page.exception and all(each.label != "Write it" for each in page.button)
    assert any("Its operator can write the description" in each.value for each in page.info)
