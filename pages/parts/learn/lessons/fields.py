"""Lesson 3: retinotopy and receptive fields."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.datasets.simulation.scenes import DEGREES
from encoding.lessons import fields
from encoding.lessons.fields import AREAS, SIZES, Field
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.lessons_encoding import field_found, visual_field
from pages.parts.learn.exercise import Exercise, highest
from pages.parts.learn.lesson import Lesson, lesson_brain, lesson_chart, source, subject, subject_key, truth
from pages.parts.shared.start import START

EDGE = DEGREES / 2
CLOSE = "-105,-5,1.5,0,0"  # from behind and a little from the middle, near enough to see it from the last row
LEAST_DRIVE = 0.1  # coloured: the rest of the early areas is grey, so that the answer is seen from the last row
HOW_FIELD = (
    "The images fill this square; the centre of gaze is in its middle. Each circle is the receptive field of the vertex whose "
    "field lies nearest to the spot, one of each area; its radius is one standard deviation."
)
HOW_FOUND = (
    "The colour is the correlation, over all images, of the contrast at a place with the response of the V1 vertex. Images have edges "
    "in many places at once, so the cloud is wider than the field. The dotted circle is the round field whose contrast goes best with the "
    "responses; the solid one is the truth."
)


@dataclass(frozen=True)
class FieldMaps:
    """Vertex of each area nearest to the spot in ``hemi``, its true field, and the recovered field of the V1 vertex."""

    hemi: str
    vertices: dict[str, int]
    true: dict[str, Field]
    found: Field
    values: np.ndarray


def show() -> str:
    """Show receptive fields of the vertices nearest to a spot, true and recovered."""
    at, away = st.columns(2)
    angle = at.slider("Angle (0 is right, 90 up, 180 left)", 0, 345, 30, 15, key="angle", bind="query-params")
    eccentricity = away.slider("Distance from the centre of gaze (degrees)", 0.5, 4.0, 1.5, 0.25, key="eccentricity", bind="query-params")
    x, y = _spot()
    maps = _field_maps(subject_key(), angle, eccentricity)
    true = maps.true["V1"]
    lesson_brain(_answering(x, y), "seeing", height=220, share=0.4, looks_from=CLOSE)
    left, right = st.columns(2)
    with left:
        circles = {area: (field.x, field.y, field.size) for area, field in maps.true.items()}
        lesson_chart(
            visual_field((x, y), circles, edge=EDGE, height=250),
            "visual_field",
            alt="receptive fields of one vertex of V1, V2, V3 and hV4 around the spot",
            how=HOW_FIELD,
            source=source("truth"),
        )
    with right:
        field = maps.found
        lesson_chart(
            field_found(maps.values, (true.x, true.y, true.size), (field.x, field.y, field.size), edge=EDGE, height=250),
            "found",
            alt=f"where contrast goes with the responses of V1 vertex {maps.hemi} {maps.vertices['V1']}, with its field known and found",
            how=HOW_FOUND,
            source=source(f"vertex {maps.hemi} {maps.vertices['V1']}"),
        )
    return _summary(maps, x, y)


def _spot() -> tuple[float, float]:
    angle = np.radians(st.session_state.get("angle", 30))
    eccentricity = st.session_state.get("eccentricity", 1.5)
    return float(eccentricity * np.cos(angle)), float(eccentricity * np.sin(angle))


@st.cache_resource(max_entries=2, show_spinner="Computing, once …")
def _tried(key: str) -> tuple[np.ndarray, fields.Candidates]:
    contrasts = fields.contrast(truth().scenes.images)
    return contrasts, fields.candidates(contrasts)


@st.cache_data(max_entries=512, show_spinner=False)
def _field_maps(key: str, angle: int, eccentricity: float) -> FieldMaps:
    x, y = _spot()
    hemi = fields.sees(x)
    half = truth().cortex[hemi]
    vertices = {area: fields.nearest(half, area, x, y) for area in AREAS}
    responses = np.asarray(subject().responses[hemi][:, vertices["V1"]])
    contrasts, tried = _tried(key)
    true = {area: fields.field_of(half, vertex) for area, vertex in vertices.items()}
    return FieldMaps(hemi, vertices, true, fields.recovered(responses, tried), fields.place_map(responses, contrasts))


def _answering(x: float, y: float) -> BrainMap:
    """How strongly the spot drives the vertices of V1 to hV4, where it does."""
    seen, values = subject(), {}
    for hemi, half in truth().cortex.items():
        inside = np.isin(np.arange(len(half.x)), np.concatenate([fields.members(half, area) for area in AREAS]))
        drive = fields.drive(half, x, y)
        values[hemi] = np.where(inside & (drive >= LEAST_DRIVE), drive, np.nan)
    return BrainMap(
        values=values,
        vertices=seen.vertices,
        rois=seen.rois,
        source=source("its true receptive fields"),
        title="Who sees the spot",
        quantity="drive",
        colour_range=(0.0, 1.0),
        colour_map="viridis",
        view="posterior",
        outlined=("V1v", "V1d"),
    )


def _summary(maps: FieldMaps, x: float, y: float) -> str:
    sizes = " → ".join(f"{area} {field.size:.2f}°" for area, field in maps.true.items())
    true, found = maps.true["V1"], maps.found
    grow = "Fields grow from area to area" if _rising(maps) else "Fields grow from area to area on average, if not at every spot"
    turn = (
        "Move the spot off the midline and the hemisphere of the other side answers"
        if fields.on_midline(x)
        else "Turn the spot by a half circle and the other hemisphere answers"
    )
    return (
        f"{_where(maps, x, y)} {grow}: {sizes}. Nobody told the analysis where the V1 vertex looks: "
        f"from its responses to images alone its field was found **{true.distance(found):.1f}°** from the true centre, with a size of "
        f"{found.size:.2f}° where {true.size:.2f}° is true. {_size(true, found)} {turn}; above the horizontal midline it is **V1v** that "
        "sees it, the **lower** bank of the calcarine sulcus: the cortex is upside down, too."
    )


def _where(maps: FieldMaps, x: float, y: float) -> str:
    """Which hemisphere sees the spot, and whether a V1 field of this subject reaches it."""
    side = {"lh": "left", "rh": "right"}[maps.hemi]
    where = (
        f"The spot is on the vertical midline, where the halves of the visual field meet, so **both** hemispheres see it; the vertices "
        f"shown are of the {side} one."
        if fields.on_midline(x)
        else f"The spot is in the {'right' if x > 0 else 'left'} half, so the **{side}** hemisphere sees it."
    )
    if max(fields.largest_drive(half, "V1", x, y) for half in truth().cortex.values()) >= LEAST_DRIVE:
        return where
    away = maps.true["V1"].distance(Field(x, y, 0.0))
    return (
        f"{where} **No V1 field of this subject lies there**: the nearest centre in the {side} hemisphere is {away:.1f}° away; "
        "that vertex is shown."
    )


def _size(true: Field, found: Field) -> str:
    """How the size that was found stands to the true one, and why."""
    tried = f"the {len(SIZES)} sizes that are tried, from {min(SIZES):g}° to {max(SIZES):g}°"
    if np.isclose(found.size, min(SIZES, key=lambda size: abs(np.log(size / true.size)))):
        return f"That is the nearest of {tried}."
    if found.size > true.size:
        return f"That is too large, as neighbouring places of an image have similar contrast; it is one of {tried}."
    return f"That is too small, which noise in the responses can do; it is one of {tried}."


def _rising(maps: FieldMaps) -> bool:
    return bool((np.diff([field.size for field in maps.true.values()]) > 0).all())


def explore_spec() -> FitSpec:
    """Default fit of the V1 vertex nearest to the spot."""
    x, y = _spot()
    hemi = fields.sees(x)
    return replace(START, target_groups=f"vertex:{hemi}:{fields.nearest(truth().cortex[hemi], 'V1', x, y)}")


CODE = """\
from encoding.datasets.simulation.scenes import DEGREES
from encoding.lessons import fields
from encoding.plots.lessons_encoding import field_found

