"""The list of finished fits in a terminal, by any score."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from encoding import Store, fit
from encoding.runs.table import Note, all_runs, write_note
from tests.conftest import TINY


@pytest.fixture
def two(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    tiny.change(ceiling={hemi: np.linspace(0.1, 0.9, 10, dtype=np.float32) for hemi in ("lh", "rh")})
    return [fit(replace(TINY, layers=(layer,)), Store(), device="cpu") for layer in ("pixels", "colour")]


def test_fits_are_listed_by_any_score_the_best_first(two, shell, tmp_path):
    code, out, err = shell("runs")
    assert code == 0 and "r_mean" in out and all(result.key[4:10] in out for result in two), err
    for score, column in (("rmse", "rmse"), ("r_median", "r_median"), ("normalised_r2_best", "normalised_r2_best")):
        code, out, _ = shell("runs", "--score", score, "--sort", "score", "--json")
        values = [row[column] for row in json.loads(out)["fits"]]
        assert len(values) == 2 and values == sorted(values, reverse=score != "rmse")
    write_note(two[1].key, Store(), Note("", ("paper",)))
    code, out, _ = shell("runs", "colour", "ridge", "--tag", "paper", "--out", tmp_path / "runs.csv")
    assert code == 0 and two[1].key[4:10] in out and two[0].key[4:10] not in out
    written = pd.read_csv(tmp_path / "runs.csv")
    assert written["key"].tolist() == [two[1].key] and written["algonauts2023"].notna().all()
    assert written["r_mean"].item() == pytest.approx(all_runs(Store()).set_index("key").loc[two[1].key, "r_mean"])
    code, out, _ = shell("runs", "nothing has these words")
    assert code == 0 and "None of 2 finished fits matches." in out
