"""``python -m encoding sweep``: documents, tables and wrong words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from encoding import Store
from encoding.analysis.layer_ranking import BOTH
from encoding.analysis.layer_sweep import Sweep
from encoding.cli import main
from encoding.experiments.sweep import run_sweep
from encoding.fits.open import open_fit
from tests.conftest import TINY


@pytest.fixture
def shell(tiny, tmp_path, monkeypatch, capsys):
    """Run a command on an empty Store; its exit code, standard output and standard error."""
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))

    def run_words(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run_words


ASK = ("sweep", "--dataset", "tiny", "--components", "0", "--split", TINY.split, "--device", "cpu")


def test_the_command_prints_every_layer_and_roi(shell, store, tmp_path):
    code, out, _ = shell(*ASK, "--backbone", "tinynet", "--layer", "colour", "pixels", "--out", tmp_path / "layers.csv", "--json")
    document = json.loads(out)
    found = run_sweep(Sweep.read(TINY, ["tinynet"]), store, device="cpu")
    assert code == 0
    assert [row["r"] for row in document["rows"]] == pytest.approx([r if np.isfinite(r) else None for r in found.table()["r"]], nan_ok=True)
    assert {row["roi"]: row["label"] for row in document["best"]}["driven"] == "pixels"
    written = pd.read_csv(tmp_path / "layers.csv")
    assert len(written) == len(document["rows"]) and set(written["layer"]) == {"pixels", "colour"}
    code, out, _ = shell(*ASK, "--backbone", "tinynet", "--all-layers")
    driven = next(line.split() for line in out.splitlines() if line.startswith("driven"))
    assert code == 0 and driven[-2:] == ["pixels", "100%"] and "simulated: no brain was measured" in out
    assert "With 30 test stimuli, fewer than 50" in out


def test_the_command_ranks_by_the_score_that_is_asked_for(shell, tiny, tmp_path):
    tiny.change(ceiling={hemi: np.linspace(0.1, 0.9, 10, dtype=np.float32) for hemi in ("lh", "rh")})
    spec = replace(TINY, split="kfold:3:0")
    words = (*ASK, "--split", spec.split, "--backbone", "tinynet", "--all-layers")
    table = run_sweep(Sweep.read(spec, ["tinynet"]), Store(tmp_path / "cache"), device="cpu").table()
    table = table[(table["hemi"] == BOTH) & (table["roi"] == "driven")].set_index("label")
    for score, text in (("pooled_r", "predictions of all folds"), ("normalised_r2", "over the noise ceiling")):
        code, out, _ = shell(*words, "--score", score)
        driven = next(line.split() for line in out.splitlines() if line.startswith("driven"))
        assert code == 0 and driven[1:3] == [f"{table.loc[layer, score]:.3f}" for layer in ("pixels", "colour")] and text in out
        assert f"{table.loc['colour', score]:.3f}" != f"{table.loc['colour', 'r']:.3f}"
        best = json.loads(shell(*words, "--score", score, "--json")[1])["best"]
        assert {row["roi"]: row[score] for row in best}["driven"] == pytest.approx(table.loc["pixels", score])
    for score, end in (("r_best", np.max), ("rmse_best", np.min)):
        document = json.loads(shell(*words, "--score", score, "--json")[1])
        row = next(row for row in document["rows"] if (row["roi"], row["hemi"], row["layer"]) == ("driven", "both", "pixels"))
        fit = open_fit(row["key"], Store(tmp_path / "cache"))
        values = [fit.score(hemi, score.removesuffix("_best"))[fit.columns("driven", hemi)] for hemi in fit.plan.hemis]
        assert row[score] == pytest.approx(end(np.concatenate(values)))
        best = next(row for row in document["best"] if row["roi"] == "driven")
        ours = [row[score] for row in document["rows"] if (row["roi"], row["hemi"]) == ("driven", "both")]
        assert best[score] == pytest.approx(end(ours)) and "best over" in shell(*words, "--score", score)[1]


def test_pooled_r_of_one_fold_is_r_and_a_score_without_ceiling_is_refused_before_any_fit(shell, tmp_path):
    words = (*ASK, "--backbone", "tinynet", "--layer", "colour")
    code, _, err = shell(*words, "--score", "normalised_r2")
    assert code == 2 and "needs a noise ceiling" in err and not (tmp_path / "cache" / "fit").exists()
    code, out, _ = shell(*words, "--score", "pooled_r")
    assert code == 0 and "one fold, of which pooled r is r" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Say which layers"),
        (["--layer", "colour", "--all-layers"], "Say which layers"),
        (["--layer", "colur"], "Did you mean 'colour'"),
        (["--all-layers", "--out", "no/such/folder/x.csv"], "give a file in a folder that is there"),
        (["--all-layers", "--roi", "drivn"], "Did you mean 'driven'"),
    ],
)
def test_wrong_words_end_with_two_and_say_what_could_be_meant(shell, words, message):
    code, out, err = shell(*ASK, "--backbone", "tinynet", *words)
    assert code == 2 and not out and message in err
