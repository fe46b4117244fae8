"""The Learn page without a browser: every lesson, its question, its numbers, its link and its door into Explore."""

from __future__ import annotations

import ast
import json
import re
import secrets
from dataclasses import replace
from urllib.parse import parse_qs, urlparse

import numpy as np
import plotly.graph_objects as go
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from encoding import DATASETS, FitSpec, Store, fit
from encoding.datasets.demo import Demo
from encoding.jobs import Job
from encoding.lessons.classroom import NAME
from encoding.lessons.leaderboard import Hidden
from encoding.lessons.material import Material
from pages.parts.learn import course
from pages.parts.learn.classroom import browser_name
from pages.parts.learn.lessons import LESSONS
from pages.parts.learn.notebook import OPEN, lesson_notebook
from pages.parts.shared.links import explore_query
from pages.parts.shared.server_state import find_result
from pages.parts.shared.wording import signed
from tests import PROJECT
from tests.pages.conftest import NoWorkers

PAGE = str(PROJECT / "app.py")
NAMES = [lesson.name for lesson in LESSONS]
ORDER = ["response", "rois", "fields", "steps", "ridge", "ceiling", "hierarchy", "sharing", "rsa", "residuals", "pitfalls", "films",
         "images", "comparing", "choosing", "untrained", "splits", "favourites"]  # fmt: skip
BOUND = ("slider", "select_slider", "selectbox", "button_group", "text_input", "checkbox", "toggle", "multiselect", "radio")
MOST_BYTES = 100_000  # of charts, for one interaction


@pytest.fixture(scope="module")
def small():
    """A small simulated subject in place of the demo."""
    patch = pytest.MonkeyPatch()
    list(DATASETS)
    patch.setitem(DATASETS._members, "demo", Demo(n_stimuli=160, n_unlabelled=5))
    st.cache_resource.clear()
    st.cache_data.clear()
    yield
    patch.undo()
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture(scope="module")
def filled(small, tmp_path_factory):
    """A Store with the first fit in it."""
    store = Store(tmp_path_factory.mktemp("store"))
    fit(FitSpec(), store)
    return store


@pytest.fixture
def learn(monkeypatch):
    """``learn(store, **link)``: the page as a link opens it, without a worker process."""
    from pages.parts.shared import server_state as handles

    monkeypatch.setattr(handles, "Jobs", NoWorkers)

    def opened(store: Store, page: str = "learn", **link: str) -> AppTest:
        monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
        at = AppTest.from_file(PAGE, default_timeout=60)
        at.switch_page(f"pages/views/{ {'learn': 70, 'explore': 10, 'layers': 30}[page] }_{page}.py")
        at.query_params.update(link)
        return at.run()

    return opened


def told(at: AppTest) -> str:
    """What the page says just happened; empty where it says nothing."""
    return next((text.value for text in at.markdown if text.value.startswith("**What this shows.**")), "")


def charts(at: AppTest) -> list:
    return at.get("plotly_chart")


def door(at: AppTest) -> str:
    """The address behind the door."""
    return next(link.proto.url for link in at.get("link_button"))


def test_lessons_stand_in_the_order_in_which_they_are_taught():
    assert NAMES == ORDER and [lesson.place for lesson in LESSONS] == list(range(1, len(ORDER) + 1))
    for lesson in LESSONS:
        assert len(lesson.answers) >= 2 and len(set(lesson.answers)) == len(lesson.answers) and 0 <= lesson.right < len(lesson.answers)
        assert lesson.question.endswith("?") and lesson.idea and lesson.because and 5 <= lesson.minutes <= 30
        longer = replace(lesson, answers=(*lesson.answers, "None."), n_parts=lesson.n_parts + 1)
        assert longer.minutes > lesson.minutes
    assert len({lesson.minutes for lesson in LESSONS}) > 3


def test_the_course_has_a_card_for_each_lesson_and_routes_that_exist(learn, filled):
    at = learn(filled)
    assert not at.exception and at.title[0].value == "Learn"
    titles = [f"{place}. {lesson.title}" for place, lesson in enumerate(LESSONS, 1)]
    cards = {button.key: button.label for button in at.button if button.key.startswith("open_")}
    assert cards == {f"open_{name}": title for name, title in zip(NAMES, titles, strict=True)}
    assert all(set(route) <= set(NAMES) for route in course.ROUTES.values())
    at.segmented_control(key="route").set_value("90 minutes").run()
    assert [button.key for button in at.button if button.key.startswith("open_")] == [
        f"open_{name}" for name in course.ROUTES["90 minutes"]
    ]
    assert 60 <= sum(course.BY_NAME[name].minutes for name in course.ROUTES["90 minutes"]) <= 90


