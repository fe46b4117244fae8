"""Exercises of lessons: what they ask is in their fits, and right is what those say."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from encoding import DATASETS, FitSpec
from pages.parts.learn.exercise import Exercise, bar, highest
from pages.parts.learn.lessons import LESSONS
from pages.parts.shared.links import explore_address

EXERCISES = {lesson.name: lesson.exercise for lesson in LESSONS}


def scored(**r):
    """A stand-in for a finished fit, of regions whose left bar is r and whose right one is 0.9."""
    rows = [(roi, hemi, value if hemi == "lh" else 0.9) for roi, value in r.items() for hemi in ("lh", "rh")]
    table = pd.DataFrame(rows, columns=["roi", "hemi", "r_mean"])
    for name in ("r_best", "r2_mean", "normalised_r"):
        table[name] = table["r_mean"]
    return SimpleNamespace(rois=lambda: table)


REGIONS = {"V1v": 0.6, "V2v": 0.5, "V3v": 0.4, "hV4": 0.3, "FFA-1": 0.2, "PPA": 0.1, "RSC": 0.15}


def test_bars_are_of_the_left_hemisphere():
    fit = scored(**REGIONS)
    assert bar(fit, "hV4") == 0.3 and highest(fit, ("PPA", "hV4", "FFA-1")) == "hV4"


def test_a_number_is_right_within_what_a_chart_can_be_read_to():
    exercise = Exercise("", "", (FitSpec(),), lambda fit: bar(fit, "V1v"))
    fits = (scored(V1v=0.613),)
    assert [exercise.is_right(given, fits) for given in (0.6, 0.61, 0.63, 0.64, 0.58, -0.61)] == [True, True, True, False, False, False]


@pytest.mark.parametrize("right", [0.9, 0.11, 0.0304, 0.0076, 0.0017, -0.0017, -0.0076, -0.2])
def test_a_small_number_is_no_zero_and_bars_read_to_three_decimals_are_enough(right):
    exercise = Exercise("", "", (FitSpec(), FitSpec()), lambda once, twice: bar(twice, "V1v") - bar(once, "V1v"))
    for first in (0.3, 0.31149, 0.31151):
        fits = scored(V1v=first), scored(V1v=first + right)
        assert exercise.is_right(round(first + right, 3) - round(first, 3), fits)
        assert not any(exercise.is_right(wrong, fits) for wrong in (0.0, -right, 2.1 * right))


@pytest.mark.parametrize("name", EXERCISES)
def test_the_answer_follows_the_fits(name):
    exercise = EXERCISES[name]
    rising = tuple(scored(**{roi: r * (1 + 0.3 * number) for roi, r in REGIONS.items()}) for number in range(len(exercise.specs)))
    falling = tuple(scored(**dict(zip(REGIONS, reversed(list(REGIONS.values())), strict=True))) for _ in exercise.specs)
    right, turned = exercise.answer(*rising), [(falling[0], *rising[1:]), (rising[0], *falling[1:])]
    other = next(answer for fits in turned if (answer := exercise.answer(*fits)) != right)
    assert exercise.is_right(right, rising) and not exercise.is_right(other, rising)
    assert not exercise.choices or {right, other} <= set(exercise.choices)


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_can_be_done(name):
    exercise = EXERCISES[name]
    assert exercise.task.endswith(".") and exercise.ask.endswith("?") and len(set(exercise.choices)) == len(exercise.choices)
    assert len(set(map(explore_address, exercise.specs))) == len(exercise.specs)
    for spec in exercise.specs:
        assert DATASETS[spec.dataset].clips is False and not spec.rois  # every region is fitted
