"""The Cache page's own logic, without a browser, and what it is made of."""

from __future__ import annotations

import io
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from encoding import READOUTS, fit
from encoding.analysis.hyperparameter_search import SearchRequest, search
from encoding.experiments import Experiment
from encoding.experiments.run import run_serially
from encoding.jobs import Job
from encoding.jobs.experiments import ExperimentState
from encoding.jobs.jobs import Jobs
from encoding.runs.exchange import import_, packed
from encoding.storage.inventory import by_stage, check, chosen, entries, last_check, prune
from pages.parts.shared import access
from tests.conftest import TINY
from tests.encoding.analysis.searched_readouts import SIGNED, Signed
from tests.encoding.jobs.processes import until
from tests.jobs_work import count, fail

NOTHING = {
    "error": None,
    "error_kind": None,
    "log": (),
    "text": "",
    "seconds": 3.0,
    "seconds_left": None,
    "position": None,
    "fraction": 0.0,
}


def job(key, state, **more):
    return Job(**(NOTHING | {"key": key, "spec": TINY, "state": state} | more))


class Known:
    """Jobs in every state; what is done to them is remembered."""

    carry_out = staticmethod(run_serially)
    jobs: list[Job] = []
    done: list[tuple[str, str]] = []

    def __init__(self, root):
        Known.done = []

    def start(self):
        pass

    def get(self, key):
        return next((job for job in Known.jobs if job.key == key), None)

    def all(self):
        return Known.jobs

    def submit(self, task, spec, *, key, planned=None):
        Known.done.append(("submit", key))

    def cancel(self, key):
        Known.done.append(("cancel", key))

    def retry(self, key):
        Known.done.append(("retry", key))


@pytest.fixture
def page(tiny, open_page, monkeypatch):
    monkeypatch.setattr(Known, "jobs", [])
    return open_page("90_cache", workers=Known)


@pytest.fixture
def fitted(tiny, store):
    return fit(TINY, store, device="cpu")


def said(page):
    kinds = (page.markdown, page.info, page.warning, page.error, page.caption, page.success, page.code)
    return " ".join(each.value for kind in kinds for each in kind)


def test_an_empty_server_says_so(page):
    page.run()
    assert not page.exception and "Nothing was asked for" in said(page) and "0 results, 0 B" in said(page)


def test_every_job_says_how_it_stands_and_what_can_be_done(page, monkeypatch):
    states = [
        job("one", "running", fraction=0.4, text="PCA", seconds_left=12.0, log=("Features", "PCA")),
        job("two", "queued", position=1),
        job("three", "failed", error="no room", error_kind="NoRoom"),
        job("four", "cancelled", spec=SearchRequest(TINY)),
        job("five", "done", spec="torchvision/alexnet"),
    ]
    monkeypatch.setattr(Known, "jobs", states)
    page.run()
    assert not page.exception
    text = said(page)
    assert "1 running, 1 waiting, 3 ended" in text and "NoRoom: no room" in text
    assert "Fit tiny subj01, tinynet pixels, all features, ridge, 75 % train, 25 % test (seed 5)" in text
    assert "Search: tiny subj01" in text and "torchvision/alexnet" in text
    shown = {button.key for button in page.button}
    assert {"cancel_one", "cancel_two", "retry_three", "retry_four"} <= shown and not {"retry_five", "cancel_five", "retry_one"} & shown
    page.button(key="cancel_one").click().run()
    page.button(key="retry_three").click().run()
    assert Known.done == [("cancel", "one"), ("retry", "three")]


def test_a_read_only_server_shows_everything_and_changes_nothing(page, fitted, monkeypatch):
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    monkeypatch.setattr(Known, "jobs", [job("one", "running"), job("two", "failed", error="x", error_kind="y")])
    page.run()
    assert not page.exception and not [
        button for button in page.button if str(button.key).startswith(("cancel", "retry", "verify", "prune"))
    ]
    assert "nothing can be imported" in said(page) and not page.get("file_uploader") and page.dataframe


def test_experiments_stand_among_the_jobs_with_a_link(page, store):
    from pages.parts.shared.server_state import experiments

    page.run()
    key = experiments().start(Experiment(base=replace(TINY, hemi="lh"), vary={"layers": "curated"}, title="Which *layer*?"))
    until(lambda: experiments().get(key).finished)
    page.run()
    assert not page.exception and "Experiment: Which *layer*?" in said(page) and "2 done" in said(page)
    (link,) = page.main.get("page_link")
    assert link.proto.page == "experiments" and link.proto.query_string == f"experiment={key}"


