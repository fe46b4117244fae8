"""What a ``dataset.toml`` says, as plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from encoding.datasets._base import FSAVERAGE5_VERTICES, FSAVERAGE6_VERTICES, FSAVERAGE_VERTICES

FILE = "dataset.toml"
BLOCK = "brain"  # the one block of responses that are one file
SPACES = {"fsaverage": FSAVERAGE_VERTICES, "fsaverage6": FSAVERAGE6_VERTICES, "fsaverage5": FSAVERAGE5_VERTICES, "fsLR": 32_492}
MASKS = "ROIs"  # the class of those given by a mask each


@dataclass(frozen=True)
class StimulusFiles:
    """Files of stimuli: all of ``folder`` in natural order, with ``subfolders`` those below it too; or those listed in the order of rows,
    line by line in ``files``, or in ``column`` of the tables ``events`` (both relative to ``folder``, if given). Or stimuli without files,
    whose names are the lines of ``names``. Of samples of runs, ``films`` are those of the runs, in their order, each of which begins
    ``starts`` seconds into its film and whose samples show ``window`` seconds of it; without films and files, samples have numbers."""

    folder: Path | None
    files: Path | None = None
    unlabelled: Path | None = None
    events: tuple[Path, ...] = ()
    column: str = "stim_file"
    subfolders: bool = False
    clips: bool = False
    names: Path | None = None
    films: tuple[Path, ...] = ()
    starts: tuple[float, ...] = ()
    window: float | None = None

    @property
    def of_runs(self) -> bool:
        """Whether the stimuli are samples of films, or have numbers alone: they follow from the runs of the responses."""
        return bool(self.films) or not any((self.folder, self.files, self.events, self.names))


@dataclass(frozen=True)
class Regions:
    """One file of ROIs: a mask (``names`` is None), or integer labels with ``names`` as ROI to label."""

    path: Path
    names: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Places:
    """Places of the columns: vertices of ``space`` (all, in order, where a block has no file), the voxels of ``mask``, which lie in MNI
    space or, with the space ``native``, in the subject's own, or labels (column i has label i + 1) in ``parcels``, one volume or a map for
    each hemisphere. ``spheres`` are the meshes by which vertices of fsLR are found on fsaverage."""

    space: str | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    mask: Path | None = None
    parcels: Path | Mapping[str, Path] | None = None
    spheres: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """Contents of ``[time]``: rows are samples of runs.

    Attributes
    ----------
    tr : seconds from one sample to the next.
    runs : file with the run of each row, or the name of a column of the events; None where each file of the responses is a run.
    drop : samples left out at the beginning and at the end of each run.
    detrend : degree of the polynomial that is taken out of every column of each run; None takes none out.
    high_pass : Hz; slower drifts are taken out of each run as cosines. None takes none out.
    zscore : whether every column of each run is z-scored at last.
    """

    tr: float
    runs: Path | str | None = None
    drop: tuple[int, int] = (0, 0)
    detrend: int | None = None
    high_pass: float | None = None
    zscore: bool = False


@dataclass(frozen=True)
class SubjectFiles:
    """Contents of ``[subjects.<name>]``. Mappings are by block of responses; ``rois`` then by ROI, or by class of labels."""

    images: StimulusFiles
    responses: Mapping[str, tuple[Path, ...]]
    rois: Mapping[str, Mapping[str, Regions]]
    places: Places | None = None
    ceiling: Mapping[str, Path] | None = None
    ceiling_unit: str | None = None
    ncsnr: Mapping[str, Path] | None = None
    averaged: int | Path | None = None
    repeats: Path | None = None
    groups: Path | None = None
    transposed: bool = False
    sessions: Path | str | None = None
    zscore: bool = False
    average: bool = False
    ceiling_from: str | None = None
    splits: Path | None = None
    time: Timing | None = None

    @property
    def mask(self) -> Path | None:
        """Volume of zeros and ones whose ones are columns; None where there is none."""
        return self.places.mask if self.places else None

    @property
    def has_ceiling(self) -> bool:
        """Whether a noise ceiling, or the means to compute one, is given."""
        return any(each is not None for each in (self.ceiling, self.ncsnr, self.ceiling_from))


@dataclass(frozen=True)
class Description:
    """Contents of a ``dataset.toml``."""

    path: Path
    title: str
    about: str
    simulated: bool
    split: str
    subjects: Mapping[str, SubjectFiles]
    clips: bool = False

    @property
    def roi_names(self) -> dict[str, tuple[str, ...]]:
        """ROI class to ROI names over all subjects, in the order of the file."""
        classes: dict[str, dict[str, None]] = {}
        for files in self.subjects.values():
            for block in files.rois.values():
                for key, regions in block.items():
                    kind, names = (MASKS, [key]) if regions.names is None else (key, regions.names)
                    classes.setdefault(kind, {}).update(dict.fromkeys(names))
        return {kind: tuple(names) for kind, names in classes.items()}
