"""Anatomy of the simulated subjects: visual areas as elliptical patches on the unit sphere of fsaverage5.

``areas.csv`` holds a row per patch: the centre and the direction of its long axis as unit vectors of fsaverage's
registration sphere, and the standard deviations of its vertices along the long and short axis in degrees. They
were measured on the probabilistic atlas of Wang et al. (2015) and the parcellation of Glasser et al. (2016).
Areas known only from functional localisers were set by the parcels they are known to lie in: FFA-1 and FFA-2 are the back
and the front of the fusiform face complex (FFC), FBA-1 and FBA-2 lie beside them, OFA is PIT, EBA is LO3, V4t, FST, PH and
hMT, PPA is PHC1, PHC2, VMV3 and PHA2, OPA is V3B and V3CD, RSC is in POS1, the word areas run from beside PIT along TE2p.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from encoding.datasets._rois import ROI_CLASSES, ROI_NAMES

MARGIN = 4.5  # degrees: visual cortex reaches this far beyond the rims of its areas
N_WAVES = 24  # plane waves whose sum is smooth noise
STREAM_MARGIN = 3.0  # degrees: as above, for the vertices that belong to a stream


@dataclass(frozen=True)
class Patch:
    """An elliptical patch of cortex. ``roi`` and ``stream`` are empty where it belongs to none."""

    area: str
    roi: str
    stream: str
    hemi: str
    centre: np.ndarray
    axis: np.ndarray
    sd_major: float
    sd_minor: float

    def coordinates(self, points: np.ndarray, *, margin: float = 0) -> tuple[np.ndarray, np.ndarray]:
        """Compute elliptical coordinates along the long and the short axis, (n,) each, in units of the half-axes: the rim has radius 1.

        Parameters
        ----------
        points : (n, 3) on the unit sphere.
        margin : degrees by which the ellipse is widened on all sides.

        Notes
        -----
        A uniformly filled ellipse has half-axes of two standard deviations. The far half of the sphere is at infinity.
        """
        side = np.cross(self.centre, self.axis)
        along, across = (np.degrees(np.arcsin(np.clip(points @ v, -1, 1))) for v in (self.axis, side))
        along = np.where(points @ self.centre > 0, along, np.inf)
        return along / (2 * self.sd_major + margin), across / (2 * self.sd_minor + margin)

    def distance(self, points: np.ndarray, *, margin: float = 0) -> np.ndarray:
        """Compute distances from the centre, (n,), 1 on the rim."""
        return np.hypot(*self.coordinates(points, margin=margin))

    def moved(self, shift: np.ndarray, *, grow: float, turn: float) -> Patch:
        """Return the patch moved by ``shift`` (3,) degrees, scaled by ``grow`` and rotated by ``turn`` degrees."""
        centre = _unit(self.centre + np.radians(shift))
        axis = _unit(self.axis - centre * (self.axis @ centre))
        axis = axis * np.cos(np.radians(turn)) + np.cross(centre, axis) * np.sin(np.radians(turn))
        return replace(self, centre=centre, axis=axis, sd_major=self.sd_major * grow, sd_minor=self.sd_minor * grow)


@cache
def patches(hemi: str) -> tuple[Patch, ...]:
    """Load all patches of one hemisphere of the average brain, their long axes pointing to the midline."""
    with Path(__file__).with_name("areas.csv").open(newline="") as file:
        return tuple(_patch(row) for row in csv.DictReader(file) if row["hemi"] == hemi)


def _patch(row: Mapping[str, str]) -> Patch:
    centre = _unit(np.array([float(row[name]) for name in ("x", "y", "z")]))
    axis = _unit(np.array([float(row[name]) for name in ("axis_x", "axis_y", "axis_z")]))
    if (axis[0] < 0) == (row["hemi"] == "lh"):
        axis = -axis
    names = {name: row[name] for name in ("area", "roi", "stream", "hemi")}
    return Patch(**names, centre=centre, axis=axis, sd_major=float(row["sd_major"]), sd_minor=float(row["sd_minor"]))


@cache
def sphere(hemi: str) -> np.ndarray:
    """Vertices of fsaverage5 on the unit sphere, (10242, 3) float64; bundled with nilearn, nothing is downloaded."""
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.surface import load_surf_mesh

    mesh = load_surf_mesh(fetch_surf_fsaverage("fsaverage5")["sphere_left" if hemi == "lh" else "sphere_right"])
    points = np.asarray(mesh.coordinates, float)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def members(points: np.ndarray, areas: Sequence[Patch]) -> np.ndarray:
    """Compute ROI membership, (n_rois, n) bool in the order of :data:`ROI_NAMES`; within a class a vertex belongs to the nearer area."""
    names, found = list(ROI_NAMES), np.zeros((len(ROI_NAMES), len(points)), bool)
    for kind, rois in ROI_CLASSES.items():
        margin = STREAM_MARGIN if kind == "streams" else 0
        of = [(patch.stream if kind == "streams" else patch.roi) for patch in areas]
        rivals = [(names.index(name), patch.distance(points, margin=margin)) for name, patch in zip(of, areas, strict=True) if name in rois]
        if rivals:
            index, distance = (np.array(column) for column in zip(*rivals, strict=True))
            nearest = np.argmin(distance, axis=0)
            inside = np.flatnonzero(distance.min(axis=0) <= 1)
            found[index[nearest[inside]], inside] = True
    return found


def smooth_noise(points: np.ndarray, rng: np.random.Generator, *, degrees: float) -> np.ndarray:
    """Draw smooth noise on the sphere, (n,) of about zero mean and unit variance: a sum of plane waves.

    Parameters
    ----------
    points : (n, 3) on the unit sphere.
    rng : source of randomness.
    degrees : correlation length.
    """
    directions = rng.standard_normal((N_WAVES, 3))
    waves = 1 / np.radians(degrees) * directions
    phases = rng.uniform(0, 2 * np.pi, N_WAVES)
    return np.sqrt(2 / N_WAVES) * np.sin(points @ waves.T + phases).sum(axis=1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
