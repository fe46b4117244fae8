"""Estimate the time, memory, GPU memory and disk space that a fit needs, and refuse it before it starts where they are too small.

Sizes of layers are exact: one grey image goes through the untrained network. Times are measured on that image and on one matrix
product, and scaled up; they are good to a factor of about two.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod

import numpy as np

from encoding.backbones._pooling import pooling_advice
from encoding.datasets._base import roi_names
from encoding.evaluation.resampling import n_units, working_bytes
from encoding.features import activations, blocks, pca, reduction
from encoding.features import extraction as features
from encoding.features.decoded import DECODED_BYTES
from encoding.features.delays import n_columns
from encoding.fits.pass_costs import (
    host_bytes,
    kept_sums,
    n_passes,
    n_second_passes,
    pass_bytes,
    probe_networks,
    reducing_bytes,
    sketch_bytes,
)
from encoding.fits.plan import Plan
from encoding.runtime.device import available_memory
from encoding.runtime.durations import duration
from encoding.storage.store import Store, StoreFull

PROGRAM_BYTES = 700e6  # Python with torch loaded
PASSES = 4  # typical number of block Krylov iterations
DISK_BYTES_PER_SECOND = 5e8
TRIAL_SECONDS = 0.2  # of a search, at least: to score it and to note it
CURVE_SIZES = 6  # training sizes of a learning curve
CURVE_FITS = 3.0  # fits of all images to which the fits of all these sizes add up


class NoRoom(MemoryError):
    """A fit needs more memory than there is. The message says how much, and what would make it smaller."""


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a fit beyond what is stored already.

    Attributes
    ----------
    seconds : from start to scores.
    ram, gpu, disk : bytes.
    network_seconds : of them, those of the stimuli's passes through the network, which fits of other layers and readouts share.
    readout_seconds : of them, those of fitting the readout.
    feature_bytes : of the disk, those of features, which fits of other readouts share.
    problems : one sentence for each resource that is too small, with a fix; empty where the fit fits.
    """

    seconds: float
    ram: float
    gpu: float
    disk: float
    network_seconds: float = 0.0
    readout_seconds: float = 0.0
    feature_bytes: float = 0.0
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"about {duration(max(1.0, self.seconds))}", f"{self.ram / 1e9:,.1f} GB of memory"]
        parts += [f"{self.gpu / 1e9:,.1f} GB of video memory"] if self.gpu else []
        parts += [f"{self.disk / 1e9:,.2f} GB on disk"]
        return ", ".join(parts)

    def check(self) -> None:
        """Raise NoRoom where memory is too small, StoreFull where only the disk is."""
        if self.problems:
            raise (StoreFull if self._only_disk else NoRoom)(" ".join(self.problems))

    @property
    def _only_disk(self) -> bool:
        return all("disk" in problem.partition(";")[0] for problem in self.problems)


def preflight(plan: Plan, store: Store, device: str = "cpu") -> Estimate:
    """Estimate what the fit of a plan needs on a device, ``cpu`` or ``cuda``.

    The network is built and timed once, without weights; the measurement is kept in ``store``.
    """
    spec, n = plan.spec, len(plan.stimuli)
    passes_twice = plan.readout.uses_components and any(plan.is_reduced(layers) for layers in plan.spaces)
    reduced = [layer for layer in spec.layers if plan.is_reduced(plan.space_of(layer))] if passes_twice else list(plan.reduced_layers)
    missing = [layer for layer, key in plan.feature_keys.items() if layer in reduced or not store.is_sound(key)]
    if missing:
        probed = probe_networks(plan, store, device)
        sizes, seconds = probed.sizes, probed.seconds * n_passes(plan)
    else:
        probed, seconds = None, 0.0
        sizes = {layer: features.load(key, store).shape[1] for layer, key in plan.feature_keys.items()}
    uses_components = plan.readout.uses_components  # otherwise neither features nor components are stored
    stored, n_features = sum(size for layer, size in sizes.items() if layer not in reduced), sum(sizes.values())
    k = _n_kept(plan, n_features) if uses_components else 0
    fitting_seconds, readout_seconds, fitting_bytes = _fitting(plan, stored if uses_components else 0, k, store, device)
    disk = _kept_bytes(plan, n_features)
    item = np.dtype(plan.feature_dtype).itemsize
    feature_bytes = sum(float(item) * n * sizes[layer] for layer in missing if layer not in reduced) if uses_components else 0.0
    feature_bytes += sketch_bytes(plan) * len(reduced)
    network_bytes = pass_bytes(plan, probed, device, reduced) if probed else 0.0
    if probed and passes_twice:
        network_bytes = reducing_bytes(plan, [sizes[layer] for layer in reduced], network_bytes)
        seconds *= 1 + len(plan.folds) * (n_second_passes(plan, [sizes[layer] for layer in reduced]) + 1) / 2
    working, host = max(network_bytes, fitting_bytes), 4.0 * sum(sizes.values()) * activations.AHEAD
    if probed:
        host = host_bytes(plan, probed, reduced)
    estimate = Estimate(
        seconds=n * seconds + fitting_seconds,
        ram=PROGRAM_BYTES + max(_afterwards_bytes(plan, n_features), working if device == "cpu" else host),
        gpu=0.0 if device == "cpu" else working,
        disk=disk + feature_bytes,
        network_seconds=n * seconds,
        readout_seconds=readout_seconds,
        feature_bytes=feature_bytes,
    )
    whole = [layer for layer in missing if layer not in reduced] if uses_components else []
    return _with_problems(estimate, store, device, _smaller(plan, sizes, whole, store))