def test_the_next_lesson_is_that_of_the_route_that_was_begun(learn, filled):
    route = course.ROUTES["90 minutes"]
    at = learn(filled)
    assert any("All of them take about 4 hours" in each.value and "(of lesson 7, in Layers)" in each.value for each in at.markdown)
    at.segmented_control(key="route").set_value("90 minutes").run()
    minutes = sum(course.BY_NAME[name].minutes for name in route)
    assert any(f"The 6 of this route take about {minutes} minutes" in each.value for each in at.markdown)
    at.button(key="begin").click().run()
    assert at.query_params["lesson"] == route[0] and at.button(key="previous").disabled
    for name in route[1:]:
        at.button(key="next").click().run()
        assert at.query_params["lesson"] == name and not at.exception
    assert at.button(key="next").disabled
    at.button(key="previous").click().run()
    assert at.query_params["lesson"] == route[-2]
    at.button(key="course").click().run()
    assert at.segmented_control(key="route").value == "90 minutes" and not at.warning
    other = learn(filled, lesson="rois")
    assert other.button(key="next").click().run().query_params["lesson"] == "fields"


def test_what_is_hidden_after_an_answer_is_not_asked_again(learn, filled):
    at = learn(filled, lesson="ridge")
    assert "What would you expect?" in at.info[0].value
    at.radio[0].set_value(course.BY_NAME["ridge"].answers[1]).run()
    at.toggle(key="show").set_value(False).run()
    assert at.radio[0].value == course.BY_NAME["ridge"].answers[1] and not charts(at)
    assert "Your answer is kept" in at.info[0].value and "What would you expect" not in at.info[0].value


def test_answers_are_counted_in_the_link_and_the_course_goes_on_after_them(learn, filled):
    at = learn(filled)
    at.button(key="begin").click().run()
    assert at.query_params["lesson"] == NAMES[0] and not charts(at)
    at.radio[0].set_value(LESSONS[0].answers[0]).run()
    assert at.query_params["done"] == NAMES[0]
    at.button(key="course").click().run()
    assert "lesson" not in at.query_params and at.button(key="begin").label.startswith("Go on with lesson 2")
    captions = [each.value for each in at.caption if "answered" in each.value]
    assert len(captions) == 1 and LESSONS[0].question in captions[0]
    later = learn(filled, done="ridge,nonsense")
    assert sum("answered" in each.value for each in later.caption) == 1 and later.query_params["done"] == "ridge"


def test_progress_that_a_link_brought_outlives_a_visit_to_another_page(learn, filled):
    at = learn(filled, done="ridge,steps", solved="steps")
    for page in ("60_weights", "70_learn"):
        at.query_params.clear()
        at.switch_page(f"pages/views/{page}.py").run()
    assert not at.exception and at.query_params["done"] == "steps,ridge" and at.query_params["solved"] == "steps"
    assert sum("answered" in each.value for each in at.caption) == 2


def test_begin_anew_forgets_every_answer_here_and_in_the_browser(learn, filled):
    at = learn(filled)
    assert "anew" not in [button.key for button in at.button]
    at.query_params.update(done="ridge,steps", solved="steps", lesson="ridge")
    at.run()
    at.radio[0].set_value(course.BY_NAME["ridge"].answers[0]).run()
    at.button(key="course").click().run()
    at.button(key="anew").click().run()
    assert (
        not at.exception and not {"done", "solved"} & set(at.query_params) and not [each for each in at.caption if "answered" in each.value]
    )
    assert "anew" not in [button.key for button in at.button]
    at.button(key="open_ridge").click().run()
    assert at.radio[0].value is None and "done" not in at.query_params


def test_a_card_opens_its_lesson(learn, filled):
    at = learn(filled)
    at.button(key="open_ridge").click().run()
    assert at.title[0].value == f"5. {course.BY_NAME['ridge'].title}" and at.query_params["lesson"] == "ridge"


