"""The pinned baseline: a finished fit that every page of a session holds the others against, named by ``pin`` in the link."""

from __future__ import annotations

import streamlit as st

from encoding.evaluation.scores import SCORES
from encoding.fits.score_tables import ScoreTables
from encoding.plots.look import hemi_name
from encoding.plots.score_axis import score_column
from encoding.runs.labels import fit_label
from pages.parts.shared.link_notes import note
from pages.parts.shared.linked import adopt_link, write_link
from pages.parts.shared.server_state import opened_run, roi_table
from pages.parts.shared.text import plain

KEY = "pin"


def pinned_key() -> str:
    """Key of the pinned fit, of the link or else of this session; empty without one. Writes it into the link."""
    adopt_link(KEY)
    key = st.session_state.get(KEY) or ""
    write_link(KEY, key, "")
    return key


def baseline_of(result: ScoreTables, *, other: bool = True) -> ScoreTables | None:
    """The pinned fit, where it is of the same subject, with ``other`` another one, and can be opened; a message where it cannot."""
    key = pinned_key()
    if not key or (other and key == result.key):
        return None
    baseline = opened_run(key)
    if isinstance(baseline, str):
        _pin("")
        why = f"The pinned baseline is not here. {plain(baseline)}"
        if not note(KEY, why, ""):
            st.warning(why)
        return None
    theirs, ours = baseline.plan.spec, result.plan.spec
    return baseline if (theirs.dataset, theirs.subject) == (ours.dataset, ours.subject) else None


def baseline_chip(baseline: ScoreTables) -> None:
    """Name the baseline on a button that unpins it."""
    help = "Pinned: grey on Explore, Layers and Compare until you press here."
    name = f"Baseline: {plain(fit_label(baseline))} ✕"
    st.button(name, key="unpin", icon=":material/keep:", type="tertiary", help=help, on_click=_pin, args=("",))


def pin_button(result: ScoreTables) -> None:
    """Button that makes a fit the baseline, or where it is the baseline, that unpins it."""
    if pinned_key() == result.key:
        baseline_chip(result)
        return
    help = "It stays as a grey reference on Explore, Layers and Compare while you look at other fits of this subject."
    st.button("Pin as baseline", key="pin_it", icon=":material/keep:", type="tertiary", help=help, on_click=_pin, args=(result.key,))


def baseline_scores(baseline: ScoreTables, roi: str, score: str, statistic: str) -> dict[str, float]:
    """Score of the baseline in an ROI, per hemisphere; empty where it has no such score."""
    if score not in baseline.score_names or statistic not in SCORES[score].statistics:
        return {}
    table = roi_table(baseline)
    rows = table[(table["roi"] == roi) & (table["n_vertices"] > 0)]
    return dict(zip(rows["hemi"], rows[score_column(table, score, statistic)].astype(float), strict=True))


def baseline_text(baseline: ScoreTables, roi: str, score: str, statistic: str) -> str:
    """The baseline's score in an ROI, in Markdown; empty where it has none."""
    scores = baseline_scores(baseline, roi, score, statistic)
    values = ", ".join(f"{hemi_name(hemi).lower()} **{value:.3f}**" for hemi, value in scores.items())
    return f"Baseline, {plain(fit_label(baseline))}: {statistic} {SCORES[score].short} {values}." if scores else ""


def _pin(key: str) -> None:
    st.session_state[KEY] = key
