"""Lesson on comparing two models: overlapping intervals and the interval of the difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.lessons._linear import fitted
from encoding.lessons.comparing import N_DRAWS, Compared, compared
from encoding.plots import lessons_comparison as figures
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, lesson_chart, source, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.start import START
from pages.parts.shared.wording import signed

ROI, N_A = "V1v", 100
NUMBERS = (5, 10, 20, 50, 80)  # components of model B
FIRST = 50
HOW = (
    "Dots are mean r over the region's vertices, whiskers 95 % intervals over test images. Above, each model by itself. Below, the "
    "difference, for which both models see the same images in every draw of the bootstrap: what makes an image easy or hard for both "
    "cancels."
)


@st.cache_data(max_entries=8, show_spinner="Drawing test images, once …")
def _compared(key: str, n: int) -> Compared:
    Z, fold, Y = _subject.components(START), _subject.fold(), _subject.responses()[:, _subject.columns(ROI)]
    predicted = [fitted(Z[:, :size], Y, fold).predict(Z[fold.test, :size]) for size in (N_A, n)]
    return compared(*predicted, Y[fold.test])


def _show() -> str:
    n = st.select_slider("Components of model B (model A has 100)", NUMBERS, FIRST, key="components_b", bind="query-params")
    found = _compared(subject_key(), n)
    lesson_chart(
        figures.score_intervals(
            [f"A: {N_A} components", f"B: {n} components"], found.r, found.low, found.high, x_title="Mean r", height=190
        ),
        "comparing_scores",
        alt="mean r of two models with their intervals",
        how="A point is a model's mean r over the region, its whisker the 95 % interval over test images.",
        source=source(ROI, f"{len(_subject.fold().test)} test images"),
    )
    ends = [np.array([value]) for value in (found.difference, found.difference_low, found.difference_high)]
    lesson_chart(
        figures.score_intervals(["B − A"], *ends, x_title="Difference in mean r", height=160),
        "comparing_difference",
        alt="difference of the two models with its interval",
        how=HOW,
        source=source(ROI, f"{N_DRAWS} draws that both share"),
    )
    alone = "overlap" if found.overlap else "do not overlap"
    verdict = "leaves out 0: **the two differ**" if found.differs else "holds 0: no difference is shown"
    widths = found.high - found.low
    return (
        f"A has r = {found.r[0]:z.3f} [{found.low[0]:z.3f}, {found.high[0]:z.3f}], B {found.r[1]:z.3f} [{found.low[1]:z.3f}, "
        f"{found.high[1]:z.3f}]: the intervals {alone}. Their difference is {signed(found.difference, 3)} "
        f"[{signed(found.difference_low, 3)}, {signed(found.difference_high, 3)}], which {verdict}.\n\nA's interval is {widths[0]:.3f} "
        f"wide, B's {widths[1]:.3f}, that of the difference {found.difference_high - found.difference_low:.3f}. Overlapping intervals say "
        "little about a difference when both were tested on the same images: ask for the interval of the difference, as Compare does. And "
        "with many regions correct for the number of tests."
    )


def _explore_spec() -> FitSpec:
    return replace(START, n_components=st.session_state.get("components_b") or FIRST, rois=(ROI,))


CODE = """\
from encoding.lessons._linear import fitted
from encoding.lessons.comparing import compared
from encoding.plots.lessons_comparison import score_intervals

Y, test = m.Y[:, m.columns("V1v")], m.fold.test
first, second = (fitted(m.Z[:, :n], Y, m.fold).predict(m.Z[test, :n]) for n in (100, 50))
found = compared(first, second, Y[test])
print("B - A:", found.difference, "from", found.difference_low, "to", found.difference_high)
score_intervals(["A: 100 components", "B: 50 components"], found.r, found.low, found.high, x_title="Mean r")
"""

LESSON = Lesson(
    place=14,
    name="comparing",
    title="Comparing two models",
    idea=(
        "Model A predicts a little better than model B, and the intervals of their scores **overlap**. Is the difference more than the "
        "luck of these test images? Both were tested on the same images, and that helps."
    ),
    question="The 95 % intervals of two models' scores overlap. What does that say about their difference?",
    answers=("It is not significant", "Nothing for certain: its own interval decides", "It is significant"),
    right=1,
    because=(
        "Images that are hard for one model are mostly hard for the other. That variation widens both intervals and cancels in the "
        "difference, whose interval is much narrower."
    ),
    show=_show,
    explore_spec=_explore_spec,
    controls=("components_b",),
    code=CODE,
    exercise=Exercise(
        task="Fit `simple`, open *Compare* with the fit of `energy`, and look at **FFA-1**, left hemisphere.",
        ask="By how much r is energy ahead?",
        specs=(START, replace(START, layers=("simple",))),
        answer=lambda energy, simple: bar(energy, "FFA-1") - bar(simple, "FFA-1"),
    ),
)
