"""Choice of a score and of its statistic over vertices, the same on every page that shows scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from encoding import Result
from encoding.datasets._unit import Unit
from encoding.evaluation.scores import SCORES
from encoding.runs.labels import parts_label, side_label
from pages.parts.shared.linked import choose, pick


def score_choice(results: Sequence[Result], *, score_key: str, statistic_key: str, places: Sequence[Any] = ()) -> tuple[str, str]:
    """Choose one of the scores that all fits have, and ``mean`` or ``median``; a score without a median is shown as its mean.

    Parameters
    ----------
    score_key, statistic_key : of the widgets, and of their values in the link.
    places : where the two are drawn; columns of their own without.
    """
    offered = [name for name in SCORES if all(name in result.score_names for result in results)]
    return choose_score(offered, results[0].plan.subject.unit, score_key=score_key, statistic_key=statistic_key, places=places)


def hemi_choice(place: Any, hemis: Sequence[str], unit: Unit, *, key: str) -> str:
    """Choose one of the hemispheres, or both where that is among ``hemis``; the first without a link."""
    help = f"both: every {unit} of the two counts once."
    return pick(parts_label(hemis), key, hemis, hemis[0], place=place, format_func=side_label, help=help)


def choose_score(
    offered: Sequence[str],
    unit: Unit,
    *,
    score_key: str,
    statistic_key: str,
    statistics: Sequence[str] = ("mean", "median"),
    places: Sequence[Any] = (),
) -> tuple[str, str]:
    """Choose one of the scores ``offered`` and one of the ``statistics``; one that is not defined for the score is shown as its mean.

    Parameters
    ----------
    unit : what scores are summarised over.
    score_key, statistic_key, places : as of :func:`score_choice`.
    """
    left, right = places or st.columns([2, 2, 3])[:2]
    help = "\n\n".join(f"**{SCORES[name].short}** {unit.fill(SCORES[name].definition)}" for name in offered)
    if not any(SCORES[name].needs_ceiling for name in offered):
        help += "\n\nNo noise ceiling is known for these responses, so there are no normalised scores."
    start = "r" if "r" in offered else offered[0]
    score = choose("Score", score_key, offered, start, labels=lambda name: SCORES[name].short, place=left, help=help)
    statistic = choose(f"Over {unit.many}", statistic_key, list(statistics), "mean", place=right)
    if statistic not in SCORES[score].statistics:
        right.caption(f"The {SCORES[score].short} is defined as a mean.")
        statistic = "mean"
    return score, statistic