def preflight_pass(plan: Plan, store: Store, device: str = "cpu", *, reduces: bool = False, keeps_decoded: bool = False) -> Estimate:
    """Estimate what one pass of a plan's stimuli through its network needs, which a stage of an experiment asks before it begins.

    Parameters
    ----------
    reduces : a second pass of the layers that are too large to store, instead of their extraction; its sums are stored by shards.
    keeps_decoded : whether decoded frames stay in memory for the next network (:mod:`encoding.features.decoded`).
    """
    n, probed = len(plan.stimuli), probe_networks(plan, store, device)
    sizes, working = probed.sizes, pass_bytes(plan, probed, device, plan.reduced_layers)
    whole = [] if reduces else [layer for layer in plan.spec.layers if layer not in plan.reduced_layers]
    disk = float(np.dtype(plan.feature_dtype).itemsize) * n * sum(sizes[layer] for layer in whole)
    if reduces:
        each = [sizes[layer] for layer in plan.spec.layers]
        working = reducing_bytes(plan, each, working)
        n_train = max(len(fold.train) for fold in plan.folds)
        n_shards = len(reduction.sum_shards(n_train, plan.n_frames))
        disk += kept_sums(plan, each) * (n_shards if n_shards > 1 else 0)
    else:
        disk += sketch_bytes(plan) * len(plan.reduced_layers)
    ram = PROGRAM_BYTES + (working if device == "cpu" else host_bytes(plan, probed, plan.reduced_layers))
    ram += DECODED_BYTES if keeps_decoded else 0
    seconds, gpu = n * n_passes(plan) * probed.seconds, 0.0 if device == "cpu" else working
    estimate = Estimate(seconds=seconds, ram=ram, gpu=gpu, disk=disk, network_seconds=seconds, feature_bytes=disk)
    return _with_problems(estimate, store, device, _smaller(plan, sizes, whole, store))


def _smaller(plan: Plan, sizes: Mapping[str, int], stored: Sequence[str], store: Store) -> str:
    """Name the largest feature budget under which the layers ``stored`` fit the disk; empty where none is needed or would help."""
    if not stored or not plan.spec.n_components:
        return ""
    free = shutil.disk_usage(store.root).free - features.SPARE_BYTES
    n_bytes = [float(np.dtype(plan.feature_dtype).itemsize) * len(plan.stimuli) * sizes[layer] for layer in stored]
    if sum(n_bytes) <= free:
        return ""
    for budget in sorted({0.0, *n_bytes}, reverse=True):
        kept = [each for each in n_bytes if each <= budget]
        if sum(kept) + sketch_bytes(plan) * (len(n_bytes) - len(kept)) <= free:
            return f"`--feature-budget {np.ceil(budget / 1e6) / 1e3:g}`"
    return ""


