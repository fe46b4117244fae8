"""State shared by all sessions of the server: the Store, the jobs and opened fits; immutable once created."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from encoding import BACKBONES, DATASETS, FitSpec, Result, Store
from encoding.analysis.bootstrap import intervals_key
from encoding.analysis.learning_curve import curve_key
from encoding.datasets import Subject
from encoding.fits.open import stored_origin
from encoding.fits.plan import Plan, plan
from encoding.fits.resources import Estimate, preflight
from encoding.fits.training_data import is_complete
from encoding.jobs import Jobs
from encoding.jobs.experiments import Experiments
from encoding.runs.table import open_run
from encoding.runtime.device import choose_device
from encoding.storage.keys import digest, stage_of
from pages.parts.shared.access import Guarded, GuardedExperiments, may_change

SECONDS_BETWEEN_CHECKS = 5  # of a subject's files, for changes
SECONDS_UNTIL_A_LOOK = 1.0  # at them, from the run that it follows
SECONDS_BETWEEN_LOOKS = 30  # at which data sets and weights are here


@st.cache_resource
def store() -> Store:
    """Open the Store of this server."""
    return Store()


@st.cache_resource
def jobs() -> Guarded:
    """Background jobs of this server, whose worker imports the libraries in advance; none start on a read-only one."""
    made = Jobs(store().root)
    if may_change():
        threading.Thread(target=_start, args=(made,), daemon=True).start()
    return Guarded(made)


@st.cache_resource
def experiments() -> GuardedExperiments:
    """Experiments of this server, whose tasks run on its workers."""
    return GuardedExperiments(Experiments(store(), jobs().carry_out))


def _start(made: Jobs) -> None:
    """Start the workers in the background: finished fits are shown whether or not a scheduler answers, and the next job tries again."""
    with suppress(OSError, RuntimeError):
        made.start()


@st.cache_resource
def settle(when: str) -> None:
    """Exclude loaded objects from garbage collection, once for each ``when``.

    Streamlit collects all garbage after every run; looking through the modules of pandas, plotly and Dask again each time took a
    quarter of a second, twice a second while a job's progress is watched.
    """
    gc.freeze()


class _NotReady(Exception):
    """A job has to read a subject's files first. An error, as those are not cached."""


def opened(dataset: str, subject: str) -> Subject | None:
    """Open a subject, shared by all pages and sessions; None while a job has to simulate or convert it first.

    A change of a file that is :meth:`watched <encoding.datasets.Dataset.watched>` is noticed at once. Each single image is looked at
    every :data:`SECONDS_BETWEEN_CHECKS` in the background, as there may be ten thousand: a change counts from the next run on.
    """
    known = DATASETS[dataset]
    named = (dataset, subject, tuple(map(_state, known.watched(subject) if subject in known.subjects() else ())))
    try:
        opening = _opened(*named)
        if opening.changed:
            _opened.clear(*named)
            opening = _opened(*named)
    except _NotReady:
        return None
    opening.look_again()
    return opening.subject


def _state(path: Path) -> tuple[int, ...]:
    """Modification time, change time, size and inode of a file or folder; empty where it is missing."""
    try:
        about = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino


def has_repeats(dataset: str, subject: str) -> bool:
    """Whether some stimulus of a subject has several rows; false while it cannot be opened."""
    try:
        subject_opened = opened(dataset, subject)
    except (ValueError, LookupError, OSError):  # shown where the fit is planned
        return False
    return subject_opened is not None and len(np.unique(subject_opened.stimulus_of_row)) < subject_opened.n_stimuli


def subject_runs(dataset: str, subject: str) -> tuple[int, float | None]:
    """Number of runs whose samples are a subject's rows, and seconds between samples; 0 where rows are trials or it cannot be opened."""
    try:
        subject_opened = opened(dataset, subject)
    except (ValueError, LookupError, OSError):  # shown where the fit is planned
        return 0, None
    if subject_opened is None or subject_opened.runs is None:
        return 0, None
    return len(np.unique(subject_opened.runs)), subject_opened.tr


@st.cache_resource(max_entries=8, show_spinner=False)
def _opened(dataset: str, subject: str, state: tuple[tuple[int, ...], ...]) -> _Opening:
    return _Opening(dataset, subject)


