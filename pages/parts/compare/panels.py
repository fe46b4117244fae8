"""Panels of the Compare page: differences in settings and in scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from encoding import Result, plots
from encoding.analysis.bootstrap import intervals_of
from encoding.analysis.comparison import Comparison, compare, shared_scores, verdict, what_differs
from encoding.analysis.lookup import vertex_name
from encoding.analysis.summaries import OVERALL, overall_scores, side_by_side
from encoding.datasets._placement import Placement
from encoding.datasets._unit import Unit
from encoding.evaluation.resampling import TEST_NAME, p_text
from encoding.evaluation.scores import SCORES
from encoding.fits.composition import READOUT
from encoding.jobs.tasks import compute_intervals, study
from encoding.plots.brain.score_maps import difference_brain
from encoding.runs.labels import labelled_classes
from encoding.runs.report import how_it_was_tested, report, roi_ends
from encoding.runtime.csv import to_csv
from encoding.storage.keys import stage_of
from pages.parts.compare.choice import names_of
from pages.parts.shared.access import may_change
from pages.parts.shared.badges import SIMULATED
from pages.parts.shared.baseline import pin_button, pinned_key
from pages.parts.shared.brain_component import brain_view, clicked
from pages.parts.shared.chart import chart, origin
from pages.parts.shared.job_progress import follow
from pages.parts.shared.links import explore_query, view
from pages.parts.shared.server_state import display_key, job_key, jobs, roi_table, store
from pages.parts.shared.text import file_stem, plain

HOW = {
    "bars": "Each group is a region; A is the first bar. Whiskers say how much a score would differ with other test images. Whiskers of "
    "A and B may overlap while the two differ surely: one draw of images moves both, which the paired test takes into account.",
    "differences": "Each dot is how much the other model's score of a region exceeds A's: above 0 it is better, and of an error below 0. "
    "Where the whisker leaves "
    "out 0 a single test would call it a difference; faded dots are no findings once the number of regions is accounted for.",
    "spread": "How many {units} have each value; of fits of the same responses those {units} that all predict, if any. Where one outline "
    "lies further right, that fit predicts most {units} better; where only its right tail does, it predicts a part of the cortex better.",
    "scatter": "Each {unit} has one place: to the right it is well predicted by A, upwards by the other. A cloud above the diagonal means "
    "that the other model is better (of an error, worse); a cloud along it that both predict the same {units}.",
}


def verdict_panel(results: Mapping[str, Result], compared: Mapping[str, Comparison]) -> None:
    """Say first which fit predicts better, a sentence for each pair."""
    names = names_of(results)
    for letter, comparison in compared.items():
        if sentence := verdict(comparison, (names["A"], names[letter])):
            st.markdown(f"## {plain(sentence)}")
    simulated = [letter for letter, result in results.items() if result.plan.subject.simulated]
    badge = SIMULATED + ("" if len(simulated) == len(results) else f" {', '.join(simulated)}.") if simulated else ""
    tested = any(comparison.tested for comparison in compared.values())
    how = f"Counted are tests that are findings at a false discovery rate of 5 %. p: {TEST_NAME}." if tested else ""
    st.markdown(f":small[{badge} {how}]")


def describe_runs(results: Mapping[str, Result]) -> None:
    """Show the origin of imported fits and the differences in the settings."""
    for letter, result in results.items():
        if origin_of := result.provenance.get("made_from", {}).get("imported"):
            st.caption(f"{letter} was imported on {origin_of.get('when', '')[:10]}, sent by: {plain(origin_of.get('by') or 'not said')}.")
    pin_button(results["A"])
    differing = what_differs(list(results.values()))
    st.markdown("**What differs in their settings**" if len(differing) else "Their settings do not differ.")
    if len(differing):
        st.dataframe(differing, hide_index=True, key="settings", alt="settings in which the fits differ")


def ask_for_intervals(results: Mapping[str, Result]) -> None:
    """Offer to compute bootstrap intervals that are missing."""
    for letter, result in results.items():
        if not result.plan.has_test:
            st.info(f"{letter} trains on every image, for submissions: it has no test score.")
        elif intervals_of(result) is not None:
            continue
        elif stage_of(result.key) == "imported":
            st.info(f"{letter} was sent without bootstrap intervals, so nothing can be tested against it.")
        elif may_change():
            spec = result.plan.spec
            task, work, key = (study, spec, job_key(spec)) if spec.readout != READOUT else (compute_intervals, result.key, result.key)
            start = partial(jobs().submit, task, work, key=key, planned=result.plan)
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(f"A test needs the bootstrap intervals of {letter}.", width="content")
                st.button("Compute them", key=f"intervals_{letter}", on_click=start, type="tertiary")
            follow(key, cancel=f"cancel_intervals_{letter}", missing=f"the intervals of {letter}")
        else:
            st.info(f"The bootstrap intervals of {letter} were not computed, and this server computes nothing.")


@st.cache_resource(max_entries=32, show_spinner=False)
def _compared(
    first: str, second: str, score: str, statistic: str, with_intervals: tuple[bool, bool], _first: Result, _second: Result
) -> Comparison:
    return compare(_first, _second, score=score, statistic=statistic)


def comparisons(results: Mapping[str, Result], score: str, statistic: str) -> dict[str, Comparison]:
    """Compare every fit with the first, by letter."""
    (_, first), *others = results.items()

    def compared(other: Result) -> Comparison:
        ready = tuple(intervals_of(result) is not None for result in (first, other))
        return _compared(display_key(first), display_key(other), score, statistic, ready, first, other)

    return {letter: compared(other) for letter, other in others}


def bars_panel(results: Mapping[str, Result], compared: Mapping[str, Comparison], score: str, statistic: str) -> None:
    """Show the score of every ROI, one bar per fit."""
    ready = tuple(intervals_of(result) is not None for result in results.values())
    only = next(iter(compared.values())) if len(compared) == 1 else None
    keys, unit = tuple(display_key(result) for result in results.values()), unit_of(results)
    figure = _bars_figure(keys, ready, score, statistic, pinned_key(), results, only)
    source = _source(results)
    what = f"{statistic} {SCORES[score].short}"
    chart(figure, "compare_bars", alt=f"{what} of every region, a bar for each fit", how=HOW["bars"], source=source, below=True)
    stars = " ★: the two differ." if only and only.table["differs"].any() else ""
    whiskers = "; whiskers: 95 % intervals over test stimuli" if statistic == "mean" and any(ready) else ""
    lower = " Lower is better." if SCORES[score].lower_is_better else ""
    st.caption(f"{unit.fill(SCORES[score].definition)} Bars: {what} over {unit.many}{whiskers}.{lower}{stars}")


@st.cache_data(max_entries=32, show_spinner=False)
def _bars_figure(
    keys: tuple[str, ...],
    ready: tuple[bool, ...],
    score: str,
    statistic: str,
    pinned: str,
    _found: Mapping[str, Result],
    _only: Comparison | None,
) -> Any:
    names = names_of(_found)
    tables = {names[letter]: roi_table(result) for letter, result in _found.items()}
    marked = [(row.roi, row.hemi) for row in _only.table.itertuples() if row.differs] if _only else ()
    ends = {names[letter]: roi_ends(result, score) for letter, result in _found.items()} if statistic == "mean" else None
    look = {"classes": labelled_classes(next(iter(_found.values())).plan.subject), "unit": unit_of(_found)}
    baseline = next((names[letter] for letter, result in _found.items() if result.key == pinned), "")
    return plots.paired_bars(tables, baseline=baseline, intervals=ends, marked=marked, score=score, statistic=statistic, **look)


def every_score_panel(results: Mapping[str, Result]) -> None:
    """Show every score of every fit over all vertices, and as the mean of the regions' means; computed when it is opened."""
    with st.expander("Every score", key="scores_open", on_change="rerun") as panel:
        if panel.open:
            tables = {letter: _overall(display_key(result), result) for letter, result in results.items()}
            st.dataframe(side_by_side(tables), hide_index=True, key="every_score", alt="every score of every fit")
            st.caption(unit_of(results).fill(OVERALL))


