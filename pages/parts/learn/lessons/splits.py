"""Lesson on splits: one hold-out, cross-validation, and repeats of an image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding.lessons.splits import N_REPEATS, N_SPLITS, cross_validations, holdouts, repeats
from encoding.plots import lessons_comparison as figures
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, lesson_chart, source, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.start import START
from pages.parts.shared.wording import number

LUCK, REPEATS = "one split or many", "repeats of an image"
ROI, N_SHARE, N_IMAGES = "V1v", 4, 100  # every fourth vertex; images that are shown repeatedly
HOW = {
    LUCK: "Each dot is the mean r of a region for one seed. Nothing but the seed of the split changes. "
    "Cross-validation tests every image once, so a seed matters less.",
    REPEATS: "Each image has a response of its own that no feature predicts, and noise: of a new image nothing can be predicted. The "
    "first bar has showings of an image on both sides of the split.",
}


@st.cache_data(max_entries=2, show_spinner="Splitting and fitting, once …")
def _luck(key: str) -> tuple[np.ndarray, np.ndarray]:
    Z, Y = _subject.components(START), _subject.responses()[:, _subject.columns(ROI)[::N_SHARE]]
    return holdouts(Z, Y), cross_validations(Z, Y, N_SPLITS)


@st.cache_data(max_entries=2, show_spinner="Showing images three times, once …")
def _repeats(key: str) -> tuple[float, float]:
    return repeats(_subject.components(START)[:N_IMAGES])


def _show() -> str:
    which = st.segmented_control("What", (LUCK, REPEATS), key="splits_what", bind="query-params", default=LUCK, required=True)
    return _show_luck() if which == LUCK else _show_repeats()


def _show_luck() -> str:
    single, many = _luck(subject_key())
    ways = [f"one tenth held out<br>{len(single)} seeds", f"five folds<br>{len(many)} seeds"]
    lesson_chart(
        figures.dots_by_way(ways, np.stack([single, many], axis=1), x_title=f"Mean r of {ROI} on test images", height=340),
        "splits_luck",
        alt=f"mean r of {ROI} over seeds of one hold-out and of five folds",
        how=HOW[LUCK],
        source=source(ROI, "ridge on Gabor energy"),
    )
    return (
        f"The same model on the same data, with {len(single)} seeds of one hold-out of a tenth of the images: r runs from "
        f"**{single.min():.3f} to {single.max():.3f}**. Over five folds, each image tested once, from {many.min():.3f} "
        f"to {many.max():.3f}. Two models that were tested on different images may so differ by up to {np.ptp(single):.3f} by luck alone. "
        "Compare models on the same split; report several folds, or the interval over test images."
    )


def _show_repeats() -> str:
    apart, together = _repeats(subject_key())
    ways = ["showings split<br>at random", "all showings of an<br>image on one side"]
    lesson_chart(
        figures.leaks(ways, {"Responses that no feature predicts": np.array([[apart, together]])}),
        "splits_repeats",
        alt="mean r with repeats of an image on both sides of the split, and on one side",
        how=HOW[REPEATS],
        source=source("responses drawn by code", f"{N_IMAGES} images, each shown {N_REPEATS} times"),
    )
    return (
        f"{N_IMAGES} images are shown {N_REPEATS} times. With single showings split at random r is **{number(apart)}**, though nothing "
        f"about a new image can be predicted here: the model knows each image from its other showings. With all showings of an image on "
        f"one side r is {number(together)}. Here rows of one stimulus always stay together, in the choice of penalties too."
    )


CODE = """\
import numpy as np

from encoding.lessons.splits import cross_validations, holdouts
from encoding.plots.lessons_comparison import dots_by_way

Y = m.Y[:, m.columns("V1v")[::4]]
scores = np.stack([holdouts(m.Z, Y, 3), cross_validations(m.Z, Y, 3)], axis=1)
dots_by_way(["one tenth held out", "five folds"], scores, x_title="Mean r of V1v on test images")
"""

LESSON = Lesson(
    n_parts=2,
    place=17,
    name="splits",
    title="Cross-validation and repeats",
    idea=(
        "A model is tested on images that it never saw. **Which** ones is left to chance: another seed, another score. "
        "**Cross-validation** lets every image be tested once. And an image that was shown several times must be on one side of the "
        "split only."
    ),
    question="Each image was shown three times, and single showings are split at random. What does that do to r?",
    answers=("Nothing: noise differs between showings", "It is too high", "It is too low"),
    right=1,
    because=(
        "Other showings of a test image trained. A flexible model can learn each image's own answer by heart, which does not help with "
        "any new image."
    ),
    show=_show,
    explore_spec=lambda: replace(START, split="kfold:5:0"),
    controls=("splits_what",),
    code=CODE,
    exercise=Exercise(
        task="Fit with 5-fold cross-validation, where each image is tested once. Look at **V1v**, left hemisphere.",
        ask="What is the mean r over folds?",
        specs=(replace(START, split="kfold:5:0"),),
        answer=lambda fit: bar(fit, "V1v"),
    ),
)
