"""Panels of the page of one ROI or vertex: its responses, and every finished fit that covers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from encoding import plots
from encoding.analysis.lookup import vertex_name
from encoding.analysis.tuning import Tuning
from encoding.fits.score_tables import ScoreTables
from encoding.runs.labels import fit_label
from encoding.runs.region_scores import region_scores
from encoding.runs.table import tested
from encoding.runtime.csv import to_csv
from pages.parts.data.brain import NO_ROI
from pages.parts.data.vertex import (
    extremes_panel,
    labels_panel,
    spread_facts,
    tuning_histogram,
    vertex_facts,
)
from pages.parts.shared.brain_component import Selection
from pages.parts.shared.chart import chart
from pages.parts.shared.glossary import explained
from pages.parts.shared.links import explore_query, view
from pages.parts.shared.runs_table import runs_table
from pages.parts.shared.server_state import opened_run, stored_intervals
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

MOST_FITS = 60  # the newest; each is opened
MOST_LINKED = 12
STYLE = """<style>
.st-key-covering a {padding: 0; min-height: 1.5rem}
.st-key-covering [data-testid=stMarkdownContainer] {margin: 0}
.st-key-covering p {margin: 0; font-size: 0.85rem}
.st-key-covering a p {color: var(--st-primary-color)}
</style>"""
HOW_ROI = (
    "Each bar counts the stimuli to which this region responded about so strongly: the mean response of its {units}, which is less noisy "
    "than that of any one of them."
)
HOW_FITS = (
    "Each dot is the mean over {units} of the correlation between predicted and measured responses to test stimuli; the line through it is "
    "the 95 % interval over test stimuli, the small upright stroke the highest r that noise allows. Fits may have been tested on different "
    "stimuli, where their splits differ: *Compare* tests two of them on the same ones."
)


def random_vertex_button(subject_view: SubjectView) -> None:
    """Button that chooses one of the subject's vertices, each as likely as any other."""
    unit = subject_view.subject.unit
    st.sidebar.button(
        f"Random {unit}",
        key="random_vertex",
        icon=":material/casino:",
        width="stretch",
        on_click=lambda: st.session_state.update(vertex=_random_vertex(subject_view), roi=NO_ROI),
        help=f"Any of the subject's {unit.many}, each as likely as any other.",
    )


def _random_vertex(subject_view: SubjectView) -> str:
    widths = {hemi: subject_view.subject.responses[hemi].shape[1] for hemi in subject_view.subject.hemis}
    number = int(np.random.default_rng().integers(sum(widths.values())))
    for hemi, width in widths.items():
        if number < width:
            return f"{hemi} {number}"
        number -= width
    raise AssertionError("the number is below the sum of widths")


def title(subject_view: SubjectView, roi: str | None, vertex: Selection | None) -> str:
    """Name of the vertex, or of the ROI."""
    if vertex:
        name = vertex_name(subject_view.subject, *vertex)
        return plain(name[0].upper() + name[1:])
    return plain(roi or f"One region or {subject_view.subject.unit}")


def responses_panel(subject_view: SubjectView, roi: str | None, vertex: Selection | None, row: int | None) -> Tuning | None:
    """Say what the region is and show the distribution of its responses; None, with a message, where it has none."""
    unit = subject_view.subject.unit
    if vertex is not None:
        st.markdown(vertex_facts(subject_view, vertex))
        tuning = subject_view.tuning(*vertex)
        tuning_histogram(subject_view, tuning, f"{unit} {vertex[0]} {vertex[1]}", row)
        return tuning
    try:
        tuning = subject_view.roi_tuning(roi)
    except ValueError as wrong:
        st.info(plain(wrong))
        return None
    st.markdown(_roi_facts(subject_view, roi, tuning))
    tuning_histogram(subject_view, tuning, f"{roi}, mean of its {unit.many}", row, how=HOW_ROI)
    return tuning


def _roi_facts(subject_view: SubjectView, roi: str, tuning: Tuning) -> str:
    """Meaning, size, ceiling and spread of an ROI, in Markdown."""
    subject = subject_view.subject
    columns = {hemi: rois[roi] for hemi, rois in subject.rois.items() if len(rois.get(roi, ()))}
    sizes = ", ".join(f"{subject.unit.count(len(each))} in {plots.hemi_name(hemi).lower()}" for hemi, each in columns.items())
    ceiling = "Its noise ceiling is not known."
    if subject.ceiling is not None:
        shares = np.concatenate([np.asarray(subject.ceiling[hemi])[each] for hemi, each in columns.items()])
        highest = np.sqrt(shares).mean()
        ceiling = f"Highest r: no model is expected to reach a higher mean r over its {subject.unit.many} than **{highest:.2f}**."
    return "  \n".join([f"{explained(roi)} {sizes}.".strip(), f"{ceiling} {spread_facts(subject_view, tuning)}"])