def test_the_projector_hides_the_sidebar_and_stays_from_lesson_to_lesson(learn, filled):
    plain = json.loads(charts(learn(filled, lesson="ridge", show="true"))[0].proto.spec)["layout"]
    at = learn(filled, lesson="ridge", show="true", projector="true")
    large = json.loads(charts(at)[0].proto.spec)["layout"]
    assert at.toggle(key="projector").value
    assert large["font"]["size"] > 15 and large["margin"]["b"] > plain["margin"]["b"]
    notes = [[each["font"]["size"] for each in layout["annotations"] if "Simulated" not in each["text"]] for layout in (plain, large)]
    assert notes[0] and all(after > before for before, after in zip(*notes, strict=True))
    at.button(key="next").click().run()
    assert at.toggle(key="projector").value and at.query_params["projector"] == "true"


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_opens_by_its_link_and_explains_what_is_on_the_screen(learn, filled, name):
    at = learn(filled, lesson=name, show="true")
    assert not at.exception and not at.error
    assert at.title[0].value == f"{NAMES.index(name) + 1}. {LESSONS[NAMES.index(name)].title}"
    assert len(told(at)) > 150 and any(character.isdigit() for character in told(at))
    assert "nan" not in told(at).split()
    assert any("Simulated: no brain was measured" in text.value for text in at.markdown)
    said = " ".join(each.value for each in (*at.markdown, *at.caption))
    assert not re.findall(r"(?<![\w.])-0\.?0*(?![\d.])|\d%|(?<![\d.])0 % of|[(\s*]-\d|\b1\.0 standard|\b1 \w+s\b", said)
    assert charts(at) and all(chart.proto.alt for chart in charts(at))
    assert sum(len(chart.proto.spec) for chart in charts(at)) < MOST_BYTES
    assert all("Simulated" in chart.proto.spec for chart in charts(at))


@pytest.mark.parametrize("name", NAMES)
def test_the_door_leads_to_the_settings_of_the_lesson(learn, filled, name, monkeypatch):
    from pages.parts.explore import fitting
    from pages.parts.layers import sweep_controls
    from pages.parts.learn import lesson

    asked, reached = [], []
    behind = lesson.door
    monkeypatch.setattr(lesson, "door", lambda lesson: (asked.append(lesson.sweep() or lesson.explore_spec()), behind(lesson)))
    address = urlparse(door(learn(filled, lesson=name, show="true")))
    assert address.path == ("layers" if name == "hierarchy" else "explore")  # beside learn, wherever the app is served
    link = parse_qs(address.query)
    assert link["start"] == ["true"]
    monkeypatch.setattr(fitting, "find_shown", lambda spec: reached.append(spec))
    monkeypatch.setattr(sweep_controls, "run_or_find", lambda sweep: reached.append(sweep))
    at = learn(filled, page=address.path, **{key: values if len(values) > 1 else values[0] for key, values in link.items()})
    assert not at.exception and not at.warning
    (expected,) = asked
    plain = replace(expected, rois=(), target_groups=FitSpec.target_groups) if address.path == "explore" else expected
    assert reached[-1] == plain


@pytest.mark.parametrize("name", NAMES)
def test_the_link_of_a_lesson_holds_its_controls_and_what_it_cannot_show_is_named(learn, filled, name):
    shown = learn(filled, lesson=name, show="true", slides="3", done=f"{name},nope")
    bound = {each.proto.query_param_key for kind in BOUND for each in shown.get(kind) if getattr(each.proto, "query_param_key", "")}
    assert bound - {"show", "projector"} == set(course.BY_NAME[name].controls)
    (said,) = (each.value for each in shown.warning)
    assert "there is no setting **slides**" in said and "done" in said and "nope" in said and f"{name}**" not in said
    wrong = learn(filled, lesson=name, show="true", **dict.fromkeys(course.BY_NAME[name].controls, "nothing"))
    assert not wrong.exception and all(control in wrong.warning[0].value for control in course.BY_NAME[name].controls if control != "at")


def test_the_link_of_the_course_says_what_it_cannot_show(learn, filled):
    at = learn(filled, course="short", route="never", kept="5")
    (said,) = (each.value for each in at.warning)
    assert "**course**" in said and "**route** cannot be never here" in said and "**kept**" in said
    assert not learn(filled, route="90 minutes", projector="true", done="ridge", solved="ridge").warning
    at = learn(filled, kept="5")
    at.button(key="open_steps").click().run()
    assert not at.exception and at.title[0].value.startswith("4.")


def test_nothing_is_given_away_before_an_answer_and_answering_shows_it(learn, filled):
    at = learn(filled, lesson="ridge")
    assert not charts(at) and not told(at) and not at.get("link_button")
    lesson = LESSONS[NAMES.index("ridge")]
    at.radio[0].set_value(lesson.answers[0]).run()
    assert charts(at) and told(at)
    assert any(text.value.startswith(":orange-badge[Not this time]") and lesson.because in text.value for text in at.markdown)
    at.radio[0].set_value(lesson.answers[lesson.right]).run()
    assert any(text.value.startswith(":green-badge[Right]") for text in at.markdown)
    assert at.query_params["show"] == "true"  # so that the link reopens what is seen


def test_the_next_lesson_asks_again_and_the_one_before_remembers_its_answer(learn, filled):
    at = learn(filled, lesson="steps")
    at.radio[0].set_value(LESSONS[3].answers[1]).run()
    at.button(key="next").click().run()
    assert at.title[0].value.startswith("5.") and not charts(at)
    at.button(key="previous").click().run()
    assert at.title[0].value.startswith("4.") and charts(at)
    assert at.radio[0].value == LESSONS[3].answers[1]
    assert at.query_params["lesson"] == "steps"


