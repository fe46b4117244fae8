"""Lesson on variance partitioning between two overlapping feature spaces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.lessons.sharing import KINDS, divide, planted, two_spaces
from encoding.plots import lessons_comparison as figures
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, lesson_chart, source, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.start import START
from pages.parts.shared.wording import number

KEY = "sharing_overlap"
START_OVERLAP = 0.6
NEARLY = 0.95  # of R², or of a share: as good as all of it
HOW = (
    "Each pair of bars is one kind of vertex, and both bars of a pair have the same height: R² on test images of a model with both "
    "spaces. On the left it is divided by leaving one space out: what is lost is that space's own, and the grey rest either space can "
    "explain. On the right it is divided by the product measure, which deals out the rest, too."
)


@st.cache_data(max_entries=32, show_spinner=False)
def _divided(key: str, overlap: float) -> dict[str, np.ndarray]:
    """Each part of R² to its mean over the vertices of each kind, (n_kinds,)."""
    A, B = two_spaces(_subject.components(START), _subject.fold(), overlap)
    made = planted(A, B, _subject.fold())
    parts = divide(A, B, np.concatenate(list(made.values()), axis=1), _subject.fold())
    return {name: values.reshape(len(KINDS), -1).mean(1) for name, values in vars(parts).items()}


def _show() -> str:
    overlap = st.slider(
        "How much the two spaces overlap: the correlation of each feature of A with one of B",
        0.0,
        0.95,
        START_OVERLAP,
        0.05,
        key=KEY,
        bind="query-params",
    )
    parts = _divided(subject_key(), overlap)
    left_out = {"only A": parts["only_a"], "either": parts["either"], "only B": parts["only_b"]}
    shares = {"A": parts["share_a"], "B": parts["share_b"]}
    lesson_chart(
        figures.divided(list(KINDS), left_out, shares, height=384),
        "sharing_parts",
        alt="R² of three kinds of vertices, divided by leaving one space out and by banded ridge",
        how=HOW,
        source=source("planted vertices on its images", "banded ridge"),
    )
    return _summary(parts)


def _summary(parts: dict[str, np.ndarray]) -> str:
    alone, both = ({name: float(values[at]) for name, values in parts.items()} for at in (0, 1))
    return (
        f"Take the vertices that **A alone** drives: R² is {number(alone['total'])}, and {_alone(alone)}. **Banded ridge**, with a penalty "
        f"for each space and vertex, gives **{number(alone['share_a'])}** to A: it finds that B is not needed. Where **both** drive alike, "
        f"{_both(both)}. Shares add up to R²; unique parts do not.\n\n"
        "The truth is known because these vertices were planted: they answer to features made of the Gabor energy of the subject's images, "
        "with noise drawn by code. The link opens real features that overlap: simple and complex cells."
    )


def _alone(parts: dict[str, float]) -> str:
    """What a model loses without the only space that drives a vertex."""
    lost = f"**{number(parts['only_a'])}**"
    if parts["only_a"] >= NEARLY * parts["total"]:
        return f"without A {lost} is lost, all of it or nearly: B has too little of A to stand in for it"
    return f"without A only {lost} is lost, as B stands in for the rest"


def _both(parts: dict[str, float]) -> str:
    """How leaving out one of two spaces that drive a vertex alike compares with its share."""
    lost, share = number(parts["only_a"]), number(parts["share_a"])
    if parts["only_a"] >= NEARLY * parts["share_a"]:
        return f"each loses about what is its own when it is left out ({lost} for A, whose share is {share}); that changes as they overlap"
    looks = "unimportant" if parts["only_a"] < parts["share_a"] / 2 else "less important than it is"
    return f"leaving one out makes each look {looks} ({lost} for A, whose share is {share}), the more so the more they overlap"


CODE = """\
import numpy as np

from encoding.lessons.sharing import KINDS, divide, planted, two_spaces
from encoding.plots.lessons_comparison import divided

A, B = two_spaces(m.Z, m.fold, 0.6)  # the overlap
parts = divide(A, B, np.concatenate(list(planted(A, B, m.fold).values()), axis=1), m.fold)
means = {name: values.reshape(len(KINDS), -1).mean(1) for name, values in vars(parts).items()}
left_out = {"only A": means["only_a"], "either": means["either"], "only B": means["only_b"]}
divided(list(KINDS), left_out, {"A": means["share_a"], "B": means["share_b"]})
"""

LESSON = Lesson(
    place=8,
    name="sharing",
    title="Sharing variance between layers",
    idea=(
        "Two layers of a network often say nearly the same. When both predict a vertex, which one does it respond to? One can leave each "
        "out and see what is lost, or fit both with **banded ridge** and divide R² between them by the **product measure**."
    ),
    question="A vertex responds to A alone, and B becomes more and more like A. How much R² does a model of both lose without A?",
    answers=("As much as before: the vertex still responds to A", "Less and less, as B can stand in for A", "More, as A is now in both"),
    right=1,
    because=(
        "Leaving one out measures what only that space can explain. The more B resembles A, the less that is, though the vertex has not "
        "changed. A small unique part is no sign that a space does not matter."
    ),
    show=_show,
    explore_spec=lambda: FitSpec(layers=("simple", "energy"), readout="banded_ridge", rois=("V1v",)),
    controls=(KEY,),
    code=CODE,
    exercise=Exercise(
        task="Fit `simple` and `energy` with banded ridge, and compare the bar of **RSC**, left hemisphere, with `energy` alone.",
        ask="How much r is gained?",
        specs=(START, replace(START, layers=("simple", "energy"), readout="banded_ridge")),
        answer=lambda alone, both: bar(both, "RSC") - bar(alone, "RSC"),
    ),
)
