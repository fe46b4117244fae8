"""Brain of the Layers page: one layer's score at every vertex, or the best layer of each."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from encoding import Result, plots
from encoding.analysis.layer_ranking import best_per_vertex, chance_bound, count_per_layer
from encoding.analysis.layer_sweep import Cell, SweepResult
from encoding.analysis.summaries import highest_possible
from encoding.datasets._base import roi_names
from encoding.datasets._placement import Placement
from encoding.datasets._registry import roi_classes
from encoding.evaluation.scores import SCORES
from encoding.plots.brain.brain_map import BrainMap, maps_ahead
from encoding.plots.brain.colour_ranges import rounded_up, score_colours, score_range
from encoding.plots.score_axis import ceiling_name
from pages.parts.layers.swept import OF_SWEEP, origin
from pages.parts.shared.brain_component import brain_view, send_ahead
from pages.parts.shared.brain_controls import START_VIEW, colour_controls, outline_control, say_no_place, surface_control
from pages.parts.shared.chart import chart
from pages.parts.shared.chart import origin as chart_origin
from pages.parts.shared.linked import linked_value, number_within, write_link
from pages.parts.shared.links import explore_address

ON_BRAIN = ("one layer", "best layer")
BRAIN_HEIGHT = 330  # px
LEAST_R = 0.1  # vertices predicted worse by every layer are hidden at first, or those under what chance may reach
TERRITORY_HOW = "How much of the cortex each layer predicts best. The colours are those of the brain above."


def brain_panel(sweep_result: SweepResult, cell: Cell, roi: str, score: str) -> None:
    """Show the selected layer, or each vertex's best layer, on the brain, and link to the layer on Explore."""
    result = sweep_result.results[cell]
    placement = Placement.of(result.plan.subject)
    if placement is None:
        say_no_place(result.plan.subject)
    else:
        left, right = st.columns([3, 2], vertical_alignment="bottom")
        mode = left.radio("On the brain", ON_BRAIN, key="on_brain", bind="query-params", horizontal=True)
        place = right.popover("Brain", width="stretch", help="Surface, outlined regions and hidden values of the brain map.")
        if mode == ON_BRAIN[0]:
            brain_view(_layer_map(sweep_result, result, placement, score, roi, place), key="layer_brain", height=BRAIN_HEIGHT, linked=True)
        else:
            _best_map(sweep_result, placement, roi, place)
    looked_at = replace(result.plan.spec, rois=(roi,) if roi in roi_names(result.plan.subject) else ())
    address = explore_address(looked_at)
    st.link_button("Open this layer in Explore ↗", address, key="to_explore", help="In a new tab, at the same settings.")


def _values(result: Result, score: str) -> dict[str, np.ndarray]:
    return {hemi: result.score(hemi, score) for hemi in result.plan.hemis}


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=OF_SWEEP)
def _colour_range(sweep_result: SweepResult, score: str) -> tuple[float, float]:
    """The ends of the colours, the same for all layers, so that the slider compares them; of errors from the lowest."""
    return score_range(score, *(_values(result, score) for result in sweep_result.results.values()))


@st.cache_resource(max_entries=8, show_spinner=False)
def _outlined_rois(annotations: str, _placement: Placement, _result: Result) -> dict[str, dict[str, np.ndarray]]:
    """Where ROIs lie on the cortex; the same for all layers of a subject."""
    return _placement.rois(_result.plan.subject.rois)


def _look(sweep_result: SweepResult, placement: Placement, roi: str, place: DeltaGenerator) -> dict[str, object]:
    """What both maps share, with the widgets that set it, drawn in ``place``."""
    result = next(iter(sweep_result.results.values()))
    known = roi_names(result.plan.subject)
    drawn, outlined = surface_control(place), outline_control(place, roi_classes(result.plan.subject))
    return {
        "vertices": placement.vertices,
        "columns": placement.columns,
        "unit": result.plan.subject.unit,
        "rois": _outlined_rois(result.plan.subject.annotations_key, placement, result),
        "surface": drawn,
        "view": START_VIEW,
        "outlined": outlined,
        "chosen_roi": roi if roi in known else None,
    }


