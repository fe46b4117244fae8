"""Build the graph of an experiment's tasks: each stage once, whichever fits need it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from encoding.analysis.bootstrap import intervals_key
from encoding.analysis.learning_curve import curve_key, has_curve
from encoding.evaluation.resampling import LEAST_UNITS
from encoding.experiments.task import Task, features_group, inputs_of, pass_keys, reduction_group, shard_task_key
from encoding.features.extraction import extraction_shards
from encoding.features.reduction import sum_shards
from encoding.fits.passes import layers_of_passes
from encoding.fits.plan import Plan
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.fits.training_data import is_complete
from encoding.readouts import READOUTS
from encoding.runtime.device import choose_device
from encoding.storage.keys import digest
from encoding.storage.store import Store


def decoding_dominates() -> bool:
    """Whether stimuli take longer to decode than to pass through most networks: where a GPU computes.

    Then networks take each shard of stimuli in turn. On a CPU decoding is a fifth of the smallest networks' time and less of others', and
    a network passes all stimuli before the next one begins, so that the first fits end early.
    """
    return choose_device("auto") == "cuda"


@dataclass
class GraphBuilder:
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
                        self.reduced.setdefault(reduction_group(each), {})[layers[0]] = each
        missing = {group: {layer: key for layer, key in keys.items() if key not in self.store} for group, keys in passes.items()}
        missing = {group: keys for group, keys in missing.items() if keys}
        for group, keys in missing.items():
            stimuli, n_shards = first[group].stimuli, len(extraction_shards(first[group].stimuli))
            n_passes = sum(first[each].stimuli.fingerprint == stimuli.fingerprint for each in missing)
            task = Task(
                key=digest("extract", 1, features=sorted(keys.values())),
                stage="features",
                spec=replace(first[group].spec, layers=tuple(keys), extra_subjects=()),
                inputs=inputs_of(replace(first[group], extra_subjects=())),
                decoded=stimuli.fingerprint if n_passes > 1 and (n_shards == 1 or decoding_dominates()) else "",
            )
            self.extractions[group] = task, n_shards

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
            wanted.append(("curve", curve_key(plan.key, plan)))
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

    def in_order(self, keys: Iterable[str]) -> list[str]:
        """Tasks in the order in which they are to run: late ones last, and side by side what takes the same decoded shard of stimuli."""
        places = {key: (self.tasks[key].late, number, 0) for number, key in enumerate(keys)}
        first: dict[str, int] = {}
        for key, (late, number, _) in places.items():
            task = self.tasks[key]
            if task.decoded:  # shards by their numbers, then what joins them
                places[key] = (late, first.setdefault(task.decoded, number), sys.maxsize if task.shard is None else task.shard)
        return sorted(places, key=places.__getitem__)

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
        """Keys of the tasks that extract what a plan reads; empty where its features are stored, whatever else a pass is to extract."""
        missing = [
            each for each in plan.networks if each.reduced_layers or any(key not in self.store for key in each.feature_keys.values())
        ]
        found = [self.extractions.get(features_group(each)) for each in missing]
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
        alike = self.reduced[reduction_group(plan)]
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
        if by_fold := plan.moments_by_fold_key(plan.folds[fold], hemi):
            self.sums[key] = by_fold
        spec, own = replace(plan.spec, extra_subjects=()), replace(plan, extra_subjects=())
        needs = tuple(dict.fromkeys(components))
        return [self._add(Task(key=key, stage="moments", spec=spec, needs=needs, fold=fold, hemi=hemi, inputs=inputs_of(own)))]
