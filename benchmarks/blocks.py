"""All 16 blocks of ResNet-50 reduced in the pass, against a bare forward of the same images twice: Store, time, peak memory.

The bare forward decodes the images and runs the network in torch's default memory layout; of many images it runs a part before and a part
after ours, so that other work on the machine slows down both. Weights are untrained, which costs the same as trained ones.
``SCALE_IMAGES`` sets the number of images (default 2,000). Part of ``python -m benchmarks scale``; alone: ``python -m benchmarks blocks``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks._timing import PeakMemory, worked
from benchmarks.extraction import image_files
from encoding import Store
from encoding.backbones import BACKBONES, Backbone
from encoding.datasets._images import ImageFiles
from encoding.features.activations import activations
from encoding.features.extraction import extract, feature_keys, sketch_key
from encoding.features.reduction import reduce_spaces
from encoding.features.sums import Space
from encoding.runtime.progress import silent
from encoding.storage.keys import digest

NETWORK = "torchvision/resnet50"
BLOCKS = [f"layer{stage}.{block}" for stage, n in enumerate((3, 4, 6, 3), 1) for block in range(n)]
N_COMPONENTS = 100
N_NSD = 9_841  # images of one NSD subject
POOLS = ("none", "mean")
N_BARE = 128  # most images of the bare forward before, and after


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    n_images, k = (32, 2) if quick else (int(os.environ.get("SCALE_IMAGES", "2000")), N_COMPONENTS)
    k = min(k, n_images // 5)
    plain, backbone = (BACKBONES[NETWORK].open(NETWORK, "random:0") for _ in range(2))
    backbone = backbone.for_passes("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        paths, kind = image_files(n_images, Path(scratch))
        stimuli, store = ImageFiles(paths, fingerprint="benchmark"), Store(Path(scratch) / "store")
        features = feature_keys("benchmark", "resnet50", BLOCKS)
        sketches = {layer: sketch_key(features[layer]) for layer in BLOCKS}
        rows = np.random.default_rng(5).permutation(n_images)
        train, test = np.sort(rows[: n_images * 9 // 10]), np.sort(rows[n_images * 9 // 10 :])

        def stream(rows, layers, report, use):
            forward(backbone, [paths[row] for row in rows], layers, use)

        def reduce() -> None:
            extract(stimuli, lambda: backbone, {}, store, sketches=sketches)
            spaces = [Space(digest("components", 1, layer=layer), {layer: store.get(key)}, k) for layer, key in sketches.items()]
            reduce_spaces(spaces, train, test, stream, store, n_frames=1, device="cpu", report=silent)

        forward(plain, paths[:8], BLOCKS[-1:])
        n_bare = min(N_BARE, n_images)
        before, _, before_work = worked(lambda: forward(plain, paths[:n_bare], BLOCKS[-1:]))
        with PeakMemory() as memory:
            ours, _, our_work = worked(reduce)
        after, _, after_work = worked(lambda: forward(plain, paths[-n_bare:], BLOCKS[-1:]))
        bare, bare_work = ((before + after) * n_images / n_bare, (before_work + after_work) * n_images / n_bare)
        kept = {stage: sum(store.size(key) for key in store.keys() if key.startswith(stage)) for stage in ("sketch", "components")}  # noqa: SIM118
        n_features = sum(int(store.get(key)["n_features"]) for key in sketches.values())
    sampled = f" (by {n_bare} images before and after)" if n_bare < n_images else ""
    stored, raw = sum(kept.values()), 4 * n_features * n_images
    nsd = kept["sketch"] / n_images * N_NSD + 2 * n_features * N_COMPONENTS + 4 * n_features + 4 * 16 * N_COMPONENTS * N_NSD
    return [
        {
            "what": f"ResNet-50, 16 blocks reduced to {k} components, {n_images:,} images ({kind})",
            "ours": f"{ours:.0f} s ({our_work:.0f} s of processor time), {stored / 1e9:.2f} GB stored, peak {memory.peak / 2**30:.2f} GiB",
            "against": f"bare forward twice{sampled}: {bare:.0f} s ({bare_work:.0f} s); raw features: {raw / 1e9:.1f} GB",
            "ratio": f"{ours / bare:.2f} x its time ({our_work / bare_work:.2f} x its processor time); "
            f"{raw / stored:.1f} x smaller; for {N_NSD:,} images and {N_COMPONENTS} components"
            f" {nsd / 1e9:.1f} GB of {4 * n_features * N_NSD / 1e9:.0f}",
            "aim": "1.5 GB and 3 GiB at 2,000 images",
            "seconds": {"ours": ours, "bare": bare},
        }
    ]


def forward(backbone: Backbone, paths: Sequence[Path], layers: Sequence[str], use: Callable[..., None] = lambda *_: None) -> None:
    """Pass images through a network."""
    for _ in activations(ImageFiles(paths, fingerprint="rows"), backbone, layers, POOLS, use, device="cpu"):
        pass
