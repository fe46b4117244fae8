"""Lesson on the untrained control: what random weights predict, and what is left for training to explain."""

from __future__ import annotations

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.lessons.hierarchy import layer_scores
from encoding.lessons.untrained import WIDTHS, random_layer
from encoding.plots import lessons_comparison as figures
from pages.parts.learn.exercise import Exercise, highest
from pages.parts.learn.lesson import Lesson, lesson_chart, source, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.start import START
from pages.parts.shared.wording import number, signed

REGIONS = ("V1v", "hV4", "PPA", "FFA-1")
TUNED, RANDOM = "Gabor energy (tuned to edges)", "Random weights"
HOW = (
    "Bars are mean r over a region's vertices on test images. The grey ones are a layer of units with random weights on the images' "
    "pixels, as a network has before training; whiskers run over three draws of the weights. The green ones are features made for edges."
)
N_SEEDS = 3


@st.cache_data(max_entries=8, show_spinner="Fitting, once …")
def _scores(key: str, width: int) -> dict[str, np.ndarray]:
    """Name of the features to mean r (n_draws, n_regions)."""
    pixels, fold, regions = _subject.components(_subject.PIXELS), _subject.fold(), [_subject.columns(roi) for roi in REGIONS]
    spaces = {str(seed): random_layer(pixels, width, fold.train, seed=seed) for seed in range(N_SEEDS)}
    spaces[TUNED] = _subject.components(START)
    r = layer_scores(spaces, _subject.responses()[:, np.concatenate(regions)], fold)
    ends = np.cumsum([len(columns) for columns in regions])[:-1]
    means = {name: np.array([np.nanmean(part) for part in np.split(values, ends)]) for name, values in r.items()}
    return {RANDOM: np.stack([means[str(seed)] for seed in range(N_SEEDS)]), TUNED: np.stack([means[TUNED]] * N_SEEDS)}


def _show() -> str:
    width = st.select_slider("Units of the random layer", WIDTHS, WIDTHS[-2], key="n_units", bind="query-params")
    scores = _scores(subject_key(), width)
    lesson_chart(
        figures.leaks(REGIONS, scores),
        "untrained_scores",
        alt=f"mean r of four regions by {width} units with random weights and by Gabor energy",
        how=HOW,
        source=source("random weights drawn by code", "ridge"),
    )
    random, tuned = (dict(zip(REGIONS, scores[name].mean(0), strict=True)) for name in (RANDOM, TUNED))
    widest = WIDTHS[-1]
    wider = f" With {widest} random units V1v has {number(_scores(subject_key(), widest)[RANDOM].mean(0)[0])}." if width < widest else ""
    return (
        f"{width} units that were never trained predict V1v with r = **{number(random['V1v'])}**, PPA with {number(random['PPA'])}; "
        f"features made for edges reach {number(tuned['V1v'])} and {number(tuned['PPA'])}.{wider} So part of a score needs no training: "
        f"pixels, a non-linearity and enough units do it. **Only what goes beyond the control speaks for the features**: "
        f"{signed(tuned['V1v'] - random['V1v'])} in V1v, {signed(tuned['PPA'] - random['PPA'])} in "
        f"PPA.{_places(random['PPA'], tuned['PPA'])}\n\nFit the untrained network of the same "
        "architecture, layer, pooling and number of components before saying that what a network has *learned* resembles the brain; with "
        "several seeds, as one draw may be lucky. The link opens untrained AlexNet."
    )


def _places(random: float, tuned: float) -> str:
    """Why random weights may be ahead in a place area."""
    return " There the random units are ahead: they see colours, and Gabor energy does not." if random > tuned else ""


CODE = """\
import numpy as np

from encoding.lessons.hierarchy import layer_scores
from encoding.lessons.untrained import random_layer
from encoding.plots.lessons_comparison import leaks

pixels, regions = m.components("pixels", ["rgb"]), ("V1v", "hV4", "FFA-1", "PPA")
spaces = {"random": random_layer(pixels, 100, m.fold.train), "energy": m.Z}
parts = [layer_scores(spaces, m.Y[:, m.columns(roi)], m.fold) for roi in regions]
leaks(regions, {name: np.array([[np.nanmean(r[name]) for r in parts]]) for name in spaces})
"""

LESSON = Lesson(
    place=16,
    name="untrained",
    title="The untrained control",
    idea=(
        "A trained network predicts visual cortex. Is that because of what it has **learned**? Its architecture filters, rectifies and "
        "pools images before any training, with **random weights**. The same network untrained is the control."
    ),
    question="A layer of units with random weights looks at the pixels. How well will it predict V1, beside features made for edges?",
    answers=("Not at all: it has learned nothing", "In part, but not as well", "As well as they do"),
    right=1,
    because=(
        "Random combinations of pixels, rectified, keep what is in the image, and ridge learns to read it. Features that suit a region "
        "predict it better with fewer units, as edges do V1. Where colours count, as in place areas, random units on the pixels may do as "
        "well."
    ),
    show=_show,
    explore_spec=lambda: FitSpec(backbone="torchvision/alexnet", weights="random:0", layers=("features.9",)),
    controls=("n_units",),
    code=CODE,
    exercise=Exercise(
        task="Fit `features.9` of an untrained AlexNet. Left hemisphere.",
        ask="Which region does it predict best?",
        specs=(FitSpec(backbone="torchvision/alexnet", weights="random:0", layers=("features.9",)),),
        answer=lambda fit: highest(fit, ("V1v", "hV4", "FFA-1", "PPA")),
        choices=("V1v", "hV4", "FFA-1", "PPA"),
    ),
)