@pytest.mark.parametrize("way", ["next", "course"])
def test_the_way_from_a_lesson_warns_of_nothing_that_it_left_in_the_link(learn, filled, way):
    at = learn(filled, lesson="steps", show="true", kept="20")
    at.button(key=way).click().run()
    assert not at.exception and not at.warning and at.query_params.get("lesson") == ("ridge" if way == "next" else None)


def test_the_first_and_the_last_lesson_have_no_way_beyond(learn, filled):
    assert learn(filled, lesson=NAMES[0]).button(key="previous").disabled
    assert learn(filled, lesson=NAMES[-1]).button(key="next").disabled


def test_a_link_to_an_unknown_lesson_is_explained(learn, filled):
    at = learn(filled, lesson="rigde")
    assert "Did you mean 'ridge'" in at.warning[0].value


def test_without_a_subject_the_page_asks_a_job_for_it_and_computes_nothing_itself(learn, small, tmp_path, monkeypatch):
    st.cache_resource.clear()  # another Store than that of the other tests
    monkeypatch.setattr(Demo, "open", lambda *_: pytest.fail("simulated in the session"))
    at = learn(Store(tmp_path), lesson="fields", show="true")
    assert not at.exception and not charts(at)
    assert NoWorkers.specs() == [FitSpec()]
    st.cache_resource.clear()


NOTHING_YET = {"position": None, "fraction": 0.0, "text": "", "seconds": 0.0, "seconds_left": None, "log": ()}


def test_a_first_fit_that_was_removed_since_is_said_to_be_and_fitted_again(learn, small, tmp_path, monkeypatch):
    st.cache_resource.clear()
    done = Job(key="", spec=FitSpec(), state="done", error=None, error_kind=None, **NOTHING_YET)
    monkeypatch.setattr(NoWorkers, "job", done)
    at = learn(Store(tmp_path), lesson="fields")
    assert not at.error and "it was removed since" in at.warning[0].value
    at.button(key="again").click().run()
    assert NoWorkers.specs() == [FitSpec()]
    st.cache_resource.clear()


def test_a_first_fit_that_ends_while_the_page_looks_for_it_is_shown(learn, filled, monkeypatch):
    order = []
    monkeypatch.setattr(NoWorkers, "get", lambda self, key: order.append("job"))
    monkeypatch.setattr("pages.parts.learn.lesson.find_result", lambda spec: order.append("fit") or find_result(spec))
    learn(filled, lesson="fields")
    assert order[: order.index("fit") + 1] == ["job", "fit"]


# The numbers follow the control, and the work does not


def test_dragging_alpha_solves_nothing_again_and_ends_where_new_pictures_are_predicted_best(learn, filled, monkeypatch):
    from pages.parts.learn.lessons import ridge

    calls = counted(monkeypatch, ridge, "fit_components", "ridge_path")
    at = learn(filled, lesson="ridge", show="true")
    texts = [told(at.select_slider(key="alpha").set_value(alpha).run()) for alpha in ridge.ALPHAS]
    assert calls == ["fit_components", "ridge_path"]
    best = ["best alpha there is" in text for text in texts].index(True)
    assert 0 < best < len(texts) - 1
    assert all("**overfitting**" in text for text in texts[:best]) and all("too large" in text for text in texts[best + 1 :])


def test_components_are_solved_once_and_the_text_has_the_number_chosen(learn, filled, monkeypatch):
    from pages.parts.learn.lessons import steps

    calls = counted(monkeypatch, steps, "steps")
    at = learn(filled, lesson="steps", show="true", kept="2")
    assert "became **2** components" in told(at)
    assert "became **1** component," in told(at.select_slider(key="kept").set_value(1).run())
    assert calls == ["steps"]


def test_repeats_are_simulated_once_for_each_signal_to_noise(learn, filled, monkeypatch):
    from pages.parts.learn.lessons import ceiling

    calls = counted(monkeypatch, ceiling, "ceilings")
    at = learn(filled, lesson="ceiling", show="true")
    assert "= **0.20**, the noise ceiling; its root, **0.45**" in told(at)
    assert "= **0.50**" in told(at.slider(key="repeats").set_value(4).run())
    assert calls == ["ceilings"]
    assert "= **0.80**" in told(at.select_slider(key="snr").set_value("1").run())
    assert calls == ["ceilings"] * 2


