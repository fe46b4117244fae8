"""Panels of the Predict page: brain map, ROI means, nearest training stimuli."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st

from encoding import Result, plots
from encoding.analysis.summaries import best_roi, pattern_correlation
from encoding.analysis.tuning import roi_profile, rois_at
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.colour_ranges import bulk, rounded_up
from encoding.prediction.references import why_no_interval
from encoding.prediction.reliable import reliable, reliable_mask
from encoding.runtime.wording import counted
from pages.parts.predict.choices import WRONG, PredictionRequest, patterns, roi_widths
from pages.parts.shared.brain_component import brain_view, clicked
from pages.parts.shared.brain_controls import START_VIEW, outline_control, say_no_place, surface_control
from pages.parts.shared.chart import chart, origin
from pages.parts.shared.roi_choice import BEST, roi_select
from pages.parts.shared.screen import is_narrow, watch_screen
from pages.parts.shared.server_state import roi_table
from pages.parts.shared.stimulus_grid import stimulus_grid
from pages.parts.shared.text import plain

MAPS = {
    "predicted": "The model's prediction for this image.",
    "measured": "The response that was measured, the mean over repeats; for images of the data set.",
    "difference": "Measured less predicted: what the model misses, and noise.",
    "test r": "How far each {unit}'s predictions are to be trusted: its correlation with responses to images that the model never saw.",
}
LEAST_R = 0.2  # vertices with a lower test r are hidden at first
SPREAD = 2.0  # colours reach this many standard deviations of a vertex that varies more than three in four
N_NEAREST = 8
HOW = {
    "regions": "Each bar is the mean prediction of a region's reliable {units} for this one image. The frame around it is what was "
    "measured; the line is where the measured mean of 95 % of new images like the test images would lie (split conformal, from errors on "
    "test images). One response of one person to one image is mostly noise, and predictions shrink towards the mean: expect the same sign, "
    "not the same height.",
}
KEY = "predict_brain"


def model_choice(results: Mapping[str, Result]) -> Result:
    """Choose which of the selected fits the page shows in full."""
    names = list(results)
    if len(names) == 1:
        return results[names[0]]
    if st.session_state.get("predict_model") not in names:
        st.session_state["predict_model"] = names[0]
    name = st.segmented_control("Model shown", names, key="predict_model", required=True, persist_state="session")
    return results[name]


def roi_choice(result: Result) -> str:
    """Choose an ROI in the sidebar; ``all`` for every vertex."""
    rois = [roi for roi in result.selected_rois if roi != EVERY_VERTEX]
    help = "It stands out in the charts, and it is what the image is covered for. A click on the brain chooses too."
    with st.sidebar:
        choice = roi_select(rois, result.plan.subject.unit, help=help)
    if choice == BEST:
        return best_roi(roi_table(result))
    return choice if choice in rois else EVERY_VERTEX


def least_r_choice(result: Result) -> float:
    """Choose the lowest test r of vertices whose predictions are shown and averaged; nothing to choose without test stimuli."""
    if not result.plan.has_test:
        return 0.0
    return st.sidebar.slider(
        "Lowest test r",
        0.0,
        0.9,
        LEAST_R,
        0.05,
        key="least_r",
        bind="query-params",
        help=result.plan.subject.unit.fill(
            "{Units} that the model predicts worse on test images are hidden and left out of means. 0 shows every {unit} above chance."
        ),
    )


def standing(request: PredictionRequest, least_r: float) -> str:
    """Describe the image's role (training, test, upload) and the r of its predicted pattern, in Markdown."""
    if request.stimulus.row is None:
        return ":blue-badge[Your image] Nothing was measured for it: there is only the prediction."
    badge = ":green-badge[Test image] The model never saw it."
    if request.is_seen:
        badge = ":orange-badge[Training image] The model was fitted to it, so its prediction looks better than it is."
    elif not request.is_tested:
        badge = ":green-badge[Neither trained nor tested] The model never saw it, and its scores are not of it."
    r, n = pattern_r(request, least_r)
    return (
        f"{badge} Predicted and measured pattern: **r = {r:z.2f}** over {request.subject_view.subject.unit.count(n)}."
        if np.isfinite(r)
        else badge
    )


def pattern_r(request: PredictionRequest, least_r: float) -> tuple[float, int]:
    """Correlation over reliable vertices of the predicted with the measured pattern, and how many there are; NaN where under three."""
    return pattern_correlation(request.predicted(), request.measured(), reliable(request.result, least_r))