def _fitting(plan: Plan, n_features: int, k: int, store: Store, device: str) -> tuple[float, float, float]:
    """Seconds of components, moments, weights and scores, for every fold, those of the readout among them, and bytes.

    ``n_features`` are those that are stored; the ``k`` components may be of others, too, which are reduced in the pass.
    """
    n, n_train = plan.subject.n_stimuli, max(len(fold.train) for fold in plan.folds)
    most = min(n_train - 1, n_features)
    n_targets = sum(plan.subject.responses[hemi].shape[1] for hemi in plan.hemis)
    widest = max((plan.subject.responses[hemi].shape[1] for hemi in plan.hemis), default=0)
    if plan.spec.reduction != "pca":
        work, pca_bytes = 4.0 * n * n_features, 4.0 * 3 * n * k
    elif most < pca.EXACT_BELOW or k > most // 4:
        work = 4.0 * n * n_features * min(n_train, n_features) + 20.0 * min(n_train, n_features) ** 3  # in float64
        pca_bytes = 8.0 * n * n_features * 2 if n_features <= n_train else 8.0 * n * n_train * 3
    else:
        work = PASSES * 4.0 * n * n_features * (k + pca.OVERSAMPLING)
        pca_bytes = 4.0 * n_features * (k + pca.OVERSAMPLING) * (PASSES + 3)
    if all(store.is_sound(plan.components_key(fold, layers)) for fold in plan.folds for layers in plan.spaces):
        work = 0.0
    columns = n_columns(k * plan.n_frames * len(plan.spaces), degree=plan.spec.degree, delays=plan.spec.delays)
    n_inner = plan.readout.n_folds(plan.options) if plan.readout.uses_moments else 0
    fitting, fitting_bytes = plan.readout.cost(n_train, columns, n_targets, plan.options)
    work += 2.0 * n_train * columns * n_targets + fitting
    reading = 4.0 * n * (n_targets + PASSES * n_features) / DISK_BYTES_PER_SECOND
    moments = 4.0 * (n_inner + 2) * columns * widest + 8.0 * (n_inner + 1) * columns**2 if plan.readout.uses_moments else 0.0
    moments += 4.0 * 2 * n * columns if plan.spec.degree > 1 or plan.spec.delays else 0.0  # made of the components, never stored
    seconds, readout_seconds = (len(plan.folds) * each for each in (work / _speed(device) + reading, fitting / _speed(device)))
    n_bytes = max(pca_bytes, moments + fitting_bytes) + 3.0 * blocks.BLOCK_BYTES + _axes_bytes(plan, n_features, k)
    return seconds, readout_seconds, n_bytes


def curve_seconds(plan: Plan, device: str) -> float:
    """Rough duration in seconds of the learning curve of a finished fit, whose components are stored."""
    n_train = max(len(fold.train) for fold in plan.folds)
    n_targets = sum(plan.subject.responses[hemi].shape[1] for hemi in plan.hemis)
    k = min(plan.spec.n_components or n_train, n_train)
    columns = n_columns(k * plan.n_frames * len(plan.spaces), degree=plan.spec.degree, delays=plan.spec.delays)
    work = 2.0 * n_train * columns * n_targets + plan.readout.cost(n_train, columns, n_targets, plan.options)[0]
    reading = 4.0 * plan.subject.n_stimuli * n_targets / DISK_BYTES_PER_SECOND
    return len(plan.folds) * (CURVE_FITS * work / _speed(device) + reading)


def search_seconds(needed: Estimate, n_trials: int) -> float:
    """Rough duration of a parameter search, from the estimate of one fit: its features and components once, its readout for each trial."""
    return needed.seconds + (n_trials - 1) * max(needed.readout_seconds, TRIAL_SECONDS)


def _n_kept(plan: Plan, n_features: int) -> int:
    """Number of components of a stimulus or frame."""
    if plan.spec.reduction != "pca":
        return plan.spec.n_components or n_features
    most = min(max(len(fold.train) for fold in plan.folds) - 1, n_features)
    return min(plan.spec.n_components or most, most)


def _axes_bytes(plan: Plan, n_features: int, k: int) -> float:
    """Bytes of the axes; sparse ones have 12 an entry."""
    if plan.spec.reduction == "pca":
        return 4.0 * n_features * k
    return 12.0 * (n_features if plan.spec.reduction == "none" else k * max(1, n_features) ** 0.5)


