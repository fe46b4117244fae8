"""A composed fit on Explore: its scores, members with links, and why there is no curve of its own; links to it."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs

import numpy as np
import pytest

from encoding import FitSpec, fit
from encoding.fits.composition import composed, composed_key, store_composed
from encoding.fits.open import open_fit
from pages.parts.shared.links import explore_query
from tests.conftest import TINY


@pytest.fixture
def mixed(tiny, store):
    """Driven vertices by one layer, the others by the mean of both."""
    tiny.change(vertices={hemi: np.arange(10) * 5 for hemi in ("lh", "rh")})
    members = [fit(replace(TINY, split=FitSpec().split, layers=(name,)), store, device="cpu") for name in ("pixels", "colour")]
    W = np.full((1, 2, 10), 0.5, np.float32)
    W[0, :, :5] = [[1], [0]]
    weights = {"lh": W, "rh": W}
    result = composed(members, weights, key=composed_key(members, weights), options={"method": "best"}, command="the command")
    store_composed(result, {})
    return open_fit(result.key, store)


def test_a_composed_fit_is_explored_with_its_members(mixed, open_page):
    at = open_page("10_explore", fit=mixed.key)
    at.run()
    assert not at.exception and not at.error
    assert "composed of **2 fits**" in at.title[0].value and len(at.get("plotly_chart")) == 1
    at.session_state["part"] = "Members"
    at.run()
    (members,) = [each.value for each in at.dataframe if "largest" in each.value]
    assert list(members["layers"]) == ["pixels", "colour"] and list(members["weight"]) == pytest.approx([0.75, 0.25])
    assert list(members["largest"]) == [20, 0]  # of equal weights the first
    linked = parse_qs(members["link"][1].partition("?")[2])
    assert linked["layer"] == ["colour"] and linked["backbone"] == ["tinynet"]
    assert any("Each member was trained by itself" in caption.value for caption in at.caption)
    assert at.query_params["fit"] == mixed.key
    at.session_state["part"], at.session_state["every_residual"] = "Predictions", True
    at.run()
    assert not at.exception and len(at.get("plotly_chart")) == 3  # observed against predicted, residuals, their density
    at.session_state["part"] = "Take away"
    at.run()
    assert not at.exception and any("the command" in code.value for code in at.code)


def test_links_name_a_composed_fit_by_its_key_and_other_fits_become_their_settings(mixed, open_page):
    assert explore_query(mixed.plan.spec) == {"fit": mixed.key}
    at = open_page("10_explore", fit=mixed.members[1].key)
    at.run()
    assert not at.exception and "fit" not in at.query_params and at.query_params["layer"] == "colour"


def test_a_composed_fit_that_is_not_there_is_an_error_in_words(tiny, open_page):
    at = open_page("10_explore", fit="fit-" + "0" * 20)
    at.run()
    assert not at.exception and len(at.error) == 1
