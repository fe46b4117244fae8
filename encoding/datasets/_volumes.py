"""Sample the voxels of a volume on the cortical surface."""

from __future__ import annotations

import numpy as np

from encoding.datasets._surface import HEMIS, mesh

VERSION = 2  # raised when a vertex is given another voxel


def on_surface(voxels: np.ndarray, shape: tuple[int, int, int], affine: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Find the voxel that each vertex of fsaverage5 lies in: :attr:`encoding.datasets.Subject.sampled`.

    A vertex belongs to the voxel that holds the point halfway between its positions on the white and the pial surface, as
    nilearn's ``vol_to_surf(interpolation="nearest_most_frequent", depth=[0.5])`` has it; points outside the volume see nothing.
    Values are not blended, so each vertex stands for one column. fsaverage5's meshes lie in MNI305 space; volumes in MNI152 are
    some millimetres off, as with nilearn everywhere.

    Parameters
    ----------
    voxels : (n_voxels,) int, flat index of each column in the volume, in C order. All different.
    shape : of the volume, in voxels.
    affine : (4, 4), from voxel indices to millimetres (x to the right, y to the front, z up).

    Returns
    -------
    ``lh`` and ``rh`` to (vertices, columns), both (n,) int64; vertices ascend and are those that lie in a voxel with a column.
    """
    numbers = np.zeros(shape, np.int32)
    numbers.ravel()[voxels] = np.arange(1, len(voxels) + 1)  # 0 where there is no column
    return labels_on_surface(numbers, affine)


def labels_on_surface(labels: np.ndarray, affine: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Find the label of the voxel that each vertex of fsaverage5 lies in, as :func:`on_surface` finds voxels.

    Parameters
    ----------
    labels : (x, y, z) int, the number of a column plus 1; 0 where there is none.
    affine : (4, 4), from voxel indices to millimetres.

    Returns
    -------
    As :func:`on_surface`; a column may be seen at many vertices.
    """
    inverse = np.linalg.inv(affine)
    sampled = {}
    for hemi in HEMIS:
        halfway = (mesh("pial", hemi)[0].astype(float) + mesh("white", hemi)[0]) / 2  # (10242, 3) mm
        at = np.round(halfway @ inverse[:3, :3].T + inverse[:3, 3])
        inside = ((at >= 0) & (at < labels.shape)).all(axis=1)
        seen = np.zeros(len(at), np.int64)
        seen[inside] = labels[tuple(at[inside].astype(int).T)]
        vertices = np.flatnonzero(seen)
        sampled[hemi] = (vertices, seen[vertices] - 1)
    return sampled
