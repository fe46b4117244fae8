"""The Predict page's own logic, without a browser."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from encoding import fit
from encoding.jobs.tasks import occlude_image
from encoding.runs.exchange import export, import_
from tests.conftest import TINY, TinyBackbone, TinySource
from tests.pages.conftest import NoWorkers


class AnyPicture:
    """The planted backbone, with images of any size reduced to its 4 x 4 pixels."""

    def prepare(self, image):
        import torch

        return torch.from_numpy(np.asarray(image.resize((4, 4)), np.float32).transpose(2, 0, 1) / 255)


@pytest.fixture
def page(tiny, open_page, monkeypatch):
    """The Predict page over a Store of its own, and no worker process."""
    monkeypatch.setattr(TinyBackbone, "prepare", AnyPicture.prepare)
    return open_page("50_predict")


def png(width=32, height=32, colour=(200, 30, 30)):
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def charted(at):
    """Every number of the first chart, to four digits."""
    figure = json.loads(at.get("plotly_chart")[0].proto.spec)
    found = []
    for trace in figure["data"]:
        for values in (trace.get("y"), trace.get("x")):
            if isinstance(values, dict):
                values = np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
            found += [f"{value:.4f}" for value in values or () if isinstance(value, float)] if isinstance(values, list) else []
            found += [f"{value:.4f}" for value in values] if isinstance(values, np.ndarray) else []
    return found


def words(at):
    return " ".join(each.value for kind in (at.markdown, at.caption, at.info, at.error, at.warning) for each in kind)


def test_a_link_to_a_fit_that_is_not_here_says_so_where_there_are_none(page):
    page.query_params["fit"] = "fit-0123456789abcdef0123"
    page.run()
    assert "the fit that it asks for is not here" in words(page) and "False" not in words(page)


def test_a_test_image_is_predicted_and_marked_so(page, store):
    result = fit(TINY, store)
    page.run()
    assert not page.exception and not page.error
    assert "Test image" in words(page) and "never saw it" in words(page)
    assert page.text_input(key="stimulus").placeholder == str(result.test_rows().min() + 1)
    assert len(page.get("plotly_chart")) == 2
    assert "no brain map" in words(page)


def test_a_training_image_is_marked_as_seen_and_is_not_its_own_neighbour(page, store):
    row = int(fit(TINY, store).plan.folds[0].train[0])
    page.query_params["stimulus"] = str(row + 1)
    page.run()
    assert "The model was fitted to it" in words(page)
    assert str(row + 1) not in [button.label for button in page.button if button.key.startswith("pick_nearest")]


def test_an_image_that_the_split_leaves_out_is_neither_trained_nor_tested(page, store):
    result = fit(replace(TINY, split="holdout:0.8:0/holdout:0.8:0"), store)
    fold = result.plan.folds[0]
    row = int(np.setdiff1d(np.arange(120), [*fold.train, *fold.test])[0])
    page.query_params["stimulus"] = str(row + 1)
    page.run()
    assert "Neither trained nor tested" in words(page) and "The model was fitted to it" not in words(page)
    assert "Test image" not in words(page) and "In feature space" in words(page)


def test_next_goes_to_the_next_test_image(page, store):
    tests = np.sort(fit(TINY, store).test_rows())
    page.run()
    page.button(key="picture_after").click().run()
    assert page.text_input(key="stimulus").value == str(tests[1] + 1)
    page.button(key="picture_before").click().run()
    page.button(key="picture_before").click().run()
    assert page.text_input(key="stimulus").value == str(tests[-1] + 1)


def test_a_picture_pressed_below_is_shown(page, store):
    fit(TINY, store)
    page.query_params["from"] = "upload"
    page.run()
    page.file_uploader(key="upload").set_value([("a.png", png(), "image/png")]).run()
    assert not page.exception and "Your image" in words(page)
    first = next(button for button in page.button if button.key.startswith("pick_nearest"))
    first.click().run()
    assert page.text_input(key="stimulus").value == first.label and "Training image" in words(page)


def test_an_upload_is_predicted_and_nothing_of_it_is_written(page, store):
    fit(TINY, store)
    page.query_params["from"] = "upload"
    page.run()
    before = sorted(store.root.rglob("*"))
    assert page.file_uploader(key="upload").label.startswith("An image (")
    page.file_uploader(key="upload").set_value([("a.dat", png(), "application/octet-stream")]).run()
    assert not page.exception and not page.error and "Nothing was measured for it" in words(page)
    assert len(page.get("plotly_chart")) == 2
    assert sorted(path for path in store.root.rglob("*") if path.parent.name != "locks") == [p for p in before if p.parent.name != "locks"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "SVG drawing"),
        (png()[:60], "damaged or cut short"),
        (png(400, 17), "8 times the other"),
    ],
    ids=["svg", "half", "line"],
)
def test_a_hostile_upload_is_refused_in_a_sentence(page, store, data, message):
    fit(TINY, store)
    page.query_params["from"] = "upload"
    page.run()
    page.file_uploader(key="upload").set_value([("cat.png", data, "image/png")]).run()
    assert not page.exception and message in page.error[0].value
    assert not page.get("plotly_chart")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("stimulus", "500", "so no 500"), ("stimulus", "tiny-000", "Did you mean"), ("fit", "fit-1", "Unknown fit 'fit-1'")],
)
def test_a_link_to_what_is_not_here_says_so(page, store, name, value, message):
    fit(TINY, store)
    page.query_params[name] = value
    page.run()
    assert not page.exception and any(message in each.value for each in page.warning)


def test_a_link_opens_the_fit_and_the_region_that_it_names(page, store):
    fit(TINY, store)
    other = fit(replace(TINY, n_components=5), store)
    page.query_params.update({"fit": other.key, "roi": "noise", "least_r": "0.0"})
    page.run()
    assert not page.exception and page.multiselect(key="predict_fits").value == [other.key]
    assert any("drives noise" in each.value for each in page.header)


def test_back_leads_to_the_models_that_were_chosen_before(page, store, monkeypatch):
    first, other = fit(TINY, store), fit(replace(TINY, n_components=5), store)
    page.query_params["fit"] = first.key
    page.run()
    page.multiselect(key="predict_fits").set_value([first.key, other.key]).run()
    assert page.query_params["fit"] == [first.key, other.key]
    monkeypatch.setattr("pages.parts.shared.linked.goes_back", lambda: True)
    monkeypatch.setattr("pages.parts.shared.late_link.LATE", 0.0)
    page.query_params["fit"] = first.key
    page.run()
    assert (
        not page.exception
        and page.multiselect(key="predict_fits").value == [first.key]
        and page.query_params["fit"] in (first.key, [first.key])
    )


def test_several_models_stand_beside_each_other(page, store):
    first, other = fit(TINY, store), fit(replace(TINY, n_components=5), store)
    page.query_params["fit"] = [first.key, other.key]
    page.run()
    assert not page.exception
    table = next(each.value for each in page.dataframe if "model" in each.value)
    assert len(table) == 2 and (table["r of the pattern"] > 0.5).all() and set(table["this image is its"]) == {"test"}


def test_an_imported_fit_predicts_an_upload_as_the_one_that_was_sent(page, store, tmp_path, monkeypatch):
    from encoding import Store
    from encoding.datasets import DATASETS
    from encoding.prediction.predictor import InMemory, Predictor

    result = fit(TINY, Store(tmp_path / "sender"), device="cpu")
    imported = import_(export(result, tmp_path / "fit.zip"), store)
    monkeypatch.delitem(DATASETS._members, "tiny")
    page.query_params["fit"] = imported.key
    page.run()
    assert not page.exception and not page.error and "did not come with it. Upload one." in words(page)
    page.file_uploader(key="upload").set_value([("mine.png", png(), "image/png")]).run()
    assert not page.exception and not page.error and "Nothing was measured for it" in words(page)
    expected = Predictor.of(result, device="cpu")(InMemory([[Image.open(io.BytesIO(png()))]]))["lh"][0]
    driven = expected[:5][result.score("lh")[:5] >= 0.2].mean()
    assert f"{driven:.4f}" in charted(page)
    assert "so there is nothing to compare with" in words(page)


def test_an_imported_fit_that_cannot_predict_says_why(page, store, tmp_path):
    imported = import_(export(fit(TINY, store), tmp_path / "fit.zip", models=False), store)
    page.query_params["fit"] = imported.key
    page.run()
    assert not page.exception and "the sender left them out" in words(page)


def test_without_a_fit_the_first_one_is_offered(page, monkeypatch):
    from encoding import DATASETS

    monkeypatch.setattr(type(DATASETS["demo"]), "is_ready", lambda self, subject, store: False)
    page.run()
    assert not page.exception and [spec.dataset for spec in NoWorkers.specs()] == ["demo"]


def test_what_a_network_sees_in_a_picture_is_a_job(page, store, monkeypatch):
    """A backbone that learns may be large: its map is computed in the background, kept, and shown when it is there."""
    monkeypatch.setattr(TinySource, "needs_weights", True)
    fit(TINY, store)
    page.query_params.update({"grid": "4"})
    page.run()
    assert not page.exception and len(page.get("plotly_chart")) == 1
    NoWorkers.submitted.clear()
    page.button(key="occlude").click().run()
    (asked,) = NoWorkers.specs()
    assert (asked.n_grid, len(asked.frames)) == (4, 1)
    occlude_image(asked, store, device="cpu")
    page.run()
    assert len(page.get("plotly_chart")) == 2


def test_a_read_only_server_starts_no_job_but_predicts(page, store, monkeypatch):
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    monkeypatch.setattr(TinySource, "needs_weights", True)
    fit(TINY, store)
    page.run()
    assert not page.exception and "Test image" in words(page) and "this server starts none" in words(page)
    assert not [button for button in page.button if button.key == "occlude"]


def test_an_image_is_compared_with_the_training_images(page, store):
    result = fit(TINY, store=store)
    page.query_params.update({"fit": result.key, "roi": "driven", "least_r": "0.0"})
    page.run()
    text = " ".join(each.value for each in page.markdown)
    assert not page.exception and "training images than" in text and "driven: predicted mean" in text.replace("*", "")
    page.text_input(key="stimulus").set_value(str(result.plan.folds[0].train[0] + 1)).run()
    text = " ".join(each.value for each in page.markdown)
    assert not page.exception and "training images than" not in text and "predicted mean" in text


def test_a_folder_is_ranked_for_the_region(page, store, tmp_path, monkeypatch):
    result = fit(TINY, store=store)
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(png(colour=(50 * number, 0, 9)))
    page.query_params.update({"fit": result.key, "roi": "driven", "least_r": "0.0"})
    page.session_state["rank_many"] = True
    page.run()
    page.text_input(key="rank_folder").set_value(str(tmp_path)).run()
    page.button(key="rank").click().run()
    assert not page.exception and not page.error
    table = page.dataframe[-1].value
    assert len(table) == 5 and table["predicted"].is_monotonic_decreasing and table["unlike_training"].between(0, 100).all()
    page.file_uploader(key="rank_uploads").set_value([("good.png", png(), "image/png"), ("cut.png", png()[:60], "image/png")]).run()
    page.button(key="rank").click().run()
    assert not page.exception and "cut.png: This PNG is damaged" in page.error[0].value.replace("\\", "")
    page.file_uploader(key="rank_uploads").set_value([]).run()
    monkeypatch.setenv("ENCODING_SHARED", "1")
    page.run()
    assert not [each for each in page.text_input if each.key == "rank_folder"]
