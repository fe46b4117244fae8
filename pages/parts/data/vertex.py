"""One vertex: the stimuli with the largest and smallest response, and their distribution."""

from __future__ import annotations

import numpy as np
import streamlit as st

from encoding import plots
from encoding.analysis.lookup import find_vertex, vertex_name
from encoding.analysis.tuning import Tuning, kinds, label_means, measure_correlations, repeats, rois_at, selectivity
from encoding.runtime.wording import counted
from pages.parts.shared.brain_component import Selection
from pages.parts.shared.chart import chart
from pages.parts.shared.glossary import explained
from pages.parts.shared.linked import enter
from pages.parts.shared.links import view
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
    "The mean measured response to the stimuli of each kind, with the mean's 95 % interval (1.96 standard errors over "
    "stimuli). Kinds whose intervals are far apart are distinguished here."
)


def vertex_choice(subject_view: SubjectView) -> Selection | None:
    """Choose a vertex in the sidebar; None, with a message, where there is no such one."""
    example = f"{subject_view.subject.hemis[0]} 120"
    text = enter(
        subject_view.subject.unit.one.capitalize(),
        "vertex",
        place=st.sidebar,
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
    """Show the tuning, reliability and response distribution of a vertex, with a link to its own page."""
    name = vertex_name(subject_view.subject, *vertex)
    st.markdown(f"## {plain(name[0].upper() + name[1:])}")
    st.markdown(vertex_facts(subject_view, vertex))
    region_link(subject_view, vertex=vertex)
    extremes_panel(subject_view, subject_view.tuning(*vertex), row)
    tuning_histogram(subject_view, subject_view.tuning(*vertex), _short_name(subject_view, vertex), row)
    labels_panel(subject_view, subject_view.tuning(*vertex))


def _short_name(subject_view: SubjectView, vertex: Selection) -> str:
    return f"{subject_view.subject.unit} {vertex[0]} {vertex[1]}"


def region_link(subject_view: SubjectView, *, roi: str = "", vertex: Selection | None = None) -> None:
    """Link to the page of a vertex, or of an ROI."""
    data = {"dataset": subject_view.subject.dataset, "subject": subject_view.subject.name}
    looked = {"vertex": f"{vertex[0]} {vertex[1]}"} if vertex else {"roi": roi}
    label = f"This {subject_view.subject.unit} under every fit" if vertex else f"{plain(roi)} under every fit"
    st.page_link(view("region"), label=label, query_params=data | looked, icon=":material/my_location:")


def vertex_facts(subject_view: SubjectView, vertex: Selection) -> str:
    """Regions, ceiling, mean and spread of a vertex, in Markdown."""
    subject, (block, column) = subject_view.subject, vertex
    lines = [f"In **{plain(roi)}**. {explained(roi)}".strip() for roi in rois_at(subject, block, column)]
    if not lines:
        lines.append("In no ROI." if subject_view.rois else "This data set names no ROIs.")
    if subject.ceiling is None:
        ceiling = "Its noise ceiling is not known."
    else:
        share = float(subject.ceiling[block][column])
        ceiling = f"Noise ceiling **{share:.2f}**: no model is expected to reach a higher r than **{np.sqrt(share):.2f}**."
    return "  \n".join([*lines, f"{ceiling} {spread_facts(subject_view, subject_view.tuning(block, column))}"])


def spread_facts(subject_view: SubjectView, tuning: Tuning) -> str:
    """Mean and spread of responses, and over how many rows and different stimuli."""
    n = len(tuning.values)
    mean = round(float(tuning.values.mean(dtype=float)), 3) + 0.0  # no -0.000
    numbers = f"Mean {mean:z.3f}, standard deviation {tuning.values.std(dtype=float):z.3f} over {counted(n, 'row')}"
    if len(tuning.rows) < n:
        numbers += f" of {len(tuning.rows):,} different {subject_view.what}; below, each counts once, with the mean over its repeats"
    return f"{numbers}."


def extremes_panel(subject_view: SubjectView, tuning: Tuning, row: int | None) -> None:
    """Show the stimuli with the highest and with the lowest responses."""
    for title, name, (rows, values) in (
        ("Drive it most", "most", tuning.highest(N_EXTREMES)),
        ("Drive it least", "least", tuning.lowest(N_EXTREMES)),
    ):
        st.markdown(f"**{title}**")
        captions = [f"{value:+z.2f}" for value in values]
        stimulus_grid(subject_view, rows, name=name, captions=captions, chosen=row, across=N_EXTREMES)


def tuning_histogram(subject_view: SubjectView, tuning: Tuning, name: str, row: int | None, *, how: str = HOW_HISTOGRAM) -> None:
    """Show the distribution of responses over stimuli, with the chosen stimulus marked."""
    marked = {} if row is None else {f"stimulus {row + 1}": float(tuning.values[repeats(subject_view.subject, row)].mean())}
    figure = plots.response_histogram(tuning.means, what=f"Measured response of {name}", marked=marked)
    alt = f"histogram of the measured responses of {name}"
    chart(figure, "tuning", alt=alt, source=subject_view.source, how=subject_view.subject.unit.fill(how))


def labels_panel(subject_view: SubjectView, tuning: Tuning) -> None:
    """Show the mean response to each kind of stimulus and how selective it is, where kinds are known."""
    known = kinds(subject_view.subject)
    if not known:
        st.info("This data set comes without labels, so there are no kinds of stimuli to compare.")
        return
    label = next(iter(known)) if len(known) == 1 else st.segmented_control("Label", list(known), key="label", default=next(iter(known)))
    label = label or next(iter(known))
    table = label_means(subject_view.subject, tuning, label).head(MOST_BARS)
    figure = plots.label_bars(table, what="Mean measured response")
    chart(
        figure,
        "labels",
        alt=f"mean measured response to the stimuli of each {label}",
        source=subject_view.source,
        how=HOW_LABELS,
        below=True,
    )
    if best := selectivity(subject_view.subject, tuning, label):
        st.caption(f"Selectivity: {plain(best[0])} against all others, d' = {best[1]:.2f} (difference of means in standard deviations).")
    graded = measure_correlations(subject_view.subject, tuning)
    if len(graded):
        words = ", ".join(f"{each.label} {each.r:+z.2f}" for each in graded.itertuples())
        st.caption(f"Correlation of the response with how much a stimulus shows of each: {words}.")
