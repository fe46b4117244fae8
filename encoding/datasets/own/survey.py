"""Look over a folder as a laboratory keeps it: its stimuli, events and arrays, with shapes and what the names of BIDS say of them.

Only the beginnings of files are read here. :mod:`encoding.datasets.own.proposal` makes a ``dataset.toml`` of what is found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._images import SUFFIXES, natural_order
from encoding.datasets._other_formats import N_BYTES, is_matlab7, other_format
from encoding.datasets._videos import SUFFIXES as CLIPS
from encoding.datasets.own.array_files import find_reader, is_volume, member_shapes, open_array, split_member
from encoding.datasets.own.arrays import WELL_KNOWN, ArrayFile
from encoding.datasets.own.description import FILE
from encoding.datasets.own.feature_tables import FOLDER as FEATURES
from encoding.datasets.own.formats import CORTEX, TEXT

MAX_FILES, MAX_ARRAYS, MAX_MEMBERS = 500_000, 5_000, 40
PASSED = frozenset({"figures", "logs", "code", "sourcedata", "freesurfer", "fsaverage", "__pycache__", "node_modules", FEATURES})
ANATOMY = frozenset({
    "T1w", "T2w", "FLAIR", "dwi", "epi", "sbref", "boldref", "probseg", "xfm", "timeseries", "regressors", "participants", "scans",
    "sessions", "physio", "thickness", "sulc", "curv", "phasediff", "phase1", "phase2", "magnitude1", "magnitude2",
})  # fmt: skip
"""Suffixes of BIDS of files that are no responses, masks or stimuli."""
PREPROCESSING = re.compile(r"(^|_)desc-(aseg|aparcaseg)_|\.surf\.|^(DESIGNINFO|RUNWISEFIR)|\.tsv\.gz$")
OTHER_ARRAYS = frozenset(
    {".pkl", ".pickle", ".pt", ".pth", ".xlsx", ".xls", ".parquet", ".feather", ".rds", ".rdata", ".zip", ".tar", ".gz"}
)
SUBJECT = re.compile(r"(?:subj|subject|CSI)[-_]?\d+")
TOKEN = re.compile(r"([A-Za-z]+)-([A-Za-z0-9.+]+)")
SIDES = re.compile(r"(?:^|(?<=[._-]))(lh|rh|left|right|L|R)(?=[._-]|$)")
HEMISPHERE = {"lh": "lh", "rh": "rh", "left": "lh", "right": "rh", "L": "lh", "R": "rh"}


@dataclass(frozen=True)
class FoundArray:
    """An array in a file of the folder.

    Attributes
    ----------
    path : file and, after a colon, the array in it. name : the same as seen from the folder.
    what : its format, with the article. shape, dtype : as stored. rows_last : as :class:`ArrayFile`.
    columns : of CIFTI files, hemisphere to number of cortical vertices, and ``size`` of that surface.
    """

    path: Path
    name: str
    what: str
    shape: tuple[int, ...]
    dtype: np.dtype
    rows_last: bool = False
    columns: Mapping[str, int] = field(default_factory=dict)
    size: int = 0

    @cached_property
    def entities(self) -> dict[str, str]:
        """BIDS entities of the path, such as ``sub``, ``ses``, ``run``, ``space``; those of the file's name come before its folders'."""
        return entities_of(self.name)

    @property
    def subject(self) -> str:
        """Name of the subject that the path names; empty where it names none."""
        return subject_of(self.name)

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume or several (x, y, z, n), of which a mask gives columns."""
        return (len(self.shape) == 4 and max(self.shape[1:3]) > 1) or (len(self.shape) == 3 and is_volume(Path(self.name)))

    @property
    def grid(self) -> tuple[int, ...]:
        """(x, y, z) of a volume."""
        return self.shape[:3]

    @property
    def matrix(self) -> tuple[int, int] | None:
        """(n_rows, n_columns) as the readers take it; None where it is no matrix."""
        shape = tuple(self.shape)
        if len(shape) == 4 and not self.is_volume:  # of one spatial axis
            return shape[3], int(np.prod(shape[:3]))
        if len(shape) != 2 or min(shape) < 1:
            return None
        return shape[::-1] if self.rows_last else shape


