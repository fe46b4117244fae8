"""The cache is listed, verified and pruned."""

import os

import numpy as np
import pytest

from encoding import FitSpec
from encoding.cli.terminal import file_size


def put(store, key, value=1.0):
    store.put(key, {"a": np.full(1000, value)}, {"spec": FitSpec().to_dict()})


def damage(store, key):
    path = store.path(key) / "a.npy"
    path.write_bytes(path.read_bytes()[:-8])


# ---- cache


def test_cache_list_adds_up(ask, shell, cache):
    put(cache, "features-1")
    put(cache, "fit-2")
    document = ask("cache", "list")
    assert [one["key"] for one in document["results"]] == ["features-1", "fit-2"]
    assert document["bytes"] == sum(one["bytes"] for one in document["results"]) == cache.size("features-1") + cache.size("fit-2")
    assert "demo subj01, gabor energy, ridge" in shell("cache", "list")[1]


FOREIGN = FitSpec().to_dict() | {"pool": "spread:3", "readout": "kriging", "layer_scaling": "robust", "smoothing": 2}


def test_results_with_parts_that_only_another_release_or_package_has_are_listed_under_their_names(ask, shell, cache):
    cache.put("fit-2", {"lh_r": np.zeros((1, 3)), "lh_r2": np.zeros((1, 3))}, {"spec": FOREIGN})
    put(cache, "features-1")
    for words in (["cache", "list"], ["cache", "verify"], ["cache", "prune"], ["runs"]):
        code, out, err = shell(*words)
        assert code == 0, err
        assert words[-1] not in ("list", "runs") or ("kriging" in out and "gabor" in out and "damaged" not in out)
    assert ask("runs")["fits"][0]["readout"] == "kriging"
    code, _, err = shell("report", "fit-2", "--out", cache.root.parent / "report.html")
    assert code and "no field smoothing" in err
    assert ask("cache", "prune", "--stage", "fit")["removed"] == ["fit-2"]


def test_a_stored_spec_of_wrong_kinds_is_listed_without_its_purpose(shell, cache):
    cache.put("fit-2", {"a": np.zeros(3)}, {"spec": {"layers": 3}})
    code, out, err = shell("cache", "list")
    assert code == 0 and "fit-2" in out, err


def test_cache_verify_removes_the_damaged_and_fails(ask, cache):
    put(cache, "fit-1")
    put(cache, "fit-2")
    assert ask("cache", "verify") == {"folder": str(cache.root), "checked": 2, "damaged": []}
    damage(cache, "fit-1")
    assert ask("cache", "verify", code=1)["damaged"] == ["fit-1"]
    assert cache.keys() == ["fit-2"]


def test_prune_without_a_choice_removes_only_the_damaged_and_what_is_left_over(ask, shell, cache):
    put(cache, "fit-1")
    put(cache, "fit-2")
    damage(cache, "fit-1")
    left = cache.path("fit-2").parent / ".writing-dead"
    left.mkdir()
    (left / "a.npy").write_bytes(bytes(100))
    os.utime(left, (0, 0))
    n_bytes = cache.size("fit-1") + 100
    would = ask("cache", "prune", "--dry-run")
    assert would["removed"] == ["fit-1"] and would["leftovers"] == 1 and would["bytes"] == n_bytes
    assert left.exists() and len(cache.keys()) == 2
    _, out, _ = shell("cache", "prune")
    assert f"Removed 1 damaged result and 1 left half written: {file_size(n_bytes)} freed" in out and "--older DAYS" in out
    assert not left.exists() and cache.keys() == ["fit-2"]


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        (["--stage", "features"], ["fit-old", "fit-new"]),
        (["--older", "30"], ["features-new", "fit-new"]),
        (["--older", "30", "--stage", "fit"], ["features-old", "features-new", "fit-new"]),
        (["--all"], []),
    ],
    ids=" ".join,
)
def test_prune_removes_what_is_chosen_and_says_the_bytes(ask, cache, choice, kept):
    every = ["features-old", "fit-old", "features-new", "fit-new"]
    for key in every:
        put(cache, key)
        if key.endswith("old"):
            os.utime(cache.path(key) / "provenance.json", (0, 0))
    size = {key: cache.size(key) for key in every}
    would = ask("cache", "prune", *choice, "--dry-run")
    assert set(cache.keys()) == set(every)
    done = ask("cache", "prune", *choice)
    assert set(cache.keys()) == set(kept) and would["removed"] == done["removed"]
    assert done["bytes"] == sum(size[key] for key in every if key not in kept) == would["bytes"]
