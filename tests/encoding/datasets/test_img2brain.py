"""img2brain: written and read back, fitted to a known truth, and shown by pages that have neither ROIs nor places for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from encoding import DATASETS, FitSpec, fit
from encoding.cli import main
from encoding.datasets import BadData, Stimuli, Subject
from encoding.datasets.img2brain import BLOCK, TOP, Img2Brain, Img2BrainLayout
from encoding.datasets.writers.img2brain import write_img2brain
from encoding.evaluation.splits import folds
from encoding.jobs.tasks import study
from encoding.runtime.registry import UnknownName
from tests import PROJECT
from tests.pages.views.test_explore_page import NoWorkers

N_IMAGES, N_TEST, SIZE = 150, 6, 16
N_VOXELS = {"lh": 12, "rh": 8}
CEILING = np.tile([0.0, 0.25, 0.5, 0.9], 5)  # of the voxels, left before right
SPEC = FitSpec(dataset="img2brain", backbone="pixels", layers=("rgb",), n_components=12, split="holdout:0.8:224")
PAGE = str(PROJECT / "app.py")


class Quarters(Stimuli):
    """Pictures of 2 x 2 flat colours, which JPEG keeps: twelve features are all there is to know."""

    fingerprint = "quarters"

    def __init__(self, colours: np.ndarray) -> None:
        self.colours, self.names = colours, tuple(f"picture {i}" for i in range(len(colours)))

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(self.colours[index]).resize((SIZE, SIZE), Image.Resampling.NEAREST)


def planted() -> Subject:
    """Voxels that answer linearly to the twelve features, with noise that leaves each the share :data:`CEILING` of its variance."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (N_IMAGES + N_TEST, 2, 2, 3), dtype=np.uint8)
    signal = (colours[:N_IMAGES].reshape(N_IMAGES, -1) / 255 - 0.5) @ rng.normal(size=(12, len(CEILING)))
    noise = rng.normal(size=signal.shape)
    answers = np.sqrt(CEILING) * signal / signal.std(0) + np.sqrt(1 - CEILING) * noise / noise.std(0)
    blocks = np.split(answers.astype(np.float32), [N_VOXELS["lh"]], axis=1)
    return Subject(
        dataset="planted",
        name="subj01",
        stimuli=Quarters(colours[:N_IMAGES]),
        unlabelled=Quarters(colours[N_IMAGES:]),
        responses=dict(zip(N_VOXELS, blocks, strict=True)),
        fingerprints=dict.fromkeys(N_VOXELS, "planted"),
        rois={hemi: {} for hemi in N_VOXELS},
        groups=np.arange(N_IMAGES),
        simulated=True,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_img2brain(planted(), tmp_path_factory.mktemp("img2brain"), size=SIZE)


@pytest.fixture
def data(data_dir, written):
    """The data set where it is looked for, to be damaged."""
    return Img2BrainLayout(Path(shutil.copytree(written, data_dir / "img2brain" / TOP)))


# -- read


def test_what_is_written_is_read_back(data, store):
    made, read = planted(), DATASETS["img2brain"].open("subj01", store)
    assert DATASETS["img2brain"].subjects() == ("subj01",)
    assert read.hemis == (BLOCK,) and read.rois == {BLOCK: {}} and read.vertices is None and read.ceiling is None and read.simulated
    assert read.responses[BLOCK].dtype == np.float32
    assert np.array_equal(read.responses[BLOCK], np.hstack([made.responses["lh"], made.responses["rh"]]))
    for mine, theirs in ((made.stimuli, read.stimuli), (made.unlabelled, read.unlabelled)):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert b.size == (SIZE, SIZE) and np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() < 12  # JPEG's


def test_names_without_padding_are_in_the_order_of_their_numbers(data, store):
    made = DATASETS["img2brain"].open("subj01", store).stimuli.fingerprint
    for path in list(data.training_images.iterdir()):
        path.rename(path.with_name(f"{int(path.stem)}.jpg"))
    stimuli = DATASETS["img2brain"].open("subj01", store).stimuli
    names = stimuli.names
    assert stimuli.fingerprint == made
    assert names == tuple(str(i + 1) for i in range(N_IMAGES)) and sorted(names) != list(names)


def test_the_folder_within_the_download_may_be_missing(data, store):
    for path in data.folder.iterdir():
        path.rename(data.folder.parent / path.name)
    data.folder.rmdir()
    assert DATASETS["img2brain"].open("subj01", store).n_stimuli == N_IMAGES


def test_its_split_is_the_published_one():
    np.random.seed(224)
    order = np.arange(8857)
    np.random.shuffle(order)
    (fold,) = folds(Img2Brain.split, np.arange(8857))
    assert np.array_equal(fold.train, np.sort(order[: int(8857 * 0.8 + 0.5)])) and (len(fold.train), len(fold.test)) == (7086, 1771)


def test_a_second_opening_reads_nothing(data, store, monkeypatch):
    dataset = DATASETS["img2brain"]
    assert not dataset.is_ready("subj01", store)
    first = dataset.open("subj01", store)
    assert dataset.is_ready("subj01", store)
    monkeypatch.setattr("encoding.storage.fingerprints.sha256", None)
    monkeypatch.setattr("encoding.datasets._responses.response_facts", None)
    assert dataset.open("subj01", store).fingerprints == first.fingerprints
    np.save(data.responses, np.load(data.responses) + 1)
    assert not dataset.is_ready("subj01", store)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int16", ">f4"])
def test_other_numbers_are_converted_once(data, store, monkeypatch, dtype):
    values = (np.load(data.responses) * 100).astype(dtype)
    np.save(data.responses, values)
    dataset = DATASETS["img2brain"]
    assert not dataset.is_ready("subj01", store)
    read = dataset.open("subj01", store)
    assert read.responses[BLOCK].dtype == np.dtype("<f4") and np.array_equal(read.responses[BLOCK], values.astype(np.float32))
    assert dataset.is_ready("subj01", store)
    monkeypatch.setattr("encoding.datasets._responses._convert", None)
    assert np.array_equal(dataset.open("subj01", store).responses[BLOCK], values.astype(np.float32))
    store.remove(next(key for key in store.keys() if key.startswith("float32")))  # noqa: SIM118
    assert not dataset.is_ready("subj01", store)


def test_columns_first_is_the_same_matrix(data, store):
    values = np.load(data.responses)
    np.save(data.responses, np.asfortranarray(values))
    read = DATASETS["img2brain"].open("subj01", store).responses[BLOCK]
    assert np.array_equal(np.asarray(read), values)


def _take_one_image(layout):
    (layout.training_images / "0003.jpg").unlink()


def _remove_images(layout):
    shutil.rmtree(layout.training_images)


def _save(values):
    return lambda layout: np.save(layout.responses, values)


def _save_nan(layout):
    values = np.load(layout.responses).astype(float)
    values[3, 4] = np.nan
    np.save(layout.responses, values)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_take_one_image, r"trainingIMG holds 149 images but training.npy has 150 rows. Each image is one row"),
        (_remove_images, "There is no folder .*trainingIMG"),
        (lambda layout: layout.responses.unlink(), r"training.npy is missing"),
        (lambda layout: layout.responses.write_bytes(b"no array"), r"training.npy is text, not .npy"),
        (_save(np.zeros((150, 2, 2))), r"shape \(150, 2, 2\) where \(n_rows, n_vertices\) is needed. Save a matrix"),
        (_save(np.zeros((150, 2), bool)), "holds bool where real numbers are needed"),
        (_save(np.zeros((150, 0))), "holds no responses"),
        (_save_nan, r"training.npy holds NaN or infinite responses in 1 vertex and 1 row, first in row 3, vertex 4"),
        (_save(np.full((150, 2), 1e300)), "training.npy holds NaN or infinite responses in 2 vertices"),
    ],
)
def test_damage_is_named_with_its_mend(data, store, damage, message):
    damage(data)
    with pytest.raises(BadData, match=message):
        DATASETS["img2brain"].open("subj01", store)


