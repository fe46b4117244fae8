"""The Algonauts 2023 challenge: eight people's brains and thousands of photographs (NSD), as its download lies on disk.

    subj01/training_split/training_images/train-0001_nsd-00013.png     row of the responses (from 1), id in NSD
           training_split/training_fmri/lh_training_fmri.npy           float32 (n_images, n_vertices)
           test_split/test_images/test-0001_nsd-00845.png              responses withheld
           roi_masks/lh.all-vertices_fsaverage_space.npy               (163842,) 0/1
           roi_masks/lh.<class>_challenge_space.npy                    (n_vertices,) labels, 0 for none
           roi_masks/lh.<class>_fsaverage_space.npy                    (163842,) the same labels
           roi_masks/mapping_<class>.npy                               label: name
           SIMULATED.txt                                               only where a simulation wrote all this

The download holds no noise ceilings. Those laid beside it (see ``_ceilings.py``) are used: in ``subj01/noise_ceiling/`` or,
to leave the download as it is, in ``noise_ceiling/subj01/`` next to the subjects.

Source: Gifford et al. (2023), The Algonauts Project 2023 challenge. Responses are z-scored per session, averaged over repeats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoding.datasets._arrays import open_responses, open_vector
from encoding.datasets._base import FSAVERAGE_VERTICES, BadData, Subject
from encoding.datasets._ceilings import read_ceilings
from encoding.datasets._images import ImageFiles, check_numbers, list_images
from encoding.datasets._names import read_label_names
from encoding.datasets._registry import DATASETS, FolderDataset
from encoding.datasets._responses import read_blocks, responses_are_known
from encoding.datasets._rois import ROI_CLASSES
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.wording import counted
from encoding.storage.fingerprints import files_fingerprint, first_equal_files, is_remembered
from encoding.storage.store import Store

HEMIS = ("lh", "rh")
SUBJECT = re.compile(r"subj\d\d")
IMAGE = re.compile(r"(?P<split>train|test)-(?P<number>\d+)_nsd-(?P<nsd>\d+)\.\w+")


@dataclass(frozen=True)
class Algonauts2023Layout:
    """Paths of one subject's files."""

    folder: Path

    @property
    def training_images(self) -> Path:
        """Folder of the images with responses."""
        return self.folder / "training_split" / "training_images"

    @property
    def test_images(self) -> Path:
        """Folder of the images whose responses are withheld."""
        return self.folder / "test_split" / "test_images"

    @property
    def marker(self) -> Path:
        """File that says that the data are simulated."""
        return self.folder / "SIMULATED.txt"

    @property
    def ceilings(self) -> tuple[Path, Path]:
        """Folders where noise ceilings may be."""
        return self.folder / "noise_ceiling", self.folder.parent / "noise_ceiling" / self.folder.name

    def responses(self, hemi: str) -> Path:
        """Responses of a hemisphere, (n_images, n_vertices)."""
        return self.folder / "training_split" / "training_fmri" / f"{hemi}_training_fmri.npy"

    def mask(self, hemi: str) -> Path:
        """Vertices of fsaverage that are a hemisphere's columns, (163842,) 0 or 1."""
        return self.folder / "roi_masks" / f"{hemi}.all-vertices_fsaverage_space.npy"

    def labels(self, hemi: str, roi_class: str, *, space: str = "challenge") -> Path:
        """Labels of a class of ROIs for each column, or for each vertex of fsaverage."""
        return self.folder / "roi_masks" / f"{hemi}.{roi_class}_{space}_space.npy"

    def names(self, roi_class: str) -> Path:
        """Names of the labels of a class of ROIs."""
        return self.folder / "roi_masks" / f"mapping_{roi_class}.npy"


class Algonauts2023(FolderDataset):
    """The challenge's subjects below :func:`data_dir`, or below ``root`` if given."""

    name = "algonauts2023"
    title = "Algonauts 2023 (NSD)"
    about = "7T fMRI of eight people who each saw up to ten thousand photographs of everyday scenes."
    has_simulation = True

    def subjects(self) -> tuple[str, ...]:
        if not self.root.is_dir():
            return ()
        return tuple(sorted(path.name for path in self.root.iterdir() if SUBJECT.fullmatch(path.name) and path.is_dir()))

    def roi_names(self) -> Mapping[str, tuple[str, ...]]:
        return ROI_CLASSES

    def how_to_get(self) -> str:
        terms = "Agree to the terms at algonauts.csail.mit.edu/challenge.html"
        return f"{terms} and unpack the data so that {self.root}/subj01/training_split exists."

    def is_ready(self, subject: str, store: Store) -> bool:
        """Whether every file has been checked and has not changed since."""
        layout = self._layout(subject)
        images = [path for folder in (layout.training_images, layout.test_images) if folder.is_dir() for path in list_images(folder)]
        responses = [layout.responses(hemi) for hemi in HEMIS]
        return is_remembered(images, store) and all(responses_are_known(path, store) for path in responses)

    def watched(self, subject: str) -> list[Path]:
        layout = self._layout(subject)
        masks = [layout.mask(hemi) for hemi in HEMIS] + [layout.names(roi_class) for roi_class in ROI_CLASSES]
        masks += [layout.labels(hemi, roi_class) for hemi in HEMIS for roi_class in ROI_CLASSES]
        ceilings = [path for folder in layout.ceilings for path in (folder, *folder.glob("*"))]
        return [layout.training_images, layout.test_images, *(layout.responses(hemi) for hemi in HEMIS), layout.marker, *masks, *ceilings]

    def open(self, subject: str, store: Store, report: Report = silent) -> Subject:
        """Open a subject. On first use all files are read once for checks and fingerprints, which ``store`` remembers."""
        layout = self._layout(subject)
        images = read_images(layout.training_images, split="train")
        test_images = read_test_images(layout)
        responses = {hemi: open_responses(layout.responses(hemi)) for hemi in HEMIS}
        check_rows(layout, images, responses)
        vertices = {hemi: read_vertices(layout, hemi, responses[hemi].shape[1]) for hemi in HEMIS}
        rois = {hemi: read_rois(layout, hemi, responses[hemi].shape[1]) for hemi in HEMIS}
        ceiling = read_ceilings(layout.ceilings, vertices, n_images=len(images))
        responses, fingerprints = read_blocks({hemi: layout.responses(hemi) for hemi in HEMIS}, store, subprogress(report, 0, 0.4))
        return Subject(
            dataset=self.name,
            name=subject,
            stimuli=ImageFiles(images, fingerprint=files_fingerprint(images, store, subprogress(report, 0.4, 0.97))),
            unlabelled=ImageFiles(test_images, fingerprint=files_fingerprint(test_images, store, subprogress(report, 0.97, 1))),
            responses=responses,
            fingerprints=fingerprints,
            rois=rois,
            groups=nsd_ids(images)[first_equal_files(images, store)],
            vertices=vertices,
            ceiling=ceiling,
            simulated=layout.marker.exists(),
        )

    def _layout(self, subject: str) -> Algonauts2023Layout:
        self.check_subject(subject)
        return Algonauts2023Layout(self.root / subject)