x, y = 1.3, 0.75  # degrees to the right and up
hemi = fields.sees(x)
vertex = fields.nearest(m.truth.cortex[hemi], "V1", x, y)
true = fields.field_of(m.truth.cortex[hemi], vertex)
contrasts = fields.contrast(m.truth.scenes.images)
responses = m.subject.responses[hemi][:, vertex]
found = fields.recovered(responses, fields.candidates(contrasts))
circles = [(field.x, field.y, field.size) for field in (true, found)]
field_found(fields.place_map(responses, contrasts), *circles, edge=DEGREES / 2)
"""

LESSON = Lesson(
    place=3,
    name="fields",
    title="Retinotopy and receptive fields",
    idea="A vertex of early visual cortex answers to one part of the image only, its **receptive field**. Neighbours on the cortex look "
    "at neighbouring places: this is **retinotopy**. Here a spot is put somewhere into the visual field.",
    question="The spot is to the right of the centre of gaze. Which hemisphere's early visual cortex answers?",
    answers=("The right one.", "The left one.", "Both alike."),
    right=1,
    because="Each hemisphere sees the opposite half of the visual field. V1's fields are the smallest; later areas look at more at once.",
    show=show,
    explore_spec=explore_spec,
    controls=("angle", "eccentricity"),
    code=CODE,
    exercise=Exercise(
        task="Compare the areas of early visual cortex, left hemisphere: their fields grow from one to the next.",
        ask="Which is predicted best?",
        specs=(START,),
        answer=lambda fit: highest(fit, ("V1v", "V2v", "V3v", "hV4")),
        choices=("V1v", "V2v", "V3v", "hV4"),
    ),
)
