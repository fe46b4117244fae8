"""The cortical surface: meshes of fsaverage5 and fsaverage, placement of columns, ROI borders and standard views.

fsaverage5 is bundled with nilearn, so no network is needed; the meshes of fsaverage are used where they lie on disk
(:func:`full_folder`). The icosahedral meshes are nested: vertex i of fsaverage5 is vertex i of fsaverage (Fischl et al. 1999), so the
columns of a subject on fsaverage are on fsaverage5 exactly when their vertex number is below 10,242.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from encoding.datasets._base import FSAVERAGE_VERTICES
from encoding.datasets._registry import data_dir
from encoding.runtime.registry import UnknownName, unknown

N_VERTICES = 10_242  # of a hemisphere of fsaverage5
SPACES = {"fsaverage5": N_VERTICES, "fsaverage": FSAVERAGE_VERTICES}
"""Meshes that maps are drawn on, and the vertices of a hemisphere."""
FULL = "fsaverage"
HOW_TO_GET_FULL = """python -c "from nilearn.datasets import fetch_surf_fsaverage as get; get('fsaverage')\""""
FULL_FILES = tuple(f"{part}_{side}.gii.gz" for part in ("infl", "pial", "flat", "sulc") for side in ("left", "right"))
HEMIS = {"lh": "left", "rh": "right"}
SURFACES = {
    "inflated": "infl",
    "pial": "pial",
    "flat": "flat",
    "sphere": "sphere",
    "white": "white",
}
"""Names of the surfaces, and what nilearn calls them."""


@dataclass(frozen=True)
class View:
    """A standard view, as the camera position around the *left* hemisphere, mirrored for the right one.

    Attributes
    ----------
    azimuth : degrees from lateral (0) over anterior (90) and medial (180) to posterior (-90).
    elevation : degrees above the horizon; 90 views from above.
    swapped : whether somebody standing there has the right hemisphere at the left hand.
    """

    azimuth: float
    elevation: float
    swapped: bool = False


VIEWS = {
    "lateral": View(0, 0),
    "medial": View(180, 0),
    "ventral": View(90, -90, swapped=True),
    "dorsal": View(-90, 90),
    "posterior": View(-90, 0),
    "anterior": View(90, 0, swapped=True),
}


class NoMesh(RuntimeError):
    """Raised where the meshes of fsaverage are not on this machine, or are no meshes of fsaverage."""


def full_folder() -> Path | None:
    """Folder of the meshes of fsaverage in nilearn's layout; None where there is none.

    It is ``fsaverage`` in the folder of data sets (``$ENCODING_DATA_DIR``) or in one of nilearn's (``$NILEARN_SHARED_DATA``,
    ``$NILEARN_DATA``, ``~/nilearn_data``), with all of :data:`FULL_FILES`. Nothing is downloaded.
    """
    from nilearn.datasets import get_data_dirs

    for folder in (data_dir(), *map(Path, get_data_dirs())):
        if all((folder / FULL / name).is_file() for name in FULL_FILES):
            return folder / FULL
    return None


def mesh(surface: str, hemi: str, space: str = "fsaverage5") -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of one hemisphere.

    Parameters
    ----------
    surface : a name from :data:`SURFACES`.
    hemi : ``lh`` or ``rh``.
    space : a name from :data:`SPACES`.

    Returns
    -------
    coordinates : (10242, 3) float32, of fsaverage (163842, 3), millimetres, x to the right, y to the front, z up. Read-only. On the flat
        surface x and y span the sheet, z is 0, and vertices of no triangle (the medial wall) mean nothing.
    faces : (20480, 3) uint32, of fsaverage (327680, 3), counter-clockwise seen from outside; fewer on the flat surface, which is cut.
        Read-only.

    Raises
    ------
    UnknownName for another surface or hemisphere. NoMesh where fsaverage is not on this machine, or has another number of vertices.
    """
    return _mesh(_file(_known("surface", surface, SURFACES), hemi, space), SPACES[space])


@cache
def _mesh(path: str, n_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    from nilearn.surface import load_surf_mesh

    found = load_surf_mesh(path)
    if len(found.coordinates) != n_vertices or int(np.max(found.faces)) >= n_vertices:
        raise NoMesh(f"{path} has {len(found.coordinates):,} vertices, not the {n_vertices:,} of its mesh.")
    return _frozen(found.coordinates, np.float32), _frozen(found.faces, np.uint32)


def subdivide(faces: np.ndarray, n_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide every triangle of an icosahedral mesh into four, in FreeSurfer's order of vertices and triangles.

    Parameters
    ----------
    faces : (n_faces, 3) int. n_vertices : number of vertices.

    Returns
    -------
    faces : (4 n_faces, 3) int64.
    parents : (n_new, 2) int64, the two vertices between which each new one lies; new ones are numbered from ``n_vertices``.
    """
    a, b, c = np.asarray(faces, np.int64).T
    edges = np.sort(np.stack([a, c, c, b, b, a], axis=1).reshape(-1, 2), axis=1)  # in the order in which vertices are made
    _, first, member = np.unique(edges[:, 0] * n_vertices + edges[:, 1], return_index=True, return_inverse=True)
    ca, bc, ab = (n_vertices + np.argsort(np.argsort(first))[member]).reshape(-1, 3).T
    corners = np.stack([a, ab, ca], axis=1)
    others = np.stack([ca, bc, c, ab, bc, ca, ab, b, bc], axis=1).reshape(-1, 3)
    return np.concatenate([corners, others]), edges[np.sort(first)]


