"""Interfaces of data sets, subjects and stimuli, independent of the layout on disk, and the registry of data sets."""

from __future__ import annotations

import hashlib
import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from encoding.datasets._unit import VERTEX, VOXEL, Unit
from encoding.evaluation.splits import NamedSplit
from encoding.runtime.progress import Report, silent
from encoding.runtime.registry import Registry, UnknownName, unknown
from encoding.storage.keys import digest
from encoding.storage.store import Store

if TYPE_CHECKING:
    from encoding.datasets.own.feature_tables import FeatureTable

FSAVERAGE_VERTICES = 163_842
FSAVERAGE5_VERTICES = 10_242  # the first of fsaverage's: the icosahedral meshes are nested


class BadData(ValueError):
    """Data on disk are missing, damaged or inconsistent. The message names the file and the fix."""


class Stimuli(ABC, Sequence[Image.Image]):
    """Images or clips in a fixed order. ``stimuli[i]`` decodes one, always as RGB, and is safe to call from threads.

    Of a clip, ``stimuli[i]`` is the middle frame, for display; :meth:`frames` gives those from which features are extracted.

    Attributes
    ----------
    names : one display name per stimulus.
    n_frames : 1 for images.
    fingerprint : names the bytes of all of them in order, never their place on disk.
    without_images : why there are only names, where no image is known; empty where there are images.
    tables : feature tables of these stimuli, by name.
    """

    names: tuple[str, ...]
    n_frames: int = 1
    without_images: str = ""
    tables: Mapping[str, FeatureTable] = MappingProxyType({})

    @property
    @abstractmethod
    def fingerprint(self) -> str: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Image.Image: ...

    def sampled(self, n_frames: int) -> Stimuli:
        """Return these stimuli with ``n_frames`` frames per clip; images are unchanged."""
        return self

    def with_tables(self, tables: Mapping[str, FeatureTable]) -> Self:
        """Return the same stimuli with feature tables."""
        made = copy(self)
        made.tables = tables
        return made

    def frames(self, index: int) -> list[Image.Image]:
        """Decode the :attr:`n_frames` frames of one stimulus in order; an image is its own only frame."""
        return [self[index]]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Image.Image]:
        return (self[i] for i in range(len(self)))


class Chosen(Stimuli):
    """A subset of some stimuli, in a given order."""

    def __init__(self, stimuli: Stimuli, rows: np.ndarray) -> None:
        self._stimuli, self._rows = stimuli, np.asarray(rows)
        self.names = tuple(stimuli.names[row] for row in self._rows)
        self.n_frames = stimuli.n_frames

    @property
    def fingerprint(self) -> str:
        return digest("chosen", 1, stimuli=self._stimuli.fingerprint, rows=self._rows.tolist())

    def __getitem__(self, index: int) -> Image.Image:
        return self._stimuli[int(self._rows[index])]

    def sampled(self, n_frames: int) -> Stimuli:
        return Chosen(self._stimuli.sampled(n_frames), self._rows)

    def frames(self, index: int) -> list[Image.Image]:
        return self._stimuli.frames(int(self._rows[index]))


@dataclass(frozen=True)
class VoxelGrid:
    """The volume whose voxels are the columns of a subject's one block, for display as slices.

    Attributes
    ----------
    voxels : (n_columns,) int64, flat index of each column in the volume, in C order.
    shape : of the volume, in voxels. affine : (4, 4) float64, from voxel indices to millimetres.
    """

    voxels: np.ndarray
    shape: tuple[int, int, int]
    affine: np.ndarray

    def volume(self, values: np.ndarray) -> np.ndarray:
        """Put values (n_columns,) back in their voxels, (x, y, z) float32, NaN elsewhere."""
        volume = np.full(self.shape, np.nan, np.float32)
        volume.ravel()[self.voxels] = values
        return volume


