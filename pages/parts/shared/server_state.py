"""State shared by all sessions of the server: the Store, the jobs and opened fits; immutable once created."""

from __future__ import annotations

import gc
import threading
from contextlib import suppress

import numpy as np
import pandas as pd
import streamlit as st

from encoding import BACKBONES, DATASETS, FitSpec, Result, Store
from encoding.analysis.bootstrap import intervals_key
from encoding.analysis.learning_curve import curve_key
from encoding.datasets import Subject
from encoding.fits.plan import Plan, plan
from encoding.fits.resources import Estimate, preflight
from encoding.fits.training_data import is_complete
from encoding.jobs import Jobs
from encoding.runs.table import open_run
from encoding.runtime.device import choose_device
from encoding.storage.keys import digest, stage_of
from pages.parts.shared.access import Guarded, may_change

SECONDS_BETWEEN_CHECKS = 5  # of a subject's files, for changes
SECONDS_BETWEEN_LOOKS = 30  # at which data sets and weights are here


@st.cache_resource
def store() -> Store:
    """The Store of this server."""
    return Store()


@st.cache_resource
def jobs() -> Guarded:
    """The background jobs of this server, its worker already importing what the first fit needs; none start on a read-only one."""
    made = Jobs(store().root)
    if may_change():
        threading.Thread(target=_start, args=(made,), daemon=True).start()
    return Guarded(made)


def _start(made: Jobs) -> None:
    """Start the workers in the background: finished fits are shown whether or not a scheduler answers, and the next job tries again."""
    with suppress(OSError, RuntimeError):
        made.start()


@st.cache_resource
def settle(when: str) -> None:
    """Keep what is loaded by now out of garbage collection, once for each ``when``.

    Streamlit collects all garbage after every run; looking through the modules of pandas, plotly and Dask again each time took a
    quarter of a second, twice a second while a job's progress is watched.
    """
    gc.freeze()


class _NotReady(Exception):
    """A job has to read a subject's files first. An error, as those are not cached."""


def opened(dataset: str, subject: str) -> Subject | None:
    """A subject, which all pages and sessions share; None while a job has to simulate it or read its files first.

    Its files are looked at every :data:`SECONDS_BETWEEN_CHECKS`, not at each rerun: there may be ten thousand.
    """
    try:
        return _opened(dataset, subject)
    except _NotReady:
        return None


def has_repeats(dataset: str, subject: str) -> bool:
    """Whether some stimulus of a subject has several rows; false while it cannot be opened."""
    try:
        found = opened(dataset, subject)
    except (ValueError, LookupError, OSError):  # shown where the fit is planned
        return False
    return found is not None and len(np.unique(found.stimulus_of_row)) < found.n_stimuli


@st.cache_resource(ttl=SECONDS_BETWEEN_CHECKS, max_entries=8, show_spinner=False)
def _opened(dataset: str, subject: str) -> Subject:
    known = DATASETS[dataset]
    if not known.is_ready(subject, store()):
        raise _NotReady
    return known.open(subject, store())


def planned(spec: FitSpec) -> Plan | None:
    """The checked plan of a fit; None while a subject has to be simulated or weights to be fetched, which is a job's work."""
    subject = opened(spec.dataset, spec.subject)
    return None if subject is None or not weights_are_here(spec) else _plan(spec, subject_key(subject), subject)


def weights_are_here(spec: FitSpec) -> bool:
    """Whether the backbone's weights need no download."""
    return BACKBONES[spec.backbone].is_ready(spec.backbone, spec.weights)


@st.cache_resource(ttl=SECONDS_BETWEEN_LOOKS, max_entries=64, show_spinner="Looking at the data …")
def _plan(spec: FitSpec, data_key: str, _subject: Subject) -> Plan:
    return plan(spec, store(), subject=_subject)


@st.cache_resource(max_entries=16)
def _result(key: str, annotations: str, spec: FitSpec, _plan: Plan) -> Result:
    return Result(_plan, store())


def needs(spec: FitSpec) -> Estimate | None:
    """What a fit takes, where that can be known before anything is simulated or fetched."""
    found = planned(spec)
    return None if found is None else _needs(spec, found.key, found)


@st.cache_data(ttl=SECONDS_BETWEEN_LOOKS, max_entries=64, show_spinner="Estimating what this takes …")
def _needs(spec: FitSpec, key: str, _plan: Plan) -> Estimate:
    return preflight(_plan, store(), choose_device("auto"))


def find_result(spec: FitSpec) -> Result | None:
    """The finished fit of a spec, without fitting; None where there is none. Raises whatever is wrong with the spec."""
    found = planned(spec)
    if found is None or not is_complete(found, store()):
        return None
    return _result(found.key, found.subject.annotations_key, spec, found)


@st.cache_resource(max_entries=16, show_spinner="Opening …")
def _opened_run(key: str, annotations: str) -> Result:
    return open_run(key, store())


def forget_opened_runs() -> None:
    """Open fits anew the next time: some were removed."""
    _opened_run.clear()


def opened_run(key: str) -> Result | str:
    """A finished fit, or why it cannot be opened now."""
    try:
        if stage_of(key) == "fit":
            spec = FitSpec.from_dict(dict(store().provenance(key)["made_from"]["spec"]))
            found = planned(spec)
            if found is None:  # opening it here would take long
                what = f"{spec.dataset} {spec.subject}, or the weights of {spec.backbone}"
                return f"{what}, are not on this machine now. Open it in Explore first."
            return _opened_run(key, found.subject.annotations_key)
        return _opened_run(key, "")
    except (LookupError, ValueError, OSError, TypeError) as wrong:
        return str(wrong)


def subject_key(subject: Subject) -> str:
    """Names every byte of a subject that a page may show: responses, stimuli, ROIs, places, ceilings and labels."""
    found = {"responses": dict(subject.fingerprints), "stimuli": subject.stimuli.fingerprint, "annotations": subject.annotations_key}
    return digest("subject", 1, dataset=subject.dataset, name=subject.name, **found)


def display_key(result: Result) -> str:
    """Names what tables and figures of a fit show: its numbers, its ROIs with their masks, places and ceilings."""
    return digest("display", 1, fit=result.key, rois=list(result.selected_rois), annotations=result.plan.subject.annotations_key)


def roi_table(result: Result) -> pd.DataFrame:
    """:meth:`Result.rois`, computed once for all sessions."""
    return _roi_table(display_key(result), result)


@st.cache_data(max_entries=64, show_spinner=False)
def _roi_table(key: str, _result: Result) -> pd.DataFrame:
    return _result.rois()


def stored_curve(result: Result) -> dict[str, np.ndarray] | None:
    """The fit's learning curve, where it was computed."""
    return store().get(curve_key(result.key, result.plan.subject.groups))


def stored_intervals(result: Result) -> dict[str, np.ndarray] | None:
    """The bootstrap intervals of the fit's ROIs, where they were computed."""
    return store().get(intervals_key(result))


def job_key(spec: FitSpec) -> str:
    """The name of the job that does all of a spec's work."""
    return digest("study", 1, spec=spec.for_digest())
