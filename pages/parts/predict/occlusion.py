"""Occlusion map of the Predict page: computed at once for filter banks, by a job for networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from encoding import Result, plots
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.jobs.tasks import occlude_image
from encoding.prediction.occlusion import Occlusion, OcclusionRequest, as_png, columns_digest, occlude, stored
from pages.parts.predict.choices import WRONG, PredictionRequest, predictor
from pages.parts.shared.access import may_change
from pages.parts.shared.chart import chart
from pages.parts.shared.glossary import explained
from pages.parts.shared.job_progress import follow
from pages.parts.shared.server_state import jobs, store
from pages.parts.shared.text import plain

HOW = (
    "A grey patch, as large as the frame in the corner, was laid over each place in turn, and the region's response predicted "
    "again. **Orange: the response falls when this is covered**, so it drives the region in the model. Purple: the response rises. A patch "
    "has edges of its own, which models notice too: look at patterns, not at single cells. It shows what drives the *model*; where the "
    "model predicts a region badly it says little of the brain."
)


def occlusion_panel(request: PredictionRequest, roi: str) -> None:
    """Show the occlusion map of an ROI over the image."""
    name = f"every {request.subject_view.subject.unit}" if roi == EVERY_VERTEX else roi
    st.header(f"What in the image drives {plain(name)}", anchor=False, help=explained(roi) or None)
    grid, side = st.columns(2)
    n_grid = int(grid.number_input("Places a side", 4, 16, 8, key="grid", bind="query-params", help="More places take longer."))
    patch = side.slider("Patch, of a side", 0.05, 0.5, 0.2, 0.05, key="patch", bind="query-params", help="How large the grey patch is.")
    folds = request.folds or tuple(range(len(request.result.plan.folds)))
    wanted = OcclusionRequest(request.result.key, roi, columns_digest(request.result, roi), n_grid, patch, folds, request.stimulus.key, ())
    try:
        occlusion = _quick(wanted.key, request, wanted) if is_quick(request.result) else _by_job(wanted, request)
    except WRONG as wrong:
        st.error(plain(wrong))
        return
    if occlusion is None:
        return
    figure = plots.occlusion_map(request.stimulus.middle, occlusion.drop, label=name, patch=patch)
    alt = f"how much the predicted response of {name} falls when parts of the image are covered"
    chart(figure, "occlusion", alt=alt, source=_short_origin(request.result), how=HOW, below=True)
    row, column = np.unravel_index(int(np.argmax(occlusion.drop)), occlusion.drop.shape)
    falls = f"It falls most, by {occlusion.drop.max():.3f}, when row {row + 1}, place {column + 1} of {n_grid} x {n_grid} is covered."
    falls = falls if occlusion.drop.max() > 0 else "Wherever the image is covered, it does not fall."
    patched = f"The patch is {100 * patch:.0f} % of a side, drawn in the corner."
    unit = request.subject_view.subject.unit
    every = "" if roi == EVERY_VERTEX else f", the mean over all its {unit.many}"
    st.caption(f"Predicted response of {plain(name)}{every}: **{occlusion.uncovered:+z.3f}** as it is. {falls} {patched}")


def _short_origin(result: Result) -> str:
    """:func:`pages.parts.shared.chart.origin` for a chart of half the page's width."""
    known = {"made_from": {"simulated": result.plan.subject.simulated}, "key": result.key[: len("fit-") + 8]}
    return plots.caption(known, result.plan.spec)


def is_quick(result: Result) -> bool:
    """Whether a few hundred images pass in a second or two on the CPU: filters, not networks; images, not clips."""
    plan = result.plan
    return not plan.source.needs_weights and plan.stimuli.n_frames == 1 and plan.readout.uses_components


@st.cache_resource(max_entries=32, show_spinner="Covering the image place by place …", scope="session")
def _quick(key: str, _asked: PredictionRequest, _wanted: OcclusionRequest) -> Occlusion:
    result = _asked.result
    columns = {hemi: result.columns(_wanted.roi, hemi) for hemi in result.plan.hemis}
    shape = {"n_grid": _wanted.n_grid, "patch": _wanted.patch, "folds": _wanted.folds}
    return occlude(predictor(result.key, result), _asked.stimulus.frames, columns, **shape)


def _by_job(wanted: OcclusionRequest, request: PredictionRequest) -> Occlusion | None:
    """The map that a job made; else the way to start it, or its progress."""
    if (occlusion := stored(wanted.key, store())) is not None:
        return occlusion
    job = jobs().get(wanted.key)
    follow(wanted.key, cancel="cancel_occlusion", missing="the map")
    if job is None or job.finished:
        n = wanted.n_grid**2 + 1
        sent = "" if request.stimulus.row is not None else " Your image goes to it in memory; only the map is kept, not the image."
        if not may_change():
            st.info(
                f"This takes a job, as {n:,} images have to pass through {plain(request.result.plan.spec.backbone)}, "
                "and this server starts none."
            )
            return None
        st.button("Compute it", key="occlude", type="primary", on_click=_submit, args=(wanted, request))
        st.caption(f"{n:,} images pass through {plain(request.result.plan.spec.backbone)}, in the background.{sent}")
    return None


def _submit(wanted: OcclusionRequest, request: PredictionRequest) -> None:
    result, work = request.result, replace(wanted, frames=tuple(map(as_png, request.stimulus.frames)))
    jobs().submit(occlude_image, work, key=wanted.key, planned=result.plan if result.has_data else None)
