"""Controls of the Layers page: layers of the sweep, its start, progress and results."""

from __future__ import annotations

import streamlit as st

from encoding import BACKBONES
from encoding.analysis.layer_sweep import Cell, Sweep, SweepResult, swept
from encoding.datasets import Subject
from encoding.experiments.plans import Plans
from encoding.experiments.sweep import plans
from encoding.fits.plan import Plan
from encoding.jobs import Job
from encoding.jobs.tasks import sweep_layers
from encoding.runs.labels import network_label
from encoding.runtime.wording import counted
from pages.parts.shared.absent_data import absent_data
from pages.parts.shared.access import change_button, may_change
from pages.parts.shared.fit_controls import DataNotHere, fit_controls, forget_controls
from pages.parts.shared.fragment import fragment
from pages.parts.shared.job_progress import (
    SECONDS_BETWEEN_TICKS,
    asked_to_start,
    cancel_button,
    ended_without,
    is_short,
    standing,
)
from pages.parts.shared.link_notes import stop
from pages.parts.shared.linked import choose_several, forget
from pages.parts.shared.navigation import has_arrived
from pages.parts.shared.network_controls import weights_control
from pages.parts.shared.server_state import (
    SECONDS_BETWEEN_LOOKS,
    jobs,
    opened,
    planned,
    settle,
    store,
    subject_key,
    weights_are_here,
)
from pages.parts.shared.text import plain

START_BACKBONES = ("pixels", "gabor")  # what a bare link means: nothing to download, done in seconds


def sweep_controls() -> Sweep | None:
    """Choose the sweep in the sidebar and URL; None, with an error, where it cannot be read."""
    chosen: dict[str, list[str]] = {}
    if has_arrived() and st.query_params:
        forget_controls()
        forget(("backbones", "layers"))

    def network() -> tuple[str, str, tuple[str, ...]]:
        chosen["backbones"], chosen["layers"] = _networks()
        if not chosen["backbones"]:
            st.info("Choose a network to go on.")
            stop()
        learns = [name for name in chosen["backbones"] if name in BACKBONES and BACKBONES[name].needs_weights]
        return chosen["backbones"][0], weights_control() if learns else "pretrained", ("any",)

    try:
        spec = fit_controls(network)
        return Sweep.read(spec, chosen["backbones"], chosen["layers"])
    except DataNotHere as missing:
        absent_data(missing.dataset)
    except (LookupError, ValueError) as wrong:
        st.error(plain(wrong))
    return None


def _networks() -> tuple[list[str], list[str]]:
    backbones = choose_several(
        "Networks",
        "backbones",
        list(BACKBONES),
        START_BACKBONES,
        labels=network_label,
        new=True,
        on_change=_forget_layers,
        placeholder="Choose a network",
        help="Networks, or filter banks, whose layers are compared.",
    )
    known = [f"{name} {layer}" for name in backbones if name in BACKBONES for layer in BACKBONES[name].layers(name)]
    layers = choose_several(
        "Layers",
        "layers",
        known,
        (),
        new=True,
        placeholder="Every layer",
        help="None chosen means every layer that a network lists. Type the name of any other module.",
    )
    return backbones, layers


def _forget_layers() -> None:
    """Layers of a backbone that was taken away are no longer asked for."""
    kept = st.session_state["backbones"]
    st.session_state["layers"] = [name for name in st.session_state.get("layers", []) if " " not in name or name.split()[0] in kept]


@st.cache_resource(ttl=SECONDS_BETWEEN_LOOKS, max_entries=16, show_spinner="Looking at the data …")
def _plans(sweep: Sweep, data_key: str, _subject: Subject) -> dict[Cell, Plan]:
    return plans(sweep, Plans(store(), subjects={(sweep.spec.dataset, sweep.spec.subject): _subject}))


def find_swept(sweep: Sweep) -> SweepResult:
    """Collect the finished fits of a sweep without computing; raises whatever is wrong with the sweep."""
    first = sweep.spec
    subject = opened(first.dataset, first.subject)
    ready = subject is not None and all(map(weights_are_here, sweep.specs().values()))
    return swept(sweep, _plans(sweep, subject_key(subject), subject), store()) if ready else SweepResult(sweep, {}, store())


