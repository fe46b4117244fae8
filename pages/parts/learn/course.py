"""The course: a card for each lesson, routes through them, what was answered, and the way from lesson to lesson."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from encoding.runtime.registry import unknown
from pages.parts.learn.exercise import right_answer
from pages.parts.learn.leaderboard import leaderboard
from pages.parts.learn.lesson import Lesson
from pages.parts.learn.lessons import LESSONS
from pages.parts.learn.progress import DONE, SOLVED, anew_button, noted
from pages.parts.shared.badges import SIMULATED
from pages.parts.shared.cards import card_style
from pages.parts.shared.link_notes import expect, note, taken
from pages.parts.shared.linked import write_link
from pages.parts.shared.text import plain
from pages.parts.shared.wording import listed

BY_NAME = {lesson.name: lesson for lesson in LESSONS}
NAMES = list(BY_NAME)
ROUTES = {  # title of a route to its lessons
    "90 minutes": ("response", "steps", "ridge", "ceiling", "hierarchy", "pitfalls"),
    "Half a day": tuple(NAMES),
}
EVERY_LESSON = "Half a day"
ROUTE, CHOSEN_ROUTE = "route", "_course_route"  # in the link, and in the session where no course is shown
FIRST_LESSON = {"show", "picture", "at"}  # parameters of links to the first lesson, which did not name it
GONE_TO = "_lesson_gone_to"  # in the session: what a button named since the last run
N_COLUMNS = 3
STYLE = """<style>
[data-testid=stMainBlockContainer] {padding: 3.75rem 2rem 0.5rem}
[data-testid=stMainBlockContainer] [data-testid=stMarkdownContainer] :is(p, li) {
  font-size: clamp(0.9rem, 1.6dvh, 1.1rem); line-height: 1.4
}
@media (max-width: 640px) {
  .st-key-kinds_shown [data-testid=stColumn] {min-width: 0; flex: 1 1 0}
  .st-key-lesson_head :is(kbd, [data-testid=stColumn]:has(.st-key-projector)) {display: none}
  .st-key-lesson_figures [data-testid=stPlotlyChart] {min-height: 17rem}
}
@media (min-width: 641px) {  /* the title stands beside the menu, figures take what height is left */
  [data-testid=stApp]:not(:has([data-testid=stExpandSidebarButton])) [data-testid=stMainBlockContainer]:has(.st-key-lesson_head) {
    padding-top: 0.75rem
  }
  [data-testid=stHeader] {background: none}
  :is([data-testid=stHeader], [data-testid=stHeader] :not(button, button *)) {pointer-events: none}
  [data-testid=stStatusWidget] {display: none}
  .st-key-lesson_head {padding-right: 2rem}
  .st-key-lesson_figures {min-height: calc(100dvh - 4.5rem)}
  .st-key-lesson_figures [data-testid=stLayoutWrapper]:has([data-testid=stPlotlyChart]) {flex: 1 1 auto}
  .st-key-lesson_figures [data-testid=stColumn]:has([data-testid=stPlotlyChart]) {display: flex; flex-direction: column}
  .st-key-lesson_figures [data-testid=stColumn]:has([data-testid=stPlotlyChart]) > [data-testid=stVerticalBlock] {flex: 1 1 auto}
}
@media (min-width: 769px) and (max-width: 1199px) {  /* words and figures beside each other need the sidebar's room */
  [data-testid=stMainBlockContainer] {padding-inline: 1rem}
  [data-testid=stSidebar] {width: 11rem !important; min-width: 11rem}
  [data-testid=stSidebarNavItems] > div {grid-template-columns: minmax(0, 1fr)}
  [data-testid=stColumn]:has(> [data-testid=stVerticalBlock] > [data-testid=stLayoutWrapper] > .st-key-lesson_words) {flex: 5 1 0}
  [data-testid=stColumn]:has(> [data-testid=stVerticalBlock] > [data-testid=stLayoutWrapper] > .st-key-lesson_figures) {flex: 7 1 0}
  .st-key-lesson_head kbd {display: none}
  .st-key-lesson_figures [data-testid=stColumn]:has([data-testid=stPlotlyChart]) {min-width: min(13rem, 100%)}
}
.st-key-lesson_head [data-testid=stColumn] {flex: 0 0 auto; width: auto}
.st-key-lesson_head [data-testid=stColumn]:has(h1) {flex: 1 1 0}
[data-testid=stMainBlockContainer] [data-testid=stVerticalBlock] {gap: 0.5rem}
[data-testid=stMainBlockContainer] h1 {padding: 0 0 0.375rem; font-size: 1.125rem; font-weight: 600}
[data-testid=stMainBlockContainer] :is(.stButton, .stDownloadButton, .stLinkButton, .stPopover) :is(button, a)
  {min-height: 2rem; padding: 0.25rem}
