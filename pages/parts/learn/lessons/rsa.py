"""Lesson on RSA and encoding models: the same features compared by distances and by regression."""

from __future__ import annotations

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.datasets.simulation.scenes import CATEGORIES
from encoding.lessons.rsa import FACTORS, Both, both_scores, rescaled
from encoding.plots import lessons_comparison as figures
from pages.parts.learn.exercise import Exercise, highest
from pages.parts.learn.lesson import Lesson, lesson_chart, source, subject, subject_key
from pages.parts.learn.lessons import _subject
from pages.parts.shared.wording import number

KEY = "rsa_factor"
REGION = "ventral"
FEATURE = "food"
HOW_MATRICES = (
    "Row and column are test images, sorted by what they show; a cell says how far apart two of them are, as a rank among all pairs. "
    "Dark squares along the diagonal are kinds of images that are alike. RSA asks whether the two matrices have the same order."
)
HOW_SCORES = "Both scores come from the same features, the same vertices and the same test images. Only the scale of one feature differs."


@st.cache_data(max_entries=2, show_spinner=False)
def _scores(key: str) -> dict[float, Both]:
    """Factor to both scores."""
    Y, column = _subject.responses()[:, _subject.columns(REGION)], CATEGORIES.index(FEATURE)
    return {factor: both_scores(rescaled(_subject.categories(), column, factor), Y, _subject.fold()) for factor in FACTORS}


def _show() -> str:
    factor = st.select_slider(f"Multiply the feature “{FEATURE}” by", FACTORS, 1, key=KEY, bind="query-params")
    scores = _scores(subject_key())
    kinds = np.argmax(_subject.categories()[_subject.fold().test], axis=1)
    by_kind = np.argsort(kinds, kind="stable")
    names = [CATEGORIES[kind] for kind in kinds[by_kind]]
    now = scores[factor]
    lesson_chart(
        figures.dissimilarities(now.model[np.ix_(by_kind, by_kind)], now.brain[np.ix_(by_kind, by_kind)], names, height=186),
        "rsa_matrices",
        alt=f"distances between test images, by the model with {FEATURE} times {factor} and by the responses of the {REGION} stream",
        how=HOW_MATRICES,
        source=source(f"{REGION} stream", f"{len(by_kind)} test images"),
    )
    rsa, encoding = (np.array([getattr(each, name) for each in scores.values()]) for name in ("rsa", "encoding"))
    lesson_chart(
        figures.scores_by_factor(FACTORS, rsa, encoding, factor, height=208),
        "rsa_scores",
        alt="RSA and encoding score against the factor",
        how=HOW_SCORES,
        source=source(f"{REGION} stream", "ridge"),
    )
    return _summary(factor, scores)


def _summary(factor: float, scores: dict[float, Both]) -> str:
    now, plain = scores[factor], scores[1]
    r = f"the encoding model's mean r **{now.encoding:.3f}**"
    text = (
        f"With the features as they are, RSA is **{number(now.rsa)}** and {r}. Move the slider."
        if factor == 1
        else f"With “{FEATURE}” times {factor}, RSA is **{number(now.rsa)}** (from {number(plain.rsa)}), {r} (from {plain.encoding:.3f})."
    )
    return (
        f"{text} RSA takes distances as they come, so a feature on a large scale decides them: all that matters to the model then is "
        f"whether there is {FEATURE}. The encoding model learns a weight for each feature; a larger feature gets a smaller weight. "
        "Neither is the better score: RSA asks whether the geometry is shared as it stands, encoding whether a weighted sum of features "
        f"can predict the responses.\n\nRidge's penalty does see the scale; with {len(CATEGORIES)} features and "
        f"{len(_subject.fold().train)} training images that hardly shows. The features are the scenes' six labels; RSA is "
        f"Spearman's ρ of their Euclidean distances with 1 − r of the response patterns of {_n_vertices():,} "
        "vertices. Labels are no backbone, so the link opens Gabor energy, at EBA."
    )


def _n_vertices() -> int:
    return sum(len(subject().rois[hemi][REGION]) for hemi in subject().hemis)


CODE = """\
import numpy as np

from encoding.datasets.simulation.scenes import CATEGORIES
from encoding.lessons.rsa import FACTORS, both_scores, rescaled
from encoding.plots.lessons_comparison import scores_by_factor

Y, food = m.Y[:, m.columns("ventral")], CATEGORIES.index("food")
scores = [both_scores(rescaled(m.categories(), food, factor), Y, m.fold) for factor in FACTORS]
scores_by_factor(FACTORS, np.array([each.rsa for each in scores]), np.array([each.encoding for each in scores]), 1)
"""

LESSON = Lesson(
    place=9,
    name="rsa",
    title="RSA against encoding",
    idea=(
        "There are two ways to ask whether a model is like the brain. **RSA** compares distances: are images that are alike for the "
        "model alike for the brain? **Encoding** learns weights from the model's features to each vertex and predicts new images."
    ),
    question=f"One of six features, “{FEATURE}”, is multiplied by 32. Nothing else changes. What happens to the two scores?",
    answers=("Both fall", "RSA falls, encoding stays", "Encoding falls, RSA stays", "Neither changes"),
    right=1,
    because=(
        "Distances are dominated by whatever varies most, so a feature on a large scale drowns the others. Learned weights undo a change "
        "of scale."
    ),
    show=_show,
    explore_spec=lambda: FitSpec(rois=("EBA",)),
    controls=(KEY,),
    code=CODE,
    exercise=Exercise(
        task="Fit the network *pixels* (layer rgb) in place of Gabor energy. Left hemisphere.",
        ask="Which region do pixels predict best?",
        specs=(FitSpec(backbone="pixels", layers=("rgb",)),),
        answer=lambda fit: highest(fit, ("V1v", "hV4", "FFA-1", "PPA")),
        choices=("V1v", "hV4", "FFA-1", "PPA"),
    ),
)
