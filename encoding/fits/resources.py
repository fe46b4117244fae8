"""What a fit will need, before it starts: time, memory, video memory, disk; and why it cannot run where it cannot.

Sizes of layers are exact: one grey picture goes through the untrained network. Times are measured on that picture
and on one product of matrices, and scaled up; they are good to a factor of two or so.
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
ALIVE = 3  # of a network's largest activations, at one time
PASSES = 4  # of block Krylov iteration, usually
DISK_BYTES_PER_SECOND = 5e8
PROBED = 2  # pictures in the pass that is timed


class NoRoom(MemoryError):
    """A fit needs more memory than there is. The message says how much, and what would make it smaller."""


@dataclass(frozen=True)
class Probe:
    """What one picture costs in a network.

    Attributes
    ----------
    sizes : layer to the number of features it gives, pooled.
    seconds : for one picture, preparing it included. peak_bytes : of activations. weights_bytes : of the network.
    """

    sizes: Mapping[str, int]
    seconds: float
    peak_bytes: float
    weights_bytes: float


@dataclass(frozen=True)
class Estimate:
    """What a fit needs beyond what is stored already; bytes, and seconds from start to scores.

    Attributes
    ----------
    problems : one sentence for each thing that there is not enough of, with a mend; empty where it fits.
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
        """NoRoom, or StoreFull where only the disk is too small, if there is any problem."""
        if self.problems:
            raise (StoreFull if self._only_disk else NoRoom)(" ".join(self.problems))

    @property
    def _only_disk(self) -> bool:
        return all("disk" in problem.partition(";")[0] for problem in self.problems)


def preflight(planned: Plan, store: Store, device: str = "cpu") -> Estimate:
    """What the fit of a plan needs. Builds the network once, without weights; the measure is kept in ``store``.

    ``device`` is ``cpu`` or ``cuda``.
    """
    missing = [layer for layer, key in planned.feature_keys.items() if not store.is_sound(key)]
    if missing:
        probed = probe(planned, store, device)
        sizes, seconds = dict(probed.sizes), probed.seconds
    else:
        probed, seconds = None, 0.0
        sizes = {layer: features.load(key, store).shape[1] for layer, key in planned.feature_keys.items()}
    n, n_frames = len(planned.stimuli), planned.stimuli.n_frames
    if n_frames > 1 and planned.over_frames == "all" and probed:
        sizes = {layer: size * n_frames for layer, size in sizes.items()}
    passes = n_frames if planned.spec.over_frames not in ("first", "last") else 1
    uses_components = planned.readout.uses_components  # otherwise neither features nor components are stored
    fitting_seconds, fitting_bytes = _fitting(planned, sum(sizes.values()) if uses_components else 0, device)
    disk = _kept_bytes(planned, sum(sizes.values())) + (sum(4.0 * n * sizes[layer] for layer in missing) if uses_components else 0.0)
    network_bytes = 0.0
    if probed:
        shape_bytes = 4.0 * passes * sum(sizes.values())
        batch = max(1.0, min(features.BATCH_BYTES / shape_bytes, features.BATCH_PIXELS[device] / 224**2))
        network_bytes = (
            probed.weights_bytes + batch * probed.peak_bytes + 2 * min(batch * shape_bytes, 2.0 * features.BATCH_BYTES + shape_bytes)
        )
    working = max(network_bytes, fitting_bytes)
    return _judged(
        Estimate(
            seconds=n * passes * seconds + fitting_seconds,
            ram=PROGRAM_BYTES + (working if device == "cpu" else 4.0 * sum(sizes.values()) * features.AHEAD),
            gpu=0.0 if device == "cpu" else working,
            disk=disk,
        ),
        store,
        device,
    )


def probe(planned: Plan, store: Store, device: str) -> Probe:
    """The cost of one picture in the plan's backbone, measured once for each store and device."""
    spec = planned.spec
    key = digest("probe", PROBE_VERSION, backbone=spec.backbone, layers=spec.layers, pool=spec.pool, device=device)
    found = store.memo(key, lambda: _measure(planned, device), {"spec": spec.to_dict(), "device": device})
    seconds, peak_bytes, weights_bytes = found["costs"].tolist()
    return Probe(dict(zip(spec.layers, found["sizes"].tolist(), strict=True)), seconds, peak_bytes, weights_bytes)


