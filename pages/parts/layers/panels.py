"""Panels of the Layers page: heatmap, one ROI's profile, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from encoding import plots
from encoding.analysis.bootstrap import interval_note, why_no_interval
from encoding.analysis.layer_ranking import (
    BOTH,
    best_layers,
    headline,
    interval_columns,
    layer_column,
    mean_over_rois,
    score_of_column,
)
from encoding.analysis.layer_sweep import Cell, SweepResult
from encoding.datasets._registry import roi_classes
from encoding.evaluation.scores import SCORES
from encoding.fits.score_tables import EVERY_VERTEX, ScoreTables
from encoding.plots.heatmap import quantity_of
from encoding.runs.labels import class_label, layer_label, part_label
from encoding.runtime.registry import UnknownName, unknown
from pages.parts.layers.brain import ON_BRAIN, brain_panel
from pages.parts.layers.swept import OF_SWEEP, origin, shares_of, table_of
from pages.parts.shared.baseline import baseline_chip, baseline_of, baseline_scores, baseline_text
from pages.parts.shared.chart import chart
from pages.parts.shared.fragment import fragment
from pages.parts.shared.glossary import explain, in_words
from pages.parts.shared.late_link import keep_what_was_written
from pages.parts.shared.linked import hold, linked_value, write_link
from pages.parts.shared.roi_choice import class_choice
from pages.parts.shared.score_choice import hemi_choice, score_choice
from pages.parts.shared.screen import is_narrow, watch_screen
from pages.parts.shared.text import plain

STYLE = """<style>
@media (min-width: 641px) {.st-key-layer_choices [data-testid=stColumn] {min-width: 0; flex: 1 1 0}}
</style>"""
HOW = {
    "heatmap": "Each cell is a fit: how well that layer predicts new images' responses in that region, averaged over its {units}. Early "
    "layers are at the bottom. A star is the best layer of a region; it is filled where that layer also wins in 95 % or more of 500 draws "
    "of the test images, and the share stands beside the region's name. An open star may well change place with other images.",
    "profile": "One region through the layers, early ones left. Whiskers are 95 % intervals over test stimuli. All layers are tested on "
    "the same images, so whiskers that overlap do not say that two layers are alike: the shares of draws are the paired comparison.",
}


def score_controls(sweep_result: SweepResult) -> tuple[str, str, str]:
    """Choose the score, its mean or median, and the hemisphere to show, in a row."""
    results = list(sweep_result.results.values())
    with st.container(key="layer_choices"):
        *places, right = st.columns([2, 2, 3], gap="small", vertical_alignment="bottom")
    score, statistic = score_choice(results, score_key="layer_score", statistic_key="layer_over", places=places)
    return score, statistic, hemi_choice(right, sweep_result.hemis, results[0].plan.subject.unit, key="layer_hemi")


@fragment()
@keep_what_was_written()
def sweep_panel(sweep_result: SweepResult, score: str, statistic: str, hemi: str) -> None:
    """Show which layer wins in words, the heatmap with the slider below it, and the brain beside them, which stays in sight.

    A click on a cell and the slider run this part of the page alone.
    """
    best = _best_of_regions(sweep_result, score, statistic, hemi)
    if best is not None:
        st.markdown(f"**{plain(headline(best))}**")
    if (baseline := baseline_of(next(iter(sweep_result.results.values())), other=False)) is not None:
        baseline_chip(baseline)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        above = st.container()
        of_roi, of_layer = st.columns([1, 2], vertical_alignment="bottom")
        with of_roi:
            roi = _choose_roi(sweep_result)
        with of_layer:
            cell = _choose_layer(sweep_result, roi, score, statistic, hemi)
    with right, st.container(key="layer_brain_place", gap="xsmall"):  # first: it is what the slider moves
        brain_panel(sweep_result, cell, roi, score)
    with left:
        with above:
            _heatmap(sweep_result, best, score, statistic, hemi)
        _say(sweep_result, cell, roi, score, statistic, hemi)
        if baseline is not None and (text := baseline_text(baseline, roi, score, statistic)):
            st.markdown(text)
        _heatmap_notes(sweep_result, best, score, statistic, hemi)
        _profile(sweep_result, roi, score, statistic, baseline)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=OF_SWEEP)
def _best_of_regions(sweep_result: SweepResult, score: str, statistic: str, hemi: str) -> pd.DataFrame | None:
    """The best layer of each region with its share of draws where these are stored; None with a single layer."""
    if len(sweep_result.cells) < 2:
        return None
    rows = table_of(sweep_result)
    shares = shares_of(sweep_result, hemi, score=score) if statistic == "mean" else None
    return best_layers(rows[rows["hemi"] == hemi], shares, score=layer_column(score, statistic))


def _heatmap(sweep_result: SweepResult, best: pd.DataFrame | None, score: str, statistic: str, hemi: str) -> None:
    """Show the score of every layer in every region of the chosen groups; a click on a cell selects both."""
    subject = next(iter(sweep_result.results.values())).plan.subject
    groups = class_choice(roi_classes(subject))
    chart(
        _heatmap_figure(sweep_result, groups, score, statistic, hemi, is_narrow(), best),
        "heatmap",
        on_select=lambda: _choose_clicked(sweep_result),
        selection_mode="points",
        alt=f"{quantity_of(score, statistic)} of every layer in every ROI",
        how=subject.unit.fill(HOW["heatmap"]),
        source="",  # which the figure has already
    )
    watch_screen()


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=OF_SWEEP)
def _heatmap_figure(
    sweep_result: SweepResult,
    groups: Sequence[str],
    score: str,
    statistic: str,
    hemi: str,
    narrow: bool,
    _best: pd.DataFrame | None,
) -> go.Figure:
    """The heatmap with its source; the same for every layer that the slider comes to, and changed by nobody."""
    subject, rows, best = next(iter(sweep_result.results.values())).plan.subject, table_of(sweep_result), _best
    classes, rows = roi_classes(subject), rows[rows["hemi"] == hemi]
    if groups:
        shown = [roi for group in groups for roi in classes[group]]
        rows, best = (None if each is None else each[each["roi"].isin(shown)] for each in (rows, best))
    figure = plots.layer_heatmap(
        rows,
        score=score,
        statistic=statistic,
        layers=[sweep_result.sweep.label(cell) for cell in sweep_result.sweep.cells],
        best=best,
        classes={class_label(group): names for group, names in classes.items()},
        unit=subject.unit,
        narrow=narrow,
        meanings=in_words(rows["roi"].unique()),
    )
    return plots.add_source(figure, origin(sweep_result))


def _heatmap_notes(sweep_result: SweepResult, best: pd.DataFrame | None, score: str, statistic: str, hemi: str) -> None:
    first = next(iter(sweep_result.results.values()))
    rows, column, unit = table_of(sweep_result), layer_column(score, statistic), first.plan.subject.unit
    rows = rows[rows["hemi"] == hemi]
    notes = ["A click on a cell shows that layer on the brain."]
    if best is not None and best["share"].notna().any():
        notes.append(
            "★ best layer of a region, filled where it wins in 95 % or more of the draws of test images; the share is beside the name."
        )
    elif best is not None:
        lowest = " (the lowest)" if SCORES[score].lower_is_better else ""
        why = "the draws of test images are of means" if statistic != "mean" else why_no_interval(first)
        why = why or ("not all intervals were computed" if sweep_result.without_intervals else "")
        why = why or "of fits of an earlier release draws of mean r alone are stored"
        notes.append(f"☆ best layer of a region{lowest}. How sure that is cannot be said: {why}.")
    if len(means := mean_over_rois(rows, column).dropna()):
        top = means.idxmin() if SCORES[score].lower_is_better else means.idxmax()
        notes.append(f"Mean of the regions' {statistic}s, in which a small region counts as much: {means[top]:z.3f} for {top}, the best.")
    if note := interval_note(first):
        notes.append(note)
    if empty := first.rois_without_vertices(hemi):
        notes.append(f"Without {unit.many} in this subject: {', '.join(empty)}.")
    st.caption(plain(" ".join(notes)))


def name_of(cell: Cell) -> str:
    """Name of a layer in links."""
    return " ".join(cell)


def _choose_clicked(sweep_result: SweepResult) -> None:
    """Callback of the heatmap: the clicked ROI is looked at, and the clicked layer shown on the brain where it is finished."""
    points = st.session_state["heatmap"]["selection"]["points"]
    if points:
        label, st.session_state["layer_roi"] = points[0]["customdata"]
        for cell in sweep_result.cells:
            if sweep_result.sweep.label(cell) == label:
                st.session_state["shown_layer"] = name_of(cell)
                st.session_state["on_brain"] = ON_BRAIN[0]


def _choose_roi(sweep_result: SweepResult) -> str:
    rows = table_of(sweep_result)
    known = list(dict.fromkeys(rows.loc[rows["r"].notna(), "roi"]))
    if st.session_state.get("layer_roi", known[0]) not in known:
        st.session_state["layer_roi"] = known[0]
    try:
        means = explain(st.session_state.get("layer_roi", known[0]))
    except UnknownName:
        means = None
    return st.selectbox("ROI", known, key="layer_roi", bind="query-params", help=means)


def _choose_layer(sweep_result: SweepResult, roi: str, score: str, statistic: str, hemi: str) -> Cell:
    """The layer on the brain: the ROI's best at first. The link always names it: a bound slider would leave out its first layer."""
    cells = {name_of(cell): cell for cell in sweep_result.cells}
    linked_value("shown_layer", "shown", lambda text: _named(sweep_result.sweep.cells, text), None)
    chosen = st.session_state.get("shown_layer")
    if chosen not in cells:
        rows = _rows_of(sweep_result, roi, hemi)
        column = layer_column(score, statistic) if rows[layer_column(score, statistic)].notna().any() else "r"
        first = rows.loc[rows[column].idxmin() if score_of_column(column).lower_is_better else rows[column].idxmax()]
        chosen = name_of((first["backbone"], first["layer"]))
    if len(cells) == 1:
        st.caption(f"The only layer so far: {plain(sweep_result.sweep.label(sweep_result.cells[0]))}")
    else:
        hold("shown_layer", chosen)
        chosen = st.select_slider("Layer", list(cells), key="shown_layer", format_func=lambda name: _layer_name(cells[name]))
    write_link("shown", chosen, ())
    return cells[chosen]


