"""One subject at full size, 9,841 x 39,548 responses on disk, through the pipeline itself: moments, ridge and all scores.

The components are already in the Store, as after any other fit of the same layer; what is timed is what a change of readout or
responses costs, the Store's files and checksums included.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks._timing import PeakMemory, timed
from encoding import BACKBONES, DATASETS, FitSpec, Result, Store, fit
from encoding.backbones import Backbone, Source
from encoding.datasets import Dataset, Stimuli, Subject
from encoding.storage.keys import stage_of

HEMIS = {"lh": 19_004, "rh": 20_544}
ROWS = 512
SECOND = {  # readouts fitted afterwards, with parameters
    "ols": {},
    "lasso": {"alpha": 0.05, "n_folds": 5},
    "elastic_net": {"l1_ratio": 0.5},
    "multitask_lasso": {},
    "banded_ridge": {},
    "pls": {"n_components": 20},
}
NAME = "benchmark"


class Numbers(Stimuli):
    """Stimuli that are their own row numbers: features are looked up, not computed."""

    fingerprint = NAME

    def __init__(self, n: int) -> None:
        self.names = tuple(map(str, range(n)))

    def __getitem__(self, index: int) -> Image.Image:
        return Image.new("I", (1, 1), index)


class Table(Backbone):
    """Row i of a table as the features of stimulus i."""

    fingerprint = NAME

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def to(self, device: str) -> Table:
        return self

    def prepare(self, image: Image.Image):
        import torch

        return torch.full((1, 1, 1), image.convert("I").getpixel((0, 0)))

    def activations(self, batch, layers, pool="none"):
        import torch

        return {layer: torch.from_numpy(self.table[batch.flatten().int().cpu().numpy()]).to(batch.device) for layer in layers}


class LookUp(Source):
    """The table as a source of one network."""

    name, needs_weights = NAME, False

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def networks(self) -> tuple[str, ...]:
        return (NAME,)

    def layers(self, network: str) -> tuple[str, ...]:
        return ("table",)

    every_layer = layers

    def fingerprint(self, network: str, weights: str) -> str:
        return NAME

    def open(self, network: str, weights: str) -> Table:
        return Table(self.table)


class OneSubject(Dataset):
    """The responses of the benchmark as a data set."""

    name, title, about, simulated = NAME, "Benchmark", "Random responses.", True

    def __init__(self, responses: dict[str, np.ndarray]) -> None:
        self.responses = responses

    def subjects(self) -> tuple[str, ...]:
        return (NAME,)

    def roi_names(self) -> dict[str, tuple[str, ...]]:
        return {}

    def open(self, subject: str, store: Store, report=None) -> Subject:
        n = len(self.responses["lh"])
        return Subject(
            dataset=NAME,
            name=NAME,
            stimuli=Numbers(n),
            unlabelled=Numbers(0),
            responses=self.responses,
            fingerprints={hemi: f"{NAME}-{hemi}" for hemi in self.responses},
            rois={hemi: {} for hemi in self.responses},
            groups=np.arange(n),
            simulated=True,
        )


def responses(folder: Path, Z: np.ndarray, n_vertices: int, seed: int) -> np.ndarray:
    """Responses with signal and noise on disk, memory-mapped read-only float32."""
    rng = np.random.default_rng(seed)
    W = (rng.standard_normal((Z.shape[1], n_vertices)) * rng.uniform(0, 0.05, n_vertices)).astype(np.float32)
    path = folder / f"{seed}.npy"
    Y = np.lib.format.open_memmap(path, "w+", np.float32, (len(Z), n_vertices))
    for start in range(0, len(Z), ROWS):
        rows = slice(start, start + ROWS)
        Y[rows] = Z[rows] @ W + rng.standard_normal((len(Z[rows]), n_vertices), np.float32)
    Y.flush()
    return np.load(path, mmap_mode="r")


def read_once(Ys: list[np.ndarray]) -> None:
    """Bring every response through memory once, and do nothing else with it."""
    for Y in Ys:
        for start in range(0, len(Y), ROWS):
            np.array(Y[start : start + ROWS])


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    n, p = (1_000, 50) if quick else (9_841, 100)
    Z = (np.random.default_rng(0).standard_normal((n, p)) * np.geomspace(10, 0.3, p)).astype(np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        folder, store = Path(scratch), Store(Path(scratch) / "store")
        Ys = {hemi: responses(folder, Z, t // (20 if quick else 1), seed) for seed, (hemi, t) in enumerate(HEMIS.items())}
        DATASETS.register(NAME, OneSubject(Ys))
        BACKBONES.sources.register(NAME, LookUp(Z))
        spec = FitSpec(dataset=NAME, subject=NAME, backbone=NAME, layers=("table",), n_components=p)

        def fit_anew() -> Result:
            later = [key for key in store.keys() if stage_of(key) not in ("features", "components")]  # noqa: SIM118
            for key in later:
                store.remove(key)
            return fit(spec, store, device="cpu")

        fit_anew()
        reading, _ = timed(lambda: read_once(list(Ys.values())), times=3)
        product, _ = timed(lambda: [Z.T @ Y for Y in Ys.values()], times=3)
        with PeakMemory() as memory:
            ours, result = timed(fit_anew, times=3)
        mean_r = float(np.mean([result.score(hemi).mean() for hemi in HEMIS]))
        others = [_another(replace(spec, readout=name, options=options), store) for name, options in SECOND.items()]
    targets, floor = sum(Y.shape[1] for Y in Ys.values()), reading + product
    return [
        {
            "what": f"whole ridge fit with all scores, {n:,} x {targets:,} responses on disk, {p} components",
            "ours": f"{ours:.2f} s, peak {memory.peak / 2**30:.2f} GiB",
            "against": f"reading the responses once plus one X'Y: {floor:.2f} s",
            "ratio": f"{ours / floor:.1f} x that floor",
            "aim": "4 x; 3 GiB",
            "seconds": {"ours": ours, "reading": reading, "one X'Y product": product},
            "peak_bytes": memory.peak,
            "mean_r": mean_r,
        },
        *others,
    ]


def _another(spec: FitSpec, store: Store) -> dict[str, object]:
    """Another readout of the same components and responses, whose sums are kept from the fit before."""
    with PeakMemory() as memory:
        seconds, result = timed(lambda: fit(spec, store, device="cpu"))
    converged = {
        name: float(np.nanmax([result.score(hemi, name).max() for hemi in HEMIS])) for name in ("kkt",) if name in result.detail_names
    }
    options = ", ".join(f"{name}={value}" for name, value in spec.options)
    return {
        "what": f"then {spec.readout}{f' ({options})' if options else ''} of the same subject, scores included",
        "ours": f"{seconds:.1f} s, peak {memory.peak / 2**30:.2f} GiB",
        "against": "",
        "ratio": f"optimality residual {converged['kkt']:.0e}" if converged else "",
        "aim": "3 GiB",
        "seconds": {"ours": seconds},
        "peak_bytes": memory.peak,
    }
