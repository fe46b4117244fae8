"""The files that a ``dataset.toml`` names, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from encoding.datasets._arrays import open_npy
from encoding.datasets._base import BadData
from encoding.datasets._description import SPACES, Pictures, Places, Regions, SubjectFiles
from encoding.datasets._images import list_images
from encoding.evaluation.noise_ceiling import as_fraction, from_ncsnr


def read_pictures(pictures: Pictures) -> list[Path]:
    """The picture files in the order of their rows.

    Raises
    ------
    BadData where there are none, the list cannot be read, or it names one that is not there.
    """
    if pictures.files is None:
        if found := list_images(pictures.folder):
            return found
        raise BadData(f"{pictures.folder} holds no pictures (.png, .jpg …). Put them there, or name another stimuli.folder.")
    base = pictures.folder or pictures.files.parent
    found = [(number, base / Path(line).expanduser()) for number, line in _lines(pictures.files)]
    for number, path in found:
        if not path.is_file():
            raise BadData(f"{pictures.files}, line {number}: there is no {path}. Paths are relative to {base}, or absolute.")
    if not found:
        raise BadData(f"{pictures.files} names no pictures. Write one path a line.")
    return [path for _, path in found]


def read_unlabelled(pictures: Pictures) -> list[Path]:
    """The pictures without responses; none where no folder is named."""
    return [] if pictures.unlabelled is None else list_images(pictures.unlabelled)


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers from 1; those that start with # say nothing."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read as text ({error}). Write one picture's path a line, in UTF-8.") from error
    return [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip() and not line.lstrip().startswith("#")]


def read_rows(files: SubjectFiles, paths: list[Path], shapes: Mapping[str, tuple[int, ...]]) -> tuple[list[Path], np.ndarray]:
    """The picture that each row answers, and (n_rows,) int64 groups of rows that must not be split.

    Rows of one picture are always of one group.

    Parameters
    ----------
    paths : the pictures, as :func:`read_pictures` gives them.
    shapes : per block, the (n_rows, n_vertices) of its responses.

    Raises
    ------
    BadData where counts disagree, a row answers no picture, or ``groups`` tears the rows of a picture apart.
    """
    n_rows = _same_rows(files, shapes)
    if files.repeats is not None:
        ids = read_numbers(files.repeats, n_rows, "the responses' rows are")
        if not 0 <= ids.min() <= ids.max() < len(paths):
            raise BadData(
                f"{files.repeats} holds {ids.min()} to {ids.max()}. It says which picture each row answers, counted from 0: "
                f"of {len(paths):,} pictures the last is {len(paths) - 1}."
            )
        paths = [paths[i] for i in ids]
    elif len(paths) != n_rows:
        raise BadData(_miscounted(files, len(paths), shapes))
    first = {path: row for row, path in reversed(list(enumerate(paths)))}
    same_picture = np.array([first[path] for path in paths], np.int64)
    if files.groups is None:
        return paths, same_picture
    groups = read_numbers(files.groups, n_rows, "the responses' rows are")
    if len(torn := np.flatnonzero(groups != groups[same_picture])):
        row = int(torn[0])
        raise BadData(
            f"{files.groups} puts rows {same_picture[row]} and {row} into different groups, but both answer {paths[row].name}. "
            "Give all rows of a picture one number, or a split could test on a picture it was trained on."
        )
    return paths, groups


def _same_rows(files: SubjectFiles, shapes: Mapping[str, tuple[int, ...]]) -> int:
    block, (n_rows, _) = next(iter(shapes.items()))
    for other, shape in shapes.items():
        if shape[0] != n_rows:
            raise BadData(
                f"{files.responses[block]} has {n_rows:,} rows but {files.responses[other]} has {shape[0]:,}. "
                "Every block answers the same stimuli, one a row."
            )
    return n_rows


def _miscounted(files: SubjectFiles, n_pictures: int, shapes: Mapping[str, tuple[int, ...]]) -> str:
    block, (n_rows, n_vertices) = next(iter(shapes.items()))
    path, place = files.responses[block], files.pictures.files or files.pictures.folder
    said = f"{place} holds {n_pictures:,} pictures but {path} has {n_rows:,} rows."
    if n_vertices == n_pictures:
        return f"{said} It has {n_vertices:,} columns, so it looks transposed: save Y.T."
    return f'{said} Each row answers one picture; where pictures were repeated, say which row answers which: repeats = "repeats.npy".'


def read_numbers(path: Path, length: int, what: str) -> np.ndarray:
    """(length,) whole numbers as int64; :class:`BadData` where the file is anything else. ``what`` says why that length."""
    values = open_npy(path).squeeze()
    if values.shape != (length,):
        raise BadData(f"{path} has shape {values.shape}, but {what} {length:,}. Save one number for each.")
    if values.dtype.kind not in "biuf" or (values.dtype.kind == "f" and not np.array_equal(values, np.floor(values))):
        raise BadData(f"{path} holds {values.dtype} where whole numbers are needed. Save it as integers: x.astype(int).")
    return values.astype(np.int64)


def read_rois(regions: Mapping[str, Regions], n_vertices: int) -> dict[str, np.ndarray]:
    """ROI name to its columns, sorted int64; an ROI without columns is there, empty.

    Raises
    ------
    BadData where a file has another length, a mask other numbers than 0 and 1, or two files name the same ROI.
    """
    rois: dict[str, np.ndarray] = {}
    for key, about in regions.items():
        values = read_numbers(about.path, n_vertices, "the responses' columns are")
        if about.names is None and not np.isin(values, (0, 1)).all():
            mend = f'For labels write {key} = {{ labels = "{about.path.name}", names = ["…"] }}.'
            raise BadData(f"{about.path} holds other numbers than 0 and 1, so it is no mask. {mend}")
        for name, label in {key: 1}.items() if about.names is None else about.names.items():
            if name in rois:
                raise BadData(f"{about.path} gives {name!r}, which another file gives for the same responses. Give every ROI its own name.")
            rois[name] = np.flatnonzero(values == label)
    return rois


def read_vertices(places: Places, block: str, n_vertices: int) -> np.ndarray:
    """(n_vertices,) int64: where each column lies on fsaverage (of which fsaverage5 is the beginning).

    A file may hold one vertex number a column, or for every vertex of the space a 1 where there is a column and a 0 elsewhere.

    Raises
    ------
    BadData where the file fits neither, or a vertex is out of range or named twice.
    """
    size, path = SPACES[places.space], places.files.get(block)
    if path is None:
        if n_vertices == size:
            return np.arange(size)
        mend = f'Name a file with the vertex of each: {block} = "{block}_vertices.npy".'
        raise BadData(f"{block} has {n_vertices:,} columns, which are not all {size:,} vertices of {places.space}. {mend}")
    shape = open_npy(path).squeeze().shape
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


def read_ceiling(files: SubjectFiles, block: str, n_rows: int, n_vertices: int) -> np.ndarray:
    """(n_vertices,) float32 noise ceiling, 0 … 1, of a subject who has one.

    Raises
    ------
    BadData where there is not one value for each column, or a value is impossible.
    """
    path = (files.ceiling or files.ncsnr)[block]
    values = open_npy(path).squeeze()
    if values.shape != (n_vertices,) or values.dtype.kind not in "iuf":
        raise BadData(
            f"{path} holds {values.dtype} of shape {values.shape}, but {block} has {n_vertices:,} columns: save a number for each."
        )
    try:
        return as_fraction(values) if files.ceiling else from_ncsnr(values, **_counts(files, n_rows))
    except ValueError as error:
        raise BadData(f"{path}: {error} Replace the file, or take its key out to work without a ceiling.") from error


def _counts(files: SubjectFiles, n_rows: int) -> dict[str, int]:
    """How many rows are the mean of three, two and one trials."""
    if isinstance(files.averaged, Path):
        trials = read_numbers(files.averaged, n_rows, "the responses' rows are")
        if not np.isin(trials, (1, 2, 3)).all():
            raise BadData(f"{files.averaged} holds other numbers than 1, 2 and 3. For means of more trials save the ceilings themselves.")
    else:
        trials = np.full(n_rows, files.averaged)
    return {name: int((trials == times).sum()) for name, times in (("n_three", 3), ("n_two", 2), ("n_one", 1))}
