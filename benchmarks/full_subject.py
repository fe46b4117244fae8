"""A simulated subject of the Algonauts 2023 challenge's full size on disk: 19,004 and 20,544 vertices of fsaverage.

The demo's vertices lie on fsaverage5. Here each vertex of the finer mesh answers as the nearest of the demo's does, with noise of
its own, and is in the same ROIs: so the files, their sizes and what a fit finds in them are like those of a real subject.

``python -m benchmarks.full_subject DIR`` writes ``DIR/algonauts2023/subj01``; then set ``ENCODING_DATA_DIR`` to ``DIR``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from encoding import DATASETS, FitSpec, Store
from encoding.analysis.layer_sweep import Sweep
from encoding.datasets import Subject
from encoding.datasets._surface import mesh
from encoding.datasets.simulation import anatomy
from encoding.datasets.simulation.responses import simulate_responses
from encoding.datasets.writers.algonauts2023 import write_algonauts2023
from encoding.experiments.sweep import run_sweep
from encoding.fits.plan import plan
from encoding.jobs.tasks import study

HEMIS = {"lh": 19_004, "rh": 20_544}  # vertices of the challenge's subjects
NAME, SEED = "subj01", 39_548
SPEC = FitSpec(dataset="algonauts2023", subject=NAME)
CELLS = (("pixels", "rgb"), ("gabor", "simple"), ("gabor", "energy"))


@contextmanager
def prepared() -> Iterator[tuple[dict[str, str], list[str], Path]]:
    """The environment of a server that has the subject and the demo, their layers swept and fits studied; two fits of the
    subject by their keys; and a folder for logs. ``BENCHMARK_DIR`` names a folder that is kept for the next time.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(os.environ.get("BENCHMARK_DIR", scratch))
        env = {"ENCODING_DATA_DIR": str(folder / "data"), "ENCODING_CACHE_DIR": str(folder / "cache")}
        os.environ |= env
        store = Store(folder / "cache")
        write(folder / "data", store)
        for spec in (SPEC, FitSpec()):
            sweep = Sweep(spec=spec, cells=CELLS)
            run_sweep(sweep, store)
            for cell in CELLS[1:]:
                study(sweep.spec_of(cell), store)
        fits = [plan(replace(SPEC, layers=layers), store).key for layers in (("energy",), ("simple",))]
        yield env, fits, folder


def write(out: Path, store: Store) -> Path:
    """Write the subject below ``out`` and return its folder; nothing is done where it is there."""
    folder = out / "algonauts2023"
    return folder / NAME if (folder / NAME).exists() else write_algonauts2023(full_size(store), folder)


def full_size(store: Store) -> Subject:
    """The demo's first subject on fsaverage instead of fsaverage5."""
    demo = DATASETS["demo"]
    small, truth = demo.open(NAME, store), demo.truth(NAME, store)
    parts = {"vertices": {}, "responses": {}, "rois": {}, "ceiling": {}}
    for number, (hemi, n_vertices) in enumerate(HEMIS.items()):
        points = fsaverage_sphere(hemi)
        vertices = _nearest_to_visual_cortex(points, hemi, n_vertices)
        _, alike = cKDTree(points[small.vertices[hemi]]).query(points[vertices])  # vertices of fsaverage5 come first, so numbers agree
        ceiling = np.asarray(small.ceiling[hemi])[alike]
        signal = np.asarray(truth.signal[hemi])[:, alike]
        parts["vertices"][hemi], parts["ceiling"][hemi] = vertices, ceiling
        parts["responses"][hemi] = simulate_responses(signal, ceiling, np.random.default_rng([SEED, number]))
        parts["rois"][hemi] = {roi: np.flatnonzero(np.isin(alike, columns)) for roi, columns in small.rois[hemi].items()}
    return replace(small, fingerprints={hemi: f"full-size-{hemi}" for hemi in HEMIS}, **parts)


def fsaverage_sphere(hemi: str) -> np.ndarray:
    """(163842, 3) points on the unit sphere: fsaverage5's, then the middles of edges, twice over, as in an icosahedral mesh."""
    points, faces = anatomy.sphere(hemi), mesh("sphere", hemi)[1].astype(np.int64)
    for _ in range(2):
        edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        edges, middle = np.unique(edges, axis=0, return_inverse=True)
        between = points[edges].sum(axis=1)
        ab, bc, ca = len(points) + middle.reshape(3, -1)
        a, b, c = faces.T
        points = np.concatenate([points, between / np.linalg.norm(between, axis=1, keepdims=True)])
        faces = np.concatenate([np.stack(corners, axis=1) for corners in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
    return points


def _nearest_to_visual_cortex(points: np.ndarray, hemi: str, n_vertices: int) -> np.ndarray:
    """(n_vertices,) int64, ascending: those nearest to any visual area, as far out as it takes to have so many."""
    away = np.min([patch.distance(points, margin=anatomy.MARGIN) for patch in anatomy.patches(hemi)], axis=0)
    return np.sort(np.argsort(away, kind="stable")[:n_vertices])


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), Store()))
