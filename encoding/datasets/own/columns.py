"""What a ``dataset.toml`` gives for each column of the responses: ROIs, vertices of a surface and noise ceilings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets.own.array_files import is_volume, read_array, split_member
from encoding.datasets.own.description import SPACES, Places, Regions, SubjectFiles
from encoding.datasets.own.grids import require_same_grid
from encoding.datasets.own.masks import VoxelMask, one_volume, without_rounding
from encoding.evaluation.noise_ceiling import as_fraction, from_ncsnr, from_ncsnr_of_rows, guess_unit


def read_columns(path: Path, mask: VoxelMask | None = None) -> np.ndarray:
    """Read one number for each column: a vector, or the voxels of ``mask`` in a volume on its grid.

    Raises
    ------
    BadData where the file cannot be read, or is a volume and there is no mask of its shape and affine.
    """
    values = read_array(path)
    values = one_volume(values) if is_volume(path) and sum(n > 1 for n in values.shape[:3]) > 1 else values.squeeze()
    if values.ndim == 3:
        if mask is None:
            raise BadData(f'{path} is a volume {values.shape}, so say which voxels are columns: vertices = {{ mask = "mask.nii.gz" }}.')
        if values.shape != mask.voxels.shape:
            raise BadData(f"{path} is a volume {values.shape}, but the mask is {mask.voxels.shape}. Save it on the grid of the mask.")
        require_same_grid(split_member(path)[0], mask.file)
        return values[mask.voxels]
    return values


def read_numbers(path: Path, length: int, what: str, mask: VoxelMask | None = None) -> np.ndarray:
    """Read (length,) whole numbers as int64; :class:`BadData` where the file is anything else. ``what`` says why that length."""
    values = read_columns(path, mask)
    values = without_rounding(values) if is_volume(path) else values
    if values.shape != (length,):
        raise BadData(f"{path} has shape {values.shape}, but {what} {length:,}. Save one number for each.")
    if values.dtype.kind not in "biuf" or (values.dtype.kind == "f" and not np.array_equal(values, np.floor(values))):
        raise BadData(f"{path} holds {values.dtype} where whole numbers are needed. Save it as integers: x.astype(int).")
    return values.astype(np.int64)


def read_rois(regions: Mapping[str, Regions], n_vertices: int, mask: VoxelMask | None = None) -> dict[str, np.ndarray]:
    """Read ROI name to its columns, sorted int64; an ROI without columns is there, empty. ``mask`` as in :func:`read_columns`.

    Raises
    ------
    BadData where a file has another length, a mask other numbers than 0 and 1, or two files name the same ROI.
    """
    rois: dict[str, np.ndarray] = {}
    for key, about in regions.items():
        values = read_numbers(about.path, n_vertices, "the responses' columns are", mask)
        if about.names is None and not np.isin(values, (0, 1)).all():
            fix = f'For labels write {key} = {{ labels = "{about.path.name}", names = ["…"] }}.'
            raise BadData(f"{about.path} holds other numbers than 0 and 1, so it is no mask. {fix}")
        for name, label in {key: 1}.items() if about.names is None else about.names.items():
            if name in rois:
                raise BadData(f"{about.path} gives {name!r}, which another file gives for the same responses. Give every ROI its own name.")
            rois[name] = np.flatnonzero(values == label)
    return rois


def read_vertices(places: Places, block: str, n_vertices: int) -> np.ndarray:
    """Read the vertex of the space at which each column lies, (n_vertices,) int64. fsaverage5 and fsaverage6 are its beginning.

    A file may hold one vertex number a column, or for every vertex of the space a 1 where there is a column and a 0 elsewhere.

    Raises
    ------
    BadData where the file fits neither, or a vertex is out of range or named twice.
    """
    size, path = SPACES[places.space], places.files.get(block)
    if path is None:
        if n_vertices == size:
            return np.arange(size)
        fix = f'Name a file with the vertex of each: {block} = "{block}_vertices.npy".'
        raise BadData(f"{block} has {n_vertices:,} columns, which are not all {size:,} vertices of {places.space}. {fix}")
    shape = read_array(path).squeeze().shape
    if shape == (size,) != (n_vertices,):
        mask = read_numbers(path, size, f"the vertices of {places.space} are")
        if not np.isin(mask, (0, 1)).all() or mask.sum() != n_vertices:
            raise BadData(f"{path} must mark {n_vertices:,} vertices with 1, one for each column, and the others with 0.")
        return np.flatnonzero(mask)
    vertices = read_numbers(path, n_vertices, f"{block} has as many columns:")
    if not 0 <= vertices.min() <= vertices.max() < size:
        raise BadData(f"{path} holds {vertices.min():,} to {vertices.max():,}; {places.space} has the vertices 0 to {size - 1:,}.")
    if len(np.unique(vertices)) < n_vertices:
        raise BadData(f"{path} names a vertex twice. Each column lies on a vertex of its own: average those that share one.")
    return vertices


def read_ceilings(
    files: SubjectFiles, shapes: Mapping[str, tuple[int, ...]], measured: np.ndarray, mask: VoxelMask | None = None
) -> dict[str, np.ndarray] | None:
    """Read the given noise ceilings of a subject, all blocks in one unit.

    Parameters
    ----------
    shapes : per block, the (n_rows, n_vertices) of its responses.
    measured : (n_measured,) of :class:`Rows`. mask : as in :func:`read_columns`.

    Returns
    -------
    Per block (n_vertices,) float32, 0 … 1, the share of variance that any model could explain; None where none are named.

    Raises
    ------
    BadData where there is not one value for each column, a value is impossible, or the unit is ambiguous.
    """
    paths, maps = files.ceiling or files.ncsnr, {}
    if paths is None:
        return None
    for block, (_, n_vertices) in shapes.items():
        values = maps[block] = read_columns(paths[block], mask)
        if values.shape != (n_vertices,) or values.dtype.kind not in "iuf":
            raise BadData(
                f"{paths[block]} holds {values.dtype} of shape {values.shape}, but {block} has {n_vertices:,} columns: "
                "save a number for each."
            )
    return {block: _ceiling(files, paths, block, maps, measured) for block in shapes}


def _ceiling(
    files: SubjectFiles, paths: Mapping[str, Path], block: str, maps: Mapping[str, np.ndarray], measured: np.ndarray
) -> np.ndarray:
    try:
        if files.ceiling is None:
            if files.average:
                return from_ncsnr_of_rows(maps[block], n_trials(files, measured))
            return from_ncsnr(maps[block], **_counts(files, len(measured)))
        unit = files.ceiling_unit
        if unit is None:
            unit = guess_unit([values for values in maps.values() if values.size])
        return as_fraction(maps[block], unit)
    except ValueError as error:
        raise BadData(f"{paths[block]}: {error} Replace the file, or take its key out to work without a ceiling.") from error


def n_trials(files: SubjectFiles, measured: np.ndarray) -> np.ndarray:
    """Number of rows of the files that each row of the responses is the mean of, (n_rows,) int."""
    return np.unique(measured, return_counts=True)[1] if files.average else np.ones(len(measured), int)


def _counts(files: SubjectFiles, n_rows: int) -> dict[str, int]:
    """How many rows are the mean of three, two and one trials."""
    if isinstance(files.averaged, Path):
        trials = read_numbers(files.averaged, n_rows, "the responses' rows are")
        if not np.isin(trials, (1, 2, 3)).all():
            raise BadData(f"{files.averaged} holds other numbers than 1, 2 and 3. For means of more trials save the ceilings themselves.")
    else:
        trials = np.full(n_rows, files.averaged)
    return {name: int((trials == times).sum()) for name, times in (("n_three", 3), ("n_two", 2), ("n_one", 1))}
