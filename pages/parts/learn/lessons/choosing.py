"""Lesson on the optimism of choosing a model by its test score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding.lessons.choosing import COUNTS, N_FEATURES, N_VERTICES, optimism
from encoding.plots import lessons_comparison as figures
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, lesson_chart, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.start import START
from pages.parts.shared.wording import number

HOW = (
    "For each vertex the model with the highest r on one half of the test images is chosen. One line is its mean r on that half, the "
    "other on the half that did not choose. No model knows anything, so the truth is 0."
)


@st.cache_data(max_entries=2, show_spinner="Fitting fifty models that know nothing, once …")
def _optimism(key: str, n_train: int, n_test: int) -> tuple[np.ndarray, np.ndarray]:
    return optimism(n_train, n_test)


def _show() -> str:
    count = st.select_slider("Models to choose from", COUNTS, 10, key="n_models", bind="query-params")
    fold = _subject.fold()
    first, second = _optimism(subject_key(), len(fold.train), len(fold.test))
    chosen = COUNTS.index(count)
    series = {"On the images that did not choose": second, "On the images that chose": first}
    lesson_chart(
        figures.paths(COUNTS, series, chosen, x_title="Models to choose from", y_title="Mean r of the chosen models"),
        "choosing_path",
        alt=f"mean r of the best of many models that know nothing, on the images that chose and on others, {count} marked",
        how=HOW,
        source=f"Simulated noise · {N_VERTICES} vertices · {N_FEATURES} random features a model · "
        f"{len(fold.test) // 2} test images choose, {len(fold.test) - len(fold.test) // 2} do not",
    )
    return (
        f"{_best_of(count, first[chosen], second[chosen])}{_of_most(count, first[-1])} Models that people try are alike and know "
        "something, so their luck is smaller; but every layer, readout, parameter and seed that was looked at on test images adds to "
        "it.\n\nSo choose on other images than you report: by cross-validation within the training images, as penalties are chosen here, "
        "or on validation images set aside, as Experiments does; and look at the test images once."
    )


def _best_of(count: int, first: float, second: float) -> str:
    """r of the chosen models on the images that chose and on the others; of one model none is chosen."""
    if count == 1:
        return (
            f"A single model that knows nothing has r = **{number(first)}** on one half of the test images and {number(second)} on the "
            "other: nothing was chosen, so both are 0 but for chance."
        )
    best = f"The best of **{count}** models that know nothing has r = **{number(first)}**"
    return f"{best} on the images that chose it, {number(second)} on others."


def _of_most(count: int, first: float) -> str:
    return f" Of {COUNTS[-1]} models the best would have {number(first)}." if count < COUNTS[-1] else ""


CODE = """\
from encoding.lessons.choosing import optimism
from encoding.plots.lessons_comparison import paths

counts = (1, 2, 5, 10)
first, second = optimism(len(m.fold.train), len(m.fold.test), counts=counts)
series = {"On the images that did not choose": second, "On the images that chose": first}
paths(counts, series, 0, x_title="Models to choose from", y_title="Mean r of the chosen models")
"""

LESSON = Lesson(
    place=15,
    name="choosing",
    title="Choosing on test images",
    idea=(
        "Ten layers, five readouts, a few parameters: the best of them on the test images is reported. Each model was fitted on training "
        "images alone, so nothing **leaked**. Is its test score still fair?"
    ),
    question="Fifty models that know nothing are tested. What is r of the best one on these test images?",
    answers=("About 0", "Clearly above 0", "Clearly below 0"),
    right=1,
    because=(
        "Each r is 0 give or take some luck, and the highest of fifty is the luckiest. On images that took no part in choosing, that luck "
        "is gone."
    ),
    show=_show,
    explore_spec=lambda: START,
    controls=("n_models",),
    code=CODE,
    exercise=Exercise(
        task="Fit `simple` beside `energy` and choose the better layer of **PPA**, left hemisphere, as the lesson warns: on test images.",
        ask="Which layer wins?",
        specs=(replace(START, layers=("simple",)), START),
        answer=lambda simple, energy: "simple" if bar(simple, "PPA") > bar(energy, "PPA") else "energy",
        choices=("simple", "energy"),
    ),
)
