"""Views of the long table against sums written out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from encoding.experiments.views import averaged, readable, rows_of, scores_of, varied_settings, with_networks


def row(key, backbone, layers, roi, hemi, n, r, *, options=""):
    return {
        "key": key, "backbone": backbone, "layers": layers, "readout": "ridge", "options": options, "roi": roi, "hemi": hemi,
        "n_vertices": n, "r_mean": r, "r_low": r - 0.1, "r_high": r + 0.1, "r_median": r / 2, "r_best": 2 * r, "normalised_r2": np.nan,
    }  # fmt: skip


@pytest.fixture
def table():
    return pd.DataFrame(
        [
            row("a", "net", "one", "V1", "lh", 10, 0.5),
            row("a", "net", "one", "V1", "rh", 30, 0.1),
            row("a", "net", "one", "V1", "both", 40, 0.2),
            row("a", "net", "one", "V2", "lh", 4, 0.4),
            row("a", "net", "one", "V2", "rh", 0, np.nan),
            row("a", "net", "one", "V2", "both", 4, 0.4),
            row("b", "other", "one", "V1", "lh", 10, 0.3, options="alpha=1"),
        ]
    )


def test_both_hemispheres_have_rows_of_their_own_or_those_of_the_only_one(table):
    rows = rows_of(table, "r").set_index(["key", "roi"])
    assert rows["score"].to_dict() == {("a", "V1"): 0.2, ("a", "V2"): 0.4, ("b", "V1"): 0.3}
    assert rows["hemi"].tolist() == ["both", "both", "lh"] and rows["low"].tolist() == pytest.approx([0.1, 0.3, 0.2])


def test_one_hemisphere_keeps_its_interval(table):
    rows = rows_of(table, "r", hemi="lh", roi="V1")
    assert rows["score"].tolist() == [0.5, 0.3] and rows["low"].tolist() == pytest.approx([0.4, 0.2])


@pytest.mark.parametrize(("statistic", "values"), [("median", [0.25, 0.15]), ("best", [1.0, 0.6])])
def test_other_statistics_than_the_mean_have_no_interval(table, statistic, values):
    rows = rows_of(table, "r", statistic, hemi="lh", roi="V1")
    assert rows["score"].tolist() == values and rows[["low", "high"]].isna().all().all()


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
    assert scores_of(table) == ["r"] and scores_of(table.assign(normalised_r2=0.5)) == ["r", "normalised_r2"]