def test_a_spot_on_the_other_side_is_seen_by_the_other_hemisphere(learn, filled, monkeypatch):
    from encoding.lessons import fields

    calls = counted(monkeypatch, fields, "candidates")
    at = learn(filled, lesson="fields", show="true", angle="15")
    assert "the **left** hemisphere" in told(at)
    at = at.slider(key="angle").set_value(195).run()
    assert "the **right** hemisphere" in told(at) and door(at).startswith("explore?vertex=rh+")
    assert calls == ["candidates"]


@pytest.mark.parametrize(
    ("angle", "eccentricity", "said", "unsaid"),
    [
        ("90", "1.5", ("**both** hemispheres see it", "Move the spot off the midline"), ("half circle", "No V1 field")),
        ("270", "1.5", ("**both** hemispheres see it", "of the left one"), ("right hemisphere", "half circle")),
        ("270", "4", ("**No V1 field of this subject lies there**",), ()),
        ("30", "1.5", ("the **left** hemisphere sees it", "half circle"), ("midline, where", "No V1 field")),
    ],
)
def test_a_spot_on_the_midline_or_beyond_all_fields_is_called_so(learn, filled, angle, eccentricity, said, unsaid):
    text = told(learn(filled, lesson="fields", show="true", angle=angle, eccentricity=eccentricity))
    assert all(each in text for each in said) and not any(each in text for each in unsaid)


def test_a_found_field_is_called_too_large_only_where_it_is():
    from encoding.lessons.fields import Field
    from pages.parts.learn.lessons.fields import _size

    true = Field(0, 0, 0.5)
    texts = [_size(true, Field(0, 0, float(np.float32(size)))) for size in (0.35, 0.5, 0.7)]
    assert ["too small" in text for text in texts] == [True, False, False]
    assert ["too large" in text for text in texts] == [False, False, True] and all("8 sizes" in text for text in texts)


def test_kinds_of_images_that_differ_are_not_denied_and_early_areas_are_for_no_kind():
    from encoding.lessons.rois import Profile
    from pages.parts.learn.lessons.rois import _conclusion

    def said(roi, means):
        return _conclusion(roi, Profile(("words", "faces", "textures"), np.array(means), np.full(3, 0.05)))

    assert "no single one stands out" in said("hV4", [0.21, 0.15, -0.36]) and "kinds do matter" in said("hV4", [0.21, 0.15, -0.36])
    assert "edges" in said("V1v", [0.4, 0.0, -0.2]) and "selective" not in said("V1v", [0.4, 0.0, -0.2])
    assert "**selective** for words" in said("VWFA-1", [0.7, 0.1, -0.3])
    assert "kinds hardly differ" in said("hV4", [0.05, 0.0, -0.05]) and "hardly differ" in said("V1v", [0.05, 0.0, -0.05])


def test_what_leaving_a_space_out_costs_is_told_by_the_overlap(learn, filled):
    at = learn(filled, lesson="sharing", show="true", sharing_overlap="0")
    assert "all of it or nearly" in told(at) and "stands in for the rest" not in told(at) and "unimportant" not in told(at)
    at.slider(key="sharing_overlap").set_value(0.95).run()
    assert "stands in for the rest" in told(at) and "look unimportant" in told(at)


def test_the_penalty_says_what_r_does_not_show_and_no_zero_has_a_sign(learn, filled):
    at = learn(filled, lesson="ridge", show="true", alpha="10000")
    text = told(at)
    assert "under 1 %" in text and "0%" not in text and "-0.00" not in text


def test_the_best_vertex_that_an_exercise_asks_for_is_in_the_table_of_explore(filled):
    found = fit(FitSpec(), filled)
    table = found.best_and_worst(10, "r", {hemi: found.columns("V1v", hemi) for hemi in found.plan.hemis})
    left = table[table["hemi"] == "lh"].iloc[0]
    assert left["r"] == pytest.approx(course.BY_NAME["pitfalls"].exercise.answer(found)) and left["rank"] <= 10


@pytest.mark.parametrize(
    ("name", "link", "said", "unsaid"),
    [
        ("steps", {"kept": "1"}, ("became **1** component, which keeps", "a weight for it"), ("which keep ",)),
        ("choosing", {"n_models": "1"}, ("A single model", "nothing was chosen"), ("The best of **1",)),
        ("choosing", {"n_models": "50"}, ("The best of **50** models",), ("Of 50 models",)),
        ("choosing", {"n_models": "10"}, ("Of 50 models the best would have",), ("is such a model",)),
        ("untrained", {"n_units": "300"}, ("300 units",), ("With 300 random units",)),
        ("untrained", {"n_units": "10"}, ("With 300 random units",), ()),
        ("films", {"films_slow": "1"}, ("next to no difference", "tell little of the moment"), ("is not there", "neighbours tell")),
        ("films", {"films_slow": "12"}, ("of the shuffled r is not there", "neighbours tell"), ("next to no difference",)),
        ("favourites", {}, ("Rows of letters are fine horizontal edges",), ("Try 32",)),
        ("favourites", {"unit_frequency": "16"}, ("Try 32 cycles, horizontal",), ("Rows of letters",)),
        ("residuals", {}, ("The darkest images", "those in the middle less (−"), ("others less",)),
    ],
)
def test_sentences_follow_the_control(learn, filled, name, link, said, unsaid):
    text = told(learn(filled, lesson=name, show="true", **link)) + " ".join(
        each.value for each in learn(filled, lesson=name, show="true", **link).markdown
    )
    assert [each for each in said if each not in text] == [each for each in unsaid if each in text] == []


