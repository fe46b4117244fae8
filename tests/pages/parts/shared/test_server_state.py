"""What the server keeps between runs, and what makes it look again."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st

from encoding import Result, fit
from pages.parts.shared import server_state
from pages.parts.shared.server_state import display_key, opened_run, roi_table, subject_key
from tests.conftest import TINY

CHANGES = {
    "ROI mask": lambda subject: {"rois": {hemi: rois | {"driven": rois["driven"][:-1]} for hemi, rois in subject.rois.items()}},
    "ROI name": lambda subject: {"rois": {hemi: {f"{name}x": each for name, each in rois.items()} for hemi, rois in subject.rois.items()}},
    "ceiling": lambda subject: {"ceiling": {hemi: np.full(10, 0.5, np.float32) for hemi in subject.hemis}},
    "place": lambda subject: {"vertices": {hemi: np.arange(10) + 7 for hemi in subject.hemis}},
    "label": lambda subject: {"labels": {"kind": np.array(["a", "b"] * (subject.n_stimuli // 2))}},
    "responses": lambda subject: {"fingerprints": dict.fromkeys(subject.hemis, "others")},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_a_page_shows_of_a_subject_is_in_the_key_of_what_is_kept_of_it(tiny, change):
    before, after = tiny.subject, replace(tiny.subject, **change(tiny.subject))
    assert subject_key(before) == subject_key(replace(before)) != subject_key(after)


@pytest.mark.parametrize("missing", ["data", "weights"])
def test_a_fit_that_cannot_be_opened_at_once_says_what_it_waits_for(tiny, store, monkeypatch, missing):
    key = fit(TINY, store, device="cpu").key
    monkeypatch.setattr(server_state, "store", lambda: store)
    monkeypatch.setattr(server_state, "opened", lambda dataset, subject: None if missing == "data" else tiny.subject)
    monkeypatch.setattr(server_state, "weights_are_here", lambda spec: missing == "data")
    says = opened_run(key)
    assert ("files of tiny subj01 changed" in says, "weights of tinynet" in says) == (missing == "data", missing == "weights")
    assert says.endswith("Open it in Explore first.")


def test_a_fit_that_is_not_here_is_unknown_and_a_beginning_of_its_key_names_one(tiny, store, monkeypatch):
    key = fit(TINY, store, device="cpu").key
    monkeypatch.setattr(server_state, "store", lambda: store)
    assert opened_run("fit-nope").startswith("Unknown fit 'fit-nope'. Known: fit-")
    assert opened_run(key[:10]).key == key


@pytest.mark.parametrize("change", ["ROI mask", "ROI name", "ceiling", "place"])
def test_a_table_of_a_fit_is_made_again_when_its_annotations_change(tiny, store, change):
    result = fit(TINY, store, device="cpu")
    edited = Result(replace(result.plan, subject=replace(tiny.subject, **CHANGES[change](tiny.subject))), store)
    assert edited.key == result.key, "the numbers of the fit do not depend on it"
    assert display_key(edited) != display_key(result)
    st.cache_data.clear()
    assert roi_table(result).equals(result.rois()) and roi_table(edited).equals(edited.rois())


def test_an_edited_mask_reaches_an_open_page_once_its_files_are_looked_at_again(tiny, store, open_page):
    fit(replace(TINY, split="holdout:0.9:5"), store, device="cpu")
    page = open_page(dataset="tiny", subject="subj01", backbone="tinynet", layer="pixels", components="0", roi="driven", part="Predictions")
    page.run()
    assert not page.exception and "Mean of driven (10 vertices)" in [each.value for each in page.header]
    tiny.change(**CHANGES["ROI mask"](tiny.subject))
    server_state._opened.clear()  # a few seconds later
    page.run()
    assert not page.exception and "Mean of driven (8 vertices)" in [each.value for each in page.header]


def test_a_changed_file_is_noticed_at_the_next_look_and_an_unchanged_one_costs_no_opening(tmp_path, tiny, monkeypatch):
    (tmp_path / "mask.npy").write_text("a")
    opened = []
    monkeypatch.setattr(tiny, "watched", lambda subject: [tmp_path / "mask.npy", tmp_path / "missing.npy"])
    monkeypatch.setattr(tiny, "open", lambda *args: opened.append(args) or tiny.subject)
    for n_openings, change in ((1, None), (1, None), (2, "mask.npy"), (2, None), (3, "missing.npy"), (3, None)):
        if change:
            (tmp_path / change).write_text("other")
        assert server_state.opened("tiny", "subj01") is tiny.subject and len(opened) == n_openings


@pytest.mark.parametrize("damaged", [False, True], ids=["changed", "damaged"])
def test_every_file_is_looked_at_behind_a_run_and_a_change_counts_from_the_next_one(tiny, monkeypatch, damaged):
    monkeypatch.setattr(server_state, "SECONDS_BETWEEN_CHECKS", 0)
    monkeypatch.setattr(server_state, "SECONDS_UNTIL_A_LOOK", 0)
    monkeypatch.setattr(tiny, "watched", lambda subject: [])
    server_state._opened.clear()
    looked, look = threading.Semaphore(0), server_state._Opening._look
    monkeypatch.setattr(server_state._Opening, "_look", lambda opening: look(opening) or looked.release())
    before, after = tiny.subject, replace(tiny.subject, **CHANGES["responses"](tiny.subject))
    assert server_state.opened("tiny", "subj01") is before and looked.acquire(timeout=10)
    assert server_state.opened("tiny", "subj01") is before, "nothing has changed"
    assert looked.acquire(timeout=10)

    def open_again(*args):
        if damaged:
            raise OSError("The disk is gone.")
        return after

    monkeypatch.setattr(tiny, "open", open_again)
    assert server_state.opened("tiny", "subj01") is before, "a run does not wait for the look"
    assert looked.acquire(timeout=10)
    if damaged:
        with pytest.raises(OSError, match="The disk is gone"):
            server_state.opened("tiny", "subj01")
    else:
        assert server_state.opened("tiny", "subj01") is after
