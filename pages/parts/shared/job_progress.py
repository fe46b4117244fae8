"""Find or start a fit: Fit button, progress of its job, Cancel, errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from encoding import READOUTS, FitSpec, Result, plots
from encoding.analysis.layer_sweep import Sweep
from encoding.fits.resources import Estimate
from encoding.jobs import Job
from encoding.jobs.experiments import ExperimentState
from encoding.jobs.tasks import STUDY_STAGES, study
from encoding.runs.labels import model_label, network_label, readout_title, split_label
from encoding.runtime.durations import duration
from encoding.runtime.wording import counted
from pages.parts.shared.access import change_button, may_cancel, may_change
from pages.parts.shared.chart import chart
from pages.parts.shared.fragment import fragment
from pages.parts.shared.link_notes import note, taken
from pages.parts.shared.links import view
from pages.parts.shared.server_state import (
    find_result,
    job_key,
    jobs,
    needs,
    planned,
    settle,
    weights_are_here,
)
from pages.parts.shared.start import START
from pages.parts.shared.text import plain

SECONDS_BETWEEN_TICKS = 1.0
SECONDS_BY_LINK = 10.0  # that a link may ask a server for
HOW_LIVE = (
    "The loss after each epoch, over the training rows and over those that are held out of training. While both fall the network still "
    "learns; where only the training loss falls it learns noise by heart. Point at an epoch for its learning rate."
)
LEAST_EPOCHS, LOSSES_HEIGHT = 2, 230  # of live curves; px


def fit_or_find(spec: FitSpec) -> Result | None:
    """Return the finished fit of a spec; else show its progress, its error or the Fit button and return None."""
    job = jobs().get(job_key(spec))  # first: one that ends meanwhile has left what is looked for
    try:
        result = find_result(spec)
    except (LookupError, ValueError, OSError) as wrong:
        st.error(plain(wrong))
        return None
    if result is None and job is None and spec == START and may_change():
        job = submit_fit(spec)
    running = job is not None and not job.finished
    needed = needs(spec) if result is None and not running else None
    refused = needed is not None and bool(needed.problems)
    with st.sidebar:
        change_button(
            "Fit",
            key="fit",
            type="primary",
            width="stretch",
            on_click=submit_fit,
            args=(spec,),
            disabled=result is not None or running or refused,
        )
        if result is not None:
            st.caption("Already fitted: shown from the cache.")
    if result is None:
        _show_job(spec, job, needed)
    return result


def submit_fit(spec: FitSpec) -> Job | None:
    """Start the job of a fit; None where no scheduler answers."""
    return jobs().submit(study, spec, key=job_key(spec), planned=planned(spec))


def asked_to_start() -> bool:
    """Whether the page's link asks to start what is not there (``start=true``); it does so once."""
    asked = st.query_params.pop("start", None)
    if asked == "true":
        taken("start")
    elif asked is not None:
        note("start", f"**start** cannot be {plain(asked)} here, only true")
    return asked == "true"


def is_short(specs: Sequence[FitSpec]) -> bool:
    """Whether fits can be started and take so little together that a link may start them."""
    needed = [needs(spec) for spec in specs]
    known = may_change() and all(each is not None and not each.problems for each in needed)
    return known and sum(each.seconds for each in needed) <= SECONDS_BY_LINK


def _show_job(spec: FitSpec, job: Job | None, needed: Estimate | None) -> None:
    if needed is not None and needed.problems:
        st.error(plain(" ".join(needed.problems)))
        return
    if job is None and not may_change():
        st.info("Nothing was fitted yet, and this server only shows what is there.")
    elif job is None:
        fetch = (
            ""
            if weights_are_here(spec)
            else f" It first downloads the pretrained weights of {plain(spec.backbone)}, which are not on this machine."
        )
        takes = "" if needed is None else f" It takes {needed}."
        st.info(f"Not fitted yet. Press **Fit** in the sidebar: the work runs in the background and is kept.{takes}{fetch}")
    elif not job.finished:
        settle("a job is watched")
        watch_fit(spec)
    elif job.state == "failed":
        st.error(f"The fit failed: {plain(job.error)}")
        with st.expander("Log"):
            st.code("\n".join(job.log), language=None)
    elif job.state == "cancelled":
        st.info("Cancelled. Stages that were finished are kept; **Fit** goes on from there.")
    else:
        st.warning(ended_without("the fit", again="Press **Fit** to compute it again."))


def say_no_test_score(result: Result) -> None:
    """Explain a fit of the split ``all``, and lead to where it is of use."""
    st.info("This fit trains on every image, for submissions, so there is no test score and nothing to show of it here.")
    st.page_link(view("predict"), label="Its predictions of new images", query_params={"fit": result.key})


def ended_without(what: str, *, again: str) -> str:
    """Message for a finished job whose result is missing: it was removed since, or the data changed."""
    why = "it was removed since, its files have changed, or a worker wrote to another folder or runs another version of the project"
    return f"The job is done, but {what} is not here: {why}. {again}"


@fragment(run_every=SECONDS_BETWEEN_TICKS)
def watch_fit(spec: FitSpec) -> None:
    """Progress of a job; the page runs again when its result is there or the job has ended."""
    key = job_key(spec)
    job = jobs().get(key)
    if job is None or job.finished or find_result(spec) is not None:
        st.rerun()
    st.markdown(stages_text(spec, job))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.progress(job.fraction, f"**{standing(job)}** · {plain(job.text)}")
        cancel_button(job, key="cancel")
    live_losses(job)
    st.caption("Other pages and tabs see this same job. Closing the browser does not stop it.")


