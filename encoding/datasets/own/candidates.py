"""Candidates for the responses and the stimuli of a subject, from a survey of a folder, and the pairs of them whose rows agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from encoding.datasets._base import BadData
from encoding.datasets._images import SUFFIXES
from encoding.datasets._videos import SUFFIXES as CLIPS
from encoding.datasets.own.description import BLOCK
from encoding.datasets.own.stimuli import NOTHING
from encoding.datasets.own.survey import HEMISPHERE, SIDES, FoundArray, Survey, entities_of, subject_of
from encoding.datasets.own.text_tables import read_lines

PART = re.compile(r"(?i)(?<![a-z])(ses|session|run|day)[-_]?([a-z]*\d+)")
GLMSINGLE = re.compile(r"(?i)TYPE([A-D])_")
MAP = re.compile(r"(?i)(?<![a-z])(beta|betas|con|tmap|zmap|statmap|spmT|cope|pe|tstat|zstat)[-_]?\d+|stat-(effect|t|z)")
FEATURE = re.compile(r"(?i)feature|embedding|wordnet|gabor|motion_?energy|caption|confound|design|params|rdm|cov")
N_TRIED = 20  # names of a column that are looked for
FEWEST_MAPS = 4


@dataclass(frozen=True)
class ResponseOption:
    """Files that could be a subject's responses.

    Attributes
    ----------
    name : by which a person chooses it: the file's, with * where files of sessions and runs differ.
    blocks : block to files, whose rows follow one another. counts : number of rows of each file of the first block.
    n_columns : of each block; 0 for volumes, as a mask says how many. transposed : whether rows are the second axis.
    """

    name: str
    blocks: Mapping[str, tuple[FoundArray, ...]]
    counts: tuple[int, ...]
    n_columns: Mapping[str, int]
    transposed: bool = False

    @property
    def first(self) -> FoundArray:
        """The first of its files."""
        return next(iter(self.blocks.values()))[0]

    @property
    def n_rows(self) -> int:
        """Number of rows of responses."""
        return sum(self.counts)


@dataclass(frozen=True)
class StimulusOption:
    """What could say which stimulus each row answers.

    Attributes
    ----------
    name : by which a person chooses it. table : of ``dataset.toml``, with paths. why : of each key of ``table``.
    shown : the stimulus of each row. counts : number of rows of each table; of a folder or list one number.
    """

    name: str
    table: Mapping[str, Any]
    why: Mapping[str, str]
    shown: tuple[str, ...]
    counts: tuple[int, ...]
    clips: bool = False

    @property
    def n_rows(self) -> int:
        """Number of rows that the stimuli give."""
        return len(self.shown)


def subjects_of(found: Survey) -> list[str]:
    """Subjects that the paths of arrays and events name, in natural order; one without a name where none is named."""
    arrays = [each.subject for each in (*found.arrays, *found.series)]
    return list(dict.fromkeys(filter(None, [*arrays, *(subject_of(found.name(path)) for path in found.events)]))) or [""]


def pattern_of(name: str) -> str:
    """A path with * in place of its session, run and number, and of its hemisphere.

    Examples
    --------
    >>> pattern_of("sub-01/ses-02/sub-01_ses-02_run-3_betas.nii.gz")
    'sub-01/ses-*/sub-01_ses-*_run-*_betas.nii.gz'
    >>> pattern_of("betas_lh.npy")
    'betas_{hemi}.npy'
    """
    return SIDES.sub("{hemi}", PART.sub(lambda match: f"{match[1]}-*" if "-" in match[0] else f"{match[1]}*", name))


def hemisphere_of(name: str) -> str:
    """``lh`` or ``rh`` where a file's name says so; else empty."""
    match = SIDES.search(Path(name).name)
    return HEMISPHERE[match[1]] if match else ""


def response_options(arrays: Sequence[FoundArray]) -> tuple[list[ResponseOption], list[str]]:
    """List what could be responses, and remarks on what was passed over for something better.

    Parameters
    ----------
    arrays : of one subject.
    """
    remarks, kinds = [], {}
    for each in arrays:
        if match := GLMSINGLE.search(each.name):
            kinds.setdefault(match[1].upper(), []).append(each)
    if len(kinds) > 1:
        best = max(kinds)
        for kind in sorted(set(kinds) - {best}):
            remarks.append(f"{kinds[kind][0].name}: a simpler model of GLMsingle's than TYPE{best}, which is proposed.")
        arrays = [each for each in arrays if not (match := GLMSINGLE.search(each.name)) or match[1].upper() == best]
    options = []
    for name, members in _grouped(arrays):
        if name_has := FEATURE.search(Path(name).name):
            remarks.append(
                f"{members[0].name}: {_sizes(members[0])}; its name ({name_has[0]}) is that of a table of features. "
                "To fit on it, put it into the folder features beside dataset.toml."
            )
            continue
        options += _options(name, members)
    return options, remarks