def test_seeds_of_a_split_are_told_by_the_range_of_the_figure(learn, filled):
    text = told(learn(filled, lesson="splits", show="true"))
    low, high, told_range = (float(each) for each in re.search(r"\*\*([\d.]+) to ([\d.]+)\*\*.* up to ([\d.]+) by luck", text).groups())
    assert told_range == pytest.approx(high - low, abs=0.0011)


def test_random_units_are_ahead_only_where_they_are():
    from pages.parts.learn.lessons.untrained import _places

    assert "they see colours" in _places(0.31, 0.29) and not _places(0.2, 0.29)


def test_only_what_a_correction_costs_is_said_of_it():
    from pages.parts.learn.lessons.pitfalls import _cost

    assert _cost(2_780, 2_805) == "1 % fewer" and _cost(1_252, 2_805) == "55 % fewer" and _cost(5, 5) == "as many"


def test_a_region_tells_what_drives_it_and_where_it_is(learn, filled):
    at = learn(filled, lesson="rois", show="true", region="PPA")
    assert "Parahippocampal place area" in told(at) and "**selective** for places" in told(at)
    assert door(at) == "explore?roi=PPA&start=true"
    at.selectbox(key="region").set_value("FFA-1").run()
    assert "**selective** for faces" in told(at)


def test_a_response_is_the_one_in_the_data(learn, filled):
    subject = DATASETS["demo"].open("subj01", filled)
    at = learn(filled, show="true", picture="7", at="rh 12")
    assert f"answered **{signed(subject.responses['rh'][6, 12])}** to image 7" in told(at)
    at.slider(key="picture").set_value(9).run()
    assert f"answered **{signed(subject.responses['rh'][8, 12])}** to image 9" in told(at)


@pytest.mark.parametrize("text", ["lh", "lh x", "xh 3", "lh 99999"])
def test_a_vertex_that_does_not_exist_is_explained(learn, filled, text):
    at = learn(filled, show="true", at=text)
    assert not at.exception
    assert at.warning[0].value.startswith(f"No vertex {text!r}. Vertices: lh 0 to lh ")


def counted(monkeypatch, module, *names):
    """The names of those functions of a module that are called, as they are called."""
    calls = []
    st.cache_resource.clear()
    st.cache_data.clear()

    def watched(name):
        work = getattr(module, name)
        return lambda *given, **named: (calls.append(name), work(*given, **named))[1]

    for name in names:
        monkeypatch.setattr(module, name, watched(name))
    return calls


# What a link into Explore says


def test_a_link_says_what_differs_from_a_bare_explore_and_numbers_as_a_person_writes_them():
    assert explore_query(FitSpec()) == {"dataset": "demo"}  # an empty link would keep what the session had
    spec = FitSpec(
        backbone="pixels", layers=("rgb",), n_components=0, readout="banded_ridge", options={"standardise": True, "n": 3.0, "x": 0.5}
    )
    assert explore_query(spec) == {
        "backbone": "pixels",
        "layer": ["rgb"],
        "components": "0",
        "readout": "banded_ridge",
        "banded_ridge_standardise": "true",
        "banded_ridge_n": "3",
        "banded_ridge_x": "0.5",
    }


def test_a_region_and_a_vertex_become_what_is_looked_at():
    assert explore_query(FitSpec(rois=("V1v",), target_groups="vertex:rh:12")) == {"roi": "V1v", "vertex": "rh 12"}
    union = FitSpec(rois=("V1=V1v+V1d", "hV4"))
    assert explore_query(union) == {"roi": "V1", "rois": ["V1=V1v+V1d", "hV4"]}
    by_region = FitSpec(readout="mlp", target_groups="roi", rois=("V1v", "V1d"))
    assert explore_query(by_region)["rois"] == ["V1v", "V1d"]
    assert explore_query(FitSpec(hemi="lh")) == {"hemi": "lh"}
    assert explore_query(FitSpec(feature_budget=0.12345678)) == {"feature_budget": "0.12345678"}
    assert explore_query(FitSpec(readout="tree", options={"max_depth": None})) == {"readout": "tree", "tree_max_depth": "none"}
    assert explore_query(FitSpec(readout="mlp", target_groups="roi")) == {"readout": "mlp", "target_groups": "roi"}
    assert explore_query(FitSpec(options={"alphas": (1.0, np.float64(2.5))})) == {"ridge_alphas": "1, 2.5"}