class _Opening:
    """A subject as it was opened; ``changed`` once its files were found to be others, or not to be readable."""

    def __init__(self, dataset: str, subject: str) -> None:
        self._dataset, self._subject, self._store = DATASETS[dataset], subject, store()
        self.changed = False
        self.subject = self._open()
        self._looked = time.monotonic()

    def look_again(self) -> None:
        """Look at every file in the background, if that was some time ago; after the run that asks, whose processor it would take."""
        if time.monotonic() - self._looked > SECONDS_BETWEEN_CHECKS:
            self._looked = time.monotonic()
            looking = threading.Timer(SECONDS_UNTIL_A_LOOK, self._look)
            looking.daemon = True
            looking.start()

    def _look(self) -> None:
        try:
            self.changed = subject_key(self._open()) != subject_key(self.subject)
        except Exception:  # whatever is wrong is said in the run that opens it
            self.changed = True

    def _open(self) -> Subject:
        if not self._dataset.is_ready(self._subject, self._store):
            raise _NotReady
        return self._dataset.open(self._subject, self._store)


def planned(spec: FitSpec) -> Plan | None:
    """Check and plan a fit; None while a job has to simulate the subject or fetch weights first."""
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
    """Estimate the resources of a fit; None while a subject has to be simulated or weights fetched."""
    fit_plan = planned(spec)
    return None if fit_plan is None else _needs(spec, fit_plan.key, fit_plan)


@st.cache_data(ttl=SECONDS_BETWEEN_LOOKS, max_entries=64, show_spinner="Estimating what this takes …")
def _needs(spec: FitSpec, key: str, _plan: Plan) -> Estimate:
    return preflight(_plan, store(), choose_device("auto"))


def find_result(spec: FitSpec) -> Result | None:
    """Find the finished fit of a spec without fitting; None where there is none. Raises the spec's errors."""
    fit_plan = planned(spec)
    if fit_plan is None or not is_complete(fit_plan, store()):
        return None
    return _result(fit_plan.key, fit_plan.subject.annotations_key, spec, fit_plan)


@st.cache_resource(max_entries=16, show_spinner="Opening …")
def _opened_run(key: str, annotations: str) -> Result:
    return open_run(key, store())


def forget_opened_runs() -> None:
    """Discard opened fits after some were removed."""
    _opened_run.clear()


def opened_run(key: str) -> Result | str:
    """Open a finished fit, or return the error."""
    try:
        made_from = stored_origin(key, store()) if stage_of(key) == "fit" else {}
        while "composition" in made_from:  # what its first member needs, its own opening needs
            made_from = stored_origin(made_from["composition"]["members"][0], store())
        if "spec" in made_from:
            spec = FitSpec.from_dict(dict(made_from["spec"]))
            fit_plan = planned(spec)
            if fit_plan is None:  # opening it here would take long
                files = f"The files of {spec.dataset} {spec.subject} changed, or were not read yet."
                missing = f"The weights of {spec.backbone} are not on this machine now."
                return f"{files if weights_are_here(spec) else missing} Open it in Explore first."
            return _opened_run(key, fit_plan.subject.annotations_key)
        return _opened_run(key, "")
    except (LookupError, ValueError, OSError, TypeError) as wrong:
        return str(wrong)


def subject_key(subject: Subject) -> str:
    """Cache key of a subject's contents: responses, stimuli, ROIs, places, ceilings and labels."""
    state = {"responses": dict(subject.fingerprints), "stimuli": subject.stimuli.fingerprint, "annotations": subject.annotations_key}
    return digest("subject", 1, dataset=subject.dataset, name=subject.name, **state)


def display_key(result: Result) -> str:
    """Cache key of a fit's tables and figures: its numbers, its ROIs with masks, places and ceilings, whether pooled r is known."""
    names = {"rois": list(result.selected_rois), "annotations": result.plan.subject.annotations_key, "pooled": result.has_pooled}
    return digest("display", 2, fit=result.key, **names)


def roi_table(result: Result) -> pd.DataFrame:
    """Tabulate scores per ROI (:meth:`Result.rois`), once for all sessions."""
    return _roi_table(display_key(result), result)


@st.cache_data(max_entries=64, show_spinner=False)
def _roi_table(key: str, _result: Result) -> pd.DataFrame:
    return _result.rois()


def stored_curve(result: Result) -> dict[str, np.ndarray] | None:
    """Read the fit's learning curve; None where it was not computed."""
    return store().get(curve_key(result.key, result.plan))


def stored_intervals(result: Result) -> dict[str, np.ndarray] | None:
    """Read the bootstrap intervals of the fit's ROIs; None where they were not computed."""
    return store().get(intervals_key(result))


def opening_key(dataset: str, subject: str) -> str:
    """Key of the job that opens a subject for the first time."""
    return digest("open", 1, dataset=dataset, subject=subject)


def job_key(spec: FitSpec) -> str:
    """Key of the job that computes a fit, its learning curve and intervals."""
    return digest("study", 1, spec=spec.for_digest())