class NamedStimuli(Stimuli):
    """Stimuli of which only the names are known, for fits on feature tables; ``stimuli[i]`` raises BadData.

    Parameters
    ----------
    names : one per stimulus.
    source : the file that names them, for messages.
    """

    def __init__(self, names: Iterable[str], *, source: str) -> None:
        self.names = tuple(names)
        self.without_images = f"{source} gives the names of stimuli, but no images of them are known"

    @property
    def fingerprint(self) -> str:
        """Digest of the names in order."""
        return digest("named_stimuli", 1, names=list(self.names))

    def __getitem__(self, index: int) -> Image.Image:
        raise BadData(f"{self.without_images}, so none can be shown.")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Stimuli, responses and anatomy of one subject. Opening it reads headers; images and responses stay on disk.

    Attributes
    ----------
    stimuli : the n_stimuli images with responses.
    unlabelled : images whose responses are withheld (a challenge's test set); often empty.
    responses : per hemisphere ``(n_stimuli, n_vertices)`` float32, read-only, row i the response to stimulus i.
    fingerprints : per hemisphere, names the bytes of its responses.
    rois : per hemisphere, ROI name to its columns, sorted int64. ROIs may overlap, and be empty.
    groups : (n_stimuli,) int, equal for repeats of one stimulus, and for all rows of a run or session where the data set says so.
    stimulus_ids : (n_stimuli,) int, equal for repeats of one stimulus, where ``groups`` are coarser; None where they are not.
    vertices : per hemisphere (n_vertices,) int64, where each column lies on fsaverage (163,842 vertices);
        None where no place is known, and then there is no brain map unless ``sampled`` says more.
    sampled : for columns that are no vertices of fsaverage: voxels, parcels, vertices of another surface. ``lh`` and ``rh`` to a pair of
        arrays of one length: vertices of fsaverage (int64, ascending) and, for each, the column that is seen there, of the
        hemisphere's own block or else of the subject's one block. A column may be seen at several vertices or at none. None where
        columns are vertices, or their places unknown.
    grid : where columns are voxels, the volume they are of; None where they are not, or it is unknown.
    ceiling : per hemisphere (n_vertices,) float32 in 0 … 1, the share of variance of these responses that
        any model could explain (its root is the highest r); None where unknown.
    ceiling_about : how the ceiling was estimated and from how many stimuli and repeats; empty where it was given as such.
    labels : named per-stimulus labels (n_stimuli,), such as the simulated scene's category; often empty.
    simulated : true where no brain was measured. Shown wherever the numbers are.
    splits : training rows and test sets that come with the data, by name.
    runs : (n_stimuli,) int, the run of each row where rows are samples (TRs) of runs, which follow one another in time within each; None
        where rows are trials.
    tr : seconds from one sample to the next; None where rows are trials, or it is unknown.
    """

    dataset: str
    name: str
    stimuli: Stimuli
    unlabelled: Stimuli
    responses: Mapping[str, np.ndarray]
    fingerprints: Mapping[str, str]
    rois: Mapping[str, Mapping[str, np.ndarray]]
    groups: np.ndarray
    stimulus_ids: np.ndarray | None = None
    vertices: Mapping[str, np.ndarray] | None = None
    sampled: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None
    grid: VoxelGrid | None = None
    ceiling: Mapping[str, np.ndarray] | None = None
    ceiling_about: str = ""
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    simulated: bool = False
    splits: Mapping[str, NamedSplit] = field(default_factory=dict)
    runs: np.ndarray | None = None
    tr: float | None = None

    @property
    def hemis(self) -> tuple[str, ...]:
        """Names of the blocks of responses, in order: lh and rh wherever hemispheres are known."""
        return tuple(self.responses)

    @property
    def stimulus_of_row(self) -> np.ndarray:
        """(n_stimuli,) int, equal for rows of one stimulus and for no others."""
        return self.groups if self.stimulus_ids is None else self.stimulus_ids

    @property
    def n_stimuli(self) -> int:
        """Number of stimuli with responses."""
        return len(self.stimuli)

    @cached_property
    def annotations_key(self) -> str:
        """Digest of ROIs, places on the cortex, noise ceilings and labels: all that tables and figures use besides a fit's own numbers."""
        parts = {
            "rois": {f"{hemi} {name}": columns for hemi, rois in self.rois.items() for name, columns in rois.items()},
            "vertices": self.vertices or {},
            "sampled": {f"{hemi} {end}": pair[end] for hemi, pair in (self.sampled or {}).items() for end in (0, 1)},
            "ceiling": self.ceiling or {},
            "labels": self.labels,
        }
        found = {part: {name: _digest_of(array) for name, array in arrays.items()} for part, arrays in parts.items()}
        return digest("annotations", 1, **found)

    @property
    def unit(self) -> Unit:
        """Name of a column: vertex where it has a place on the surface or blocks are hemispheres, else voxel."""
        return VERTEX if self.vertices is not None or set(self.responses) <= {"lh", "rh"} else VOXEL


class Dataset(ABC):
    """A data set before it is read: cheap to construct, so that menus can list it.

    Attributes
    ----------
    name, title : the registry's name and what a menu shows.
    about : one sentence for a newcomer.
    simulated : true where no brain was measured.
    clips : true where stimuli are clips, of which several frames are seen.
    split : the split that published results on it use, where a person names none.
    has_simulation : true where ``python -m encoding simulate`` writes simulated data in its layout.
    """

    name: str
    title: str
    about: str
    simulated: bool = False
    clips: bool = False
    split: str = "holdout:0.9:5"
    has_simulation: bool = False

    @abstractmethod
    def subjects(self) -> tuple[str, ...]:
        """Subjects that can be opened here; empty where the data are not on this machine."""

    @abstractmethod
    def roi_names(self) -> Mapping[str, tuple[str, ...]]:
        """ROI class to ROI names in anatomical order, without opening a subject."""

    @abstractmethod
    def open(self, subject: str, store: Store, report: Report = silent) -> Subject:
        """Open a subject.

        Parameters
        ----------
        subject : one of :meth:`subjects`.
        store : keeps one-time work, such as a simulation or a checksum.
        report : receives its progress.

        Raises
        ------
        UnknownName where there is no such subject, BadData where its files cannot be used.
        """

    def check_subject(self, subject: str) -> None:
        """Check that ``subject`` is one of :meth:`subjects`.

        Raises
        ------
        UnknownName with the nearest name, or with how to get the data.
        """
        known = self.subjects()
        if subject not in known:
            raise UnknownName(unknown("subject", subject, known, show=20) if known else f"No subject {subject!r}: {self.where()}")

    def is_ready(self, subject: str, store: Store) -> bool:
        """Whether :meth:`open` would return without one-time work, so that a page may call it."""
        return True

    def feature_tables(self, subject: str = "") -> Mapping[str, Path]:
        """Find the feature tables that come with the data: name to file, of a subject or of all. None of them is opened."""
        return {}

    def watched(self, subject: str) -> list[Path]:
        """List files and folders, few enough to look at often, of which a change means that the subject is to be opened anew.

        Of images and clips these are the folders, in which one that is added, removed or replaced shows.
        """
        return []

    def splits(self, subject: str) -> list[str]:
        """Names of the splits that come with a subject's data, ``named:<name>`` and ``named:<name>:<test set>``, without opening it.

        Raises
        ------
        BadData where they cannot be read.
        """
        return []

    def where(self) -> str:
        """Say in one line where the data are, or how to get them."""
        return ""

    def how_to_get(self) -> str:
        """Say in a sentence where real data come from and where they are put; empty where nothing has to be got."""
        return ""

    def simulate_command(self) -> str:
        """The shell command that writes simulated data where this data set is looked for; empty unless :attr:`has_simulation`."""
        if not self.has_simulation:
            return ""
        return f"python -m encoding simulate --layout {self.name} --out {shlex.quote(str(data_dir() / self.name))}"

    def _absent(self) -> str:
        """The line of :meth:`where` for data that are not here."""
        return f"Not on this machine. {self.how_to_get()} Or simulate them: {self.simulate_command()}"


def data_dir() -> Path:
    """Folder that holds one folder per data set: ``$ENCODING_DATA_DIR``, else ``data`` beside the project."""
    folder = Path(os.environ.get("ENCODING_DATA_DIR") or Path(__file__).parents[2] / "data")
    try:
        return folder.expanduser()
    except RuntimeError as error:
        raise BadData(f"ENCODING_DATA_DIR is {folder}, and that home folder does not exist. Set it to a full path.") from error


class Datasets(Registry[Dataset]):
    """Registry of data sets: this package's own, then, looked up at each access, those that a ``dataset.toml`` describes."""

    @property
    def built_in(self) -> Collection[str]:
        """Names of this package's own data sets and of registered ones, without those of a ``dataset.toml``."""
        self._load()
        return self._members.keys()

    def _found(self) -> Mapping[str, Dataset]:
        from encoding.datasets.own import find_own  # which needs this module

        self._load()
        return {name: found for name, found in find_own().items() if name not in self._members}

    def __iter__(self) -> Iterator[str]:
        return iter([*super().__iter__(), *sorted(self._found())])

    def __len__(self) -> int:
        return super().__len__() + len(self._found())

    def __getitem__(self, name: str) -> Dataset:
        if not super().__contains__(name) and (found := self._found().get(name)):
            return found
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._found()


DATASETS = Datasets("dataset", "encoding.datasets", group="encoding_explorer.datasets")


def _digest_of(array: np.ndarray) -> str:
    array = np.asarray(array)
    data = "\0".join(map(str, array)).encode() if array.dtype == object else np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + data).hexdigest()


def roi_names(subject: Subject) -> Sequence[str]:
    """List every ROI of a subject once, in order, over all blocks."""
    return tuple(dict.fromkeys(name for hemi in subject.hemis for name in subject.rois[hemi]))


def roi_classes(subject: Subject) -> dict[str, tuple[str, ...]]:
    """Group the ROIs of a subject by class, in anatomical order; a single class where the data set is not registered here."""
    known = roi_names(subject)
    classes = DATASETS[subject.dataset].roi_names() if subject.dataset in DATASETS else {"ROIs": known}
    found = {name: tuple(roi for roi in rois if roi in known) for name, rois in classes.items()}
    return {name: rois for name, rois in found.items() if rois}