def models_table(every: list[tuple[str, PredictionRequest]], least_r: float) -> None:
    """Tabulate each model's pattern r for an image of the data set; nothing for one model or an upload."""
    if len(every) < 2 or every[0][1].stimulus.row is None:
        return
    unit = every[0][1].subject_view.subject.unit
    rows = [(name, *pattern_r(request, least_r), _role(request)) for name, request in every]
    table = pd.DataFrame(rows, columns=["model", "r of the pattern", unit.many, "this image is its"])
    st.dataframe(
        table,
        hide_index=True,
        column_config={"r of the pattern": st.column_config.NumberColumn(format="%.3f")},
        alt="how well each model predicts the pattern",
    )
    st.caption(f"Predicted with measured pattern, each model over the {unit.many} that it predicts with the lowest test r or more.")


def _role(request: PredictionRequest) -> str:
    return "training" if request.is_seen else "test" if request.is_tested else "neither"


# ---- the brain


def brain_panel(request: PredictionRequest, least_r: float, roi: str) -> None:
    """Show the predicted response map with each vertex's test r as tooltip; vertices below the lowest r stay grey."""
    placement, unit = request.subject_view.placement, request.subject_view.subject.unit
    if placement is None:
        say_no_place(request.subject_view.subject)
        return
    known = [name for name in MAPS if request.stimulus.row is not None or name in ("predicted", "test r")]
    has_test = request.result.plan.has_test
    known = known if has_test else known[:-1]
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    words = "\n\n".join(f"**{name}** {about}" for name, about in MAPS.items())
    if st.session_state.get("map") not in (None, *known):
        st.session_state["map"] = known[0]
    paint = left.segmented_control(
        "The brain shows", known, key="map", bind="query-params", default=known[0], required=True, help=unit.fill(words)
    )
    with right.popover("Brain", width="stretch", help="Surface and outlined regions of the brain map."):
        surface, outlined = surface_control(st), outline_control(st, request.subject_view.classes, key="predict_outlines")
    r = {hemi: request.result.score(hemi) for hemi in request.result.plan.hemis}
    trusted = reliable_mask(request.result, least_r)
    values = {hemi: np.where(trusted[hemi], painted, np.nan) for hemi, painted in _painted(request, paint, r).items()}
    brain_view(
        BrainMap(
            values=placement.values(values),
            vertices=placement.vertices,
            columns=placement.columns,
            unit=unit,
            rois=placement.rois(request.subject_view.subject.rois),
            ceiling=placement.values(r) if has_test and paint != "test r" else None,
            ceiling_name="test r",
            source=origin(request.result),
            surface=surface,
            view=START_VIEW,
            outlined=outlined,
            chosen_roi=None if roi == EVERY_VERTEX else roi,
            **_colours(request, paint, r),
        ),
        key=KEY,
        height=360,
        on_select=lambda: _choose_clicked(request),
        linked=True,
    )
    if not has_test:
        return
    n, total = sum(int(painted.sum()) for painted in trusted.values()), sum(map(len, trusted.values()))
    seen = f"{n:,} of {unit.count(total)} have a test r of {least_r:.2f} or more; the others are hidden."
    st.caption(f"{seen} Point at a {unit} to see its test r.")


