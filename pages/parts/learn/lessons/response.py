"""Lesson 1: what a vertex response is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.lessons.response import Answer, answer, strongest
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.lessons_encoding import standing
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, lesson_brain, lesson_chart, source, subject, truth
from pages.parts.shared.brain_component import Selection, clicked
from pages.parts.shared.start import START
from pages.parts.shared.text import plain
from pages.parts.shared.wording import percent, signed

REGION = "FFA-1"  # whose most reliable vertex is looked at before one is clicked
FIRST_IMAGE = 1
RANGE = (-2.5, 2.5)
HOW = (
    "Each bar counts images that brought about this much response. The dotted line is the image above. Responses are in standard "
    "deviations about the mean over all images: 0 is the answer to an average image, +1 is a good deal more."
)


def show() -> str:
    """Show the response of a vertex to an image, among its responses to all images."""
    seen = subject()
    slide, type_in = st.columns([4, 1])
    image = slide.slider("Image", 1, seen.n_stimuli, FIRST_IMAGE, key="picture", bind="query-params") - 1
    type_in.text_input("Vertex", key="at", bind="query-params", placeholder=_written(preferred()), help="Or click the brain.")
    hemi, column = vertex()
    responses = np.asarray(seen.responses[hemi][:, column], np.float64)
    answered = answer(responses, truth().signal[hemi][:, column], float(seen.ceiling[hemi][column]), image)
    left, right = st.columns([1, 3])
    left.image(seen.stimuli[image], caption=plain(seen.stimuli.names[image]), alt=seen.stimuli.names[image], width="stretch")
    with left:
        best = strongest(responses, 3)
        st.caption("This vertex answers most to")
        st.image([seen.stimuli[int(row)] for row in best], width=36, alt=[seen.stimuli.names[int(row)] for row in best])
    with right:
        _brain(image, (hemi, column))
    label = _written((hemi, column))
    lesson_chart(
        standing(responses, image, height=154),
        "standing",
        alt=f"responses of vertex {label} to all images, the one to image {image + 1} marked",
        how=HOW,
        source=source(f"vertex {label}"),
    )
    return _summary(answered, image, label)


def _brain(image: int, chosen: Selection) -> None:
    seen = subject()
    values = {hemi: np.asarray(seen.responses[hemi][image], np.float32) for hemi in seen.hemis}
    brain = BrainMap(
        values=values,
        vertices=seen.vertices,
        rois=seen.rois,
        source=source(f"response to image {image + 1}"),
        title=f"Response to image {image + 1}",
        quantity="response",
        colour_range=RANGE,
        colour_map="PuOr_r",
        view="ventral",
        selected=chosen,
    )
    lesson_brain(brain, "answering", height=200, share=0.6, on_select=_listen)


def _listen() -> None:
    """Callback of the brain: the clicked vertex is listened to."""
    vertex = clicked("answering", subject().vertices)
    st.session_state["at"] = _written(vertex) if vertex else ""


def vertex() -> Selection:
    """Selected vertex, typed or clicked, else :func:`preferred`."""
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


def _written(vertex: Selection) -> str:
    return f"{vertex[0]} {vertex[1]}"


def _summary(answered: Answer, image: int, label: str) -> str:
    side = "more" if answered.measured > 0 else "less"
    return (
        f"Vertex {label} answered **{signed(answered.measured)}** to image {image + 1}: {side} than to the average image, and more than to "
        f"{percent(answered.weaker)} of all images. As this subject is simulated, we know what is in that number: "
        f"**{signed(answered.signal)}** is its answer to the image, **{signed(answered.noise)}** is noise that another showing would not "
        "repeat. Move the slider to show another image to the whole cortex; click the brain to listen to another vertex."
    )


def explore_spec() -> FitSpec:
    """Default fit of the selected vertex."""
    hemi, column = vertex()
    return replace(START, target_groups=f"vertex:{hemi}:{column}")


CODE = """\
import numpy as np

from encoding.lessons.response import answer
from encoding.plots.lessons_encoding import standing

hemi, image = "lh", 0
column = m.subject.rois[hemi]["FFA-1"][0]
responses = np.asarray(m.subject.responses[hemi][:, column], float)
print(answer(responses, m.truth.signal[hemi][:, column], float(m.subject.ceiling[hemi][column]), image))
standing(responses, image)
"""

LESSON = Lesson(
    place=1,
    name="response",
    title="What a vertex response is",
    idea="A **vertex** is a point of the cortical surface. For every image that was shown it has one number, its **response**: how much "
    "more, or less, it answered than usual. An encoding model tries to predict these numbers from the images.",
    question="A vertex has a response of 0 to an image. What does that say?",
    answers=("It was silent.", "It answered as it does to an average image.", "Nothing was measured there."),
    right=1,
    because="Responses are counted from each vertex's own mean over all images. 0 is that mean, and about half of all "
    "responses are below it.",
    show=show,
    explore_spec=explore_spec,
    controls=("picture", "at"),
    code=CODE,
    exercise=Exercise(
        task="Open the default fit and hover over the bar of **V1v**, left hemisphere.",
        ask="How high is it (mean r)?",
        specs=(START,),
        answer=lambda fit: bar(fit, "V1v"),
    ),
)
