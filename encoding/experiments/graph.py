"""Compile fits to a graph of tasks, one a stage, each named by the key of what it makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from encoding.analysis.bootstrap import intervals_key
from encoding.analysis.learning_curve import curve_key, has_curve
from encoding.backbones import NotInstalled, NoWeights
from encoding.datasets import BadData
from encoding.evaluation.resampling import LEAST_UNITS
from encoding.experiments.experiment import Cell
from encoding.experiments.plans import Plans
from encoding.features.extraction import extraction_shards
from encoding.features.reduction import sum_shards
from encoding.fits.passes import layers_of_passes, sketch_keys
from encoding.fits.plan import Plan
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.fits.training_data import is_complete
from encoding.pipeline import USUAL_FOLDS
from encoding.readouts import READOUTS
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest
from encoding.storage.store import Store

STAGES = ("features", "components", "moments", "fit", "intervals", "curve")
LATE = ("intervals", "curve")
"""Stages that follow a fit, and run after all fits of an experiment: nobody waits for them."""
OF_ONE_CELL = (BadData, NoWeights, NotInstalled, OSError)
"""Failures of planning that concern one cell; any other is a mistake in the experiment, and raised before any work."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One stage of a fit; plain data, so that a worker elsewhere can do it.

    Attributes
    ----------
    key : of the result in the Store; for features, a digest of the keys of all layers that one pass extracts; for a shard, a digest of
        the key of the whole and its number.
    stage : one of :data:`STAGES`.
    spec : the fit whose plan the stage is of. Of features it has the layers of all cells.
    needs : keys of the tasks that come before.
    fold : number of the fold; 0 where the stage is of all.
    hemi : hemisphere of the moments; else empty.
    shard : number of the shard of stimuli of which features are extracted or layers summed; None for the task that joins the shards.
    inputs : names and fingerprints of the data and weights that the task reads, as :func:`inputs_of` gives them.
    late : whether it runs after all tasks that are not.
    """

    key: str
    stage: str
    spec: FitSpec
    needs: tuple[str, ...] = ()
    fold: int = 0
    hemi: str = ""
    shard: int | None = None
    inputs: tuple[tuple[str, str], ...] = ()
    late: bool = False


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
    tasks : key to task, each after those that it needs: cell after cell, late ones last.
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


def compile_graph(
    cells: Iterable[Cell],
    store: Store,
    report: Report = silent,
    *,
    curves: bool = False,
    plans: Plans | None = None,
    intervals_last: bool = True,
) -> Graph:
    """Plan the cells and list the tasks whose results are not stored, equal ones once.

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
    builder = _Builder(store, intervals_last)
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
    in_order = sorted(by_cell, key=lambda key: builder.tasks[key].late)
    return Graph(planned, {key: builder.tasks[key] for key in in_order}, tuple(tasks_of), plans)


def fit_graph(specs: Sequence[FitSpec], store: Store, report: Report = silent) -> Graph:
    """Compile single fits; raises whatever planning one of them raises."""
    graph = compile_graph([Cell(spec, {}) for spec in specs], store, report)
    for planned in graph.cells:
        if planned.plan is None:
            graph.plans.get(planned.cell.spec)
    return graph


