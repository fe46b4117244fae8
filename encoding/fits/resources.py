"""Estimate the time, memory, GPU memory and disk space that a fit needs, and refuse it before it starts where they are too small.

Sizes of layers are exact: one grey image goes through the untrained network. Times are measured on that image and on one matrix
product, and scaled up; they are good to a factor of about two.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from encoding.backbones._pooling import pooling_advice
from encoding.features import components
from encoding.features import extraction as features
from encoding.fits.plan import Plan
from encoding.runtime.device import available_memory
from encoding.runtime.durations import duration
from encoding.storage.keys import digest
from encoding.storage.store import Store, StoreFull

if TYPE_CHECKING:
    from encoding.backbones import Backbone

PROBE_VERSION = 1

PROGRAM_BYTES = 700e6  # Python with torch loaded
ALIVE = 3  # number of largest activations in memory at one time
PASSES = 4  # typical number of block Krylov iterations
DISK_BYTES_PER_SECOND = 5e8
PROBED = 2  # images in the pass that is timed


class NoRoom(MemoryError):
    """A fit needs more memory than there is. The message says how much, and what would make it smaller."""


@dataclass(frozen=True)
class Probe:
    """Measured cost of one image in a network.

    Attributes
    ----------
    sizes : layer to its number of features, pooled.
    seconds : forward pass and preprocessing of one image.
    peak_bytes : activations of one image.
    weights_bytes : parameters and buffers of the network.
    """

    sizes: Mapping[str, int]
    seconds: float
    peak_bytes: float
    weights_bytes: float


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a fit beyond what is stored already.

    Attributes
    ----------
    seconds : from start to scores.
    ram, gpu, disk : bytes.
    problems : one sentence for each resource that is too small, with a fix; empty where the fit fits.
    """

    seconds: float
    ram: float
    gpu: float
    disk: float
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
    missing = [layer for layer, key in plan.feature_keys.items() if not store.is_sound(key)]
    if missing:
        probed = probe(plan, store, device)
        sizes, seconds = dict(probed.sizes), probed.seconds
    else:
        probed, seconds = None, 0.0
        sizes = {layer: features.load(key, store).shape[1] for layer, key in plan.feature_keys.items()}
    n, n_frames = len(plan.stimuli), plan.stimuli.n_frames
    if n_frames > 1 and plan.over_frames == "all" and probed:
        sizes = {layer: size * n_frames for layer, size in sizes.items()}
    passes = n_frames if plan.spec.over_frames not in ("first", "last") else 1
    uses_components = plan.readout.uses_components  # otherwise neither features nor components are stored
    fitting_seconds, fitting_bytes = _fitting(plan, sum(sizes.values()) if uses_components else 0, device)
    disk = _kept_bytes(plan, sum(sizes.values())) + (sum(4.0 * n * sizes[layer] for layer in missing) if uses_components else 0.0)
    network_bytes = 0.0
    if probed:
        shape_bytes = 4.0 * passes * sum(sizes.values())
        batch = max(1.0, min(features.BATCH_BYTES / shape_bytes, features.BATCH_PIXELS[device] / 224**2))
        network_bytes = (
            probed.weights_bytes + batch * probed.peak_bytes + 2 * min(batch * shape_bytes, 2.0 * features.BATCH_BYTES + shape_bytes)
        )
    working = max(network_bytes, fitting_bytes)
    return _with_problems(
        Estimate(
            seconds=n * passes * seconds + fitting_seconds,
            ram=PROGRAM_BYTES + (working if device == "cpu" else 4.0 * sum(sizes.values()) * features.AHEAD),
            gpu=0.0 if device == "cpu" else working,
            disk=disk,
        ),
        store,
        device,
    )


def probe(plan: Plan, store: Store, device: str) -> Probe:
    """Measure the cost of one image in the plan's backbone, once for each store and device."""
    spec = plan.spec
    key = digest("probe", PROBE_VERSION, backbone=spec.backbone, layers=spec.layers, pool=spec.pool, device=device)
    measured = store.memo(key, lambda: _measure(plan, device), {"spec": spec.to_dict(), "device": device})
    seconds, peak_bytes, weights_bytes = measured["costs"].tolist()
    return Probe(dict(zip(spec.layers, measured["sizes"].tolist(), strict=True)), seconds, peak_bytes, weights_bytes)


def _measure(plan: Plan, device: str) -> dict[str, np.ndarray]:
    import torch

    spec = plan.spec
    weights = "random:0" if plan.source.needs_weights else spec.weights
    backbone = plan.source.open(spec.backbone, weights).to(device)
    image = Image.new("RGB", (425, 425), (128, 128, 128))
    started = time.perf_counter()
    batch = torch.stack([backbone.prepare(image) for _ in range(PROBED)]).to(device)
    preparing = (time.perf_counter() - started) / PROBED / (os.cpu_count() or 1)
    activations = backbone.activations(batch, spec.layers, spec.pool)  # the first pass is slower than others
    started = time.perf_counter()
    sum(float(features[0, 0]) for features in backbone.activations(batch, spec.layers, spec.pool).values())  # waits for a GPU, too
    seconds = preparing + (time.perf_counter() - started) / PROBED
    peak = _largest_bytes(backbone, batch, plan) / PROBED
    sizes = np.array([activations[layer].shape[1] for layer in spec.layers], np.int64)
    return {"sizes": sizes, "costs": np.array([seconds, ALIVE * peak, _weights_bytes(backbone)])}


