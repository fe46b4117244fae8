"""Choice of a score and of its mean or median over vertices, the same on every page that shows scores."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from encoding import Result
from encoding.evaluation.scores import SCORES


def score_choice(results: Sequence[Result], *, score_key: str, statistic_key: str) -> tuple[str, str]:
    """Choose one of the scores that all fits have, and ``mean`` or ``median``; a score without a median is shown as its mean.

    Parameters
    ----------
    score_key, statistic_key : of the widgets, and of their values in the link.
    """
    unit = results[0].plan.subject.unit
    offered = [name for name in SCORES if all(name in result.score_names for result in results)]
    left, right = st.columns([4, 1])
    if any(result.plan.subject.ceiling is None for result in results):
        left.caption("No noise ceiling is known for these responses, so there are no normalised scores.")
    score = left.segmented_control(
        "Score",
        offered,
        key=score_key,
        bind="query-params",
        default="r",
        required=True,
        help="\n\n".join(f"**{name}** {unit.fill(SCORES[name].definition)}" for name in offered),
    )
    statistic = right.segmented_control(
        f"Over {unit.many}", ["mean", "median"], key=statistic_key, bind="query-params", default="mean", required=True
    )
    if statistic == "median" and not SCORES[score].has_median:
        right.caption(f"The {SCORES[score].short} is defined as a mean.")
        statistic = "mean"
    return score, statistic
