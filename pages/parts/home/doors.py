"""The doors of the Home page: whole cards, each of which opens something finished or starts it, with the time that it takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from encoding import FitSpec
from encoding.jobs.tasks import study
from encoding.runtime.durations import duration
from pages.parts.shared.access import may_change
from pages.parts.shared.cards import card_style
from pages.parts.shared.links import explore_query, view
from pages.parts.shared.server_state import find_result, job_key, jobs, needs, planned
from pages.parts.shared.start import START

STYLE = card_style("door_")
UNTRAINED = replace(START, backbone="torchvision/alexnet", weights="random:0", layers=("features.9",))
ERRORS = (LookupError, ValueError, OSError)  # of a fit that cannot be planned; Explore says why


@dataclass(frozen=True)
class Door:
    """A card that leads to a page.

    Attributes
    ----------
    name : of its widget.
    title, about : what it says.
    page : the page that it leads to, by the name in its address.
    spec : the fit that the page shows; it is started where it is not finished. None: the page only opens.
    query : parameters of the page, where it shows no fit.
    """

    name: str
    title: str
    about: str
    page: str
    spec: FitSpec | None = None
    query: dict[str, Any] = field(default_factory=dict)


DOORS = (
    Door("explore", "Explore this model", "The brain, regions, single vertices, and the images it gets wrong.", "explore", START),
    Door(
        "simple",
        "Take phase invariance away",
        "Simple cells instead of complex ones: which regions lose most?",
        "explore",
        replace(START, layers=("simple",)),
    ),
    Door("untrained", "Untrained AlexNet, the control", "What do the architecture and chance weights predict?", "explore", UNTRAINED),
    Door("predict", "Show it your own image", "And see which parts of it drive a region.", "predict"),
    Door("learn", "Learn", "Lessons of one screen each, from a single response to common mistakes.", "learn"),
    Door("data", "Use other data", "Open data sets, the Algonauts challenges, or a folder of your own.", "data"),
)


def doors() -> dict[str, DeltaGenerator]:
    """Show the cards; returns the places for the times of those that have to be computed, by their names."""
    waiting = {}
    for door in DOORS:
        if (path := view(door.page)) is None:
            continue
        with st.container(border=True, key=f"door_{door.name}"):
            state = "" if door.spec is None else _state(door.spec)
            if door.spec is None or state == "ready" or not may_change():
                query = door.query if door.spec is None else explore_query(door.spec)
                st.page_link(path, label=door.title, query_params=query)
            elif st.button(door.title, type="tertiary", key=f"go_{door.name}"):
                if state != "running":
                    jobs().submit(study, door.spec, key=job_key(door.spec), planned=planned(door.spec))
                st.switch_page(path, query_params=explore_query(door.spec))
            place = st.empty()
            place.caption(f"{door.about} :gray-badge[{state}]" if state else door.about)
            if door.spec is not None and not state:
                waiting[door.name] = place
    return waiting


def _state(spec: FitSpec) -> str:
    """``ready``, ``running``, or empty for a fit that has to be started."""
    try:
        if find_result(spec) is not None:
            return "ready"
    except ERRORS:
        return ""
    job = jobs().get(job_key(spec))
    return "running" if job is not None and not job.finished else ""


def show_times(waiting: dict[str, DeltaGenerator]) -> None:
    """Write how long each fit takes that a card starts. Last on the page: a network is built and timed the first time."""
    for door in DOORS if may_change() else ():
        if door.name in waiting:
            try:
                needed = needs(door.spec)
            except ERRORS:
                continue
            if needed is not None:
                waiting[door.name].caption(f"{door.about} :blue-badge[{duration(needed.seconds)}]")
