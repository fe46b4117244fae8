"""Lesson on the evaluation of films: samples that follow one another are alike, so shuffled samples give an inflated r."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding.lessons.films import N_FRESH, N_RUNS, N_SAMPLES, N_SIMULATIONS, WAYS, evaluations
from encoding.plots import lessons_comparison as figures
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, lesson_chart
from pages.parts.shared.start import START
from pages.parts.shared.wording import number, percent

KEY = "films_slow"
FIRST_SLOW, CEILING = 12, 0.2
NEXT_TO_NOTHING = 0.05  # r of noise, and the share of r that is lost
NOISE, SIGNAL = "Noise: nothing to do with the film", f"A fifth of the variance follows the film (r up to {np.sqrt(CEILING):.2f})"
LABELS = ("shuffled<br>samples", "whole runs<br>left out", "films that<br>came later")
HOW = (
    "Every bar is the mean r over vertices of one ridge model on features one to four samples before, averaged over simulations; whiskers "
    "run from the lowest to the highest. The last pair is what the model is worth: films of which it has seen nothing."
)


@st.cache_data(max_entries=32, show_spinner="Simulating films, once …")
def _series(slow: int) -> dict[str, np.ndarray]:
    return {NOISE: evaluations(slow, 0.0), SIGNAL: evaluations(slow, CEILING)}


def _show() -> str:
    slow = st.slider(
        "How slowly the film changes: seconds after which its features have mostly changed", 1, 20, FIRST_SLOW, key=KEY, bind="query-params"
    )
    series = _series(slow)
    lesson_chart(
        figures.leaks(LABELS, series, quantity="Mean r on test samples"),
        "films_ways",
        alt="mean r of shuffled samples, whole runs left out and later films, for noise and for vertices that follow the film",
        how=HOW,
        source=f"Simulated films · {N_RUNS} runs of {N_SAMPLES} samples, one every 2 s, {N_FRESH} later ones · {N_SIMULATIONS} simulations",
    )
    noise, real = (dict(zip(WAYS, series[name].mean(0), strict=True)) for name in (NOISE, SIGNAL))
    shuffled, whole, later = WAYS
    return (
        f"With features that last {slow} s, a model of **noise** has r = **{number(noise[shuffled])}** on shuffled samples, "
        f"{_why(noise[shuffled])}. On whole runs left out it has {number(noise[whole])}, on films that came later "
        f"{number(noise[later])}.\n\nWhere vertices do follow the film, shuffled samples give {number(real[shuffled])}, whole runs "
        f"{number(real[whole])} and later films {number(real[later])}: {_inflated(real[shuffled], real[later])}. Leave out whole runs, in "
        "the choice of penalties too; here data that say what their runs are never do otherwise, and a single run is cut into stretches "
        "with a gap."
    )


def _why(r: float) -> str:
    """Why noise is predicted on shuffled samples, or is not."""
    if r < NEXT_TO_NOTHING:
        return "as features that change so fast tell little of the moment"
    return "where a test sample lies between trained ones: features tell which moment it is, and neighbours tell what the noise was"


def _inflated(shuffled: float, later: float) -> str:
    """How much of r on shuffled samples is gone on a new film."""
    share = 1 - later / shuffled
    if share < NEXT_TO_NOTHING:
        return "shuffling makes next to no difference with features so fast"
    return f"**{percent(share)} of the shuffled r is not there** when a new film begins"


CODE = """\
from encoding.lessons.films import WAYS, evaluations
from encoding.plots.lessons_comparison import leaks

series = {"Noise": evaluations(12, 0.0, n_simulations=1), "Signal": evaluations(12, 0.2, n_simulations=1)}
leaks(list(WAYS), series)
"""

LESSON = Lesson(
    place=12,
    name="films",
    title="Films: shuffled samples or whole runs?",
    idea=(
        "A scanner takes a sample every two seconds, and a film goes on: samples that follow one another are **alike**, in what is "
        "seen and in the noise of the scanner. If single samples are shuffled into training and test sets, every test sample has "
        "neighbours that trained. How much of r is real?"
    ),
    question="Responses are slow noise that has nothing to do with the film. Which r does ridge get on shuffled samples?",
    answers=("About 0: there is nothing to predict", "Well above 0", "Well below 0"),
    right=1,
    because=(
        "Slow features say which moment of the film a sample is, and the samples just before and after it, which trained, say what the "
        "slow noise was then. On runs left out there is no such neighbour, and r is about 0."
    ),
    show=_show,
    explore_spec=lambda: replace(START, split="kfold:5:0"),
    controls=(KEY,),
    code=CODE,
    exercise=Exercise(
        task="These images came in random order, so neighbours share nothing. Fit with 5-fold cross-validation: **V1v**, left hemisphere.",
        ask="By how much does mean r differ (5-fold minus default)?",
        specs=(START, replace(START, split="kfold:5:0")),
        answer=lambda once, folds: bar(folds, "V1v") - bar(once, "V1v"),
    ),
)
