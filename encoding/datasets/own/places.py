"""Where the columns of one's own data lie: vertices of fsaverage or fsLR, voxels in MNI space or the subject's own, parcels of an atlas."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from encoding.datasets._base import FSAVERAGE5_VERTICES, FSAVERAGE6_VERTICES, FSAVERAGE_VERTICES, BadData, VoxelGrid
from encoding.datasets._registry import data_dir
from encoding.datasets._surface import mesh
from encoding.datasets._volumes import labels_on_surface
from encoding.datasets.own.array_files import read_array, split_member
from encoding.datasets.own.columns import read_vertices
from encoding.datasets.own.description import SPACES, Places, SubjectFiles
from encoding.datasets.own.formats import cifti_columns
from encoding.datasets.own.masks import (
    Sampled,
    affine_in_mm,
    is_sampled,
    mask_volume,
    read_mask,
    read_sampled,
    read_volume,
    without_rounding,
)
from encoding.datasets.own.response_files import ResponseMatrix
from encoding.storage.store import Store

SPHERES = (  # names of the sphere of fsLR in the space of fsaverage, as the Human Connectome Project and TemplateFlow publish it
    "fs_LR-deformed_to-fsaverage.{side}.sphere.32k_fs_LR.surf.gii",
    "tpl-fsLR_space-fsaverage_hemi-{side}_den-32k_sphere.surf.gii",
)
SIDES = {"lh": "L", "rh": "R"}


def read_places(
    files: SubjectFiles, matrices: Mapping[str, ResponseMatrix], store: Store
) -> tuple[dict[str, np.ndarray] | None, Sampled | None, VoxelGrid | None]:
    """Read :attr:`Subject.vertices`, :attr:`Subject.sampled` and :attr:`Subject.grid`; all None where no place is known.

    Raises
    ------
    BadData where a file does not fit the responses.
    """
    places = files.places
    if places is None:
        return None, None, None
    shapes = {block: matrix.shape for block, matrix in matrices.items()}
    if places.mask is not None:
        ((_, n_columns),) = shapes.values()
        if places.space == "native":
            image, values = mask_volume(places.mask)
            voxels = np.flatnonzero(values)
            if len(voxels) != n_columns:
                read_mask(places.mask, n_columns)  # whose message says so
            return None, None, VoxelGrid(voxels, values.shape, np.asarray(image.affine, float))
        voxels, shape, affine = read_mask(places.mask, n_columns)
        return None, read_sampled(places.mask, n_columns, store), VoxelGrid(voxels, shape, affine)
    if places.parcels is not None:
        ((_, n_columns),) = shapes.values()
        return None, read_parcels(places.parcels, n_columns), None
    if places.space != "fsLR":
        return {block: read_vertices(places, block, n_columns) for block, (_, n_columns) in shapes.items()}, None, None
    at = {block: fslr_vertices(files, block, n_columns) for block, (_, n_columns) in shapes.items()}
    spheres = {block: sphere for block in at if (sphere := find_sphere(places, block))}
    if len(spheres) < len(at):  # a map of one hemisphere would look as if the other had no data
        return None, None, None
    return None, {block: fslr_on_fsaverage5(spheres[block], block, at[block]) for block in spheres}, None


def places_are_known(files: SubjectFiles, store: Store) -> bool:
    """Whether :func:`read_places` would return at once."""
    return files.mask is None or files.places.space == "native" or is_sampled(files.mask, store)


def place_files(places: Places | None) -> list[Path]:
    """Files that :func:`read_places` reads."""
    if places is None:
        return []
    parcels = places.parcels.values() if isinstance(places.parcels, Mapping) else [places.parcels]
    every = [places.mask, *parcels, *places.files.values(), *places.spheres.values()]
    return [split_member(path)[0] for path in every if path is not None]


def fslr_vertices(files: SubjectFiles, block: str, n_columns: int) -> np.ndarray:
    """The vertex of fsLR 32k of each column, (n_columns,) int64: of the file of vertices, else of the responses' CIFTI header, else all.

    Raises
    ------
    BadData where none of these fits.
    """
    file, member = split_member(files.responses[block][0])
    if block not in files.places.files and member in SIDES:
        _, vertices, size = cifti_columns(file, member)
        if size != SPACES["fsLR"]:
            raise BadData(f"{file} has surfaces of {size:,} vertices; fsLR here is that of {SPACES['fsLR']:,} (32k). Resample it to 32k.")
        return vertices
    return read_vertices(files.places, block, n_columns)


def find_sphere(places: Places, hemi: str) -> Path | None:
    """The sphere of fsLR in the space of fsaverage: the file that is named, else one of :data:`SPHERES` in the folder of data sets, its
    folder ``atlases``, or TemplateFlow's; None where there is none."""
    if hemi in places.spheres:
        return places.spheres[hemi]
    home = Path(os.environ.get("TEMPLATEFLOW_HOME") or "~/.cache/templateflow")
    folders = [data_dir(), data_dir() / "atlases"]
    with suppress(RuntimeError):  # no home folder
        folders.append(home.expanduser() / "tpl-fsLR")
    every = (folder / name.format(side=SIDES[hemi]) for folder in folders for name in SPHERES)
    return next((path for path in every if path.is_file()), None)


