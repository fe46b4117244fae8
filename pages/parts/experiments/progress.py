"""Start, progress and finished fits of an experiment."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from encoding import BACKBONES
from encoding.analysis.bootstrap import intervals_key
from encoding.experiments import Experiment
from encoding.experiments.estimate import ExperimentEstimate, estimate
from encoding.experiments.experiment import Cell
from encoding.experiments.graph import PlannedCell, plan_cells
from encoding.experiments.plans import Plans
from encoding.experiments.progress import CellState, Status
from encoding.experiments.records import is_running, records
from encoding.experiments.table import long_table
from encoding.fits.result import Result
from encoding.fits.training_data import is_complete
from encoding.jobs.experiments import ExperimentState
from encoding.runtime.device import choose_device
from encoding.runtime.durations import duration
from encoding.runtime.wording import counted
from encoding.storage.keys import digest
from pages.parts.experiments.words import fits_in_words
from pages.parts.shared.access import change_button, may_change
from pages.parts.shared.fragment import fragment
from pages.parts.shared.job_progress import SECONDS_BETWEEN_TICKS, cancel_button
from pages.parts.shared.server_state import (
    SECONDS_BETWEEN_LOOKS,
    display_key,
    experiments,
    opened,
    settle,
    store,
    subject_key,
    weights_are_here,
)
from pages.parts.shared.text import plain

MOST_PROBES = 40  # layers that are measured for an estimate
MOST_PROBLEMS = 3  # that are shown
MOST_ROWS = 200  # of the table of cells
SECONDS_BETWEEN_TABLES = 8.0  # while an experiment runs
STATES = ("running", "failed", "waiting", "cancelled", "done")


def plan_or_explain(cells: Sequence[Cell]) -> tuple[PlannedCell, ...]:
    """Plan the fits whose subjects and weights are here; the others are planned when the experiment runs."""
    named = dict.fromkeys((cell.spec.dataset, cell.spec.subject) for cell in cells)
    subjects = {name: subject for name in named if (subject := opened(*name)) is not None}
    here = [cell for cell in cells if (cell.spec.dataset, cell.spec.subject) in subjects and weights_are_here(cell.spec)]
    absent = sorted({cell.spec.backbone for cell in cells if not weights_are_here(cell.spec)})
    if len(subjects) < len(named):
        several = f"{len(named) - len(subjects)} of {len(named)} subjects were" if len(named) > 1 else "The subject was"
        st.caption(f"{several} not opened before; the experiment does so when it runs.")
    if absent and any(not BACKBONES[name].is_ready(name, "pretrained") for name in absent):
        st.caption(f"Weights that are downloaded first: {plain(', '.join(absent))}.")
    key = digest("planned", 1, cells=[cell.spec.for_digest() for cell in here], data=[subject_key(each) for each in subjects.values()])
    return _planned(key, tuple(here), subjects)


@st.cache_resource(ttl=SECONDS_BETWEEN_LOOKS, max_entries=8, show_spinner="Looking at the data …")
def _planned(key: str, _cells: tuple[Cell, ...], _subjects: dict) -> tuple[PlannedCell, ...]:
    return plan_cells(_cells, store(), plans=Plans(store(), subjects=_subjects))


def finished_fits(planned: Sequence[PlannedCell]) -> list[PlannedCell]:
    """The fits whose scores are stored."""
    return [each for each in planned if each.plan is not None and is_complete(each.plan, store())]


def table_of(finished: Sequence[PlannedCell]) -> pd.DataFrame:
    """The experiment's long table, with rows of both hemispheres together.

    The rows of a fit are read again when its intervals or a test set are finished, or its ROIs or ceilings changed.
    """
    parts = [_rows(display_key(Result(each.plan, store())), _what_is_there(each), each.cell.label, each) for each in finished]
    return pd.concat(parts, ignore_index=True)


def _what_is_there(planned: PlannedCell) -> tuple[bool, ...]:
    """Of every test set, whether it is scored and has its intervals."""
    plans = list(planned.plan.scored_test_sets.values()) or [planned.plan]
    scored = [is_complete(plan, store()) for plan in plans]
    return (*scored, *(store().is_sound(intervals_key(Result(plan, store()))) for plan in plans))


@st.cache_data(max_entries=2_000, show_spinner=False)
def _rows(key: str, there: tuple[bool, ...], label: str, _planned: PlannedCell) -> pd.DataFrame:
    return long_table((_planned,), store(), both=True)


def run_panel(experiment: Experiment, cells: Sequence[Cell], planned: Sequence[PlannedCell], n_finished: int) -> None:
    """Show the button that starts the experiment, its progress while it runs, and how it ended; nothing where every fit is finished."""
    state = experiments().get(experiment.key)
    if (state is not None and not state.finished) or is_running(experiment.key, store()):
        settle("a job is watched")
        _watch(experiment, n_finished, time.monotonic())
        return
    if state is not None and state.error:
        st.error(plain(state.error))
    elif state is not None and state.status is not None and state.status.count("failed"):
        st.error(f"{state.status.count('failed'):,} of {counted(len(cells), 'fit')} failed.")
        _cells_table(cells, state.labels, state.status)
    if n_finished == len(cells):
        return
    text, button = st.columns([5, 1], vertical_alignment="center")
    kept = "They run in the background and are kept." if may_change() else "This server only shows what is there."
    needs = _needs(planned)
    n_left = len(cells) - n_finished
    takes = f" They take {needs}." if needs is not None and needs.n_fits == n_left else ""
    text.info(f"{n_left:,} of {counted(len(cells), 'fit')} {'is' if n_left == 1 else 'are'} not there yet.{takes} {kept}")
    for label, problem in () if needs is None else needs.problems[:MOST_PROBLEMS]:
        st.warning(f"{plain(label)}: {plain(problem)}")
    if needs is not None and len(needs.problems) > MOST_PROBLEMS:
        st.warning(f"{counted(len(needs.problems) - MOST_PROBLEMS, 'more fit has', 'more fits have')} too little room.")
    with button:
        change_button(
            "Go on" if n_finished else "Run", key="run_experiment", type="primary", width="stretch", on_click=_start, args=(experiment,)
        )
    with st.expander(f"The {counted(len(cells), 'fit')}", type="compact"):
        labels = fits_in_words(cells)[:MOST_ROWS]
        st.dataframe({"Fit": labels}, hide_index=True, height=min(320, 38 + 35 * len(labels)), alt="the fits of the experiment")
        if len(cells) > MOST_ROWS:
            st.caption(f"The first {MOST_ROWS} of them.")


def _needs(planned: Sequence[PlannedCell]) -> ExperimentEstimate | None:
    """Estimate the missing fits; None where so many networks' layers would have to be measured that it takes long."""
    probes = {(each.cell.spec.backbone, each.cell.spec.weights, each.cell.spec.layers) for each in planned}
    if len(probes) > MOST_PROBES:
        return None
    return _estimate(digest("estimate", 1, fits=sorted(each.fit_key for each in planned if each.plan is not None)), tuple(planned))


