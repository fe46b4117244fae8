"""Do one task of a graph: the stage of the pipeline that it names, on the same inputs as where it was planned."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence

from encoding.analysis.bootstrap import intervals_key, roi_intervals
from encoding.analysis.learning_curve import curve_key, learning_curve
from encoding.experiments.plans import Plans
from encoding.experiments.task import Task, extraction_key, inputs_of, pass_keys, reduction_key, shard_task_key
from encoding.features.decoded import forget_decoded
from encoding.fits.passes import reduce_in_pass
from encoding.fits.plan import Plan
from encoding.fits.resources import preflight_pass
from encoding.fits.result import Result
from encoding.pipeline import extract_features, fit, reduce_features, sum_responses
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Cancelled, Report, silent, subprogress
from encoding.storage.store import Store

MOST_PLANS = 500  # kept by a worker between tasks
LONGEST_TURN = 1.0  # seconds, after which no further task of a bundle is begun
_plans: dict[str, Plans] = {}  # of this process, by folder of the Store


class OtherInputs(RuntimeError):
    """A worker sees other data, weights or code than where a task was planned. The message says which."""


def execute(task: Task, plan: Plan, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Do a task, whose result is then in the Store; where it is there already, nothing is computed."""
    if not task.decoded:
        forget_decoded()  # of passes that are over
    match task.stage:
        case "features":
            if any(key not in store for key in pass_keys(plan).values()):
                preflight_pass(plan, store, choose_device(device), keeps_decoded=bool(task.decoded)).check()
            extract_features(plan, store, report, device, shard=task.shard, keep_decoded=bool(task.decoded))
        case "components" if task.shard is not None:
            preflight_pass(plan, store, choose_device(device), reduces=True).check()
            reduce_in_pass([plan], plan.folds[task.fold], store, report, device, shard=task.shard)
        case "components":
            reduce_features(plan, plan.folds[task.fold], store, report, device)
        case "moments":
            fold = plan.folds[task.fold]
            Z = reduce_features(plan, fold, store, subprogress(report, 0, 0.5), device)
            sum_responses(plan, fold, task.hemi, Z, store, subprogress(report, 0.5, 1), device)
        case "fit":
            fit(plan.spec, store, report, device, planned=plan)
        case "intervals":
            roi_intervals(Result(plan, store), report)
        case "curve":
            learning_curve(plan.spec, store, report, device)


def run_task(task: Task, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Plan a task in a worker, compare with where it was planned, and do it.

    Raises
    ------
    OtherInputs
        Where data, weights or the key differ, naming what does.
    Exception
        Whatever planning or the stage raises.
    """
    execute(task, planned_here(task, store), store, report, device)


def run_in_turn(
    do: Callable[[Task, Store, Report, str], None], tasks: Sequence[Task], store: Store, report: Report = silent, device: str = "auto"
) -> list[tuple[float, str, str]]:
    """Do some tasks one after another; what fails leaves the others alone.

    Parameters
    ----------
    do : does one task, such as :func:`run_task`.

    Returns
    -------
    list of (float, str, str)
        Of each task its seconds, and where it failed the type name and message of the exception, else empty. Shorter than ``tasks`` where
        :data:`LONGEST_TURN` was over before all were begun.

    Raises
    ------
    Cancelled
        When requested to stop.
    """
    ended: list[tuple[float, str, str]] = []
    began = last = time.monotonic()
    for number, task in enumerate(tasks):
        if last - began > LONGEST_TURN:
            break
        kind = message = ""
        try:
            report(number / len(tasks), "starting")
            do(task, store, subprogress(report, number / len(tasks), (number + 1) / len(tasks)), device)
        except Cancelled:
            raise
        except Exception as error:
            logging.getLogger(__name__).exception("%s failed", task.key)
            kind, message = type(error).__name__, str(error)
        now = time.monotonic()
        ended.append((now - last, kind, message))
        last = now
    return ended


def planned_here(task: Task, store: Store) -> Plan:
    """Plan of a task in this process; opened again once where what is remembered differs from where the task was planned."""
    plans = _plans.setdefault(str(store.root), Plans(store))
    if len(plans) > MOST_PLANS:
        plans.forget()
    if difference(task, plans.get(task.spec), store):
        plans.forget()
        if text := difference(task, plans.get(task.spec), store):
            raise OtherInputs(text)
    return plans.get(task.spec)


def difference(task: Task, plan: Plan, store: Store) -> str:
    """What differs between a plan and where a task was planned, as a sentence; empty where nothing does."""
    if text := other_inputs(task.inputs, plan):
        return text
    if _key_of(task, plan, store) != task.key:
        return (
            f"The worker on {socket.gethostname()} gives {task.stage} another key than the machine that planned this: its ROI masks, "
            "places on the cortex, noise ceilings or library versions differ."
        )
    return ""


def other_inputs(inputs: Iterable[tuple[str, str]], plan: Plan) -> str:
    """Which of some named fingerprints (:func:`encoding.experiments.task.inputs_of`) a plan does not have, as a sentence; else empty."""
    here = dict(inputs_of(plan))
    other = [name for name, fingerprint in inputs if here.get(name) != fingerprint]
    if not other:
        return ""
    return (
        f"The worker on {socket.gethostname()} sees other {', '.join(other)} than the machine that planned this. "
        "Give both the same files, through ENCODING_DATA_DIR and TORCH_HOME."
    )


def _key_of(task: Task, plan: Plan, store: Store) -> str:
    """Key of a task, computed from a plan made here."""
    match task.stage:
        case "features":
            return shard_task_key(extraction_key(plan), task.shard)
        case "components":
            return shard_task_key(reduction_key(plan, task.fold), task.shard)
        case "moments":
            return plan.moments_key(plan.folds[task.fold], task.hemi)
        case "fit":
            return plan.key
        case "intervals":
            return intervals_key(Result(plan, store))
        case "curve":
            return curve_key(plan.key, plan)
    raise ValueError(f"There is no stage {task.stage!r}.")