def _painted(request: PredictionRequest, paint: str, r: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    if paint == "test r":
        return r
    predicted, measured = request.predicted(), request.measured()
    if paint == "difference":
        return {hemi: measured[hemi] - values for hemi, values in predicted.items()}
    return measured if paint == "measured" else predicted


def _colours(request: PredictionRequest, paint: str, r: Mapping[str, np.ndarray]) -> dict:
    """Title, quantity and colours of a map. Their range depends on the model alone, so images can be compared."""
    name = request.stimulus.name
    if paint == "test r":
        return {
            "title": f"Test r per {request.subject_view.subject.unit}",
            "quantity": "r",
            "colour_range": (0.0, rounded_up(bulk(r, outside=0)[1], step=0.1, least=0.1)),
            "colour_map": "plasma",
        }
    if not request.result.has_data:
        return _own_colours(request, f"Predicted response to {name}")
    overview = request.subject_view.overview()
    scaled = paint == "predicted" and request.result.plan.has_test
    share = {hemi: np.clip(np.nan_to_num(values), 0, 1) if scaled else 1.0 for hemi, values in r.items()}
    sd = np.concatenate([np.ravel(share[hemi] * overview.sd[hemi]) for hemi in r])  # predictions vary as responses do, times r
    most = SPREAD * float(np.percentile(sd, 75)) or 1.0
    titles = {"predicted": "Predicted response to", "measured": "Measured response to", "difference": "Measured less predicted response to"}
    low, high = overview.ends
    if low < 0 < high or paint == "difference":
        ends, colours = (-most, most), "PuOr_r"
    else:
        ends, colours = (low, high), "viridis"
    return {"title": f"{titles[paint]} {name}", "quantity": "response", "colour_range": ends, "colour_map": colours}


def _own_colours(request: PredictionRequest, title: str) -> dict:
    """The same for an imported fit, whose responses are not here: colours reach as far as this prediction does."""
    most = bulk({hemi: np.abs(values) for hemi, values in request.predicted().items()}, outside=2)[1] or 1.0
    return {"title": title, "quantity": "response", "colour_range": (-most, most), "colour_map": "PuOr_r"}


def _choose_clicked(request: PredictionRequest) -> None:
    """Callback of the brain: the smallest region that holds the clicked vertex is chosen."""
    vertex = request.subject_view.placement.column(clicked(KEY, request.subject_view.placement.vertices))
    holding = rois_at(request.subject_view.subject, *vertex) if vertex else ()
    if holding and holding[0] in request.result.selected_rois:
        st.session_state["roi"] = holding[0]


# ---- regions


def regions_panel(request: PredictionRequest, least_r: float, roi: str) -> None:
    """Show the mean prediction of every ROI, with the measured one for images of the data set."""
    if not request.subject_view.rois:
        st.info("This data set names no ROIs, so there are no bars to compare.")
        return
    subject, hemis, has_test = request.subject_view.subject, request.result.plan.hemis, request.result.plan.has_test
    r, reliable_here = {hemi: request.result.score(hemi) for hemi in hemis}, reliable_mask(request.result, least_r)

    def of(values: Mapping[str, np.ndarray]) -> pd.DataFrame:
        every = {hemi: np.full(subject.responses[hemi].shape[1], np.nan) for hemi in subject.hemis}
        every |= {hemi: np.where(reliable_here[hemi], values[hemi], np.nan) for hemi in hemis}
        table = roi_profile(subject, every)
        counts = [int(np.isfinite(every[row.hemi][subject.rois[row.hemi].get(row.roi, [])]).sum()) for row in table.itertuples()]
        return table.assign(n_vertices=counts)[table["hemi"].isin(hemis)]

    predicted = of(request.predicted())
    measured = request.measured()
    shown, has_intervals = predicted.assign(r_mean=of(r)["mean"]), not why_no_interval(request.result)
    if has_intervals:
        widths = roi_widths(request.result.key, least_r, request.result)
        shown["half_width"] = [widths.get((row.roi, row.hemi), np.nan) for row in shown.itertuples()]
    figure = plots.response_profile(
        shown,
        None if measured is None else of(measured),
        response_unit="as the data set has it",
        classes=request.subject_view.classes,
        selected=None if roi == EVERY_VERTEX else roi,
        unit=subject.unit,
        horizontal=is_narrow(),
    )
    watch_screen()
    beside = "" if measured is None else ", and the measured one"
    alt = f"mean predicted response of each region to {request.stimulus.name}{beside}"
    chart(figure, "predicted_regions", alt=alt, source=origin(request.result), how=subject.unit.fill(HOW["regions"]), below=True)
    lines = " Lines: 95 % prediction intervals of the measured mean for new images." if has_intervals else ""
    n_gone = int((predicted.groupby("roi")["n_vertices"].sum() == 0).sum())
    gone = f" {counted(n_gone, 'region has', 'regions have')} none, and no bar." if n_gone else ""
    over = f"the {subject.unit.many} with a test r of {least_r:.2f} or more" if has_test else f"every {subject.unit}"
    st.caption(f"Means over {over}.{lines}{gone}")


# ---- the nearest stimuli


def nearest_panel(request: PredictionRequest, least_r: float) -> None:
    """Show the training stimuli whose measured patterns correlate most with the predicted one."""
    what = request.subject_view.what
    st.header(f"Training {what} with the most similar response", anchor=False)
    if not request.result.has_data:
        st.info(f"The {what} of this fit and the responses to them did not come with it, so there is nothing to compare with.")
        return
    try:
        known = patterns(request.result.key, least_r, request.result)
    except WRONG as wrong:
        st.error(plain(wrong))
        return
    own = [] if request.stimulus.row is None else [request.subject_view.subject.stimulus_of_row[request.stimulus.row]]
    rows, r = known.nearest(request.predicted(), N_NEAREST, without=own)
    if not len(rows):
        many = request.subject_view.subject.unit.many
        st.info(f"Too few {many} are predicted this well to compare patterns. Lower the test r in the sidebar.")
        return
    unit = request.subject_view.subject.unit
    best = "of the best predicted " if request.result.plan.has_test else ""
    stimulus_grid(request.subject_view, rows, name="nearest", captions=[f"r {value:.2f}" for value in r], across=N_NEAREST // 2)
    st.caption(
        f"r over {known.n_vertices:,} {best}{unit.many}, between predicted and measured pattern, both less each "
        f"{unit}'s mean. "
        "Press one to predict it."
    )
