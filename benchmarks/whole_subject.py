"""One subject at full size, 9,841 x 39,548 responses on disk: moments, ridge and scores of every vertex."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks._timing import PeakMemory, timed
from encoding.moments import Moments
from encoding.readouts import READOUTS, LinearModel
from encoding.scores import Tally
from encoding.splits import folds, inner_folds

HEMIS = {"lh": 19_004, "rh": 20_544}
ROWS = 512


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


def whole_fit(Z: np.ndarray, Y: np.ndarray) -> dict[str, np.ndarray]:
    """Stages 3 to 5 of the pipeline, by its own functions: moments, ridge, every score of every vertex."""
    from encoding.pipeline import SCORING_ROWS

    (fold,) = folds("holdout:0.9:5", np.arange(len(Z)))
    ridge = READOUTS["ridge"]
    options = ridge.read({})
    model: LinearModel = ridge.fit(Moments.of(Z, Y, inner_folds(fold.train, 5), rows=fold.train), options)
    tally = Tally(model.intercept)
    for start in range(0, len(fold.test), SCORING_ROWS):
        rows = fold.test[start : start + SCORING_ROWS]
        tally.add(model.predict(Z[rows]), Y[rows])
    return tally.scores()


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    n, p = (1_000, 50) if quick else (9_841, 100)
    rng = np.random.default_rng(0)
    Z = (rng.standard_normal((n, p)) * np.geomspace(10, 0.3, p)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        Ys = [responses(Path(folder), Z, t // (20 if quick else 1), seed) for seed, t in enumerate(HEMIS.values())]
        whole_fit(Z, Ys[0][:, :64])  # threads and libraries awake
        reading, _ = timed(lambda: [np.add.reduce(Y[start : start + ROWS], axis=None) for Y in Ys for start in range(0, n, ROWS)], times=2)
        product, _ = timed(lambda: [Z.T @ np.asarray(Y) for Y in Ys], times=2)
        with PeakMemory() as memory:
            ours, scores = timed(lambda: [whole_fit(Z, Y) for Y in Ys], times=2)
    targets = sum(Y.shape[1] for Y in Ys)
    floor = reading + product
    return [
        {
            "what": f"whole ridge fit with all scores, {n:,} x {targets:,} responses on disk, {p} components",
            "ours": f"{ours:.2f} s, peak {memory.peak / 2**30:.2f} GiB",
            "against": f"reading the responses once plus one X'Y: {floor:.2f} s",
            "ratio": f"{ours / floor:.1f} x that floor",
            "aim": "4 x; 3 GiB",
            "seconds": {"ours": ours, "reading": reading, "one X'Y product": product},
            "peak_bytes": memory.peak,
            "mean_r": float(np.nanmean(np.concatenate([score["r"] for score in scores]))),
        }
    ]