</style>"""  # a lesson fits on the screen of a small laptop
PROJECTOR = """<style>
:is([data-testid=stSidebar], [data-testid=stHeader], [data-testid=stExpandSidebarButton]) {display: none !important}
[data-testid=stMainBlockContainer] {padding-top: 1rem}
[data-testid=stMainBlockContainer] [data-testid=stMarkdownContainer] :is(p, li) {font-size: clamp(0.9rem, 2dvh, 1.2rem)}
html {font-size: 115%}
@media (min-height: 950px) {html {font-size: 130%}}
</style>"""  # letters in figures grow as well: pages.parts.learn.lesson


def chosen_lesson() -> Lesson | None:
    """The lesson that the link names; None for the course. A name that is not there is explained."""
    if not st.session_state.get("_learn_seen") and FIRST_LESSON & set(st.query_params):
        st.query_params.setdefault("lesson", NAMES[0])
    st.session_state["_learn_seen"] = True
    if (gone_to := st.session_state.pop(GONE_TO, None)) is not None:
        write_link("lesson", gone_to, "")
    linked = st.query_params.get("lesson")
    if linked is None:
        return None
    if linked in BY_NAME:
        taken("lesson")
    else:
        note("lesson", plain(unknown("lesson", linked, NAMES)))
    return BY_NAME.get(linked)


def expect_link(lesson: Lesson | None) -> None:
    """Name the parameters of the page's link, and say which of its lessons do not exist."""
    expect(("lesson", "show", DONE, SOLVED, ROUTE, "projector", "class", "teacher", *(lesson.controls if lesson else ())))
    for name in (DONE, SOLVED):
        strange = [each for each in st.query_params.get(name, "").split(",") if each and each not in BY_NAME]
        if strange:
            note(name, f"**{name}**: {plain(unknown('lesson', strange[0], NAMES))}")


def go(name: str | None) -> None:
    """Callback: go to a lesson, whose content is hidden until its question is answered; None goes to the course."""
    st.session_state[GONE_TO] = name or ""  # the link is written by the run that follows
    st.session_state["show"] = name is not None and st.session_state.get(f"answer_{name}") is not None


def projector_control(place: st.delta_generator.DeltaGenerator) -> None:
    """Show the switch of the projector mode, and apply it: no sidebar, everything larger on a large screen."""
    if place.toggle("Projector", key="projector", bind="query-params"):
        st.html(PROJECTOR)


