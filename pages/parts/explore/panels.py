"""Linked charts of a finished fit on the Explore page. Each panel reads the result, shows a figure and returns nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import streamlit as st

from encoding import Result, plots
from encoding.analysis.bootstrap import interval_text, score_intervals
from encoding.analysis.summaries import MeanPrediction, ResidualDensity, highest_possible, mean_prediction, residual_density
from encoding.analysis.test_sets import scores_by_test_set
from encoding.datasets._base import roi_names
from encoding.datasets._placement import Placement
from encoding.datasets._registry import roi_classes
from encoding.evaluation.scores import SCORES
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.colour_ranges import rounded_up, score_colours, score_range
from encoding.plots.score_axis import ceiling_name, score_column
from encoding.runs.labels import class_label, fit_label
from pages.parts.explore.selection import Focus, choose_clicked_bar, choose_clicked_vertex
from pages.parts.shared.baseline import baseline_chip, baseline_of
from pages.parts.shared.brain_component import brain_view
from pages.parts.shared.brain_controls import START_VIEW, colour_controls, outline_control, say_no_place, say_sampled, surface_control
from pages.parts.shared.chart import chart, origin
from pages.parts.shared.fit_names import fit_names
from pages.parts.shared.glossary import explained, in_words
from pages.parts.shared.links import EXPLORE, view
from pages.parts.shared.roi_choice import class_choice
from pages.parts.shared.server_state import roi_table, stored_intervals
from pages.parts.shared.stimulus_grid import thumbnails
from pages.parts.shared.text import plain

HOW = {
    "bars": "Each bar is a region: how well responses to new images are predicted, averaged over its {units}. Compare it with the grey "
    "mark above, the most that noise allows, and with its whiskers: two bars whose whiskers overlap widely may not differ at all. "
    "A region of few {units} has a rougher mean.",
    "observed": "Each dot is an image that the model never saw. On the diagonal prediction and measurement agree. A cloud without slope "
    "means that nothing was predicted; one steeper than the diagonal is normal, since a penalty shrinks predictions towards the mean; a "
    "flatter one means that predictions vary more than they can explain (overfitting).",
    "density": "Every pair of a test image and a {unit} is counted where its prediction and its residual lie; dark cells hold most pairs. "
    "The line is the mean residual at each prediction: where it leaves 0, predictions are too small (above) or too large (below).",
    "slices": "Axial slices of the volume that was measured, from below to above, seen from above: left is left, up is the front. Each "
    "small square is a {unit}; empty places are outside of the mask.",
    "residuals": "What is left when the prediction is taken away. A flat, even band around 0 is what noise looks like. A curve says that "
    "something is missing from the model, a funnel that large responses are predicted less well.",
}
N_SHOWN, SHOWN_WIDTH = 4, 200


def test_sets_panel(result: Result) -> None:
    """Show the mean r of every ROI on each test set of the split, side by side, where it has several."""
    if not result.plan.test_sets:
        return
    with st.expander("Every test set of this split", key="test_sets", on_change="rerun") as shown:
        if shown.open:
            table = scores_by_test_set(result)
            table["test_set"] = table["test_set"] + table["n_test"].map(" ({:,})".format)
            wide = table.pivot_table("r_mean", ["roi", "hemi"], "test_set", sort=False, dropna=False)
            st.dataframe(wide.style.format("{:.3f}"), alt="mean r of every region on each test set")
            st.caption("Mean r over the region's vertices; in brackets how many stimuli. One model, trained on the same stimuli.")


def brain_panel(result: Result, focus: Focus, score: str, display: Any) -> BrainMap | None:
    """Show the score on the brain, where a click selects a vertex; returns the map, None where positions are unknown.

    Parameters
    ----------
    display : where the choice of surface, outlines and colours is drawn.
    """
    placement = Placement.of(result.plan.subject)
    unit = result.plan.subject.unit
    if placement is None:
        say_no_place(result.plan.subject)
        if (grid := result.plan.subject.grid) is not None:
            what, how = SCORES[score].short, unit.fill(HOW["slices"])
            figure = plots.volume_slices(grid, result.score(result.plan.hemis[0], score), what=what, score=score)
            chart(figure, "slices", alt=f"{what} of every {unit} on slices", how=how, source=origin(result))
        return None
    brain = _brain_map(result, placement, focus, score, display)
    brain_view(brain, key="brain", height=400, on_select=lambda: choose_clicked_vertex("brain", result), linked=True)
    say_sampled(result.plan.subject)
    return brain


def _brain_map(result: Result, placement: Placement, focus: Focus, score: str, display: Any) -> BrainMap:
    """What the brain shows, from the widgets above it."""
    values = {hemi: result.score(hemi, score) for hemi in result.plan.hemis}
    start = score_range(score, values)
    most = rounded_up(start[1], step=1.0, least=1.0)
    with display:
        surface, outlined = surface_control(st), outline_control(st, roi_classes(result.plan.subject))
        colours = colour_controls(st, score, most, start, 1.0 if score == "algonauts2023" else 0.05)
        st.caption(f"Grey cortex: nothing was recorded there, or the value is hidden. A click chooses a {result.plan.subject.unit}.")
    return BrainMap(
        values=placement.values(values),
        vertices=placement.vertices,
        columns=placement.columns,
        unit=result.plan.subject.unit,
        rois=placement.rois(result.plan.subject.rois),
        ceiling=placement.values(highest) if (highest := highest_possible(result, score)) else None,
        ceiling_name=ceiling_name(score).lower(),
        source=origin(result),
        title=f"{SCORES[score].short} per {result.plan.subject.unit}",
        quantity=SCORES[score].short,
        **colours,
        colour_map=score_colours(score),
        surface=surface,
        view=START_VIEW,
        outlined=outlined,
        chosen_roi=None if focus.roi == EVERY_VERTEX else focus.roi,
        selected=placement.place(focus.vertex),
    )


def roi_panel(result: Result, table: pd.DataFrame, focus: Focus, score: str, statistic: str, *, before: Result | None = None) -> None:
    """Show bars per ROI and hemisphere; a click selects an ROI. Without ROIs, show the mean over all vertices.

    Parameters
    ----------
    before : a fit whose bars are drawn in grey behind; None for none.
    """
    bounds, unit = stored_intervals(result), result.plan.subject.unit
    if not result.plan.spec.rois and not roi_names(result.plan.subject):
        _whole(result, table, score, statistic, bounds)
        return
    classes = roi_classes(result.plan.subject)
    kinds = class_choice(classes)
    shown = table["roi"].isin([roi for kind in kinds for roi in classes[kind]]) if kinds else pd.Series(True, table.index)
    intervals = None
    if bounds is not None and score_intervals(bounds, result.plan.hemis[0], score) is not None:
        intervals = {hemi: _rows_of(score_intervals(bounds, hemi, score), shown[table["hemi"] == hemi]) for hemi in result.plan.hemis}
    ghost, ghost_name = _before(result, before, score)
    figure = plots.roi_bars(
        table[shown],
        score=score,
        statistic=statistic,
        intervals=intervals,
        selected=focus.roi if focus.chosen else None,
        classes={class_label(kind): rois for kind, rois in classes.items()},
        unit=unit,
        before=ghost,
        horizontal=True,
        meanings=in_words(table["roi"].unique()),
        before_name=ghost_name,
    )
    chart(
        figure,
        "bars",
        on_select=lambda: choose_clicked_bar("bars", unit),
        selection_mode="points",
        alt=f"{SCORES[score].short} of every ROI, left and right",
        source=origin(result),
        how=unit.fill(HOW["bars"]),
    )
    about = interval_text(result, score, statistic, available=bounds is not None)
    without, n_predicted = result.rois_without_vertices(), table.groupby("roi")["n_vertices"].sum()
    nothing = f" Without {unit.many} here: {plain(', '.join(without))}." if without else ""
    nothing += f" The fit predicts no {unit} of the other regions." if (n_predicted == 0).sum() > len(without) else ""
    st.caption(f"{unit.fill(SCORES[score].definition)} Bars: {statistic} over {unit.many}. {about}{nothing}")


def _rows_of(interval: tuple[np.ndarray, np.ndarray], shown: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    low, high = interval
    return low[shown.to_numpy()], high[shown.to_numpy()]


def _before(result: Result, before: Result | None, score: str) -> tuple[pd.DataFrame | None, str]:
    """Table and name of the pinned baseline, or of the fit that was shown before where its bars are wanted, with the way to Compare."""
    baseline = baseline_of(result)
    other = baseline or before
    if other is None or score not in other.score_names:
        return None, ""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if baseline is not None:
            baseline_chip(baseline)
        elif not st.toggle(
            f"Grey: {plain(fit_names({'before': before, 'shown': result})['before'])}",
            True,
            key="show_before",
            persist_state="session",
            help="The fit that was shown before this one.",
        ):
            other = None
        both = {"a": (baseline or before).key, "b": result.key}
        st.page_link(view("compare"), label="Compare the two", query_params=both, icon=":material/compare_arrows:")
    if other is None:
        return None, ""
    return roi_table(other), f"Baseline: {fit_label(baseline)}" if baseline is not None else "Previous fit"


def _whole(result: Result, table: pd.DataFrame, score: str, statistic: str, intervals: Mapping[str, np.ndarray] | None) -> None:
    """The score of each block of responses as a whole, where no ROI divides it."""
    column, unit = score_column(table, score, statistic), result.plan.subject.unit
    parts = []
    for _, row in table[table["roi"] == EVERY_VERTEX].iterrows():
        text = (
            f"{statistic.capitalize()} {SCORES[score].short} over {unit.count(row['n_vertices'])} of {row['hemi']}: **{row[column]:.3f}**"
        )
        ends = None if intervals is None or statistic != "mean" else score_intervals(intervals, row["hemi"], score)
        if ends is not None and np.isfinite(ends[0][0]):
            text += f" (95 % interval {ends[0][0]:.3f} to {ends[1][0]:.3f})"
        parts.append(text)
    st.info(f"This data set names no ROIs, so there are no bars to compare. {'. '.join(parts)}.")
    st.caption(unit.fill(SCORES[score].definition))


@st.cache_data(max_entries=64)
def _predictions(key: str, columns: tuple[tuple[str, tuple[int, ...]], ...], _result: Result) -> MeanPrediction:
    return mean_prediction(_result, {hemi: np.array(chosen) for hemi, chosen in columns})


def _chosen_columns(focus: Focus) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Columns of the selection by hemisphere, for a cache; empty, with a message, where there are none."""
    columns = tuple((hemi, tuple(map(int, chosen))) for hemi, chosen in focus.columns.items() if len(chosen))
    if not columns:
        st.info(f"{focus.roi} has no {focus.subject.unit.many} in this subject, so there is nothing to predict.")
    return columns


