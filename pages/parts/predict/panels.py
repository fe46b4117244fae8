"""The Predict page's panels: the brain, the regions, the nearest stimuli, and what in the image drives a region."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st

from encoding import Result, plots
from encoding.analysis.summaries import best_roi, pattern_correlation
from encoding.analysis.tuning import roi_profile, rois_at
from encoding.datasets._unit import Unit
from encoding.fits.result import EVERY_VERTEX
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.colour_ranges import bulk, rounded_up
from encoding.prediction.nearest_stimuli import reliable
from pages.parts.predict.choices import WRONG, PredictionRequest, patterns
from pages.parts.shared.brain_component import brain_view, clicked
from pages.parts.shared.brain_controls import START_VIEW, outline_control, say_no_place, surface_control
from pages.parts.shared.chart import chart, origin
from pages.parts.shared.roi_choice import BEST, roi_select
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
    "measured. One response of one person to one image is mostly noise, and predictions shrink towards the mean: expect the same sign, "
    "not the same height.",
}
KEY = "predict_brain"


def model_choice(found: Mapping[str, Result]) -> Result:
    """The fit that the page shows in full, of those that were chosen."""
    names = list(found)
    if len(names) == 1:
        return found[names[0]]
    if st.session_state.get("predict_model") not in names:
        st.session_state["predict_model"] = names[0]
    name = st.segmented_control("Model shown", names, key="predict_model", required=True, persist_state="session")
    return found[name]


def roi_choice(result: Result) -> str:
    """The region looked at, from the sidebar; ``all`` for every vertex."""
    rois = [roi for roi in result.selected_rois if roi != EVERY_VERTEX]
    help = "It stands out in the charts, and it is what the image is covered for. A click on the brain chooses too."
    with st.sidebar:
        choice = roi_select(rois, result.plan.subject.unit, help=help)
    if choice == BEST:
        return best_roi(roi_table(result))
    return choice if choice in rois else EVERY_VERTEX


def least_r_choice(unit: Unit) -> float:
    """The lowest test r at which a vertex's predictions are shown and averaged."""
    return st.sidebar.slider(
        "Lowest test r",
        0.0,
        0.9,
        LEAST_R,
        0.05,
        key="least_r",
        bind="query-params",
        help=unit.fill(
            "{Units} that the model predicts worse on test images are hidden and left out of means. 0 shows every {unit} above chance."
        ),
    )


def standing(asked: PredictionRequest, least_r: float) -> str:
    """What the image is to the model, in Markdown, with how well the pattern is predicted where that is known."""
    if asked.stimulus.row is None:
        return ":blue-badge[Your image] Nothing was measured for it: there is only the prediction."
    badge = (
        ":orange-badge[Training image] The model was fitted to it, so its prediction looks better than it is."
        if asked.is_seen
        else ":green-badge[Test image] The model never saw it."
    )
    r, n = pattern_r(asked, least_r)
    return f"{badge} Predicted and measured pattern: **r = {r:.2f}** over {asked.shown.subject.unit.count(n)}." if np.isfinite(r) else badge


def pattern_r(asked: PredictionRequest, least_r: float) -> tuple[float, int]:
    """Correlation over reliable vertices of the predicted with the measured pattern, and how many there are; NaN where under three."""
    return pattern_correlation(asked.predicted(), asked.measured(), reliable(asked.result, least_r))


def models_table(every: list[tuple[str, PredictionRequest]], least_r: float) -> None:
    """How well each model predicts the pattern of an image of the data set; nothing for one model or an upload."""
    if len(every) < 2 or every[0][1].stimulus.row is None:
        return
    unit = every[0][1].shown.subject.unit
    rows = [(name, *pattern_r(asked, least_r), "training" if asked.is_seen else "test") for name, asked in every]
    table = pd.DataFrame(rows, columns=["model", "r of the pattern", unit.many, "this image is its"])
    st.dataframe(
        table,
        hide_index=True,
        column_config={"r of the pattern": st.column_config.NumberColumn(format="%.3f")},
        alt="how well each model predicts the pattern",
    )
    st.caption(f"Predicted with measured pattern, each model over the {unit.many} that it predicts with the lowest test r or more.")