def bars_of_class(at: AppTest) -> list[int] | None:
    """Counts of the class's predictions; None where they are not shown. Each stands at the end of the bar behind its answer."""
    found = [each.value for each in at.caption if each.value.startswith("**The class predicted**")]
    if not found:
        return None
    counts = [int(n) for n in re.findall(r"\d+", found[0])]
    style = next(html.proto.body for html in at.get("html") if "nth-child" in html.proto.body)
    assert [int(n) for n in re.findall(r"content: '(\d+)'", style)] == counts
    return counts


def test_a_class_sees_its_predictions_after_answering_and_the_teacher_who_is_where(learn, filled, monkeypatch, capsys):
    monkeypatch.setenv("ENCODING_CLASS", "spring")
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: "hidden")
    lesson = course.BY_NAME["ridge"]
    first = learn(filled, lesson="ridge", **{"class": "spring"})
    assert not first.exception and bars_of_class(first) is None and "teacher=hidden" in capsys.readouterr().out
    first.radio[0].set_value(lesson.answers[0]).run()
    assert bars_of_class(first) == [1, 0, 0]
    first.radio[0].set_value(lesson.answers[2]).run()
    assert bars_of_class(first) == [1, 0, 0]  # a change of mind after seeing it is no prediction
    peeking = learn(filled, lesson="ridge", **{"class": "spring"})
    peeking.toggle(key="show").set_value(True).run()
    assert bars_of_class(peeking) is None
    peeking.radio[0].set_value(lesson.answers[1]).run()
    assert bars_of_class(peeking) == [1, 0, 0]
    outsider = learn(filled, lesson="ridge")
    outsider.radio[0].set_value(lesson.answers[1]).run()
    assert bars_of_class(outsider) is None
    teacher = learn(filled, teacher="hidden")
    assert not teacher.exception and "teacher" not in teacher.query_params
    assert teacher.dataframe[0].value.to_dict("records") == [{"Lesson": f"5. {lesson.title}", "Reading": 0, "Predicted": 2, "Shown": 0}]
    teacher.button(key="beforehand").click().run()
    wanted = {replace(spec, rois=(), target_groups=FitSpec.target_groups) for each in LESSONS for spec in each.exercise.specs}
    assert not teacher.exception and wanted - {FitSpec()} <= set(NoWorkers.specs()) and FitSpec() not in NoWorkers.specs()


def test_a_student_enters_a_fit_and_the_class_sees_its_r_on_images_that_only_the_server_knows(learn, filled, monkeypatch):
    monkeypatch.setenv("ENCODING_CLASS", "winter")
    monkeypatch.setattr("encoding.lessons.leaderboard.N_DRAWS", 5)
    monkeypatch.setattr(Hidden.draw.__func__, "__kwdefaults__", {"n": 12})
    assert not learn(filled).expander  # an outsider sees no leaderboard
    at = learn(filled, **{"class": "winter"})
    at.session_state["leaderboard"] = True
    at.run()
    assert not at.exception and any("Nobody entered" in each.value for each in at.caption)
    at.button(key="enter").click().run()
    assert not at.exception and not at.error
    assert at.button(key="enter").label.endswith("(2 left)")
    row = at.dataframe[0].value.iloc[0]
    assert row["Name"] == "Student 1" and row["Model"] == "Gabor filters energy · PCA 100 · ridge" and 0 < float(row["r"]) < 1


def test_a_wrong_token_or_class_is_explained_and_shows_nothing(learn, filled, monkeypatch):
    monkeypatch.setenv("ENCODING_CLASS", "autumn")
    at = learn(filled, teacher="wrong", **{"class": "spring"})
    assert not at.exception and not at.dataframe and len(at.warning) == 2 and "_student" not in at.session_state


def test_an_exercise_is_checked_against_the_fit_and_counted_in_the_link(learn, filled):
    at = learn(filled, lesson="response", show="true")
    assert not at.number_input
    at.session_state["open_exercise_response"] = True
    at.run()
    right = LESSONS[0].exercise.answer(fit(FitSpec(), filled))
    at.number_input(key="exercise_response").set_value(round(right + 0.2, 2)).run()
    assert "something else" in at.warning[0].value and "solved" not in at.query_params
    at.number_input(key="exercise_response").set_value(round(right, 2)).run()
    assert at.success and at.query_params["solved"] == "response"
    at.button(key="course").click().run()
    assert sum("exercise" in each.value for each in at.caption) == 1


