"""The file of a search: it is resumed, watched, killed and damaged."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pandas as pd
import pytest

import encoding.analysis.hyperparameter_search as search_module
from encoding import Store
from encoding.analysis.hyperparameter_search import search, stored_search, study_path
from encoding.analysis.optuna_study import begin, opened
from encoding.fits.plan import plan
from encoding.readouts import search_space
from encoding.runtime.progress import Cancelled
from encoding.storage.inventory import entries, prune
from encoding.storage.store import DamagedResult, StoreFull
from tests import PROJECT
from tests.encoding.analysis.searched_readouts import SIGNED, Signed, SignedOptions, same


def test_more_trials_continue_the_same_search(planted, store, tmp_path):
    few = search(SIGNED, store, n_trials=4)
    n_fitted = len(Signed.fitted)
    more = search(SIGNED, store, n_trials=9)
    assert few.key == more.key and len(Signed.fitted) > n_fitted
    pd.testing.assert_frame_equal(more.trials[:4], few.trials)
    same(more, search(SIGNED, Store(tmp_path / "another"), n_trials=9))


def test_asking_again_computes_nothing(planted, store, monkeypatch):
    found = search(SIGNED, store, n_trials=4)
    monkeypatch.setattr("encoding.analysis.search_objective.extract_features", None)
    again = search(SIGNED, store, n_trials=2)
    pd.testing.assert_frame_equal(found.trials, again.trials)


def test_another_seed_is_another_search(planted, store):
    one, other = search(SIGNED, store, n_trials=3), search(SIGNED, store, n_trials=3, seed=1)
    assert one.key != other.key and list(one.trials["alpha"][1:]) != list(other.trials["alpha"][1:])


@pytest.mark.parametrize("stop", [Cancelled, KeyboardInterrupt])
def test_a_trial_that_is_interrupted_is_not_counted(planted, store, tmp_path, stop):
    def report(fraction, text):
        if "trial 4 of 6" in text and "fitting" in text:
            raise stop

    with pytest.raises(stop):
        search(SIGNED, store, n_trials=6, report=report)
    planned = plan(SIGNED, store)
    assert len(stored_search(planned, store).trials) == 3
    same(search(SIGNED, store, n_trials=6), search(SIGNED, Store(tmp_path / "another"), n_trials=6))


KILLED = """
import os, signal
import pytest
from encoding import Store
from encoding.analysis.hyperparameter_search import search
from tests.encoding.analysis import searched_readouts
from tests.conftest import TinyDataset, TinySource
from encoding.backbones import BACKBONES
from encoding.datasets import DATASETS
from encoding.readouts import READOUTS

list(DATASETS), list(BACKBONES), list(READOUTS)
DATASETS._members["tiny"], BACKBONES.sources._members["tinynet"] = TinyDataset(), TinySource()
READOUTS._members["signed"] = searched_readouts.Signed()

def report(fraction, text):
    if "trial 3 of 4" in text and "rh" in text:
        os.kill(os.getpid(), signal.SIGKILL)

