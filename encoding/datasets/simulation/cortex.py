"""Simulated subjects: their vertices, and the receptive field and tuning of each vertex.

All of it is known truth, so a fit can be judged by what it ought to have found. Retinotopy follows what is known of
human visual cortex: each hemisphere sees the opposite half of the visual field, ventral V1 to V3 its upper quarter and
dorsal ones its lower quarter; the logarithm of eccentricity rises with the distance from the foveal confluence, that is
along an area's long axis, and polar angle turns along its short one and turns back at each border (Wandell, Dumoulin &
Brewer 2007). Receptive fields grow with eccentricity and from area to area (Dumoulin & Wandell 2008) and add up less
and less linearly (Kay et al. 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encoding.datasets._rois import ROI_CLASSES, ROI_NAMES
from encoding.datasets.simulation import anatomy
from encoding.datasets.simulation.anatomy import Patch, smooth_noise
from encoding.datasets.simulation.filters import FAMILIES, N_CHANNELS, ORIENTATIONS, WAVELENGTHS
from encoding.datasets.simulation.scenes import CATEGORIES
from encoding.runtime.registry import UnknownName, unknown

VERSION = 1
SUBJECTS = {"subj01": 1, "subj02": 2}  # the seed of all that differs between them
HEMIS = ("lh", "rh")

EMPTY = {  # ROIs that a localiser did not find, as happens in every real subject; mTL-faces and aTL-faces never are
    ("subj01", "lh"): ("FBA-1", "mTL-words", "mTL-bodies"),
    ("subj01", "rh"): ("mfs-words", "mTL-words", "mTL-bodies"),
    ("subj02", "lh"): ("FFA-2", "mTL-bodies"),
    ("subj02", "rh"): ("VWFA-2", "mTL-words"),
}

NEAREST, FARTHEST = 0.4, 4.2  # eccentricity in degrees, from one end of a retinotopic area to the other
FOVEAL_END, PERIPHERAL_END = 6.0, 38.0  # where those ends lie, in degrees of the sphere from the foveal confluence
CATEGORY_OF = {"floc-bodies": "bodies", "floc-faces": "faces", "floc-places": "places", "floc-words": "words"}


@dataclass(frozen=True, kw_only=True)
class Level:
    """Parameters that the vertices of one level of the hierarchy share.

    ``size`` of the receptive field at the centre of gaze and its ``growth`` per degree of eccentricity (one standard deviation,
    degrees); ``exponent`` of spatial summation; ``selectivity`` for orientation (von Mises kappa); the weights of the four
    families of channels; ``low_level``, the share of the signal's standard deviation that has nothing to do with
    categories; the mean ``ceiling``.
    """

    size: float
    growth: float
    exponent: float
    selectivity: float = 0
    energy: float = 0
    edges: float = 0
    contrast: float = 0
    colour: float = 0
    low_level: float = 1
    ceiling: float


LEVELS = {
    "V1": Level(size=0.3, growth=0.1, exponent=0.9, selectivity=3, energy=1, colour=0.1, ceiling=0.58),
    "V2": Level(size=0.45, growth=0.16, exponent=0.8, selectivity=2, energy=1, edges=0.3, colour=0.2, ceiling=0.49),
    "V3": Level(size=0.65, growth=0.25, exponent=0.7, selectivity=1.5, energy=1, edges=0.5, colour=0.2, low_level=0.95, ceiling=0.43),
    "hV4": Level(size=0.9, growth=0.35, exponent=0.6, selectivity=1, energy=0.6, edges=0.8, colour=0.8, low_level=0.85, ceiling=0.38),
    "between": Level(size=1.4, growth=0.4, exponent=0.5, contrast=1, colour=0.4, low_level=0.6, ceiling=0.22),
    "category": Level(size=1.6, growth=0.4, exponent=0.3, contrast=1, colour=0.2, low_level=0.15, ceiling=0.31),
}
LEVEL_NAMES = tuple(LEVELS)


@dataclass(frozen=True, kw_only=True)
class Hemisphere:
    """Ground truth of one hemisphere of a simulated subject; arrays have one row for each vertex unless stated otherwise.

    Attributes
    ----------
    vertices : (n,) int64, ascending, on fsaverage5 and so on fsaverage.
    member : (n_rois, n) bool, in the order of :data:`~encoding.datasets.simulation.anatomy.ROI_NAMES`.
    level : (n,) int64, position in :data:`LEVEL_NAMES`.
    x, y, size : (n,) float32, the receptive field: a Gaussian's centre (right, up) and standard deviation in degrees.
    orientation : (n,) float32, the preferred contour in radians from 0 (horizontal) to pi, anticlockwise.
    wavelength : (n,) float32, the preferred one in degrees per cycle.
    exponent : (n,) float32, of what is summed within the receptive field; below 1 means tolerance for position and size.
    tuning : (n, n_channels) float32, weights of :func:`~encoding.datasets.simulation.filters.channels`.
    categories : (n, 6) float32, weights of :data:`~encoding.datasets.simulation.scenes.CATEGORIES`.
    low_level : (n,) float32 in 0 … 1, share of the signal's standard deviation that ``tuning`` has; the rest is ``categories``'.
    ceiling : (n,) float32 in 0 … 1, the share of the responses' variance that is signal.
    """

    vertices: np.ndarray
    member: np.ndarray
    level: np.ndarray
    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    orientation: np.ndarray
    wavelength: np.ndarray
    exponent: np.ndarray
    tuning: np.ndarray
    categories: np.ndarray
    low_level: np.ndarray
    ceiling: np.ndarray

    @property
    def rois(self) -> dict[str, np.ndarray]:
        """ROI name to its columns, sorted int64; some are empty."""
        return {name: np.flatnonzero(inside) for name, inside in zip(ROI_NAMES, self.member, strict=True)}


def truth(subject: str) -> dict[str, Hemisphere]:
    """Ground truth of both hemispheres of a simulated subject, deterministic given its name.

    Raises
    ------
    UnknownName
    """
    if subject not in SUBJECTS:
        raise UnknownName(unknown("simulated subject", subject, SUBJECTS))
    return {hemi: _hemisphere(subject, hemi) for hemi in HEMIS}


def _hemisphere(subject: str, hemi: str) -> Hemisphere:
    rng = np.random.default_rng([SUBJECTS[subject], HEMIS.index(hemi)])
    sphere = anatomy.sphere(hemi)
    areas = _own_areas(subject, hemi, rng)
    near_areas = np.any([patch.distance(sphere, margin=anatomy.MARGIN) <= 1 for patch in areas], axis=0)
    vertices = np.flatnonzero(near_areas)  # one connected region of the back and underside of the brain
    points = sphere[vertices]
    patches_present = [patch for patch in areas if patch.roi not in EMPTY[subject, hemi]]

    eccentricity, angle, level = _retinotopy(points, patches_present, rng)
    categories = _preferences(points, patches_present, rng)
    mapped = [patch for patch in patches_present if patch.roi in ROI_CLASSES["prf-visualrois"]]
    beyond = np.min([patch.distance(points) for patch in mapped], axis=0) > 1
    level[beyond & (categories.max(axis=1) > 0.6)] = LEVEL_NAMES.index("category")
    side = 1 if hemi == "lh" else -1
    size = _per_level(level, "size") + _per_level(level, "growth") * eccentricity
    orientation = np.mod(smooth_noise(points, rng, degrees=5) * 1.2 + rng.normal(0, 0.4, len(points)), np.pi)
    wavelength = np.clip(0.55 * size * np.exp(rng.normal(0.35, 0.35, len(points))), WAVELENGTHS[0], WAVELENGTHS[-1])
    arrays = {
        "x": side * eccentricity * np.cos(angle),
        "y": eccentricity * np.sin(angle),
        "size": size * np.exp(rng.normal(0, 0.12, len(points))),
        "orientation": orientation,
        "wavelength": wavelength,
        "exponent": _per_level(level, "exponent"),
        "tuning": _tuning(level, orientation, wavelength, rng),
        "categories": categories,
        "low_level": _per_level(level, "low_level"),
        "ceiling": _ceiling(points, level, subject, rng),
    }
    arrays = {name: values.astype(np.float32) for name, values in arrays.items()}
    return Hemisphere(vertices=vertices, member=anatomy.members(points, patches_present), level=level, **arrays)


def _own_areas(subject: str, hemi: str, rng: np.random.Generator) -> list[Patch]:
    """The areas of this subject: those of the average brain moved together by some 1.5 degrees, grown or shrunk a little."""
    average = anatomy.patches(hemi)
    centres = np.array([patch.centre for patch in average])
    together = np.stack([smooth_noise(centres, rng, degrees=40) for _ in range(3)], axis=1)
    grow = np.exp(0.12 * smooth_noise(centres, rng, degrees=20))
    return [patch.moved(1.2 * shift, grow=g, turn=rng.normal(0, 3)) for patch, shift, g in zip(average, together, grow, strict=True)]


def _retinotopy(points: np.ndarray, areas: Sequence[Patch], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eccentricity (degrees), angle above the horizontal (radians, in the half field that is seen) and level, (n,) each.

    Vertices far from the retinotopic areas look near the centre of gaze, wherever a smooth map says.
    """
    maps = [patch for patch in areas if patch.roi in ROI_CLASSES["prf-visualrois"]]
    distance = np.array([patch.distance(points) for patch in maps])
    nearest, near = distance.argmin(axis=0), distance.min(axis=0) <= 1.5
    eccentricity = np.exp(np.log(1.4) + 0.5 * smooth_noise(points, rng, degrees=8))
    angle = np.clip(0.5 * smooth_noise(points, rng, degrees=8), -1.4, 1.4)
    level = np.full(len(points), LEVEL_NAMES.index("between"))
    centres = {patch.roi: patch.centre for patch in maps}
    ventral = centres["V1v"] - centres["V1d"]
    eccentricity[near] = _eccentricity(points[near], maps, rng)
    for number, patch in enumerate(maps):
        here = np.flatnonzero(near & (nearest == number))
        across = patch.coordinates(points[here])[1] * np.sign(np.cross(patch.centre, patch.axis) @ ventral)
        angle[here] = _polar_angle(patch.roi, np.clip(across + rng.normal(0, 0.08, len(here)), -1, 1))
        level[here] = LEVEL_NAMES.index(patch.roi.rstrip("vd"))
    return np.clip(eccentricity, NEAREST, FARTHEST), angle, level


