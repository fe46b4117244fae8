"""Interfaces of subjects and stimuli, independent of the layout on disk."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from encoding.datasets._unit import VERTEX, VOXEL, Unit
from encoding.evaluation.splits import NamedSplit
from encoding.storage.keys import digest

if TYPE_CHECKING:
    from encoding.datasets.own.feature_tables import FeatureTable

FSAVERAGE_VERTICES = 163_842
FSAVERAGE6_VERTICES, FSAVERAGE5_VERTICES = 40_962, 10_242  # the first of fsaverage's: the icosahedral meshes are nested


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
    def fingerprint(self) -> str:
        """Digest of the bytes of all stimuli in order."""

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
    stimulus_ids : (n_stimuli,) int, equal for repeats of one stimulus, where ``groups`` are coarser; None where they are not. Training
        rows of a stimulus that a fold tests are left out of the fold.
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

    @cached_property
    def most_repeats(self) -> int:
        """Number of rows of the stimulus that has the most."""
        return int(np.unique(self.stimulus_of_row, return_counts=True)[1].max(initial=0))

    @property
    def n_stimuli(self) -> int:
        """Number of rows of the responses; repeats of a stimulus are rows of their own."""
        return len(self.stimuli)

    def counted(self, what: str, rows: np.ndarray | None = None) -> str:
        """Number of rows in words, such as "100 test images"; all rows without ``rows``.

        Where stimuli were shown several times it is "108 trials of 36 test images", and where rows are samples of runs "600 test samples".
        """
        n = self.n_stimuli if rows is None else len(rows)
        word = self.row_word(what, rows)
        return f"{n:,} {word} of {self._n_different(rows):,} {what}" if word == "trials" else f"{n:,} {word}"

    def row_word(self, what: str, rows: np.ndarray | None = None) -> str:
        """What rows are: samples of runs, trials where stimuli are repeated among them, else ``what``, such as "test images"."""
        if self.runs is not None:
            return " ".join([*what.split()[:-1], "samples"])
        return "trials" if self._n_different(rows) < (self.n_stimuli if rows is None else len(rows)) else what

    def _n_different(self, rows: np.ndarray | None) -> int:
        return len(np.unique(self.stimulus_of_row if rows is None else self.stimulus_of_row[rows]))

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


def _digest_of(array: np.ndarray) -> str:
    array = np.asarray(array)
    data = "\0".join(map(str, array)).encode() if array.dtype == object else np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + data).hexdigest()


def roi_names(subject: Subject) -> Sequence[str]:
    """List every ROI of a subject once, in order, over all blocks."""
    return tuple(dict.fromkeys(name for hemi in subject.hemis for name in subject.rois[hemi]))
