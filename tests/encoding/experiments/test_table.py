"""The long table of an experiment, under hold-out, k-fold, and repeats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.layer_ranking import interval_columns, layer_column, roi_rows
from encoding.evaluation.scores import SCORES
from encoding.experiments import Experiment, run_experiment
from encoding.experiments.graph import compile_graph, plan_cells
from encoding.experiments.progress import Run
from encoding.experiments.stages import execute
from encoding.experiments.table import COLUMNS, REGIONS, long_table, save_table
from encoding.fits.score_tables import BOTH
from tests.conftest import TINY

CASES = {
    "holdout": {"split": "holdout:0.75:5"},
    "k-fold": {"split": "kfold:3:1"},
    "repeats": {"split": "holdout:0.5:2", "average_repeats": True},
    "repeats, k-fold": {"split": "kfold:3:1", "average_repeats": True},
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def ran(request, tiny, store):
    """A small experiment of 120 rows, which are 40 stimuli shown three times where repeats are averaged; noise ceilings are known."""
    tiny.change(ceiling={hemi: np.linspace(0.02, 0.9, 10, dtype=np.float32) for hemi in ("lh", "rh")})
    if request.param.get("average_repeats"):
        tiny.change(groups=np.repeat(np.arange(40), 3))
    return run_experiment(Experiment(base=replace(TINY, **request.param), vary={"readout": ["ridge", "knn"]}), store, device="cpu")


def test_every_row_holds_the_fit_s_own_numbers(ran):
    table = ran.table()
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 2 * 5 * 2 and not table.duplicated(["key", "roi", "hemi"]).any()
    for result in ran.results:
        mine = table[table["key"] == result.key].set_index(["roi", "hemi"])
        theirs = result.rois().set_index(["roi", "hemi"])
        for name in theirs:
            np.testing.assert_array_equal(mine.loc[theirs.index, name], theirs[name])
        intervals = roi_intervals(result)
        for number, roi in enumerate(intervals["rois"]):
            for hemi in ("lh", "rh"):
                for score in SCORES:
                    prefix = hemi if score == "r" else f"{hemi}_{score}"
                    for end in ("low", "high"):
                        expected = intervals[f"{prefix}_{end}"][number] if f"{prefix}_{end}" in intervals else np.nan
                        np.testing.assert_array_equal(mine.loc[(roi, hemi), f"{score}_{end}"], expected)
        for hemi in ("lh", "rh"):
            regions, mean = theirs.xs(hemi, level="hemi").loc[["driven", "noise"]], mine.loc[(REGIONS, hemi)]
            for score in SCORES.values():
                for column in map(score.column, score.statistics):
                    if score.key in result.score_names:
                        assert mean[column] == pytest.approx(regions[column].mean())
                assert np.isnan(mean[f"{score.key}_low"])
        assert set(mine["n_test"]) == {result.n_test} and set(mine["n_test_stimuli"]) == {result.n_test_stimuli}
        assert (mine["seconds"] > 0).all()


def test_a_hemisphere_of_a_fit_of_both_is_told_from_the_fit_of_that_hemisphere(tiny, store):
    ran = run_experiment(Experiment(base=TINY, vary={"hemi": ["lh", "both"]}), store, device="cpu")
    rows = long_table(ran.cells, store, both=True).query("roi == 'driven'")
    assert list(zip(rows["fit_hemi"], rows["hemi"], strict=True)) == [("lh", "lh"), ("both", "lh"), ("both", "rh"), ("both", BOTH)]


def test_rows_of_both_hemispheres_count_every_vertex_once(ran):
    whole = long_table(ran.cells, ran.store, both=True)
    assert len(whole) == 2 * 5 * 3
    pd.testing.assert_frame_equal(whole[whole["hemi"] != BOTH].reset_index(drop=True), ran.table().reset_index(drop=True))
    for result in ran.results:
        rows = whole[(whole["key"] == result.key) & (whole["hemi"] == BOTH)].set_index("roi")
        known = roi_rows(result)
        known = known[known["hemi"] == BOTH].set_index("roi").loc[["all", "driven", "noise", "empty"]]
        for name in result.score_names:
            values = np.concatenate([result.score(hemi, name)[:5] for hemi in ("lh", "rh")])
            values = values[np.isfinite(values)]
            best = values.min() if SCORES[name].lower_is_better else values.max()
            assert rows.loc["driven", SCORES[name].column("best")] == pytest.approx(best)
            for statistic in set(SCORES[name].statistics) - {"best"}:
                np.testing.assert_allclose(rows.loc[known.index, SCORES[name].column(statistic)], known[layer_column(name, statistic)])
        for name in ("r", "rmse"):
            for mine, theirs in zip((f"{name}_low", f"{name}_high"), interval_columns(name), strict=True):
                np.testing.assert_allclose(rows.loc[known.index, mine], known[theirs])
            assert rows.loc["driven", f"{name}_low"] < rows.loc["driven", SCORES[name].mean_column] < rows.loc["driven", f"{name}_high"]
        assert rows.loc["driven", "n_vertices"] == 10


def test_intervals_hold_the_mean_r_of_what_is_driven(ran):
    rows = ran.table().query("roi == 'driven'")
    assert (rows["r_low"] < rows["r_mean"]).all() and (rows["r_mean"] < rows["r_high"]).all()


def test_an_empty_region_has_no_score(ran):
    rows = ran.table().query("roi == 'empty'")
    assert len(rows) == 4 and (rows["n_vertices"] == 0).all() and rows["r_mean"].isna().all() and rows["r_low"].isna().all()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_is_written_and_read_back(ran, tmp_path, suffix):
    path = save_table(ran.table(), tmp_path / f"table{suffix}")
    read = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path, keep_default_na=False, na_values=[""])
    assert list(read.columns) == list(COLUMNS)
    np.testing.assert_allclose(read["r_mean"].astype(float), ran.table()["r_mean"])
    assert list(read["key"]) == list(ran.table()["key"])


def test_the_table_fills_while_the_experiment_runs(tiny, store):
    cells = Experiment(base=TINY, vary={"layers": "curated", "n_components": [0, 3]}).cells()
    planned, run = plan_cells(cells, store), Run(compile_graph(cells, store))
    n_rows = [len(long_table(planned, store))]
    while (task := run.take()) is not None:
        execute(task, run.graph.plans.get(task.spec), store, device="cpu")
        run.done(task.key)
        table = long_table(planned, store)
        n_rows.append(len(table))
        assert list(table.columns) == list(COLUMNS)
    assert sorted(set(n_rows)) == [0, 10, 20, 30, 40] and n_rows == sorted(n_rows)


def test_a_setting_without_a_column_of_its_own_gets_one_at_the_end(tiny, store):
    table = run_experiment(Experiment(base=TINY, vary={"hemi": ["lh", "rh"], "rois": ["driven"]}), store, device="cpu").table()
    assert list(table.columns) == [*COLUMNS, "rois", "fit_hemi"]
    assert list(table["hemi"]) == ["lh", "rh"] and set(table["roi"]) == {"driven"} and set(table["rois"]) == {"driven"}


def test_scores_without_a_noise_ceiling_are_not_there_but_their_columns_are(tiny, store):
    table = run_experiment(Experiment(base=TINY), store, device="cpu").table()
    assert list(table.columns) == list(COLUMNS)
    assert table[["normalised_r2", "normalised_r", "algonauts2023", "ceiling_r", "normalised_r2_low"]].isna().all().all()


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"table\.xlsx must end in \.csv or \.parquet"):
        save_table(pd.DataFrame(), tmp_path / "table.xlsx")