# ---- the brain


def brain_panel(asked: PredictionRequest, least_r: float, roi: str) -> None:
    """The response map, with each vertex's test r in its tooltip; vertices below the lowest r show bare cortex."""
    placement, unit = asked.shown.placement, asked.shown.subject.unit
    if placement is None:
        say_no_place(asked.shown.subject)
        return
    known = [name for name in MAPS if asked.stimulus.row is not None or name in ("predicted", "test r")]
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    words = "\n\n".join(f"**{name}** {about}" for name, about in MAPS.items())
    if st.session_state.get("map") not in (None, *known):
        st.session_state["map"] = known[0]
    paint = left.segmented_control(
        "The brain shows", known, key="map", bind="query-params", default=known[0], required=True, help=unit.fill(words)
    )
    with right.popover("View", width="stretch"):
        surface, outlined = surface_control(st), outline_control(st, asked.shown.classes, key="predict_outlines")
    r = {hemi: asked.result.score(hemi) for hemi in asked.result.plan.hemis}
    trusted = {hemi: values >= least_r for hemi, values in r.items()}
    values = {hemi: np.where(trusted[hemi], found, np.nan) for hemi, found in _painted(asked, paint, r).items()}
    brain_view(
        BrainMap(
            values=placement.values(values),
            vertices=placement.vertices,
            columns=placement.columns,
            unit=unit,
            rois=placement.rois(asked.shown.subject.rois),
            ceiling=None if paint == "test r" else placement.values(r),
            ceiling_name="test r",
            source=origin(asked.result),
            surface=surface,
            view=START_VIEW,
            outlined=outlined,
            chosen_roi=None if roi == EVERY_VERTEX else roi,
            **_colours(asked, paint, r),
        ),
        key=KEY,
        height=360,
        on_select=lambda: _choose_clicked(asked),
    )
    n, total = sum(int(found.sum()) for found in trusted.values()), sum(map(len, trusted.values()))
    seen = f"{n:,} of {unit.count(total)} have a test r of {least_r:.2f} or more; the others are hidden."
    st.caption(f"{seen} Point at a {unit} to see its test r.")


