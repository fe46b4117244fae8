"""Lesson 1: what a vertex response is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.lessons.response import Answer, answer, strongest
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.lessons_encoding import standing
from pages.parts.learn.lesson import Lesson, source, subject, truth
from pages.parts.shared.brain_component import Selection, brain_view, clicked
from pages.parts.shared.chart import chart
from pages.parts.shared.fit_controls import START
from pages.parts.shared.text import plain

REGION = "FFA-1"  # whose most reliable vertex is looked at before one is clicked
FIRST_PICTURE = 1
RANGE = (-2.5, 2.5)
HOW = (
    "Each bar counts pictures that brought about this much response. The dotted line is the picture above. Responses are in standard "
    "deviations about the mean over all pictures: 0 is the answer to an average picture, +1 is a good deal more."
)


def show() -> str:
    seen = subject()
    slide, type_in = st.columns([4, 1])
    picture = slide.slider("Picture", 1, seen.n_stimuli, FIRST_PICTURE, key="picture", bind="query-params") - 1
    type_in.text_input("Vertex", key="at", bind="query-params", placeholder=_written(preferred()), help="Or click the brain.")
    hemi, column = vertex()
    responses = np.asarray(seen.responses[hemi][:, column], np.float64)
    found = answer(responses, truth().signal[hemi][:, column], float(seen.ceiling[hemi][column]), picture)
    left, right = st.columns([1, 3])
    left.image(seen.stimuli[picture], caption=plain(seen.stimuli.names[picture]), alt=seen.stimuli.names[picture], width="stretch")
    with left:
        best = strongest(responses, 3)
        st.caption("This vertex answers most to")
        st.image([seen.stimuli[int(row)] for row in best], width=36, alt=[seen.stimuli.names[int(row)] for row in best])
    with right:
        _brain(picture, (hemi, column))
    label = _written((hemi, column))
    chart(
        standing(responses, picture, height=154),
        "standing",
        alt=f"responses of vertex {label} to all pictures, the one to picture {picture + 1} marked",
        how=HOW,
        source=source(f"vertex {label}"),
    )
    return _told(found, picture, label)


def _brain(picture: int, chosen: Selection) -> None:
    seen = subject()
    values = {hemi: np.asarray(seen.responses[hemi][picture], np.float32) for hemi in seen.hemis}
    brain = BrainMap(
        values=values,
        vertices=seen.vertices,
        rois=seen.rois,
        source=source(f"response to picture {picture + 1}"),
        title=f"Response to picture {picture + 1}",
        quantity="response",
        colour_range=RANGE,
        colour_map="PuOr_r",
        view="ventral",
        selected=chosen,
    )
    brain_view(brain, key="answering", height=200, on_select=_listen)


def _listen() -> None:
    """Callback of the brain: the clicked vertex is listened to."""
    found = clicked("answering", subject().vertices)
    st.session_state["at"] = _written(found) if found else ""


def vertex() -> Selection:
    """The vertex that was typed or clicked, else :func:`preferred`."""
    seen = subject()
    hemi, _, column = st.session_state.get("at", "").strip().partition(" ")
    if not hemi:
        return preferred()
    if hemi not in seen.hemis or not column.strip().isdecimal() or int(column) >= len(seen.vertices[hemi]):
        most = ", ".join(f"{hemi} 0 to {hemi} {len(vertices) - 1}" for hemi, vertices in seen.vertices.items())
        st.warning(f"No vertex {plain(repr(st.session_state['at']))}. Vertices: {most}.")
        return preferred()
    return hemi, int(column)


def preferred() -> Selection:
    """The most reliable vertex of :data:`REGION`."""
    seen = subject()
    hemi = next(hemi for hemi in seen.hemis if len(seen.rois[hemi][REGION]))
    columns = seen.rois[hemi][REGION]
    return hemi, int(columns[np.argmax(seen.ceiling[hemi][columns])])


def _written(found: Selection) -> str:
    return f"{found[0]} {found[1]}"


def _told(found: Answer, picture: int, label: str) -> str:
    side = "more" if found.measured > 0 else "less"
    return (
        f"Vertex {label} answered **{found.measured:+.2f}** to picture {picture + 1}: {side} than to the average picture, and more than to "
        f"{found.weaker:.0%} of all pictures. As this subject is simulated, we know what is in that number: **{found.signal:+.2f}** is its "
        f"answer to the picture, **{found.noise:+.2f}** is noise that another showing would not repeat. "
        "Move the slider to show another picture to the whole cortex; click the brain to listen to another vertex."
    )


def door() -> FitSpec:
    hemi, column = vertex()
    return replace(START, target_groups=f"vertex:{hemi}:{column}")


LESSON = Lesson(
    place=1,
    name="response",
    title="What a vertex response is",
    idea="A **vertex** is a point of the cortical surface. For every picture that was shown it has one number, its **response**: how much "
    "more, or less, it answered than usual. An encoding model tries to predict these numbers from the pictures.",
    question="A vertex has a response of 0 to a picture. What does that say?",
    answers=("It was silent.", "It answered as it does to an average picture.", "Nothing was measured there."),
    right=1,
    because="Responses are counted from each vertex's own mean over all pictures. 0 is that mean, and half of all responses are below it.",
    show=show,
    door=door,
)