def _measure(planned: Plan, device: str) -> dict[str, np.ndarray]:
    import torch

    spec = planned.spec
    weights = "random:0" if planned.source.needs_weights else spec.weights
    backbone = planned.source.open(spec.backbone, weights).to(device)
    picture = Image.new("RGB", (425, 425), (128, 128, 128))
    started = time.perf_counter()
    batch = torch.stack([backbone.prepare(picture) for _ in range(PROBED)]).to(device)
    preparing = (time.perf_counter() - started) / PROBED / (os.cpu_count() or 1)
    made = backbone.activations(batch, spec.layers, spec.pool)  # the first pass is slower than others
    started = time.perf_counter()
    sum(float(features[0, 0]) for features in backbone.activations(batch, spec.layers, spec.pool).values())  # waits for a GPU, too
    seconds = preparing + (time.perf_counter() - started) / PROBED
    peak = _largest_bytes(backbone, batch, planned) / PROBED
    sizes = np.array([made[layer].shape[1] for layer in spec.layers], np.int64)
    return {"sizes": sizes, "costs": np.array([seconds, ALIVE * peak, _weights_bytes(backbone)])}


def _largest_bytes(backbone: Backbone, batch: object, planned: Plan) -> float:
    """Bytes of the largest tensor made during a forward pass."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class LargestTensor(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            if torch.is_tensor(made):
                LargestTensor.largest = max(LargestTensor.largest, made.numel() * made.element_size())
            return made

    with torch.no_grad(), LargestTensor():
        backbone.activations(batch, planned.spec.layers, planned.spec.pool)
    return float(LargestTensor.largest)


def _weights_bytes(backbone: Backbone) -> float:
    import torch

    network = getattr(backbone, "network", None)
    if not isinstance(network, torch.nn.Module):
        return 0.0
    return float(sum(each.numel() * each.element_size() for each in [*network.parameters(), *network.buffers()]))


def _fitting(planned: Plan, n_features: int, device: str) -> tuple[float, float]:
    """Seconds and bytes of components, moments, weights and scores, for every fold."""
    n, n_train = planned.subject.n_stimuli, max(len(fold.train) for fold in planned.folds)
    most = min(n_train - 1, n_features)
    k = min(planned.spec.n_components or most, most)
    n_targets = sum(planned.subject.responses[hemi].shape[1] for hemi in planned.hemis)
    widest = max((planned.subject.responses[hemi].shape[1] for hemi in planned.hemis), default=0)
    if most < components.EXACT_BELOW or k > most // 4:
        work = 4.0 * n * n_features * min(n_train, n_features) + 20.0 * min(n_train, n_features) ** 3  # in float64
        held = 8.0 * n * n_features * 2 if n_features <= n_train else 8.0 * n * n_train * 3
    else:
        work = PASSES * 4.0 * n * n_features * (k + components.OVERSAMPLING)
        held = 4.0 * n_features * (k + components.OVERSAMPLING) * (PASSES + 3)
    columns = k * planned.n_frames * len(planned.spaces)
    n_inner = planned.readout.n_folds(planned.options) if planned.readout.uses_moments else 0
    fitting, fitting_bytes = planned.readout.cost(n_train, columns, n_targets, planned.options)
    work += 2.0 * n_train * columns * n_targets + fitting
    reading = 4.0 * n * (n_targets + PASSES * n_features) / DISK_BYTES_PER_SECOND
    moments = 4.0 * (n_inner + 2) * columns * widest + 8.0 * (n_inner + 1) * columns**2
    seconds = len(planned.folds) * (work / _speed(device) + reading)
    return seconds, max(held, moments + fitting_bytes) + 3.0 * components.BLOCK_BYTES + 4.0 * n_features * k


def _kept_bytes(planned: Plan, n_features: int) -> float:
    """What components, moments and weights of all folds take in the Store."""
    n = planned.subject.n_stimuli
    k = min(planned.spec.n_components or n, n, n_features)
    n_targets = sum(planned.subject.responses[hemi].shape[1] for hemi in planned.hemis)
    moments = (planned.readout.n_folds(planned.options) + 1) * k * n_targets if planned.readout.uses_moments else 0
    return 4.0 * len(planned.folds) * (k * (n + n_features) + moments + 2 * k * n_targets)


@cache
def _speed(device: str) -> float:
    """Multiplications and additions a second, in a product of two large matrices."""
    import torch

    one = torch.randn(1024, 1024, device=device)
    one @ one
    started = time.perf_counter()
    float((one @ one).sum())
    return 0.5 * 2 * prod(one.shape) * len(one) / (time.perf_counter() - started)  # the work is not all large products


def _judged(estimate: Estimate, store: Store, device: str) -> Estimate:
    """The estimate with what there is not enough of."""
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