def read_images(folder: Path, *, split: str) -> list[Path]:
    """List the images of one split in the order of their rows.

    Raises
    ------
    BadData where the folder is missing or empty, or a file's name does not give its row.
    """
    paths = list_images(folder)
    if not paths:
        raise BadData(f"{folder} holds no images. Unpack the challenge's {split} images there.")
    check_numbers(paths, re.compile(rf"(?={split}-){IMAGE.pattern}"), "image", f"{split}-0001_nsd-00013.png")
    return paths


def read_test_images(layout: Algonauts2023Layout) -> list[Path]:
    """List the images without published responses; empty where their folder is missing or empty."""
    there = layout.test_images.is_dir() and list_images(layout.test_images)
    return read_images(layout.test_images, split="test") if there else []


def nsd_ids(images: list[Path]) -> np.ndarray:
    """Parse each image's id among NSD's 73,000 stimuli (0-based) from its file name, (n_images,) int64."""
    return np.array([int(IMAGE.fullmatch(path.name)["nsd"]) for path in images], dtype=np.int64)


def check_rows(layout: Algonauts2023Layout, images: list[Path], responses: Mapping[str, np.ndarray]) -> None:
    """Check that there is one image per row of both hemispheres.

    Raises
    ------
    BadData where the numbers differ.
    """
    for hemi, block in responses.items():
        if len(block) != len(images):
            raise BadData(
                f"{layout.training_images} holds {counted(len(images), 'image')} but {layout.responses(hemi).name} has "
                f"{counted(len(block), 'row')}. "
                "Each image is one row: unpack the images and the responses of this subject again."
            )


def read_vertices(layout: Algonauts2023Layout, hemi: str, n_vertices: int) -> np.ndarray:
    """Read the fsaverage vertex of each column of the responses, (n_vertices,) int64, ascending.

    Raises
    ------
    BadData where the mask is not (163842,) zeros and ones, or the number of ones differs from the number of columns.
    """
    path = layout.mask(hemi)
    mask = open_vector(path, FSAVERAGE_VERTICES, "fsaverage's vertices are")
    if not np.isin(mask, (0, 1)).all():
        raise BadData(f"{path} holds other numbers than 0 and 1. Copy this file again from the original data set.")
    if mask.sum() != n_vertices:
        raise BadData(
            f"{path} marks {counted(mask.sum(), 'vertex', 'vertices')} but {layout.responses(hemi).name} has {n_vertices:,} columns. "
            "They belong to different subjects or hemispheres: copy both again."
        )
    return np.flatnonzero(mask)


def read_rois(layout: Algonauts2023Layout, hemi: str, n_vertices: int) -> dict[str, np.ndarray]:
    """Read the columns of each ROI, sorted int64, class by class in the order of labels; empty ROIs are included.

    Raises
    ------
    BadData where a file is missing or damaged, or a vertex has a label without a name.
    """
    rois: dict[str, np.ndarray] = {}
    for roi_class in ROI_CLASSES:
        names = read_label_names(layout.names(roi_class))
        path = layout.labels(hemi, roi_class)
        labels = open_vector(path, n_vertices, "the vertices in this hemisphere's responses are")
        if nameless := sorted(set(np.unique(labels).tolist()) - {0} - set(names)):
            raise BadData(f"{path} has the labels {nameless}, which {layout.names(roi_class).name} does not name. Copy both files again.")
        for label in sorted(set(names) - {0}):
            if names[label] in rois:
                raise BadData(f"{layout.names(roi_class)} names {names[label]!r}, which is named already. Give every ROI its own name.")
            rois[names[label]] = np.flatnonzero(labels == label)
    return rois


DATASETS.register(Algonauts2023.name, Algonauts2023())
