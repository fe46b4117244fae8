"""Run an experiment: in this process, or wherever an executor takes its tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoding.experiments.experiment import Experiment
from encoding.experiments.graph import PlannedCell, graph_in_use
from encoding.experiments.plans import Plans
from encoding.experiments.progress import Run, Status
from encoding.experiments.records import recording
from encoding.experiments.stages import execute
from encoding.experiments.table import long_table
from encoding.fits.result import Result
from encoding.fits.training_data import is_complete
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Cancelled, Report, silent
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

Executor = Callable[[Run, Store, str], None]
"""``executor(run, store, device)`` carries out the tasks of a run and returns when all have ended."""


@dataclass(frozen=True)
class ExperimentResult:
    """An experiment that has ended, with what is finished of it.

    Attributes
    ----------
    experiment : its specification.
    cells : every fit, planned.
    status : how each ended.
    store : where the fits are.
    """

    experiment: Experiment
    cells: tuple[PlannedCell, ...]
    status: Status
    store: Store

    @property
    def results(self) -> list[Result]:
        """The finished fits, in the experiment's order."""
        return [Result(each.plan, self.store) for each in self.cells if each.plan is not None and is_complete(each.plan, self.store)]

    def table(self) -> pd.DataFrame:
        """Tabulate the finished fits (:func:`encoding.experiments.table.long_table`)."""
        return long_table(self.cells, self.store)


def run_experiment(
    experiment: Experiment,
    store: Store,
    report: Report = silent,
    device: str = "auto",
    *,
    executor: Executor | None = None,
    watch: Callable[[Run], None] = lambda run: None,
    plans: Plans | None = None,
    intervals_last: bool = True,
) -> ExperimentResult:
    """Compute whatever is missing of an experiment.

    A fit that fails is reported as failed and the others go on. What was finished when the process ended, however it did, is not
    computed again: an experiment is resumed by running it again.

    Parameters
    ----------
    report : receives the progress of planning.
    device : ``cpu``, ``cuda`` or ``auto``; workers elsewhere choose their own.
    executor : carries out the tasks; by default :func:`run_serially`, one after another in this process.
    watch : called with the run before it begins, so that its status can be shown.
    plans, intervals_last : as of :func:`encoding.experiments.graph.graph_in_use`.

    Raises
    ------
    UnknownName, UnknownLayer, BadOption, ValueError
        Before any work, as :func:`encoding.experiments.graph.plan_cells`.
    AlreadyRunning
        Where another process runs the same experiment.
    """
    cells = experiment.cells()
    how = {"curves": experiment.curves, "plans": plans, "intervals_last": intervals_last}
    with recording(experiment, store) as recorder, graph_in_use(cells, store, report, **how) as graph:
        run = Run(graph)
        recorder.follow(run)
        watch(run)
        try:
            (executor or run_serially)(run, store, device)
        except BaseException:
            run.cancel()
            raise
    return ExperimentResult(experiment, graph.cells, run.status(), store)


def run_serially(run: Run, store: Store, device: str = "auto", report: Report = silent) -> None:
    """Carry out the tasks of a run one after another in this process.

    Parameters
    ----------
    report : receives the progress of all tasks, and with each text the first fit that the task is of.

    Raises
    ------
    Cancelled
        Where ``report`` does.
    """
    device = choose_device(device) if run.graph.tasks else device
    n_cells = len(run.graph.cells)
    first = {key: number for number in range(n_cells - 1, -1, -1) for key in run.graph.tasks_of[number]}
    while (task := run.take()) is not None:
        name = f"{run.graph.cells[first[task.key]].cell.label}, {first[task.key] + 1:,} of {n_cells:,}"
        of_task = run.report_of(task)

        def both(fraction: float, text: str, name: str = name, of_task: Report = of_task) -> None:
            of_task(fraction, text)
            report(run.fraction, f"{name}: {text}")

        try:
            both(0.0, "starting")
            execute(task, run.graph.plans.get(task.spec), store, both, device)
        except Cancelled:
            if not run.cancelled:
                raise
            return
        except Exception as error:  # of one cell: the others go on
            logging.getLogger(__name__).debug("%s failed", task.key, exc_info=True)
            run.fail(task.key, type(error).__name__, str(error))
        else:
            run.done(task.key)
