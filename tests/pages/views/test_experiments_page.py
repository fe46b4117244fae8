"""The Experiments page's own logic, without a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest
import streamlit as st

from encoding import FitSpec, fit
from encoding.evaluation.scores import SCORES
from encoding.experiments import Experiment, run_experiment
from encoding.experiments.recipes.recipe import load, recipes
from encoding.experiments.records import recording
from encoding.experiments.selection import select, with_validation
from encoding.fits.open import open_fit
from encoding.jobs.tasks import compose_fits
from encoding.storage.keys import stage_of
from pages.parts.shared.fit_controls import control_names
from tests import with_nightly
from tests.conftest import TINY as TINY_QUARTER
from tests.encoding.jobs.processes import until
from tests.pages.conftest import NoWorkers

TINY = replace(TINY_QUARTER, split=FitSpec().split)
GRID = Experiment(base=TINY, vary={"layers": "curated", "readout": ["ridge", {"name": "ridge", "alpha": 10}]}, title="Which penalty?")
LINK = {"dataset": "tiny", "subjects": "subj01", "backbones": "tinynet", "n_components": "0"}


@pytest.fixture
def page(tiny, open_page):
    """The page on the planted data set, with its own empty Store."""
    return open_page("35_experiments", **LINK)


def fits(page) -> pd.DataFrame:
    """The sorted table of fits."""
    return page.dataframe[-1].value


def test_a_grid_is_offered_and_not_started(page):
    page.run()
    assert not page.exception and "2 of 2 fits are not there yet" in page.info[0].value
    assert page.dataframe[0].value["Fit"].tolist() == ["pixels", "colour"]
    page.query_params["n_components"] = ["0", "2"]
    page.run()
    assert page.dataframe[0].value["Fit"].tolist()[-2:] == ["colour · all components", "colour · 2 components"]
    names = {key: page.sidebar.multiselect(key=key).options[0] for key in ("subjects", "splits")}
    assert names == {"subjects": "subject 1", "splits": "90 % train, 10 % test (seed 5)"}
    assert not page.get("plotly_chart")


def test_run_fills_the_table_with_the_numbers_of_the_shell(page, store, tmp_path):
    from encoding import Store
    from pages.parts.shared.server_state import experiments

    page.query_params["readouts"] = ["ridge", "ridge alpha=10"]
    page.query_params["title"] = "Which penalty?"
    page.run()
    page.button(key="run_experiment").click().run()
    assert not page.exception
    until(lambda: experiments().get(GRID.key).finished)
    page.run()
    assert not page.exception and "Which penalty?" in page.title[0].value
    wanted = run_experiment(GRID, Store(tmp_path / "shell"), device="cpu").table()
    rows = wanted[wanted["roi"] == "all"]
    sizes, weighted = rows.groupby("key")["n_vertices"].sum(), (rows["r_mean"] * rows["n_vertices"]).groupby(rows["key"]).sum()
    assert sorted(fits(page)["score"]) == pytest.approx(sorted(weighted / sizes))
    assert fits(page)["score"].is_monotonic_decreasing
    assert len(page.get("plotly_chart")) == 2 and "run_experiment" not in [button.key for button in page.button]


def test_an_experiment_whose_fits_another_process_plans_is_waited_for(page, store):
    page.query_params["readouts"] = ["ridge", "ridge alpha=10"]
    page.query_params["title"] = GRID.title
    with recording(GRID, store):
        page.run(timeout=10)
        assert not page.exception and [each.proto.text for each in page.get("progress")] == ["planning"]
    page.run()
    assert not page.exception and not page.get("progress") and not page.button(key="run_experiment").disabled


def test_an_experiment_of_the_shell_opens_by_its_key(page, store):
    run_experiment(GRID, store, device="cpu")
    for name in list(page.query_params):
        del page.query_params[name]
    page.query_params["experiment"] = GRID.key
    page.run()
    assert not page.exception and len(fits(page)) == 4
    assert page.query_params["experiment"] == GRID.key


def test_changed_masks_of_rois_are_noticed_before_there_are_intervals(page, store, tiny):
    for spec in GRID.specs():
        fit(spec, store, device="cpu")
    page.query_params.update({"readouts": ["ridge", "ridge alpha=10"], "fits_roi": "driven"})
    page.run()
    before = fits(page)["n_vertices"].tolist()
    tiny.change(rois={hemi: rois | {"driven": np.arange(3)} for hemi, rois in tiny.subject.rois.items()})
    st.cache_resource.clear()  # as when the dashboard looks at the files again; tables are kept
    page.run()
    assert not page.exception and before == [10] * 4 and fits(page)["n_vertices"].tolist() == [6] * 4


def test_any_setting_stands_on_any_axis(page, store):
    run_experiment(GRID, store, device="cpu")
    page.query_params.update({"readouts": ["ridge", "ridge alpha=10"], "up": "readout", "across": "layers", "grid_roi": "driven"})
    page.run()
    assert not page.exception
    assert {box.label for box in page.selectbox} >= {"Up", "Across", "Panels", "Region"}
    page.selectbox(key="panels").set_value("roi").run()
    assert not page.exception and page.query_params["panels"] == "roi" and page.query_params["up"] == "readout"


def test_the_hemispheres_of_the_fits_are_a_setting_where_they_vary(page, store):
    grid = Experiment(base=TINY, vary={"layers": ["pixels"], "hemi": ["lh", "both"]})
    run_experiment(grid, store, device="cpu")
    page.query_params.update({"experiment": grid.key, "fits_roi": "driven", "grid_hemi": "lh"})
    page.run()
    assert not page.exception and sorted(fits(page)["fit_hemi"]) == ["both", "lh"]
    assert page.selectbox(key="up").value == "fit_hemi"


SHOWN = [("r", "median"), ("rmse", "best"), ("rmse", "median"), ("r2", "mean")]


@pytest.mark.parametrize("shown", with_nightly(SHOWN, always=SHOWN[:2]), ids=str)
def test_any_score_and_statistic_is_shown_ranked_and_chosen_by(page, store, shown):
    score, statistic = shown
    grid = with_validation(replace(GRID, title=""))
    cells = run_experiment(grid, store, device="cpu").cells
    page.query_params.update({"readouts": ["ridge", "ridge alpha=10"], "validate": "true", "grid_score": score, "grid_over": statistic})
    page.query_params.update({"fits_roi": "driven"})
    page.run()
    assert not page.exception
    known, lower = SCORES[score], SCORES[score].lower_is_better
    shown = fits(page)
    for key, value in zip(shown["key"], shown["score"], strict=True):
        result = open_fit(key, store)
        values = np.concatenate([result.score(hemi, score)[result.columns("driven", hemi)] for hemi in ("lh", "rh")])
        assert value == pytest.approx({"mean": np.mean, "median": np.median, "best": np.min if lower else np.max}[statistic](values))
    assert shown["score"].is_monotonic_increasing if lower else shown["score"].is_monotonic_decreasing
    heatmap = json.loads(page.get("plotly_chart")[0].proto.spec)["layout"]["coloraxis"]
    assert (heatmap["colorscale"][0][1] == "#fde725") == lower
    assert known.short in heatmap["colorbar"]["title"]["text"]
    by = score if statistic != "median" else f"{score}_median"
    wanted = select(cells, store, by=by).table()
    winners = next(table.value for table in page.dataframe if "winner" in table.value)
    assert winners["winner"].tolist() == wanted["winner"].tolist()
    assert winners["test"].tolist() == pytest.approx(wanted["test"].tolist(), nan_ok=True)


def test_a_winner_is_chosen_on_validation_images_and_its_test_score_shown(page, store):
    grid = with_validation(replace(GRID, title=""))
    cells = run_experiment(grid, store, device="cpu").cells
    page.query_params.update({"readouts": ["ridge", "ridge alpha=10"], "validate": "true"})
    page.run()
    assert not page.exception and page.title[0].value == "Which of 4 fits predicts best, over curated layers, 2 readouts?"
    wanted = select(cells, store).table()
    shown = next(table.value for table in page.dataframe if "winner" in table.value)
    assert shown["winner"].tolist() == wanted["winner"].tolist() and set(shown["hemi"]) == {"left", "right"}
    winners = next(table for table in page.dataframe if "winner" in table.value)
    assert json.loads(winners.proto.columns)["hemi"]["label"] == "Hemisphere"
    assert shown["test"].tolist() == pytest.approx(wanted["test"].tolist(), nan_ok=True)
    assert len(fits(page)) == 4  # those on validation images are no fits to choose from
    assert len(page.get("plotly_chart")) == 3


def test_the_chosen_fits_are_composed_to_one_that_compare_opens(page, store, open_page):
    cells = run_experiment(with_validation(replace(GRID, title="")), store, device="cpu").cells
    page.query_params.update({"readouts": ["ridge", "ridge alpha=10"], "validate": "true", "compose": "mean"})
    page.run()
    page.button(key="compose_fits").click().run()
    assert not page.exception
    ((task, request, key),) = NoWorkers.submitted
    assert task is compose_fits and request.method == "mean" and request.per == "roi" and key == request.job_key
    compose_fits(request, store, device="cpu")
    page.run()
    assert not page.exception
    explore, compare, predict = page.main.get("page_link")
    link = parse_qs(compare.proto.query_string)
    assert stage_of(link["b"][0]) == "fit" and predict.proto.query_string == explore.proto.query_string == f"fit={link['b'][0]}"
    assert link["a"][0] in {each.fit_key for each in cells if "/" not in each.cell.spec.split}
    compared = open_page("40_compare", a=link["a"][0], b=link["b"][0])
    compared.run()
    assert not compared.exception and "paired bootstrap" in " ".join(each.value for each in compared.caption)


def test_a_choice_waits_for_its_validation_fits(page, store):
    run_experiment(GRID, store, device="cpu")
    page.query_params.update({"readouts": ["ridge", "ridge alpha=10"], "validate": "true"})
    page.run()
    assert not page.exception and "validation fits are not finished" in " ".join(each.value for each in page.info)


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ({"readouts": "rigde"}, "rigde"),
        ({"readouts": "ridge alpha"}, "NAME=VALUE"),
        ({"layer_names": "nolayer"}, "nolayer"),
        ({"layer_names": ["curated", "pixels"]}, "not both"),
        ({"n_components": "many"}, "whole number"),
        ({"backbones": "tinynett"}, "tinynett"),
        ({"splits": "half"}, "half"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(page, link, words):
    page.query_params.update(link)
    page.run()
    assert not page.exception and words in page.error[0].value


def test_a_link_to_an_experiment_that_is_not_here_names_those_that_are(page):
    page.query_params["experiment"] = "nope"
    page.run()
    assert not page.exception and "Unknown experiment 'nope'. Known: recipe:" in page.warning[0].value.replace("\\", "")


def test_a_fit_that_cannot_be_leaves_the_others(page, store):
    page.query_params["readouts"] = ["ridge", "positional"]  # the planted subject has no places
    page.run()
    page.button(key="run_experiment").click().run()
    from pages.parts.shared.server_state import experiments

    until(lambda: all(state.finished for state in experiments().all().values()))
    page.run()
    assert not page.exception


def test_a_read_only_server_starts_none(page, monkeypatch):
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    page.run()
    assert not page.exception and "only shows" in page.info[0].value
    assert "run_experiment" not in [button.key for button in page.button]


def test_every_part_of_every_recipe_is_in_the_menu_with_its_published_numbers(page):
    from pages.parts.experiments.recipe_choice import recipe_experiment, recipe_names

    names = recipe_names()
    assert len(names) == sum(len(load(name).parts) for name in recipes())
    assert all(recipe_experiment(each).base.dataset == load(each.split(":")[1]).dataset for each in names)
    page.query_params["experiment"] = "recipe:six-regressors:regressors"
    page.run()
    assert not page.exception and "Which layer of four networks" in " ".join(each.value for each in page.markdown)
    numbers = next(table.value for table in page.dataframe if "published" in table.value)
    assert 0.2417 in numbers["published"].tolist()
    assert "img2brain" in page.error[0].value  # its data are not on this machine


def test_unions_of_regions_are_fields_of_the_grid_and_regions_of_its_tables(page, store):
    page.query_params.update({"regions": ["everything=driven+noise", "driven"], "fitted_together": ["hemisphere", "roi"]})
    page.run()
    assert not page.exception and "everything=driven+noise" in page.multiselect(key="regions").value
    assert "4 of 4 fits are not there yet" in " ".join(each.value for each in page.info)
    base = replace(TINY, rois=("everything=driven+noise", "driven"))
    run_experiment(Experiment(base=base, vary={"layers": "curated", "target_groups": ["hemisphere", "roi"]}), store, device="cpu")
    page.query_params["fits_roi"] = "everything"
    page.run()
    assert not page.exception and set(fits(page)["n_vertices"]) == {20} and len(fits(page)) == 4


@pytest.mark.parametrize(
    ("rois", "message"), [("V1=driven+dorsal", "dorsal"), ("drivn", "driven"), ("driven=driven+noise", "another name")]
)
def test_a_union_that_cannot_be_is_said_before_any_work(page, rois, message):
    page.query_params["regions"] = rois
    page.run()
    assert not page.exception and message in " ".join(each.value for each in page.error)


def test_a_grid_shares_no_setting_with_explore_but_the_data(page):
    page.run()
    drawn = {each.key for kind in ("selectbox", "multiselect", "text_input", "number_input", "toggle") for each in page.get(kind)}
    assert {"regions", "budget", "subjects"} <= drawn and drawn & set(control_names()) == {"dataset"}
