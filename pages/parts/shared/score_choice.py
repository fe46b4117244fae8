"""Choice of a score and of its statistic over vertices, the same on every page that shows scores."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from encoding import Result
from encoding.datasets._unit import Unit
from encoding.evaluation.scores import SCORES


def score_choice(results: Sequence[Result], *, score_key: str, statistic_key: str) -> tuple[str, str]:
    """Choose one of the scores that all fits have, and ``mean`` or ``median``; a score without a median is shown as its mean.

    Parameters
    ----------
    score_key, statistic_key : of the widgets, and of their values in the link.
    """
    offered = [name for name in SCORES if all(name in result.score_names for result in results)]
    return choose_score(offered, results[0].plan.subject.unit, score_key=score_key, statistic_key=statistic_key)


def choose_score(
    offered: Sequence[str], unit: Unit, *, score_key: str, statistic_key: str, statistics: Sequence[str] = ("mean", "median")
) -> tuple[str, str]:
    """Choose one of the scores ``offered`` and one of the ``statistics``; one that is not defined for the score is shown as its mean.

    Parameters
    ----------
    unit : what scores are summarised over.
    score_key, statistic_key : as of :func:`score_choice`.
    """
    left, right = st.columns([4, 1] if len(statistics) < 3 else [3, 1])
    if not any(SCORES[name].needs_ceiling for name in offered):
        left.caption("No noise ceiling is known for these responses, so there are no normalised scores.")
    score = left.segmented_control(
        "Score",
        offered,
        key=score_key,
        bind="query-params",
        default="r" if "r" in offered else offered[0],
        required=True,
        help="\n\n".join(f"**{name}** {unit.fill(SCORES[name].definition)}" for name in offered),
    )
    statistic = right.segmented_control(
        f"Over {unit.many}", statistics, key=statistic_key, bind="query-params", default="mean", required=True
    )
    if statistic not in SCORES[score].statistics:
        right.caption(f"The {SCORES[score].short} is defined as a mean.")
        statistic = "mean"
    return score, statistic
