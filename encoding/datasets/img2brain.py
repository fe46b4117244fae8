"""img2brain (Zenodo 10.5281/zenodo.7979730): one person's 10,000 voxels and the photographs that were seen.

    Data_img2brain/trainingIMG/…           8857 jpg, 425 x 425; in natural order they are the rows of the responses
                   testIMG/…               984 jpg, responses withheld
                   trainingfMRI/training.npy    (8857, 10000)
                   SIMULATED.txt           only where a simulation wrote all this

The folder may be named so or be ``img2brain`` itself. Nothing tells which voxel belongs to which region, where it lies, or how
noisy it is: there are no ROIs, no brain map and no noise ceiling. Published models were validated on the last fifth of a shuffle
with seed 224, which is this data set's own split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData, Subject
from encoding.datasets._images import ImageFiles, list_images
from encoding.datasets._registry import DATASETS, FolderDataset
from encoding.datasets._responses import read_responses, responses_are_known
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.wording import counted
from encoding.storage.fingerprints import files_fingerprint, first_equal_files, is_remembered
from encoding.storage.store import Store

SUBJECT = "subj01"  # the download names nobody
BLOCK = "brain"  # all voxels, whichever hemisphere they are of
TOP = "Data_img2brain"
MARKER = """These data are simulated. No brain was measured.

They were written by Encoding Explorer in the layout of img2brain (subject {name} of {dataset}).
"""


@dataclass(frozen=True)
class Img2BrainLayout:
    """Paths of the files."""

    folder: Path

    @classmethod
    def below(cls, folder: Path) -> Img2BrainLayout:
        """Return the layout in ``folder``, or in the download's own top folder within it."""
        return cls(folder / TOP if (folder / TOP).is_dir() else folder)

    @property
    def training_images(self) -> Path:
        """Folder of the images with responses."""
        return self.folder / "trainingIMG"

    @property
    def test_images(self) -> Path:
        """Folder of the images whose responses are withheld."""
        return self.folder / "testIMG"

    @property
    def responses(self) -> Path:
        """Responses, (n_images, n_voxels)."""
        return self.folder / "trainingfMRI" / "training.npy"

    @property
    def marker(self) -> Path:
        """File that says that the data are simulated."""
        return self.folder / "SIMULATED.txt"

    @property
    def is_here(self) -> bool:
        """Whether any of it is on this machine."""
        return self.training_images.is_dir() or self.responses.parent.is_dir()


class Img2Brain(FolderDataset):
    """The single subject below :func:`data_dir`, or below ``root`` if given."""

    name = "img2brain"
    title = "img2brain"
    about = "fMRI of one person, 10,000 voxels without names or places, and 8,857 photographs of everyday scenes."
    has_simulation = True
    split = "holdout:0.8:224"

    @property
    def layout(self) -> Img2BrainLayout:
        """Where its files are."""
        return Img2BrainLayout.below(super().root)

    @property
    def root(self) -> Path:
        return self.layout.folder

    def subjects(self) -> tuple[str, ...]:
        return (SUBJECT,) if self.layout.is_here else ()

    def roi_names(self) -> Mapping[str, tuple[str, ...]]:
        return {}

    def how_to_get(self) -> str:
        folder = self.layout.folder / "trainingIMG"
        return f"Download it from doi.org/10.5281/zenodo.7979730 and unpack it so that {folder} exists."

    def is_ready(self, subject: str, store: Store) -> bool:
        """Whether every file has been checked and has not changed since."""
        layout = self._checked(subject)
        images = [path for folder in (layout.training_images, layout.test_images) if folder.is_dir() for path in list_images(folder)]
        return is_remembered(images, store) and responses_are_known(layout.responses, store)

    def watched(self, subject: str) -> list[Path]:
        layout = self._checked(subject)
        return [layout.training_images, layout.test_images, layout.responses, layout.marker]

    def open(self, subject: str, store: Store, report: Report = silent) -> Subject:
        """Open the subject. On first use all files are read once for checks and fingerprints, which ``store`` remembers."""
        layout = self._checked(subject)
        images, test_images = read_training_images(layout), read_test_images(layout)
        responses, fingerprint = read_responses(layout.responses, store, subprogress(report, 0, 0.4))
        check_rows(layout, images, responses)
        return Subject(
            dataset=self.name,
            name=subject,
            stimuli=ImageFiles(images, fingerprint=files_fingerprint(images, store, subprogress(report, 0.4, 0.9))),
            unlabelled=ImageFiles(test_images, fingerprint=files_fingerprint(test_images, store, subprogress(report, 0.9, 1))),
            responses={BLOCK: responses},
            fingerprints={BLOCK: fingerprint},
            rois={BLOCK: {}},
            groups=first_equal_files(images, store),
            simulated=layout.marker.exists(),
        )

    def _checked(self, subject: str) -> Img2BrainLayout:
        self.check_subject(subject)
        return self.layout


def read_training_images(layout: Img2BrainLayout) -> list[Path]:
    """List the images with responses in natural order of their names; BadData where there are none."""
    if paths := list_images(layout.training_images):
        return paths
    raise BadData(f"{layout.training_images} holds no images. Unpack img2brain's trainingIMG there.")


def read_test_images(layout: Img2BrainLayout) -> list[Path]:
    """List the images without published responses; empty where their folder is missing or empty."""
    return list_images(layout.test_images) if layout.test_images.is_dir() else []


def check_rows(layout: Img2BrainLayout, images: list[Path], responses: np.ndarray) -> None:
    """Check that there is one image per row; BadData where the numbers differ."""
    if len(responses) != len(images):
        raise BadData(
            f"{layout.training_images} holds {counted(len(images), 'image')} but {layout.responses.name} has "
            f"{counted(len(responses), 'row')}. "
            "Each image is one row: unpack both again."
        )


DATASETS.register(Img2Brain.name, Img2Brain())