def _grouped(arrays: Sequence[FoundArray]) -> Iterator[tuple[str, list[FoundArray]]]:
    """Arrays that differ in session, run and hemisphere, or are maps of one trial each that differ in number."""

    def group(each: FoundArray) -> tuple[str, int]:
        if len(each.shape) == 3 and each.is_volume:
            return re.sub(r"\d+(?=\D*$)", "*", pattern_of(each.name)), 3
        return pattern_of(each.name), len(each.shape)

    known: dict[tuple[str, int], list[FoundArray]] = {}
    for each in arrays:
        known.setdefault(group(each), []).append(each)
    for (name, n_axes), members in known.items():
        is_maps = n_axes == 3 and members[0].is_volume
        if is_maps and (len(members) < FEWEST_MAPS or not MAP.search(Path(members[0].name).name)):
            continue
        if is_maps or members[0].is_volume or (members[0].matrix and (members[0].columns or min(members[0].matrix) > 1)):
            yield name, members


def _options(name: str, members: Sequence[FoundArray]) -> Iterator[ResponseOption]:
    """The options that a group of files gives: as it lies, and transposed."""
    first = members[0]
    if first.dtype.kind not in "iuf":
        return
    if first.columns:
        rows = tuple(each.shape[0] for each in members)
        yield ResponseOption(name, dict.fromkeys(first.columns, tuple(members)), rows, dict(first.columns))
        return
    sides = {hemisphere_of(each.name) for each in members}
    blocks: dict[str, list[FoundArray]] = {}
    for each in sorted(members, key=lambda each: hemisphere_of(each.name)):
        blocks.setdefault(hemisphere_of(each.name) if sides == {"lh", "rh"} else BLOCK, []).append(each)
    every = {block: tuple(files) for block, files in blocks.items()}
    one = next(iter(every.values()))
    if first.is_volume:
        if len({each.grid for each in members}) == 1:
            rows = tuple(each.shape[3] if len(each.shape) == 4 else 1 for each in one)
            yield ResponseOption(name, every, rows, dict.fromkeys(every, 0))
        return
    for axis in (0, 1) if not first.rows_last and len(first.shape) == 2 else (0,):
        rows, columns = (tuple(each.matrix[side] for each in one) for side in (axis, 1 - axis))
        widths = {block: {each.matrix[1 - axis] for each in files} for block, files in every.items()}
        lengths = {tuple(each.matrix[axis] for each in files) for files in every.values()}
        if len(set(columns)) == 1 and len(lengths) == 1 and all(len(width) == 1 for width in widths.values()):
            yield ResponseOption(name, every, rows, {block: width.pop() for block, width in widths.items()}, transposed=axis == 1)


def _sizes(found: FoundArray) -> str:
    return f"{found.what}, {'x'.join(map(str, found.shape))}"


def stimulus_options(found: Survey, subject: str) -> tuple[list[StimulusOption], list[str]]:
    """List what could say which stimulus each row answers, and remarks on events that name none."""
    options, remarks = [], []
    events = [path for path in found.events if subject_of(found.name(path)) in ("", subject)]
    for task, tables in groupby(sorted(events, key=lambda path: _task(found, path)), key=lambda path: _task(found, path)):
        made, columns = _of_tables(found, list(tables), f"events of the task {task}" if task else "events")
        options += made
        if not made:
            remarks.append(
                f"No column of the events{f' of the task {task}' if task else ''} names files that are here; they have "
                f"{', '.join(columns)}. "
                'Where one names stimuli, say where these lie: stimuli.folder = "…" and stimuli.column = "…".'
            )
    for path in found.lists:
        if subject_of(found.name(path)) in ("", subject):
            options += _of_tables(found, [path], found.name(path))[0] or _of_list(found, path)
    return options or list(_of_folders(found, subject)), remarks


def _task(found: Survey, path: Path) -> str:
    return entities_of(found.name(path)).get("task", "")


def _bases(found: Survey) -> list[Path]:
    """Folders that paths of stimuli may start at."""
    folders = [found.folder / "stimuli", found.folder]
    for kind in (found.images, found.clips):
        for path in kind:
            folders += [each for each in (path, *path.parents) if each.is_relative_to(found.folder)]
    return list(dict.fromkeys(folders))