def test_the_sheet_of_answers_knows_what_the_fits_say(learn, filled):
    from pages.parts.learn.exercise import right_answer

    at = learn(filled)  # the Store of the session
    assert not at.exception
    assert right_answer(course.BY_NAME["fields"].exercise) == course.BY_NAME["fields"].exercise.answer(fit(FitSpec(), filled))
    assert float(right_answer(course.BY_NAME["response"].exercise)) > 0.1 and right_answer(course.BY_NAME["ridge"].exercise) is None
    assert course._handout(LESSONS, True).startswith(b"%PDF")


def test_an_exercise_whose_fit_is_not_there_asks_for_it(learn, filled):
    at = learn(filled, lesson="ridge", show="true")
    at.session_state["open_exercise_ridge"] = True
    at.run()
    assert any(link.proto.label.endswith("press Fit ↗") for link in at.get("link_button"))
    at.number_input(key="exercise_ridge").set_value(0.5).run()
    assert "is not there yet" in at.info[0].value and not at.success


@pytest.fixture(scope="module")
def material(filled):
    """The lessons' material, opened by the notebooks' first cell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCODING_CACHE_DIR", str(filled.root))
        cell = {}
        exec(OPEN, cell)
    return cell["m"]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_lessons_notebook_runs_and_draws_its_figure(lesson, material, capsys):
    document = json.loads(lesson_notebook(lesson))
    cells = ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]
    text = " ".join("".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "markdown")
    assert cells[0] == OPEN and document["nbformat"] == 4 and lesson.question in text and lesson.because in text
    *before, last = ast.parse(cells[1]).body
    space = {"m": material}
    exec(compile(ast.Module(before, []), lesson.name, "exec"), space)
    figure = eval(compile(ast.Expression(last.value), lesson.name, "eval"), space)
    assert isinstance(figure, go.Figure) and len(figure.data) and "nan" not in capsys.readouterr().out.split()


def test_the_material_is_in_one_order(material):
    assert isinstance(material, Material) and material.Y.shape == (160, len(material.ceiling)) and len(material.Z) == 160
    columns, n_left = material.columns("V1v"), material.subject.responses["lh"].shape[1]
    right = material.subject.rois["rh"]["V1v"]
    assert (columns[columns >= n_left] == right + n_left).all() and (
        material.Y[:, n_left:][:, right] == material.subject.responses["rh"][:, right]
    ).all()
    assert material.categories().shape == (160, 6) and material.categories().max() <= 1


def test_a_browser_is_one_student_in_every_tab_and_after_a_reload():
    """The cookie's mask changes with every page, the token behind it does not."""
    token = bytes(range(16))
    cookies = []
    for mask in (b"\x01\x02\x03\x04", b"\xaa\xbb\xcc\xdd"):
        masked = bytes(one ^ mask[place % 4] for place, one in enumerate(token))
        cookies.append(f"2|{mask.hex()}|{masked.hex()}|1796083072")
    other = f"2|00000000|{bytes(range(1, 17)).hex()}|1796083072"
    assert browser_name(cookies[0]) == browser_name(cookies[1]) != browser_name(other)
    assert NAME.fullmatch(browser_name(cookies[0])) and token.hex() not in browser_name(cookies[0])
    assert browser_name("") != browser_name("") and NAME.fullmatch(browser_name("2|zz|zz|1"))


def test_after_a_reload_a_student_finds_the_answer_given_before(learn, filled, monkeypatch):
    monkeypatch.setenv("ENCODING_CLASS", "reloaded")
    monkeypatch.setattr("pages.parts.learn.classroom.browser_name", lambda cookie: "aabbccddeeff0011")
    lesson = LESSONS[4]
    first = learn(filled, lesson=lesson.name, **{"class": "reloaded"})
    first.radio(key=f"answer_{lesson.name}").set_value(lesson.answers[1]).run()
    again = learn(filled, lesson=lesson.name, show="true", **{"class": "reloaded"})
    assert again.radio(key=f"answer_{lesson.name}").value == lesson.answers[1]
    assert any("The class predicted" in each.value and "0 · 1" in each.value for each in again.caption)


def test_students_are_not_offered_the_answers_of_the_course(learn, filled, monkeypatch):
    monkeypatch.setenv("ENCODING_CLASS", "summer")
    names = lambda at: {button.key for button in at.get("download_button")}  # noqa: E731
    assert {"handout", "answers"} <= names(learn(filled))
    assert names(learn(filled, **{"class": "summer"})) & {"handout", "answers"} == {"handout"}