@st.cache_data(max_entries=64, show_spinner=False)
def _overall(key: str, _result: Result) -> pd.DataFrame:
    return overall_scores(_result)


def spread_panel(results: Mapping[str, Result], score: str) -> None:
    """Show how the score is distributed over vertices, the fits over each other; drawn when it is opened."""
    unit = unit_of(results)
    with st.expander(f"{SCORES[score].short} of every {unit}", key="spread_open", on_change="rerun") as panel:
        if panel.open:
            names = names_of(results)
            values = dict(zip(names.values(), shared_scores(list(results.values()), score), strict=True))
            figure = plots.fits_histogram(values, colours=plots.FIT_COLOURS, label=SCORES[score].title, unit=unit)
            source = _source(results)
            alt = f"distribution of {SCORES[score].short} over {unit.many}, an outline for each fit"
            chart(figure, "compare_spread", alt=alt, how=unit.fill(HOW["spread"]), source=source)


@st.cache_data(max_entries=32, show_spinner=False)
def _differences_figure(keys: tuple[str, ...], tested: bool, names: tuple[str, str], _found: Comparison) -> Any:
    what = {"score": _found.score, "statistic": _found.statistic}
    return plots.roi_differences(_found.table, names=names, unit=_found.first.plan.subject.unit, **what)


