"""Read and check the files that a ``dataset.toml`` names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._images import SUFFIXES, list_images, natural_order, not_listed, require_regular
from encoding.datasets._spelling import decoded, on_disk, plain, same_name
from encoding.datasets._videos import SUFFIXES as CLIPS
from encoding.datasets._videos import list_videos
from encoding.datasets.own.array_files import read_array, read_lines
from encoding.datasets.own.description import SPACES, Places, Regions, StimulusFiles, SubjectFiles
from encoding.datasets.own.response_files import ResponseMatrix, RowWork
from encoding.evaluation.noise_ceiling import as_fraction, from_ncsnr, from_ncsnr_of_rows, guess_unit
from encoding.runtime.registry import unknown
from encoding.storage.files import raise_passing

MAX_LIST_BYTES = 64 * 2**20
NOTHING = ("", "n/a", "nan", "none")  # cells of events without a stimulus
FROM_ONE = "repeats counts images from 0; where it counts from 1, save repeats - 1."


def read_image_paths(images: StimulusFiles) -> list[Path]:
    """List the stimulus files in the order of their rows.

    Raises
    ------
    BadData where there are none, a list or an events table cannot be read, or it names a file that is not there.
    """
    if images.events:
        return read_event_paths(images)
    if images.names is not None:
        if names := [line.strip() for line in _read_lines(images.names) if line.strip()]:
            return [Path(name) for name in names]
        raise BadData(f"{images.names} is empty. Write the name of a stimulus a line, one for each row of the responses.")
    if images.files is None:
        if found := list_stimuli(images, images.folder):
            return found
        if images.clips:
            raise BadData(f"{images.folder} holds no clips ({', '.join(sorted(CLIPS))}). Put them there, or name another stimuli.folder.")
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


def list_stimuli(images: StimulusFiles, folder: Path) -> list[Path]:
    """List the images, or clips, of a folder in natural order; with ``subfolders`` those below it too, folder by folder.

    Raises
    ------
    BadData where there is no such folder.
    """
    if not images.subfolders:
        return list_videos(folder) if images.clips else list_images(folder)
    list_images(folder)  # is there
    suffixes, found = CLIPS if images.clips else SUFFIXES, []
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.suffix.lower() in suffixes and not any(part.startswith(".") for part in parts):
            require_regular(path)
            found.append((tuple(map(natural_order, parts)), path))
    return [path for _, path in sorted(found)]


def read_event_paths(images: StimulusFiles) -> list[Path]:
    """Find the stimulus file that each row of the events names, in the order of the tables and rows; rows without one are left out.

    Raises
    ------
    BadData where a table has no such column, names a file that is not there, or no row names any.
    """
    found, in_folder = [], {}
    for table, number, cells in _event_rows(images):
        found.append(_find_image(table, number, images.folder or table.parent, cells[images.column], in_folder))
    if not found:
        tables = ", ".join(path.name for path in images.events)
        raise BadData(f"No row of {tables} names a stimulus in the column {images.column!r}: all are empty or n/a.")
    return found


def _event_rows(images: StimulusFiles, *columns: str) -> Iterator[tuple[Path, int, dict[str, str]]]:
    """Yield the rows of the events that name a stimulus: the table, the line's number, and column to cell."""
    for table in images.events:
        names, lines = read_lines(table)
        for column in (images.column, *columns):
            if column not in names:
                hint = " Name the column of the stimulus' files: column = ..." if column == images.column else ""
                raise BadData(f"{table}: {unknown('column', column, names, show=len(names))}{hint}")
        for number, cells in lines:
            row = dict(zip(names, map(str.strip, cells), strict=True))
            if row[images.column].lower() not in NOTHING:
                yield table, number, row


def read_unlabelled(images: StimulusFiles) -> list[Path]:
    """List the images without responses; none where no folder is named."""
    return [] if images.unlabelled is None else list_stimuli(images, images.unlabelled)


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


@dataclass(frozen=True)
class Rows:
    """What is known of the rows of a subject's responses.

    Attributes
    ----------
    paths : the stimulus file of each row that is kept. groups : (n_rows,) int64, of rows that must not be split.
    measured : (n_measured,) int64, the row of the first measurement of its stimulus, for each row of the files.
    work : what makes the rows that are kept of those in the files.
    """

    paths: list[Path]
    groups: np.ndarray
    measured: np.ndarray
    work: RowWork


def read_rows(files: SubjectFiles, paths: list[Path], matrices: Mapping[str, ResponseMatrix]) -> Rows:
    """Find the stimulus of each row, its session and group. Rows of one stimulus are always of one group.

    Parameters
    ----------
    paths : the stimulus files, as :func:`read_image_paths` gives them.
    matrices : per block, its responses.

    Raises
    ------
    BadData where counts disagree, a row has no image, or ``groups`` parts the rows of an image.
    """
    shapes = {block: matrix.shape for block, matrix in matrices.items()}
    n_rows = _same_rows(files, shapes)
    if files.repeats is not None:
        if files.images.events:
            raise BadData(f"{files.repeats}: repeats gives the image of each row, which the events give already. Take repeats out.")
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
    groups = same_image
    if files.groups is not None:
        groups = read_numbers(files.groups, n_rows, "the responses' rows are")
        if len(torn := np.flatnonzero(groups != groups[same_image])):
            row = int(torn[0])
            raise BadData(
                f"{files.groups} puts rows {same_image[row]} and {row} into different groups, but both answer {paths[row].name}. "
                "Give all rows of an image one number, or a split could test on an image it was trained on."
            )
    sessions = _sessions(files, matrices, n_rows) if files.zscore else None
    if not files.average:
        return Rows(paths, groups, same_image, RowWork(sessions))
    kept = np.unique(same_image)
    return Rows([paths[row] for row in kept], np.unique(groups[kept], return_inverse=True)[1], same_image, RowWork(sessions, same_image))


