"""Your own data: any folder below :func:`data_dir` that holds a ``dataset.toml``. No code is read from it.

    data/kitchen/dataset.toml      the data set "kitchen"
                 images/           whatever dataset.toml names, here or anywhere else
                 responses.npy

The least that can be written:

    title = "Kitchens at 3 T"
    [stimuli]
    folder = "images"              images in natural order are rows, or files = "stimuli.txt" with a path a line
    [subjects.ann]
    responses = "responses.npy"    (n_rows, n_vertices), or one file each for lh and rh

docs/own_data.md shows the rest: ROIs, places on the cortex, repeats, noise ceilings.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from encoding.datasets._base import DATASETS, BadData, Dataset, Subject, data_dir
from encoding.datasets._description import FILE, Description, SubjectFiles, read_description
from encoding.datasets._images import ImageFiles
from encoding.datasets._masks import Sampled, is_sampled, read_sampled
from encoding.datasets._own_files import read_ceilings, read_image_paths, read_rois, read_rows, read_unlabelled, read_vertices
from encoding.datasets._responses import read_blocks, require_real, responses_are_known
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.files import is_passing
from encoding.storage.fingerprints import files_fingerprint, first_equal_files, is_remembered
from encoding.storage.store import Store


class OwnDataset(Dataset):
    """Data set described by a ``dataset.toml``. An invalid one is listed too, without subjects and with the error in :meth:`where`.

    Attributes
    ----------
    problem : what keeps the description from being used; empty where nothing does.
    is_passing : whether that is an error of the system and not of the description, so that it is worth another try.
    """

    is_passing = False

    def __init__(self, path: Path) -> None:
        self.path, self.name, self.title, self.problem = path, path.parent.name, path.parent.name, ""
        self.description: Description | None = None
        try:
            self.description = read_description(path)
        except Exception as error:  # whatever it is, it is this data set's alone: a list of all must not fail
            odd = "" if isinstance(error, BadData) else f"{path} cannot be used: {type(error).__name__}: "
            self.problem = self.about = f"{odd}{error}"
            self.is_passing = is_passing(error)
            return
        for name in ("title", "about", "simulated", "split"):
            setattr(self, name, getattr(self.description, name))

    def subjects(self) -> tuple[str, ...]:
        return tuple(self.description.subjects) if self.description else ()

    def roi_names(self) -> Mapping[str, tuple[str, ...]]:
        return self.description.roi_names if self.description else {}

    def where(self) -> str:
        return self.problem or f"{', '.join(self.subjects())}, described in {self.path}."

    def is_ready(self, subject: str, store: Store) -> bool:
        """Whether every file has been checked and has not changed since."""
        files = self._files(subject)
        images = [*read_image_paths(files.images), *read_unlabelled(files.images)]
        mask = files.places.mask if files.places else None
        if mask is not None and not is_sampled(mask, store):
            return False
        return is_remembered(images, store) and all(responses_are_known(path, store) for path in files.responses.values())

    def watched(self, subject: str) -> list[Path]:
        files = self._files(subject)
        places = (files.places.mask, *files.places.files.values()) if files.places else ()
        regions = (about.path for block in files.rois.values() for about in block.values())
        maps = (path for each in (files.ceiling, files.ncsnr) for path in (each or {}).values())
        others = (files.images.folder, files.images.files, files.images.unlabelled, files.averaged, files.repeats, files.groups)
        every = (self.path, *files.responses.values(), *places, *regions, *maps, *others)
        return list(dict.fromkeys(path for path in every if isinstance(path, Path)))

    def open(self, subject: str, store: Store, report: Report = silent) -> Subject:
        """Open a subject. On first use all files are read once for checks and fingerprints, which ``store`` remembers."""
        files = self._files(subject)
        shapes = {block: require_real(path).shape for block, path in files.responses.items()}
        paths, groups = read_rows(files, read_image_paths(files.images), shapes)
        unlabelled = read_unlabelled(files.images)
        rois = {block: read_rois(files.rois[block], shape[1]) for block, shape in shapes.items()}
        ceiling = read_ceilings(files, shapes)
        vertices, sampled = read_places(files, shapes, store)
        responses, fingerprints = read_blocks(files.responses, store, subprogress(report, 0, 0.5))
        fingerprint = files_fingerprint(paths, store, subprogress(report, 0.5, 0.95))
        equal = first_equal_files(paths, store)
        return Subject(
            dataset=self.name,
            name=subject,
            stimuli=ImageFiles(paths, fingerprint=fingerprint),
            unlabelled=ImageFiles(unlabelled, fingerprint=files_fingerprint(unlabelled, store, subprogress(report, 0.95, 1))),
            responses=responses,
            fingerprints=fingerprints,
            rois=rois,
            groups=groups[equal],
            stimulus_ids=None if files.groups is None else equal,
            vertices=vertices,
            sampled=sampled,
            ceiling=ceiling,
            simulated=self.simulated,
        )

    def _files(self, subject: str) -> SubjectFiles:
        if self.description is None:
            raise BadData(self.problem)
        if subject not in self.description.subjects:
            raise UnknownName(unknown(f"subject of {self.name}", subject, self.subjects()))
        return self.description.subjects[subject]


def read_places(
    files: SubjectFiles, shapes: Mapping[str, tuple[int, ...]], store: Store
) -> tuple[dict[str, np.ndarray] | None, Sampled | None]:
    """Read :attr:`Subject.vertices` and :attr:`Subject.sampled`, of which at most one is known."""
    if files.places is None:
        return None, None
    if files.places.mask is None:
        return {block: read_vertices(files.places, block, n_vertices) for block, (_, n_vertices) in shapes.items()}, None
    ((_, n_voxels),) = shapes.values()
    return None, read_sampled(files.places.mask, n_voxels, store)


def find_own(folder: Path | None = None) -> dict[str, OwnDataset]:
    """Find the folders in ``folder`` (by default :func:`data_dir`) that hold a ``dataset.toml``, by name.

    A description is parsed again once its file changes.
    """
    folder = folder or data_dir()
    found = {}
    for path in sorted(folder.glob(f"[!.]*/{FILE}")) if folder.is_dir() else []:
        name = path.parent.name
        try:
            about = path.stat()
            known = _described(path, about.st_mtime_ns, about.st_ctime_ns, about.st_size)
        except (FileNotFoundError, NotADirectoryError):  # a broken link, or removed meanwhile
            continue
        except OSError:
            known = None
        if name in DATASETS.built_in:
            data = OwnDataset(path)
            data.name = f"{name} (own data)"
            data.description, data.problem = None, f"{path.parent}: {name} is the name of a data set that is built in. Rename the folder."
            data.about = data.problem
        else:
            data = OwnDataset(path) if known is None or known.is_passing else known
        found[data.name] = data
    return found


@lru_cache(maxsize=256)
def _described(path: Path, *state: int) -> OwnDataset:
    return OwnDataset(path)


DATASETS.finders.append(find_own)
