"""Controls and notes beside every brain map: surface, outlined ROIs, unknown positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from encoding.datasets import Subject
from encoding.datasets._unit import VERTEX
from encoding.evaluation.scores import SCORES
from encoding.plots.brain.brain_map import DRAWN
from encoding.plots.brain.score_maps import START_VIEW
from pages.parts.shared.labels import class_label

__all__ = ["START_VIEW", "outline_control", "say_no_place", "say_sampled", "surface_control", "threshold_control"]


def surface_control(place: DeltaGenerator) -> str:
    """Choose the surface of brain maps, shared by all pages of a session."""
    return place.segmented_control("Surface", DRAWN, key="surface", default=DRAWN[0], required=True, persist_state="session")


def outline_control(place: DeltaGenerator, classes: Mapping[str, Sequence[str]], *, key: str = "outlines") -> tuple[str, ...]:
    """Choose the ROI classes whose borders are drawn and return their ROIs; initially the first class."""
    kinds = place.multiselect("Outlines", [*classes], key=key, default=[*classes][:1], format_func=class_label, persist_state="session")
    return tuple(name for kind in kinds for name in classes.get(kind, ()))


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
