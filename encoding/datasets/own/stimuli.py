"""Find the stimuli of the rows: files of a folder, a list or tables of events, or names alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from encoding.datasets._base import BadData
from encoding.datasets._images import SUFFIXES, list_images, natural_order, not_listed, require_regular
from encoding.datasets._spelling import decoded, on_disk, plain, same_name
from encoding.datasets._videos import SUFFIXES as CLIPS
from encoding.datasets._videos import list_videos
from encoding.datasets.own.description import StimulusFiles
from encoding.datasets.own.text_tables import place_of_column, read_lines
from encoding.runtime.registry import unknown
from encoding.storage.files import raise_passing

MAX_LIST_BYTES = 64 * 2**20
NOTHING = ("", "n/a", "nan", "none")  # cells of events without a stimulus


def read_image_paths(images: StimulusFiles) -> list[Path]:
    """List the stimulus files in the order of their rows; none where stimuli follow from the runs of the responses.

    Raises
    ------
    BadData where there are none, a list or an events table cannot be read, or it names a file that is not there.
    """
    if images.of_runs:
        return []
    if images.events:
        return read_event_paths(images)
    if images.names is not None:
        if names := [line.strip() for line in read_text_lines(images.names) if line.strip()]:
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
    for number, line in enumerate(read_text_lines(images.files), start=1):
        if line.strip() and not (line.lstrip().startswith("#") and not _is_file(base / line.strip())):
            named.append(_find_image(images.files, number, base, line.strip(), in_folder))
    if not named:
        raise BadData(f"{images.files} names no images. Write one path a line.")
    return _spelled_alike(named)


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
    for table, number, cells in event_rows(images):
        found.append(_find_image(table, number, images.folder or table.parent, cells[images.column], in_folder))
    if not found:
        tables = ", ".join(path.name for path in images.events)
        raise BadData(f"No row of {tables} names a stimulus in the column {images.column!r}: all are empty or n/a.")
    return _spelled_alike(found)


def _spelled_alike(paths: list[Path]) -> list[Path]:
    """Spell every path to a file as the first one: ``../images/0.png`` and the absolute path are ``images/0.png``."""
    folders = {folder: folder.resolve() for folder in dict.fromkeys(path.parent for path in paths)}
    first: dict[tuple[Path, str], Path] = {}
    return [first.setdefault((folders[path.parent], path.name), path) for path in paths]


def event_rows(images: StimulusFiles, *columns: str) -> Iterator[tuple[Path, int, dict[str, str]]]:
    """Yield the rows of the events that name a stimulus: the table, the line's number, and column to cell."""
    for table in images.events:
        names, lines = read_lines(table)
        for column in (images.column, *columns):
            if column not in names:
                hint = " Name the column of the stimulus' files: column = ..." if column == images.column else ""
                raise BadData(f"{table}: {unknown('column', column, names, show=len(names))}{hint}")
            place_of_column(table, column, names)
        for number, cells in lines:
            row = dict(zip(names, map(str.strip, cells), strict=True))
            if row[images.column].lower() not in NOTHING:
                yield table, number, row


def read_unlabelled(images: StimulusFiles) -> list[Path]:
    """List the images without responses; none where no folder is named."""
    return [] if images.unlabelled is None else list_stimuli(images, images.unlabelled)


def read_text_lines(path: Path) -> list[str]:
    """Read the lines of a list; BadData where it is no text or far too large."""
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