search(searched_readouts.SIGNED, Store({root!r}), n_trials=4, report=report)
"""


def test_a_search_that_was_killed_ends_with_the_same_trials(planted, store, tmp_path):
    project = str(PROJECT)
    env = os.environ | {"PYTHONPATH": project, "PYTHONHASHSEED": "0"}
    ran = subprocess.run([sys.executable, "-c", KILLED.format(root=str(store.root))], env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == -9, ran.stderr
    (file,) = (store.root / "search").glob("*.db")
    with opened(file, "ro") as study:
        assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE"] * 2 + ["RUNNING"]
    name = study_path(plan(SIGNED, store), search_space(SignedOptions), 0, store)
    file.rename(name)  # the planted data's fingerprints are of this process alone
    found = search(SIGNED, store, n_trials=4)
    with opened(name, "ro") as study:
        assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE"] * 2 + ["FAIL"] + ["COMPLETE"] * 2
    same(found, search(SIGNED, Store(tmp_path / "another"), n_trials=4))


def test_the_defaults_are_tried_once_however_often_the_first_trial_is_killed(planted, store):
    space = search_space(SignedOptions)
    path = study_path(plan(SIGNED, store), space, 0, store)
    begin(path)
    with opened(path, "rw") as study:
        study.enqueue_trial({"alpha": 1e4, "sign": 1})  # killed before the trial began
    found = search(SIGNED, store, n_trials=4)
    assert list(found.trials["alpha"] == 1e4) == [True, False, False, False]


def test_a_search_can_be_watched_from_outside_while_it_goes_on(planted, store):
    planned, seen = plan(SIGNED, store), []
    assert stored_search(planned, store) is None
    search(SIGNED, store, n_trials=3, report=lambda fraction, text: seen.append(len(stored_search(planned, store).trials)))
    assert seen == sorted(seen) and set(seen) == {0, 1, 2, 3}


def test_progress_never_goes_back(planted, store):
    told = []
    search(SIGNED, store, n_trials=3, report=lambda fraction, text: told.append((fraction, text)))
    assert told == sorted(told, key=lambda each: each[0]) and told[-1] == (1.0, "done")
    assert any("trial 3 of 3, best r" in text for _, text in told)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""], ids=["other", "empty"])
def test_a_damaged_file_is_told_and_begun_anew(planted, store, content):
    found = search(SIGNED, store, n_trials=2)
    path = store.root / "search" / f"{found.key}.db"
    path.write_bytes(content)
    assert stored_search(plan(SIGNED, store), store) is None
    with pytest.warns(DamagedResult, match="begins anew"):
        same(search(SIGNED, store, n_trials=2), found)


def test_prune_leaves_what_a_search_uses(planted, store):
    kept: set[str] = set()

    def look(fraction, text):
        if "fitting" in text and not kept:
            kept.update(one.key for one in prune(Store(store.root), entries(store)).in_use)

    found, planned = search(SIGNED, store, n_trials=1, report=look), plan(SIGNED, store)
    assert kept == {found.key, *planned.feature_keys.values(), planned.components_key(planned.folds[0], *planned.spaces)}
    assert not store.keys_in_use()


HALF_WRITTEN = """
import os, signal, sqlite3, sys

file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("PRAGMA cache_size = 1")  # what is changed goes to the file before it is committed
file.execute("BEGIN IMMEDIATE")
file.execute("UPDATE trials SET number = number + 100")
file.execute("CREATE TABLE filling (text)")
for _ in range(300):
    file.execute("INSERT INTO filling VALUES (?)", ("x" * 3_000,))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_half_wrote_is_taken_back_by_whoever_reads(planted, store):
    found, planned = search(SIGNED, store, n_trials=2), plan(SIGNED, store)
    path = store.root / "search" / f"{found.key}.db"
    subprocess.run([sys.executable, "-c", HALF_WRITTEN, str(path)], check=False)
    assert path.with_name(f"{path.name}-journal").exists()
    same(stored_search(planned, store), found)
    subprocess.run([sys.executable, "-c", HALF_WRITTEN, str(path)], check=False)
    path.write_bytes(b"other")
    with pytest.warns(DamagedResult, match="begins anew"):
        same(search(SIGNED, store, n_trials=2), found)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_full_disk_is_named_and_the_trials_stay(planted, store, monkeypatch):
    def full(*args):
        with closing(sqlite3.connect(":memory:")) as file:
            file.execute("PRAGMA max_page_count = 1")
            file.execute("CREATE TABLE study (number)")

    found = search(SIGNED, store, n_trials=2)
    monkeypatch.setattr(search_module, "try_one", full)
    with pytest.raises(StoreFull, match=f"No room left on the disk of .* for {found.key}"):
        search(SIGNED, store, n_trials=3)
    same(stored_search(plan(SIGNED, store), store), found)


def test_any_folder_will_do_for_a_store(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(search_module, "begin", begin)
    store = Store(tmp_path / "50 % {of} what? #1")
    assert len(search(SIGNED, store, n_trials=1).trials) == 1
    assert [path.suffix for path in (store.root / "search").iterdir()] == [".db"]