def _painted(asked: PredictionRequest, paint: str, r: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    if paint == "test r":
        return r
    predicted, measured = asked.predicted(), asked.measured()
    if paint == "difference":
        return {hemi: measured[hemi] - values for hemi, values in predicted.items()}
    return measured if paint == "measured" else predicted


def _colours(asked: PredictionRequest, paint: str, r: Mapping[str, np.ndarray]) -> dict:
    """Title, quantity and colours of a map. Their range depends on the model alone, so images can be compared."""
    name = asked.stimulus.name
    if paint == "test r":
        return {
            "title": f"Test r per {asked.shown.subject.unit}",
            "quantity": "r",
            "colour_range": (0.0, rounded_up(bulk(r, outside=0)[1], step=0.1, least=0.1)),
            "colour_map": "plasma",
        }
    if not asked.result.has_data:
        return _own_colours(asked, f"Predicted response to {name}")
    found = asked.shown.overview()
    share = {hemi: np.clip(np.nan_to_num(values), 0, 1) if paint == "predicted" else 1.0 for hemi, values in r.items()}
    sd = np.concatenate([np.ravel(share[hemi] * found.sd[hemi]) for hemi in r])  # predictions vary as responses do, times r
    most = SPREAD * float(np.percentile(sd, 75)) or 1.0
    titles = {"predicted": "Predicted response to", "measured": "Measured response to", "difference": "Measured less predicted response to"}
    low, high = found.ends
    if low < 0 < high or paint == "difference":
        ends, colours = (-most, most), "PuOr_r"
    else:
        ends, colours = (low, high), "viridis"
    return {"title": f"{titles[paint]} {name}", "quantity": "response", "colour_range": ends, "colour_map": colours}


def _own_colours(asked: PredictionRequest, title: str) -> dict:
    """The same for an imported fit, whose responses are not here: colours reach as far as this prediction does."""
    most = bulk({hemi: np.abs(values) for hemi, values in asked.predicted().items()}, outside=2)[1] or 1.0
    return {"title": title, "quantity": "response", "colour_range": (-most, most), "colour_map": "PuOr_r"}


def _choose_clicked(asked: PredictionRequest) -> None:
    """Callback of the brain: the smallest region that holds the clicked vertex is chosen."""
    found = asked.shown.placement.column(clicked(KEY, asked.shown.placement.vertices))
    holding = rois_at(asked.shown.subject, *found) if found else ()
    if holding and holding[0] in asked.result.selected_rois:
        st.session_state["roi"] = holding[0]


# ---- regions


def regions_panel(asked: PredictionRequest, least_r: float, roi: str) -> None:
    """Mean prediction of every region, with the measured one where the image is of the data set."""
    if not asked.shown.rois:
        st.info("This data set names no ROIs, so there are no bars to compare.")
        return
    subject, hemis = asked.shown.subject, asked.result.plan.hemis
    r = {hemi: asked.result.score(hemi) for hemi in hemis}

    def of(values: Mapping[str, np.ndarray]) -> pd.DataFrame:
        every = {hemi: np.full(subject.responses[hemi].shape[1], np.nan) for hemi in subject.hemis}
        every |= {hemi: np.where(r[hemi] >= least_r, values[hemi], np.nan) for hemi in hemis}
        table = roi_profile(subject, every)
        counts = [int(np.isfinite(every[row.hemi][subject.rois[row.hemi].get(row.roi, [])]).sum()) for row in table.itertuples()]
        return table.assign(n_vertices=counts)[table["hemi"].isin(hemis)]

    predicted = of(asked.predicted())
    measured = asked.measured()
    figure = plots.response_profile(
        predicted.assign(r_mean=of(r)["mean"]),
        None if measured is None else of(measured),
        response_unit="as the data set has it",
        classes=asked.shown.classes,
        selected=None if roi == EVERY_VERTEX else roi,
        unit=subject.unit,
    )
    beside = "" if measured is None else ", and the measured one"
    alt = f"mean predicted response of each region to {asked.stimulus.name}{beside}"
    chart(figure, "regions", alt=alt, source=origin(asked.result), how=subject.unit.fill(HOW["regions"]))
    n_gone = int((predicted.groupby("roi")["n_vertices"].sum() == 0).sum())
    gone = f" {n_gone} regions have none, and no bar." if n_gone else ""
    st.caption(f"Means over the {subject.unit.many} with a test r of {least_r:.2f} or more.{gone}")


# ---- the nearest stimuli


def nearest_panel(asked: PredictionRequest, least_r: float) -> None:
    """The training stimuli whose measured pattern is most like the predicted one."""
    st.subheader(f"Training {asked.shown.what} with the most similar response", anchor=False)
    if not asked.result.has_data:
        st.info(f"The {asked.shown.what} of this fit and the responses to them did not come with it, so there is nothing to compare with.")
        return
    try:
        known = patterns(asked.result.key, least_r, asked.result)
    except WRONG as wrong:
        st.error(plain(wrong))
        return
    own = [] if asked.stimulus.row is None else [asked.shown.subject.groups[asked.stimulus.row]]
    rows, r = known.nearest(asked.predicted(), N_NEAREST, without=own)
    if not len(rows):
        st.info(f"Too few {asked.shown.subject.unit.many} are predicted this well to compare patterns. Lower the test r in the sidebar.")
        return
    unit = asked.shown.subject.unit
    stimulus_grid(asked.shown, rows, name="nearest", captions=[f"r {value:.2f}" for value in r], across=N_NEAREST // 2)
    st.caption(
        f"r over the {known.n_vertices:,} best predicted {unit.many}, between predicted and measured pattern, both less each "
        f"{unit}'s mean. "
        "Press a number to predict that one."
    )
