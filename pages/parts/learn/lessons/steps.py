"""Lesson 4: the three steps of an encoding model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st
from PIL import Image

from encoding import FitSpec
from encoding.lessons.rois import responses_of
from encoding.lessons.steps import Steps, drawn, steps
from encoding.plots.lessons_encoding import components_path
from encoding.runtime.wording import counted
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, first_fit, first_plan, fit_source, lesson_chart, subject, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.server_state import store
from pages.parts.shared.start import START
from pages.parts.shared.wording import number, percent

ROI = "V1v"
NUMBERS = (1, 2, 5, 10, 20, 50, 100)
FIRST = 10
FREQUENCY = 16  # cycles per image, at which energy and the first component are drawn
SHOWN_WIDTH = 60  # px
HOW = (
    "Left to right, the model may use more components. The grey line is how much of the features' variance they hold. The green line is "
    "what counts: the correlation of predicted with measured responses on images that the model never saw."
)


def show() -> str:
    """Show the three steps of an encoding model against the number of components."""
    n = st.select_slider("Components", NUMBERS, FIRST, key="kept", bind="query-params")
    steps, n_features = _steps(subject_key())
    chosen = NUMBERS.index(n)
    fold = first_plan().folds[0]
    _three(n, n_features, len(fold.train), chosen, steps)
    spec = explore_spec()
    lesson_chart(
        components_path(steps.n_components, steps.explained, steps.train, steps.test, chosen, height=280),
        "components_path",
        alt=f"r of {ROI} on training and test images against the number of components, {n} marked",
        how=HOW,
        source=fit_source(spec),
    )
    return _summary(steps, chosen, n_features)


def _three(n: int, n_features: int, n_train: int, chosen: int, steps: Steps) -> None:
    """The three steps in their order, with what the control makes of each."""
    first, second, third = st.columns(3, border=True)
    with first:
        st.markdown(f"**1. Features**  \n{n_features:,} numbers an image: how strong edges are, everywhere.")
        seen, energy, _ = _images(subject_key())
        st.image([seen, energy], width=SHOWN_WIDTH, alt=["an image", "its Gabor energy: bright where edges are strong"])
    with second:
        st.markdown(
            f"**2. Components**  \n{'One, the direction' if n == 1 else f'{n} of them, the directions'} in which {n_train} training images "
            f"differ most: **{percent(steps.explained[chosen])}** of the variance. The first, by place:"
        )
        st.image(
            _images(subject_key())[2],
            width=SHOWN_WIDTH,
            alt="weights of the first component: light where it counts edges for, dark against",
        )
    third.markdown(
        f"**3. Regression**  \n{counted(n, 'weight')} for each vertex of {ROI}, by ridge. On {subject().n_stimuli - n_train} new images "
        f"r = **{number(steps.test[chosen])}**."
    )


@st.cache_data(max_entries=4, show_spinner="Computing, once …")
def _steps(key: str) -> tuple[Steps, int]:
    plan = first_plan()
    kept = store().get(plan.components_key(plan.folds[0]))
    responses = responses_of(plan.subject, ROI)
    return steps(plan, np.asarray(kept["scores"]), float(kept["total_variance"]), responses, NUMBERS), len(kept["mean"])


@st.cache_resource(max_entries=2, show_spinner=False)
def _images(key: str) -> tuple[Image.Image, Image.Image, Image.Image]:
    """The first training image, its Gabor energy, and the weights of the first component, grey where they are 0."""
    plan = first_plan()
    row = int(plan.folds[0].train[0])
    energy = drawn(np.asarray(_subject.features(START)[row], np.float64), FREQUENCY)
    _, axes = first_fit().projection(0, plan.spaces[0])
    weights = drawn(np.asarray(axes[:, 0], np.float64), FREQUENCY)
    return subject().stimuli[row], _grey(energy / energy.max()), _grey(0.5 + 0.5 * weights / np.abs(weights).max())


def _grey(values: np.ndarray) -> Image.Image:
    """Values (h, w) in 0 … 1 as an image, enlarged."""
    small = Image.fromarray(np.round(255 * values).astype(np.uint8))
    return small.resize((8 * small.width, 8 * small.height), Image.Resampling.BICUBIC)


def _summary(steps: Steps, chosen: int, n_features: int) -> str:
    n, last = steps.n_components[chosen], len(steps.n_components) - 1
    ahead = (
        f"{steps.n_components[last]} components would bring r to {steps.test[last]:.2f}"
        if chosen < last
        else f"even with one component alone r was {steps.test[0]:.2f}"
    )
    gap = steps.train[chosen] - steps.test[chosen]
    gap = f"(here {gap:.2f})" if gap > 0.005 else "(here there is none yet)"
    return (
        f"{n_features:,} features became **{n}** {'component, which keeps' if n == 1 else 'components, which keep'} "
        f"{percent(steps.explained[chosen])} of their variance. Ridge found a weight for {'it' if n == 1 else 'each'}. On training images "
        f"r is {steps.train[chosen]:.2f}, on new ones **{steps.test[chosen]:.2f}**; {ahead}. The first components are worth most. As the "
        f"number grows, the gap between training and test does too {gap}: the model starts to learn the training images' noise."
    )


def explore_spec() -> FitSpec:
    """Default fit with the selected number of components at the lesson's ROI."""
    return replace(START, n_components=int(st.session_state.get("kept", FIRST)), rois=(ROI,))


CODE = """\
import numpy as np

from encoding.lessons.rois import responses_of
from encoding.lessons.steps import steps
from encoding.plots.lessons_encoding import components_path

numbers, variance = (1, 2, 5, 10, 20, 50, 100), float(np.var(m.features()[m.fold.train], axis=0, ddof=1).sum())
path = steps(m.plan, m.Z, variance, responses_of(m.subject, "V1v"), [n for n in numbers if n <= m.Z.shape[1]])
components_path(path.n_components, path.explained, path.train, path.test, chosen=3)
"""

LESSON = Lesson(
    place=4,
    name="steps",
    title="The three steps of an encoding model",
    idea="A network, or here a bank of Gabor filters, turns each image into **features**. Principal **components** make them few. "
    "A **regression** learns, on training images, how each vertex's response follows from them. The test is on images left out.",
    question="Ten components keep about a third of the features' variance. What share of the best r in V1 do they reach?",
    answers=("About a third.", "Nearly nine tenths.", "None: the details are in the rest."),
    right=1,
    because="Components are sorted by variance, and V1's responses follow what varies most between images: how much contrast there is, "
    "and where.",
    show=show,
    explore_spec=explore_spec,
    controls=("kept",),
    code=CODE,
    exercise=Exercise(
        task="Open *Advanced*, set the components to 5 and fit. Compare the bar of **V1v**, left hemisphere, with that of 100 components.",
        ask="How much r do 5 components lose?",
        specs=(START, replace(START, n_components=5)),
        answer=lambda full, few: bar(full, "V1v") - bar(few, "V1v"),
    ),
)
