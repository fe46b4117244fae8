"""The Compare page's own logic, without a browser."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from encoding import fit, plots
from encoding.analysis.bootstrap import roi_intervals
from encoding.evaluation.scores import SCORES
from encoding.experiments.run import run_serially
from encoding.fits.open import open_fit
from encoding.fits.spec import FitSpec
from encoding.jobs import Job
from encoding.runs.exchange import import_, packed
from encoding.runs.table import Note, newest_pair, read_note, write_note
from tests.conftest import TINY

SPLIT = FitSpec().split
SPECS = [replace(TINY, split=SPLIT), replace(TINY, split=SPLIT, layers=("colour",)), replace(TINY, split="kfold:3:0")]


class Idle:
    """Jobs that were submitted, none of which ever runs."""

    carry_out = staticmethod(run_serially)

    def __init__(self, root):
        self.submitted = {}

    def start(self):
        pass

    def get(self, key):
        return self.submitted.get(key)

    def all(self):
        return list(self.submitted.values())

    def submit(self, task, spec, *, key, planned=None):
        more = {"error": None, "error_kind": None, "log": (), "text": "", "seconds": 0.0, "seconds_left": None}
        self.submitted[key] = Job(key=key, spec=spec, state="queued", position=1, fraction=0.0, **more)


@pytest.fixture
def runs(tiny, store):
    """Three finished fits, the first two of one test set."""
    tiny.change(vertices={hemi: np.arange(10) * 5 for hemi in ("lh", "rh")})
    results = [fit(spec, store, device="cpu") for spec in SPECS]
    for result in results[:2]:
        roi_intervals(result)
    return results


@pytest.fixture
def page(tiny, open_page):
    return open_page("40_compare", workers=Idle)


def opened(page, *keys):
    page.query_params.update({"a": keys[0], "b": list(keys[1:])})
    page.run()
    assert not page.exception
    return page


def figures(page):
    return [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]


def listed(page):
    """The table of runs."""
    return next(each.value for each in page.dataframe if "key" in each.value)


def link(page):
    """What the address names; a list of one is that one."""
    asked = {name: page.query_params[name] for name in ("a", "b")}
    return {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in asked.items()}


def said(page):
    return " ".join(each.value for kind in (page.markdown, page.info, page.warning, page.error, page.caption) for each in kind)


def test_nothing_fitted_yet_says_where_to_begin(page):
    page.run()
    assert not page.exception and "Nothing was fitted yet" in page.info[0].value


def test_a_bare_page_compares_the_two_newest_fits_of_one_test_set_and_lists_every_run(page, runs):
    page.run()
    assert not page.exception and len(figures(page)) == 3
    keys = listed(page)["key"].tolist()
    assert set(keys) == {result.key for result in runs}
    assert link(page) == {"a": runs[0].key, "b": runs[1].key}  # the third has another split
    page.button(key="pin_it").click().run()
    assert runs[0].key in page.query_params["pin"] and any("Baseline" in button.label for button in page.button)
    page.button(key="unpin").click().run()
    assert "pin" not in page.query_params


def test_a_pinned_fit_is_a_and_grey_with_the_newest_other_fit_of_its_test_set_as_b(page, runs):
    page.query_params["pin"] = runs[0].key
    page.run()
    assert not page.exception and link(page) == {"a": runs[0].key, "b": runs[1].key}
    colours = {bar["name"]: bar["marker"]["color"] for figure in figures(page) for bar in figure["data"] if bar["type"] == "bar"}
    assert [name[0] for name, colour in colours.items() if colour == plots.look.LINE] == ["A"]


def test_one_fit_of_each_subject_is_no_pair(page, runs):
    table = pd.DataFrame(
        {"key": ["c", "b", "a"], "dataset": "x", "subject": ["1", "2", "2"], "split": "kfold:5:0", "targets": "", "damaged": False}
    )
    assert newest_pair(table) == ("a", ["b"]) and newest_pair(table[:2]) == (None, [])


def test_the_pair_of_a_bare_page_can_be_paired_if_any_can():
    splits = ["kfold:5:0/holdout:0.8:0", "all", "kfold:5:0", "holdout:0.9:5", "kfold:5:0/holdout:0.8:0", "kfold:5:0"]
    table = pd.DataFrame({"key": list("fedcba"), "dataset": "x", "subject": "1", "split": splits, "targets": "", "damaged": False})
    assert newest_pair(table) == ("a", ["d"])
    assert newest_pair(table, first="a") == ("a", ["d"]) and newest_pair(table, first="c") == ("c", ["d"])
    assert newest_pair(table[:4]) == ("c", ["d"]) and newest_pair(table[:3]) == (None, [])
    assert newest_pair(table[:2], first="f") == ("f", [])


def test_fits_of_the_same_vertices_are_compared_before_newer_ones_of_others():
    """A fit of one vertex or hemisphere is no pair to one of all, where two of the same vertices are there."""
    about = {"dataset": "x", "subject": "1", "split": "kfold:5:0", "damaged": False}
    table = pd.DataFrame({"key": list("edcba"), "targets": ["lh 12", "", "lh", "", "lh 12"], **about})
    assert newest_pair(table) == ("a", ["e"]) and newest_pair(table[:4]) == ("b", ["d"]) and newest_pair(table[:2]) == ("d", ["e"])
    assert newest_pair(table, first="b") == ("b", ["d"]) and newest_pair(table, first="c") == ("c", ["e"])


def test_swapping_changes_the_verdict_with_the_names(page, runs):
    opened(page, runs[0].key, runs[1].key)
    before = next(each.value for each in page.markdown if "region tests" in each.value)
    assert "colour" in before and "pixels" in before
    page.button(key="swap").click().run()
    assert link(page) == {"a": runs[1].key, "b": runs[0].key}
    after = next(each.value for each in page.markdown if "region tests" in each.value)
    assert before != after and "A · tinynet colour" in after.replace("\\", "")


def test_a_link_shows_what_differs_with_a_paired_test(page, runs):
    opened(page, runs[0].key, runs[1].key)
    assert (
        "paired bootstrap over test stimuli" in said(page)
        and "12 test stimuli, the same 500 draws" in said(page)
        and "Simulated" in said(page)
    )
    assert [figure["data"][0]["type"] for figure in figures(page)] == ["scatter", "bar", "scatter"]
    assert page.dataframe[0].value.set_index("setting").loc["layers"].tolist() == ["pixels", "colour"]
    assert link(page) == {"a": runs[0].key, "b": runs[1].key}


def test_choosing_in_the_widgets_changes_the_link(page, runs):
    page.run()
    page.multiselect(key="compare_b").set_value([]).run()
    page.selectbox(key="compare_a").select(runs[1].key).run()
    page.multiselect(key="compare_b").select(runs[0].key).run()
    assert not page.exception and link(page) == {"a": runs[1].key, "b": runs[0].key}
    assert any("Purple: B predicts better" in each.value for each in page.caption)


def test_another_score_is_shown_in_every_table_figure_and_text(page, tiny, store):
    """Pooled r of a k-fold pair: bars, differences, scatter, tests and captions follow; a score that is not offered is r."""
    tiny.change(vertices={hemi: np.arange(10) * 5 for hemi in ("lh", "rh")})
    pair = [fit(replace(TINY, split="kfold:3:0", layers=layers), store, device="cpu") for layers in (("pixels",), ("colour",))]
    for result in pair:
        roi_intervals(result)
    found = {}
    page.query_params["compare_score"] = "nonsense"
    page.session_state["tests"] = True
    opened(page, *(result.key for result in pair))
    assert page.selectbox(key="compare_score").value == "r"
    for score in ("r", "pooled_r"):
        page.selectbox(key="compare_score").set_value(score).run()
        assert not page.exception and page.selectbox(key="compare_score").value == score
        differences, bars, scatter = figures(page)
        found[score] = bars, differences, scatter
        expected = [result.rois().set_index(["roi", "hemi"])[SCORES[score].mean_column] for result in pair]
        (tested,) = [each.value.set_index(["roi", "hemi"]) for each in page.dataframe if "q" in each.value]
        for letter, values in zip("AB", expected, strict=True):
            np.testing.assert_allclose(tested[letter], values.reindex(tested.index), atol=1e-5)
        assert f"Bars: mean {SCORES[score].short} over" in said(page)
    assert all(json.dumps(one) != json.dumps(other) for one, other in zip(*found.values(), strict=True))
    assert "pooled" in json.dumps(found["pooled_r"][2]["layout"]) and "pooled" not in json.dumps(found["r"][2]["layout"])


def test_other_test_images_are_said_not_to_be_paired_but_vertices_are_subtracted(page, runs):
    opened(page, runs[0].key, runs[2].key)
    assert "cannot be paired" in said(page) and "different images" in said(page)
    assert len(figures(page)) == 3


def test_missing_intervals_are_offered_and_become_a_job(page, runs):
    from pages.parts.shared import server_state as handles

    opened(page, runs[0].key, runs[2].key)
    page.button(key="intervals_B").click().run()
    assert not page.exception and [job.spec for job in handles.jobs().all()] == [SPECS[2]]


def test_on_a_read_only_server_nothing_is_offered(page, runs, monkeypatch):
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    opened(page, runs[0].key, runs[2].key)
    assert "this server computes nothing" in said(page)
    assert not [button for button in page.button if str(button.key).startswith("intervals")]


def test_three_fits_have_three_bars_each_and_the_link_chooses_the_pair(page, runs):
    page.query_params["other"] = "C"
    opened(page, *(result.key for result in runs))
    names = [trace["name"] for trace in figures(page)[1]["data"] if trace["type"] == "bar"]
    assert [name.partition(" · ")[0] for name in names] == ["A", "B", "C"] * 2
    sentences = [each.value for each in page.markdown if each.value.startswith("## ")]
    assert len(sentences) == 2 and all(letter + " · " in sentence for letter, sentence in zip("BC", sentences, strict=True))
    assert any("Purple: C predicts better" in each.value for each in page.caption)


def test_a_link_to_what_is_not_here_says_so(page, runs):
    opened(page, "fit-00000000000000000000", runs[0].key)
    assert "not here" in said(page) and "Unknown fit" in said(page)


def test_a_fit_whose_data_changed_is_an_error_and_the_page_goes_on(page, runs, tiny):
    tiny.change(fingerprints={"lh": "other", "rh": "other"})
    opened(page, runs[0].key, runs[1].key)
    assert "have changed since" in said(page) and "All runs" in [each.value for each in page.header]


def test_an_imported_fit_is_compared_and_marked(page, runs, store):
    there = import_(io.BytesIO(packed(runs[1], by="Ada")), store)
    opened(page, runs[0].key, there.key)
    assert "sent by: Ada" in said(page) and "paired bootstrap" in said(page) and len(figures(page)) == 3


def test_runs_are_found_by_words_and_tags_in_the_link(page, runs, store):
    write_note(runs[1].key, store, Note("for the talk", ("paper",)))
    page.query_params.update({"find": "colour"})
    page.run()
    assert listed(page)["key"].tolist() == [runs[1].key]
    page.query_params.update({"find": "", "tag": "paper"})
    page.run()
    assert listed(page)["key"].tolist() == [runs[1].key]


def test_the_table_names_splits_in_words_and_a_ticked_run_opens_on_explore(page, runs):
    page.run()
    shown = listed(page)
    assert set(shown["split"]) == {"3-fold (seed 0)", "90 % train, 10 % test (seed 5)"}
    page.session_state["_ticked_runs"] = [runs[1].key]
    page.run()
    (link,) = (each.proto for each in page.get("page_link") if each.proto.label.startswith("Open"))
    assert "layer=" + runs[1].plan.spec.layers[0] in link.query_string


def test_a_note_is_written_and_shown_at_once(page, runs, store):
    from pages.parts.shared import runs_table as part

    def script():
        from pages.parts.shared.runs_table import notes_panel, runs_table

        notes_panel(runs_table())

    assert part.MOST_COMPARED == 6
    at = AppTest.from_function(script, default_timeout=30).run()
    key = at.selectbox(key="note_of").value
    at.text_area(key=f"note_{key}").set_value("the baseline").run()
    at.button(key="save_note").click().run()
    assert not at.exception and read_note(key, store) == Note("the baseline")
    page.run()
    assert "the baseline" in listed(page)["note"].tolist()


def test_a_scatter_of_a_whole_subject_and_its_bars_stay_small():
    rng = np.random.default_rng(0)
    r = [{hemi: np.clip(rng.normal(0.2, 0.2, 20_000), -1, 1) for hemi in ("lh", "rh")} for _ in range(2)]
    text = plots.vertex_scatter(*r).to_json()
    assert len(text) < 100_000
    counts = plots.table_of(plots.vertex_scatter(*r))["value"]
    assert int(np.rint(10 ** counts.dropna()).sum()) == 40_000


@pytest.mark.parametrize(("score", "statistic"), [("rmse", "mean"), ("r", "best"), ("normalised_r2", "median")])
def test_the_table_of_runs_shows_and_sorts_by_any_score(page, runs, store, tiny, score, statistic):
    tiny.change(ceiling={hemi: np.linspace(0.1, 0.9, 10, dtype=np.float32) for hemi in ("lh", "rh")})
    page.query_params.update({"runs_score": score, "runs_over": statistic, "sort": "mean_r"})
    page.run()
    assert not page.exception and page.selectbox(key="sort").value == "score"
    shown, lower = listed(page).set_index("key")["score"], SCORES[score].lower_is_better
    column = SCORES[score].column(statistic)
    for key, value in shown.items():
        hemis = open_fit(key, store).rois(both=True).set_index(["roi", "hemi"])
        assert value == pytest.approx(hemis.loc[("all", "both"), column])
    assert shown.is_monotonic_increasing if lower else shown.is_monotonic_decreasing
