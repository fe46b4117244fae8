"""Simulated people are written in the layout of Algonauts 2021 and read back."""

from __future__ import annotations

import json
import pickletools

import numpy as np

from encoding import FitSpec, Store, fit
from encoding.cli import main
from encoding.datasets import DATASETS
from encoding.datasets.algonauts2021 import BLOCK, Algonauts2021
from encoding.datasets.simulation.cortex import truth
from encoding.datasets.writers.algonauts2021 import simulate_algonauts2021, write_pickle


def test_pickles_are_written_as_python_2_did(tmp_path):
    write_pickle({"train": np.arange(6.0).reshape(1, 2, 3)}, tmp_path / "V1.pkl")
    steps = [(step.name, argument) for step, argument, _ in pickletools.genops((tmp_path / "V1.pkl").read_bytes())]
    assert steps[0] == ("PROTO", 2) and ("SHORT_BINSTRING", "train") in steps
    assert [argument for name, argument in steps if name == "GLOBAL"] == [
        "numpy.core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
    ]
    assert not any("UNICODE" in name or "BINBYTES" in name for name, _ in steps)


def test_a_simulated_person_is_recovered_where_the_cortex_is_early(tmp_path, store, monkeypatch):
    root = simulate_algonauts2021(tmp_path / "data", n_clips=60, subjects=["subj01"])
    data = Algonauts2021(root)
    assert data.subjects() == ("sub01", "sub01-full") and (root / "SIMULATED.txt").read_text().startswith("These data are simulated")
    subject = data.open("sub01-full", store)
    true_ceiling = np.concatenate([half.ceiling for half in truth("subj01").values()])
    assert abs(subject.ceiling[BLOCK].mean() - true_ceiling.mean()) < 0.05
    monkeypatch.setitem(DATASETS._members, "algonauts2021", data)
    spec = FitSpec(dataset="algonauts2021", subject="sub01", frames=2, n_components=20, split="kfold:5:0")
    r = fit(spec, store).rois().set_index("roi")["r_mean"]
    assert r["V1"] > 0.35 and r["V2"] > 0.35 and r["V1"] > r["FFA"] + 0.2, r.to_dict()


def test_the_command_writes_one_person_and_few_clips_where_asked_to(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    words = ["simulate", "--layout", "algonauts2021", "--out", str(tmp_path / "data"), "--subject", "subj02"]
    assert main([*words, "--stimuli", "20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["subjects"] == ["sub02"] and document["simulated"] is True and document["folder"] == str(tmp_path / "data")
    data = Algonauts2021(tmp_path / "data")
    assert data.subjects() == ("sub02", "sub02-full") and data.open("sub02", Store(tmp_path / "cache")).n_stimuli == 20
    assert main([*words, "--stimuli", "20"]) == 1 and "exists already" in capsys.readouterr().err
    assert main([*words, "--stimuli", "5"]) != 0 and "--stimuli must be 20 or more, not 5" in capsys.readouterr().err