def _rows_of(sweep_result: SweepResult, roi: str, hemi: str) -> pd.DataFrame:
    """The layers' rows of an ROI in a hemisphere, or of every fitted one where that hemisphere has no score of it."""
    rows = table_of(sweep_result)
    rows = rows[rows["roi"] == roi]
    there = rows[rows["hemi"] == hemi]
    return there if there["r"].notna().any() else rows[rows["hemi"] == sweep_result.hemis[0]]


def _named(cells: Iterable[Cell], name: str) -> str:
    """The name of a layer in a link; ValueError where none of the sweep's has it."""
    if name not in (known := list(map(name_of, cells))):
        raise ValueError(f"names no layer of these. {unknown('layer', name, known)}")
    return name


def _layer_name(cell: Cell) -> str:
    return f"{cell[0]} {layer_label(*cell)}"


def _say(sweep_result: SweepResult, cell: Cell, roi: str, score: str, statistic: str, hemi: str) -> None:
    """The chosen layer's r and score in the chosen ROI, in words."""
    rows = _rows_of(sweep_result, roi, hemi)
    row = rows[(rows["backbone"] == cell[0]) & (rows["layer"] == cell[1])].iloc[0]
    hemi = row["hemi"]
    share = ""
    if len(sweep_result.cells) > 1:
        place, column = sweep_result.cells.index(cell), sweep_result.rois.index(roi)
        shares = shares_of(sweep_result, hemi, score=score) if statistic == "mean" else None
        by, shares = ("r", shares_of(sweep_result, hemi)) if shares is None else (SCORES[score].short, shares)
        if shares is not None:
            share = f" By mean {by} it is the best of {len(sweep_result.cells)} layers in {100 * shares[place, column]:.0f} % of draws."
    about = [f"95 % interval over test stimuli: {row['low']:z.3f} to {row['high']:z.3f}"] if np.isfinite(row["low"]) else []
    about += [f"noise allows {row['ceiling_r']:.3f}"] if np.isfinite(row.get("ceiling_r", np.nan)) else []
    in_brackets = f" ({'; '.join(about)})" if about else ""
    unit = sweep_result.results[cell].plan.subject.unit
    region = f"every {unit}" if roi == EVERY_VERTEX else plain(roi)
    also = ""
    if (score, statistic) != ("r", "mean"):
        low, high = (row[name] for name in interval_columns(score))
        ends = f" ({low:z.3f} to {high:z.3f})" if statistic == "mean" and np.isfinite(low) else ""
        also = f" {quantity_of(score, statistic)}: **{row[layer_column(score, statistic)]:z.3f}**{ends}."
    where = part_label(hemi, sweep_result.results[cell].plan.hemis)
    st.markdown(
        f"**{plain(sweep_result.sweep.label(cell))}** predicts **{region}** "
        f"with a mean r of **{row['r']:z.3f}** over {unit.count(row['n_vertices'])} of "
        f"{where}{in_brackets}.{share}{also}"
    )


def _profile(sweep_result: SweepResult, roi: str, score: str, statistic: str, baseline: ScoreTables | None) -> None:
    if len(sweep_result.cells) < 2:
        return
    unit = next(iter(sweep_result.results.values())).plan.subject.unit
    where = f"Every {unit}" if roi == EVERY_VERTEX else plain(roi)
    with st.expander(f"{where} through the layers", key="profile_open", on_change="rerun") as panel:
        if panel.open:
            rows = table_of(sweep_result)
            figure = plots.layer_profile(
                rows[rows["hemi"] != BOTH],
                roi=roi,
                score=score,
                statistic=statistic,
                layers=[sweep_result.sweep.label(cell) for cell in sweep_result.cells],
                baseline=None if baseline is None else baseline_scores(baseline, roi, score, statistic),
            )
            alt = f"{quantity_of(score, statistic)} of {roi} through the layers"
            chart(figure, "profile", alt=alt, source=origin(sweep_result), how=HOW["profile"])
