"""Lesson on hierarchy: which ROIs early features predict, and which late ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding.lessons.hierarchy import LAYERS, SIMULATED_STAGES, best_layers, hierarchy_index, layer_scores, region_scores
from encoding.plots import lessons_comparison as figures
from encoding.plots.brain.brain_map import BrainMap
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, lesson_brain, lesson_chart, source, subject, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.start import START
from pages.parts.shared.wording import listed, number, percent

KEY = "hierarchy_layer"
MEANINGS = {"pixels": "the colours of the image itself", "energy": "Gabor energy: edges", "categories": "what is in the image"}
REMARKS = {
    "pixels": "Pixels do best in place areas, where the colours of a sky or a wall tell something.",
    "energy": "It is not at 0 in category areas: signs and faces have edges of their own. In place areas *pixels* beat it: the colours of "
    "a sky or a wall tell something there.",
    "categories": "*categories* are the labels of the scenes, known because code drew them, in the place of a network's last layer. Labels "
    "are no backbone, so the link shows Gabor energy at FFA-1: what it misses there.",
}
LOOKS = {  # on Layers, whose networks are these two
    "pixels": {"shown": "pixels rgb", "layer_roi": "V1v"},
    "energy": {"shown": "gabor energy", "layer_roi": "V1v"},
    "categories": {"shown": "gabor energy", "layer_roi": "FFA-1"},
}
HOW = (
    "Bars are the layer chosen above, diamonds the others. The height is the mean r of a region's vertices over the highest r that noise "
    "leaves possible there, so regions of different noise can be compared: 1 is a perfect model."
)


@st.cache_data(max_entries=4, show_spinner=False)
def _scores(key: str) -> dict[str, np.ndarray]:
    """Layer to r of every vertex."""
    spaces = {"pixels": _subject.components(_subject.PIXELS), "energy": _subject.components(START), "categories": _subject.categories()}
    return layer_scores(spaces, _subject.responses(), _subject.fold())


def _show() -> str:
    layer = st.segmented_control(
        "Features, from early to late",
        LAYERS,
        key=KEY,
        bind="query-params",
        default="energy",
        required=True,
        help=" ".join(f"**{name}**: {meaning}." for name, meaning in MEANINGS.items()),
    )
    r, regions = _scores(subject_key()), {name: _subject.columns(name) for name in SIMULATED_STAGES}
    scores = {name: region_scores(values, _subject.ceiling(), regions) for name, values in r.items()}
    left, right = st.columns(2)
    with left:
        _brain(r[layer], layer)
    with right:
        figure = figures.regions_by_layer(scores, list(regions), layer)
        alt = f"score of {layer} in each region, from V1v to VWFA-1, with the other layers"
        lesson_chart(figure, "hierarchy_regions", alt=alt, how=HOW, source=source(f"{layer}, ridge"))
    return _summary(layer, scores)


def _brain(r: np.ndarray, layer: str) -> None:
    drawn = subject()
    brain = BrainMap(
        values=_subject.halves(r),
        vertices=drawn.vertices,
        rois=drawn.rois,
        source=source(f"{layer}, ridge"),
        title=f"r per vertex, {layer} (simulated)",
        colour_range=(0.0, 0.8),
        colour_map="plasma",
        view="posterior",
        outlined=("V1v", "V1d", "FFA-1", "PPA"),
    )
    lesson_brain(brain, "hierarchy_brain", height=220, share=0.9)


def _summary(layer: str, scores: dict[str, np.ndarray]) -> str:
    names = list(SIMULATED_STAGES)
    best = best_layers(np.array(list(scores.values())))
    won = {each: [name for name, winner in zip(names, best, strict=True) if LAYERS[winner] == each] for each in LAYERS}
    here = dict(zip(names, scores[layer], strict=True))
    wins = " ".join(f"*{each}* wins in {listed(won[each])}." for each in LAYERS if won[each])
    index = hierarchy_index(best, list(SIMULATED_STAGES.values()))
    return (
        f"**{layer}** ({MEANINGS[layer]}) reaches {percent(here['V1v'])} of the highest possible r in V1v, {percent(here['hV4'])} in hV4 "
        f"and {percent(here['FFA-1'])} in FFA-1. {wins} The **hierarchy index**, the rank correlation of a region's best layer with its "
        f"stage in the cortex, is **{number(index)}**.\n\n{REMARKS[layer]} The truth is known here: this subject's early areas were made "
        "to answer to Gabor energy in a small part of the image, its category areas to what is shown, hV4 to some of both."
    )


CODE = """\
from encoding.lessons.hierarchy import SIMULATED_STAGES, best_layers, hierarchy_index, layer_scores, region_scores
from encoding.plots.lessons_comparison import regions_by_layer

spaces = {"pixels": m.components("pixels", ["rgb"]), "energy": m.Z, "categories": m.categories()}
regions = {name: m.columns(name) for name in SIMULATED_STAGES}
r = layer_scores(spaces, m.Y, m.fold)
scores = {name: region_scores(values, m.ceiling, regions) for name, values in r.items()}
best = best_layers([scores[name] for name in spaces])
print("hierarchy index", hierarchy_index(best, list(SIMULATED_STAGES.values())))
regions_by_layer(scores, list(regions), "energy")
"""

LESSON = Lesson(
    place=7,
    name="hierarchy",
    title="The hierarchy",
    idea=(
        "A network's early layers see edges and colours, its late layers see things. Fit each layer to each region, and the layer that "
        "wins is a hint of what a region responds to, no proof: other features may predict as well for other reasons. Here three feature "
        "spaces stand for early, middle and late layers."
    ),
    question="Gabor energy knows edges and nothing of things. Where will it predict best?",
    answers=("Everywhere alike", "In V1 and its neighbours", "In face and place areas"),
    right=1,
    because=(
        "Early areas respond to edges at a place, which is what Gabor energy measures. A face area responds to a face wherever its edges "
        "lie, so one needs features of faces."
    ),
    show=_show,
    explore_spec=lambda: START,
    networks=("pixels", "gabor"),
    looks=lambda: LOOKS[st.session_state.get(KEY) or "energy"],
    controls=(KEY,),
    code=CODE,
    exercise=Exercise(
        task="Fit the layer `simple` in place of `energy`, and divide each bar by the one it had before. Left hemisphere.",
        ask="Which region keeps most of its r?",
        specs=(START, replace(START, layers=("simple",))),
        answer=lambda energy, simple: max(("V1v", "hV4", "FFA-1", "PPA"), key=lambda roi: bar(simple, roi) / bar(energy, roi)),
        choices=("V1v", "hV4", "FFA-1", "PPA"),
    ),
)