@st.cache_data(ttl=SECONDS_BETWEEN_LOOKS, max_entries=16, show_spinner="Estimating what this takes …")
def _estimate(key: str, _planned: tuple[PlannedCell, ...]) -> ExperimentEstimate:
    return estimate(_planned, store(), choose_device("auto"))


def _start(experiment: Experiment) -> None:
    experiments().start(experiment)


@fragment(run_every=SECONDS_BETWEEN_TICKS)
def _watch(experiment: Experiment, n_finished: int, shown: float) -> None:
    """Live table of the fits; the page runs again every few seconds while more are finished."""
    key = experiment.key
    state = experiments().get(key)
    if state is None:
        state = _recorded_state(key)
    if (state is None or state.finished) and not is_running(key, store()):
        st.rerun()
    if state is None:  # the process that runs it is planning the fits, and has written nothing yet
        st.progress(0.0, "planning")
        return
    status = state.status
    if status is None:
        st.progress(0.0, plain(state.text))
    else:
        if status.count("done") > n_finished and time.monotonic() - shown > SECONDS_BETWEEN_TABLES:
            st.rerun()
        left = f", about {duration(status.seconds_left)} left" if status.seconds_left else ""
        counts = ", ".join(f"{status.count(name):,} {name}" for name in STATES if status.count(name))
        note = f" {plain(status.note)}" if status.note else ""
        share = status.n_ended / max(1, status.n_tasks)
        st.progress(share, f"**{counts}** · {duration(status.seconds)} so far{left}{note}")
        _cells_table(experiment.cells(), state.labels, status)
    cancel_button(state, key="cancel_experiment", on_click=experiments().cancel, args=(key,))


def _recorded_state(key: str) -> ExperimentState | None:
    """State of an experiment that another process runs, as it last wrote it."""
    try:
        record = next((each for each in records(store()) if each.key == key), None)
    except OSError:
        return None
    return None if record is None else ExperimentState(record.title, "", record.status, record.labels, "", not record.running)


def _cells_table(cells: Sequence[Cell], labels: Sequence[str], status: Status) -> None:
    words = dict(zip((cell.label for cell in cells), fits_in_words(cells), strict=True))
    order = sorted(range(len(labels)), key=lambda number: STATES.index(status.cells[number].state))[:MOST_ROWS]
    rows = [{"fit": words.get(labels[number], labels[number]), **_state_row(status.cells[number])} for number in order]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height=min(320, 38 + 35 * len(rows)),
        column_config={
            "fit": st.column_config.TextColumn("Fit", width="large"),
            "state": st.column_config.TextColumn("State", width="small"),
            "done": st.column_config.ProgressColumn("Stage", format="%.0f %%", min_value=0, max_value=100, width="small"),
            "what": st.column_config.TextColumn("What happens", width="large"),
        },
        alt="the state of every fit of the experiment",
    )
    if len(labels) > MOST_ROWS:
        st.caption(f"{MOST_ROWS} of {len(labels):,} fits are listed, unfinished ones first.")


def _state_row(cell: CellState) -> dict[str, object]:
    error = f"{cell.error_kind}: {cell.error}" if cell.error else ""
    stage = f"{cell.stage}: {cell.text.removeprefix(f'{cell.stage}: ')}" if cell.stage else ""
    return {"state": cell.state, "done": 100 * cell.fraction if cell.state == "running" else None, "what": error or stage}