def _layer_map(sweep_result: SweepResult, result: Result, placement: Placement, score: str, roi: str, place: DeltaGenerator) -> BrainMap:
    """One layer's score at every vertex, with the widgets that set its look."""
    ends = _colour_range(sweep_result, score)
    most = max(1.0, ends[1])
    look = _look(sweep_result, placement, roi, place)
    look |= colour_controls(place, score, most, ends, most / 100, key="layer_")
    highest = highest_possible(result, score)
    look |= {"ceiling": placement.values(highest) if highest else None, "ceiling_name": ceiling_name(score).lower()}
    return replace(_values_map(result, placement, score), **look)


def _values_map(result: Result, placement: Placement, score: str) -> BrainMap:
    """One layer's score at every vertex: what differs between the layers of a sweep."""
    (layer,) = result.plan.spec.layers
    quantity = SCORES[score].short
    return BrainMap(
        values=placement.values(_values(result, score)),
        vertices=placement.vertices,
        source=chart_origin(result),
        title=f"{quantity} per {result.plan.subject.unit}, {result.plan.spec.backbone} {layer}",
        quantity=quantity,
        colour_map=score_colours(score),
    )


def send_layers_ahead(sweep_result: SweepResult, score: str) -> None:
    """Send the brain the maps of all layers, so that it follows the slider at once; outside of the part that the slider runs again."""
    placement = Placement.of(next(iter(sweep_result.results.values())).plan.subject)
    if placement is not None and len(sweep_result.cells) > 1:
        send_ahead(partial(_maps_ahead, sweep_result, score, placement), key="layer_brain", slider="shown_layer")


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=OF_SWEEP)
def _maps_ahead(sweep_result: SweepResult, score: str, _placement: Placement, space: str, **header: str) -> bytes:
    """The maps of all finished layers, in the slider's order."""
    ends = _colour_range(sweep_result, score)
    maps = [_values_map(result, _placement, score) for result in sweep_result.results.values()]
    return maps_ahead([replace(brain, colour_range=ends, space=space) for brain in maps], **header)


def _best_map(sweep_result: SweepResult, placement: Placement, roi: str, place: DeltaGenerator) -> None:
    """The layer that predicts each vertex best, and how much of the cortex each wins."""
    results = tuple(sweep_result.results.values())
    unit = results[0].plan.subject.unit
    n_folds = len(results[0].plan.folds)
    bound = chance_bound(results[0].n_test_stimuli, len(results), n_folds=n_folds)
    of_folds = f", {n_folds} folds" if n_folds > 1 else ""
    start = min(1.0, rounded_up(np.fmax(LEAST_R, bound), step=0.01))
    look = _look(sweep_result, placement, roi, place)
    label = f"Hide {unit.many} whose best r is below"
    linked_value("best_threshold", "hide_best", lambda text: number_within(text, 0.0, 1.0), start)
    least = place.slider(label, 0.0, 1.0, start, 0.01, key="best_threshold", persist_state="session")
    write_link("hide_best", f"{least:g}", f"{start:g}")
    best = _best_of_vertices(sweep_result, least)
    labels = [sweep_result.sweep.label(cell) for cell in sweep_result.cells]
    brain = BrainMap(
        values=placement.values({hemi: 1.0 + places for hemi, places in best.items()}),
        source=origin(sweep_result),
        title=f"Best layer per {unit}",
        quantity="Best layer",
        colour_range=(0.5, len(labels) + 0.5),
        colour_map="viridis",
        kinds=labels,
        **look,
    )
    brain_view(brain, key="layer_brain", height=BRAIN_HEIGHT, linked=True)  # at the place of the other map, so that its camera stays
    counts = {hemi: count_per_layer(places, len(labels)) for hemi, places in best.items()}
    alt = f"share of {unit.many} that each layer predicts best"
    figure = plots.layer_territory(labels, counts, unit=unit)
    chart(figure, "territory", alt=alt, source=origin(sweep_result), how=TERRITORY_HOW, below=True)
    n_shown, n_all = sum(int(each.sum()) for each in counts.values()), sum(map(len, best.values()))
    chance = (
        f" Where nothing is to be found, the best of {len(labels)} layers passes r = {bound:.2f} by chance in at most 5 % of {unit.many} "
        f"({results[0].tested_units}{of_folds})."
    )
    st.caption(f"{n_shown:,} of {unit.count(n_all)} are shown.{chance if np.isfinite(bound) else ''}")


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=OF_SWEEP)
def _best_of_vertices(sweep_result: SweepResult, least: float) -> dict[str, np.ndarray]:
    results = tuple(sweep_result.results.values())
    return {hemi: best_per_vertex(results, hemi, least=least) for hemi in results[0].plan.hemis}