def fslr_on_fsaverage5(sphere: Path, hemi: str, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each vertex of fsaverage5 the column whose vertex of fsLR lies nearest on the sphere.

    Parameters
    ----------
    sphere : mesh of fsLR, 32,492 vertices, in the space of fsaverage.
    vertices : (n_columns,) int64, the vertex of fsLR of each column.

    Returns
    -------
    (vertices, columns), both (n,) int64: vertices of fsaverage5 whose nearest vertex of fsLR has a column, ascending, and that column.

    Raises
    ------
    BadData where the file is no such mesh.
    """
    import nibabel
    from scipy.spatial import cKDTree

    from encoding.datasets.own.arrays import UNREADABLE
    from encoding.storage.files import raise_passing

    try:
        points = nibabel.load(sphere).agg_data("pointset")
        points = np.asarray(points, float)
        if points.shape != (SPACES["fsLR"], 3):
            raise ValueError(f"its points have the shape {points.shape}")
    except UNREADABLE as error:
        raise_passing(error, sphere)
        names = " or ".join(name.format(side=SIDES[hemi]) for name in SPHERES)
        raise BadData(f"{sphere} is no sphere of fsLR 32k ({error}). It is the file {names}.") from error
    there = mesh("sphere", hemi)[0].astype(float)
    tree = cKDTree(points / np.linalg.norm(points, axis=1, keepdims=True))
    nearest = tree.query(there / np.linalg.norm(there, axis=1, keepdims=True))[1]
    column = np.full(len(points), -1)
    column[vertices] = np.arange(len(vertices))
    seen = np.flatnonzero(column[nearest] >= 0)
    return seen, column[nearest[seen]]


def read_parcels(parcels: Path | Mapping[str, Path], n_columns: int) -> Sampled:
    """For each vertex of fsaverage5 the parcel it lies in: label k is column k - 1, and label 0 is none.

    Parameters
    ----------
    parcels : a volume of labels in MNI space, or for ``lh`` and ``rh`` a map of labels on fsaverage or fsaverage5.

    Raises
    ------
    BadData where a label is no whole number from 0 to ``n_columns``.
    """
    if isinstance(parcels, Path):
        image, values = read_volume(parcels)
        return labels_on_surface(_labels(values, parcels, n_columns), affine_in_mm(image, parcels))
    found = {}
    for hemi, path in parcels.items():
        values = read_array(path).squeeze()
        if values.shape not in ((FSAVERAGE_VERTICES,), (FSAVERAGE6_VERTICES,), (FSAVERAGE5_VERTICES,)):
            raise BadData(
                f"{path} has shape {values.shape}; it needs a label for each of the {FSAVERAGE5_VERTICES:,} vertices of fsaverage5, the "
                f"{FSAVERAGE6_VERTICES:,} of fsaverage6 or the {FSAVERAGE_VERTICES:,} of fsaverage."
            )
        labels = _labels(values, path, n_columns)[:FSAVERAGE5_VERTICES]
        seen = np.flatnonzero(labels)
        found[hemi] = (seen, labels[seen] - 1)
    return found


def _labels(values: np.ndarray, path: Path, n_columns: int) -> np.ndarray:
    labels = without_rounding(np.asarray(values))
    if labels.dtype.kind not in "iuf" or not np.isin(labels, np.arange(n_columns + 1)).all():
        raise BadData(
            f"{path} must hold whole numbers from 0 to {n_columns:,}, as the responses have {n_columns:,} columns: label 1 is the first, "
            "and 0 is outside of all parcels."
        )
    return labels.astype(np.int64)