@dataclass(frozen=True)
class Survey:
    """What lies in a folder.

    Attributes
    ----------
    images, clips : folder to number of stimuli directly in it. events : ``*_events.tsv``. lists : tables of text.
    arrays : that can be read. series : runs of BOLD, of which rows are volumes and not stimuli.
    refused : (name, why) of arrays that cannot be read. n_passed : number of files of anatomy and preprocessing.
    absent : links to files that are not here, as DataLad leaves them.
    """

    folder: Path
    images: Mapping[Path, int]
    clips: Mapping[Path, int]
    events: tuple[Path, ...]
    lists: tuple[Path, ...]
    arrays: tuple[FoundArray, ...]
    series: tuple[FoundArray, ...]
    refused: tuple[tuple[str, str], ...]
    n_passed: int
    absent: tuple[str, ...]

    def name(self, path: Path) -> str:
        """A path as seen from the folder."""
        return path.relative_to(self.folder).as_posix() if path != self.folder else "."


def entities_of(name: str) -> dict[str, str]:
    """BIDS entities in a path.

    Examples
    --------
    >>> entities_of("sub-01/ses-2/func/sub-01_ses-2_task-x_run-3_space-T1w_bold.nii.gz")["space"]
    'T1w'
    """
    tokens = (token for part in Path(name).parts for token in part.split(".")[0].split("_"))
    return dict(match.groups() for token in tokens if (match := TOKEN.fullmatch(token)))


def subject_of(name: str) -> str:
    """Subject in a path: of BIDS (``sub-01``), or such as ``subj01`` and ``CSI1``; empty where there is none.

    Examples
    --------
    >>> subject_of("derivatives/sub-02/betas.npy"), subject_of("subj03/lh.npy"), subject_of("subjects.npy")
    ('sub-02', 'subj03', '')
    """
    if label := entities_of(name).get("sub"):
        return f"sub-{label}"
    tokens = (token for part in Path(name).parts for token in re.split(r"[_.]", part))
    return next((token for token in tokens if SUBJECT.fullmatch(token)), "")


def survey(folder: Path) -> Survey:
    """Look over a folder and those below it, hidden ones left out; links to folders are not followed.

    Raises
    ------
    BadData where there is no such folder, or it holds too many files to be one data set.
    """
    if not folder.is_dir():
        raise BadData(f"There is no folder {folder}. Name one that holds images and responses.")
    images: dict[Path, int] = {}
    clips: dict[Path, int] = {}
    events, lists, others, refused, absent, n_passed = [], [], [], [], [], 0
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        ending, suffix = path.suffix.lower(), _suffix(path)
        if path.is_symlink() and not path.exists():
            absent.append(name)
        elif ending in SUFFIXES or ending in CLIPS:
            if "derivatives" not in path.parts[len(folder.parts) :]:
                kind = images if ending in SUFFIXES else clips
                kind[path.parent] = kind.get(path.parent, 0) + 1
        elif path.name.endswith("_events.tsv"):
            events.append(path)
        elif suffix in ANATOMY or PREPROCESSING.search(path.name):
            n_passed += 1
        elif reader := find_reader(path):
            (lists if reader.what == TEXT else others).append(path)
        elif ending in OTHER_ARRAYS:
            with path.open("rb") as file:
                refused.append((name, f"{path.name} is {other_format(file.read(N_BYTES), path)}"))
    if len(others) > MAX_ARRAYS:
        raise BadData(f"{folder} holds {len(others):,} arrays, too many to look at each. Name the folder of one data set.")
    found: list[FoundArray] = []
    for path in [*others, *lists]:
        try:
            found += look(path, folder)
        except BadData as error:
            if find_reader(path).what != TEXT:  # text is a list of names more often than a table of numbers
                refused.append((path.relative_to(folder).as_posix(), str(error)))
    series = tuple(each for each in found if is_series(each))
    return Survey(
        folder, images, clips, tuple(events), tuple(lists), tuple(each for each in found if not is_series(each)), series, tuple(refused),
        n_passed, tuple(absent),
    )  # fmt: skip