def _eccentricity(points: np.ndarray, maps: Sequence[Patch], rng: np.random.Generator) -> np.ndarray:
    """(n,) degrees: its logarithm rises with the distance from where the areas' central ends meet, the foveal confluence."""
    ends = [patch.centre - np.tan(np.radians(2 * patch.sd_major)) * patch.axis for patch in maps]
    confluence = np.sum([end / np.linalg.norm(end) for end in ends], axis=0)
    away = np.degrees(np.arccos(points @ confluence / np.linalg.norm(confluence)))
    along = (away - FOVEAL_END) / (PERIPHERAL_END - FOVEAL_END) + rng.normal(0, 0.04, len(points))
    return NEAREST * (FARTHEST / NEAREST) ** np.clip(along, 0, 1)


def _polar_angle(area: str, across: np.ndarray) -> np.ndarray:
    """Radians above the horizontal at places from the dorsal (-1) to the ventral (1) edge of an area."""
    quarter = np.pi / 4
    if area == "hV4":  # the whole half field, its upper end at V3v
        return -2 * quarter * across
    if area.endswith("v"):  # V1v from the horizontal to the upper vertical, V2v back, V3v as V1v
        return quarter * (1 - across if area == "V2v" else 1 + across)
    return -quarter * (1 + across if area == "V2d" else 1 - across)


