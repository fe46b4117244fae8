"""Panels of the Home page. None waits for a computation: a missing fit is started as a job and shown when done."""

from __future__ import annotations

from typing import Any

import streamlit as st

from encoding import BACKBONES, DATASETS, Result
from encoding.analysis.summaries import best_roi, highest_r
from encoding.backbones._catalogue import every_file
from encoding.datasets import data_dir
from encoding.datasets._placement import Placement
from encoding.datasets.simulation.cortex import Hemisphere, truth
from encoding.jobs import Job
from encoding.jobs.machine import Machine, machine
from encoding.jobs.tasks import study
from encoding.plots.brain.brain_map import BrainMap, Columns
from encoding.plots.brain.colour_ranges import bulk, rounded_up
from pages.parts.shared.access import may_change
from pages.parts.shared.badges import SIMULATED
from pages.parts.shared.brain_component import brain_view
from pages.parts.shared.brain_controls import START_VIEW
from pages.parts.shared.chart import origin
from pages.parts.shared.fit_controls import START
from pages.parts.shared.job_progress import SECONDS_BETWEEN_TICKS, standing
from pages.parts.shared.links import view
from pages.parts.shared.server_state import SECONDS_BETWEEN_LOOKS, find_result, job_key, jobs, roi_table, settle, store
from pages.parts.shared.text import plain

PAGE_LINKS = {  # the page's name in its file: label and description of its link
    "explore": (
        ":material/neurology: Explore",
        "Fit one model and look at it from every side: the brain, the regions, single vertices, the images it gets wrong.",
    ),
    "compare": (":material/compare_arrows: Compare", "Two or more finished fits side by side: which model predicts which region better?"),
    "learn": (":material/school: Learn", "Lessons of one screen each, from a single response to noise ceilings and common mistakes."),
}


def forward() -> None:
    """Redirect links of the release whose first page was Explore: this page has no parameters of its own."""
    if st.query_params:
        linked = {name: st.query_params.get_all(name) for name in st.query_params}
        st.switch_page(view("explore"), query_params=linked)


def page_links() -> None:
    """Show links to the other pages."""
    for name, (label, about) in PAGE_LINKS.items():
        if (path := view(name)) is not None:
            with st.container(border=True, gap="xsmall"):
                st.page_link(path, label=f"**{label}**")
                st.caption(about)


def brain_panel() -> None:
    """Show the simulated subject's brain: r of the first fit, or the simulation's noise ceiling until it is done."""
    try:
        result = find_result(START)
        job = jobs().get(job_key(START))
        if result is None and job is None and may_change():
            job = _start()
    except (LookupError, ValueError, OSError) as wrong:
        st.error(plain(wrong))
        return
    if result is not None:
        _fitted(result)
        return
    running = job is not None and not job.finished
    _unfitted(running=running)
    if running:
        settle("a job is watched")
        _watch()
    elif job is not None:
        _ended(job)


def _fitted(result: Result) -> None:
    table = roi_table(result)
    roi = best_roi(table)
    r = table.loc[table["roi"] == roi, "r_mean"].mean()
    st.markdown(
        f"{SIMULATED} How well **{' + '.join(START.layers)}** of **{START.backbone}** predicts each vertex of **{START.subject}**, over "
        f"{result.n_test:,} images that it never saw. Best predicted region: **{roi}**, mean r {r:.2f}."
    )
    placement, hemis = Placement.of(result.plan.subject), result.plan.hemis
    _paint(
        values=placement.values({hemi: result.score(hemi) for hemi in hemis}),
        vertices=placement.vertices,
        rois=placement.rois(result.plan.subject.rois),
        ceiling=placement.values(highest_r(result)),
        source=origin(result),
        title="r per vertex",
        quantity="r",
    )


def _unfitted(*, running: bool) -> None:
    until = "The first model is being fitted, which takes half a minute or so. Until it is there: the" if running else "The"
    st.markdown(f"{SIMULATED} {until} noise ceiling of **{START.subject}**, the share of each vertex's variance that can be explained.")
    halves = _simulated()
    _paint(
        values={hemi: half.ceiling for hemi, half in halves.items()},
        vertices={hemi: half.vertices for hemi, half in halves.items()},
        rois={hemi: half.rois for hemi, half in halves.items()},
        source=f"Simulated · {START.dataset} {START.subject} · noise ceiling",
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
        colour_map="plasma",
        view=START_VIEW,
        outlined=next(iter(DATASETS[START.dataset].roi_names().values())),
        **more,
    )
    brain_view(brain, key="home_brain", height=360)
    st.caption("Outlined: the early visual areas.")


def _start() -> Job | None:
    return jobs().submit(study, START, key=job_key(START))


def _ended(job: Job) -> None:
    if job.state == "failed":
        st.error(f"The first fit failed: {plain(job.error)}")
    else:
        st.info("The first fit was cancelled." if job.state == "cancelled" else "The first fit is no longer in the cache.")
    if may_change():
        st.button("Fit it", key="home_fit", on_click=_start)


@st.fragment(run_every=SECONDS_BETWEEN_TICKS)
def _watch() -> None:
    """Progress of the first fit; the page runs again when it is there or the job has ended."""
    job = jobs().get(job_key(START))
    if job is None or job.finished or find_result(START) is not None:
        st.rerun()
    st.progress(job.fraction, f"**{standing(job)}** · {plain(job.text)}")


def findings() -> None:
    """List available data sets, weights and hardware, and where to put missing ones. Last on the page: torch is slow to wake."""
    st.subheader("What was found here", anchor=False)
    data, rest = st.columns([5, 3], gap="medium")
    with data:
        st.markdown("**Data sets**")
        for title, here, where in _data_sets():
            mark = ":green[:material/check_circle:]" if here else ":gray[:material/radio_button_unchecked:]"
            st.markdown(f"{mark} **{plain(title)}**  \n:small[{plain(where)}]")
        st.caption(f"Data sets are looked for in `{data_dir()}` (set `ENCODING_DATA_DIR` for another folder). The Data page examines them.")
    with rest:
        st.markdown("**Pretrained weights**")
        st.markdown(_weights())
        st.markdown("**Machine**")
        st.markdown(str(_machine()))
        st.caption(f"Results are kept in `{store().root}`.")


@st.cache_data(ttl=SECONDS_BETWEEN_LOOKS, show_spinner=False)
def _data_sets() -> list[tuple[str, bool, str]]:
    """Title of each data set, whether any subject of it can be opened, and where it lies or would be put; those that are here first."""
    data_sets = [(known.title, bool(known.subjects()), known.where()) for known in DATASETS.values()]
    return sorted(data_sets, key=lambda each: not each[1])


@st.cache_data(ttl=SECONDS_BETWEEN_LOOKS, show_spinner=False)
def _weights() -> str:
    """Which pretrained weights are here, in a sentence or two."""
    files = every_file()
    here = [file.network for file in files if file.is_here]
    free = [name for name in BACKBONES if not BACKBONES[name].needs_weights]
    named = ", ".join(here[:6]) + (" and others" if len(here) > 6 else "")
    words = f"Here are those of {len(here)} of {len(files)} networks: {named}." if here else f"None of {len(files)} networks' are here yet."
    return f"{words} The Weights page fetches them. {' and '.join(free)} need none, nor does any untrained network."


@st.cache_resource(ttl=SECONDS_BETWEEN_LOOKS, show_spinner="Looking at this machine …")
def _machine() -> Machine:
    return machine(store().root)
