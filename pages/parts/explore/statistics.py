"""Statistics of a finished fit beyond its scores, each behind a closed expander: nothing is computed before its button is pressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from encoding import Result, plots
from encoding.analysis import significance as permutation
from encoding.analysis.columns import TITLES, titled
from encoding.analysis.comparison import FALSE_DISCOVERIES
from encoding.analysis.significance import Significance, stored_significance
from encoding.analysis.similarity import MOST_STIMULI, Similarity, stored_similarity
from encoding.analysis.similarity import estimated_seconds as similarity_seconds
from encoding.analysis.similarity import refusal as no_similarity
from encoding.analysis.spectrum import Spectrum, spectrum_seconds, stored_spectrum
from encoding.analysis.variance_partition import (
    AND,
    CannotPartition,
    Partition,
    checked_spaces,
    estimated_seconds,
    part_name,
    stored_partition,
)
from encoding.datasets._base import roi_names
from encoding.datasets._unit import VERTEX, Unit
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.jobs.tasks import ANALYSES, AnalysisRequest, analyse
from encoding.plots.brain.colour_ranges import bulk, rounded_up
from encoding.plots.brain.score_maps import values_brain
from encoding.runs.labels import parts_label, side_label
from encoding.runtime.durations import duration
from pages.parts.shared.access import change_button, may_change
from pages.parts.shared.brain_component import brain_view
from pages.parts.shared.chart import chart, origin
from pages.parts.shared.job_progress import follow
from pages.parts.shared.server_state import jobs
from pages.parts.shared.text import plain

if TYPE_CHECKING:
    import pandas as pd

HOW = {
    "significance": "Coloured {units} are predicted above chance; the false discovery rate says which share of them is wrong at most. A "
    "{unit} that is left out may still be predicted: the test did not find it.",
    "partition": "A bar's length is what all spaces explain together. *only* is lost without that space, a part of several names is "
    "explained by each of them; a part below 0 says that they explain more together than apart. Whiskers are 95 % intervals of each part "
    "over test stimuli (over runs or sessions where the data set names them).",
    "similarity": "Nothing is fitted, so every feature and every vertex counts as it is. A layer may be like a region as a whole and yet "
    "predict few of its vertices, since a fit may weigh features.",
    "spectrum": "A straight line is a power law. Steep: few dimensions hold most of the variance. The responses' line leaves out noise, "
    "which repeats do not share, and ends where there is nothing else.",
}


def statistics_panels(result: Result) -> None:
    """Show significance, variance partitioning, RSA and CKA, and spectra, each in an expander of its own."""
    panels = {
        "significance": (f"Significance of every {result.plan.subject.unit}", _significance),
        "partition": ("Variance partitioning: what is unique to a layer or network, what is shared", _partition),
        "similarity": ("RSA and CKA: similarity of layers and regions", _similarity),
        "spectrum": ("Spectrum: over how many dimensions responses are spread", _spectrum),
    }
    for kind, (title, panel) in panels.items():
        with st.expander(title, key=f"statistics_{kind}", on_change="rerun") as opened:
            if opened.open:
                panel(result)


def ask_for(kind: str, results: Sequence[Result], *, takes: str, roi: str = EVERY_VERTEX) -> None:
    """Offer to compute statistics of fits as a background job, with what it takes; then show its progress or how it ended."""
    request = AnalysisRequest(kind, tuple(each.key for each in results), roi)
    st.caption(takes)
    if not may_change():
        st.info("This was not computed, and this server computes nothing.")
        return
    job = jobs().get(request.job_key)
    start: Callable[[], object] = partial(jobs().submit, analyse, request, key=request.job_key, planned=[each.plan for each in results])
    running = job is not None and not job.finished
    change_button("Compute", key=f"compute_{request.kind}", on_click=start, disabled=running)
    follow(request.job_key, cancel=f"cancel_{request.kind}", missing=f"the result of {ANALYSES[request.kind]}")


def show_table(table: pd.DataFrame, alt: str, unit: Unit = VERTEX) -> None:
    """Show a table of statistics under the titles of :data:`encoding.analysis.columns.TITLES`, which its CSV has too."""
    table = titled(table, unit)
    decimals = {name: st.column_config.NumberColumn(format="%.3f") for name in table.select_dtypes("floating")}
    st.dataframe(table, hide_index=True, alt=alt, column_config=decimals)


def _significance(result: Result) -> None:
    if why := permutation.refusal(result):
        st.caption(plain(why))
        return
    found = stored_significance(result)
    if found is None:
        seconds = duration(permutation.estimated_seconds(result))
        ask_for(
            "significance",
            [result],
            takes=f"1,000 permutations of the test stimuli against every {result.plan.subject.unit}: about {seconds} on two cores.",
        )
        return
    rate = st.select_slider("False discovery rate", [0.001, 0.01, 0.05, 0.1], FALSE_DISCOVERIES, key="significance_rate")
    st.markdown(plain(found.describe(rate)))
    _significance_figures(found, rate)


def _significance_figures(found: Significance, rate: float) -> None:
    result = found.result
    values = found.thresholded(rate)
    if found.n_found(rate):
        unit = result.plan.subject.unit
        most = rounded_up(bulk(values)[1])
        look = {"title": f"r per {unit}, q ≤ {rate:g}", "colour_range": (0.0, most), "colour_map": "plasma", "source": origin(result)}
        if (brain := values_brain(result, values, **look)) is not None:
            brain_view(brain, key="significance_brain", height=360)
    threshold = st.slider("r of at least", 0.0, 1.0, 0.2, 0.01, key="significance_r")
    above = sum(int((result.score(hemi)[np.isfinite(p)] >= threshold).sum()) for hemi, p in found.p.items())
    st.caption(f"{above:,} reach r = {threshold:.2f}; {found.expected_false(threshold):,.1f} would by chance, if none were predicted.")
    table = found.table(rate)
    show_table(table[table["n_tested"] > 0], "how many are significant in each region", result.plan.subject.unit)
    st.caption(result.plan.subject.unit.fill(HOW["significance"]))


def _partition(result: Result) -> None:
    try:
        spaces, found = checked_spaces(result), stored_partition(result)
    except CannotPartition as why:
        st.caption(plain(str(why)))
        return
    if found is None:
        n, seconds = 2 ** len(spaces) - 1, duration(estimated_seconds(result, spaces))
        ask_for(
            "partition",
            [result],
            takes=f"{n} nested fits, of every combination of {plain(', '.join(spaces))}: about {seconds} on two cores.",
        )
        return
    _partition_figures(found)


def _partition_figures(found: Partition) -> None:
    result, table = found.result, found.table()
    table = table[table["n_vertices"] > 0]
    sides = list(found.r2)
    hemi = st.segmented_control(parts_label(sides), sides, format_func=side_label, default=sides[0], key="partition_hemi", required=True)
    rows = table[table["hemi"] == hemi]
    rois = list(dict.fromkeys(rows["roi"]))
    names = {T: part_name(T) for T in found.subsets}
    of_part = {name: rows[rows["spaces"] == AND.join(T)].set_index("roi").loc[rois] for T, name in names.items()}
    parts = {name: each["part"].to_numpy() for name, each in of_part.items()}
    errors = {name: (each["part_high"] - each["part"]).to_numpy() for name, each in of_part.items()}
    figure = plots.layer_shares(rois, parts, errors=errors)
    alt = "parts of R² in every region, unique and shared"
    chart(figure, "partition_bars", alt=alt, source=origin(result), how=HOW["partition"])
    show_table(rows.drop(columns="hemi"), "R², part and product measure of every combination of spaces", result.plan.subject.unit)
    shown = st.selectbox("On the brain", list(names), format_func=names.get, key="partition_part")
    values = {hemi: found.parts(hemi)[shown] for hemi in found.r2}
    most = rounded_up(bulk({hemi: np.abs(each) for hemi, each in values.items()}, outside=1)[1])
    look = {"title": f"R², {names[shown]}", "quantity": "part of R²", "colour_range": (-most, most), "colour_map": "PuOr"}
    if (brain := values_brain(result, values, source=origin(result), **look)) is not None:
        brain_view(brain, key="partition_brain", height=360)


def _similarity(result: Result) -> None:
    if why := no_similarity(result):
        st.caption(plain(why))
        return
    found = stored_similarity(result)
    if found is None:
        n, seconds = len(result.plan.spec.layers), duration(similarity_seconds(result))
        takes = f"Distances of the test stimuli in {n} layer{'s' if n > 1 else ''} and in every region: about {seconds}."
        ask_for("similarity", [result], takes=takes)
        return
    _similarity_figures(found)


def _similarity_figures(found: Similarity) -> None:
    shown = ["rsa", "rsa_tau", *(["rsa_repeats"] if found.n_repeats else []), "cka", "cka_debiased", "r_mean"]
    measures = {name: TITLES[name] for name in shown}
    left, right = st.columns(2)
    measure = left.selectbox("Measure", list(measures), format_func=measures.get, key="similarity_measure")
    hemis = list(found.result.plan.hemis)
    sides = {"format_func": side_label, "default": hemis[0]}
    hemi = right.segmented_control(parts_label(hemis), hemis, key="similarity_hemi", required=True, **sides)
    table = found.table()
    rows = table[(table["hemi"] == hemi) & table["rsa"].notna()]
    figure = plots.similarity_bars(rows, measure, title=measures[measure])
    alt = f"{measures[measure]} of every region and layer"
    chart(figure, "similarity_bars", alt=alt, source=origin(found.result), how=HOW["similarity"])
    show_table(
        rows.drop(columns="hemi").dropna(axis=1, how="all"), "every measure of every region and layer", found.result.plan.subject.unit
    )
    st.caption(f"{found.n_stimuli:,} test stimuli{' of each fold' if len(found.result.plan.folds) > 1 else ''}; repeats are averaged.")


def _spectrum(result: Result) -> None:
    if why := no_similarity(result):
        st.caption(plain(why))
        return
    known = [EVERY_VERTEX, *(roi for roi in roi_names(result.plan.subject) if any(len(result.columns(roi, h)) for h in result.plan.hemis))]
    roi = st.selectbox("Region", known, key="spectrum_roi")
    found = stored_spectrum(result, roi)
    if found is None:
        takes = f"Inner products of up to {MOST_STIMULI:,} stimuli: about {duration(spectrum_seconds(result, roi))}."
        ask_for("spectrum", [result], roi=roi, takes=takes)
        return
    _spectrum_figures(result, found)


def _spectrum_figures(result: Result, found: Spectrum) -> None:
    figure = plots.spectrum_lines(found.table())
    chart(figure, "spectrum_lines", alt=f"spectrum of {found.roi} and of the features", source=origin(result), how=HOW["spectrum"])
    exponents = ", ".join(f"{name} {value:.2f}" for name, value in found.exponents().items() if np.isfinite(value))
    repeats = "" if len(found.responses) else " No stimulus is repeated, so the responses have no spectrum without noise."
    st.caption(plain(f"{found.n_stimuli:,} stimuli. Exponents: {exponents or 'not defined, too few stimuli'}.{repeats}"))
