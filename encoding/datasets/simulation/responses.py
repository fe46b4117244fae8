"""Simulate responses to images: a known signal plus noise at a known noise ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from encoding.datasets.simulation.cortex import Hemisphere
from encoding.datasets.simulation.filters import FAMILIES, GRID, category_maps, cell_centres, channels, shrunk
from encoding.datasets.simulation.scenes import Scenes
from encoding.runtime.progress import Report, silent

VERSION = 1
COARSE = 16  # grid of the maps that only large receptive fields look at
BLOCK = 100  # images at a time: bounds the memory


def signals(cortex: Mapping[str, Hemisphere], scenes: Scenes, report: Report = silent) -> dict[str, np.ndarray]:
    """Compute the noiseless responses of every vertex, hemisphere to (n_stimuli, n_vertices) float32 of mean 0 and variance 1.

    Each channel is summed within the vertex's receptive field, raised to its exponent and weighted by its tuning; so is each category. The
    two sums are standardised over the stimuli and mixed according to ``low_level``.
    """
    n = len(scenes.images)
    seen = {hemi: np.zeros((n, len(half.vertices)), np.float32) for hemi, half in cortex.items()}
    known = {hemi: np.zeros_like(values) for hemi, values in seen.items()}
    fields = {(hemi, grid): receptive_fields(half, grid) for hemi, half in cortex.items() for grid in (GRID, COARSE)}
    maps_of_things = category_maps(scenes.things, n, grid=COARSE)

    def show(start: int) -> None:
        rows = slice(start, start + BLOCK)
        maps = channels(scenes.images[rows])
        for hemi, half in cortex.items():
            for family, place in FAMILIES.items():
                grid = GRID if family in ("energy", "edges") else COARSE
                at_grid = shrunk(maps[:, place].reshape(-1, GRID, GRID), grid).reshape(len(maps), -1, grid, grid)
                _pool(at_grid, fields[hemi, grid], half.tuning[:, place], half.exponent, out=seen[hemi][rows])
            _pool(maps_of_things[rows], fields[hemi, COARSE], half.categories, half.exponent, out=known[hemi][rows])

    starts = range(0, n, BLOCK)
    with threadpool_limits(1), ThreadPoolExecutor(joblib.cpu_count()) as pool:  # a block a core: small products shared by cores only wait
        for start, _ in zip(starts, pool.map(show, starts), strict=True):
            report(start / n, f"Showing scene {start + 1:,} of {n:,} to the simulated cortex")
    signals = {}
    for hemi, half in cortex.items():
        signal = half.low_level * _standardised(seen.pop(hemi))
        signal += np.sqrt(1 - half.low_level**2) * _standardised(known.pop(hemi))
        signals[hemi] = _standardised(signal)
    return signals


def simulate_responses(signal: np.ndarray, ceiling: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The signal with fresh noise, standardised per vertex. A second call with the same ``rng`` gives a repeat.

    Parameters
    ----------
    signal : (n_stimuli, n_vertices), of mean 0 and variance 1 per vertex.
    ceiling : (n_vertices,) in 0 … 1; the signal's share of the responses' variance, in expectation.

    Returns
    -------
    (n_stimuli, n_vertices) float32, of mean 0 and variance 1 per vertex.
    """
    share = np.asarray(ceiling, np.float32)
    responses = rng.standard_normal(signal.shape, np.float32)
    responses *= np.sqrt(1 - share)
    responses += np.sqrt(share) * signal
    return _standardised(responses)


def receptive_fields(half: Hemisphere, grid: int) -> np.ndarray:
    """Compute Gaussian receptive fields, (n_vertices, grid * grid) float32, whose integral over the plane is 1."""
    x, y = (values.ravel() for values in cell_centres(grid))
    cell = x[1] - x[0]
    fields = (x - half.x[:, None]) ** 2
    fields += (y - half.y[:, None]) ** 2
    fields /= -2 * half.size[:, None] ** 2
    np.exp(fields, out=fields)
    fields *= cell**2 / (2 * np.pi * half.size[:, None] ** 2)
    return fields


def _pool(maps: np.ndarray, fields: np.ndarray, weights: np.ndarray, exponent: np.ndarray, *, out: np.ndarray) -> None:
    """Add to ``out`` (n, n_vertices) the responses of vertices to maps (n, n_channels, grid, grid), weighted (n_vertices, n_channels)."""
    vertices = np.flatnonzero(weights.any(axis=1))
    inside = fields[vertices].T
    for channel in range(maps.shape[1]):
        pooled = maps[:, channel].reshape(len(maps), -1) @ inside
        np.power(np.maximum(pooled, 1e-6), exponent[vertices], out=pooled)
        out[:, vertices] += pooled * weights[vertices, channel]


def _standardised(values: np.ndarray) -> np.ndarray:
    """Standardise ``values`` in place to mean 0 and variance 1 per column, and return it."""
    values -= values.mean(axis=0)
    values /= values.std(axis=0)
    return values
