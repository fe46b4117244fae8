"""What Explore shows for some settings: their finished fit, or the last one dimmed under a strip with the new fit's button or progress."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from encoding import FitSpec, Result
from encoding.fits.resources import Estimate
from encoding.jobs import Job
from encoding.jobs.tasks import open_subject
from encoding.runtime.durations import duration
from pages.parts.shared.absent_data import absent_data
from pages.parts.shared.access import change_button, may_change
from pages.parts.shared.badges import badge_of_files
from pages.parts.shared.fit_controls import DataNotHere, control_values, fit_controls, forget_controls, return_to
from pages.parts.shared.job_progress import asked_to_start, follow, is_short, submit_fit, watch_fit
from pages.parts.shared.navigation import has_arrived
from pages.parts.shared.server_state import find_result, job_key, jobs, needs, opened, opening_key, settle, weights_are_here
from pages.parts.shared.start import START
from pages.parts.shared.text import plain


@dataclass(frozen=True)
class Shown:
    """A fit on the page.

    Attributes
    ----------
    result : the fit.
    current : whether it is the one that the controls describe; else the last that was shown, drawn dimmed.
    before : the fit that was shown before it, of the same subject; None without one.
    """

    result: Result
    current: bool = True
    before: Result | None = None


def choose_fit() -> FitSpec | None:
    """Draw the controls and return the spec that they describe; None, with an error, where there is none."""
    if has_arrived() and st.query_params:
        forget_controls()
    try:
        return fit_controls()
    except DataNotHere as missing:
        absent_data(missing.dataset)
    except (LookupError, ValueError) as wrong:
        st.error(plain(wrong))
    return None


def find_shown(spec: FitSpec | None) -> Shown | None:
    """Find the fit to show, and draw the strip above it and the Fit buttons; None where nothing was shown yet."""
    last, asked = st.session_state.get("_explored"), asked_to_start()
    if spec is None:
        return _stale(last)
    job = jobs().get(job_key(spec))  # first: one that ends meanwhile has left what is looked for
    try:
        result = find_result(spec)
    except (LookupError, ValueError, OSError) as wrong:
        st.error(plain(wrong))
        return _stale(last)
    starts = result is None and job is None and ((spec == START and may_change()) or (asked and is_short([spec])))
    if starts and (job := submit_fit(spec)) is not None:
        st.rerun()  # so that every part of the page knows of the job
    needed = needs(spec) if result is None and not _runs(job) else None
    _fit_bar(spec, result, job, needed)
    if result is None:
        _strip(spec, job, needed, last)
        return _stale(last)
    if last is None or last["spec"] != spec:
        st.session_state["_explored_before"] = last and last["spec"]
    st.session_state["_explored"] = {"spec": spec, "controls": control_values()}
    return Shown(result, before=_of_same_subject(st.session_state.get("_explored_before"), spec))


def _stale(last: dict | None) -> Shown | None:
    """The last fit that was shown, if it is still there."""
    result = None if last is None else _found(last["spec"])
    return None if result is None else Shown(result, current=False)


def _of_same_subject(before: FitSpec | None, spec: FitSpec) -> Result | None:
    same = before is not None and before != spec and (before.dataset, before.subject) == (spec.dataset, spec.subject)
    result = _found(before) if same else None
    return result if result is not None and result.plan.has_test else None


def _found(spec: FitSpec) -> Result | None:
    try:
        return find_result(spec)
    except (LookupError, ValueError, OSError):  # its files were removed or changed since
        return None


def _runs(job: Job | None) -> bool:
    return job is not None and not job.finished


def _label(needed: Estimate | None) -> str:
    return "Fit" if needed is None else f"Fit · about {duration(max(1.0, needed.seconds))}"


def _fit_bar(spec: FitSpec, result: Result | None, job: Job | None, needed: Estimate | None) -> None:
    """The Fit button at the foot of the sidebar, in sight however far the controls are scrolled."""
    with st.sidebar.container(key="fit_bar"):
        change_button(
            "Fitted" if result is not None else "Fitting …" if _runs(job) else _label(needed),
            key="fit",
            type="primary",
            width="stretch",
            on_click=submit_fit,
            args=(spec,),
            disabled=result is not None or _runs(job) or (needed is not None and bool(needed.problems)),
        )


def _strip(spec: FitSpec, job: Job | None, needed: Estimate | None, last: dict | None) -> None:
    """How a fit that is not there stands, with its button; without an earlier result the whole of the page."""
    with st.container(border=True, key="strip" if last else "not_fitted", gap="small"):
        is_below = last is not None and (last["spec"].dataset, last["spec"].subject) == (spec.dataset, spec.subject)
        if not is_below and (badge := badge_of_files(spec.dataset, spec.subject)):
            st.markdown(badge)
        if needed is not None and needed.problems:
            st.error(plain(" ".join(needed.problems)))
        elif _runs(job):
            settle("a job is watched")
            watch_fit(spec)
        elif not may_change():
            st.info("Not fitted yet, and this server only shows what is there.")
        else:
            _offer(spec, job, needed, last)


def _offer(spec: FitSpec, job: Job | None, needed: Estimate | None, last: dict | None) -> None:
    if job is not None and job.state == "failed":
        st.error(f"The fit failed: {plain(job.error)}")
        with st.expander("Log"):
            st.code("\n".join(job.log), language=None)
    elif job is not None and job.state == "cancelled":
        st.info("Cancelled. Stages that were finished are kept; **Fit** goes on from there.")
    elif job is not None:
        st.warning(
            "The job is done, but the fit is not here: it was removed since, its files have changed, or a worker wrote to another folder "
            "or runs another version of the project. Press **Fit** to compute it again."
        )
    text = "Settings changed: **not fitted yet**. Below is the last result." if last else "**Not fitted yet.**"
    if not weights_are_here(spec):
        text += f" Fit first downloads the pretrained weights of {plain(spec.backbone)}, which are not on this machine."
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(text, width="stretch")
        st.button(_label(needed), key="fit_here", type="primary", on_click=submit_fit, args=(spec,), help=needed and f"It takes {needed}.")
        if last:
            st.button("Undo", key="undo", on_click=return_to, args=(last["controls"],), icon=":material/undo:")
    if needed is not None and not last:
        st.caption(f"It takes {needed}. The work runs in the background and is kept.")
    if needed is None and opened(spec.dataset, spec.subject) is None:
        _offer_reading(spec)


def _offer_reading(spec: FitSpec) -> None:
    """Offer to read the files of a subject that was never opened, as only then it is known how long a fit takes."""
    key = opening_key(spec.dataset, spec.subject)
    job = jobs().get(key)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        why = "This subject was not opened before, or its files have changed"
        st.caption(f"{why}: how long a fit takes is known once they were read.", width="content")
        if job is None or job.finished:
            start = {"on_click": lambda: jobs().submit(open_subject, (spec.dataset, spec.subject), key=key)}
            change_button("Read them now", key="read_files", type="tertiary", **start)
    follow(key, cancel="cancel_reading", missing="what it read of this subject")
