"""Lesson 2: regions of interest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.datasets.simulation.scenes import CATEGORIES
from encoding.lessons.rois import Profile, found_rois, profile, responses_of
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.lessons_encoding import kinds
from encoding.runtime.wording import counted
from pages.parts.learn.exercise import Exercise, highest
from pages.parts.learn.lesson import Lesson, lesson_brain, lesson_chart, source, subject, subject_key
from pages.parts.shared.glossary import explain
from pages.parts.shared.start import START
from pages.parts.shared.wording import signed, standard_errors

FIRST = "V1v"
VIEWS = {"medial": ("V1v", "V1d", "V2v", "V2d", "RSC"), "lateral": ("EBA", "OFA", "OPA", "V3d", "midlateral", "lateral")}  # else below
CLEAR = 4.0  # standard errors by which kinds of images differ clearly
EARLY = ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "early")  # simulated to answer to edges alone
HOW = (
    "Each bar is the mean response of the region's vertices to the images that mainly show one kind of thing. The whiskers are "
    "95 % intervals over images: kinds whose whiskers overlap may drive the region equally."
)


def show() -> str:
    """Show an ROI on the brain and its mean response to each category."""
    seen = subject()
    sizes = found_rois(seen)
    roi = st.selectbox("Region", list(sizes), index=list(sizes).index(FIRST), key="region", bind="query-params", help=explain(FIRST))
    profile = _profile(subject_key(), roi)
    where, examples = st.columns([3, 2], vertical_alignment="center")
    with where:
        lesson_brain(_where(roi), "where", height=180, share=0.5)
    labels = np.asarray(seen.labels["category"])
    names = [name for name in profile.names if (labels == name).any()]
    with examples, st.container(key="kinds_shown"):
        for first in range(0, len(names), 3):
            for place, name in zip(st.columns(3, gap="xsmall"), names[first : first + 3], strict=False):
                row = int(np.flatnonzero(labels == name)[0])
                place.image(seen.stimuli[row], caption=name, alt=f"an image of the kind {name}", width="stretch")
    lesson_chart(
        kinds(profile.names, profile.means, profile.errors, height=190),
        "kinds",
        alt=f"mean response of {roi} to each kind of image",
        how=HOW,
        source=source(f"{roi}, {sizes[roi]} vertices"),
    )
    return _summary(roi, sizes[roi], profile)


@st.cache_data(max_entries=64, show_spinner=False)
def _profile(key: str, roi: str) -> Profile:
    seen = subject()
    return profile(responses_of(seen, roi), seen.labels["category"], CATEGORIES)


def _where(roi: str) -> BrainMap:
    """The region on the brain, coloured by how well its vertices can be predicted at all."""
    seen = subject()
    values = {hemi: np.where(np.isin(np.arange(len(c)), seen.rois[hemi][roi]), np.sqrt(c), np.nan) for hemi, c in seen.ceiling.items()}
    return BrainMap(
        values=values,
        vertices=seen.vertices,
        rois=seen.rois,
        source=source("its noise ceiling"),
        title=roi,
        quantity="highest r",
        colour_range=(0.0, 1.0),
        colour_map="viridis",
        view=next((view for view, rois in VIEWS.items() if roi in rois), "ventral"),
        chosen_roi=roi,
    )


def _summary(roi: str, n_vertices: int, profile: Profile) -> str:
    best = profile.names[profile.best]
    return (
        f"**{roi}**: {explain(roi)} It has {counted(n_vertices, 'vertex', 'vertices')} here. Images of **{best}** drive it most "
        f"({signed(profile.means.max())}). {_conclusion(roi, profile)} Bars below 0 are responses below the mean over all images."
    )


def _conclusion(roi: str, profile: Profile) -> str:
    """What the differences between kinds of images say of a region: whether there are any, whether one stands out, and why."""
    order = np.argsort(-profile.means)
    best, second, last = (profile.names[i] for i in (order[0], order[1], order[-1]))
    ahead, whole = standard_errors(profile.spread), standard_errors(profile.range)
    if profile.range <= CLEAR:
        return f"From {best} to {last} it is only {whole}: kinds hardly differ here, so they are not what drives it."
    if roi in EARLY:
        return (
            f"From {best} to {last} it is {whole}, so kinds do differ, but that does not make it an area for {best}: it answers to edges "
            "and contrast, of which kinds of images have more or less."
        )
    if profile.spread > CLEAR:
        return f"They stand out clearly, {ahead} above {second}: it is **selective** for {best}."
    return (
        f"They are only {ahead} above {second}, but {whole} above {last}: kinds do matter here, though no single one stands out. "
        "What the first kinds have in common may be what drives it."
    )


def explore_spec() -> FitSpec:
    """Default fit at the selected ROI."""
    return replace(START, rois=(st.session_state.get("region", FIRST),))


CODE = """\
from encoding.datasets.simulation.scenes import CATEGORIES
from encoding.lessons.rois import profile, responses_of
from encoding.plots.lessons_encoding import kinds

region = profile(responses_of(m.subject, "V1v"), m.subject.labels["category"], CATEGORIES)  # then "FFA-1"
kinds(region.names, region.means, region.errors)
"""

LESSON = Lesson(
    place=2,
    name="rois",
    title="Regions of interest",
    idea="A **region of interest** (ROI) is a named group of vertices that an experiment of its own has found, such as those that answer "
    "more to faces than to anything else. Results are given by region: single vertices are noisy, and other studies "
    "have the same regions.",
    question="V1 knows nothing of faces, words or places. What will its mean response to each kind of image be?",
    answers=("The same for every kind.", "Not the same: kinds of images differ in contrast and edges, too.", "Highest to faces."),
    right=1,
    because="Printed words have many sharp edges, which drive V1. A difference between kinds alone does not make it an area for "
    "words: compare V1v with FFA-1.",
    show=show,
    explore_spec=explore_spec,
    controls=("region",),
    code=CODE,
    exercise=Exercise(
        task="Compare the bars of four regions in the left hemisphere.",
        ask="Which of them does Gabor energy predict best?",
        specs=(START,),
        answer=lambda fit: highest(fit, ("V1v", "hV4", "FFA-1", "PPA")),
        choices=("V1v", "hV4", "FFA-1", "PPA"),
    ),
)