def stimuli_panel(subject_view: SubjectView, tuning: Tuning, row: int | None) -> None:
    """Show favourite and least favourite stimuli, and the mean response to each kind."""
    left, right = st.columns(2, gap="medium")
    with left:
        extremes_panel(subject_view, tuning, row)
    with right:
        labels_panel(subject_view, tuning)


# ---- fits


def fits_panel(subject_view: SubjectView, roi: str | None, vertex: Selection | None) -> None:
    """Show every finished fit that covers the region side by side, with links to Explore and Predict."""
    st.header("Every finished fit", anchor=False)
    subject = subject_view.subject
    runs = tested(runs_table())
    runs = runs[(runs["dataset"] == subject.dataset) & (runs["subject"] == subject.name)]
    opened = {key: result for key in runs["key"][:MOST_FITS] if not isinstance(result := opened_run(key), str)}
    if not opened:
        st.info("No fit of this subject is finished yet.")
        _link_to_explore(subject_view, roi, vertex)
        return
    intervals = tuple(vertex is not None or stored_intervals(result) is not None for result in opened.values())
    table = _scores(subject_view.key, tuple(opened), intervals, roi or "", vertex, tuple(opened.values()))
    if table.empty:
        st.info("None of the finished fits covers it.")
        _link_to_explore(subject_view, roi, vertex)
        return
    keys = list(dict.fromkeys(table["key"]))
    names = _fit_names({key: opened[key] for key in keys})
    left, right = st.columns([3, 2], gap="medium")
    what = title(subject_view, roi, vertex)
    with left:
        figure = plots.fit_scores(table, names)
        alt = f"r of {what} under each finished fit"
        chart(figure, "covering_chart", alt=alt, source=subject_view.source, how=_how(subject_view), below=True)
        st.caption(_counts(keys, runs, table))
    with right, st.container(key="covering", gap="xsmall"):
        st.html(STYLE)
        for key in keys[:MOST_LINKED]:
            rows = table[table["key"] == key]
            _fit_links(names[key], float(np.average(rows["r"], weights=rows["n_vertices"])), opened[key], roi, vertex)
        if len(keys) > 1:
            alike = [key for key in keys[1:] if opened[key].plan.spec.split == opened[keys[0]].plan.spec.split]  # they can be paired
            query = {"a": (alike or keys[1:])[0], "b": keys[0]}
            st.page_link(view("compare"), label="Compare the best two", query_params=query, icon=":material/compare_arrows:")
    st.download_button(
        "Scores, CSV",
        lambda: to_csv(table.assign(fit=table["key"].map(names))),
        f"{subject.dataset}-{subject.name}-{what}.csv".replace(" ", "-"),
        "text/csv",
        on_click="ignore",
    )


def _how(subject_view: SubjectView) -> str:
    return subject_view.subject.unit.fill(HOW_FITS)


@st.cache_data(max_entries=64, show_spinner="Reading the scores of every fit …")
def _scores(
    subject_key: str,
    keys: tuple[str, ...],
    intervals: tuple[bool, ...],
    roi: str,
    vertex: Selection | None,
    _results: Sequence[ScoreTables],
) -> pd.DataFrame:
    return region_scores(_results, roi=roi, vertex=vertex)


def _fit_names(results: Mapping[str, ScoreTables]) -> dict[str, str]:
    """Short label of each fit; where two would have the same, the start of the key makes them differ."""
    names = {key: fit_label(result) for key, result in results.items()}
    every = list(names.values())
    return {key: name if every.count(name) == 1 else f"{name} · {key.rpartition('-')[2][:6]}" for key, name in names.items()}


def _counts(keys: Sequence[str], runs: pd.DataFrame, table: pd.DataFrame) -> str:
    text = f"{len(keys):,} of {len(runs):,} finished fits of this subject cover it"
    text += f"; the newest {MOST_FITS} were opened." if len(runs) > MOST_FITS else "."
    if table["low"].isna().any():
        text += " Without a line: it has no interval, or it was not computed yet; the fit in Explore says which."
    return text


def _fit_links(name: str, r: float, result: ScoreTables, roi: str | None, vertex: Selection | None) -> None:
    looked = {"vertex": f"{vertex[0]} {vertex[1]}"} if vertex else {"roi": roi}
    with st.container(gap=None):
        st.markdown(f"r {r:z.2f} · {plain(name)}")
        with st.container(horizontal=True, gap="medium"):
            if result.has_data:
                st.page_link(view("explore"), label="Explore", query_params=explore_query(result.plan.spec) | looked)
            st.page_link(view("predict"), label="Predict", query_params={"fit": result.key} | ({} if vertex else looked))


def _link_to_explore(subject_view: SubjectView, roi: str | None, vertex: Selection | None) -> None:
    looked = {"vertex": f"{vertex[0]} {vertex[1]}"} if vertex else {"roi": roi}
    query = {"dataset": subject_view.subject.dataset, "subject": subject_view.subject.name} | looked
    st.page_link(view("explore"), label="Fit one on Explore", query_params=query, icon=":material/neurology:")
