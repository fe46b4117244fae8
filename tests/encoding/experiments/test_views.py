"""Views of the long table against sums written out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from encoding.experiments.views import averaged, readable, rows_of, scores_of, varied_settings, with_networks


def row(key, backbone, layers, roi, hemi, n, r, *, options="", ceiling=np.nan, n_normalised=0):
    return {
        "key": key, "backbone": backbone, "layers": layers, "readout": "ridge", "options": options, "roi": roi, "hemi": hemi,
        "n_vertices": n, "n_normalised": n_normalised, "r_mean": r, "r_low": r - 0.1, "r_high": r + 0.1,
        "normalised_r2": ceiling, "normalised_r2_low": np.nan, "normalised_r2_high": np.nan,
    }  # fmt: skip


@pytest.fixture
def table():
    return pd.DataFrame(
        [
            row("a", "net", "one", "V1", "lh", 10, 0.5, ceiling=0.2, n_normalised=1),
            row("a", "net", "one", "V1", "rh", 30, 0.1, ceiling=0.6, n_normalised=3),
            row("a", "net", "one", "V2", "lh", 4, 0.4),
            row("a", "net", "one", "V2", "rh", 0, np.nan),
            row("b", "other", "one", "V1", "lh", 10, 0.3, options="alpha=1"),
            row("b", "other", "one", "V1", "rh", 30, 0.3, options="alpha=1"),
        ]
    )


def test_both_hemispheres_count_every_vertex_once(table):
    rows = rows_of(table, "r").set_index(["key", "roi"])
    assert rows.loc[("a", "V1"), "score"] == pytest.approx((10 * 0.5 + 30 * 0.1) / 40)
    assert rows.loc[("a", "V1"), "n_vertices"] == 40 and np.isnan(rows.loc[("a", "V1"), "low"])
    assert rows.loc[("a", "V2"), "score"] == pytest.approx(0.4)  # the empty hemisphere has no say
    normalised = rows_of(table, "normalised_r2", roi="V1").set_index("key")
    assert normalised.loc["a", "score"] == pytest.approx((1 * 0.2 + 3 * 0.6) / 4)
    assert np.isnan(normalised.loc["b", "score"])


def test_one_hemisphere_keeps_its_interval(table):
    rows = rows_of(table, "r", hemi="lh", roi="V1")
    assert rows["score"].tolist() == [0.5, 0.3] and rows["low"].tolist() == pytest.approx([0.4, 0.2])


def test_a_fit_of_one_hemisphere_keeps_its_interval_under_both(table):
    rows = rows_of(table[table["hemi"] == "lh"], "r", roi="V1")
    assert set(rows["hemi"]) == {"lh"} and rows["high"].tolist() == pytest.approx([0.6, 0.4])


def test_means_over_what_is_on_no_axis_say_of_how_many_fits(table):
    rows = rows_of(table, "r", hemi="lh")
    values = averaged(rows, ["layers", "roi"])
    assert values.to_dict("list") == {"layers": ["one", "one"], "roi": ["V1", "V2"], "score": pytest.approx([0.4, 0.4]), "n": [2, 1]}
    named = averaged(with_networks(rows, ["layers", "roi"]), ["layers", "roi"])
    assert named["layers"].unique().tolist() == ["net one", "other one"]
    assert with_networks(rows, ["layers", "backbone"])["layers"].unique().tolist() == ["one"]


def test_what_varies_and_which_scores_there_are(table):
    shown = readable(table)
    assert varied_settings(shown, ["backbone", "layers", "readout"]) == ["backbone", "readout"]
    assert shown["readout"].unique().tolist() == ["ridge", "ridge alpha=1"]
    assert scores_of(table) == ["r", "normalised_r2"] and scores_of(table.assign(normalised_r2=np.nan)) == ["r"]
