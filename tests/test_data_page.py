"""The Data page, without a browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from encoding.datasets.img2brain import write_img2brain
from tests.test_img2brain import planted

PAGE = str(Path(__file__).parents[1] / "pages" / "views" / "20_data.py")
DESCRIBED = (
    '[stimuli]\nfolder = "images"\n[subjects.ann]\nresponses = { lh = "Y.npy" }\nrois.lh.V1 = "V1.npy"\nvertices.space = "fsaverage5"\n'
)


@pytest.fixture
def page(tmp_path, store, monkeypatch):
    """The page on data sets of its own, with an empty Store."""
    st.cache_resource.clear()
    monkeypatch.setattr("encoding.fingerprints.SETTLED_SECONDS", 0)
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    write_img2brain(planted(), tmp_path / "data" / "img2brain", size=16)
    mine = tmp_path / "data" / "mine"
    (mine / "images").mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (8, 8), (30 * number, 0, 0)).save(mine / "images" / f"{number}.png")
    np.save(mine / "Y.npy", np.random.default_rng(0).normal(size=(8, 10_242)).astype(np.float32))
    np.save(mine / "V1.npy", np.arange(10_242) < 5)
    (mine / "dataset.toml").write_text(DESCRIBED)
    yield AppTest.from_file(PAGE, default_timeout=60)
    st.cache_resource.clear()


def on(page, dataset, **more):
    page.query_params.update({"dataset": dataset} | more)
    return page.run()


def shown(page):
    return " ".join(element.value for kind in (page.markdown, page.info, page.caption) for element in kind)


def test_a_subject_is_opened_when_asked_and_its_contents_are_counted(page):
    on(page, "img2brain")
    assert not page.exception and "was not opened before" in shown(page) and not page.dataframe
    page.button(key="open").click().run()
    assert not page.exception and not page.error
    assert page.dataframe[0].value.loc[0, ["responses", "rows", "vertices", "ROIs", "on the cortex"]].tolist() == [
        "brain",
        150,
        20,
        0,
        "unknown",
    ]
    assert "Simulated: no brain was measured" in shown(page) and "no ROIs" in shown(page) and "no brain map" in shown(page)
    assert "150 images with responses, 6 without" in shown(page) and "`holdout:0.8:224`" in shown(page)
    assert list(page.get("image")[0].captions) == ["0001", "0002", "0003", "0004", "0005", "0006"]


def test_places_and_rois_of_ones_own_data_are_counted(page):
    on(page, "mine")
    page.button(key="open").click().run()
    assert page.dataframe[0].value.loc[0, ["responses", "vertices", "ROIs", "on the cortex"]].tolist() == ["lh", 10_242, 1, "known"]
    assert "Simulated" not in shown(page) and not page.info


def test_findings_come_when_asked_for_and_stay_for_the_session(page, tmp_path):
    on(page, "mine")
    assert not page.table
    page.button(key="examine").click().run()
    table = page.table[0].value
    assert "mine ann: lh ROIs of fewer than 20 vertices: V1 (5)." in table["finding"].tolist()
    assert table.index[table["finding"].str.contains("fewer than 20")].tolist() == ["⚠️"] and "0 error" in shown(page)
    np.save(tmp_path / "data" / "mine" / "Y.npy", np.zeros((8, 10_242), np.float32))
    assert page.run().table[0].value.equals(table)
    page.button(key="examine").click().run()
    assert "❌" in page.table[0].value.index and "1 error" in shown(page)


def test_data_that_are_not_here_say_how_to_have_them(page):
    on(page, "algonauts2023")
    assert not page.exception and "algonauts.csail.mit.edu" in shown(page)
    assert not page.button


def test_damage_is_said_where_the_data_would_be(page, tmp_path):
    (tmp_path / "data" / "mine" / "images" / "3.png").unlink()
    on(page, "mine")
    page.button(key="open").click().run()
    assert not page.exception and "holds 7 pictures but" in page.error[0].value
    (tmp_path / "data" / "mine" / "dataset.toml").write_text("titel = 1")
    assert "Unknown key 'titel'" in shown(page.run()) and not page.exception


def test_a_link_that_names_something_unknown_says_so(page):
    assert "Did you mean 'mine'" in on(page, "mime").warning[0].value
