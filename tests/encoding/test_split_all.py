"""A fit that trains on every stimulus: it has no test score, says so everywhere, and predicts."""

from dataclasses import replace

import numpy as np
import pytest

from encoding import Store, fit
from encoding.analysis.bootstrap import interval_text, roi_intervals
from encoding.cli.fitting import describe
from encoding.experiments import Experiment, run_experiment
from encoding.fits.open import open_fit
from encoding.prediction.predict import predict
from encoding.readouts import READOUTS
from encoding.runs.exchange import export, import_
from encoding.runs.notebook import notebook
from encoding.runs.report import report
from encoding.runs.table import all_runs, short_name
from tests.conftest import TINY, TinyStimuli

ALL = replace(TINY, split="all")
QUICK = {"n_epochs": 2, "epochs": 2, "n_folds": 2}
ABLE = [name for name, readout in READOUTS.items() if readout.uses_components and not readout.in_order and name not in ("positional",)]


@pytest.mark.parametrize("readout", ABLE)
def test_every_readout_trains_on_all_stimuli_and_predicts(tiny, store, readout):
    known = {name for name in QUICK if hasattr(READOUTS[readout].options, name)}
    options = {name: QUICK[name] for name in known}
    result = fit(replace(ALL, readout=readout, options=options, n_components=5, hemi="lh"), store)
    assert (result.n_train, result.n_test, result.n_test_stimuli) == (120, 0, 0)
    assert np.isnan(result.score("lh")).all()
    new = TinyStimuli(np.random.default_rng(3).integers(0, 256, (4, 4, 4, 3), dtype=np.uint8))
    assert np.isfinite(predict(result, new)["lh"]).all()


def test_it_has_no_score_and_every_table_and_text_says_so(tiny, store):
    result = fit(ALL, store)
    table = result.rois()
    assert table[["r_mean", "r2_mean", "rmse"]].isna().all(axis=None)
    assert "none: every stimulus was used for training" in describe(result)
    intervals = roi_intervals(result)
    assert np.isnan(intervals["lh_low"]).all()
    assert interval_text(result) == "There is no test score: every stimulus was used for training."
    row = all_runs(store).iloc[0].to_dict()
    assert np.isnan(row["r_mean"])
    assert "no test score" in short_name(row)
    assert open_fit(result.key, store).key == result.key
    assert result.summary()["rois"][0]["r_mean"] is None


def test_an_exported_one_opens_elsewhere_and_predicts_the_same(tiny, store, tmp_path):
    result = fit(replace(ALL, n_components=5), store)
    roi_intervals(result)
    opened = import_(export(result, tmp_path / "fit.zip"), Store(tmp_path / "other"))
    assert opened.n_test == 0 and np.isnan(opened.score("lh")).all()
    assert opened.rois()["r_mean"].isna().all()
    new = tiny.subject.stimuli
    assert predict(opened, new)["lh"] == pytest.approx(predict(result, new)["lh"], abs=1e-5)


def test_reports_and_notebooks_of_it_are_made(tiny, store):
    result = fit(replace(ALL, rois=("driven",)), store)
    assert "<html" in report([result], store)
    assert "cells" in notebook(result)


def test_its_model_is_that_of_a_fit_on_the_same_rows(tiny, store):
    """The penalty is chosen inside the training rows as for any split: here those rows are all rows."""
    result, part = fit(ALL, store), fit(TINY, store)
    alone = fit(replace(TINY, split="first:110"), store)
    distance = lambda other: np.abs(result.model("lh").weights - other.model("lh").weights).mean()  # noqa: E731
    assert 0 < distance(alone) < distance(part)


def test_an_experiment_with_it_ends(tiny, store):
    ran = run_experiment(Experiment(base=replace(TINY, hemi="lh"), vary={"split": ["all", TINY.split]}), store)
    assert [cell.state for cell in ran.status.cells] == ["done", "done"]
    assert [cell.error for cell in ran.status.cells] == ["", ""]
    table = ran.table()
    assert table[table.split == "all"].r_mean.isna().all()
    assert table[table.split != "all"].query("roi == 'driven'").r_low.notna().all()