def _preferences(points: np.ndarray, areas: Sequence[Patch], rng: np.random.Generator) -> np.ndarray:
    """(n, 6) weights of categories: high within the areas for one, fading at the rim, weak and smooth elsewhere."""
    weights = np.stack([0.25 * np.maximum(smooth_noise(points, rng, degrees=7), 0) + 0.02 for _ in CATEGORIES], axis=1)
    for kind, category in CATEGORY_OF.items():
        for patch in areas:
            if patch.roi in ROI_CLASSES[kind]:
                bump = np.exp(-0.5 * np.maximum(patch.distance(points) - 0.5, 0) ** 2 / 0.35**2)
                column = weights[:, CATEGORIES.index(category)]
                np.maximum(column, bump, out=column)
    return weights


def _tuning(level: np.ndarray, orientation: np.ndarray, wavelength: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, n_channels) weights, each family's adding up to what its level gives to it."""
    n = len(level)
    scale = np.exp(-0.5 * (np.log2(wavelength[:, None] / np.array(WAVELENGTHS)) / 0.5) ** 2)
    turn = np.exp(_per_level(level, "selectivity")[:, None] * np.cos(2 * (orientation[:, None] - np.array(ORIENTATIONS))))
    within = {
        "energy": (scale[:, :, None] * turn[:, None, :]).reshape(n, -1),
        "edges": turn,
        "contrast": scale,
        "colour": rng.dirichlet(np.ones(4), n),
    }
    tuning = np.zeros((n, N_CHANNELS))
    for family, place in FAMILIES.items():
        tuning[:, place] = _per_level(level, family)[:, None] * within[family] / within[family].sum(axis=1, keepdims=True)
    return tuning


def _ceiling(points: np.ndarray, level: np.ndarray, subject: str, rng: np.random.Generator) -> np.ndarray:
    quality = {"subj01": 1.0, "subj02": 0.85}[subject]
    patchy = 0.08 * smooth_noise(points, rng, degrees=6) + rng.normal(0, 0.03, len(points))
    return np.clip((_per_level(level, "ceiling") + patchy) * quality, 0.05, 0.75)


def _per_level(level: np.ndarray, attribute: str) -> np.ndarray:
    return np.array([getattr(LEVELS[name], attribute) for name in LEVEL_NAMES])[level]