@st.cache_data(max_entries=32, show_spinner=False)
def _scatter_figure(keys: tuple[str, ...], names: tuple[str, str], _found: Comparison) -> Any:
    scores = [{hemi: result.score(hemi, _found.score) for hemi in result.plan.hemis} for result in (_found.first, _found.second)]
    few = sum(map(len, scores[0].values())) <= plots.compare.MOST_POINTS
    labels = {hemi: _found.first.roi_labels(hemi) for hemi in scores[0]} if few else None
    return plots.vertex_scatter(*scores, names=names, labels=labels, unit=_found.first.plan.subject.unit, score=_found.score)


def unit_of(results: Mapping[str, Result]) -> Unit:
    """Unit of the first fit's response columns, vertex or voxel."""
    return next(iter(results.values())).plan.subject.unit


def _source(results: Mapping[str, Result]) -> str:
    """The fits by name and key, for the corner of a chart; the whole lines are at the end of the page."""
    parts = [f"{name} ({results[letter].key[: results[letter].key.index('-') + 9]})" for letter, name in names_of(results).items()]
    simulated = any(result.plan.subject.simulated for result in results.values())
    return " · ".join(["Simulated"] * simulated + parts)


def difference_panel(results: Mapping[str, Result], compared: Mapping[str, Comparison], left: Any, right: Any) -> None:
    """Show one pair in detail: the difference on the brain beside tabs of regions and vertices; of several pairs one is chosen."""
    letters, names = list(compared), names_of(results)
    letter = letters[0]
    if len(letters) > 1:
        letter = left.segmented_control("Minus A", letters, key="other", bind="query-params", default=letters[0], required=True)
        letter = letter if letter in compared else letters[0]
    comparison, pair = compared[letter], {"A": results["A"], letter: results[letter]}
    unit, named = comparison.first.plan.subject.unit, (names["A"], names[letter])
    keys = (display_key(comparison.first), display_key(comparison.second), comparison.score, comparison.statistic)
    with left, st.container(key="compare_brain_place", gap="xsmall"):
        if comparison.same_vertices:
            _brain(comparison, letter, named, _source(pair))
        else:
            st.info(f"They do not predict the same {unit.many}, so there is no difference brain and no scatter.")
    with right:
        by_region, bars, vertices = st.tabs(["Differences", "Every region", f"Every {unit}"])
    with by_region:
        if len(comparison.table):
            figure = _differences_figure(keys, comparison.tested, named, comparison)
            alt = f"difference in {comparison.statistic} {SCORES[comparison.score].short}, {letter} minus A, in every region"
            chart(figure, "differences", alt=alt, how=HOW["differences"], source=_source(pair))
        else:
            st.info("The two report no region in common.")
    with bars:
        bars_panel(results, compared, comparison.score, comparison.statistic)
    with vertices:
        if comparison.same_vertices:
            figure = _scatter_figure(keys, named, comparison)
            alt = f"{SCORES[comparison.score].short} of every {unit}, A against {letter}"
            chart(figure, "vertices", alt=alt, how=unit.fill(HOW["scatter"]), source=_source(pair), below=True)
    (st.info if comparison.unpaired else st.caption)(how_it_was_tested(comparison, letter))
    if len(comparison.table):
        _test_table(comparison, letter)