def run_or_find(sweep: Sweep) -> SweepResult | None:
    """Return the finished fits of the sweep and show its progress, or the button that starts it; None after an error."""
    asked = asked_to_start()
    try:
        sweep_result = find_swept(sweep)
    except (LookupError, ValueError, OSError) as wrong:
        st.error(plain(wrong))
        return None
    job = jobs().get(sweep.job_key)
    starts = asked and job is None and len(sweep_result.cells) < len(sweep.cells)
    if starts and is_short([spec for cell, spec in sweep.specs().items() if cell not in sweep_result.cells]):
        _submit(sweep)
        job = jobs().get(sweep.job_key)
    running = job is not None and not job.finished
    with st.sidebar:
        change_button(
            "Fitted" if sweep_result.done else "Fitting …" if running else _label(sweep_result),
            key="start_sweep",
            type="primary",
            width="stretch",
            on_click=_submit,
            args=(sweep,),
            disabled=running or sweep_result.done,
        )
        if sweep_result.done:
            st.caption("Every layer is fitted: shown from the cache.")
    _standing(sweep, sweep_result, job)
    return sweep_result


def _label(sweep_result: SweepResult) -> str:
    if len(sweep_result.cells) == len(sweep_result.sweep.cells):
        return "Compute intervals"
    return "Go on" if sweep_result.cells else "Start sweep"


def _submit(sweep: Sweep) -> None:
    jobs().submit(sweep_layers, sweep, key=sweep.job_key, planned=planned(next(iter(sweep.specs().values()))))


def _standing(sweep: Sweep, sweep_result: SweepResult, job: Job | None) -> None:
    """How the sweep stands, where it is not done."""
    n_left, n_bare = len(sweep.cells) - len(sweep_result.cells), len(sweep_result.without_intervals)
    if job is not None and not job.finished:
        settle("a job is watched")
        _watch(sweep, len(sweep_result.cells), n_bare)
    elif job is not None and job.state == "failed" and not sweep_result.done:
        st.error(f"The sweep failed: {plain(job.error)}")
        with st.expander("Log"):
            st.code("\n".join(job.log), language=None)
    elif not sweep_result.done:
        ended = {"cancelled": "Cancelled. What was finished is kept.", "done": ended_without("a part of what was asked for", again="")}
        before = f"{ended[job.state].strip()} " if job is not None else ""
        fetched = [name for name in sweep.backbones if not weights_are_here(sweep.spec_of(sweep.of(name)[0]))]
        fetch = f" The pretrained weights of {', '.join(fetched)} are downloaded first." if fetched else ""
        fill = f", and cells fill as layers are finished.{fetch}" if n_left else "."
        start = f"The work runs in the background{fill}" if may_change() else "This server only shows what is there."
        layers = counted(len(sweep.cells), "layer")
        left = [f"{n_left} of {layers} {'is' if n_left == 1 else 'are'} not fitted yet."] if n_left else []
        left += [f"{n_bare} of {layers} {'has' if n_bare == 1 else 'have'} no intervals yet."] if n_bare else []
        with st.container(border=True, horizontal=True, vertical_alignment="center", key="sweep_strip"):
            st.markdown(f"{before}**{' '.join(left)}** {start}", width="stretch")
            change_button(_label(sweep_result), key="sweep_here", type="primary", on_click=_submit, args=(sweep,))


@fragment(run_every=SECONDS_BETWEEN_TICKS)
def _watch(sweep: Sweep, n_shown: int, n_bare: int) -> None:
    """Progress of the sweep; the page runs again whenever another layer, or its intervals, are finished."""
    job, found = jobs().get(sweep.job_key), find_swept(sweep)
    if job is None or job.finished or (len(found.cells), len(found.without_intervals)) != (n_shown, n_bare):
        st.rerun()
    st.progress(job.fraction, f"**{standing(job)}** · {n_shown} of {counted(len(sweep.cells), 'layer')} finished · {plain(job.text)}")
    cancel_button(job, key="cancel_sweep")
