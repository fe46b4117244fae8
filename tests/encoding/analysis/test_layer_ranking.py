"""Which layer is best, and how sure that is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from encoding.analysis.layer_ranking import best_layers, best_per_vertex, by_layer, chance_bound, win_shares


def test_shares_of_draws_are_counted_and_ties_are_shared():
    draws = np.array([[[3.0], [1.0], [2.0], [2.0]], [[1.0], [3.0], [2.0], [1.0]]])  # 2 layers, 4 draws, 1 ROI
    np.testing.assert_allclose(win_shares(draws), [[0.625], [0.375]])
    np.testing.assert_allclose(win_shares(draws, lower_is_better=True), [[0.375], [0.625]])


def test_best_layers_follow_the_score_that_is_asked_for():
    table = pd.DataFrame({"label": ["a", "b"], "roi": "V1", "r": [0.5, 0.4], "normalised_r2": [0.2, 0.3]})
    shares = np.array([[0.7], [0.3]])
    assert best_layers(table, shares).to_dict("records") == [{"roi": "V1", "label": "a", "place": 0, "r": 0.5, "share": 0.7, "second": "b"}]
    other = best_layers(table, shares, score="normalised_r2").iloc[0]
    assert (other["label"], other["share"], other["second"]) == ("b", 0.3, "a")


def test_a_score_that_is_not_there_is_explained():
    table = pd.DataFrame({"label": ["a"], "roi": ["V1"], "r": [0.5]})
    with pytest.raises(ValueError, match=r"It needs a noise ceiling"):
        by_layer(table, "normalised_r2", ["a"], ["V1"])


class Scored:
    """A fit whose scores are given."""

    def __init__(self, r):
        self.r = np.array(r, float)

    def score(self, hemi):
        return self.r


def test_the_best_layer_of_each_vertex_is_hidden_where_none_predicts_it():
    results = [Scored([0.3, 0.05, np.nan, 0.2, np.nan]), Scored([0.1, 0.09, np.nan, np.nan, 0.4])]
    np.testing.assert_array_equal(best_per_vertex(results, "lh", least=0.1), [0, np.nan, np.nan, 0, 1])
    np.testing.assert_array_equal(best_per_vertex(results, "lh"), [0, 1, np.nan, 0, 1])


def test_the_best_of_many_passes_the_chance_bound_as_rarely_as_said():
    rng = np.random.default_rng(0)
    n_test, n_layers, n_vertices = 50, 4, 20_000
    y = rng.normal(size=(n_test, n_vertices))
    y = (y - y.mean(0)) / y.std(0)
    highest = np.full(n_vertices, -1.0)
    for _ in range(n_layers):
        x = rng.normal(size=(n_test, n_vertices))
        highest = np.maximum(highest, ((x - x.mean(0)) / x.std(0) * y).mean(0))
    assert 0.044 < (highest > chance_bound(n_test, n_layers)).mean() < 0.055
