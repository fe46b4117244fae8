"""Where voxels of a volume are seen on the cortical surface."""

from __future__ import annotations

import numpy as np

from encoding.datasets._surface import HEMIS, mesh

VERSION = 1  # raised when a vertex is given another voxel
HALFWAY = (0.5,)  # from the pial to the white surface


def on_surface(voxels: np.ndarray, shape: tuple[int, int, int], affine: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Which column each vertex of fsaverage5 lies in: :attr:`encoding.datasets.Subject.sampled`.

    A vertex belongs to the voxel that holds the point halfway between its places on the white and the pial surface, found by
    one nilearn ``vol_to_surf`` of the volume of column numbers. Values are not blended, so each vertex stands for one column.
    fsaverage5's meshes lie in MNI305 space; volumes in MNI152 are some millimetres off, as with nilearn everywhere.

    Parameters
    ----------
    voxels : (n_voxels,) int, where each column lies in the volume, as flat index in C order. All different.
    shape : of the volume. affine : (4, 4), from voxel to millimetres.

    Returns
    -------
    ``lh`` and ``rh`` to (vertices, columns), both (n,) int64; vertices ascend and are those that lie in a voxel with a column.
    """
    import nibabel
    from nilearn.surface import InMemoryMesh, vol_to_surf

    numbers = np.zeros(shape, np.int32)
    numbers.ravel()[voxels] = np.arange(1, len(voxels) + 1)  # 0 where there is no column
    found = {}
    for hemi in HEMIS:
        pial, white = (InMemoryMesh(*mesh(name, hemi)) for name in ("pial", "white"))
        image = nibabel.Nifti1Image(*_around(pial.coordinates, numbers, affine))
        at = vol_to_surf(image, pial, inner_mesh=white, interpolation="nearest_most_frequent", depth=HALFWAY).astype(np.int64)
        vertices = np.flatnonzero(at)
        found[hemi] = (vertices, at[vertices] - 1)
    return found


def _around(points: np.ndarray, volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The volume and its affine, grown by zeros until it holds all points (n, 3) in millimetres; a slab may not hold a brain."""
    corners = np.stack([points.min(axis=0), points.max(axis=0)])
    box = np.array(np.meshgrid(*corners.T)).reshape(3, -1)  # (3, 8)
    inverse = np.linalg.inv(affine)
    places = inverse[:3, :3] @ box + inverse[:3, 3:]
    before = np.maximum(np.ceil(-places.min(axis=1)) + 1, 0).astype(int)
    after = np.maximum(np.ceil(places.max(axis=1) - volume.shape) + 1, 0).astype(int)
    moved = np.array(affine, float)
    moved[:3, 3] -= moved[:3, :3] @ before
    return np.pad(volume, list(zip(before, after, strict=True))), moved
