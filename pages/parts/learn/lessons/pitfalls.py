"""Lesson on pitfalls: leakage, circular selection and multiple comparisons, on noise with a known score."""

from __future__ import annotations

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.evaluation.scores import pearson
from encoding.lessons import pitfalls
from encoding.lessons._linear import fitted
from encoding.lessons.pitfalls import N_CHOSEN, N_SPLITS, N_TEST, N_TRAIN, WAYS, Circle
from encoding.plots import lessons_comparison as figures
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, lesson_chart, source, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.start import START
from pages.parts.shared.wording import number, percent, signed

KEY = "pitfalls_which"
LEAKAGE, CIRCLE, MANY = "leakage", "circular selection", "many comparisons"
NOISE, REAL = "Noise: no signal at all", "V1v of the simulated subject"
N_BEST = 100  # vertices chosen for their score
N_APART = 3  # one in so many vertices of V1v
SEED = 0
TOLD = {
    "honest": "honest",
    "components": "scaler, PCA<br>see test images",
    "alpha": "alpha chosen<br>on test images",
    "chosen honestly": "features from<br>training images",
    "chosen with the test": "features from<br>all images",
}
HOW_LEAK = (
    "Every bar is the mean r over vertices on test images, averaged over random splits; whiskers run from the lowest split to the "
    "highest. Grey vertices are noise, so an honest score is 0. Compare the second and third pair of bars with the first, the last with "
    "the fourth: in both, features were chosen by their correlation with the responses."
)
HOW_CIRCLE = (
    "Each dot is a vertex of pure noise: how well it is predicted on one half of the test images, and on the other. The chosen dots are "
    "far right because they were chosen for it; up and down they lie around 0."
)
HOW_MANY = (
    "All p of one kind, sorted. Noise alone runs along p = rank / number of vertices, so one in twenty lies under the dotted line at p = "
    ".05. The false discovery rate asks for points under the solid line, which falls with the number of tests. Values of p below one in "
    "a million lie below the image."
)


def _noise() -> np.ndarray:
    """(n_stimuli, n_vertices), as many vertices as the subject has, drawn afresh."""
    return np.random.default_rng(SEED).standard_normal(_subject.responses().shape, np.float32)


@st.cache_data(max_entries=2, show_spinner=False)
def _leaks(key: str) -> dict[str, np.ndarray]:
    """What was fitted to: mean r (n_splits, n_ways)."""
    few = _subject.columns("V1v")[::N_APART]
    scores = pitfalls.leak(_subject.features(START), np.hstack([_noise()[:, few], _subject.responses()[:, few]]), seed=SEED)
    return {NOISE: scores.means(slice(None, len(few))), REAL: scores.means(slice(len(few), None))}


