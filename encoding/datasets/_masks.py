"""A NIfTI mask: which voxels of a volume the columns of responses are, in C order, and where they are seen on the cortex."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData
from encoding.storage.fingerprints import file_fingerprint, is_remembered
from encoding.storage.keys import digest
from encoding.storage.store import Store

Sampled = dict[str, tuple[np.ndarray, np.ndarray]]


def read_mask(path: Path, n_columns: int) -> tuple[np.ndarray, tuple[int, int, int], np.ndarray]:
    """The marked voxels as flat indices in C order (n_columns,) int64, the volume's shape and its affine (4, 4) to millimetres.

    ``volume[mask == 1] = values`` puts values back, as ``Y = volumes[:, mask == 1]`` took them out.

    Raises
    ------
    BadData where the file is no volume of zeros and ones, or marks another number of voxels than there are columns.
    """
    import nibabel

    try:
        image = nibabel.load(path)
        values = np.asarray(image.dataobj).squeeze()
    except (OSError, ValueError, EOFError, zlib.error, gzip.BadGzipFile, nibabel.filebasedimages.ImageFileError) as error:
        raise BadData(f"{path} cannot be read as NIfTI ({error}). Save the mask again, as .nii or .nii.gz.") from error
    if values.ndim != 3:
        raise BadData(f"{path} has shape {values.shape} where a mask of one volume (x, y, z) is needed. Save the mask alone.")
    if not np.isin(values, (0, 1)).all():
        raise BadData(f"{path} holds other numbers than 0 and 1. Save where there is data: (mask > 0).astype('uint8').")
    voxels = np.flatnonzero(values)
    if len(voxels) != n_columns:
        raise BadData(
            f"{path} marks {len(voxels):,} voxels but the responses have {n_columns:,} columns. "
            "Columns are the marked voxels in C order: Y = volumes[:, mask == 1]."
        )
    return voxels, values.shape, image.affine


def read_sampled(path: Path, n_columns: int, store: Store) -> Sampled:
    """:attr:`encoding.datasets.Subject.sampled` of the voxels of a mask, found once for each content of its file.

    The mask's millimetres must be those of a standard space (MNI): nothing in the file can tell. BadData as :func:`read_mask`.
    """
    voxels, shape, affine = read_mask(path, n_columns)

    def make() -> dict[str, np.ndarray]:
        from encoding.datasets._volumes import on_surface

        found = on_surface(voxels, shape, affine)
        return {
            f"{hemi}_{what}": values for hemi, pair in found.items() for what, values in zip(("vertices", "columns"), pair, strict=True)
        }

    arrays = store.memo(_key(path, store), make, {"mask": path.name})
    return {hemi: (arrays[f"{hemi}_vertices"], arrays[f"{hemi}_columns"]) for hemi in ("lh", "rh")}


def is_sampled(path: Path, store: Store) -> bool:
    """Whether :func:`read_sampled` would return at once."""
    return is_remembered([path], store) and _key(path, store) in store


def _key(path: Path, store: Store) -> str:
    from encoding.datasets import _volumes

    return digest("sampled", _volumes.VERSION, mask=file_fingerprint(path, store))
