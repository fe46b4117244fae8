"""Settings that pages share stay as they are when a link of the navigation leads from one page to another."""

import ast
from itertools import permutations

import pytest
from streamlit.runtime.state.query_params import QueryParams

from encoding.analysis.layer_sweep import Sweep
from encoding.jobs.tasks import study, sweep_layers
from pages.parts.shared.links import VIEWS, explore_query
from tests import PROJECT
from tests.conftest import TINY

SHARING = ("10_explore", "30_layers", "35_experiments", "20_data", "25_region")
BY_PLACE = ("chart", "choose", "choose_several", "pick", "enter", "count", "switch")  # functions whose second argument is the key
LOOKING = ("10_explore", "20_data", "25_region")


@pytest.mark.parametrize(("first", "then"), [*permutations(SHARING, 2)])
def test_the_data_set_stays(tiny, open_page, first, then):
    page = open_page(first, dataset="tiny").run()
    assert not page.exception and page.selectbox(key="dataset").value == "tiny"
    page.query_params.clear()  # as links of the navigation have none
    page.switch_page(f"pages/views/{then}.py").run()
    assert not page.exception and page.selectbox(key="dataset").value == "tiny" and page.query_params["dataset"] == "tiny"


def test_settings_drawn_or_not_go_to_layers_and_back(tiny, open_page):
    page = open_page("10_explore", dataset="tiny", backbone="tinynet", layer="pixels", readout="knn", components="3").run()
    page.number_input(key="components").set_value(4).run()
    page.query_params.clear()
    page.switch_page("pages/views/30_layers.py").run()
    shared = {"dataset": "tiny", "readout": "knn", "components": "4"}
    assert not page.exception and shared.items() <= page.query_params.items()
    page.query_params.clear()
    page.switch_page("pages/views/10_explore.py").run()
    assert not page.exception and (shared | {"backbone": "tinynet", "layer": "pixels"}).items() <= page.query_params.items()


@pytest.mark.parametrize("looked", [{"roi": "noise"}, {"vertex": "lh 2"}])
@pytest.mark.parametrize(("first", "then"), [*permutations(LOOKING, 2)])
def test_a_link_from_one_page_to_another_shows_what_it_names(tiny, store, open_page, first, then, looked):
    study(TINY, store)
    before = {"roi": "driven", "vertex": "lh 1"}
    of_page = {name: explore_query(TINY) if "explore" in name else {"dataset": "tiny"} for name in (first, then)}
    page = open_page(first, **of_page[first] | before).run()
    assert page.text_input(key="vertex").value == "lh 1"
    page.query_params.clear()
    page.query_params.update(of_page[then] | looked)
    page.switch_page(f"pages/views/{then}.py").run()
    shown = {"roi": page.selectbox(key="roi").value, "vertex": page.text_input(key="vertex").value}
    assert not page.exception and looked.items() <= shown.items() and not {*shown.values()} & {*before.values()}


def test_a_name_that_means_something_else_on_another_page_asks_for_nothing_there(tiny, store, open_page):
    sweep_layers(Sweep.read(TINY, ["tinynet"], []), store, device="cpu")
    linked = explore_query(TINY) | {"backbones": "tinynet", "shown": "tinynet pixels"}
    linked = {name: value for name, value in linked.items() if name not in ("backbone", "layer")}
    page = open_page("30_layers", **linked).run()
    for view, link in (("60_weights", {"shown": "here"}), ("30_layers", linked)):
        page.query_params.clear()
        page.query_params.update(link)
        page.switch_page(f"pages/views/{view}.py").run()
        assert not page.exception and not [each.value for each in page.warning if "Not all of this link" in each.value]
        assert page.query_params["shown"] == link["shown"]


def test_what_a_quick_change_of_pages_leaves_in_the_link_is_asked_of_nobody(tiny, store, open_page):
    study(TINY, store)
    page = open_page("50_predict", dataset="tiny").run()
    page.query_params.update({"patch": "0.5", "sruface": "flat"})
    page.switch_page("pages/views/25_region.py").run()
    (said,) = [each.value for each in page.warning if "Not all of this link" in each.value]
    assert "sruface" in said and "patch" not in said


def test_a_key_is_of_one_kind_of_widget_on_every_page():
    """Its value may go along to another page, where a chart's selection cannot be a number."""
    kinds: dict[str, dict[str, str]] = {}
    for path in sorted((PROJECT / "pages").rglob("*.py")):
        parts = path.relative_to(PROJECT / "pages").parts
        where = parts[1] if parts[0] == "parts" else path.stem.partition("_")[2]
        for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
            kind = ast.unparse(call.func).rpartition(".")[2]
            keys = [word.value for word in call.keywords if word.arg == "key"] or (call.args[1:2] if kind in BY_PLACE else [])
            if kind != "container" and keys and isinstance(keys[0], ast.Constant):
                kinds.setdefault(keys[0].value, {})[where] = kind
    assert sum(len(each) > 1 for each in kinds.values()) > 2
    assert not {key: each for key, each in kinds.items() if len(set(each.values())) > 1}


def test_streamlit_itself_binds_no_setting_that_two_pages_have(tiny, store, open_page, monkeypatch):
    """It drops from a link to one page what is bound on another."""
    study(TINY, store)
    bound, expected, bind = {}, {}, QueryParams.bind_widget
    names = []
    monkeypatch.setattr(
        QueryParams, "bind_widget", lambda self, param_key, **more: names.append(param_key) or bind(self, param_key, **more)
    )
    for path in sorted(VIEWS.glob("[0-9]*.py")):
        names.clear()
        page = open_page(path.stem, dataset="tiny").run()
        bound[path.stem], expected[path.stem] = {*names}, {*(page.session_state["_link_expected"] or ())}
    assert sum(map(len, bound.values())) > 9
    for one, other in permutations(bound, 2):
        assert not bound[one] & (expected[other] | bound[other]), (one, other)
