"""Cost of passes of a plan's stimuli through its networks: the memory of extraction and of second passes, and the size of sketches."""

from __future__ import annotations

from collections.abc import Sequence

from encoding.features import activations, blocks, sums
from encoding.features.probe import Probe, probe
from encoding.features.sketch import BLOCK_FEATURES, BLOCKS_KEPT, N_GROUPS, N_NONZEROS
from encoding.fits.plan import Plan
from encoding.storage.store import Store


def n_passes(plan: Plan) -> int:
    """Number of frames of a stimulus that pass through the network."""
    return plan.stimuli.n_frames if plan.spec.over_frames not in ("first", "last") else 1


def probe_networks(plan: Plan, store: Store, device: str) -> Probe:
    """Measure one image in all networks of a plan, which pass it one after another: one network at a time is in memory.

    ``sizes`` are of a stimulus, of which every frame is kept where the plan says so, and by the layers' names in the plan.
    """
    pool, probes = plan.spec.pool, []
    for each in plan.networks:
        probes.append(probe(each.source, each.spec.backbone, each.spec.weights, each.spec.layers, pool, store, device))
    n_kept = plan.stimuli.n_frames if plan.over_frames == "all" else 1
    pairs = zip(probes, plan.layer_names, strict=True)
    return Probe(
        sizes={name: n_kept * each.sizes[layer] for each, names in pairs for layer, name in names.items()},
        n_pixels=max(each.n_pixels for each in probes),
        seconds=sum(each.seconds for each in probes),
        peak_bytes=max(each.peak_bytes for each in probes),
        weights_bytes=max(each.weights_bytes for each in probes),
    )


def pass_bytes(plan: Plan, probed: Probe, device: str, reduced: Sequence[str]) -> float:
    """Bytes of the network, of a batch in it with its activations, of images decoded ahead, and of the signs that sketches use.

    Parameters
    ----------
    reduced : layers that are never stored.
    """
    whole, largest, batch = _batch_bytes(plan, probed, device, reduced)
    n_blocks = sum(-(-probed.sizes[layer] // BLOCK_FEATURES) for layer in reduced)
    return (
        probed.weights_bytes
        + n_passes(plan) * batch * probed.peak_bytes
        + batch * (2 * whole + largest)
        + (0.0 if device != "cpu" else _images_bytes(plan, probed, batch))
        + N_NONZEROS * BLOCK_FEATURES * min(n_blocks, BLOCKS_KEPT)
    )


def host_bytes(plan: Plan, probed: Probe, reduced: Sequence[str]) -> float:
    """Bytes of main memory that a pass on a GPU takes: images, and features on their way to the disk."""
    whole, _, batch = _batch_bytes(plan, probed, "cuda", reduced)
    return _images_bytes(plan, probed, batch) + 3 * batch * whole


def _batch_bytes(plan: Plan, probed: Probe, device: str, reduced: Sequence[str]) -> tuple[float, float, int]:
    """Bytes of a stimulus's features that are stored, and of its largest layer that is not; and number of stimuli in a batch."""
    passes = n_passes(plan)
    whole = 4.0 * passes * sum(size for layer, size in probed.sizes.items() if layer not in reduced)
    largest = 4.0 * passes * max((probed.sizes[layer] for layer in reduced), default=0)
    return whole, largest, activations.largest_batch(passes * probed.n_pixels, max(1, round(max(whole, largest))), device)


def _images_bytes(plan: Plan, probed: Probe, batch: int) -> float:
    """Bytes of the images that were decoded ahead, and of a batch of them."""
    passes = n_passes(plan)
    return 12.0 * probed.n_pixels * (max(2 * passes, activations.AHEAD) + 2 * passes * batch)


def sketch_bytes(plan: Plan) -> float:
    """Bytes of the stored sketch, or random projection, of a layer."""
    if plan.spec.reduction == "sparse_random":
        return 4.0 * len(plan.stimuli) * plan.n_frames * plan.spec.n_components
    return 2.0 * len(plan.stimuli) * plan.n_frames * N_NONZEROS * N_GROUPS


def reducing_bytes(plan: Plan, sizes: Sequence[int], network_bytes: float) -> float:
    """Bytes of a second pass: its sums and bases with either the network at work, or what finds a basis or solves for the axes."""
    n_basis, n, largest = sums.n_basis(plan.spec.n_components), len(plan.stimuli) * plan.n_frames, max(sizes, default=0)
    width = min(n, N_NONZEROS * N_GROUPS)
    axes = 4.0 * plan.spec.n_components * largest  # of a layer whose sums are in a file as well
    basis = 8.0 * 3 * n * N_NONZEROS * N_GROUPS + 8.0 * 3 * width**2
    read = 2.0 * min(blocks.BLOCK_BYTES, 8 * n_basis * largest)
    return max(kept_sums(plan, sizes), axes) + 4.0 * n_basis * n * len(sizes) + max(network_bytes, basis, read)


def kept_sums(plan: Plan, sizes: Sequence[int]) -> float:
    """Bytes of the sums of as many layers as one second pass reduces."""
    return min(sum(map(float, _layer_sums(plan, sizes))), float(sums.SUM_BYTES))


def n_second_passes(plan: Plan, sizes: Sequence[int]) -> int:
    """Number of passes in which the layers of a fold are reduced; the more there are, the earlier most of them end."""
    return len(sums.bins(dict(enumerate(_layer_sums(plan, sizes)))))


def _layer_sums(plan: Plan, sizes: Sequence[int]) -> list[int]:
    """Bytes of the sums of each layer."""
    n_train = max(len(fold.train) for fold in plan.folds) * plan.n_frames
    return [sums.sum_bytes(plan.spec.n_components, n_train, size) for size in sizes]
