"""One vertex on the Data page: the stimuli with the largest and smallest response, and their distribution."""

from __future__ import annotations

import numpy as np
import streamlit as st

from encoding import plots
from encoding.analysis.tuning import Tuning, find_vertex, kinds, label_means, measure_correlations, rois_at, vertex_name
from encoding.plots import hemi_name
from pages.parts.shared.brain_component import Selection
from pages.parts.shared.chart import chart
from pages.parts.shared.glossary import explained
from pages.parts.shared.stimulus_grid import stimulus_grid
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

N_EXTREMES = 8
MOST_BARS = 12
HOW_HISTOGRAM = (
    "Each bar counts the stimuli to which this {unit} responded about so strongly. A long tail to the right is the mark of a {unit} that "
    "only few stimuli drive. Noise is in every response: the stimuli at the ends owe a part of their place to luck."
)
HOW_LABELS = (
    "The mean measured response of this {unit} to the stimuli of each kind, with the mean's 95 % interval (1.96 standard errors over "
    "stimuli). Kinds whose intervals are far apart are distinguished by this {unit}."
)


def vertex_choice(subject_view: SubjectView) -> Selection | None:
    """Choose a vertex in the sidebar; None, with a message, where there is no such one."""
    example = f"{subject_view.subject.hemis[0]} 120"
    text = st.sidebar.text_input(
        subject_view.subject.unit.one.capitalize(),
        key="vertex",
        bind="query-params",
        placeholder=f"type {example}" if subject_view.placement is None else f"click the brain, or type {example}",
        help=f"Where it is ({plain(', '.join(subject_view.subject.hemis))}) and its number: its column in the responses, "
        "or fsaverage and its number on that mesh.",
    )
    if not text.strip():
        return None
    try:
        return find_vertex(subject_view.subject, text)
    except ValueError as wrong:
        st.sidebar.warning(plain(wrong))
        return None


def vertex_panel(subject_view: SubjectView, vertex: Selection, row: int | None) -> None:
    """Show the tuning, reliability and response distribution of a vertex."""
    block, column = vertex
    tuning = subject_view.tuning(block, column)
    name = vertex_name(subject_view.subject, block, column)
    st.subheader(name[0].upper() + name[1:], anchor=False)
    st.markdown(_facts(subject_view, tuning))
    most, least = st.columns(2, gap="medium")
    for place, title, name, (rows, values) in (
        (most, "Drive it most", "most", tuning.highest(N_EXTREMES)),
        (least, "Drive it least", "least", tuning.lowest(N_EXTREMES)),
    ):
        with place:
            st.markdown(f"**{plain(title)}**")
            stimulus_grid(subject_view, rows, name=name, captions=[f"{value:+.2f}" for value in values], chosen=row)
    left, right = st.columns(2, gap="medium")
    with left:
        _histogram(subject_view, tuning, row)
    with right:
        _labels(subject_view, tuning)


def _facts(subject_view: SubjectView, tuning: Tuning) -> str:
    """Regions, ceiling, mean and spread of a vertex, in Markdown."""
    subject = subject_view.subject
    lines = []
    for roi in rois_at(subject, tuning.block, tuning.column):
        lines.append(f"In **{plain(roi)}**. {explained(roi)}".strip())
    if not lines:
        lines.append("In no ROI." if subject_view.rois else "This data set names no ROIs.")
    n = len(tuning.values)
    mean = round(float(tuning.values.mean(dtype=float)), 3) + 0.0  # no -0.000
    numbers = f"Mean {mean:.3f}, standard deviation {tuning.values.std(dtype=float):.3f} over {n:,} rows"
    if len(tuning.rows) < n:
        numbers += f" of {len(tuning.rows):,} different {subject_view.what}; below, each counts once, with the mean over its repeats"
    if subject.ceiling is None:
        ceiling = "Its noise ceiling is not known."
    else:
        share = float(subject.ceiling[tuning.block][tuning.column])
        ceiling = f"Noise ceiling **{share:.2f}**: no model can reach a higher r than **{np.sqrt(share):.2f}**."
    return "  \n".join([*lines, f"{ceiling} {numbers}."])


def _histogram(subject_view: SubjectView, tuning: Tuning, row: int | None) -> None:
    unit = subject_view.subject.unit
    marked = {} if row is None else {f"stimulus {row + 1}": float(subject_view.response(row)[tuning.block][tuning.column])}
    figure = plots.response_histogram(tuning.means, what=f"Measured response of {unit} {tuning.column} of {tuning.block}", marked=marked)
    chart(
        figure,
        "tuning",
        alt=f"histogram of the measured responses of {unit} {tuning.column}, {hemi_name(tuning.block).lower()}",
        source=subject_view.source,
        how=unit.fill(HOW_HISTOGRAM),
    )


def _labels(subject_view: SubjectView, tuning: Tuning) -> None:
    """Mean response to each kind of stimulus, where kinds are known."""
    known = kinds(subject_view.subject)
    if not known:
        st.info("This data set comes without labels, so there are no kinds of stimuli to compare.")
        return
    label = next(iter(known)) if len(known) == 1 else st.segmented_control("Label", list(known), key="label", default=next(iter(known)))
    table = label_means(subject_view.subject, tuning, label or next(iter(known))).head(MOST_BARS)
    figure = plots.label_bars(table, what="Mean measured response")
    chart(
        figure,
        "labels",
        alt=f"mean measured response to the stimuli of each {label}",
        source=subject_view.source,
        how=subject_view.subject.unit.fill(HOW_LABELS),
    )
    graded = measure_correlations(subject_view.subject, tuning)
    if len(graded):
        words = ", ".join(f"{each.label} {each.r:+.2f}" for each in graded.itertuples())
        st.caption(f"Correlation of the response with how much a stimulus shows of each: {words}.")
