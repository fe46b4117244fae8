"""Lesson: population receptive fields, true and estimated.

After Dumoulin & Wandell (2008), Population receptive field estimates in human visual cortex, NeuroImage 39, with images in
place of moving bars: every candidate field predicts responses, and the one that correlates best with those measured is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encoding.datasets.simulation.cortex import Hemisphere
from encoding.datasets.simulation.filters import cell_centres
from encoding.datasets.simulation.scenes import DEGREES

GRID = 16  # cells along each side of the visual field, 0.5 degrees wide
SIZES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # standard deviations of candidate fields, degrees
N_PLACES = 22  # of candidate fields along each side, 0.4 degrees apart
MIDLINE = 1e-6  # degrees: a place so near to the vertical midline lies on it, and both hemispheres see it
AREAS = {"V1": ("V1v", "V1d"), "V2": ("V2v", "V2d"), "V3": ("V3v", "V3d"), "hV4": ("hV4",)}


@dataclass(frozen=True)
class Field:
    """Isotropic Gaussian receptive field: centre ``x`` (right) and ``y`` (up) and standard deviation ``size``, degrees.

    ``r`` is the correlation of the responses with the contrast in it; 1 for a known field.
    """

    x: float
    y: float
    size: float
    r: float = 1.0

    def distance(self, other: Field) -> float:
        """Distance between the centres, degrees."""
        return float(np.hypot(self.x - other.x, self.y - other.y))


@dataclass(frozen=True)
class Candidates:
    """Every field that is tried: ``x``, ``y``, ``size`` (m,) in degrees, and ``predicted`` (n_images, m) float32, columns of length 1."""

    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    predicted: np.ndarray


def contrast(images: np.ndarray) -> np.ndarray:
    """Standard deviation of brightness in each cell of an image: (n, s, s, 3) uint8 -> (n, GRID²) float32, row by row from the top.

    The square root of the standard deviation, as responses grow less than contrast does; ``s`` is a multiple of GRID.
    """
    n, side = len(images), images.shape[1] // GRID
    brightness = (images[..., 0].astype(np.float32) + images[..., 1] + images[..., 2]) / (3 * 255)
    cells = brightness.reshape(n, GRID, side, GRID, side)
    spread = np.sqrt(np.maximum((cells**2).mean(axis=(2, 4)) - cells.mean(axis=(2, 4)) ** 2, 0))
    return np.sqrt(spread).reshape(n, GRID * GRID)


def candidates(contrasts: np.ndarray) -> Candidates:
    """Fields of all :data:`SIZES` at N_PLACES x N_PLACES places, with what each predicts of (n, GRID²) contrasts."""
    cell_x, cell_y = (values.ravel() for values in cell_centres(GRID))
    places = np.linspace(-DEGREES / 2, DEGREES / 2, N_PLACES, dtype=np.float32)
    x, y, size = (values.ravel() for values in np.meshgrid(places, places, np.array(SIZES, np.float32), indexing="ij"))
    weights = np.exp(-((cell_x[:, None] - x) ** 2 + (cell_y[:, None] - y) ** 2) / (2 * size**2))
    return Candidates(x, y, size, _unit(contrasts @ (weights / weights.sum(axis=0))))


def recovered(responses: np.ndarray, tried: Candidates) -> Field:
    """Estimate the receptive field of (n,) responses: the candidate with the highest correlation."""
    r = tried.predicted.T @ _unit(np.asarray(responses, np.float32))
    best = int(np.argmax(r))
    return Field(float(tried.x[best]), float(tried.y[best]), float(tried.size[best]), float(r[best]))


def place_map(responses: np.ndarray, contrasts: np.ndarray) -> np.ndarray:
    """Correlate (n,) responses with the contrast at each place, (GRID, GRID), top row first."""
    return (_unit(contrasts).T @ _unit(np.asarray(responses, np.float32))).reshape(GRID, GRID)


def drive(half: Hemisphere, x: float, y: float) -> np.ndarray:
    """Response of each vertex, (n_vertices,), to a small spot: 1 at the centre of its field, near 0 outside it."""
    return np.exp(-((half.x - x) ** 2 + (half.y - y) ** 2) / (2 * half.size**2))


def members(half: Hemisphere, area: str) -> np.ndarray:
    """The vertices of one of :data:`AREAS` in a hemisphere, sorted."""
    return np.unique(np.concatenate([half.rois[roi] for roi in AREAS[area]]))


def nearest(half: Hemisphere, area: str, x: float, y: float) -> int:
    """Vertex of an area whose field centre is nearest to a place."""
    inside = members(half, area)
    return int(inside[np.argmin(np.hypot(half.x[inside] - x, half.y[inside] - y))])


def field_of(half: Hemisphere, vertex: int) -> Field:
    """The true field of a simulated vertex."""
    return Field(*(float(values[vertex]) for values in (half.x, half.y, half.size)))


def on_midline(x: float) -> bool:
    """Whether a place lies on the vertical midline of the visual field, which both hemispheres see."""
    return abs(x) < MIDLINE


def sees(x: float) -> str:
    """The hemisphere that sees a place: the one on the other side; of the midline, which both see, the left one is taken.

    >>> sees(-2.0), sees(4 * np.cos(np.radians(270)))
    ('rh', 'lh')
    """
    return "rh" if x < 0 and not on_midline(x) else "lh"


def largest_drive(half: Hemisphere, area: str, x: float, y: float) -> float:
    """Response of the vertex of an area that a small spot drives most, 0 to 1: see :func:`drive`."""
    return float(drive(half, x, y)[members(half, area)].max())


def _unit(values: np.ndarray) -> np.ndarray:
    """Columns less their mean, of length 1; a constant column becomes 0."""
    values = values - values.mean(axis=0)
    length = np.sqrt((values**2).sum(axis=0))
    return values / np.where(length > 0, length, 1)
