"""Lesson on how many images a model needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding.lessons.images import growth, sizes_of
from encoding.plots import lessons_comparison as figures
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, fit_source, lesson_chart, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.start import START
from pages.parts.shared.wording import number, signed

REGIONS = ("V1v", "hV4", "PPA", "FFA-1")
HOW = (
    "Both lines are mean r over the region's vertices, of the same ridge model with more and more training images. The upper one is on "
    "the images that train, the lower one on images that never did. The grey line is the highest r that noise allows on new images."
)


@st.cache_data(max_entries=8, show_spinner="Fitting each number of images, once …")
def _growth(key: str, roi: str) -> tuple[np.ndarray, np.ndarray, float]:
    columns = _subject.columns(roi)
    train, test = growth(_subject.components(START), _subject.responses()[:, columns], _subject.fold())
    return train, test, float(np.sqrt(_subject.ceiling()[columns]).mean())


def _show() -> str:
    sizes = sizes_of(len(_subject.fold().train))
    left, right = st.columns(2)
    n = left.select_slider("Images that train", sizes, sizes[len(sizes) // 2], key="n_images", bind="query-params")
    roi = right.segmented_control("Region", REGIONS, key="images_region", bind="query-params", default=REGIONS[0], required=True)
    train, test, highest = _growth(subject_key(), roi)
    chosen = sizes.index(n)
    series = {"Test images": test, "Training images": train, "Highest r": np.full(len(sizes), highest)}
    lesson_chart(
        figures.paths(sizes, series, chosen, x_title="Training images", y_title=f"Mean r in {roi}", height=380),
        "images_path",
        alt=f"r of {roi} on training and test images against the number of training images, {n} marked",
        how=HOW,
        source=fit_source(_explore_spec()),
    )
    gain = test[-1] - test[-2] if len(sizes) > 1 else 0.0
    return (
        f"With {n:,} images r is {train[chosen]:.2f} on the images that trained and **{number(test[chosen])}** on new ones. The lines "
        f"close in on each other: with all {sizes[-1]:,} images they are {train[-1]:.2f} and {test[-1]:.2f}, where noise allows "
        f"{highest:.2f}. The last step added {signed(gain, 3)}. **While the lower line climbs, more images help; where it is flat, another "
        "model may.** What is left between the flat line and the ceiling is what this model's features cannot say."
    )


def _explore_spec():
    return replace(START, rois=(st.session_state.get("images_region") or REGIONS[0],))


CODE = """\
import numpy as np

from encoding.lessons.images import growth, sizes_of
from encoding.plots.lessons_comparison import paths

sizes, columns = sizes_of(len(m.fold.train)), m.columns("V1v")
train, test = growth(m.Z, m.Y[:, columns], m.fold)
highest = np.full(len(sizes), np.sqrt(m.ceiling[columns]).mean())
series = {"Test images": test, "Training images": train, "Highest r": highest}
paths(sizes, series, 0, x_title="Training images", y_title="Mean r in V1v")
"""

LESSON = Lesson(
    place=13,
    name="images",
    title="How many images?",
    idea=(
        "Scanner time is expensive: would more images have made the model better? The **learning curve** answers it from the images that "
        "are there: fit with some of them, and with more and more."
    ),
    question="The number of training images grows. What happens to r on the images that train?",
    answers=("It rises, as the model gets better", "It falls", "It stays the same"),
    right=1,
    because=(
        "Few images can be learned by heart, noise included; many cannot. So r on training images falls towards what is really there, "
        "while r on new images rises towards it."
    ),
    show=_show,
    explore_spec=_explore_spec,
    looks=lambda: {"part": "Images needed"},
    controls=("n_images", "images_region"),
    code=CODE,
    exercise=Exercise(
        task="Open *Advanced* and choose the split `first:100`: a hundred images train. Look at **V1v**, left hemisphere.",
        ask="What mean r do they give?",
        specs=(replace(START, split="first:100"),),
        answer=lambda fit: bar(fit, "V1v"),
    ),
)
