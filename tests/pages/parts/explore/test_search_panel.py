"""Parameters of a readout as widgets, and the search for them, without a browser."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from encoding import READOUTS, FitSpec
from encoding.analysis.hyperparameter_search import SearchRequest, search
from encoding.jobs import Job
from encoding.jobs.tasks import tune
from encoding.readouts import Choice, Options, Range, option
from tests.conftest import TINY as TINY_QUARTER
from tests.encoding.analysis.searched_readouts import Signed, SignedOptions
from tests.pages.conftest import NoWorkers

LOOKED_FOR: list[FitSpec] = []


@dataclass(frozen=True)
class ManyOptions(Options):
    alpha: float = option(1e4, "Penalty.", search=Range(1e-2, 1e5, log=True))
    sign: int = option(1, "Of the weights.", search=Choice((1, -1)))
    kind: str = option("plain", "Of nothing.", search=Choice(("plain", "fancy")))
    word: str = option("any", "Of nothing.")
    flag: bool = option(True, "Of nothing.")
    sizes: tuple[float, ...] = option((0.1, 0.5), "Of nothing.")
    most: int | None = option(None, "Of nothing.")
    decimals: int | None = option(2, "Of nothing.")


class Many(Signed):
    """Ridge with a parameter of every type."""

    name, title, options, per_target, shares = "many", "Many", ManyOptions, False, True

    def fit(self, data, options, *, device="cpu", report=None):
        return super().fit(data, SignedOptions(alpha=options.alpha, sign=options.sign))


SPEC = replace(TINY_QUARTER, readout="many", split=FitSpec().split)


@pytest.fixture
def page(tiny, open_page, monkeypatch):
    """The app on the planted data and a readout with a parameter of every type; no worker process."""
    from pages.parts.explore import fitting
    from pages.parts.shared import server_state

    LOOKED_FOR.clear()
    monkeypatch.setattr(fitting, "find_result", lambda spec, find=server_state.find_result: LOOKED_FOR.append(spec) or find(spec))
    list(READOUTS)
    monkeypatch.setitem(READOUTS._members, "many", Many())
    return open_page(dataset="tiny", backbone="tinynet", layer="pixels", components="0", readout="many")


@pytest.fixture
def panel(page):
    """The page with the search opened."""
    page.session_state["search"] = True
    return page


def fitted(page) -> FitSpec:
    """The spec that the page looked for last."""
    assert not page.exception
    return LOOKED_FOR[-1]


def job(state, **more) -> Job:
    values = {"fraction": 0.4, "text": "trial 3 of 6", "seconds": 3.0, "seconds_left": None, "error": None, "error_kind": None, "log": ()}
    return Job(key=ASKED.job_key, spec=None, state=state, position=None, **values | more)


ASKED = SearchRequest(SPEC, 30, ("alpha", "sign", "kind"))


# ---- parameters


def test_untouched_parameters_are_not_in_the_spec(page):
    page.run()
    assert fitted(page) == SPEC
    assert page.toggle(key="many_flag").value is True
    assert page.selectbox(key="many_kind").value == "plain" and page.selectbox(key="many_kind").options == ["plain", "fancy"]
    placeholders = {name: page.text_input(key=f"many_{name}").placeholder for name in ("alpha", "word", "sizes", "most", "decimals")}
    assert placeholders == {"alpha": "10000.0", "word": "any", "sizes": "0.1, 0.5", "most": "default", "decimals": "2"}


@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("alpha", "10", 10), ("alpha", "0.5", 0.5), ("sign", "-1", -1), ("sign", "7", 7), ("kind", "fancy", "fancy"),
        ("kind", "new", "new"), ("word", "other", "other"), ("flag", "false", False), ("sizes", "1, 2.5", (1, 2.5)),
        ("sizes", "3", (3,)), ("most", "4", 4),
        ("decimals", "none", None), ("decimals", "5", 5),
    ],
)  # fmt: skip
def test_a_link_sets_a_parameter_of_any_type(page, name, text, value, drawn):
    page.session_state["advanced"] = drawn
    page.query_params[f"many_{name}"] = text
    page.run()
    assert not page.error, page.error[0].value
    assert fitted(page).options == ((name, value),)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("alpha", "10000"),
        ("sign", "1"),
        ("kind", "plain"),
        ("word", "any"),
        ("flag", "true"),
        ("sizes", "0.1,0.5"),
        ("most", ""),
        ("decimals", "2"),
    ],
)
def test_a_default_that_is_written_out_is_not_in_the_spec(page, name, text):
    page.query_params[f"many_{name}"] = text
    page.run()
    assert fitted(page) == SPEC


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("alpha", "ten", "alpha must be a number, not 'ten'."),
        ("alpha", "1, 2", "alpha must be a number, not '1, 2'."),
        ("sizes", "1, b", "sizes must be a number, or numbers separated by commas, not 'b'."),
        ("most", "2.5", "many cannot use most=2.5. Its default: None."),
    ],
)
def test_a_parameter_that_cannot_be_read_is_explained(page, name, text, message):
    page.query_params[f"many_{name}"] = text
    page.run()
    assert not page.exception and page.error[0].value == message


def test_what_is_fitted_together_is_asked_where_it_matters(page):
    page.query_params["target_groups"] = "vertex:lh:3"
    page.run()
    assert fitted(page).target_groups == "vertex:lh:3"
    page.selectbox(key="target_groups").set_value("roi").run()
    assert fitted(page).target_groups == "roi"
    page.selectbox(key="readout").set_value("ridge").run()
    assert "target_groups" not in {box.key for box in page.selectbox} and fitted(page).target_groups == "hemisphere"


def test_a_focus_that_cannot_be_is_explained(page):
    page.query_params["target_groups"] = "vertex:3"
    page.run()
    assert "Unknown target groups 'vertex:3'" in page.error[0].value


def test_company_is_offered_where_subjects_can_share(page, tiny, monkeypatch):
    page.run()
    assert "extra_subjects" not in {each.key for each in page.multiselect}
    monkeypatch.setattr(type(tiny), "subjects", lambda self: ("subj01", "subj02"))
    monkeypatch.setattr(type(tiny), "open", lambda self, name, *_: replace(self.subject, name=name))
    page.run()
    page.multiselect(key="extra_subjects").select("subj02").run()
    assert fitted(page).extra_subjects == ("subj02",)
    page.selectbox(key="subject").set_value("subj02").run()
    assert not page.exception and page.multiselect(key="extra_subjects").options == ["subj01"]


def test_what_advanced_holds_is_not_drawn_while_it_is_closed_and_outlives_that(page):
    page.run()
    page.number_input(key="components").set_value(3)
    page.toggle(key="many_flag").set_value(False)
    page.text_input(key="many_word").set_value("other")
    page.selectbox(key="degree").set_value("2")
    page.multiselect(key="more_networks").set_value(["gabor"]).run()
    chosen = fitted(page)
    assert (chosen.n_components, chosen.degree, chosen.backbone) == (3, 2, "tinynet + gabor")
    page.session_state["advanced"] = False
    page.run()
    assert not page.number_input and not page.toggle and not page.error
    assert page.query_params["many_flag"] == "false" and page.query_params["components"] == "3"
    page.selectbox(key="readout").set_value("ridge").run()
    page.selectbox(key="readout").set_value("many").run()
    assert fitted(page) == chosen
    page.session_state["advanced"] = True
    page.run()
    assert fitted(page) == chosen and page.number_input(key="components").value == 3


def test_the_link_holds_no_setting_of_what_is_not_chosen(page):
    page.run()
    page.text_input(key="many_word").set_value("other").run()
    assert page.query_params["many_word"] == "other"
    page.selectbox(key="readout").set_value("ridge").run()
    assert "many_word" not in page.query_params
    page.selectbox(key="readout").set_value("many").run()
    assert page.query_params["many_word"] == "other" and fitted(page).options == (("word", "other"),)


@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize(("name", "text"), [("components", "-5"), ("components", "some"), ("degree", "3"), ("many_flag", "perhaps")])
def test_a_link_that_a_setting_cannot_take_is_named_drawn_or_not(page, name, text, drawn):
    page.session_state["advanced"] = drawn
    page.query_params[name] = text
    (warning,) = page.run().warning
    assert text in warning.value and name.partition("_")[0] in warning.value.lower().replace("**", "")
    assert fitted(page) == replace(SPEC, n_components=100 if name == "components" else 0)


# ---- the search


def test_a_readout_without_ranges_has_no_search(page):
    page.query_params["readout"] = "ridge"
    page.run()
    assert "Search parameters" not in {each.label for each in page.expander}


def test_the_panel_is_closed_and_does_nothing_until_it_is_opened(page):
    page.run()
    assert "Search parameters" in {each.label for each in page.expander}
    assert "start_search" not in {button.key for button in page.button} and NoWorkers.submitted == []


def test_start_submits_what_was_asked_for(panel):
    panel.query_params["many_alpha"] = "5"  # varies, so it is not set
    panel.query_params["many_word"] = "kept"
    panel.run()
    panel.multiselect(key="search_many").unselect("kind").run()
    panel.number_input(key="search_trials").set_value(12).run()
    panel.button(key="start_search").click().run()
    assert not panel.exception
    ((task, asked, key),) = NoWorkers.submitted
    assert task is tune and key == asked.job_key
    assert asked == SearchRequest(replace(SPEC, options={"word": "kept"}), 12, ("alpha", "sign"))


def test_without_a_parameter_to_vary_there_is_nothing_to_start(panel):
    panel.run()
    panel.multiselect(key="search_many").set_value([]).run()
    assert any("Choose a parameter to vary" in info.value for info in panel.info)
    assert "start_search" not in {button.key for button in panel.button}


def test_the_job_does_the_search_that_the_page_shows(panel, store):
    tune(replace(ASKED, n_trials=12), store)
    panel.run()
    found = search(SPEC, store, n_trials=12)
    assert any(f"Best of 12 trials: mean r **{found.best_value:.3f}**" in text.value for text in panel.markdown)
    button = panel.button(key="start_search")
    assert button.label.startswith("Go on · 18 trials, about ") and not button.disabled
    panel.number_input(key="search_trials").set_value(12).run()
    assert panel.button(key="start_search").disabled and any("12 trials: raise **Trials** to go on" in each.value for each in panel.caption)
    assert len(panel.get("plotly_chart")) == 2
    assert len(panel.dataframe[0].value) == 12 and panel.dataframe[0].value["value"].iloc[0] == found.best_value


@pytest.mark.parametrize(("split", "several"), [(SPEC.split, False), ("kfold:3:0", True)])
def test_the_panel_says_whether_its_validation_images_are_tested_by_other_folds(panel, store, split, several):
    panel.query_params["split"] = split
    words = lambda: [each.value for each in [*panel.caption, *panel.markdown]]  # noqa: E731
    panel.run()
    assert sum("tested by the other folds" in text for text in words()) == several
    assert any("No test image is looked at." in text for text in words()) != several
    tune(SearchRequest(replace(SPEC, split=split), 3, ASKED.vary), store)
    panel.run()
    offer = next(text for text in words() if "Best of 3 trials" in text)
    assert not panel.exception and ("Other folds test these images" in offer and "too high" in offer) == several


def test_use_the_best_puts_it_into_the_widgets_and_the_panel_stays(panel, store):
    tune(replace(ASKED, n_trials=6), store)
    panel.run()
    found = search(SPEC, store, n_trials=6)
    panel.button(key="use_best").click().run()
    assert not panel.exception and not panel.error
    assert fitted(panel) == found.best_spec
    assert panel.button(key="use_best").disabled and any("in the sidebar now" in each.value for each in panel.caption)
    assert any("Best of 6 trials" in text.value for text in panel.markdown)


@pytest.mark.parametrize("asked", [30, 50])
def test_a_search_that_runs_is_shown_with_its_trials_and_can_be_cancelled(panel, store, monkeypatch, asked):
    tune(replace(ASKED, n_trials=3), store)
    panel.run()
    panel.number_input(key="search_trials").set_value(asked).run()
    NoWorkers.job = replace(job("running"), spec=ASKED)
    monkeypatch.setattr(NoWorkers, "all", lambda self: [NoWorkers.job])
    panel.run()
    assert not panel.exception and panel.button(key="start_search").disabled
    assert "use_best" not in {button.key for button in panel.button}
    assert len(panel.get("plotly_chart")) == 1
    panel.button(key="cancel_search").click().run()
    assert NoWorkers.cancelled == [ASKED.job_key]


def test_a_search_of_more_trials_does_not_join_the_job_of_one_of_fewer():
    assert replace(ASKED, n_trials=50).job_key != ASKED.job_key == replace(ASKED, vary=ASKED.vary[::-1]).job_key


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [("failed", "No room.", "The search failed: No room."), ("cancelled", None, "Trials that had ended are kept")],
)
def test_how_a_search_ended_is_told(panel, state, error, message):
    panel.run()
    NoWorkers.job = job(state, error=error)
    panel.run()
    assert any(message in each.value for each in [*panel.error, *panel.info])
    assert not panel.button(key="start_search").disabled


def test_a_spec_that_is_wrong_is_explained_in_the_panel_too(panel):
    panel.query_params["layer"] = "pixel"
    panel.run()
    assert not panel.exception and all("Did you mean 'pixels'" in error.value for error in panel.error)


def test_the_page_puts_every_value_of_every_space_into_widgets_that_read_it_back(monkeypatch):
    from dataclasses import fields
    from typing import get_type_hints

    from pages.parts.shared import parameter_controls as parameters

    for name, readout in READOUTS.items():
        kinds = get_type_hints(readout.options)
        for field in fields(readout.options):
            space, kind = field.metadata["search"], parameters._kinds(kinds[field.name])
            values = [] if space is None else space.values if isinstance(space, Choice) else (space.low, space.high)
            for value in {*values, field.default}:
                shown = parameters._shown(value, field, kind)
                known = parameters._known(field, kind)
                read = shown if kind == (bool,) else known[shown] if shown in known else parameters._read(field, shown, kind)
                assert read == value, (name, field.name, shown)
