"""Every page names the parameters of its links, and warns of all others."""

from __future__ import annotations

import pytest

from encoding import FitSpec
from pages.parts.shared.link_notes import EXPECTED
from pages.parts.shared.links import explore_query
from tests import PROJECT
from tests.compat.test_interface import url_parameters

VIEWS = {path.stem: path.stem.partition("_")[2] for path in sorted((PROJECT / "pages" / "views").glob("*.py"))}
WITHOUT = ("00_home", "70_learn")  # Home hands every parameter to Explore; each lesson has parameters of its own


@pytest.mark.parametrize("view", [view for view in VIEWS if view not in WITHOUT])
def test_a_page_warns_of_parameters_that_it_does_not_have_and_of_no_others(view, open_page):
    at = open_page(view, sruface="flat").run()
    (warning,) = [each.value for each in at.warning if "Not all of this link" in each.value]
    assert warning == "Not all of this link could be shown: there is no setting **sruface**."
    read = {name for name in url_parameters(PROJECT / "pages" / "parts" / VIEWS[view]) if not name.endswith("_")}  # is_ begins many
    assert read <= set(at.session_state[EXPECTED]), read - set(at.session_state[EXPECTED])


def test_a_page_warns_of_settings_that_change_nothing_and_links_hold_none(open_page):
    at = open_page("10_explore", weights="random:0", frames="4", over_frames="mean", target_groups="both", mlp_hidden_1="64").run()
    (warning,) = [each.value for each in at.warning if "Not all of this link" in each.value]
    names = ("frames", "mlp_hidden_1", "target_groups", "weights")  # not over_frames, which is as it is without
    assert all(f"**{name}** changes nothing in this fit" in warning for name in names) and warning.count("changes nothing") == len(names)
    assert not at.query_params
    at.selectbox(key="readout").set_value("mlp").run()  # fits vertices together, and has the parameter
    (warning,) = [each.value for each in at.warning if "Not all of this link" in each.value]
    assert "weights" in warning and "mlp_hidden_1" not in warning and "target_groups" not in warning


@pytest.mark.parametrize(("options", "linked"), [({}, {"vertex": "lh 3"}), ({"alpha_per_target": False}, {"target_groups": "vertex:lh:3"})])
def test_a_link_to_the_fit_of_one_vertex_says_which_where_others_would_change_it(options, linked):
    link = explore_query(FitSpec(target_groups="vertex:lh:3", options=options, weights="random:0", frames=4))
    assert {name: value for name, value in link.items() if not name.startswith("ridge_")} == linked
    assert "target_groups" not in explore_query(FitSpec(target_groups="roi"))
