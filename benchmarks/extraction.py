"""Features of all of AlexNet's curated layers in one pass, against a bare loop that decodes, resizes and forwards the same files.

The bare loop keeps nothing and writes nothing; the features stage stores every layer, checked and with checksums.
Both run in turn, several times, and the best of each counts: other work on the machine only ever adds time.
Weights are untrained, which costs the same as trained ones. Alone: ``python -m benchmarks extraction``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks._timing import PeakMemory, timed
from encoding import Store
from encoding.backbones import BACKBONES, Backbone
from encoding.datasets._images import ImageFiles
from encoding.features.extraction import extract, feature_keys

NETWORK = "torchvision/alexnet"
PHOTOGRAPHS = Path(__file__).parents[2] / "shared" / "data" / "stimuli"
BATCH = 32


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    n_images, repeats = (64, 2) if quick else (384, 5)
    backbone, layers = BACKBONES[NETWORK].open(NETWORK, "random:0"), BACKBONES[NETWORK].layers(NETWORK)
    with tempfile.TemporaryDirectory() as scratch:
        paths, kind = image_files(n_images, Path(scratch))
        bare_loop(paths[:BATCH], backbone)  # memory and threads are set up before the clock starts
        bare, ours = [], []
        for repeat in range(repeats):
            bare.append(timed(lambda: bare_loop(paths, backbone))[0])
            store = Store(Path(scratch) / f"store-{repeat}")
            with PeakMemory() as memory:
                ours.append(timed(lambda store=store: all_layers(paths, backbone, layers, store))[0])
            keys = store.keys()
            written = sum(store.size(key) for key in keys)
            for key in keys:
                store.remove(key)
    return [
        {
            "what": f"AlexNet, {len(layers)} layers in one pass, {n_images} images ({kind}), {written / 1e6:.0f} MB stored",
            "ours": f"{min(ours):.2f} s, {n_images / min(ours):.0f} images/s",
            "against": f"bare loop that stores nothing: {min(bare):.2f} s",
            "ratio": f"{min(ours) / min(bare):.2f} x its time",
            "aim": "at most 1.3 x",
            "seconds": {"ours": ours, "bare loop": bare},
            "peak_mib_above_start": (memory.peak - memory.start) / 2**20,
        }
    ]


def bare_loop(paths: Sequence[Path], backbone: Backbone) -> None:
    """What one writes first: decode, torchvision's own transform, forward."""
    import torch
    from torchvision.models import AlexNet_Weights

    transform = AlexNet_Weights.IMAGENET1K_V1.transforms()
    with torch.no_grad():
        for start in range(0, len(paths), BATCH):
            images = [transform(Image.open(path).convert("RGB")) for path in paths[start : start + BATCH]]
            backbone.network(torch.stack(images))


def all_layers(paths: Sequence[Path], backbone: Backbone, layers: Sequence[str], store: Store) -> None:
    """The features stage, every curated layer stored."""
    extract(ImageFiles(paths, fingerprint="benchmark"), lambda: backbone, feature_keys("benchmark", "alexnet", layers), store)


def image_files(n: int, folder: Path) -> tuple[list[Path], str]:
    """JPEG photographs where there are enough, else drawn images as PNG, of the size of NSD's."""
    found = sorted(PHOTOGRAPHS.rglob("*.jpg"))
    if len(found) >= n:
        return found[:n], "JPEG photographs"
    rng = np.random.default_rng(0)
    made = []
    for i in range(n):
        small = Image.fromarray(rng.integers(0, 256, (25, 25, 3), dtype=np.uint8))
        made.append(folder / f"{i:05d}.png")
        small.resize((425, 425), Image.Resampling.BICUBIC).save(made[-1])
    return made, "drawn, PNG 425 x 425"
