"""Pruning keeps the members of a composed fit that stays."""

from __future__ import annotations

import numpy as np
import pytest

from encoding.storage.inventory import entries, needed_members, prune

A, B, INNER, OUTER = ("fit-" + letter * 20 for letter in "abcd")


@pytest.fixture
def composed(store):
    """Two fits, one composed of the first, and one composed of that and the second."""
    made = {A: {}, B: {}, INNER: {"composition": {"members": [A]}}, OUTER: {"composition": {"members": [INNER, B]}}}
    for key, made_from in made.items():
        store.put(key, {"lh_r": np.zeros(1)}, made_from)
    return store


def of(store, *keys):
    return [one for one in entries(store) if one.key in keys]


def test_members_of_a_composed_fit_that_stays_are_kept_down_to_the_last(composed):
    done = prune(composed, of(composed, A, B, INNER))
    assert done.removed == () and done.members == {INNER: OUTER, B: OUTER, A: INNER}
    assert set(composed.keys()) == {A, B, INNER, OUTER}


def test_members_go_with_the_composed_fits_that_are_removed_beside_them(composed):
    targets = of(composed, A, INNER, OUTER)
    assert needed_members(composed, targets) == {}
    assert {one.key for one in prune(composed, targets).removed} == {A, INNER, OUTER} and set(composed.keys()) == {B}


def test_the_shell_names_what_is_kept_and_for_which_fit(composed, shell, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(composed.root))
    prune(composed, of(composed, OUTER))
    composed.put("weights-" + "e" * 20, {"w": np.zeros(1)}, {})
    for words in (("--dry-run",), ()):
        _, out, _ = shell("cache", "prune", "--stage", "weights", *words)
        assert "composed" not in out
    monkeypatch.setattr("encoding.cli.caching.chosen_of", lambda every, **choice: of(composed, A, B))
    for words in (("--dry-run",), ()):
        code, out, _ = shell("cache", "prune", "--stage", "fit", *words)
        assert code == 0 and f"{A} (of {INNER})" in out and B not in out.partition("Kept")[2]
    assert set(composed.keys()) == {A, INNER}
