"""Lesson 5: overfitting, and what ridge does about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.evaluation.splits import folds
from encoding.features import extraction as features
from encoding.features.pca import fit_components
from encoding.lessons.ridge import RidgePath, ridge_path
from encoding.lessons.rois import responses_of
from encoding.plots.lessons_encoding import alpha_path, weight_bars
from pages.parts.learn.exercise import Exercise, bar
from pages.parts.learn.lesson import Lesson, first_plan, fit_source, lesson_chart, subject_key
from pages.parts.shared.server_state import store
from pages.parts.shared.start import START
from pages.parts.shared.wording import number, percent

ROI = "V1v"
N_TRAIN = 100  # so few images, and as many components, that least squares fits every one of them
ALPHAS = tuple(f"{alpha:g}" for alpha in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000))  # as the link writes them
FIRST = "0.01"
MEASURES = {"R²": ("train_r2", "test_r2"), "r": ("train", "test")}
HOW = (
    "Left is hardly any penalty: the model is free to fit every training image, noise and all. Right is a penalty so large that {far}. "
    "The height of the green line is what counts, and it is highest in between."
)
FAR = {
    "R²": "predictions shrink to the mean, whose R² is 0",
    "r": "predictions shrink to the mean, which r does not show, as it ignores their scale",
}
HOW_WEIGHTS = (
    "One bar for each component, those of large variance first. The penalty shrinks weights of components of small variance first."
)


def show() -> str:
    """Show training and test r against the ridge penalty."""
    pick, which = st.columns([3, 1])
    alpha = pick.select_slider("alpha: drag it", ALPHAS, FIRST, key="alpha", bind="query-params")
    measure = which.segmented_control("Score", list(MEASURES), key="measure", default="R²", required=True, persist_state="session")
    path = _path(subject_key())
    chosen = ALPHAS.index(alpha)
    left, right = st.columns([3, 2])
    train, test = (getattr(path, name) for name in MEASURES[measure])
    with left:
        lesson_chart(
            alpha_path(path.alphas, train, test, chosen, label=f"Mean {measure} in {ROI}", height=330),
            "alpha_path",
            alt=f"{measure} on training and test images against alpha, {alpha} marked",
            how=HOW.format(far=FAR[measure]),
            source=fit_source(explore_spec()),
        )
    with right:
        lesson_chart(
            weight_bars(path.weights[chosen], largest=float(np.abs(path.weights).max()), height=330),
            "weights",
            alt=f"weights of one vertex at alpha {alpha}",
            how=HOW_WEIGHTS,
            source=f"Simulated · alpha {alpha}",
        )
    return _summary(path, chosen)


@st.cache_data(max_entries=4, show_spinner="Computing, once …")
def _path(key: str) -> RidgePath:
    plan = first_plan()
    fold = folds(_split(), plan.subject.groups)[0]
    known = [features.load(plan.feature_keys[layer], store()) for layer in plan.spec.layers]
    Z = fit_components(known, fold.train, 0).scores
    return ridge_path(Z, responses_of(plan.subject, ROI), fold.train, fold.test, np.array(ALPHAS, float))


def _split() -> str:
    return f"first:{min(N_TRAIN, first_plan().subject.n_stimuli // 2)}"


def _summary(path: RidgePath, chosen: int) -> str:
    size = float(np.abs(path.weights[chosen]).mean() / np.abs(path.weights[0]).mean())
    best = path.best
    weights = (
        f"Weights have {percent(size)} of the size that they have at alpha {ALPHAS[0]}." if chosen else "Weights are at their largest."
    )
    where = (
        "This is the best alpha there is for new images."
        if chosen == best
        else f"Alpha is too small: **overfitting**. Drag towards {ALPHAS[best]}."
        if chosen < best
        else f"Alpha is too large: real weights are shrunk away, too. The best is {ALPHAS[best]}."
    )
    return (
        f"At alpha = {ALPHAS[chosen]}, r is **{number(path.train[chosen])}** on training images, **{number(path.test[chosen])}** on new "
        f"ones; R² is {number(path.train_r2[chosen])} and **{number(path.test_r2[chosen])}**{_worse(path.test_r2[chosen])}. {weights} "
        f"{where} "
        "In practice nobody looks at test images for this: alpha is chosen by cross-validation within the training images, for each "
        "vertex."
    )


def _worse(r2: float) -> str:
    if number(r2) == "0.00":
        return ", as good as guessing the mean"
    return ", worse than guessing the mean" if r2 < 0 else ""


def explore_spec() -> FitSpec:
    """Ridge with all components and the selected penalty, on the lesson's split."""
    alpha = float(st.session_state.get("alpha", FIRST))
    return replace(START, split=_split(), n_components=0, options={"alpha": alpha}, rois=(ROI,))


CODE = """\
import numpy as np

from encoding.evaluation.splits import folds
from encoding.features.pca import fit_components
from encoding.lessons.ridge import ridge_path
from encoding.lessons.rois import responses_of
from encoding.plots.lessons_encoding import alpha_path

fold = folds(f"first:{min(100, m.subject.n_stimuli // 2)}", m.subject.groups)[0]
Z = fit_components([m.features()], fold.train, 0).scores
path = ridge_path(Z, responses_of(m.subject, "V1v"), fold.train, fold.test, np.logspace(-2, 4, 13))
alpha_path(path.alphas, path.train_r2, path.test_r2, path.best, label="Mean R² in V1v")
"""

LESSON = Lesson(
    place=5,
    name="ridge",
    title="Overfitting, and what ridge does about it",
    idea="With as many weights as training images a regression can fit every response exactly, noise included: it **overfits**. "
    f"**Ridge** adds a penalty, alpha, on large weights. Here {N_TRAIN} images train all components there are, and the rest test.",
    question="Alpha is dragged from nearly nothing to huge. What happens to predictions of new images?",
    answers=("They get better all the way.", "They get worse all the way.", "Better at first, then worse."),
    right=2,
    because="A little penalty takes away noise that was learned by heart, too much takes away what was really there. "
    "On training images every penalty makes the fit worse.",
    show=show,
    explore_spec=explore_spec,
    controls=("alpha",),
    code=CODE,
    exercise=Exercise(
        task="Set alpha to 10,000 in *Advanced* and fit: every weight is shrunk hard. Look at **V1v**, left hemisphere.",
        ask="What mean r is left?",
        specs=(replace(START, options={"alpha": 10_000.0}),),
        answer=lambda fit: bar(fit, "V1v"),
    ),
)
