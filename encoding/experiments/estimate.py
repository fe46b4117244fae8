"""Estimate of what an experiment takes: each network's pass counted once for all cells that share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from encoding.experiments.graph import PlannedCell
from encoding.fits.resources import Estimate, preflight
from encoding.fits.training_data import is_complete
from encoding.runtime.durations import duration
from encoding.storage.store import Store


@dataclass(frozen=True)
class ExperimentEstimate:
    """Estimated cost of the missing fits of an experiment.

    Attributes
    ----------
    n_fits : fits that are missing.
    seconds : of all of them, one after another. Components and moments that fits share are counted for each, so it is an upper estimate.
    ram : bytes of memory of the largest.
    disk : bytes of everything that they store.
    problems : label of each fit that memory or disk is too small for, with what would make it smaller.
    """

    n_fits: int
    seconds: float
    ram: float
    disk: float
    problems: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"up to {duration(max(1.0, self.seconds))}, {self.ram / 1e9:,.1f} GB of memory, {self.disk / 1e9:,.2f} GB on disk"


def estimate(planned: Sequence[PlannedCell], store: Store, device: str = "cpu") -> ExperimentEstimate:
    """Estimate what the fits of an experiment take that are not stored.

    Parameters
    ----------
    planned : cells of the experiment; those without a plan are left out.
    device : ``cpu`` or ``cuda``.
    """
    missing = [each for each in planned if each.plan is not None and not is_complete(each.plan, store)]
    passes: dict[tuple[object, ...], float] = {}
    features: dict[tuple[str, ...], float] = {}
    seconds = ram = disk = 0.0
    problems = []
    for each in missing:
        needs: Estimate = preflight(each.plan, store, device)
        spec = each.plan.spec
        network = (spec.dataset, spec.subject, spec.backbone, spec.weights, spec.pool, spec.frames, spec.over_frames, spec.input)
        passes[network] = max(passes.get(network, 0.0), needs.network_seconds)
        features[tuple(each.plan.feature_keys.values())] = needs.feature_bytes
        seconds, disk, ram = (
            seconds + needs.seconds - needs.network_seconds,
            disk + needs.disk - needs.feature_bytes,
            max(ram, needs.ram),
        )
        if needs.problems:
            problems.append((each.cell.label, " ".join(needs.problems)))
    return ExperimentEstimate(len(missing), seconds + sum(passes.values()), ram, disk + sum(features.values()), tuple(problems))
