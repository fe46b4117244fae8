"""Lesson on favourite images: what the strongest images of a unit say about it, and what they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding.datasets.simulation.scenes import CATEGORIES
from encoding.lessons.favourites import DIRECTIONS, FREQUENCIES, unit
from encoding.lessons.response import strongest
from encoding.lessons.rois import Profile, profile
from encoding.plots.lessons_encoding import kinds
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, lesson_chart, source, subject, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.start import START
from pages.parts.shared.wording import signed, standard_errors

N_SHOWN = 6
FINE_ROWS = (32, "horizontal")  # the unit that words drive most
HOW = (
    "Each bar is the mean activation of the unit over the images that mainly show one kind of thing, in standard deviations over all "
    "images; whiskers are 95 % intervals over images. No unit of Gabor energy knows what an image shows."
)


@st.cache_data(max_entries=32, show_spinner=False)
def _unit(key: str, frequency: int, direction: str) -> tuple[np.ndarray, Profile]:
    activation = unit(_subject.features(START), frequency, direction)
    return activation, profile(activation[:, None], subject().labels["category"], CATEGORIES)


def _show() -> str:
    left, right = st.columns([4, 6])
    frequency = left.select_slider("Cycles per image", FREQUENCIES, FREQUENCIES[-1], key="unit_frequency", bind="query-params")
    direction = right.segmented_control(
        "Bars", list(DIRECTIONS), key="unit_direction", bind="query-params", default="horizontal", required=True
    )
    activation, by_kind = _unit(subject_key(), frequency, direction)
    seen = subject()
    for title, rows in (("Strongest", strongest(activation, N_SHOWN)), ("Weakest", strongest(-activation, N_SHOWN))):
        st.caption(f"{title} of {seen.n_stimuli:,} images")
        for place, row in zip(st.columns(N_SHOWN, gap="small"), rows, strict=True):
            place.image(seen.stimuli[int(row)], caption=signed(activation[row], 1), alt=seen.stimuli.names[row], output_format="JPEG")
    lesson_chart(
        kinds(by_kind.names, by_kind.means, by_kind.errors, height=200),
        "favourites_kinds",
        alt=f"mean activation to each kind of image, of {direction} bars at {frequency} cycles per image",
        how=HOW,
        source=source(f"Gabor energy, {direction}, {frequency} cycles per image"),
    )
    best, second = (by_kind.names[i] for i in np.argsort(-by_kind.means)[:2])
    shown = [str(seen.labels["category"][row]) for row in strongest(activation, N_SHOWN)].count(best)
    return (
        f"This unit adds up the energy of {direction} bars at {frequency} cycles per image. Its mean is "
        f"highest for **{best}** ({signed(by_kind.means.max())}), {_lead(by_kind.spread)} {second}; "
        f"{shown} of its {N_SHOWN} strongest images {'shows' if shown == 1 else 'show'} {best}. "
        f"{_letters(frequency, direction, best)}Favourite images suggest what a unit measures; to show it, change that alone in an image, "
        "or use images in which it and the kind of thing come apart, such as checkerboards."
    )


def _lead(spread: float) -> str:
    """How far the first kind is ahead of the second, by its standard errors."""
    return "less than a standard error above" if spread < 0.95 else f"{standard_errors(spread)} above"


def _letters(frequency: int, direction: str, best: str) -> str:
    """Why words lead where they do; of another unit, where to look for it."""
    if (frequency, direction) != FINE_ROWS:
        return f"Try {FINE_ROWS[0]} cycles, {FINE_ROWS[1]}: rows of letters are fine horizontal edges. "
    return "Rows of letters are fine horizontal edges. " if best == "words" else ""


CODE = """\
from encoding.datasets.simulation.scenes import CATEGORIES
from encoding.lessons.favourites import unit
from encoding.lessons.response import strongest
from encoding.lessons.rois import profile
from encoding.plots.lessons_encoding import kinds

activation = unit(m.features(), 32, "horizontal")
print([m.subject.stimuli.names[row] for row in strongest(activation, 6)])
region = profile(activation[:, None], m.subject.labels["category"], CATEGORIES)
kinds(region.names, region.means, region.errors)
"""


LESSON = Lesson(
    place=18,
    name="favourites",
    title="What a layer's unit responds to",
    idea=(
        "To learn what a unit of a network, or a vertex, responds to, one often looks at its **favourite images**: those with the "
        "strongest response. Here is a unit whose workings are known: it adds up Gabor energy of one direction and frequency over the "
        "whole image."
    ),
    question="A unit responds more to words than to any other kind of image, by several standard errors. Is it a detector of words?",
    answers=(
        "Yes: it tells words from the rest",
        "Not shown: words may have what it measures",
        "No: early units respond at random",
    ),
    right=1,
    because=(
        "Kinds of images differ in much besides what they show. This unit counts fine edges and knows no letter; printed words have many. "
        "The same holds for vertices: lesson 2."
    ),
    show=_show,
    explore_spec=lambda: replace(START, rois=("FFA-1",)),
    controls=("unit_frequency", "unit_direction"),
    code=CODE,
    exercise=Exercise(
        task="Gabor energy knows no face. Look at the bar of **FFA-1**, an area for faces, left hemisphere.",
        ask="How high is it (mean r)?",
        specs=(START,),
        answer=lambda fit: bar(fit, "FFA-1"),
    ),
)