def test_without_the_data_it_says_how_to_have_them(tmp_path, store):
    dataset = Img2Brain(tmp_path)
    assert dataset.subjects() == () and "10.5281/zenodo.7979730" in dataset.where()
    with pytest.raises(UnknownName, match="simulate --layout img2brain"):
        dataset.open("subj01", store)


def test_a_folder_that_is_there_is_not_written_over(data):
    with pytest.raises(FileExistsError, match="Data_img2brain exists already"):
        write_img2brain(planted(), data.folder.parent)


# -- fitted


def test_a_fit_recovers_each_voxels_planted_ceiling(data, store):
    found = fit(SPEC, store)
    assert (found.n_train, found.n_test) == (120, 30)
    r = found.score(BLOCK)
    for ceiling, allowed in ((0.9, 0.06), (0.5, 0.17), (0.0, 0.2)):  # the mean of five voxels on 30 test images
        assert r[ceiling == CEILING].mean() == pytest.approx(np.sqrt(ceiling), abs=allowed)
    assert found.rois()["roi"].tolist() == ["all"] and "fsaverage" not in found.vertices() and set(found.vertices()["rois"]) == {""}


def test_the_shell_simulates_fits_and_shows_it(monkeypatch, tmp_path, store, capsys):
    class Small(type(DATASETS["demo"])):
        def open(self, subject, store, report):
            return planted()

    monkeypatch.setitem(DATASETS._members, "demo", Small())
    monkeypatch.setattr("encoding.storage.fingerprints.SETTLED_SECONDS", 0)
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    assert main(["simulate", "--layout", "img2brain", "--out", str(tmp_path / "img2brain")]) == 0
    assert "SIMULATED.txt" in capsys.readouterr().out
    layout = Img2BrainLayout.below(tmp_path / "img2brain")
    with Image.open(layout.training_images / "0001.jpg") as image:
        assert image.size == (425, 425) and image.format == "JPEG"
    assert main(["fit", "--dataset", "img2brain", "--backbone", "pixels", "--layer", "rgb", "--components", "12"]) == 0
    out = capsys.readouterr().out
    assert "brain" in out and "simulated: no brain was measured" in out and "120 training images, 30 test images (holdout:0.8:224)" in out
    assert main(["rois", "img2brain", "subj01"]) == 0
    assert "img2brain subj01, responses to 150 images" in capsys.readouterr().out


