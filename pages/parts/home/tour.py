"""The first visitor's tour of four steps, in a card at the bottom of the window; the browser remembers that it was seen."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.parts.shared.links import view

STORED = "encoding-explorer-tour"  # in the browser's local storage
_memory = st.components.v2.component(
    "tour_memory",
    html="<span></span>",
    js=f"""export default function ({{ data, setStateValue }}) {{
  try {{
    if (data.seen) localStorage.setItem("{STORED}", "seen");
    else if (!localStorage.getItem("{STORED}")) setStateValue("first", true);
  }} catch (error) {{}}  // a browser that stores nothing gets no tour by itself
}}""",
)


@dataclass(frozen=True)
class Step:
    """A step of the tour.

    Attributes
    ----------
    page : what it leads to, by the name in its address; empty for this page.
    target : CSS selector of what is outlined, besides the page's link in the sidebar.
    """

    title: str
    about: str
    page: str
    target: str


STEPS = (
    Step(
        "The brain",
        "Its colour is how well a model predicts each place, on images that the model never saw. Drag to turn it, scroll to zoom.",
        "",
        ".st-key-home_brain",
    ),
    Step(
        "Explore",
        "Choose a network, a layer and a readout, press Fit, then click the brain or a bar: every chart follows.",
        "explore",
        ".st-key-door_explore",
    ),
    Step("Layers", "Fit every layer of a network at once and see which one wins in which region, and how sure that is.", "layers", ""),
    Step("Learn", "Lessons of one screen each: predict first, then move something and see.", "learn", ".st-key-door_learn"),
)
STYLE = """<style>
.st-key-tour {position: fixed; bottom: 1rem; left: 50%; transform: translateX(-50%); width: min(34rem, calc(100vw - 2rem)); z-index: 999;
  background: var(--st-background-color); border-color: var(--st-primary-color); box-shadow: 0 4px 24px rgb(0 0 0 / 0.25)}
@media (min-width: 641px) and (max-width: 1199px) {  /* beside the sidebar */
  .st-key-tour {left: auto; right: 1rem; transform: none; width: min(34rem, calc(100vw - 300px - 2rem))}
}
.st-key-tour :is(p, [data-testid=stMarkdownContainer]) {margin: 0}
.st-key-tour_memory {display: none}
</style>"""


def tour() -> None:
    """Show the step of the tour that the visitor has come to: on a first visit, or when it was asked for."""
    state = _memory(key="tour_memory", data={"seen": st.session_state.get("_tour_seen", False)}, on_first_change=lambda: None)
    st.html(STYLE)
    if "_tour_step" not in st.session_state and state.get("first") and not st.session_state.get("_tour_seen"):
        st.session_state["_tour_step"] = 0
    number = st.session_state.get("_tour_step")
    if number is not None:
        _show(number)


def tour_button() -> None:
    """Button that shows the tour again."""
    st.button("Take the tour", key="take_tour", type="tertiary", icon=":material/signpost:", on_click=_go, args=(0,))


def _show(number: int) -> None:
    step = STEPS[number]
    outlined = ", ".join(filter(None, [step.target, step.page and f"[data-testid=stSidebarNav] a[href$='/{step.page}']"]))
    st.html(f"<style>:is({outlined}) {{outline: 3px solid var(--st-primary-color); outline-offset: 3px; border-radius: 6px}}</style>")
    with st.container(border=True, key="tour", gap="xsmall"):
        st.markdown(f"**{number + 1} of {len(STEPS)} · {step.title}**")
        st.markdown(step.about)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if number + 1 < len(STEPS):
                st.button("Next", key="tour_next", type="primary", on_click=_go, args=(number + 1,))
                st.button("Skip the tour", key="tour_skip", type="tertiary", on_click=_go, args=(None,))
            else:
                st.button("Done", key="tour_done", type="primary", on_click=_go, args=(None,))
            if step.page:
                st.page_link(view(step.page), label=f"Open {step.title}")


def _go(number: int | None) -> None:
    """Callback: go to a step, or end the tour, which the browser then remembers."""
    st.session_state["_tour_step"] = number
    if number is None:
        st.session_state["_tour_seen"] = True
