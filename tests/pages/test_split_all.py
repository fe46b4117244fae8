"""Fits that train on every stimulus have no test score: every page that shows scores says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from encoding import fit
from encoding.analysis.bootstrap import roi_intervals
from tests.conftest import TINY

ONE = {"dataset": "tiny", "subject": "subj01", "backbone": "tinynet", "layer": "pixels", "components": "0", "split": "all"}
SWEEP = {"dataset": "tiny", "subject": "subj01", "backbones": "tinynet", "components": "0", "split": "all"}
GRID = {"dataset": "tiny", "subjects": "subj01", "backbones": "tinynet", "n_components": "0", "splits": "all"}


@pytest.fixture
def fitted(tiny, store):
    results = [fit(replace(TINY, split="all", layers=(layer,)), store, device="cpu") for layer in ("pixels", "colour")]
    for result in results:
        roi_intervals(result)
    return results


@pytest.mark.parametrize(
    ("view", "link", "words"),
    [
        ("10_explore", ONE, "trains on every image"),
        ("30_layers", SWEEP, "trains on every image"),
        ("35_experiments", GRID, "train on every image"),
        ("35_experiments", GRID | {"validate": "true"}, "has no test stimuli"),
    ],
)
def test_a_page_says_that_there_is_no_test_score(open_page, fitted, view, link, words):
    page = open_page(view, **link)
    page.run()
    assert not page.exception and words in " ".join(each.value for each in [*page.info, *page.error])
    if view == "10_explore":
        (link,) = page.main.get("page_link")
        assert link.proto.page == "predict" and link.proto.query_string == f"fit={fitted[0].key}"


def test_compare_offers_no_intervals(open_page, fitted):
    first, second = fitted
    page = open_page("40_compare", a=first.key, b=second.key)
    page.run()
    texts = " ".join(each.value for each in page.info)
    assert not page.exception and "A trains on every image" in texts and "B trains on every image" in texts
    assert not [button for button in page.button if button.key and button.key.startswith("intervals_")]


def test_predict_shows_the_model_and_no_test_score(open_page, fitted):
    page = open_page("50_predict", fit=fitted[0].key)
    page.run()
    assert not page.exception and not page.error
    texts = " ".join(each.value for each in [*page.caption, *page.markdown])
    assert "fitted to all images" in texts and "Means over every vertex" in texts and "with a test r" not in texts
    assert not [each for each in page.sidebar.slider if each.key == "least_r"]
    page.button(key="picture_after").click().run()
    assert not page.exception and page.session_state["stimulus"] == "2"


def test_it_can_be_published(fitted, store, tmp_path, monkeypatch):
    from encoding.cli import main

    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    assert main(["publish", *(each.key for each in fitted), "--out", str(tmp_path / "site")]) in (0, None)
    assert (tmp_path / "site" / "index.html").is_file()
