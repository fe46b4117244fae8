"""The Explore page's own logic, without a browser."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from urllib.parse import parse_qs

import numpy as np
import pytest

from encoding import BACKBONES, DATASETS, FitSpec, fit
from encoding.analysis.learning_curve import learning_curve
from encoding.jobs.tasks import CurveRequest, study
from pages.parts.shared.links import explore_query
from tests.conftest import TINY as TINY_QUARTER
from tests.conftest import OtherTinySource, TinySource
from tests.pages.conftest import NoWorkers

TINY = replace(TINY_QUARTER, split=FitSpec().split)  # AppTest cannot press on with a value that is not among the options


@pytest.fixture
def page(tiny, open_page):
    """The app on the planted data set, with its own empty Store and no worker process."""
    return open_page(dataset="tiny", subject="subj01", backbone="tinynet", layer="pixels", components="0")


def test_a_fit_that_is_not_there_is_offered_and_not_started(page):
    page.run()
    assert not page.exception
    assert any("Not fitted yet" in text.value for text in page.markdown)
    assert NoWorkers.submitted == []
    page.button(key="fit").click().run()
    page.button(key="fit_here").click().run()
    assert [spec for spec in NoWorkers.specs() if spec == TINY] == [TINY, TINY]


@pytest.mark.parametrize(("most", "asks", "starts"), [(1e9, "true", True), (0.0, "true", False), (1e9, "soon", False)])
def test_a_link_may_start_a_short_fit_once(page, monkeypatch, most, asks, starts):
    monkeypatch.setattr("pages.parts.shared.job_progress.SECONDS_BY_LINK", most)
    page.query_params["start"] = asks
    page.run()
    assert not page.exception and NoWorkers.specs() == [TINY] * starts and "start" not in page.query_params
    assert bool(page.warning) == (asks != "true")
    page.number_input(key="components").set_value(3).run()
    assert len(NoWorkers.submitted) == starts  # other settings are offered again


def test_a_fit_in_the_store_is_shown_at_once_and_cannot_be_started(page, store):
    study(TINY, store)
    learning_curve(TINY, store, device="cpu")
    page.run()
    assert not page.exception and not page.info[1:]
    assert page.button(key="fit").disabled and page.button(key="fit").label == "Fitted"
    assert page.title[0].value == "How well does **pixels** of **tinynet** predict **subject 1**?"
    for part, n_charts in (("Regions", 1), ("Predictions", 2), ("Images", 0), ("Images needed", 1), ("Spread", 1), ("Take away", 0)):
        page.session_state["part"] = part
        page.run()
        assert not page.exception and len(page.get("plotly_chart")) == n_charts, part


def test_the_learning_curve_is_computed_when_its_tab_is_opened_and_a_dear_one_behind_a_button(page, store, monkeypatch):
    study(TINY, store)
    page.run()
    assert NoWorkers.submitted == []
    page.session_state["part"] = "Images needed"
    page.run()
    assert not page.exception and NoWorkers.specs() == [CurveRequest(TINY)]
    monkeypatch.setattr("pages.parts.explore.training_panels.SECONDS_UNASKED", 0.0)
    page.run()
    assert NoWorkers.specs() == [CurveRequest(TINY)]
    button = page.button(key="complete_learning curve")
    assert button.label.startswith("Compute the learning curve (about")
    button.click().run()
    assert NoWorkers.specs() == [CurveRequest(TINY)] * 2


def test_a_chosen_region_is_explained(page, store, tiny):
    tiny.change(rois={hemi: {"PPA": np.arange(5)} for hemi in ("lh", "rh")})
    study(TINY, store)
    page.query_params |= {"roi": "PPA", "part": "Images"}
    page.run()
    assert not page.exception and "Parahippocampal place area" in page.selectbox(key="roi").help


def test_missing_intervals_are_computed_and_hold_nothing_up(page, store):
    fit(TINY, store, device="cpu")
    page.run()
    assert not page.exception and page.get("plotly_chart") and page.button(key="fit").disabled
    assert [task.__name__ for task, _, _ in NoWorkers.submitted] == ["compute_intervals"]


def test_the_last_result_stays_below_a_strip_until_the_new_fit_is_there(page, store):
    """Undo brings its settings back; afterwards its bars stand in grey behind those of the new fit."""
    study(TINY, store)
    page.run()
    bars = page.get("plotly_chart")[0].proto.spec
    page.selectbox(key="layer").set_value("colour").run()
    page.number_input(key="components").set_value(2).run()
    assert not page.exception and page.title[0].value.startswith("How well does **colour**")
    assert any("Settings changed" in text.value for text in page.markdown) and page.button(key="fit_here").label.startswith("Fit · about")
    assert page.get("plotly_chart")[0].proto.spec == bars
    assert page.query_params["layer"] == "colour"
    page.button(key="undo").click().run()
    assert not page.exception and page.button(key="fit").disabled
    assert page.selectbox(key="layer").value == "pixels" and page.number_input(key="components").value == 0
    assert "Previous fit" not in page.get("plotly_chart")[0].proto.spec
    study(replace(TINY, layers=("colour",)), store)
    page.selectbox(key="layer").set_value("colour").run()
    assert not page.exception and page.get("plotly_chart")[0].proto.spec.count('"name":"Previous fit"') == 2
    page.toggle(key="show_before").set_value(False).run()
    assert "Previous fit" not in page.get("plotly_chart")[0].proto.spec


def test_a_pinned_baseline_that_is_not_here_is_named_once(page, store):
    study(TINY, store)
    page.query_params["pin"] = "fit-nope"
    page.run()
    [warning] = page.warning
    assert not page.exception and "The pinned baseline is not here. Unknown fit 'fit-nope'" in warning.value.replace("\\", "")
    page.run()
    assert not page.exception and "pin" not in page.query_params


def test_a_link_to_a_fit_of_one_hemisphere_opens_it_until_both_are_chosen(page, store):
    one = replace(TINY, hemi="lh")
    study(one, store)
    page.query_params.update(explore_query(one))
    page.run()
    assert not page.exception and page.button(key="fit").disabled and page.query_params["hemi"] == "lh"
    page.selectbox(key="hemi").set_value("both").run()
    assert not page.exception and not page.button(key="fit").disabled and "hemi" not in page.query_params
    page.button(key="undo").click().run()
    assert not page.exception and page.button(key="fit").disabled and page.query_params["hemi"] == "lh"


def test_regions_that_a_fit_does_not_predict_are_not_called_empty(page, store):
    one = replace(TINY, target_groups="vertex:lh:7", options={"alpha_per_target": False})
    study(one, store)
    page.query_params.update(explore_query(one))
    page.run()
    said = " ".join(caption.value for caption in page.caption)
    assert not page.exception and "Without vertices here: empty. The fit predicts no vertex of the other regions." in said


@pytest.mark.parametrize("full", [False, True])
def test_a_link_holds_a_parameter_that_is_none_where_that_is_not_its_default(page, store, full):
    unlimited = replace(TINY, readout="tree", options={"max_depth": None})
    study(unlimited, store)
    page.query_params.update(explore_query(unlimited, full=full))
    page.run()
    assert not page.exception and page.button(key="fit").disabled and page.query_params["tree_max_depth"] == "none"


def test_the_fit_before_is_named_by_what_differs(page, store):
    for spec in (TINY, replace(TINY, n_components=2), replace(TINY, n_components=2, layers=("colour",))):
        study(spec, store)
    page.run()
    page.number_input(key="components").set_value(2).run()
    assert not page.exception and page.toggle(key="show_before").label == r"Grey: tinynet pixels\, components 0"
    page.selectbox(key="layer").set_value("colour").run()
    assert not page.exception and page.toggle(key="show_before").label == "Grey: tinynet pixels"


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [("readout", "knn", "k nearest neighbours · similarity"), ("split", "kfold:5:0", "5-fold (seed 0)"), ("score", "rmse", "RMSE")],
)
def test_menus_show_labels_and_the_link_holds_keys(page, store, name, value, label):
    study(TINY, store)
    page.run()
    assert label in page.selectbox(key=name).options
    page.selectbox(key=name).set_value(value).run()
    assert not page.exception and page.query_params[name] == value
    again = page.query_params[name]
    page.selectbox(key=name).set_value({"readout": "ridge", "split": FitSpec().split, "score": "r"}[name]).run()
    assert name not in page.query_params
    page.run()  # of a browser that has heard so; before that the same link would be a late one
    page.query_params[name] = again
    page.run()
    assert page.selectbox(key=name).value == value


def test_readouts_that_cannot_work_here_are_not_offered(page):
    page.run()
    offered = " ".join(page.selectbox(key="readout").options)
    assert "Recurrent" not in offered and "Tuned backbone" not in offered
    assert page.selectbox(key="readout").options[0] == "Ridge · linear"


def test_a_link_from_another_page_means_what_it_says_and_defaults_besides(page):
    page.query_params |= {"ridge_alpha": "10", "split": "kfold:3:0"}
    page.run()
    page.switch_page("pages/views/60_weights.py").run()
    page.query_params.clear()
    page.query_params |= {"dataset": "tiny", "backbone": "tinynet", "layer": "pixels"}
    page.switch_page("pages/views/10_explore.py").run()
    page.button(key="fit").click().run()
    spec = NoWorkers.specs()[-1]
    assert (spec.options, spec.split, spec.n_components) == ((), FitSpec().split, FitSpec().n_components)


def test_the_learning_curve_marks_the_epoch_that_was_kept_where_losses_are_rounded(page, store):
    """At one decimal the first of equal epochs is kept, which is not the one of the lowest loss."""
    options = {"decimals": 1, "n_epochs": 8, "patience": 8, "learning_rate": 0.01}
    result = study(replace(TINY, readout="linear_sgd", options=options), store)
    result = fit(replace(TINY, readout="linear_sgd", options=options), store) if result is None else result
    page.query_params |= {"part": "Training", "readout": "linear_sgd"}
    page.query_params |= {f"linear_sgd_{name}": str(value) for name, value in options.items()}
    page.run()
    assert not page.exception and not page.error
    (kept,) = result.kept_epochs(result.plan.target_groups[0])
    assert kept != np.argmin(result.history()["lh"]["validation_loss"]) + 1
    charts = [chart.proto.spec for chart in page.get("plotly_chart")]
    assert sum(f"weights of epoch {kept} kept" in spec for spec in charts) == 1
    assert any("compared at 1 decimals" in caption.value for caption in page.caption)
    tables = [table.value for table in page.dataframe if "validation_mse" in table.value]
    assert len(tables) == 1 and np.isfinite(tables[0]["validation_mse"]).all()


def test_data_without_places_have_no_brain_and_say_so(page, store):
    study(TINY, store)
    assert any("no brain map" in info.value for info in page.run().info)


def test_an_empty_roi_has_nothing_to_predict_and_says_so(page, store):
    study(TINY, store)
    page.query_params |= {"roi": "empty", "part": "Predictions"}
    assert any("empty has no vertices" in info.value for info in page.run().info)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layer", "pixel", "Did you mean 'pixels'"),
        ("ridge_alpha", "ten", "alpha must be a number"),
        ("ridge_alpha", "-3", "0 or more, not -3"),
        ("split", "holdout:2:0", "Write holdout:0.9:5"),
        ("split", "kfold:500:0", "only 120 different stimuli"),
    ],
)
def test_a_wrong_choice_is_explained(page, name, value, message):
    page.query_params[name] = value
    page.run()
    assert not page.exception
    assert any(message in error.value for error in page.error)


def test_missing_weights_are_said_and_the_page_goes_on(page):
    page.query_params |= {"backbone": "torchvision/alexnet", "weights": "/nowhere/alexnet.pth", "layer": "features.1"}
    page.run()
    assert not page.exception and "There is no weights file '/nowhere/alexnet.pth'" in page.error[0].value


def test_the_best_region_is_named_with_its_side(tiny, page, store):
    study(TINY, store)
    header = next(text.value for text in page.run().markdown if "training and" in text.value)
    assert re.search(r" Best: \*\*driven\*\* (left|right), r \*\*[01]\.\d\d\*\*", header)


def test_averaging_is_offered_only_where_a_stimulus_is_repeated(tiny, page):
    assert not [box for box in page.run().checkbox if box.key == "average_repeats"]


@pytest.mark.parametrize("linked", [False, True], ids=["box", "link"])
def test_repeats_can_be_averaged_and_the_page_says_so(tiny, page, store, linked):
    tiny.change(groups=np.arange(120) // 2)
    spec = replace(TINY, average_repeats=True)
    assert explore_query(spec)["average_repeats"] == "true"
    study(spec, store)
    if linked:
        page.query_params["average_repeats"] = "true"
    at = page.run()
    if not linked:
        assert not at.exception and any("Settings changed" in text.value or "Not fitted yet" in text.value for text in at.markdown)
        at = at.toggle(key="average_repeats").set_value(True).run()
    assert not at.exception and at.toggle(key="average_repeats").value
    assert any("6 test images (repeats averaged before they are scored)" in text.value for text in at.markdown)


def test_intervals_of_residuals_are_over_images_not_over_their_repeats(tiny, page, store):
    tiny.change(groups=np.arange(120) // 3)
    study(replace(TINY, split="kfold:5:0"), store)
    page.query_params |= {"split": "kfold:5:0", "part": "Predictions"}
    page.run()
    assert not page.exception
    drawn = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    (mean,) = [trace for each in drawn for trace in each["data"] if trace.get("name") == "Running mean ± 95 %"]
    assert len(np.frombuffer(base64.b64decode(mean["x"]["bdata"]), mean["x"]["dtype"])) == 3  # bins of twelve images or more


def test_an_image_that_was_shown_several_times_is_ranked_once_by_the_mean_of_its_trials(tiny, page, store):
    tiny.change(groups=np.arange(120) // 3)
    spec = replace(TINY, split="kfold:5:0")
    study(spec, store)
    page.query_params |= {"split": "kfold:5:0", "part": "Images", "vertex": "lh 2"}
    page.run()
    found = [re.search(r"measured ([+-][\d.]+), predicted .*stimulus=(\d+)", text.value) for text in page.caption]
    shown = [(int(each[2]) - 1, float(each[1])) for each in found if each]
    means = np.asarray(fit(spec, store).plan.subject.responses["lh"])[:, 2].reshape(40, 3).mean(1)
    assert not page.exception and len(shown) == 12 and all(row % 3 == 0 for row, _ in shown)
    assert [value for _, value in shown] == [pytest.approx(means[row // 3], abs=0.0051) for row, _ in shown]
    assert [row // 3 for row, _ in shown[4:8]] == np.argsort(-means)[:4].tolist()


@pytest.mark.parametrize(
    ("part", "axis", "title"), [("Predictions", "xaxis2", "Trials"), ("Images needed", "xaxis", "Training trials")], ids=["dots", "curve"]
)
def test_rows_that_repeat_images_are_called_trials_beside_their_numbers(tiny, page, store, part, axis, title):
    tiny.change(groups=np.arange(120) // 3)
    spec = replace(TINY, split="kfold:5:0")
    study(spec, store)
    learning_curve(spec, store, device="cpu")
    page.query_params |= {"split": "kfold:5:0", "part": part}
    page.run()
    layouts = [json.loads(chart.proto.spec)["layout"] for chart in page.get("plotly_chart")]
    assert layouts[-1][axis]["title"]["text"] == title
    assert part != "Predictions" or any("one of 120 trials of 40 test images" in text.value for text in page.caption)


def test_a_vertex_that_does_not_exist_is_explained(page, store):
    study(TINY, store)
    page.query_params["vertex"] = "lh 10"
    assert any("lh has the vertices 0 to 9" in warning.value for warning in page.run().warning)


def test_parameters_of_the_readout_reach_the_spec(page):
    page.query_params["ridge_alpha"] = "10"
    page.run()
    page.button(key="fit").click().run()
    assert NoWorkers.specs()[-1].options == (("alpha", 10),)


def test_a_bare_link_means_the_same_after_things_are_added(page, monkeypatch):
    class Another(TinySource):
        name = "aaa"

        def networks(self):
            return ("aaa",)

    monkeypatch.setitem(BACKBONES.sources._members, "aaa", Another())
    for name in list(page.query_params):
        del page.query_params[name]
    page.switch_page("pages/views/10_explore.py")
    monkeypatch.setattr(type(DATASETS["demo"]), "is_ready", lambda self, subject, store: False)
    page.run()
    assert NoWorkers.specs()[-1] == FitSpec()


def test_a_link_that_names_something_unknown_says_so(page):
    page.query_params["readout"] = "rigde"
    assert any("Did you mean 'ridge'" in warning.value for warning in page.run().warning)


def test_what_a_link_asks_for_and_does_not_get_is_named_in_one_warning(page, store):
    study(TINY, store)
    page.query_params.update({"roi": "XYZ", "score": "foo", "over": "median", "nonsense": "1", "part": "Predictions"})
    (warning,) = page.run().warning
    for expected in ("Unknown ROI 'XYZ'. Known: best predicted, ", "'foo'", "no setting **nonsense**"):
        assert expected in warning.value
    assert "over" not in warning.value and "part" not in warning.value
    page.selectbox(key="roi").set_value("every vertex").run()
    assert "XYZ" not in page.warning[0].value  # something else is looked at now


def test_a_number_out_of_range_in_a_link_is_named(page):
    page.query_params["components"] = "-5"
    (warning,) = page.run().warning
    assert "**components** cannot be -5 here, so it is 100" in warning.value


def test_a_link_to_take_away_spells_out_every_default(page, store, open_page):
    study(TINY, store)
    page.query_params["part"] = "Take away"
    page.run()
    (link,) = [each.value for each in page.code if each.language is None or each.language == "" or "&" in each.value]
    for expected in ("dataset=tiny", "readout=ridge", "components=0", "pool=none", "ridge_alpha_per_target=true", "layer=pixels"):
        assert expected in link
    opened = open_page(**{name: values[-1] for name, values in parse_qs(link.partition("?")[2]).items()}).run()
    assert not opened.exception and [each.value for each in opened.warning] == []
    assert opened.button(key="fit").label == "Fitted"


def test_a_fit_of_two_networks_is_opened_by_its_link_and_named_after_both(page, store, monkeypatch):
    monkeypatch.setitem(BACKBONES.sources._members, "othernet", OtherTinySource())
    spec = replace(TINY, backbone="tinynet + othernet", layers=("tinynet pixels", "othernet colour"))
    study(spec, store)
    page.query_params.clear()
    page.query_params |= explore_query(spec)
    page.run()
    assert not page.exception and not page.error and page.button(key="fit").disabled
    assert "How well do **tinynet pixels + othernet colour** together predict" in page.title[0].value
    page.multiselect(key="more_networks").set_value([]).run()
    assert not page.exception and page.selectbox(key="layer").value == "colour"


@pytest.mark.parametrize("rois", [("all=driven+noise", "noise"), ("any=driven+noise",)])
def test_a_link_to_a_fit_of_a_union_opens_that_fit_with_all_its_regions(page, store, rois):
    spec = replace(TINY, rois=rois)
    study(spec, store)
    page.query_params.clear()
    page.query_params |= explore_query(spec)
    page.run()
    assert not page.exception and not page.error and page.button(key="fit").disabled
    assert page.multiselect(key="rois").value == list(rois)
    assert page.selectbox(key="roi").value == spec.roi_names[0]
    page.multiselect(key="rois").set_value(["both=noise+driven"]).run()
    assert not page.exception and "both" in page.selectbox(key="roi").options


def test_a_further_network_brings_a_layer_of_its_own(page, monkeypatch):
    monkeypatch.setitem(BACKBONES.sources._members, "othernet", OtherTinySource())
    page.run()
    page.multiselect(key="more_networks").set_value(["othernet"]).run()
    assert not page.exception and page.multiselect(key="layer").value == ["tinynet colour", "othernet colour"]
    page.button(key="fit").click().run()
    assert NoWorkers.specs()[-1].layers == ("tinynet colour", "othernet colour")


@pytest.fixture
def lab(data_dir, tiny):
    """Own data without any surface: voxels of the subject's own space, and a split with two test sets."""
    import nibabel
    from PIL import Image

    folder = data_dir / "lab"
    (folder / "images").mkdir(parents=True)
    colours = np.random.default_rng(0).integers(0, 256, (30, 3))
    for i, colour in enumerate(colours):
        Image.new("RGB", (8, 8), tuple(map(int, colour))).save(folder / "images" / f"{i}.png")
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[1, 1:4, 2] = 1
    nibabel.Nifti1Image(mask, np.eye(4)).to_filename(folder / "mask.nii")
    np.save(folder / "Y.npy", colours.astype(np.float32))
    (folder / "splits.toml").write_text("[out]\ntrain = ['0:18']\n[out.test]\nnear = ['18:24']\nfar = ['24:30']\n")
    (folder / "dataset.toml").write_text(
        'split = "named:out"\nsplits = "splits.toml"\n[stimuli]\nfolder = "images"\n[subjects.me]\nresponses = "Y.npy"\n'
        'vertices = { mask = "mask.nii", space = "native" }\n'
    )
    return FitSpec(dataset="lab", subject="me", backbone="tinynet", layers=("colour",), n_components=0, split="named:out")


def test_voxels_without_a_surface_are_shown_as_slices_and_every_test_set_in_a_table(lab, open_page, store):
    fit(lab, store)
    page = open_page(dataset="lab", subject="me", backbone="tinynet", layer="colour", components="0")
    page.run()
    assert not page.exception and not page.error
    options = page.selectbox(key="split").options
    assert (
        options[:3] == [f"out{each} (comes with the data)" for each in ("", ":near", ":far")]
        and page.selectbox(key="split").value == "named:out"
    )
    assert "slices" in " ".join(info.value for info in page.info)
    assert any("heatmap" in chart.proto.spec and "z 2 mm" in chart.proto.spec for chart in page.get("plotly_chart"))
    page.session_state["test_sets"] = True
    page.run()
    assert not page.exception
    table = next(each.value for each in page.dataframe if "near (6)" in each.value)
    assert list(table.columns) == ["near (6)", "far (6)"] and (table.to_numpy() > 0.99).all()