def prediction_panel(result: Result, focus: Focus) -> None:
    """Show measured against predicted responses, and residuals."""
    unit = result.plan.subject.unit
    columns = _chosen_columns(focus)
    if not columns:
        return
    means = _predictions(result.key, columns, result)
    measured, predicted = means.measured, means.predicted
    stimuli, rows = result.plan.subject.stimuli, result.test_rows()
    names = np.array([stimuli.names[row] for row in rows])
    several = sum(len(chosen) for _, chosen in columns) > 1
    title = f"Response averaged over {unit.many}" if several else focus.label[0].upper() + focus.label[1:]
    st.header(plain(focus.label[0].upper() + focus.label[1:]), anchor=False, help=explained(focus.roi) or None)
    chart(
        plots.observed_predicted(measured, predicted, names, title=title, r=means.r, counted=result.row_word("test")),
        "observed",
        alt=f"observed against predicted, {focus.label}",
        source=origin(result),
        how=HOW["observed"],
    )
    if several:
        st.caption(
            f"Responses are averaged over {unit.many} first, which removes noise that they do not share: this r ({means.r:z.2f}) may lie "
            f"above the noise ceiling of single {unit.many}. Bars and learning curve show the mean of their own r: {means.mean_r:z.2f}."
        )
    chart(
        plots.residual_fitted(measured, predicted, names, groups=result.plan.subject.groups[rows], counted=result.row_word("test")),
        "residuals",
        alt=f"residuals against fitted values, {focus.label}",
        source=origin(result),
        how=HOW["residuals"],
        below=True,
    )
    st.caption(
        f"Each dot is one of {result.counted('test')}, none of which the model saw. "
        + ("r is the mean of each fold's. " if len(result.plan.folds) > 1 else "")
        + "A curved trend in the residuals would mean that something is missing."
    )