@st.cache_data(max_entries=2, show_spinner=False)
def _predicted(key: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What was fitted to: predicted and measured responses to test images, (n_test, n_vertices) each."""
    Z, fold = _subject.components(START), _subject.fold()
    pairs = ((NOISE, _noise()), (REAL, _subject.responses()))
    return {name: (fitted(Z, Y, fold).predict(Z[fold.test]), Y[fold.test]) for name, Y in pairs}


def _show() -> str:
    which = st.segmented_control("Pitfall", (LEAKAGE, CIRCLE, MANY), key=KEY, bind="query-params", default=LEAKAGE, required=True)
    return {LEAKAGE: _leakage, CIRCLE: _circle, MANY: _many}[which]()


def _leakage() -> str:
    leaks = _leaks(subject_key())
    lesson_chart(
        figures.leaks([TOLD[way] for way in WAYS], leaks),
        "pitfalls_leaks",
        alt="mean r on test images of five ways to evaluate, for noise and for V1v",
        how=HOW_LEAK,
        source=source("Gabor energy", f"{N_SPLITS} splits of {N_TRAIN} training and {N_TEST} test images", "noise drawn by code"),
    )
    noise, real = (dict(zip(WAYS, leaks[name].mean(0), strict=True)) for name in (NOISE, REAL))
    alpha, blind = ([each[way] - each["honest"] for each in (noise, real)] for way in ("alpha", "components"))
    chosen, chosen_honestly = "chosen with the test", "chosen honestly"
    return (
        f"For each vertex choose {N_CHOSEN} of {_subject.features(START).shape[1]:,} features by their correlation with it, and let the "
        f"test images help to choose: **noise is “predicted” with r = {noise[chosen]:.2f}**, though weights were learned on training "
        f"images alone. Chosen on training images: {number(noise[chosen_honestly])}. In V1v the leak lifts "
        f"{real[chosen_honestly]:.2f} to {real[chosen]:.2f}, which nobody would find suspicious. Choosing alpha on the test images adds "
        f"{alpha[0]:.2f} to noise and {alpha[1]:.2f} to V1v.\n\n"
        f"A scaler and PCA that see the test images, but no responses to them, change next to nothing: "
        f"{signed(blind[0], 3)} and {signed(blind[1], 3)} here. What leaks is knowledge of the test **responses**. Still fit every step on "
        "training images alone, as Explore does: a step that is harmless today is supervised tomorrow. (Features chosen on "
        f"training images reach {real[chosen_honestly]:.2f} in V1v and all components {real['honest']:.2f}: no leak, but a better model.)"
    )


def _circle() -> str:
    circles: dict[str, Circle] = {name: pitfalls.circle(*pair, n_chosen=N_BEST) for name, pair in _predicted(subject_key()).items()}
    noise, real = circles[NOISE], circles[REAL]
    lesson_chart(
        figures.chosen_twice(noise.first, noise.second, noise.chosen),
        "pitfalls_circle",
        alt="r of noise vertices on the images that choose and on others",
        how=HOW_CIRCLE,
        source=source("noise drawn by code in place of its responses", "ridge on Gabor energy"),
    )
    first, second = (values[noise.chosen].mean() for values in (noise.first, noise.second))
    own, other = (values[real.chosen].mean() for values in (real.first, real.second))
    return (
        f"{len(noise.first):,} vertices of pure noise were fitted, and the {N_BEST} with the highest r on one half of the test images "
        f"chosen. On that half their mean r is **{first:z.2f}**; on the other it is **{number(second)}**. Nothing was predicted: of "
        "many vertices some are lucky, and choosing by the score collects the luck.\n\nWith the subject's own responses, where there is "
        f"signal, the best {N_BEST} have {own:.2f} on the half that chose and {other:.2f} on the other: less luck, but some. Choose "
        "vertices by something else (an ROI, the noise ceiling), or on other images than those reported (Kriegeskorte et al. 2009)."
    )


def _many() -> str:
    predicted = _predicted(subject_key())
    p = {name: pitfalls.p_values(pearson(*pair), len(pair[0])) for name, pair in predicted.items()}
    series = {NOISE: p[NOISE], "Every vertex of the simulated subject": p[REAL]}
    lesson_chart(
        figures.sorted_p(series),
        "pitfalls_many",
        alt="sorted p of noise vertices and of the subject's own, with the level .05 and the line of the false discovery rate",
        how=HOW_MANY,
        source=source("and noise drawn by code", "ridge on Gabor energy", f"{len(_subject.fold().test)} test images"),
    )
    noise, real = (pitfalls.findings(p[name]) for name in (NOISE, REAL))
    n, each, rate = len(p[NOISE]), "each for itself", "false discovery rate"
    return (
        f"{n:,} vertices of pure noise, each tested at p < .05: **{noise[each]:,} pass**, close to the {0.05 * n:.0f} that chance "
        "promises. Painted on a brain they look like findings. With Bonferroni's correction (p < .05 / number of vertices) "
        f"{noise['Bonferroni']:,} pass, at a false discovery rate of 5 % (Benjamini & Hochberg 1995) **{noise[rate]:,}**.\n\n"
        f"Of the subject's own vertices {real[each]:,} pass uncorrected. The false discovery rate leaves {real[rate]:,}, "
        f"{_cost(real[rate], real[each])}; Bonferroni leaves {real['Bonferroni']:,}, {_cost(real['Bonferroni'], real[each])}. They promise "
        "different things: the false discovery rate that at most 5 % of what is found is expected to be false, Bonferroni that the "
        "chance of even one false finding is at most 5 %."
    )


def _cost(left: int, of: int) -> str:
    """How much of what passes uncorrected a correction costs."""
    lost = 1 - left / max(of, 1)
    return f"{percent(lost)} fewer" if lost > 0 else "as many"


CODE = """\
import numpy as np

from encoding.lessons.pitfalls import WAYS, leak
from encoding.plots.lessons_comparison import leaks

few = m.columns("V1v")[::20]
noise = np.random.default_rng(0).standard_normal((m.subject.n_stimuli, len(few)))
scores = leak(m.features(), np.hstack([noise, m.Y[:, few]]), seed=0)
halves = {"Noise": slice(None, len(few)), "V1v": slice(len(few), None)}
leaks(list(WAYS), {name: scores.means(half) for name, half in halves.items()})
"""

LESSON = Lesson(
    n_parts=3,
    place=11,
    name="pitfalls",
    title="Pitfalls",
    idea=(
        "Three ways to a good score without any signal: let something of the test images into the fit (**leakage**), report the vertices "
        "that were chosen for their score (**circular selection**), or test thousands of vertices one by one (**many comparisons**). "
        "Responses drawn as pure noise show each: the right answer is 0."
    ),
    question="Responses are pure noise. Which of these makes a model “predict” them on test images?",
    answers=(
        "Fitting PCA on training and test images",
        "Choosing features by their correlation with the responses to all images",
        "Neither: weights are learned on training images alone",
    ),
    right=1,
    because=(
        "PCA never sees a response, so it cannot learn what the test responses are. Choosing features by all responses lets the test ones "
        "choose those that happen to fit them."
    ),
    show=_show,
    explore_spec=lambda: FitSpec(rois=("V1v",)),
    controls=(KEY,),
    code=CODE,
    exercise=Exercise(
        task="Choose the region **V1v** and open *Spread*: its table lists the vertices that are predicted best and worst. Find the best "
        "one of the left hemisphere (lh). The same images found it and score it.",
        ask="Which r does it reach?",
        specs=(START,),
        answer=lambda fit: bar(fit, "V1v", "r_best"),
    ),
)
