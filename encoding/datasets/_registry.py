"""Data sets before they are read, and their registry."""

from __future__ import annotations

import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from encoding.datasets._base import BadData, Subject, roi_names
from encoding.runtime.progress import Report, silent
from encoding.runtime.registry import Registry, UnknownName, unknown
from encoding.storage.files import default_folder
from encoding.storage.store import Store


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


class FolderDataset(Dataset):
    """A data set of one folder: ``root`` if given, else the one of its name below :func:`data_dir`."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The folder, whether or not it is there."""
        return self._root or data_dir() / self.name

    def where(self) -> str:
        subjects = self.subjects()
        return f"{', '.join(subjects)} in {self.root}." if subjects else self._absent()


def data_dir() -> Path:
    """Folder that holds one folder per data set: ``$ENCODING_DATA_DIR``, else ``data`` as :func:`default_folder` says."""
    folder = Path(os.environ.get("ENCODING_DATA_DIR") or default_folder("data"))
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


def roi_classes(subject: Subject) -> dict[str, tuple[str, ...]]:
    """Group the ROIs of a subject by class, in anatomical order; a single class where the data set is not registered here."""
    known = roi_names(subject)
    classes = DATASETS[subject.dataset].roi_names() if subject.dataset in DATASETS else {"ROIs": known}
    found = {name: tuple(roi for roi in rois if roi in known) for name, rois in classes.items()}
    return {name: rois for name, rois in found.items() if rois}