def is_series(found: FoundArray) -> bool:
    """Whether an array is a run of BOLD by its name: its rows are volumes in time."""
    return _suffix(split_member(found.path)[0]) in ("bold", "cbv") or ".dtseries." in found.name


def repetition_time(found: FoundArray) -> float:
    """Seconds from one volume of a run to the next, as its header says; 0 where it does not."""
    import nibabel

    image = nibabel.load(split_member(found.path)[0])
    zooms = image.header.get_zooms() if hasattr(image.header, "get_zooms") else ()
    return round(float(zooms[3]), 6) if len(zooms) == 4 and 0.1 < zooms[3] < 20 else 0.0


def look(path: Path, folder: Path) -> list[FoundArray]:
    """The arrays of one file, with their shapes; of HDF5, MATLAB and npz each that could be responses or says something of them.

    Raises
    ------
    BadData where the file cannot be read.
    """
    shapes = {member: shape for member, shape in member_shapes(path).items() if len(shape) and max(shape) > 1}
    known = [member for member in shapes if member.rpartition("/")[2] in WELL_KNOWN]
    if len(shapes) > MAX_MEMBERS:
        raise BadData(
            f"{path} holds {len(shapes):,} arrays, such as {next(iter(shapes))}. Gather responses in one matrix, a row a stimulus."
        )
    members = known or list(shapes)
    arrays = [open_array(Path(f"{path}:{member}")) for member in members] if members else [open_array(path)]
    return [_found(array, folder, named=len(shapes) > 1 and not known) for array in arrays]


def _found(array: ArrayFile, folder: Path, *, named: bool) -> FoundArray:
    file, member = split_member(array.path)
    path = array.path if named and member else file
    what = find_reader(file).what
    with file.open("rb") as stream:
        start = stream.read(N_BYTES)
    if is_matlab7(start):
        what = "a MATLAB 7.3 file"
    columns, size = _hemispheres(file) if file.name.lower().endswith((".dscalar.nii", ".dlabel.nii", ".dtseries.nii")) else ({}, 0)
    name = path.relative_to(folder).as_posix()
    return FoundArray(path, name, what, array.shape, array.dtype, array.rows_last, columns, size)


def _hemispheres(path: Path) -> tuple[dict[str, int], int]:
    """Hemisphere to number of cortical vertices of a CIFTI file, and the number of vertices of their surface."""
    import nibabel

    axis = nibabel.load(path).header.get_axis(1)
    if not isinstance(axis, nibabel.cifti2.BrainModelAxis):
        return {}, 0
    counts = {hemi: int((axis.name == name).sum()) for hemi, name in CORTEX.items()}
    counts = {hemi: n for hemi, n in counts.items() if n}
    return counts, max((int(axis.nvertices[CORTEX[hemi]]) for hemi in counts), default=0)


def _files(folder: Path) -> Iterable[Path]:
    """Files in natural order of their paths."""
    found = []
    for top, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if each not in PASSED and not each.startswith(".")]
        found += [Path(top) / name for name in names if not name.startswith(".") and name != FILE]
        if len(found) > MAX_FILES:
            raise BadData(f"{folder} holds more than {MAX_FILES:,} files. Name the folder of one data set.")
    return sorted(found, key=lambda path: tuple(map(natural_order, path.relative_to(folder).parts)))


def _suffix(path: Path) -> str:
    """What follows the last _ of a file's name, as BIDS has it; empty where that is an entity."""
    last = path.name.split(".")[0].rpartition("_")[2]
    return "" if TOKEN.fullmatch(last) else last
