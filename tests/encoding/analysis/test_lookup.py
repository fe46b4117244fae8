"""Stimuli and vertices as a person writes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding.analysis.lookup import check_vertex, find_stimulus, find_vertex, vertex_name
from tests.encoding.analysis.squares import N, Squares


def test_a_stimulus_is_found_by_number_or_name(subject):
    assert (find_stimulus(subject, " 12 "), find_stimulus(subject, "square 11")) == (11, 11)
    with pytest.raises(ValueError, match="has the stimuli 1 to 60, so no 61"):
        find_stimulus(subject, "61")
    with pytest.raises(ValueError, match="Did you mean 'square 11'"):
        find_stimulus(subject, "sqare 11")


def test_names_of_digits_do_not_hide_numbers(subject):
    class Numbered(Squares):
        names = tuple(f"{i:04d}" if i < 30 else str(i) for i in range(N))

    numbered = replace(subject, stimuli=Numbered())
    assert (find_stimulus(numbered, "0007"), find_stimulus(numbered, "7"), find_stimulus(numbered, "40")) == (7, 6, 39)


def test_a_vertex_may_be_written_by_the_number_that_the_surface_mesh_has(subject):
    placed = replace(subject, vertices={"lh": np.array([5274, 9, 20_000, 1, 2, 3, 4]), "rh": np.arange(5)})
    assert find_vertex(placed, "lh fsaverage 20000") == find_vertex(placed, "lh-fsaverage-20000") == ("lh", 2)
    assert find_vertex(placed, "lh 2") == ("lh", 2)
    assert (name := vertex_name(placed, "lh", 2)) == "vertex lh 2 (fsaverage 20000)"
    assert find_vertex(placed, name) == find_vertex(placed, "lh 2 (fsaverage 20000)") == ("lh", 2)
    with pytest.raises(ValueError, match="lh 2 is not at fsaverage vertex 9"):
        find_vertex(placed, "lh 2 (fsaverage 9)")
    for where, text in ((placed, "lh fsaverage 77"), (replace(subject, vertices=None), "lh fsaverage 9")):
        with pytest.raises(ValueError, match="no response at fsaverage vertex"):
            find_vertex(where, text)


def test_a_vertex_is_written_as_hemisphere_and_number(subject):
    assert find_vertex(subject, "lh 3") == find_vertex(subject, " lh-3") == ("lh", 3)
    for text in ("3", "lh", "left 3", "lh x", ""):
        with pytest.raises(ValueError, match="such as lh 120"):
            find_vertex(subject, text)
    with pytest.raises(ValueError, match="lh has the vertices 0 to 6, so no 7"):
        find_vertex(subject, "lh 7")
    with pytest.raises(ValueError, match="Known: lh, rh"):
        check_vertex(subject, "both", 0)
