"""Controls and notes beside every brain map: surface, outlined ROIs, unknown positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from encoding.datasets import Subject
from encoding.datasets._unit import VERTEX
from encoding.evaluation.scores import SCORES
from encoding.plots.brain.brain_map import DRAWN
from encoding.plots.brain.score_maps import START_VIEW
from encoding.runs.labels import class_label
from pages.parts.shared.link_notes import taken
from pages.parts.shared.linked import adopt_link, hold, linked_value, pick, write_link

NO_OUTLINES = "none"  # in a link
__all__ = ["START_VIEW", "colour_controls", "outline_control", "say_no_place", "say_sampled", "surface_control", "threshold_control"]


def surface_control(place: DeltaGenerator) -> str:
    """Choose the surface of brain maps, shared by all pages of a session."""
    return pick("Surface", "surface", DRAWN, DRAWN[0], place=place)


def outline_control(place: DeltaGenerator, classes: Mapping[str, Sequence[str]], *, key: str = "outlines") -> tuple[str, ...]:
    """Choose the ROI classes whose borders are drawn and return their ROIs; initially the first class."""
    first = [*classes][:1]
    adopt_link(key, several=True)
    if st.query_params.get_all(key) == [NO_OUTLINES]:
        taken(key)
    hold(key, [kind for kind in st.session_state.get(key, first) if kind in classes])
    kinds = place.multiselect("Outlines", [*classes], key=key, format_func=class_label, persist_state="session")
    write_link(key, kinds or [NO_OUTLINES], first or [NO_OUTLINES])
    return tuple(name for kind in kinds for name in classes.get(kind, ()))


def chosen_look(classes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Surface and outlined ROIs that the controls of the page's main brain have chosen, as arguments of a further one's BrainMap."""
    kinds = st.session_state.get("outlines", [*classes][:1])
    outlined = tuple(name for kind in kinds for name in classes.get(kind, ()))
    return {"surface": st.session_state.get("surface") or DRAWN[0], "outlined": outlined}


def threshold_control(place: DeltaGenerator, score: str, most: float, step: float, *, key: str) -> dict[str, float | bool]:
    """Choose which values of a score's map are hidden: low ones, or of an error high ones; at first none.

    Parameters
    ----------
    most, step : end and step of the slider.
    key : of the slider, before the score's name.

    Returns
    -------
    The arguments ``threshold`` and ``hide_above`` of :class:`~encoding.plots.brain.brain_map.BrainMap`.
    """
    if not SCORES[score].lower_is_better:
        least = place.slider("Hide values below", 0.0, most, 0.0, step, key=f"{key}_{score}", persist_state="session")
        return {"threshold": least, "hide_above": False}
    limit = place.slider("Hide values above", 0.0, most, most, step, key=f"{key}_{score}_{most:g}", persist_state="session")
    return {"threshold": limit if limit < most else 0.0, "hide_above": True}


def colour_controls(
    place: DeltaGenerator, score: str, most: float, start: tuple[float, float], step: float, *, key: str = ""
) -> dict[str, Any]:
    """Choose the colour range of a score's map and which of its values are hidden; both stand in the link.

    A range that nobody chose is that of the fit at hand; a chosen one stays when another fit comes.

    Parameters
    ----------
    most, step : end and step of the sliders. start : of the colour range. key : of the sliders, before what they are of.

    Returns
    -------
    The arguments ``colour_range``, ``threshold`` and ``hide_above`` of :class:`~encoding.plots.brain.brain_map.BrainMap`.
    """

    def numbers(text: str) -> list[float]:
        try:
            found = [float(each) for each in text.split(",")]
        except ValueError:
            found = []
        if not found or not all(0 <= each <= most for each in found):
            raise ValueError(f"must be from 0 to {most:g}, not {text}")
        return found

    def two(text: str) -> tuple[float, float]:
        low, high = (found := numbers(text))[0], found[-1]
        if len(found) != 2 or low > high:
            raise ValueError(f"must be two numbers such as {start[0]:g},{start[1]:g}, not {text}")
        return low, high

    above = SCORES[score].lower_is_better
    limit, nothing = (f"{key}threshold_{score}_{most:g}", most) if above else (f"{key}threshold_{score}", 0.0)
    shown, first = f"{key}range_{score}", f"_{key}start_{score}"
    before = st.session_state.get(first, start)
    if before != start and st.session_state.get(shown) == before:
        st.session_state[shown] = start
    st.session_state[first] = start
    linked_value(shown, "colours", two, start)
    linked_value(limit, "hide", lambda text: numbers(text)[0], nothing)
    value = None if shown in st.session_state else start
    ends = place.slider("Colours from, to", 0.0, most, value, step, key=shown, persist_state="session")
    hidden = threshold_control(place, score, most, step, key=f"{key}threshold")
    write_link("colours", f"{ends[0]:g},{ends[1]:g}", f"{start[0]:g},{start[1]:g}")
    write_link("hide", f"{hidden['threshold']:g}", "0")
    return {"colour_range": ends if ends[0] < ends[1] else (0.0, most)} | hidden


def say_no_place(subject: Subject) -> None:
    """Explain why there is no brain map."""
    if subject.grid is not None:
        st.info(f"The {subject.unit.many} lie in the subject's own space, so there is no brain map. Data and Explore show slices.")
        return
    st.info(f"This data set says nothing of where its {subject.unit.many} lie, so there is no brain map. Everything else works.")


def say_sampled(subject: Subject) -> None:
    """Explain how voxels are projected to the surface; nothing where columns are vertices."""
    if subject.sampled is not None:
        if subject.unit is VERTEX:
            st.caption("Each vertex of fsaverage5 shows the nearest vertex of the surface that was measured (fsLR), by their spheres.")
        else:
            st.caption(
                "Each vertex of the surface shows the voxel or parcel halfway through the cortex there (nilearn's vol_to_surf, nearest)."
            )