def _test_table(comparison: Comparison, name: str) -> None:
    with st.expander("The tests as a table", key="tests", on_change="rerun") as tests:
        if tests.open:
            table = comparison.table.rename(columns={"first": "A", "second": name})
            texts = table.assign(p=table["p"].map(p_text), q=table["q"].map(p_text))
            st.dataframe(texts, hide_index=True, key="test_table", alt="the paired tests of every region")
            name = file_stem("comparison", comparison.score, keys=[comparison.first.key, comparison.second.key])
            st.download_button("Tests, CSV", lambda: to_csv(table), f"{name}.csv", "text/csv", on_click="ignore")
            st.caption(f"p: {TEST_NAME}. q: p adjusted for the false discovery rate over all rows (Benjamini-Hochberg).")


def _brain(comparison: Comparison, name: str, names: tuple[str, str], source: str) -> None:
    brain = difference_brain(comparison, name, title=f"{names[1]} minus {names[0]}")
    subject = comparison.first.plan.subject
    if brain is None:
        st.info(f"It is not known where these {subject.unit.many} lie, so there is no difference brain.")
        return
    brain_view(replace(brain, source=source), key="compare_brain", height=400, linked=True)
    placement = Placement.of(subject)
    place = placement.column(clicked("compare_brain", placement.vertices))
    if place is not None:
        hemi, column = place
        r = [result.score(hemi, comparison.score)[column] for result in (comparison.first, comparison.second)]
        name_of = vertex_name(subject, hemi, column)
        st.caption(f"{name_of[0].upper()}{name_of[1:]}: A {r[0]:z.3f}, {name} {r[1]:z.3f}, difference {r[1] - r[0]:+z.3f}.")
    st.caption(f"Purple: {name} predicts better. Orange: A does. Grey: nothing was recorded.")


def take_away(results: Mapping[str, Result]) -> None:
    """Offer the report and a link into Explore, and name the origin of the numbers."""
    names = " and ".join(results)
    report_of, *links = st.columns(1 + len(results))
    report_of.download_button(
        "Report, HTML",
        lambda: report(list(results.values()), store()),
        f"{file_stem('report', keys=[result.key for result in results.values()])}.html",
        "text/html",
        on_click="ignore",
        width="stretch",
        help=f"One file of some 7 MB with settings, charts, brains and tables of {names}; it opens in any browser, with no network.",
    )
    for link, (letter, result) in zip(links, results.items(), strict=True):
        if stage_of(result.key) == "fit" and link.button(f"{letter} in Explore", key=f"explore_{letter}", width="stretch"):
            st.switch_page(view("explore"), query_params=explore_query(result.plan.spec))
    for letter, result in results.items():
        st.caption(f"{letter}: {plain(origin(result))}")