def course_page() -> None:
    """Show a card for each lesson, and the routes."""
    answered = noted(DONE) & set(NAMES)
    st.html(card_style("lesson_"))
    heading, switch = st.columns([6, 1], vertical_alignment="center")
    heading.title("Learn", anchor=False)
    projector_control(switch)
    about = st.container()
    route = st.segmented_control(
        "Route", list(ROUTES), key=ROUTE, bind="query-params", default=EVERY_LESSON, required=True, persist_state="session"
    )
    st.session_state[CHOSEN_ROUTE] = route
    on_route = [name for name in ROUTES[route] if name in BY_NAME]
    with about:
        st.markdown(
            f"{SIMULATED} {len(LESSONS)} lessons of one screen each, on a subject whose truth is known. Each asks you to predict first, "
            f"and ends with its settings in Explore{_elsewhere()} and an exercise there. Answered: **{len(answered)} of {len(LESSONS)}**; "
            f"this browser and the link of this page remember it. {_duration(on_route)}"
        )
    following = next((name for name in on_route if name not in answered), on_route[0])
    st.button(
        f"{'Begin' if not answered else 'Go on'} with lesson {NAMES.index(following) + 1}: {BY_NAME[following].title}",
        key="begin",
        type="primary",
        on_click=go,
        args=(following,),
        shortcut="Right",
    )
    sheets = [BY_NAME[name] for name in on_route]
    left, right, anew, _ = st.columns(4)
    about = "One PDF with a page for each lesson of the route: question, room to write, exercise."
    offered = [(left, "Hand-out (PDF)", False, "handout", about)]
    if not st.session_state.get("_student"):
        of_answers = "For the lecturer: the right answers, and why; those of exercises whose fits are here."
        offered.append((right, "Answers (PDF)", True, "answers", of_answers))
    for place, label, answers, name, help in offered:
        make = partial(_handout, sheets, answers)
        place.download_button(
            label, make, f"{name}.pdf", "application/pdf", key=name, on_click="ignore", help=help, icon=":material/print:", width="stretch"
        )
    if answered or noted(SOLVED):
        anew_button(anew)
    leaderboard()
    for start in range(0, len(on_route), N_COLUMNS):
        for place, name in zip(st.columns(N_COLUMNS, gap="small"), on_route[start : start + N_COLUMNS], strict=False):
            with place:
                _card(BY_NAME[name], name in answered)


def _elsewhere() -> str:
    """Which lessons lead to another page than Explore."""
    layers = [f"lesson {lesson.place}" for lesson in LESSONS if lesson.networks]
    return f" (of {listed(layers)}, in Layers)" if layers else ""


def _duration(on_route: Sequence[str]) -> str:
    """How long the lessons of a route take a class."""
    minutes = sum(BY_NAME[name].minutes for name in on_route)
    which = "All of them" if len(on_route) == len(LESSONS) else f"The {len(on_route)} of this route"
    return f"{which} take about {f'{minutes / 60:.0f} hours' if minutes > 100 else f'{minutes} minutes'}."


def _way(name: str) -> Sequence[str]:
    """The lessons before and after this one are those of the route that was chosen, where it is on it; else those of the whole course."""
    route = ROUTES.get(st.session_state.get(CHOSEN_ROUTE) or st.query_params.get(ROUTE, ""), NAMES)
    return [each for each in route if each in BY_NAME] if name in route else NAMES


def _handout(lessons: Sequence[Lesson], answers: bool) -> bytes:
    from pages.parts.learn.handout import handout  # here, as its library takes half a second to import

    return handout(lessons, answers=answers, right=right_answer)


def _card(lesson: Lesson, answered: bool) -> None:
    with st.container(border=True, key=f"lesson_{lesson.name}", height="stretch"):
        title = f"{NAMES.index(lesson.name) + 1}. {lesson.title}"
        st.button(title, key=f"open_{lesson.name}", type="tertiary", on_click=go, args=(lesson.name,))
        mark = " · :green[✓ answered]" if answered else ""
        mark += " · :green[✓ exercise]" if lesson.name in noted(SOLVED) else ""
        st.caption(f"{lesson.question}  \n{lesson.minutes} min{mark}")


def lesson_header(lesson: Lesson) -> None:
    """Show the lesson's title and the ways to the course and to its neighbours on the route; arrow keys go, too."""
    place = NAMES.index(lesson.name)
    with st.container(key="lesson_head"):
        course, heading, switch, before, after = st.columns([3, 16, 5, 5, 5], vertical_alignment="center", gap="small")
    course.button("Course", key="course", width="stretch", on_click=go, args=(None,))
    heading.title(f"{place + 1}. {lesson.title}", anchor=False)
    projector_control(switch)
    way = _way(lesson.name)
    here = way.index(lesson.name)
    neighbours = [way[other] if 0 <= other < len(way) else None for other in (here - 1, here + 1)]
    for where, key, label, name, arrow in zip(
        (before, after), ("previous", "next"), ("Previous", "Next"), neighbours, ("Left", "Right"), strict=True
    ):
        where.button(label, key=key, width="stretch", disabled=name is None, on_click=go, args=(name,), shortcut=f"Alt+{arrow}")