# -- shown


@pytest.fixture
def page(data, store, monkeypatch):
    from pages.parts.shared import server_state as handles

    st.cache_resource.clear()
    st.cache_data.clear()
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    monkeypatch.setattr(handles, "Jobs", NoWorkers)
    monkeypatch.setattr("pages.parts.shared.chart.when_seen", lambda draw, key, height: draw())  # AppTest has no window to scroll
    study(SPEC, store)
    at = AppTest.from_file(PAGE, default_timeout=60)
    at.query_params.update({"dataset": "img2brain", "backbone": "pixels", "layer": "rgb", "components": "12"})
    yield at
    st.cache_resource.clear()


def told(page):
    return " ".join(element.value for kind in (page.info, page.caption, page.warning) for element in kind)


def test_the_page_says_what_cannot_be_shown_and_shows_the_rest(page):
    page.run()
    assert not page.exception and not page.error and not page.warning
    for what in ("no brain map", "no ROIs"):
        assert what in told(page), what
    assert "No noise ceiling is known" in page.selectbox(key="score").help
    assert "Best predicted region" not in told(page)
    assert page.selectbox(key="roi").options == ["every voxel"] and not page.get("plotly_chart")  # no empty bars
    assert any("Mean r over 20 voxels of brain" in info.value for info in page.info)
    for part, n_charts in (("Predictions", 2), ("Spread", 1)):
        page.session_state["part"] = part
        page.run()
        assert not page.exception and len(page.get("plotly_chart")) == n_charts, part


def test_a_voxel_is_chosen_by_the_name_of_its_block(page):
    page.query_params["vertex"] = "brain 3"
    page.session_state["part"] = "Predictions"
    page.run()
    assert not page.exception and not page.warning
    assert any("Voxel brain 3" in heading.value for heading in page.header)
    page.text_input(key="vertex").set_value("lh 3").run()
    assert any("Write where it is (brain) and its number, such as brain 120" in warning.value.replace("\\", "") for warning in page.warning)


def test_what_can_be_taken_away_has_no_brain(page):
    page.session_state["part"] = "Take away"
    page.run()
    assert not page.exception
    assert [button.label for button in page.get("download_button")] == [
        "ROIs, CSV",
        "Voxels, CSV",
        "Report, HTML",
        "Fit, one file",
        "Notebook, .ipynb",
    ]  # no brain