def _afterwards_bytes(plan: Plan, n_features: int) -> float:
    """Bytes of what follows a fit on so many features: the intervals of its scores, and its learning curve."""
    n_rois = len(plan.spec.rois) or 1 + len(roi_names(plan.subject))
    n_rows = sum(len(fold.test) for fold in plan.folds)
    units = sum(n_units(plan.subject.groups[fold.test]) for fold in plan.folds)
    intervals = working_bytes(n_rows, units, n_rois, n_folds=len(plan.folds))
    if not (plan.readout.exact and plan.readout.uses_components):
        return intervals
    n_targets = sum(plan.subject.responses[hemi].shape[1] for hemi in plan.hemis)
    widest = n_targets if plan.joins_hemispheres else max((plan.subject.responses[hemi].shape[1] for hemi in plan.hemis), default=0)
    k = _n_kept(plan, n_features) * plan.n_frames * len(plan.spaces)
    k = n_columns(k, degree=plan.spec.degree, delays=plan.spec.delays)
    n_inner = plan.readout.n_folds(plan.options) if plan.readout.uses_moments else 1
    sums = 4.0 * 2 * (n_inner + 2) * k * widest + 8.0 * (n_inner + 2) * k**2  # those of the training rows grow, and are copied for a fit
    return max(intervals, sums + 4.0 * 2 * CURVE_SIZES * n_targets * len(plan.folds))


def _kept_bytes(plan: Plan, n_features: int) -> float:
    """Bytes of components, moments and weights of all folds in the Store."""
    n = plan.subject.n_stimuli
    k = min(plan.spec.n_components or n, n, n_features) if plan.spec.reduction == "pca" else _n_kept(plan, n_features)
    n_targets = sum(plan.subject.responses[hemi].shape[1] for hemi in plan.hemis)
    columns = n_columns(k, degree=plan.spec.degree, delays=plan.spec.delays)
    moments = (plan.readout.n_folds(plan.options) + 1) * columns * n_targets if plan.readout.uses_moments else 0
    return len(plan.folds) * (4.0 * (k * n + moments + 2 * columns * n_targets) + _axes_bytes(plan, n_features, k))


@cache
def _speed(device: str) -> float:
    """Floating-point operations per second in a product of two large matrices."""
    import torch

    one = torch.ones(1024, 1024, device=device)  # random ones would be taken from a thread that has seeded torch for itself
    one @ one
    started = time.perf_counter()
    float((one @ one).sum())
    return 0.5 * 2 * prod(one.shape) * len(one) / (time.perf_counter() - started)  # the work is not all large products


def _with_problems(estimate: Estimate, store: Store, device: str, smaller: str) -> Estimate:
    """Add one problem for each resource that is too small, with what would make the need smaller.

    Parameters
    ----------
    smaller : option under which features fit the disk; empty where there is none.
    """
    problems = []
    free = shutil.disk_usage(store.root).free
    if estimate.disk + features.SPARE_BYTES > free:
        problems.append(
            f"The fit keeps {estimate.disk / 1e9:,.2f} GB on the disk of {store.root}; {free / 1e9:,.2f} GB are free, and "
            f"{features.SPARE_BYTES / 1e9:,.2f} GB stay free. "
            f"{f'Reduce what is larger in the pass ({smaller}), pool' if smaller else 'Pool'} the layers ({pooling_advice()}), store them "
            "as `--feature-dtype float16`, take fewer at a time, or make room: `python -m encoding cache prune`."
        )
    if estimate.ram > (available := available_memory()):
        problems.append(
            f"The fit needs about {estimate.ram / 1e9:,.1f} GB of memory; {available / 1e9:,.1f} GB are free. "
            f"Ask for fewer components, pool the layer ({pooling_advice()}), take fewer layers at a time, or a smaller network."
        )
    if device == "cuda" and estimate.gpu > (available := _video_memory()):
        problems.append(
            f"The fit needs about {estimate.gpu / 1e9:,.1f} GB of video memory; {available / 1e9:,.1f} GB are free. "
            "Use device cpu, ask for fewer components, or pool the layer."
        )
    return replace(estimate, problems=tuple(problems))


def _video_memory() -> float:
    import torch

    return float(torch.cuda.mem_get_info()[0])
