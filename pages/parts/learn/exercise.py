"""The exercise that ends a lesson: something to find out in Explore, checked against the fits themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from encoding import FitSpec, Result
from pages.parts.learn.progress import SOLVED, note_progress
from pages.parts.shared.links import explore_address
from pages.parts.shared.server_state import find_result

HEMI = "lh"  # whose bars exercises ask about
READ_TO, SHARE, SHOWN = 0.02, 0.25, 0.001  # a chart is read to; of a small number; the last digit that Explore shows of a bar


@dataclass(frozen=True)
class Exercise:
    """What is to be found out in Explore.

    Attributes
    ----------
    task : what to do there, Markdown.
    ask : the question.
    specs : the fits that answer it; whichever is not there yet is fitted in Explore.
    answer : the right answer, computed from the finished fits in that order: one of ``choices``, or a number.
    choices : to choose from; empty where a number is asked for.
    """

    task: str
    ask: str
    specs: tuple[FitSpec, ...]
    answer: Callable[..., str | float]
    choices: tuple[str, ...] = ()

    def is_right(self, given: str | float, fits: tuple[Result, ...]) -> bool:
        """Whether an answer is right, by the finished fits: a number as well as a chart is read, a small one to a quarter of itself."""
        right = self.answer(*fits)
        if self.choices:
            return given == right
        allowed = max(SHOWN, min(READ_TO, SHARE * abs(float(right))))
        return abs(float(given) - float(right)) <= allowed + 1e-9


def right_answer(exercise: Exercise) -> str | None:
    """The right answer as text, from the finished fits; None where one is missing or cannot be opened."""
    try:
        fits = tuple(find_result(spec) for spec in exercise.specs)
    except (LookupError, ValueError, OSError):
        return None
    if None in fits:
        return None
    right = exercise.answer(*fits)
    return str(right) if exercise.choices else f"{float(right):.3f}"


def bar(result: Result, roi: str, column: str = "r_mean") -> float:
    """Height of a region's bar in the left hemisphere; ``column`` is one of :meth:`encoding.fits.score_tables.ScoreTables.rois`."""
    table = result.rois()
    return float(table.loc[(table["roi"] == roi) & (table["hemi"] == HEMI), column].iloc[0])


def highest(result: Result, rois: tuple[str, ...], column: str = "r_mean") -> str:
    """The region with the highest bar in the left hemisphere."""
    return max(rois, key=lambda roi: bar(result, roi, column))


def exercise_panel(name: str, exercise: Exercise) -> None:
    """Show an exercise and say whether the answer given is right; a solved one is counted in the link."""
    about = "Something to find out in Explore, checked against the fits."
    with st.popover("Exercise", width="stretch", help=about, key=f"open_exercise_{name}", on_change="rerun") as opened:
        if not opened.open:
            return
        st.markdown(exercise.task)
        fits = tuple(find_result(spec) for spec in exercise.specs)
        for number, (spec, found) in enumerate(zip(exercise.specs, fits, strict=True), 1):
            which = f"fit {number}" if len(fits) > 1 else "the fit"
            label = f"Open {which} in Explore ↗" if found is not None else f"Open {which} in Explore and press Fit ↗"
            st.link_button(label, explore_address(spec), width="stretch")
        if exercise.choices:
            given = st.radio(exercise.ask, exercise.choices, index=None, key=f"exercise_{name}", persist_state="session")
        else:
            about, key = "Point at a bar to read it to three decimals.", f"exercise_{name}"
            given = st.number_input(exercise.ask, value=None, step=0.001, format="%.3f", help=about, key=key, persist_state="session")
        if given is None:
            return
        if None in fits:
            st.info("The answer is computed from what you fit, and that is not there yet: press **Fit** in Explore, then come back.")
        elif exercise.is_right(given, fits):
            note_progress(SOLVED, [name])
            st.success("Right: the fit says the same.")
        else:
            st.warning("The fit says something else. Look again: left hemisphere, mean r unless another score is named.")
