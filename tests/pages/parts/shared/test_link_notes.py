"""Every page names the parameters of its links, and warns of all others."""

from __future__ import annotations

import pytest

from pages.parts.shared.link_notes import EXPECTED
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
