"""The brain of the Home page. It waits for no computation: a missing fit is started as a job and shown when done."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from encoding import DATASETS, Result
from encoding.analysis.summaries import best_roi, highest_possible
from encoding.datasets._placement import Placement
from encoding.datasets.simulation.cortex import Hemisphere, truth
from encoding.jobs import Job
from encoding.jobs.tasks import study
from encoding.plots.brain.brain_map import BrainMap, Columns
from encoding.plots.brain.colour_ranges import bulk, rounded_up
from encoding.runs.labels import network_label, subject_label
from pages.parts.shared.access import may_change
from pages.parts.shared.badges import SIMULATED
from pages.parts.shared.brain_component import brain_view
from pages.parts.shared.brain_controls import START_VIEW
from pages.parts.shared.chart import origin
from pages.parts.shared.fragment import fragment
from pages.parts.shared.job_progress import SECONDS_BETWEEN_TICKS, standing
from pages.parts.shared.links import view
from pages.parts.shared.server_state import find_result, job_key, jobs, planned, roi_table, settle
from pages.parts.shared.start import START
from pages.parts.shared.text import plain


def forward() -> None:
    """Redirect links of the release whose first page was Explore: this page has no parameters of its own."""
    if st.query_params:
        linked = {name: st.query_params.get_all(name) for name in st.query_params}
        st.switch_page(view("explore"), query_params=linked)


def brain_panel() -> None:
    """Show the simulated subject's brain: r of the first fit, or the simulation's noise ceiling until it is done."""
    try:
        job = jobs().get(job_key(START))  # first: one that ends meanwhile has left what is looked for
        result = find_result(START)
        if result is None and job is None and may_change():
            job = _start()
    except (LookupError, ValueError, OSError) as wrong:
        st.error(plain(wrong))
        return
    if result is not None:
        _fitted(result)
        return
    running = job is not None and not job.finished
    if running:
        _watch()
    elif job is not None:
        _ended(job)
    _unfitted(running=running)
    if running:
        settle("a job is watched")


def _fitted(result: Result) -> None:
    table = roi_table(result)
    roi = best_roi(table)
    of_it = table[(table["roi"] == roi) & (table["n_vertices"] > 0)]
    r = np.average(of_it["r_mean"], weights=of_it["n_vertices"])
    st.markdown(
        f"{SIMULATED} How well **{' + '.join(START.layers)}** of **{network_label(START.backbone)}** predicts each vertex of "
        f"**{subject_label(START.subject)}**, over "
        f"{result.n_test:,} images that it never saw. Best predicted region: **{roi}**, mean r {r:z.2f}."
    )
    placement, hemis = Placement.of(result.plan.subject), result.plan.hemis
    _paint(
        values=placement.values({hemi: result.score(hemi) for hemi in hemis}),
        vertices=placement.vertices,
        rois=placement.rois(result.plan.subject.rois),
        ceiling=placement.values(highest_possible(result)),
        source=origin(result),
        colour_map="plasma",
        title="r per vertex",
        quantity="r",
    )


def _unfitted(*, running: bool) -> None:
    until = "The first model is being fitted. Until it is there: the" if running else "The"
    st.markdown(
        f"{SIMULATED} {until} noise ceiling of **{subject_label(START.subject)}**, the share of each vertex's variance that can be "
        "explained."
    )
    halves = _simulated()
    _paint(
        values={hemi: half.ceiling for hemi, half in halves.items()},
        vertices={hemi: half.vertices for hemi, half in halves.items()},
        rois={hemi: half.rois for hemi, half in halves.items()},
        source=f"Simulated · {START.dataset} {START.subject} · noise ceiling",
        colour_map="viridis",  # as on Data
        title="noise ceiling per vertex",
        quantity="ceiling",
    )


@st.cache_resource(show_spinner=False)
def _simulated() -> dict[str, Hemisphere]:
    """The simulated cortex, which is there before any response of it."""
    return truth(START.subject)


def _paint(*, values: Columns, **more: Any) -> None:
    brain = BrainMap(
        values=values,
        colour_range=(0.0, rounded_up(bulk(values)[1])),
        view=START_VIEW,
        outlined=next(iter(DATASETS[START.dataset].roi_names().values())),
        **more,
    )
    brain_view(brain, key="home_brain", height=360)
    st.caption("Outlined: the early visual areas.")


def _start() -> Job | None:
    return jobs().submit(study, START, key=job_key(START), planned=planned(START))


def _ended(job: Job) -> None:
    if job.state == "failed":
        st.error(f"The first fit failed: {plain(job.error)}")
    else:
        st.info("The first fit was cancelled." if job.state == "cancelled" else "The first fit is no longer in the cache.")
    if may_change():
        st.button("Fit it", key="home_fit", on_click=_start)


@fragment(run_every=SECONDS_BETWEEN_TICKS)
def _watch() -> None:
    """Progress of the first fit; the page runs again when it is there or the job has ended."""
    job = jobs().get(job_key(START))
    if job is None or job.finished or find_result(START) is not None:
        st.rerun()
    st.progress(job.fraction, f"**{standing(job)}** · {plain(job.text)}")
