"""Lesson 6: the noise ceiling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.lessons.ceiling import MOST_REPEATS, Ceilings, ceilings, noise_ceiling
from encoding.plots.lessons_encoding import repeats_path
from pages.parts.learn.exercise import Exercise, highest
from pages.parts.learn.lesson import Lesson, first_fit, first_plan, lesson_chart, signal_of, source, subject_key
from pages.parts.shared.start import START
from pages.parts.shared.wording import number, percent

ROI = "V1v"
SNRS = ("0.25", "0.5", "0.75", "1", "1.5", "2", "4")  # as the link writes them
FIRST_SNR, FIRST_REPEATS = "0.5", 1
HOW = (
    "The grey line is the formula. The perfect model is the simulated signal itself: no model on earth does better, and it falls on the "
    "line. Diamonds are what an experimenter can know, who has the repeats alone. The green line is a model that was fitted."
)


def show() -> str:
    """Show the noise ceiling and a model's r against the number of averaged repeats."""
    left, right = st.columns(2)
    n = left.slider("Showings of each image that are averaged", 1, MOST_REPEATS, FIRST_REPEATS, key="repeats", bind="query-params")
    snr = right.select_slider("Signal-to-noise of a single showing", SNRS, FIRST_SNR, key="snr", bind="query-params")
    ceilings = _ceilings(subject_key(), float(snr))
    lesson_chart(
        repeats_path(ceilings.highest, ceilings.estimated, ceilings.perfect, ceilings.model, n, height=380),
        "repeats_path",
        alt=f"highest r, r of a perfect model and of a fitted one in {ROI} against the number of showings averaged, {n} marked",
        how=HOW,
        source=source(ROI, f"signal-to-noise {snr}"),
    )
    return _summary(ceilings, n, float(snr))


@st.cache_data(max_entries=16, show_spinner="Computing, once …")
def _ceilings(key: str, snr: float) -> Ceilings:
    plan, Z = first_plan(), np.asarray(first_fit().components())
    fold = plan.folds[0]
    return ceilings(signal_of(ROI), Z, fold.train, fold.test, plan.inner(fold), snr)


def _summary(ceilings: Ceilings, n: int, snr: float) -> str:
    ceiling, at = noise_ceiling(snr, n), n - 1
    showings = "a single showing" if n == 1 else f"{n} showings averaged"
    from_repeats = "" if n == 1 else f" Estimated from the repeats alone, it is {ceilings.estimated[at]:.2f}."
    r, share = ceilings.model[at], ceilings.model[at] ** 2 / ceiling
    return (
        f"With {showings}, the signal's share of the variance is {snr:g}² / ({snr:g}² + 1/{n}) = **{ceiling:.2f}**, the noise ceiling; "
        f"its root, **{ceilings.highest[at]:.2f}**, is the highest r there is. The perfect model reaches {ceilings.perfect[at]:.2f}."
        f"{from_repeats} The fitted model's r of **{number(r)}** is {percent(share)} of what can be explained (r² / ceiling). A low r may "
        "be a poor model or a noisy vertex: only the ceiling tells which."
    )


def explore_spec() -> FitSpec:
    """Default fit at the lesson's ROI."""
    return replace(START, rois=(ROI,))


CODE = """\
import numpy as np

from encoding.lessons.ceiling import ceilings
from encoding.plots.lessons_encoding import repeats_path

signal = np.concatenate([m.truth.signal[hemi][:, m.subject.rois[hemi]["V1v"]] for hemi in m.subject.hemis], axis=1)  # without noise
found = ceilings(signal, m.Z, m.fold.train, m.fold.test, m.plan.inner(m.fold), snr=0.5)
repeats_path(found.highest, found.estimated, found.perfect, found.model, 1)
"""

LESSON = Lesson(
    place=6,
    name="ceiling",
    title="The noise ceiling",
    idea="Show an image twice and a vertex answers differently: responses are **signal**, which is the same each time, plus **noise**. "
    "No model can predict the noise. The share of variance that is signal is the **noise ceiling**; averaging showings raises it.",
    question="Signal is half as large as the noise of a single showing. What r can a perfect model reach on single showings?",
    answers=("1.00: it is perfect.", "About 0.45.", "Exactly 0.50."),
    right=1,
    because="Variances add, not standard deviations: 0.5² / (0.5² + 1) = 0.20 of the variance is signal, and r is its root, 0.45.",
    show=show,
    explore_spec=explore_spec,
    looks=lambda: {"score": "normalised_r"},
    controls=("repeats", "snr"),
    code=CODE,
    exercise=Exercise(
        task="Choose the score that divides r by the highest r that noise leaves possible. Left hemisphere.",
        ask="Which region comes nearest to its ceiling?",
        specs=(START,),
        answer=lambda fit: highest(fit, ("V1v", "hV4", "FFA-1", "PPA"), "normalised_r"),
        choices=("V1v", "hV4", "FFA-1", "PPA"),
    ),
)
