"""Compile fits to a graph of tasks, one a stage, each named by the key of what it makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from encoding.backbones import NotInstalled, NoWeights
from encoding.datasets import BadData
from encoding.experiments.experiment import Cell
from encoding.experiments.graph_builder import GraphBuilder
from encoding.experiments.plans import Plans
from encoding.experiments.task import Task, pass_keys
from encoding.fits.plan import Plan
from encoding.fits.spec import FitSpec
from encoding.fits.training_data import is_complete
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.store import Store

OF_ONE_CELL = (BadData, NoWeights, NotInstalled, OSError)
"""Failures of planning that concern one cell; any other is a mistake in the experiment, and raised before any work."""


@dataclass(frozen=True)
class PlannedCell:
    """A cell with its plan, or with the reason why it has none.

    Attributes
    ----------
    problem : type name and message of the error that planning raised; None where there is a plan.
    """

    cell: Cell
    plan: Plan | None
    problem: tuple[str, str] | None = None

    @property
    def fit_key(self) -> str | None:
        """Key of the fit's scores; None without a plan."""
        return None if self.plan is None else self.plan.key


@dataclass(frozen=True)
class Graph:
    """Tasks that an experiment needs beyond what is stored.

    Attributes
    ----------
    cells : every fit of the experiment, also those that are stored.
    tasks : key to task, each after those that it needs: cell after cell, late ones last (:meth:`GraphBuilder.in_order`).
    tasks_of : for each cell the keys of all tasks that it needs; empty where everything is stored.
    plans : the plans that were made, for work in this process.
    """

    cells: tuple[PlannedCell, ...]
    tasks: Mapping[str, Task]
    tasks_of: tuple[tuple[str, ...], ...]
    plans: Plans


def plan_cells(cells: Iterable[Cell], store: Store, report: Report = silent, *, plans: Plans | None = None) -> tuple[PlannedCell, ...]:
    """Open what every cell needs and check it.

    Raises
    ------
    UnknownName, UnknownLayer, BadOption, ValueError
        Where a cell names something that does not exist or cannot be; data or weights that are missing concern their cells alone.
    """
    cells, plans = tuple(cells), plans or Plans(store)
    planned = []
    for number, cell in enumerate(cells):
        report(number / len(cells), f"planning fit {number + 1:,} of {len(cells):,}")
        try:
            planned.append(PlannedCell(cell, plans.get(cell.spec, subprogress(report, number / len(cells), (number + 1) / len(cells)))))
        except OF_ONE_CELL as error:
            planned.append(PlannedCell(cell, None, (type(error).__name__, str(error))))
    return tuple(planned)


@contextmanager
def graph_in_use(
    cells: Iterable[Cell],
    store: Store,
    report: Report = silent,
    *,
    curves: bool = False,
    plans: Plans | None = None,
    intervals_last: bool = True,
) -> Iterator[Graph]:
    """Plan the cells and list the tasks whose results are not stored, equal ones once, to be carried out within the block.

    Until it ends, nobody prunes what the fits read and write, or the results of those that are stored already.

    Parameters
    ----------
    curves : whether learning curves are wanted.
    plans : of the same Store, some of which may be made already.
    intervals_last : whether intervals come after all fits, or each after its own.

    Raises
    ------
    As :func:`plan_cells`.
    """
    plans = plans or Plans(store)
    planned = plan_cells(cells, store, report, plans=plans)
    known = [each.plan for each in planned if each.plan is not None]
    made = dict.fromkeys(key for plan in known for key in (*plan.stage_keys, *pass_keys(plan).values()))
    with store.in_use(list(made)):  # before looking what is stored
        yield _graph(planned, store, plans, curves, intervals_last)


def compile_graph(cells: Iterable[Cell], store: Store, *, curves: bool = False) -> Graph:
    """What :func:`graph_in_use` would carry out, to be looked at."""
    with graph_in_use(cells, store, curves=curves) as graph:
        return graph


def _graph(planned: tuple[PlannedCell, ...], store: Store, plans: Plans, curves: bool, intervals_last: bool) -> Graph:
    """The tasks of planned cells whose results are not stored."""
    builder = GraphBuilder(store, intervals_last)
    unfinished = [each.plan for each in planned if each.plan is not None and not is_complete(each.plan, store)]
    builder.note_features(unfinished)
    for plan in unfinished:
        builder.add_fit(plan)
    builder.link_sums()
    tasks_of = []
    for each in planned:
        plans_of = [] if each.plan is None else [each.plan, *builder.add_test_sets(each.plan)]
        keys = [plan.key for plan in plans_of if plan.key in builder.tasks]
        keys += [key for plan in plans_of for key in builder.add_late(plan, curves=curves and plan is each.plan)]
        tasks_of.append(builder.closure(keys))
    by_cell = list(dict.fromkeys(key for keys in tasks_of for key in keys))
    return Graph(planned, {key: builder.tasks[key] for key in builder.in_order(by_cell)}, tuple(tasks_of), plans)


@contextmanager
def fit_graph(specs: Sequence[FitSpec], store: Store, report: Report = silent) -> Iterator[Graph]:
    """:func:`graph_in_use` of single fits; raises whatever planning one of them raises."""
    with graph_in_use([Cell(spec, {}) for spec in specs], store, report) as graph:
        for planned in graph.cells:
            if planned.plan is None:
                graph.plans.get(planned.cell.spec)
        yield graph
