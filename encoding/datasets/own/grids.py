"""Compare where volumes lie: those of one number of voxels may still be mirrored or shifted, which only their affines tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets.own.arrays import errors_of
from encoding.datasets.own.masks import UNITS, is_oriented_mgh

SAME = 1e-3  # mm by which affines of one grid may differ


def require_same_grid(path: Path, other: Path) -> None:
    """Check that two volumes of one shape have one affine, where both say where they lie.

    Raises
    ------
    BadData with both files, orientations and affines.
    """
    mine, theirs = find_affine(path), find_affine(other)
    if mine is not None and theirs is not None and not np.allclose(mine, theirs, atol=SAME):
        raise BadData(
            f"{path} ({_described(mine)}) does not lie where {other} ({_described(theirs)}) does, so their voxels are not the same. "
            "Save both on one grid: nibabel.processing.resample_from_to, or nibabel.as_closest_canonical of each where axes are turned."
        )


def find_affine(path: Path) -> np.ndarray | None:
    """The affine (4, 4) of a volume in millimetres; None where the file gives none: another format, no code, or the identity.

    The identity stands in the header of volumes that were saved from bare arrays; no scanner has it.
    """
    import nibabel

    if not path.name.lower().endswith((".nii", ".nii.gz", ".mgh", ".mgz")):
        return None
    with errors_of(path):
        image = nibabel.load(path)
        header, affine = image.header, getattr(image, "affine", None)
        if affine is None or not np.isfinite(affine).all() or np.allclose(affine, np.eye(4)):
            return None
        affine = np.array(affine, float)
        if hasattr(header, "get_xyzt_units"):
            if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
                return None
            affine[:3] *= UNITS.get(int(header["xyzt_units"]) % 8, 1.0)
            return affine
        return affine if is_oriented_mgh(path) else None


def _described(affine: np.ndarray) -> str:
    """Orientation of the axes, and the affine without its last row."""
    import nibabel

    rows = "; ".join(" ".join(f"{value:.4g}" for value in row) for row in affine[:3])
    return f"{''.join(code or '?' for code in nibabel.aff2axcodes(affine))}, affine {rows}"
