"""Read NIfTI masks: the voxels of a volume that are columns of responses, in C order, and their places on the cortex."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._images import require_regular
from encoding.runtime.wording import counted
from encoding.storage.files import raise_passing
from encoding.storage.fingerprints import file_fingerprint, is_remembered
from encoding.storage.keys import digest
from encoding.storage.store import Store

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

MAX_VOXELS = 2**28  # of a whole head at 0.4 mm
UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # xyzt_units to millimetres: unknown, metres, millimetres, micrometres
VOXEL_SIZES = (0.05, 50.0)  # mm
LEAST_ANGLE = 1e-3  # volume of the unit vectors along the voxels' axes
ROUNDING = 1e-3  # by which whole numbers in a volume may be off
REACH = 150.0  # mm from the middle of the head
Sampled = dict[str, tuple[np.ndarray, np.ndarray]]


def read_mask(path: Path, n_columns: int) -> tuple[np.ndarray, tuple[int, int, int], np.ndarray]:
    """Read a NIfTI or MGH mask: which voxels are columns of the responses, and where the volume lies.

    Parameters
    ----------
    n_columns : how many columns the responses have.

    Returns
    -------
    voxels : (n_columns,) int64, flat indices of the marked voxels in C order. ``volume[mask == 1] = values`` puts values
        back, as ``Y = volumes[:, mask == 1]`` took them out.
    shape : of the volume, in voxels.
    affine : (4, 4) float64, from voxel indices to millimetres of the volume's space (x to the right, y to the front, z up).

    Raises
    ------
    BadData where the file is no volume of zeros and ones, marks another number of voxels than there are columns, or does not
    say where it lies (sform_code and qform_code both 0): left and right could be swapped.
    """
    image, values = mask_volume(path)
    voxels = np.flatnonzero(values)
    if len(voxels) != n_columns:
        raise BadData(
            f"{path} marks {counted(len(voxels), 'voxel')} but the responses have {counted(n_columns, 'column')}. "
            "Columns are the marked voxels in C order: Y = volumes[:, mask == 1]."
        )
    return voxels, values.shape, affine_in_mm(image, path)


@dataclass(frozen=True)
class VoxelMask:
    """The voxels of a volume that are columns: ``voxels`` (x, y, z) bool, read from ``file``."""

    file: Path
    voxels: np.ndarray


def open_mask(path: Path | None) -> VoxelMask | None:
    """Read a :class:`VoxelMask`; None where there is no file. BadData as :func:`mask_volume`."""
    return None if path is None else VoxelMask(path, mask_volume(path)[1].astype(bool))


def mask_volume(path: Path) -> tuple[SpatialImage, np.ndarray]:
    """Read a mask: its image, whose data are still on disk, and (x, y, z) zeros and ones.

    Raises
    ------
    BadData where the file is no volume of zeros and ones.
    """
    image, values = read_volume(path)
    values = without_rounding(values)
    if not np.isin(values, (0, 1)).all():
        raise BadData(f"{path} holds other numbers than 0 and 1. Save where there is data: (mask > 0).astype('uint8').")
    return image, values


def read_volume(path: Path) -> tuple[SpatialImage, np.ndarray]:
    """Read one volume of NIfTI or MGH: its image and (x, y, z) values.

    Raises
    ------
    BadData where the file is no single volume, or too large for one of a mask or of labels.
    """
    import nibabel

    require_regular(path)
    try:
        image = nibabel.load(path)
        if np.prod(image.shape, dtype=float) > MAX_VOXELS:
            raise BadData(f"{path} has {image.shape} voxels, too many for a mask. Save it at the resolution of the responses.")
        values = one_volume(np.asarray(image.dataobj))
    except BadData:
        raise
    except (OSError, ValueError, EOFError, zlib.error, gzip.BadGzipFile, nibabel.filebasedimages.ImageFileError) as error:
        raise_passing(error, path)
        raise BadData(f"{path} cannot be read as NIfTI ({error}). Save the mask again, as .nii or .nii.gz.") from error
    if values.ndim != 3:
        raise BadData(f"{path} has shape {values.shape} where a mask of one volume (x, y, z) is needed. Save the mask alone.")
    return image, values


def one_volume(values: np.ndarray) -> np.ndarray:
    """The (x, y, z) of an array whose other axes have one entry; a volume of a single slice keeps its three axes."""
    if values.ndim >= 3 and prod(values.shape[3:]) == 1:
        return values.reshape(values.shape[:3])
    return values.squeeze()


def without_rounding(values: np.ndarray) -> np.ndarray:
    """Values of which all are whole numbers but for rounding, as those numbers; others as they are.

    The slope of a NIfTI header makes 1.0000001 of 1.
    """
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        return values
    rounded = np.rint(values)
    return rounded if np.abs(values - rounded).max(initial=0) <= ROUNDING else values


def affine_in_mm(image: SpatialImage, path: Path) -> np.ndarray:
    """Return the (4, 4) affine of a volume in millimetres, by the unit that its header names (xyzt_units; millimetres without one).

    Raises
    ------
    BadData where the header gives no orientation, or the affine is not finite, singular, or far from any head.
    """
    affine, header = np.array(image.affine, float), image.header
    is_nifti = hasattr(header, "get_xyzt_units")
    if not is_nifti and not is_oriented_mgh(path):  # Analyze, or an MGH without one
        raise BadData(
            f"{path} does not say where it lies ({type(image).__name__} without an orientation), so left and right could be swapped. "
            "Save it as NIfTI with its affine in MNI space."
        )
    if is_nifti:
        if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
            raise BadData(
                f"{path} does not say where it lies (sform_code and qform_code are 0), so left and right could be swapped. Where you know "
                "its affine in MNI space, save it with that: image.set_sform(affine, code=4)."
            )
        turned = np.linalg.det(header.get_sform()[:3, :3]) * np.linalg.det(header.get_qform()[:3, :3])
        if int(header["sform_code"]) and int(header["qform_code"]) and turned < 0:
            raise BadData(
                f"{path} contradicts itself: by its sform and its qform, left and right lie on opposite sides. Save it with the one that "
                "is right: image.set_sform(affine, code=4); image.set_qform(affine, code=4)."
            )
        if (unit := UNITS.get(int(header["xyzt_units"]) % 8)) is None:
            raise BadData(f"{path} names no unit of length that exists. Save it with image.header.set_xyzt_units('mm').")
        affine[:3] *= unit
    sizes = np.linalg.norm(affine[:3, :3], axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if not sizes.all() or abs(np.linalg.det(affine[:3, :3] / sizes)) < LEAST_ANGLE:
        raise BadData(f"{path} has an affine that places no voxels: {affine.tolist()}. Save the mask again with the affine of its volume.")
    if not ((VOXEL_SIZES[0] <= sizes) & (sizes <= VOXEL_SIZES[1])).all():
        size = " x ".join(f"{each:.3g}" for each in sizes)
        raise BadData(
            f"{path} has voxels of {size} mm, by its affine and its unit of length. Save it with an affine in millimetres and "
            "image.header.set_xyzt_units('mm')."
        )
    corners = np.array(np.meshgrid(*((0, n) for n in image.shape[:3]))).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    if (corners.min(axis=0) > REACH).any() or (corners.max(axis=0) < -REACH).any():
        raise BadData(
            f"{path} lies from {corners.min(axis=0).round().tolist()} to {corners.max(axis=0).round().tolist()} mm, away from any brain. "
            "Save it with the affine of MNI space."
        )
    return affine


def is_oriented_mgh(path: Path) -> bool:
    """Whether a file is MGH and says where it lies (goodRASFlag); nibabel gives others a default."""
    with (gzip.open if path.suffix.lower() == ".mgz" else open)(path, "rb") as file:
        start = file.read(30)
    return start[:4] == b"\0\0\0\1" and start[28:30] == b"\0\1"


def read_sampled(path: Path, n_columns: int, store: Store) -> Sampled:
    """Compute :attr:`encoding.datasets.Subject.sampled` of the voxels of a mask, once for each content of its file.

    The mask's millimetres must be those of a standard space (MNI): nothing in the file can tell. BadData as :func:`read_mask`.
    """
    voxels, shape, affine = read_mask(path, n_columns)

    def make() -> dict[str, np.ndarray]:
        from encoding.datasets._volumes import on_surface

        sampled = on_surface(voxels, shape, affine)
        return {
            f"{hemi}_{what}": values for hemi, pair in sampled.items() for what, values in zip(("vertices", "columns"), pair, strict=True)
        }

    arrays = store.memo(_key(path, store), make, {"mask": path.name})
    return {hemi: (arrays[f"{hemi}_vertices"], arrays[f"{hemi}_columns"]) for hemi in ("lh", "rh")}


def is_sampled(path: Path, store: Store) -> bool:
    """Whether :func:`read_sampled` would return at once."""
    return is_remembered([path], store) and _key(path, store) in store


def _key(path: Path, store: Store) -> str:
    from encoding.datasets import _volumes

    return digest("sampled", _volumes.VERSION, mask=file_fingerprint(path, store))