def _largest_bytes(backbone: Backbone, batch: object, plan: Plan) -> float:
    """Bytes of the largest tensor made during a forward pass."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class LargestTensor(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            output = func(*args, **(kwargs or {}))
            if torch.is_tensor(output):
                LargestTensor.largest = max(LargestTensor.largest, output.numel() * output.element_size())
            return output

    with torch.no_grad(), LargestTensor():
        backbone.activations(batch, plan.spec.layers, plan.spec.pool)
    return float(LargestTensor.largest)


def _weights_bytes(backbone: Backbone) -> float:
    import torch

    network = getattr(backbone, "network", None)
    if not isinstance(network, torch.nn.Module):
        return 0.0
    return float(sum(each.numel() * each.element_size() for each in [*network.parameters(), *network.buffers()]))


def _fitting(plan: Plan, n_features: int, device: str) -> tuple[float, float]:
    """Seconds and bytes of components, moments, weights and scores, for every fold."""
    n, n_train = plan.subject.n_stimuli, max(len(fold.train) for fold in plan.folds)
    most = min(n_train - 1, n_features)
    k = min(plan.spec.n_components or most, most)
    n_targets = sum(plan.subject.responses[hemi].shape[1] for hemi in plan.hemis)
    widest = max((plan.subject.responses[hemi].shape[1] for hemi in plan.hemis), default=0)
    if most < components.EXACT_BELOW or k > most // 4:
        work = 4.0 * n * n_features * min(n_train, n_features) + 20.0 * min(n_train, n_features) ** 3  # in float64
        pca_bytes = 8.0 * n * n_features * 2 if n_features <= n_train else 8.0 * n * n_train * 3
    else:
        work = PASSES * 4.0 * n * n_features * (k + components.OVERSAMPLING)
        pca_bytes = 4.0 * n_features * (k + components.OVERSAMPLING) * (PASSES + 3)
    columns = k * plan.n_frames * len(plan.spaces)
    n_inner = plan.readout.n_folds(plan.options) if plan.readout.uses_moments else 0
    fitting, fitting_bytes = plan.readout.cost(n_train, columns, n_targets, plan.options)
    work += 2.0 * n_train * columns * n_targets + fitting
    reading = 4.0 * n * (n_targets + PASSES * n_features) / DISK_BYTES_PER_SECOND
    moments = 4.0 * (n_inner + 2) * columns * widest + 8.0 * (n_inner + 1) * columns**2
    seconds = len(plan.folds) * (work / _speed(device) + reading)
    return seconds, max(pca_bytes, moments + fitting_bytes) + 3.0 * components.BLOCK_BYTES + 4.0 * n_features * k


def _kept_bytes(plan: Plan, n_features: int) -> float:
    """Bytes of components, moments and weights of all folds in the Store."""
    n = plan.subject.n_stimuli
    k = min(plan.spec.n_components or n, n, n_features)
    n_targets = sum(plan.subject.responses[hemi].shape[1] for hemi in plan.hemis)
    moments = (plan.readout.n_folds(plan.options) + 1) * k * n_targets if plan.readout.uses_moments else 0
    return 4.0 * len(plan.folds) * (k * (n + n_features) + moments + 2 * k * n_targets)


@cache
def _speed(device: str) -> float:
    """Floating-point operations per second in a product of two large matrices."""
    import torch

    one = torch.randn(1024, 1024, device=device)
    one @ one
    started = time.perf_counter()
    float((one @ one).sum())
    return 0.5 * 2 * prod(one.shape) * len(one) / (time.perf_counter() - started)  # the work is not all large products


def _with_problems(estimate: Estimate, store: Store, device: str) -> Estimate:
    """Add one problem for each resource that is too small."""
    problems = []
    free = shutil.disk_usage(store.root).free
    if estimate.disk + features.SPARE_BYTES > free:
        problems.append(
            f"The fit keeps {estimate.disk / 1e9:,.2f} GB on the disk of {store.root}; {free / 1e9:,.2f} GB are free, and "
            f"{features.SPARE_BYTES / 1e9:,.2f} GB stay free. "
            f"Pool the layer ({pooling_advice()}), or make room: `python -m encoding cache prune`."
        )
    if estimate.ram > (available := available_memory()):
        problems.append(
            f"The fit needs about {estimate.ram / 1e9:,.1f} GB of memory; {available / 1e9:,.1f} GB are free. "
            f"Ask for fewer components, or pool the layer ({pooling_advice()})."
        )
    if device == "cuda" and estimate.gpu > (available := _video_memory()):
        problems.append(
            f"The fit needs about {estimate.gpu / 1e9:,.1f} GB of video memory; {available / 1e9:,.1f} GB are free. "
            "Use device cpu, ask for fewer components, or pool the layer."
        )
    return Estimate(estimate.seconds, estimate.ram, estimate.gpu, estimate.disk, tuple(problems))


def _video_memory() -> float:
    import torch

    return float(torch.cuda.mem_get_info()[0])