def test_a_title_is_text_that_markdown_leaves_alone():
    from pages.parts.shared.job_progress import job_title

    title = job_title("![x](http://evil/x.png) **b** `c`")
    assert "\\!\\[x\\]\\(http" in title and "\\*\\*b" in title and "\\`c" in title


def test_stages_are_counted_with_their_sizes(store, fitted, page):
    table = by_stage(entries(store)).set_index("stage")
    assert table.loc["fit", "results"] == 1 and table["bytes"].is_monotonic_decreasing
    assert table["bytes"].sum() == sum(store.size(key) for key in store.keys())  # noqa: SIM118 - a Store is no dict
    page.run()
    assert page.dataframe[0].value.set_index("stage").loc["fit", "results"] == 1


def test_old_results_are_chosen_by_age_and_stage_and_imported_ones_by_name_alone(store, fitted):
    imported = import_(io.BytesIO(packed(fitted)), store)
    path = store.path(fitted.key) / "provenance.json"
    long_ago = time.time() - 40 * 24 * 3600
    os.utime(path, (long_ago, long_ago))
    assert [one.key for one in chosen(entries(store), older_days=30)] == [fitted.key]
    ahead = replace(entries(store)[0], written=time.time() + 3600)  # by another machine's clock
    assert chosen([ahead], older_days=0) == [ahead] and chosen([ahead], older_days=30) == []
    assert {one.stage for one in chosen(entries(store))} == {one.stage for one in entries(store)} - {"imported"}
    assert [one.key for one in chosen(entries(store), stages=["imported"])] == [imported.key]
    with pytest.raises(ValueError, match="0 or more is needed, not -1"):
        chosen(entries(store), older_days=-1)


def test_pruning_removes_what_was_counted_and_no_more(store, fitted):
    targets = chosen(entries(store), stages=["weights"])
    n_bytes = sum(one.n_bytes for one in targets)
    before = set(store.keys())
    assert targets and prune(store, targets).n_bytes == n_bytes
    assert before - set(store.keys()) == {one.key for one in targets}


@pytest.fixture
def searched(tiny, store, monkeypatch):
    """The finished search of a planted readout."""
    list(READOUTS)
    monkeypatch.setitem(READOUTS._members, "signed", Signed())
    return search(SIGNED, store, n_trials=3, device="cpu")


def test_the_trials_of_a_search_are_listed_by_their_size_and_pruned(store, searched, page):
    (path,) = store.root.glob("search/*.db")
    table = by_stage(entries(store)).set_index("stage")
    assert table.loc["search", "bytes"] == path.stat().st_size and table.loc["search", "results"] == 1
    page.run()
    assert page.dataframe[0].value.set_index("stage").loc["search", "results"] == 1
    targets = chosen(entries(store), stages=["search"])
    assert [one.key for one in targets] == [searched.key]
    assert prune(store, targets).removed == tuple(targets) and not path.exists()
    assert len(search(SIGNED, store, n_trials=3, device="cpu").trials) == 3  # it can be searched anew


def test_the_trials_of_a_search_that_is_going_on_are_kept(store, searched):
    targets = chosen(entries(store), stages=["search"])
    with store.lock(searched.key):
        done = prune(store, targets)
        assert done.in_use == tuple(targets) and done.removed == () and done.n_bytes == 0
        assert (store.root / "search" / f"{searched.key}.db").exists()
    assert prune(store, targets).removed == tuple(targets)


@pytest.fixture
def make_room(page, store, fitted):
    """The open panel that removes results."""

    def script():
        from encoding.storage.inventory import entries
        from pages.parts.cache.panels import _prune
        from pages.parts.shared.server_state import store

        _prune(entries(store()))

    at = AppTest.from_function(script, default_timeout=30)
    at.session_state["prune_panel"] = True
    return at.run()


def test_an_experiment_without_a_title_is_called_by_its_first_fit_and_the_number_of_others(store, monkeypatch):
    state = ExperimentState("", "planning", None, ("rgb · 10", "rgb · 20", "rgb · 30"), "", finished=True)
    monkeypatch.setattr("pages.parts.cache.panels.view", lambda name: "https://example.org")

    def script():
        import streamlit as st

        from pages.parts.cache.panels import _experiment_row

        _experiment_row("experiment-1", st.session_state["state"])

    at = AppTest.from_function(script, default_timeout=30)
    at.session_state["state"] = state
    at.run()
    assert not at.exception and "Experiment: rgb · 10 and 2 more" in at.markdown[0].value


