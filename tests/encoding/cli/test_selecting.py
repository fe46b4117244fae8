"""``experiment select`` and ``experiment compose``."""

import numpy as np
import pandas as pd
import pytest

from encoding.fits.open import open_fit
from tests.encoding.experiments import planted

FILE = """
[base]
dataset = "planted"
n_components = 0
readout = "ols"
split = "holdout:0.75:5"
hemi = "lh"

[vary]
backbone = ["netone", "nettwo"]
layers = "curated"
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    planted.register_planted(monkeypatch, {"subj01": planted.planted_subject("subj01", seed=1)})
    path = tmp_path / "grid.toml"
    path.write_text(FILE)
    return path


def test_select_finds_the_planted_layers_and_compose_makes_a_fit_of_them(file, shell, ask, cache, tmp_path):
    code, out, err = shell("experiment", "select", file, "--out", tmp_path / "winners.csv")
    assert code == 0, err
    assert "nettwo · late" in out and "which took no part" in out
    written = pd.read_csv(tmp_path / "winners.csv").set_index("roi")
    assert written.winner[["A", "D"]].tolist() == ["netone · early", "nettwo · late"]
    key = ask("experiment", "list")["experiments"][0]["key"]
    document = ask("experiment", "select", key, "--over", "layers", "--group", "early=A,C", "--candidates")  # nothing is fitted again
    assert {(row["roi"], row["backbone"], row["candidate"]) for row in document["rows"]} == {
        (roi, backbone, layer) for roi in ("all", "early") for backbone in ("netone", "nettwo") for layer in ("early", "late")
    }
    (made,) = ask("experiment", "compose", file, "--method", "stacked")["fits"]
    result = open_fit(made["key"], cache)
    assert result.score("lh")[:8].mean() > 0.9
    again = result.plan.spec.to_command().split()[3:]
    assert ask(*again)["fits"][0]["key"] == made["key"]
    code, out, err = shell("experiment", "compose", key, "--split", "all")
    assert code == 0, err
    assert "none: every stimulus was used for training" in out
    on_all = open_fit(out.split()[-1], cache)
    assert np.isnan(on_all.score("lh")).all() and "--split all" in on_all.plan.spec.to_command()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--over", "layer"], "Did you mean 'layers'"),
        (["--by", "rr"], "score to choose by"),
        (["--group", "early"], "NAME=ROI,ROI"),
        (["--validation", "all"], "validation split"),
        (["--workers", "0"], "--workers must be 1"),
    ],
)
def test_what_cannot_be_chosen_is_a_bad_argument(file, shell, words, message, monkeypatch):
    code, _, err = shell("experiment", "select", file, *words)
    assert code == 2
    assert message in err


def test_a_choice_names_the_subject_and_the_settings_that_it_is_of(file, shell, monkeypatch):
    subjects = {name: planted.planted_subject(name, seed=seed) for seed, name in enumerate(("subj01", "subj02"), 1)}
    planted.register_planted(monkeypatch, subjects)
    file.write_text(FILE + 'subject = "all"\n')

    def rows(*words):
        code, out, err = shell("experiment", "select", file, "--per", "hemisphere", *words)
        assert code == 0, err
        head, *lines = out.split("\n\n")[0].splitlines()
        assert len(set(lines)) == len(lines)
        return head.split(), [line.split() for line in lines]

    head, lines = rows("--over", "layers")
    assert head[:4] == ["subject", "backbone", "roi", "hemi"]
    assert {tuple(line[:2]) for line in lines} == {(subject, backbone) for subject in subjects for backbone in ("netone", "nettwo")}
    head, lines = rows("--across-subjects", "--by", "rmse")
    assert (head[:2], [line[0] for line in lines]) == (["subject", "roi"], sorted(subjects))
    assert not any("-0.000" in line for line in lines)
    head, lines = rows("--candidates")
    assert head[:4] == ["subject", "roi", "hemi", "candidate"] and len(lines) == 8