def _base_of(found: Survey, names: Sequence[str], home: Path) -> Path | None:
    """The folder at which most of some names start that are those of stimuli; None where there is none."""
    tried = list(dict.fromkeys(names))[:N_TRIED]
    tried = [name for name in tried if Path(name.replace("\\", "/")).suffix.lower() in SUFFIXES | CLIPS]
    if not tried:
        return None
    for base in [*_bases(found), home]:
        if 2 * sum((base / name.replace("\\", "/")).is_file() for name in tried) > len(tried):
            return base
    return None


def _of_tables(found: Survey, tables: Sequence[Path], what: str) -> tuple[list[StimulusOption], list[str]]:
    """An option for each column of tables that names files that are here, and the names of all columns."""
    try:
        every = [read_lines(path) for path in tables]
    except BadData as error:
        return [], [str(error)]
    columns = every[0][0]
    shared = [column for column in columns if all(column in names for names, _ in every)]
    if any(Path(column).suffix.lower() in SUFFIXES | CLIPS for column in columns):
        return [], columns  # a list without a line of names
    options = []
    for column in shared:
        cells = [[row[names.index(column)].strip() for _, row in rows] for names, rows in every]
        shown = [[cell for cell in each if cell.lower() not in NOTHING] for each in cells]
        flat = tuple(cell for each in shown for cell in each)
        if base := _base_of(found, flat, tables[0].parent):
            n_out = sum(map(len, cells)) - len(flat)
            left_out = f"; {n_out:,} rows name none and are left out" if n_out else ""
            table = {"folder": base, "events": list(tables), "column": column}
            why = {
                "folder": f"paths in the column {column} start here.",
                "events": f"{len(tables)} table{'s' if len(tables) > 1 else ''} of {what}, {len(flat):,} rows that name a stimulus"
                f" ({len(set(flat)):,} different ones){left_out}.",
                "column": "the column whose cells are files that are here"
                + ("." if len(shared) == 1 else f"; the table has {', '.join(columns)}."),
            }
            clips = Path(flat[0]).suffix.lower() in CLIPS
            options.append(StimulusOption(f"{what}, column {column}", table, why, flat, tuple(map(len, shown)), clips))
    return options, columns


def _of_list(found: Survey, path: Path) -> list[StimulusOption]:
    """A text file with the path of a stimulus a line."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        return []
    base = _base_of(found, lines, path.parent)
    if base is None:
        return []
    why = {"folder": "paths in the list start here.", "files": f"{len(lines):,} lines, each the path of a stimulus; a line is a row."}
    clips = Path(lines[0]).suffix.lower() in CLIPS
    return [StimulusOption(found.name(path), {"folder": base, "files": path}, why, tuple(lines), (len(lines),), clips)]


def _of_folders(found: Survey, subject: str) -> Iterator[StimulusOption]:
    """Folders of images or clips, and folders above several of them."""
    for kind, what in ((found.images, "images"), (found.clips, "clips")):
        counts = {path: n for path, n in kind.items() if subject_of(found.name(path)) in ("", subject)}
        above = {each for path in counts for each in path.parents if each.is_relative_to(found.folder)}
        inside = {folder: {path for path in counts if path.is_relative_to(folder)} for folder in {*counts, *above}}
        for folder in sorted(inside):
            below = {path: counts[path] for path in inside[folder]}
            if folder not in counts and any(set(below) == inside[other] for other in inside if other.parent == folder):
                continue  # a folder below it holds them all
            n = sum(below.values())
            options = [(n, True)] if folder not in counts else [(counts[folder], False)]
            options += [(n, True)] if folder in counts and len(below) > 1 else []
            for n_here, deep in options:
                name = f"{found.name(folder)}{' and folders below' if deep else ''}"
                why = {"folder": f"{n_here:,} {what}, in natural order of their names; image i is row i of the responses."}
                table: dict[str, Any] = {"folder": folder}
                if deep:
                    table["subfolders"], why["subfolders"] = True, f"the {what} lie in {len(below)} folders below it."
                yield StimulusOption(name, table, why, tuple(map(str, range(n_here))), (n_here,), kind is found.clips)


def matching(responses: Sequence[ResponseOption], stimuli: Sequence[StimulusOption]) -> list[tuple[ResponseOption, StimulusOption]]:
    """Pairs with as many rows as stimuli are named; where some pair agrees as it lies, no transposed one."""
    pairs = [(one, other) for one in responses for other in stimuli if one.n_rows == other.n_rows]
    return [pair for pair in pairs if not pair[0].transposed] or pairs
