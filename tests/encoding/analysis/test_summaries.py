"""Summaries of a fit against sums done another way, under a hold-out and under cross-validation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from encoding import fit
from encoding.analysis import summaries
from encoding.analysis.layer_ranking import roi_rows
from encoding.analysis.summaries import (
    best_roi,
    highest_possible,
    largest_share,
    mean_layer_shares,
    mean_prediction,
    over_columns,
    pattern_correlation,
    residual_density,
)
from encoding.fits.score_tables import BOTH, EVERY_VERTEX
from encoding.plots.brain.score_maps import share_brain
from tests.conftest import TINY


@pytest.fixture(params=["holdout:0.75:5", "kfold:4:0"])
def result(request, tiny, store):
    tiny.change(ceiling={hemi: np.linspace(0.1, 0.9, 10).astype(np.float32) for hemi in ("lh", "rh")})
    return fit(replace(TINY, split=request.param), store, device="cpu")


def test_r_of_a_single_vertex_is_the_one_that_tables_show(result):
    found = mean_prediction(result, {"rh": np.array([3])})
    assert found.r == pytest.approx(result.score("rh")[3], abs=1e-5) and found.mean_r == pytest.approx(result.score("rh")[3])


def test_r_of_averaged_responses_and_the_average_of_r_are_two_numbers(result):
    columns = {hemi: np.arange(5, 10) for hemi in ("lh", "rh")}  # noise
    columns["lh"] = np.arange(5)  # driven
    found, start, by_fold = mean_prediction(result, columns), 0, []
    for fold in result.plan.folds:
        rows = slice(start, start := start + len(fold.test))
        measured = np.concatenate([result.plan.subject.responses[hemi][fold.test][:, chosen] for hemi, chosen in columns.items()], 1)
        np.testing.assert_allclose(found.measured[rows], measured.mean(1), atol=1e-5)
        by_fold.append(np.corrcoef(found.predicted[rows], measured.mean(1))[0, 1])
    assert found.r == pytest.approx(np.mean(by_fold), abs=1e-5)
    own = np.concatenate([result.score(hemi)[chosen] for hemi, chosen in columns.items()])
    assert found.mean_r == pytest.approx(own.mean()) and abs(found.r - found.mean_r) > 0.02


@pytest.mark.parametrize("columns", [{"lh": np.arange(10), "rh": np.arange(3)}, {"rh": np.array([4])}])
def test_every_residual_is_counted_once(result, columns, monkeypatch):
    monkeypatch.setattr(summaries, "PAIR_COLUMNS", 4)
    density = residual_density(result, columns)
    predicted, residual = [], []
    for hemi, chosen in columns.items():
        start = 0
        for fold in result.plan.folds:
            values = result.predicted(hemi, chosen)[start : start + len(fold.test)]
            predicted.append(values.ravel())
            residual.append((result.plan.subject.responses[hemi][fold.test][:, chosen] - values).ravel())
            start += len(fold.test)
    predicted, residual = np.concatenate(predicted), np.concatenate(residual)
    assert density.n_pairs == len(residual)
    assert density.mean == pytest.approx(residual.mean(), abs=1e-6) and density.sd == pytest.approx(residual.std(), rel=1e-5)
    x = np.clip(predicted, *density.predicted_edges[[0, -1]] + np.array([1e-9, -1e-9]))
    y = np.clip(residual, *density.residual_edges[[0, -1]] + np.array([1e-9, -1e-9]))
    counts = np.histogram2d(y, x, bins=(density.residual_edges, density.predicted_edges))[0]
    assert np.abs(density.counts - counts).sum() <= 4  # a value on the edge of two cells may stand in either
    place = np.argmax(density.counts.sum(0))
    inside = (predicted > density.predicted_edges[place]) & (predicted <= density.predicted_edges[place + 1])
    assert density.means[place] == pytest.approx(residual[inside].mean(), abs=1e-5)


def test_residuals_of_nothing_are_refused(result):
    with pytest.raises(ValueError, match="No vertex"):
        residual_density(result, {"lh": np.zeros(0, int)})


def test_the_best_roi_has_the_highest_mean_over_the_vertices_of_both_hemispheres():
    """Two vertices of one hemisphere decide nothing against the hundred of the other."""
    rows = [("few", "lh", 2, 0.9), ("few", "rh", 100, 0.1), ("even", "lh", 50, 0.4), ("even", "rh", 50, 0.4), ("one side", "lh", 9, 0.3)]
    rows += [("one side", "rh", 90, np.nan), ("empty", "lh", 0, np.nan)]
    table = pd.DataFrame(rows, columns=["roi", "hemi", "n_vertices", "r_mean"])
    assert best_roi(table) == "even" and best_roi(table[table["roi"] != "even"]) == "one side"


def test_the_best_roi_leaves_out_every_vertex_and_empty_rois(result):
    assert best_roi(result.rois()) == "driven"
    assert best_roi(result.rois().query("roi == @EVERY_VERTEX", local_dict={"EVERY_VERTEX": EVERY_VERTEX})) == EVERY_VERTEX


def test_the_highest_possible_is_the_root_of_the_ceiling(result):
    np.testing.assert_allclose(highest_possible(result)["lh"] ** 2, np.linspace(0.1, 0.9, 10), rtol=1e-6)
    np.testing.assert_allclose(
        over_columns(highest_possible(result), {"lh": np.array([9]), "rh": np.array([0, 9])}) ** 2, [0.9, 0.1, 0.9], rtol=1e-6
    )


def test_the_highest_possible_r2_is_the_ceiling_in_vertices_and_tables(result):
    np.testing.assert_allclose(highest_possible(result, "r2")["lh"], np.linspace(0.1, 0.9, 10), rtol=1e-6)
    assert highest_possible(result, "rmse") is None and highest_possible(result, "normalised_r2") is None
    for table in (result.rois(), roi_rows(result)):
        for row in table[table["n_vertices"] > 0].to_dict("records"):
            hemis = result.plan.hemis if row["hemi"] == BOTH else (row["hemi"],)
            ceiling = np.concatenate([result.ceiling(hemi)[result.columns(row["roi"], hemi)] for hemi in hemis])
            np.testing.assert_allclose([row["ceiling_r2"], row["ceiling_r"]], [ceiling.mean(), np.sqrt(ceiling).mean()], rtol=1e-6)


def test_a_readout_that_treats_layers_alike_has_no_shares(result):
    assert mean_layer_shares(result, ["driven"]) == {} and largest_share(result) == {} and share_brain(result) is None


def test_shares_of_layers_add_up_to_r2_and_an_empty_roi_has_none(tiny, store):
    spec = replace(TINY, layers=("pixels", "colour"), readout="banded_ridge", options={"n_candidates": 20})
    made = fit(spec, store, device="cpu")
    shares = mean_layer_shares(made, ["driven", "empty"])
    expected = np.concatenate([made.score(hemi, "r2")[:5] for hemi in ("lh", "rh")]).mean()
    assert sum(each[0] for each in shares.values()) == pytest.approx(expected, abs=1e-4)
    assert all(np.isnan(each[1]) for each in shares.values())
    best = largest_share(made)
    for hemi in ("lh", "rh"):
        own, r2 = made.layer_shares(hemi), made.score(hemi, "r2")
        for vertex, place in enumerate(best[hemi]):
            if r2[vertex] <= -1e-3:
                assert np.isnan(place)
            elif r2[vertex] > 1e-3:
                assert own[list(own)[int(place)]][vertex] == max(values[vertex] for values in own.values())


def test_patterns_are_correlated_where_both_are_known():
    one = {"lh": np.array([1.0, 2, np.nan, 4]), "rh": np.array([0.0, 1])}
    other = {"lh": np.array([1.0, 3, 9, np.nan]), "rh": np.array([0.5, 1])}
    r, n = pattern_correlation(one, other, {"lh": np.arange(4), "rh": np.arange(2)})
    assert n == 4 and r == pytest.approx(np.corrcoef([1, 2, 0, 1], [1, 3, 0.5, 1])[0, 1])
    assert np.isnan(pattern_correlation(one, other, {"lh": np.arange(2)})[0])
