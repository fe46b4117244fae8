"""Read noise ceilings from files beside a data set that includes none.

Of these files, the first that exists for a hemisphere is used:

    lh.npy             ceilings in percent or as fractions, (n_vertices,) or (163842,)
    lh.ncsnr.npy       NSD's noise ceiling signal-to-noise ratio of single trials, of the same shapes
    lh.ncsnr.mgh       the same as NSD publishes it, (163842,)
    repeats.npy        (n_images,) number of presentations of each training image, 1 to 3, for the two above. Without it,
                       three are assumed for all, which gives the highest possible ceiling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from encoding.datasets._arrays import open_npy, open_vector
from encoding.datasets._base import FSAVERAGE_VERTICES, BadData
from encoding.datasets._images import require_regular
from encoding.evaluation.noise_ceiling import as_fraction, from_ncsnr, guess_unit
from encoding.storage.files import raise_passing

SUFFIXES = (".npy", ".ncsnr.npy", ".ncsnr.mgh")


def read_ceilings(folders: Iterable[Path], vertices: Mapping[str, np.ndarray], *, n_images: int) -> dict[str, np.ndarray] | None:
    """Read the ceilings of both hemispheres, in one unit: (n_vertices,) float32 in 0 … 1 each; None where no folder holds one.

    Parameters
    ----------
    folders : looked into in this order; they need not exist.
    vertices : per hemisphere (n_vertices,) int64, where each column of the responses lies on fsaverage.
    n_images : how many images the responses have.

    Raises
    ------
    BadData where a file is damaged, has another number of vertices or impossible values, or one hemisphere's is missing.
    """
    folders = list(folders)
    paths = {hemi: path for hemi in vertices if (path := find_ceiling(folders, hemi))}
    if not paths:
        return None
    for hemi in vertices:
        if hemi not in paths:
            there = next(iter(paths.values()))
            raise BadData(f"{there} has no counterpart for {hemi}. Lay the noise ceilings of both hemispheres beside the data, or none.")
    maps = {hemi: _read_columns(paths[hemi], vertices[hemi]) for hemi in vertices}
    plain = [values for hemi, values in maps.items() if ".ncsnr." not in paths[hemi].name]
    ceilings = {}
    for hemi, values in maps.items():
        path = paths[hemi]
        try:
            counts = _repeats(path.parent, n_images) if ".ncsnr." in path.name else None
            ceilings[hemi] = as_fraction(values, guess_unit(plain)) if counts is None else from_ncsnr(values, **counts)
        except BadData:
            raise
        except ValueError as error:
            raise BadData(f"{path}: {error} Replace the file, or move it away to work without a ceiling.") from error
    return ceilings


def find_ceiling(folders: Iterable[Path], hemi: str) -> Path | None:
    """Return the first existing ceiling file of a hemisphere; None where there is none."""
    return next((path for folder in folders for suffix in SUFFIXES if (path := folder / f"{hemi}{suffix}").exists()), None)


def _read_columns(path: Path, vertices: np.ndarray) -> np.ndarray:
    values = _read_map(path)
    if values.shape == (FSAVERAGE_VERTICES,):
        values = values[vertices]
    if values.shape != vertices.shape:
        raise BadData(
            f"{path} holds {values.size:,} values; the {len(vertices):,} vertices' or fsaverage's {FSAVERAGE_VERTICES:,} are needed."
        )
    return values


def _read_map(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return open_npy(path).squeeze()
    import nibabel

    require_regular(path)
    try:
        return np.asarray(nibabel.load(path).dataobj).squeeze()
    except (OSError, ValueError, EOFError, nibabel.filebasedimages.ImageFileError) as error:
        raise_passing(error, path)
        raise BadData(f"{path} is damaged or cut short ({error}). Copy this file again.") from error


def _repeats(folder: Path, n_images: int) -> dict[str, int]:
    path = folder / "repeats.npy"
    if not path.exists():
        return {"n_three": n_images}
    repeats = open_vector(path, n_images, "the training images are")
    if not np.isin(repeats, (1, 2, 3)).all():
        raise BadData(f"{path} holds other numbers than 1, 2 and 3. It says how often each training image was seen.")
    return {name: int((repeats == times).sum()) for name, times in (("n_three", 3), ("n_two", 2), ("n_one", 1))}