def image_panel(result: Result, focus: Focus) -> None:
    """Show the test stimuli of the strongest predicted and measured responses, and those that are predicted worst."""
    columns = _chosen_columns(focus)
    if not columns:
        return
    means, rows = _predictions(result.key, columns, result), result.test_rows()
    _, first, stimulus = np.unique(result.plan.subject.stimulus_of_row[rows], return_index=True, return_inverse=True)
    measured, predicted = (np.bincount(stimulus, values) / np.bincount(stimulus) for values in (means.measured, means.predicted))
    ranked = {"Strongest predicted": -predicted, "Strongest measured": -measured, "Missed most": -np.abs(measured - predicted)}
    st.header(plain(focus.label[0].upper() + focus.label[1:]), anchor=False, help=explained(focus.roi) or None)
    for title, values in ranked.items():
        chosen = np.argsort(values, kind="stable")[:N_SHOWN]
        _stimuli(title, result, rows[first[chosen]], measured[chosen], predicted[chosen])
    once = " Each counts once, with the mean over its repeats." if len(first) < len(rows) else ""
    st.caption(f"Of the test images.{once} A model that predicts well is strongest for the images that drive the region most.")


def _one(result: Result) -> str:
    """A test row in words, with its article."""
    word = result.row_word("test").removesuffix("s")
    return f"{'an' if word == 'image' else 'a'} {word}"