def inputs_of(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Names and fingerprints of the stimuli, responses and weights that a plan reads, extra subjects' too."""
    found = [(f"weights of {each.spec.backbone} ({each.spec.weights})", each.backbone_fingerprint) for each in plan.networks]
    for each in (plan, *plan.extra_subjects):
        subject = f"{each.spec.dataset} {each.spec.subject}"
        found.append((f"stimuli of {subject}", each.subject.stimuli.fingerprint))
        found += [(f"responses of {subject}, {hemi}", fingerprint) for hemi, fingerprint in each.subject.fingerprints.items()]
    return tuple(found)


def features_group(plan: Plan) -> tuple[str, ...]:
    """Name what one pass of stimuli through a network gives: plans with equal names share the pass, whatever their layers."""
    over = plan.over_frames if plan.stimuli.n_frames > 1 else ""
    sketched = f"{plan.spec.feature_budget} {plan.n_frames}" if plan.spec.n_components else ""
    if plan.reduced_layers and plan.spec.reduction != FitSpec.reduction:
        sketched += f" {plan.spec.reduction} {plan.spec.n_components}"
    return plan.stimuli.fingerprint, plan.backbone_fingerprint, plan.spec.pool, over, sketched, plan.feature_dtype


def pass_keys(plan: Plan) -> dict[str, str]:
    """Layer to the key of what a pass stores of it: its features, or its sketch where it is too large."""
    return {**plan.feature_keys, **sketch_keys(plan)}


def extraction_key(plan: Plan) -> str:
    """Key of the task that passes the stimuli through the network for all layers of a plan."""
    return digest("extract", 1, features=sorted(pass_keys(plan).values()))


def shard_task_key(key: str, shard: int | None) -> str:
    """Key of the task of a shard of the work of the task ``key``, which joins them; ``key`` itself where ``shard`` is None."""
    return key if shard is None else digest("shard_task", 1, of=key, shard=shard)


def reduction_key(plan: Plan, fold: int) -> str:
    """Key of the task that fits the components of a plan's layers: that of the result where it is one."""
    keys = [plan.components_key(plan.folds[fold], layers) for layers in plan.spaces]
    return keys[0] if len(keys) == 1 else digest("reduce", 1, components=sorted(keys))


@dataclass
class _Builder:
    """The graph while it grows; tasks are found again by their keys."""

    store: Store
    intervals_last: bool
    tasks: dict[str, Task] = field(default_factory=dict)
    extractions: dict[tuple[str, ...], tuple[Task, int]] = field(default_factory=dict)  # with the number of shards
    reduced: dict[tuple[str, ...], dict[str, Plan]] = field(default_factory=dict)  # layers that one more pass reduces, each by itself
    passes: dict[str, list[list[str]]] = field(default_factory=dict)  # layers that are reduced together
    sums: dict[str, str] = field(default_factory=dict)  # moments over all training rows to the key of those by inner fold

    def note_features(self, plans: Sequence[Plan]) -> None:
        """Make one task for each pass that some plan needs, with the layers of all of them."""
        passes: dict[tuple[str, ...], dict[str, str]] = {}
        first: dict[tuple[str, ...], Plan] = {}
        for plan in plans:
            for subject in (plan, *plan.extra_subjects) if plan.readout.uses_components else ():
                for each in subject.networks:
                    group = features_group(each)
                    first.setdefault(group, each)
                    stored = {layer: key for layer, key in each.feature_keys.items() if layer not in each.reduced_layers}
                    passes.setdefault(group, {}).update(pass_keys(each) if subject is plan else stored)
            for each in plan.networks if plan.reduced_layers else ():
                for layers in each.spaces:
                    if len(layers) == 1 and each.is_reduced(layers):
                        self.reduced.setdefault(_reduction_group(each), {})[layers[0]] = each
        for group, keys in passes.items():
            missing = {layer: key for layer, key in keys.items() if key not in self.store}
            if missing:
                spec = replace(first[group].spec, layers=tuple(missing), extra_subjects=())
                key = digest("extract", 1, features=sorted(missing.values()))
                task = Task(key=key, stage="features", spec=spec, inputs=inputs_of(replace(first[group], extra_subjects=())))
                self.extractions[group] = task, len(extraction_shards(first[group].stimuli))

    def add_fit(self, plan: Plan) -> None:
        """Add the task of a fit, and of the stages before it."""
        needs = []
        if plan.readout.uses_components:
            for each in (plan, *plan.extra_subjects):
                needs += self._features(each)
            for number in range(len(plan.folds)):
                apart = plan.networks if plan.readout.by_layer else (plan,)
                components = [key for each in apart for layers in each.spaces for key in self._components(each, number, layers)]
                needs += components
                if plan.readout.uses_moments:
                    needs += [key for hemi in plan.hemis for key in self._moments(plan, number, hemi, components)]
        self._add(Task(key=plan.key, stage="fit", spec=plan.spec, needs=tuple(dict.fromkeys(needs)), inputs=inputs_of(plan)))

    def link_sums(self) -> None:
        """Let moments over all training rows wait for those by inner fold, of which they are then the sum, whichever cell comes first."""
        for key, by_fold in self.sums.items():
            if by_fold in self.tasks and by_fold != key:
                self.tasks[key] = replace(self.tasks[key], needs=(*self.tasks[key].needs, by_fold))

    def add_test_sets(self, plan: Plan) -> list[Plan]:
        """Add the scores on the other test sets of the split, where they are missing, and return the plans of all of them."""
        found = [each for each in plan.scored_test_sets.values() if each.key != plan.key and each.n_tested >= LEAST_UNITS]
        for each in found:
            if not is_complete(each, self.store):
                needs = (plan.key,) if plan.key in self.tasks else ()
                self._add(Task(key=each.key, stage="fit", spec=each.spec, needs=needs, inputs=inputs_of(each)))
        return found

    def add_late(self, plan: Plan, *, curves: bool) -> list[str]:
        """Add intervals and learning curve of a fit, where they are missing, and return their keys."""
        needs = (plan.key,) if plan.key in self.tasks else ()
        wanted = [("intervals", intervals_key(Result(plan, self.store)))]
        if curves and has_curve(plan.spec):
            wanted.append(("curve", curve_key(plan.key, plan.subject.groups)))
        wanted = [(stage, key) for stage, key in wanted if needs or key not in self.store]
        for stage, key in wanted:
            late = stage == "curve" or self.intervals_last
            self._add(Task(key=key, stage=stage, spec=plan.spec, needs=needs, inputs=inputs_of(plan), late=late))
        return [key for _, key in wanted]

    def closure(self, keys: Iterable[str]) -> tuple[str, ...]:
        """The tasks of some keys and all that they need, in order."""
        found: dict[str, None] = {}
        for key in keys:
            self._visit(key, found)
        return tuple(found)

    def _visit(self, key: str, found: dict[str, None]) -> None:
        if key not in found:
            for needed in self.tasks[key].needs:
                self._visit(needed, found)
            found[key] = None

    def _add(self, task: Task) -> str:
        self.tasks.setdefault(task.key, task)
        return task.key

    def _add_sharded(self, task: Task, n_shards: int) -> str:
        """Add a task and before it, where there are several, those of its shards."""
        if task.key in self.tasks:
            return task.key
        parts = [replace(task, key=shard_task_key(task.key, shard), shard=shard) for shard in range(n_shards if n_shards > 1 else 0)]
        return self._add(replace(task, needs=(*task.needs, *map(self._add, parts))))

    def _features(self, plan: Plan) -> list[str]:
        found = [self.extractions.get(features_group(each)) for each in plan.networks]
        return [self._add_sharded(*each) for each in found if each is not None]

    def _components(self, plan: Plan, fold: int, layers: tuple[str, ...]) -> list[str]:
        """The key of the task of one PCA; empty where it is stored."""
        key = plan.components_key(plan.folds[fold], layers)
        if key in self.store:
            return []
        delays = "" if len(plan.delay_sets) > 1 else plan.spec.delays  # which no PCA depends on; moments choose among them
        spec = replace(plan.spec, layers=layers, extra_subjects=(), delays=delays)
        own, n_shards = replace(plan, extra_subjects=()), 1
        if plan.is_reduced(layers):
            n_shards = len(sum_shards(len(plan.folds[fold].train), plan.n_frames))
            key, spec = self._joint_reduction(plan, fold, key, spec) if len(layers) == 1 else (key, spec)
        task = Task(key=key, stage="components", spec=spec, needs=tuple(self._features(plan)), fold=fold, inputs=inputs_of(own))
        return [self._add_sharded(task, n_shards)]

    def _joint_reduction(self, plan: Plan, fold: int, key: str, spec: FitSpec) -> tuple[str, FitSpec]:
        """Key and spec of the task that reduces a layer together with others of its group that are missing, as many as one pass holds."""
        alike = self.reduced[_reduction_group(plan)]
        every = {layer: owner.components_key(owner.folds[fold], (layer,)) for layer, owner in alike.items()}
        missing = {layer: each for layer, each in every.items() if each not in self.store}
        together = next(some for some in self._passes(plan, fold, missing) if spec.layers[0] in some)
        if len(together) < 2:
            return key, spec
        missing = {layer: missing[layer] for layer in together}
        apart = next(name for name, readout in READOUTS.items() if readout.by_layer)
        joint = replace(spec, layers=tuple(missing), readout=apart, options=())
        return digest("reduce", 1, components=sorted(missing.values())), joint

    def _passes(self, plan: Plan, fold: int, missing: Mapping[str, str]) -> list[list[str]]:
        """Layers of the components ``missing`` in groups that one pass reduces."""
        name = "\n".join(missing.values())
        if name not in self.passes:
            self.passes[name] = layers_of_passes(plan, plan.folds[fold], tuple(missing), self.store)
        return self.passes[name]

    def _moments(self, plan: Plan, fold: int, hemi: str, components: Sequence[str]) -> list[str]:
        """The key of the task of the moments of a fold and hemisphere; empty where they are stored."""
        key = plan.moments_key(plan.folds[fold], hemi)
        if key in self.store:
            return []
        n_inner = _n_summed(plan, fold)
        if n_inner is not None:
            self.sums[key] = plan.moments_key(plan.folds[fold], hemi, n_inner=n_inner)
        spec, own = replace(plan.spec, extra_subjects=()), replace(plan, extra_subjects=())
        return [
            self._add(
                Task(
                    key=key, stage="moments", spec=spec, needs=tuple(dict.fromkeys(components)), fold=fold, hemi=hemi, inputs=inputs_of(own)
                )
            )
        ]


def _reduction_group(plan: Plan) -> tuple[str, ...]:
    """Name what one pass that reduces large layers serves: plans with equal names share it."""
    spec = plan.spec
    return (*features_group(plan), spec.dataset, spec.subject, spec.split, str(spec.n_components))


def _n_summed(plan: Plan, fold: int) -> int | None:
    """Number of inner folds whose moments :func:`encoding.pipeline.sum_responses` adds up instead of reading responses, if it may."""
    n_groups = len(np.unique(plan.subject.groups[plan.folds[fold].train]))
    return USUAL_FOLDS if plan.readout.n_folds(plan.options) == 1 and n_groups >= USUAL_FOLDS else None
