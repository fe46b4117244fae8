"""One stage of a fit as a task of an experiment's graph, and the keys of tasks that several fits share."""

from __future__ import annotations

from dataclasses import dataclass

from encoding.fits.passes import sketch_keys
from encoding.fits.plan import Plan
from encoding.fits.spec import FitSpec
from encoding.storage.keys import digest

STAGES = ("features", "components", "moments", "fit", "intervals", "curve")


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
    decoded : of features, fingerprint of the stimuli whose decoded frames other tasks take as well and which are kept in memory for
        them; empty where none do.
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
    decoded: str = ""


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


def reduction_group(plan: Plan) -> tuple[str, ...]:
    """Name what one pass that reduces large layers serves: plans with equal names share it."""
    spec = plan.spec
    return (*features_group(plan), spec.dataset, spec.subject, spec.split, str(spec.n_components))