def stages_text(spec: FitSpec, job: Job) -> str:
    """The stages of a fit as Markdown: those that are over, the one under way, and those to come."""
    without = () if READOUTS[spec.readout].uses_components else ("features", "components")
    names = [name for name in STUDY_STAGES if name not in without]
    now = names.index(job.stage) if job.stage in names else -1
    marks = [f"✓ {name}" if i < now else f"**● {name}**" if i == now else f":gray[○ {name}]" for i, name in enumerate(names)]
    return f":small[{'&emsp;'.join(marks)}]"


def live_losses(job: Job) -> None:
    """Show the loss after each epoch of the network that a job trains; nothing where it trains none."""
    if len(job.epochs) < LEAST_EPOCHS:
        return
    of = {name: [each[name] for each in job.epochs] for name in ("train_loss", "validation_loss", "learning_rate")}
    figure = plots.epoch_losses(of["train_loss"], of["validation_loss"], learning_rates=of["learning_rate"], height=LOSSES_HEIGHT)
    alt = f"training and validation loss after each of {len(job.epochs)} epochs, as the network is trained"
    chart(figure, "live_losses", alt=alt, how=HOW_LIVE, source=plain(job_title(job.spec)))


def follow(key: str, *, cancel: str = "cancel", missing: str = "") -> None:
    """Show the progress of a job that leaves no fit, or how it ended; nothing where it was never started.

    Parameters
    ----------
    cancel : key of its Cancel button.
    missing : what the job should have left, where the page did not find it: a job that is done without it says so.
    """
    job = jobs().get(key)
    if job is None:
        return
    if not job.finished:
        settle("a job is watched")
        _follow(key, cancel)
    elif job.state == "failed":
        st.error(plain(job.error))
    elif job.state == "done" and missing:
        st.warning(ended_without(missing, again="Start it again."))
    else:
        (st.success if job.state == "done" else st.info)(job.state.capitalize() + ".")


@fragment(run_every=SECONDS_BETWEEN_TICKS)
def _follow(key: str, cancel: str) -> None:
    job = jobs().get(key)
    if job is None or job.finished:
        st.rerun()
    st.progress(job.fraction, f"**{standing(job)}** · {plain(job.text)}")
    cancel_button(job, key=cancel)


def cancel_button(work: Job | ExperimentState, *, key: str, place: Any = st, **more: Any) -> None:
    """Button in a place that cancels a job, or by ``on_click`` an experiment; on a shared server for its owner, and others read why."""
    if not may_change():
        return
    if isinstance(work, Job):
        more = {"on_click": jobs().cancel, "args": (work.key,)} | more
    allowed = may_cancel(work.owner)
    why = None if allowed else "Somebody else started this, and only they can cancel it."
    place.button("Cancel", key=key, disabled=not allowed, help=why, **more)


def standing(job: Job) -> str:
    """Describe a job's place in the queue, or its progress and remaining time."""
    if job.state == "queued":
        behind = f"; now running: {', '.join(map(job_title, job.running))}" if job.running else ""
        return f"Waiting, place {job.position} in the queue{behind}" if job.position else "Waiting"
    left = "" if job.seconds_left is None else f", about {duration(job.seconds_left)} left"
    return f"{job.fraction:.0%}, {duration(job.seconds)} so far{left}"


def job_title(spec: Any) -> str:
    """Title of a job from its spec, as plain text for Markdown."""
    if isinstance(spec, FitSpec):
        text = f"Fit {_in_short(spec)}"
    elif isinstance(spec, Sweep):
        layers = f"{counted(len(spec.cells), 'layer')} of {', '.join(map(network_label, spec.backbones))}"
        text = f"Sweep: {_in_short(spec.spec, layers)}"
    elif isinstance(getattr(spec, "spec", None), FitSpec):
        kind = {"SearchRequest": "Search", "CurveRequest": "Learning curve"}.get(type(spec).__name__, type(spec).__name__)
        text = f"{kind}: {_in_short(spec.spec)}"
    else:
        text = str(spec)
    return plain(text[:200])


def _in_short(spec: FitSpec, model: str = "") -> str:
    readout = " ".join([readout_title(spec.readout), *(f"{name}={value}" for name, value in spec.options)])
    return f"{spec.dataset} {spec.subject}, {model or model_label(spec)}, {spec.components_label}, {readout}, {split_label(spec.split)}"


def complete(what: str, key: str, start: Callable[[], Any], is_there: Callable[[], bool], *, button: str = "") -> None:
    """Start the job of a part of a fit that is missing, follow it, and rerun the page when the part is there.

    It is asked for once: a job that is done without it says so and offers a button, as another might end the same way.

    Parameters
    ----------
    what : the part, as "learning curve".
    key : of the job.
    start : submits it.
    is_there : whether the part is stored.
    button : where it takes long, the label of the button that starts it; empty to start by itself.
    """
    if is_there():
        return
    job = jobs().get(key)
    if job is None and may_change() and not button:
        job = start()
    if job is not None and not job.finished:
        _await(what, key, is_there)
        return
    if job is None:
        if not button or not may_change():
            st.caption(f"The {what} of this fit was not computed" + ("." if may_change() else ", and this server starts nothing."))
            return
        st.caption(f"The {what} of this fit was not computed yet.")
    elif job.state == "done":
        st.warning(ended_without(f"the {what} of this fit", again=""))
    else:
        st.warning(f"The {what} of this fit was not computed: {plain(job.error or job.state)}.")
    change_button(button or "Compute it", key=f"complete_{what}", on_click=start)


@fragment(run_every=SECONDS_BETWEEN_TICKS)
def _await(what: str, key: str, is_there: Callable[[], bool]) -> None:
    job = jobs().get(key)
    if is_there() or job is None or job.finished:
        st.rerun()
    st.progress(job.fraction, f"{what.capitalize()} on the way · {standing(job)} · {plain(job.text)}")
    cancel_button(job, key=f"cancel_{what}")