@cache
def places(hemi: str) -> np.ndarray:
    """Coordinates of all vertices of fsaverage on the white surface, (163842, 3) float32 in mm, read-only.

    Those of fsaverage5 are exact. The others lie halfway between the two vertices of the coarser mesh that FreeSurfer puts them between:
    good to some millimetres (fsaverage5 from the next coarser mesh: 0.6 mm on average, 3.8 mm at most), without a download.
    """
    coordinates, faces = mesh("white", hemi)
    while len(coordinates) < FSAVERAGE_VERTICES:
        faces, parents = subdivide(faces, len(coordinates))
        coordinates = np.concatenate([coordinates, coordinates[parents].mean(1)])
    return _frozen(coordinates, np.float32)


def sulcal_depth(hemi: str, space: str = "fsaverage5") -> np.ndarray:
    """FreeSurfer's ``sulc``, (10242,) float32, of fsaverage (163842,), read-only: positive in sulci, negative on gyri."""
    from nilearn.surface import load_surf_data

    depth = _frozen(load_surf_data(path := _file("sulc", hemi, space)), np.float32)
    if depth.shape != (SPACES[space],):
        raise NoMesh(f"{path} holds {depth.size:,} numbers, not one for each of {SPACES[space]:,} vertices.")
    return depth


def column_at(vertex: int, vertices: np.ndarray) -> int | None:
    """Number of the column at a vertex of fsaverage, among those of ``vertices`` (n_columns,); None where there is none."""
    columns = np.flatnonzero(np.asarray(vertices) == vertex)
    return int(columns[0]) if len(columns) else None


def eye(view: str, hemi: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the camera axes of a standard view in mesh coordinates: unit vectors to the image's right, upwards and towards the eye.

    Raises
    ------
    UnknownName for another view.

    Examples
    --------
    >>> right, up, towards = eye("lateral", "lh")
    >>> float(right @ [0, -1, 0])  # the back of the left hemisphere is at the right
    1.0
    """
    if view not in VIEWS:
        raise UnknownName(unknown("view", view, VIEWS))
    azimuth, elevation = np.radians([VIEWS[view].azimuth, VIEWS[view].elevation])
    mirror = np.array([1.0 if hemi == "lh" else -1.0, 1.0, 1.0])
    towards = mirror * [-np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    up = mirror * [np.sin(elevation) * np.cos(azimuth), -np.sin(elevation) * np.sin(azimuth), np.cos(elevation)]
    return np.cross(up, towards), up, towards


def _file(part: str, hemi: str, space: str) -> str:
    name = f"{part}_{_known('hemisphere', hemi, HEMIS)}"
    if space not in SPACES:
        raise UnknownName(unknown("mesh", space, SPACES))
    if space == FULL:
        if (folder := full_folder()) is None:
            raise NoMesh(f"The meshes of fsaverage are not on this machine. Fetch them once: {HOW_TO_GET_FULL}")
        return str(folder / f"{name}.gii.gz")
    from nilearn.datasets import fetch_surf_fsaverage

    return str(fetch_surf_fsaverage("fsaverage5")[name])


def _known(kind: str, name: str, members: dict[str, str]) -> str:
    if name not in members:
        raise UnknownName(unknown(kind, name, members))
    return members[name]


def _frozen(array: np.ndarray, dtype: type) -> np.ndarray:
    array = np.ascontiguousarray(array, dtype)
    array.setflags(write=False)
    return array
