"""Lesson on residuals: what a linear model leaves unexplained, and for which images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding import plots
from encoding.evaluation.scores import pearson
from encoding.lessons.residuals import BEND, N_FEATURES, bent_vertex, curve, failures, predicted
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, lesson_chart, source, subject, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.start import START
from pages.parts.shared.wording import number, percent, signed

KEY = "residuals_features"
LINEAR, SQUARED = "as they are", "with the square"
N_SHOWN = 6
DARK = 0.2  # share of images that count as dark
HOW = (
    "Each dot is a test image: right of it what was predicted, up what is left of the response when the prediction is taken away. The "
    "line is the running mean. Flat on 0 is what noise looks like; a bend says that the response is no weighted sum of the features."
)


@st.cache_data(max_entries=4, show_spinner=False)
def _fitted(key: str, squared: bool) -> dict[str, np.ndarray]:
    """Measured, predicted, noiseless and driving values of the test images, (n_test,) each."""
    fold = _subject.fold()
    vertex = bent_vertex(_subject.components(_subject.PIXELS), fold)
    known = {"measured": vertex.response, "signal": vertex.signal, "drive": vertex.drive}
    return {name: values[fold.test] for name, values in known.items()} | {"predicted": predicted(vertex, fold, squared=squared)}


def _show() -> str:
    features = st.segmented_control(
        "The model's features",
        (LINEAR, SQUARED),
        key=KEY,
        bind="query-params",
        default=LINEAR,
        required=True,
        help="The squared drive is known here because the vertex was planted. With real vertices a richer layer takes its part.",
    )
    fitted = _fitted(subject_key(), features == SQUARED)
    test = _subject.fold().test
    names = [subject().stimuli.names[row] for row in test]
    residual = fitted["measured"] - fitted["predicted"]
    straight = _fitted(subject_key(), False)  # one scale for both
    most = 1.05 * float(np.abs(straight["measured"] - straight["predicted"]).max())
    figure = plots.residual_fitted(fitted["measured"], fitted["predicted"], names)
    lesson_chart(
        figure.update_layout(height=234, yaxis={"range": [-most, most], "title": {"text": "Residual"}}),
        "residuals_fitted",
        alt=f"residuals against predictions of a planted vertex, features {features}",
        how=HOW,
        source=source("a planted vertex on its images", f"{len(test)} test images"),
    )
    worst = failures(residual, N_SHOWN)
    st.caption("The images that it fails on most, the worst first: measured, and what was predicted")
    for place, i in zip(st.columns(N_SHOWN, gap="small"), worst, strict=True):
        caption = f"{signed(fitted['measured'][i], 1)}, {signed(fitted['predicted'][i], 1)}"
        place.image(subject().stimuli[int(test[i])], caption=caption, alt=f"test image {names[int(i)]}", output_format="JPEG")
    return _summary(features, fitted, residual, worst)


def _summary(features: str, fitted: dict[str, np.ndarray], residual: np.ndarray, worst: np.ndarray) -> str:
    bend = curve(fitted["predicted"], residual)
    r, perfect = (pearson(fitted[name], fitted["measured"]) for name in ("predicted", "signal"))
    dark = int((fitted["drive"][worst] > np.quantile(fitted["drive"], 1 - DARK)).sum())
    p = "p < .001" if bend.p < 0.001 else f"p = {bend.p:.2f}"
    among = f"{dark} of the {len(worst)} worst {'is' if dark == 1 else 'are'} among the darkest fifth of the test images"
    texts = {
        LINEAR: f"{_shape(fitted['predicted'], residual)}: {among}. r alone had not told this.",
        SQUARED: f"The bend is gone, and the failures have nothing in common any more: {among}. What is left is noise.",
    }
    return (
        f"Features {features}: r = **{number(r)}**, where the response without its noise has {number(perfect)}. A parabola explains "
        f"**{percent(bend.share)}** of the residuals' variance ({p} for its bend). {texts[features]}\n\nThe vertex was planted: it answers "
        f"to how dark an image is (the first component of its pixels) plus {BEND:g} times the square of that, with noise drawn by code. "
        f"The model sees the first {N_FEATURES} components, so only the square is missing. The link opens these features; a click on any "
        "vertex there shows its residuals."
    )


def _shape(predicted: np.ndarray, residual: np.ndarray) -> str:
    """Mean residuals of the tenths predicted lowest and highest, the brightest and darkest images, and of the fifth in the middle."""
    tenth, n = max(1, len(residual) // 10), len(residual)
    ordered = residual[np.argsort(predicted)]
    bright, middle, dark = ordered[:tenth].mean(), ordered[n // 2 - tenth : n // 2 + tenth].mean(), ordered[-tenth:].mean()
    ends = "The darkest images and the brightest bring" if bright > 0 else "The darkest images bring"
    also = f" and {signed(bright)}" if bright > 0 else ""
    return f"{ends} more than a straight line can say ({signed(dark)}{also} on average), those in the middle less ({signed(middle)})"


CODE = """\
from encoding import plots
from encoding.lessons.residuals import bent_vertex, curve, predicted

vertex, test = bent_vertex(m.components("pixels", ["rgb"]), m.fold), m.fold.test
guess = predicted(vertex, m.fold, squared=False)  # then True
print(curve(guess, vertex.response[test] - guess))
plots.residual_fitted(vertex.response[test], guess, [m.subject.stimuli.names[row] for row in test])
"""

LESSON = Lesson(
    place=10,
    name="residuals",
    title="Residuals and failures",
    idea=(
        "A linear model predicts what is a weighted sum of its features. What it misses is left in the **residuals**, measured less "
        "predicted. Noise leaves a flat band; anything else leaves a shape, and a set of images that fail together."
    ),
    question="A vertex responds to darkness and to its square, and a straight line is fitted. What will the residuals look like?",
    answers=("A flat band around 0", "A slope", "A bend: above 0 at both ends", "A funnel"),
    right=2,
    because=(
        "The best straight line through a curve that bends up runs below it at both ends and above it in the middle. On the training "
        "images no slope can stay, as the line takes every slope there is. On test images a shrunk line leaves some."
    ),
    show=_show,
    explore_spec=lambda: replace(_subject.PIXELS, n_components=N_FEATURES),
    looks=lambda: {"part": "Predictions"},
    controls=(KEY,),
    code=CODE,
    exercise=Exercise(
        task="Choose the score **R²**: it also counts a wrong slope or a wrong mean. Look at **V1v**, left hemisphere.",
        ask="What is its mean R²?",
        specs=(START,),
        answer=lambda fit: bar(fit, "V1v", "r2_mean"),
    ),
)