@st.cache_data(max_entries=16, show_spinner="Predicting every image …")
def _density(key: str, columns: tuple[tuple[str, tuple[int, ...]], ...], _result: Result) -> ResidualDensity:
    return residual_density(_result, {hemi: np.array(chosen, int) for hemi, chosen in columns})


def density_panel(result: Result, focus: Focus) -> None:
    """Show the residuals of every pair of a test stimulus and a vertex of the selected ROI."""
    unit = result.plan.subject.unit
    columns = tuple((hemi, tuple(map(int, chosen))) for hemi, chosen in focus.columns.items() if len(chosen))
    try:
        density = _density(result.key, columns, result)
    except ValueError as wrong:
        st.info(plain(wrong))
        return
    chart(
        plots.residual_density(density, what=f"pairs of {_one(result)} and a {unit}"),
        "density",
        alt=f"density of residuals over predicted responses, {focus.label}",
        source=origin(result),
        how=unit.fill(HOW["density"]),
    )
    st.caption(
        f"{density.n_pairs:,} residuals of {focus.label if focus.vertex else focus.roi}: mean {density.mean:+z.3f}, sd {density.sd:.3f}."
    )


def extremes_panel(result: Result, focus: Focus, score: str) -> None:
    """Show the vertices of the selected ROI that are predicted best and worst, each with a link that chooses it."""
    unit = result.plan.subject.unit
    columns = {hemi: result.columns(focus.roi, hemi) for hemi in result.plan.hemis}
    table = result.best_and_worst(10, score, columns)
    shown = ["rank", "hemi", "column", "fsaverage", "rois", *dict.fromkeys((score, "r")), "ceiling_r"]
    table = table[[name for name in shown if name in table]]
    if table.empty:
        st.info(f"No {unit} has this score here.")
        return
    here = st.query_params.to_dict() | {"layer": st.query_params.get_all("layer")}
    vertices = table["hemi"] + " " + table["column"].astype(str)
    table.insert(0, "link", [f"{EXPLORE}?{urlencode(here | {'vertex': vertex}, doseq=True)}" for vertex in vertices])
    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        hide_index=True,
        key="extremes",
        column_config={"link": st.column_config.LinkColumn("", display_text="Look at it", width="small")}
        | {name: number(SCORES[name].short, format="%.3f") for name in dict.fromkeys((score, "r"))}
        | {"ceiling_r": number("highest r", format="%.3f"), "rois": "regions"},
        alt=f"the {unit.many} of {focus.roi} that are predicted best and worst",
    )
    st.caption(f"{SCORES[score].short} of single {unit.many} is rough: the best of many are so partly by chance.")


def _stimuli(title: str, result: Result, rows: np.ndarray, measured: np.ndarray, predicted: np.ndarray) -> None:
    st.markdown(f"**{plain(title)}**")
    subject, spec = result.plan.subject, result.plan.spec
    rows = tuple(map(int, rows))
    thumbs = thumbnails(subject.stimuli.fingerprint, rows, subject.stimuli, size=2 * SHOWN_WIDTH)
    for column, row, image, m, p in zip(st.columns(N_SHOWN, gap="xsmall", wrap=False), rows, thumbs, measured, predicted, strict=False):
        if subject.stimuli.without_images:
            column.caption(plain(subject.stimuli.names[row]))
        elif isinstance(image, str):
            column.caption(":material/broken_image: unreadable", help=plain(image))
        else:
            column.image(image, width="stretch", alt=f"test image {subject.stimuli.names[row]}")
        there = urlencode({"dataset": spec.dataset, "subject": spec.subject, "stimulus": row + 1})
        column.caption(f"measured {m:+z.2f}, predicted {p:+z.2f} · [{row + 1:,}](data?{there})")