def test_nothing_is_removed_on_the_page_while_an_experiment_is_going_on(make_room, monkeypatch):
    going_on = ExperimentState("", "planning", None, (), "", finished=False)
    monkeypatch.setattr("pages.parts.cache.panels.experiments", lambda: SimpleNamespace(all=lambda: {"experiment-1": going_on}))
    make_room.number_input(key="prune_days").set_value(0.0).run()
    assert not make_room.exception and make_room.checkbox(key="prune_sure").disabled and "under way" in make_room.info[0].value


def test_removing_on_the_page_asks_twice(make_room, store, fitted):
    at = make_room
    at.number_input(key="prune_days").set_value(0.0).run()
    at.multiselect(key="prune_stages").select("weights").run()
    assert at.button(key="prune").disabled and any("Nothing is removed yet" in each.value for each in at.markdown)
    at.checkbox(key="prune_sure").check().run()
    assert not at.button(key="prune").disabled
    at.button(key="prune").click().run()
    assert not at.exception and fitted.key in store and not any(one.stage == "weights" for one in entries(store))
    assert "Removed" in at.success[0].value


def test_what_may_not_be_removed_is_an_error_on_the_page(make_room, monkeypatch):
    from pages.parts.cache import panels

    monkeypatch.setattr(panels, "prune", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied", "/a/fit-1")))
    make_room.number_input(key="prune_days").set_value(0.0).run()
    make_room.multiselect(key="prune_stages").select("weights").run()
    make_room.checkbox(key="prune_sure").check().run()
    make_room.button(key="prune").click().run()
    assert not make_room.exception and "Permission denied" in make_room.error[0].value


def test_a_check_finds_damage_removes_it_and_is_remembered(store, fitted):
    assert last_check(store) is None
    file = store.path(fitted.key) / "lh_r.npy"
    file.write_bytes(file.read_bytes()[:-8] + bytes(8))
    words = []
    check("", store, lambda fraction, text: words.append(text))
    assert last_check(store)["damaged"] == [fitted.key] and fitted.key not in store and "1 damaged" in words[-1]
    check("", store)
    assert last_check(store)["damaged"] == []


def test_verify_is_a_job_and_its_finding_is_shown(page, store, fitted):
    page.run()
    page.button(key="verify").click().run()
    assert Known.done == [("submit", "check-store")]
    check("", store)
    assert "were sound" in said(page.run())


def test_a_job_that_failed_or_was_cancelled_is_retried_as_it_was_asked(tmp_path):
    jobs = Jobs(tmp_path / "store")
    try:
        jobs.submit(fail, {}, key="fails")
        assert jobs.wait("fails", timeout=60).state == "failed"
        assert jobs.retry("fails").state in ("queued", "running") and jobs.wait("fails", timeout=60).error == "Only 3 images for 5 folds."
        spec = {"trace": str(tmp_path / "trace"), "key": "counts-0", "seconds": 0.0}
        jobs.submit(count, spec, key="counts-0")
        assert jobs.wait("counts-0", timeout=60).state == "done"
        jobs.retry("counts-0")
        assert jobs.wait("counts-0", timeout=60).state == "done" and len(Path(spec["trace"]).read_text().splitlines()) == 2
        with pytest.raises(KeyError):
            jobs.retry("never")
    finally:
        jobs.close()


def test_on_a_shared_server_ones_own_jobs_are_marked_and_those_of_others_cannot_be_cancelled(page, monkeypatch):
    monkeypatch.setenv("ENCODING_SHARED", "1")
    monkeypatch.setattr(access, "_browser", lambda: "me")
    monkeypatch.setattr(Known, "jobs", [job("mine", "running", owner="me"), job("theirs", "queued", position=1, owner="them")])
    page.run()
    assert not page.exception
    (marked,) = [each.value for each in page.markdown if "yours" in each.value]
    assert "running" in marked
    assert not page.button(key="cancel_mine").disabled
    assert page.button(key="cancel_theirs").disabled and "only they can cancel it" in page.button(key="cancel_theirs").help


def test_a_fit_is_offered_as_a_file(page, fitted):
    page.run()
    page.selectbox(key="export").select(fitted.key).run()
    assert not page.exception and page.get("download_button")
    page.text_input(key="export_by").set_value("<b>").run()
    assert "The sender is one line" in said(page)


def test_results_of_other_ages_do_not_disturb(store, tiny):
    fit(replace(TINY, hemi="lh"), store, device="cpu")
    (store.root / "fit" / ".writing-x").mkdir()
    assert np.isfinite(by_stage(entries(store))["bytes"]).all()