def _sessions(files: SubjectFiles, matrices: Mapping[str, ResponseMatrix], n_rows: int) -> np.ndarray:
    """Session of each row, (n_rows,) int64 from 0: as given, else that of the file of responses, or of events, that the row stands in."""
    if isinstance(files.sessions, Path):
        labels: Any = read_numbers(files.sessions, n_rows, "the responses' rows are")
    elif files.sessions is not None:
        if not files.images.events:
            raise BadData(
                f"sessions = {files.sessions!r} is a column of the events, but there are none. Name a file with the session of each row."
            )
        labels = [(table, row[files.sessions]) for table, _, row in _event_rows(files.images, files.sessions)]
    else:
        several = [np.repeat(np.arange(len(each.paths)), each.rows_of_file) for each in matrices.values() if len(each.paths) > 1]
        labels = several[0] if several else [table for table, _, _ in _event_rows(files.images)]
        if not several and len(files.images.events) < 2:
            raise BadData(
                'zscore = "session" needs the session of each row: sessions = "sessions.npy", the name of a column of the events, or '
                "several files of responses or of events, one for each session."
            )
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in (labels.tolist() if isinstance(labels, np.ndarray) else labels)])


def counts_from_one(ids: np.ndarray) -> bool:
    """Guess whether image numbers are 1-based: whether the lowest is 1."""
    return bool(ids.min() == 1)


def _same_rows(files: SubjectFiles, shapes: Mapping[str, tuple[int, ...]]) -> int:
    block, (n_rows, _) = next(iter(shapes.items()))
    for other, shape in shapes.items():
        if shape[0] != n_rows:
            raise BadData(
                f"{files.responses[block][0]} has {n_rows:,} rows but {files.responses[other][0]} has {shape[0]:,}. "
                "Every block answers the same stimuli, one a row."
            )
    return n_rows


def _miscounted(files: SubjectFiles, n_images: int, shapes: Mapping[str, tuple[int, ...]]) -> str:
    block, (n_rows, n_vertices) = next(iter(shapes.items()))
    path = files.responses[block][0]
    place = files.images.files or files.images.names or (files.images.events[0] if files.images.events else files.images.folder)
    path = f"{path} and {len(files.responses[block]) - 1} more" if len(files.responses[block]) > 1 else path
    found = f"{place} holds {n_images:,} {'names' if files.images.names else 'images'} but {path} has {n_rows:,} rows."
    if n_vertices == n_images:
        return f"{found} It has {n_vertices:,} columns, so it looks transposed: save Y.T, or write transposed = true below the subject."
    if files.images.events:
        return (
            f"{found} Each row of the events that names a stimulus is a row of the responses; n/a in {files.images.column} leaves one out."
        )
    if files.images.folder and files.images.files is None and (hint := not_listed(files.images.folder)):
        return f"{found} {hint}"
    return f'{found} Each row answers one image; where images were repeated, say which row answers which: repeats = "repeats.npy".'


def read_columns(path: Path, mask: np.ndarray | None = None) -> np.ndarray:
    """Read one number for each column: a vector, or the voxels of ``mask`` (x, y, z) in a volume on its grid.

    Raises
    ------
    BadData where the file cannot be read, or is a volume and there is no mask of its shape.
    """
    values = read_array(path).squeeze()
    if values.ndim == 3:
        if mask is None:
            raise BadData(f'{path} is a volume {values.shape}, so say which voxels are columns: vertices = {{ mask = "mask.nii.gz" }}.')
        if values.shape != mask.shape:
            raise BadData(f"{path} is a volume {values.shape}, but the mask is {mask.shape}. Save it on the grid of the mask.")
        return values[mask]
    return values


def read_numbers(path: Path, length: int, what: str, mask: np.ndarray | None = None) -> np.ndarray:
    """Read (length,) whole numbers as int64; :class:`BadData` where the file is anything else. ``what`` says why that length."""
    values = read_columns(path, mask)
    if values.shape != (length,):
        raise BadData(f"{path} has shape {values.shape}, but {what} {length:,}. Save one number for each.")
    if values.dtype.kind not in "biuf" or (values.dtype.kind == "f" and not np.array_equal(values, np.floor(values))):
        raise BadData(f"{path} holds {values.dtype} where whole numbers are needed. Save it as integers: x.astype(int).")
    return values.astype(np.int64)


def read_rois(regions: Mapping[str, Regions], n_vertices: int, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
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
    """Read the vertex of the space at which each column lies, (n_vertices,) int64. fsaverage5 is the beginning of fsaverage.

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
    files: SubjectFiles, shapes: Mapping[str, tuple[int, ...]], measured: np.ndarray, mask: np.ndarray | None = None
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
