"""Run a sweep over layers: a short form of an experiment, in which each layer's intervals are computed with its fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from encoding.analysis.layer_sweep import Cell, Sweep, SweepResult, swept
from encoding.datasets import DATASETS
from encoding.experiments.experiment import Experiment
from encoding.experiments.plans import Plans
from encoding.experiments.progress import Run
from encoding.experiments.run import Executor, run_experiment, run_serially
from encoding.fits.plan import Plan
from encoding.fits.resources import NoRoom
from encoding.runtime.progress import Cancelled, Report, silent, subprogress
from encoding.runtime.wording import counted
from encoding.storage.store import Store


class LayersFailed(RuntimeError):
    """Some layers of a sweep could not be fitted; the message names them with the reason."""


def experiment_of(sweep: Sweep) -> Experiment:
    """The experiment whose fits are those of a sweep."""
    networks = [{"name": backbone, "layers": [layer for _, layer in sweep.of(backbone)]} for backbone in sweep.backbones]
    return Experiment(base=sweep.spec, vary={"backbone": networks}, title=f"sweep over layers of {', '.join(sweep.backbones)}")


def plans(sweep: Sweep, known: Plans, report: Report = silent) -> dict[Cell, Plan]:
    """Plan and check the fit of every cell; raises whatever :func:`encoding.fits.plan.plan` raises, before any work."""
    specs, by_cell = sweep.specs(), {}
    for number, (cell, spec) in enumerate(specs.items()):
        by_cell[cell] = known.get(spec, subprogress(report, number / len(specs), (number + 1) / len(specs)))
    return by_cell


def run_sweep(
    sweep: Sweep,
    store: Store,
    report: Report = silent,
    device: str = "auto",
    *,
    executor: Executor | None = None,
    watch: Callable[[Run], None] = lambda run: None,
) -> SweepResult:
    """Fit every layer that is not stored yet and compute the intervals of its ROIs.

    Parameters
    ----------
    report : progress callback; of planning alone where an executor is given.
    executor, watch : as of :func:`encoding.experiments.run_experiment`.

    Raises
    ------
    NoRoom, LayersFailed
        At the end, when all others are done, naming the layers that failed; NoRoom where that was the reason for each.
    Cancelled
        Where the sweep was stopped.
    Exception
        Whatever :func:`plans` raises, before any work.
    """
    opened = 0.05 if DATASETS[sweep.spec.dataset].is_ready(sweep.spec.subject, store) else 0.4
    known = Plans(store)
    by_cell = plans(sweep, known, subprogress(report, 0, opened))
    found = swept(sweep, by_cell, store)
    if not found.done:
        executor = executor or partial(run_serially, report=subprogress(report, opened, 1))
        ran = run_experiment(experiment_of(sweep), store, device=device, executor=executor, watch=watch, plans=known, intervals_last=False)
        if ran.status.count("cancelled"):
            raise Cancelled("The sweep was cancelled. Finished layers are kept: the same sweep goes on from there.")
        reasons: dict[tuple[str, str], list[str]] = {}
        for planned, state in zip(ran.cells, ran.status.cells, strict=True):
            if state.error:
                reasons.setdefault((state.error_kind, state.error), []).append(
                    " ".join((planned.cell.spec.backbone, *planned.cell.spec.layers))
                )
        if reasons:
            n_failed, kind = sum(map(len, reasons.values())), NoRoom if all(kind == "NoRoom" for kind, _ in reasons) else LayersFailed
            why = " ".join(f"{', '.join(names)}: {error}" for (_, error), names in reasons.items())
            raise kind(f"{n_failed} of {counted(len(sweep.cells), 'layer')} could not be fitted. {why}")
        found = swept(sweep, by_cell, store)
    report(1.0, "done")
    return found
