"""Every finished fit on one ROI or vertex."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import fit, plots
from encoding.analysis.bootstrap import estimate_scores, roi_intervals
from encoding.evaluation.scores import pearson
from encoding.runs.region_scores import region_scores
from tests.conftest import TINY


@pytest.fixture
def fits(tiny, store):
    tiny.change(ceiling={hemi: np.linspace(0.1, 0.9, 10).astype(np.float32) for hemi in ("lh", "rh")})
    specs = [TINY, replace(TINY, target_groups="vertex:lh:7"), replace(TINY, split="kfold:3:0", readout="ols")]
    return [fit(spec, store=store) for spec in specs]


def test_an_roi_has_each_fit_that_covers_it_best_first_with_the_stored_interval(fits):
    whole, single, folds = fits
    roi_intervals(whole)
    table = region_scores(fits, roi="driven")
    assert set(table["key"]) == {whole.key, folds.key}  # the other one has no vertex of it
    for row in table.itertuples():
        result = whole if row.key == whole.key else folds
        r = np.mean([pearson(result.predicted(row.hemi, range(5)), result.measured(row.hemi, range(5)))]) if result is whole else None
        assert row.r == pytest.approx(r if r is not None else result.score(row.hemi)[:5].mean(), abs=1e-6)
        assert row.ceiling_r == pytest.approx(np.sqrt(np.linspace(0.1, 0.9, 10)[:5]).mean(), abs=1e-6) and row.n_vertices == 5
        assert np.isfinite(row.low) == (result is whole) and (result is folds or row.low < row.r < row.high)
    means = table.groupby("key", sort=False)["r"].mean()
    assert means.is_monotonic_decreasing and single.key not in set(region_scores(fits, roi="noise")["key"])


def test_a_vertex_has_an_interval_of_its_own(fits):
    table = region_scores(fits, vertex=("lh", 7))
    assert set(table["key"]) == {each.key for each in fits} and set(table["hemi"]) == {"lh"}
    for row in table.itertuples():
        result = next(each for each in fits if each.key == row.key)
        low, high = estimate_scores(result, "lh", members={"it": np.array([7])}, scores=("r",)).interval("r")
        assert (row.r, row.low, row.high) == pytest.approx((result.score("lh")[7], low[0], high[0])) and row.low < row.r < row.high


def test_fits_without_models_or_without_the_region_have_no_interval_or_no_row(fits):
    whole = fits[0]
    whole.store.remove(whole.plan.weights_key(whole.plan.folds[0], whole.plan.target_groups[0]))
    (row,) = region_scores([whole], vertex=("lh", 0)).itertuples()
    assert np.isfinite(row.r) and np.isnan(row.low)
    assert region_scores(fits, roi="empty").empty and region_scores([], roi="driven").empty


def test_the_chart_has_a_row_for_each_fit_and_its_ends(fits):
    table = region_scores(fits, vertex=("lh", 7))
    names = {key: f"model {number} with a name that is long" for number, key in enumerate(table["key"])}
    figure = plots.fit_scores(table, names)
    (dots,) = [trace for trace in figure.data if trace.name == "Left hemisphere"]
    np.testing.assert_allclose(dots.x, table["r"])
    assert list(dots.y) == list(range(len(table))) and len(figure.layout.yaxis.ticktext) == len(table)
    line = figure.data[0].x
    np.testing.assert_allclose([line[0::3], line[1::3]], [table["low"], table["high"]])
    assert plots.table_of(figure)["fit"].tolist() == list(names.values())
