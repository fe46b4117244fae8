"""The commands for experiments, and where the others compute."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

from encoding import Store, fit
from encoding.cli import clusters
from encoding.cli.experimenting import states_table
from encoding.experiments import Experiment, run_experiment
from encoding.experiments import run as run_module
from encoding.experiments.progress import CellState, Status
from encoding.experiments.run import run_serially
from encoding.experiments.states import summary
from encoding.experiments.table import COLUMNS
from tests.conftest import TINY

GRID = Experiment(base=replace(TINY, hemi="lh"), vary={"layers": "curated", "readout": ["ridge", "ols"]}, title="A small grid")


@pytest.fixture(autouse=True)
def cache(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("ENCODING_SCHEDULER", raising=False)
    return Store(tmp_path / "cache")


@pytest.fixture
def file(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID.to_toml())
    return tmp_path / "grid.toml"


@pytest.mark.parametrize("text", ["", "title = 'A study'", "[vary]", "# nothing"])
def test_a_file_that_says_nothing_to_fit_is_refused(shell, tmp_path, text):
    (tmp_path / "empty.toml").write_text(text)
    code, _, err = shell("experiment", "run", tmp_path / "empty.toml", "--dry-run")
    assert code == 2 and f"{tmp_path / 'empty.toml'}: An experiment needs a table [base] or [vary]" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [("layers = ['pixel']", "Did you mean 'pixels'?"), ("subject = 'subj1'", "subj01"), ("readout = 'rigde'", "Did you mean 'ridge'?")],
)
def test_a_wrong_name_in_a_file_is_said_with_the_file(shell, tmp_path, line, message):
    text = f"[base]\ndataset = 'tiny'\nbackbone = 'tinynet'\n{line}\n"
    (tmp_path / "wrong.toml").write_text(text)
    code, _, err = shell("experiment", "run", tmp_path / "wrong.toml", "--device", "cpu")
    assert code == 2 and f"error: {tmp_path / 'wrong.toml'}: " in err and message in err


def test_an_experiment_is_run_listed_shown_and_tabulated(shell, file, cache, tmp_path):
    code, out, err = shell("experiment", "run", file, "--device", "cpu", "--out", tmp_path / "grid.parquet")
    assert code == 0, err
    assert "pixels · ridge  done" in out and "4 done" in out and GRID.key in out
    table = pd.read_parquet(tmp_path / "grid.parquet")
    assert list(table.columns) == list(COLUMNS) and table["key"].nunique() == 4
    code, out, _ = shell("experiment", "list", "--json")
    assert [(each["key"], each["state"], each["title"]) for each in json.loads(out)["experiments"]] == [(GRID.key, "done", "A small grid")]
    code, out, _ = shell("experiment", "show", GRID.key[:16], "--json")
    document = json.loads(out)
    assert Experiment.from_toml(document["toml"]) == GRID and [cell["state"] for cell in document["cells"]] == ["done"] * 4
    code, out, _ = shell("experiment", "table", GRID.key, "--json")
    rows = pd.DataFrame(json.loads(out)["rows"])
    assert list(rows["key"]) == list(table["key"]) and list(rows["r_mean"].dropna()) == pytest.approx(list(table["r_mean"].dropna()))
    code, out, _ = shell("experiment", "table", file)
    assert code == 0 and "20 rows of 4 finished fits; there are 4." in out and "colour  ols" in out
    for score, row in (("rmse", ["rmse", "rmse low", "rmse high"]), ("r_median", ["r median"]), ("rmse_best", ["rmse best"])):
        code, out, _ = shell("experiment", "table", file, "--score", score)
        value = table.loc[0, row[0].replace(" ", "_")]
        assert code == 0 and all(name.replace(" ", "_") in out for name in row) and f"{value:.3f}" in out and "r_mean" not in out
    code, out, _ = shell("experiment", "cancel", GRID.key)
    assert code == 0 and "is not running: done" in out


def test_a_failed_fit_is_named_and_the_exit_code_says_so(shell, file, monkeypatch):
    execute = run_module.execute

    def failing(task, *rest):
        if task.stage == "fit" and task.spec.readout == "ols":
            raise MemoryError("It needs 9,999 GB.")
        return execute(task, *rest)

    monkeypatch.setattr(run_module, "execute", failing)
    code, out, _ = shell("experiment", "run", file, "--device", "cpu")
    assert code == 1 and "colour · ols    failed: MemoryError: It needs 9,999 GB." in out and "2 done, 2 failed" in out


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(shell, file, cache, monkeypatch):
    execute, done = run_module.execute, []

    def interrupted(task, *rest):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(task.key)
        return execute(task, *rest)

    monkeypatch.setattr(run_module, "execute", interrupted)
    code, out, err = shell("experiment", "run", file, "--device", "cpu")
    assert code == 130 and not out and "the same command goes on from there" in err
    assert "interrupted" in shell("experiment", "list")[1]
    assert "The same `experiment run` goes on." in shell("experiment", "show", GRID.key)[1]
    monkeypatch.setattr(run_module, "execute", execute)
    assert shell("experiment", "run", file, "--device", "cpu")[0] == 0


def test_a_dry_run_lists_the_fits_and_computes_nothing(shell, file, cache):
    code, out, _ = shell("experiment", "run", file, "--dry-run", "--json")
    assert code == 0 and [fit["readout"] for fit in json.loads(out)["fits"]] == ["ridge", "ols"] * 2
    assert not cache.root.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "none.toml"], "none.toml cannot be read"),
        (["run", "{file}", "--workers", "0"], "--workers must be 1 or more"),
        (["run", "{file}", "--out", "no/such/folder.csv"], "give a file in a folder that is there"),
        (["run", "{file}", "--out", "{folder}/table.xlsx"], "must end in .csv or .parquet"),
        (["run", "{wrong}"], "Did you mean 'readout'"),
        (["show", "12345"], "was run on"),
        (["table", "12345"], "was run on"),
        (["cancel", "12345"], "was run on"),
    ],
)
def test_wrong_words_end_with_two_and_say_what_could_be_meant(shell, file, tmp_path, words, message):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[vary]\nreadot = ['ols']")
    code, out, err = shell("experiment", *(word.format(file=file, folder=tmp_path, wrong=wrong) for word in words))
    assert code == 2 and not out and message in err


def test_a_long_table_is_shortened_but_what_failed_is_always_named():
    cells = [CellState("done")] * 50 + [CellState("failed", error_kind="NoRoom", error="9 GB")] + [CellState("waiting")] * 50
    status = Status(tuple(cells), 300, 150, 61.0, 200.0)
    text = states_table([f"cell {number}" for number in range(101)], status, n_shown=5)
    assert text.splitlines()[1].split(maxsplit=2) == ["cell", "50", "failed: NoRoom: 9 GB"] and "… and 96 more" in text
    assert summary(status) == "50 waiting, 50 done, 1 failed; 1 min 01 s; about 3 min 20 s left"


class Elsewhere:
    """Stands in for the jobs of a cluster: the tasks run in this process."""

    used = []

    def __init__(self, store_root, n_workers=None):
        self.used.append(n_workers)
        self._store = Store(store_root)

    def carry_out(self, run, store, device="auto"):
        run_serially(run, store, "cpu")

    def submit(self, task, spec, *, key, planned=None):
        from encoding.jobs.job import Record

        task(spec, self._store, device="cpu")
        self.record = Record(key, spec, b"")
        self.record.end("done")
        return self.record.snapshot(None)

    def cancel(self, key):
        return False

    def close(self):
        pass


@pytest.fixture
def elsewhere(monkeypatch):
    monkeypatch.setattr("encoding.jobs.Jobs", Elsewhere)
    monkeypatch.setattr(Elsewhere, "used", [])
    monkeypatch.setenv("ENCODING_SCHEDULER", "tls://scheduler:8786")
    return Elsewhere


def test_fit_search_sweep_and_experiment_compute_on_the_cluster(shell, file, cache, elsewhere, monkeypatch, tmp_path):
    monkeypatch.setattr(clusters, "fit", lambda *about: pytest.fail("A fit was computed here."))
    words = TINY.to_command().split()[3:]
    code, out, err = shell(*words, "--device", "cpu", "--json")
    assert code == 0, err
    alone = fit(TINY, Store(tmp_path / "alone"), device="cpu")
    assert json.loads(out)["key"] == alone.key and json.loads(out)["rois"] == alone.summary()["rois"]
    assert json.loads(shell(*words, "--json")[1])["cached"] is True
    searched = replace(TINY, readout="knn").to_command().split()[4:]
    code, _, err = shell("search", *searched, "--trials", "2", "--vary", "k", "--device", "cpu")
    assert code == 0, err
    code, _, err = shell("experiment", "run", file)
    assert code == 0, err
    assert len(elsewhere.used) == 4
    swept = ("sweep", "--dataset", "tiny", "--components", "0", "--split", TINY.split, "--backbone", "tinynet", "--layer", "colour")
    code, out, err = shell(*swept, "--json")
    assert code == 0 and json.loads(out)["best"], err
    assert len(elsewhere.used) == 5
    assert shell(*swept, "--workers", "0")[0] == 2
    code, _, err = shell(*swept, "--workers", "2")
    assert code == 2 and "ENCODING_SCHEDULER names a cluster, tls://scheduler:8786, whose workers compute." in err


def test_a_fit_that_fails_on_the_cluster_says_why(shell, elsewhere, monkeypatch):
    def failing(*about):
        raise MemoryError("It needs 9,999 GB.")

    monkeypatch.setattr(run_module, "execute", failing)
    code, _, err = shell(*TINY.to_command().split()[3:])
    assert code == 1 and "error: MemoryError: It needs 9,999 GB." in err


def test_a_number_of_workers_is_passed_on(shell, file, elsewhere, monkeypatch):
    monkeypatch.delenv("ENCODING_SCHEDULER")
    assert shell("experiment", "run", file, "--workers", "3")[0] == 0 and elsewhere.used == [3]
    assert run_experiment(GRID, Store()).status.count("done") == 4
