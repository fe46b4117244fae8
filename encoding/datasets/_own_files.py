"""Read and check the files that a ``dataset.toml`` names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from encoding.datasets._arrays import open_npy
from encoding.datasets._base import BadData
from encoding.datasets._description import SPACES, Places, Regions, StimulusFiles, SubjectFiles
from encoding.datasets._images import list_images, not_listed, require_regular
from encoding.datasets._spelling import decoded, on_disk, plain, same_name
from encoding.evaluation.noise_ceiling import as_fraction, from_ncsnr, guess_unit
from encoding.storage.files import raise_passing

MAX_LIST_BYTES = 64 * 2**20
FROM_ONE = "repeats counts images from 0; where it counts from 1, save repeats - 1."


def read_image_paths(images: StimulusFiles) -> list[Path]:
    """List the image files in the order of their rows.

    Raises
    ------
    BadData where there are none, the list cannot be read, or it names one that is not there.
    """
    if images.files is None:
        if found := list_images(images.folder):
            return found
        hint = not_listed(images.folder) or "Put them there, or name another stimuli.folder."
        raise BadData(f"{images.folder} holds no images (.png, .jpg …). {hint.replace('list them', 'list them (stimuli.files)')}")
    base = images.folder or images.files.parent
    named, in_folder = [], {}
    for number, line in enumerate(_read_lines(images.files), start=1):
        if line.strip() and not (line.lstrip().startswith("#") and not _is_file(base / line.strip())):
            named.append(_find_image(images.files, number, base, line.strip(), in_folder))
    if not named:
        raise BadData(f"{images.files} names no images. Write one path a line.")
    return named


def read_unlabelled(images: StimulusFiles) -> list[Path]:
    """List the images without responses; none where no folder is named."""
    return [] if images.unlabelled is None else list_images(images.unlabelled)


def _read_lines(path: Path) -> list[str]:
    require_regular(path)
    if path.stat().st_size > MAX_LIST_BYTES:
        raise BadData(f"{path} has {path.stat().st_size:,} bytes, too many for a list of images. Write one path a line.")
    try:
        return decoded(path.read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise_passing(error, path)
        raise BadData(f"{path} cannot be read as text ({error}). Write one image's path a line, in UTF-8 or UTF-16.") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        raise_passing(error, path)
        return False


def _find_image(listing: Path, number: int, base: Path, line: str, in_folder: dict[Path, dict[str, Path]]) -> Path:
    """Find the file that a line names, also where accents are composed otherwise on disk (macOS) or separators are backslashes.

    ``in_folder`` remembers, per folder, its files by :func:`encoding.datasets._spelling.plain` name.
    """
    try:
        path = base / Path(line).expanduser()
    except RuntimeError:
        path = base / line
    if _is_file(path):
        return path
    turned = base / line.replace("\\", "/")
    if _is_file(turned):
        return turned
    if turned.parent not in in_folder:
        folder = on_disk(turned.parent)
        there = folder.iterdir() if folder.is_dir() else ()
        in_folder[turned.parent] = {plain(each.name): each for each in there if _is_file(each)}
    near = in_folder[turned.parent].get(plain(turned.name))
    if near and same_name(near.name, turned.name):
        return near
    hint = f"Did you mean {near.name}, with other capitals? " if near else ""
    if line[0] in "'\"":
        hint = "Write paths without quotes. "
    if path.exists():
        raise BadData(f"{listing}, line {number}: {path} is no regular file.")
    raise BadData(f"{listing}, line {number}: there is no {path}. {hint}Paths are relative to {base}, or absolute.")


def read_rows(files: SubjectFiles, paths: list[Path], shapes: Mapping[str, tuple[int, ...]]) -> tuple[list[Path], np.ndarray]:
    """Find the image of each row, and (n_rows,) int64 groups of rows that must not be split.

    Rows of one image are always of one group.

    Parameters
    ----------
    paths : the images, as :func:`read_image_paths` gives them.
    shapes : per block, the (n_rows, n_vertices) of its responses.

    Raises
    ------
    BadData where counts disagree, a row has no image, or ``groups`` parts the rows of an image.
    """
    n_rows = _same_rows(files, shapes)
    if files.repeats is not None:
        ids = read_numbers(files.repeats, n_rows, "the responses' rows are")
        if not 0 <= ids.min() <= ids.max() < len(paths):
            from_one = " It counts from 1: save repeats - 1." if (ids.min(), ids.max()) == (1, len(paths)) else ""
            raise BadData(
                f"{files.repeats} holds {ids.min()} to {ids.max()}. It gives the image of each row, counted from 0: "
                f"of {len(paths):,} images the last is {len(paths) - 1}.{from_one}"
            )
        if counts_from_one(ids):
            warnings.warn(f"{files.repeats} never names image 0. {FROM_ONE}", stacklevel=2)
        paths = [paths[i] for i in ids]
    elif len(paths) != n_rows:
        raise BadData(_miscounted(files, len(paths), shapes))
    first = {path: row for row, path in reversed(list(enumerate(paths)))}
    same_image = np.array([first[path] for path in paths], np.int64)
    if files.groups is None:
        return paths, same_image
    groups = read_numbers(files.groups, n_rows, "the responses' rows are")
    if len(torn := np.flatnonzero(groups != groups[same_image])):
        row = int(torn[0])
        raise BadData(
            f"{files.groups} puts rows {same_image[row]} and {row} into different groups, but both answer {paths[row].name}. "
            "Give all rows of an image one number, or a split could test on an image it was trained on."
        )
    return paths, groups


def counts_from_one(ids: np.ndarray) -> bool:
    """Guess whether image numbers are 1-based: whether the lowest is 1."""
    return bool(ids.min() == 1)


def _same_rows(files: SubjectFiles, shapes: Mapping[str, tuple[int, ...]]) -> int:
    block, (n_rows, _) = next(iter(shapes.items()))
    for other, shape in shapes.items():
        if shape[0] != n_rows:
            raise BadData(
                f"{files.responses[block]} has {n_rows:,} rows but {files.responses[other]} has {shape[0]:,}. "
                "Every block answers the same stimuli, one a row."
            )
    return n_rows


def _miscounted(files: SubjectFiles, n_images: int, shapes: Mapping[str, tuple[int, ...]]) -> str:
    block, (n_rows, n_vertices) = next(iter(shapes.items()))
    path, place = files.responses[block], files.images.files or files.images.folder
    found = f"{place} holds {n_images:,} images but {path} has {n_rows:,} rows."
    if n_vertices == n_images:
        return f"{found} It has {n_vertices:,} columns, so it looks transposed: save Y.T."
    if files.images.files is None and (hint := not_listed(files.images.folder)):
        return f"{found} {hint}"
    return f'{found} Each row answers one image; where images were repeated, say which row answers which: repeats = "repeats.npy".'


def read_numbers(path: Path, length: int, what: str) -> np.ndarray:
    """Read (length,) whole numbers as int64; :class:`BadData` where the file is anything else. ``what`` says why that length."""
    values = open_npy(path).squeeze()
    if values.shape != (length,):
        raise BadData(f"{path} has shape {values.shape}, but {what} {length:,}. Save one number for each.")
    if values.dtype.kind not in "biuf" or (values.dtype.kind == "f" and not np.array_equal(values, np.floor(values))):
        raise BadData(f"{path} holds {values.dtype} where whole numbers are needed. Save it as integers: x.astype(int).")
    return values.astype(np.int64)


def read_rois(regions: Mapping[str, Regions], n_vertices: int) -> dict[str, np.ndarray]:
    """Read ROI name to its columns, sorted int64; an ROI without columns is there, empty.

    Raises
    ------
    BadData where a file has another length, a mask other numbers than 0 and 1, or two files name the same ROI.
    """
    rois: dict[str, np.ndarray] = {}
    for key, about in regions.items():
        values = read_numbers(about.path, n_vertices, "the responses' columns are")
        if about.names is None and not np.isin(values, (0, 1)).all():
            fix = f'For labels write {key} = {{ labels = "{about.path.name}", names = ["…"] }}.'
            raise BadData(f"{about.path} holds other numbers than 0 and 1, so it is no mask. {fix}")
        for name, label in {key: 1}.items() if about.names is None else about.names.items():
            if name in rois:
                raise BadData(f"{about.path} gives {name!r}, which another file gives for the same responses. Give every ROI its own name.")
            rois[name] = np.flatnonzero(values == label)
    return rois


def read_vertices(places: Places, block: str, n_vertices: int) -> np.ndarray:
    """Read the vertex of fsaverage at which each column lies, (n_vertices,) int64. fsaverage5 is the beginning of fsaverage.

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


def read_ceilings(files: SubjectFiles, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray] | None:
    """Read the noise ceilings of a subject, all blocks in one unit.

    Parameters
    ----------
    shapes : per block, the (n_rows, n_vertices) of its responses.

    Returns
    -------
    Per block (n_vertices,) float32, 0 … 1, the share of variance that any model could explain; None where none are named.

    Raises
    ------
    BadData where there is not one value for each column, a value is impossible, or the unit is ambiguous.
    """
    if not files.has_ceiling:
        return None
    paths, maps = files.ceiling or files.ncsnr, {}
    for block, (_, n_vertices) in shapes.items():
        values = maps[block] = open_npy(paths[block]).squeeze()
        if values.shape != (n_vertices,) or values.dtype.kind not in "iuf":
            raise BadData(
                f"{paths[block]} holds {values.dtype} of shape {values.shape}, but {block} has {n_vertices:,} columns: "
                "save a number for each."
            )
    return {block: _ceiling(files, paths, block, maps, n_rows) for block, (n_rows, _) in shapes.items()}


def _ceiling(files: SubjectFiles, paths: Mapping[str, Path], block: str, maps: Mapping[str, np.ndarray], n_rows: int) -> np.ndarray:
    try:
        if files.ceiling is None:
            return from_ncsnr(maps[block], **_counts(files, n_rows))
        unit = files.ceiling_unit
        if unit is None:
            unit = guess_unit([values for values in maps.values() if values.size])
        return as_fraction(maps[block], unit)
    except ValueError as error:
        raise BadData(f"{paths[block]}: {error} Replace the file, or take its key out to work without a ceiling.") from error


def _counts(files: SubjectFiles, n_rows: int) -> dict[str, int]:
    """How many rows are the mean of three, two and one trials."""
    if isinstance(files.averaged, Path):
        trials = read_numbers(files.averaged, n_rows, "the responses' rows are")
        if not np.isin(trials, (1, 2, 3)).all():
            raise BadData(f"{files.averaged} holds other numbers than 1, 2 and 3. For means of more trials save the ceilings themselves.")
    else:
        trials = np.full(n_rows, files.averaged)
    return {name: int((trials == times).sum()) for name, times in (("n_three", 3), ("n_two", 2), ("n_one", 1))}
