"""The Algonauts 2021 challenge: ten people's brains and a thousand short clips, as its download lies on disk.

    AlgonautsVideos268_All_30fpsmax/0001_0-0-1-6-7-2-8-0-17500167280.mp4     clips of 3 s; the number is the row of the responses,
                                                                             from 1; those past the last row (1001 …) are the test clips
    participants_data_v2021/mini_track/sub01/V1.pkl                          nine ROIs, each {"train": (n_clips, 3, n_voxels)}
    participants_data_v2021/full_track/sub01/WB.pkl                          the whole brain, and "voxel_mask" (78, 93, 71)
    SIMULATED.txt                                                            only where a simulation wrote all this

Each track of each person is a subject here: ``sub01`` is the mini track, ``sub01-full`` the whole brain. Its one block of
responses is called ``brain``; both hemispheres are in it. The mini track's columns are those of its ROIs one after the other;
a voxel that is in two ROIs' files is two columns. Where its voxels lie is unknown, so it has no brain map; the full track has no
ROIs, and its voxels are seen on the surface where the cortex runs through them.

The three repetitions of each clip are averaged. The noise ceiling is the reliability of that average.

Source: Cichy et al. (2021), The Algonauts Project 2021 challenge: How the human brain makes sense of a world in motion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoding.datasets import _tracks2021 as tracks
from encoding.datasets import _volumes
from encoding.datasets._base import BadData, Subject
from encoding.datasets._images import check_numbers
from encoding.datasets._registry import DATASETS, Dataset, FolderDataset
from encoding.datasets._videos import VideoFiles, list_videos
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.wording import counted
from encoding.storage.fingerprints import file_facts, files_fingerprint, first_equal_files, is_remembered, sha256
from encoding.storage.keys import digest
from encoding.storage.store import Store

BLOCK = "brain"
FULL = "-full"  # ends the name of a subject of the full track
ROIS = {"early visual": ("V1", "V2", "V3", "V4"), "category-selective": ("LOC", "EBA", "FFA", "STS", "PPA")}
MINI_TRACK = tuple(name for names in ROIS.values() for name in names)
N_CLIPS = 1000  # with responses, in the challenge
PERSON = re.compile(r"sub\d\d")
CLIP = re.compile(r"(?P<number>\d+)_.*\.\w+")


@dataclass(frozen=True)
class Algonauts2021Layout:
    """Paths below the data set's folder."""

    folder: Path

    @property
    def clips(self) -> Path:
        """Folder of the clips."""
        return self.folder / "AlgonautsVideos268_All_30fpsmax"

    @property
    def participants(self) -> Path:
        """Folder of the responses of all people."""
        return self.folder / "participants_data_v2021"

    @property
    def marker(self) -> Path:
        """File that says that the data are simulated."""
        return self.folder / "SIMULATED.txt"

    def roi(self, person: str, roi: str) -> Path:
        """A person's responses of an ROI."""
        return self.participants / "mini_track" / person / f"{roi}.pkl"

    def whole_brain(self, person: str) -> Path:
        """A person's responses of the whole brain."""
        return self.participants / "full_track" / person / "WB.pkl"

    def files(self, subject: str) -> dict[str, Path]:
        """Pickles of a subject, in the order of its columns."""
        if subject.endswith(FULL):
            return {"WB": self.whole_brain(subject.removesuffix(FULL))}
        return {roi: self.roi(subject, roi) for roi in MINI_TRACK}


class Algonauts2021(FolderDataset):
    """The challenge's subjects below :func:`data_dir`, or below ``root`` if given."""

    name = "algonauts2021"
    title = "Algonauts 2021 (clips)"
    about = "fMRI of ten people who watched a thousand three-second clips of everyday events, three times each."
    has_simulation = True
    clips = True

    @property
    def split(self) -> str:
        """Default split: the development kit's, whose first 900 clips train; a shuffled one for simulations with fewer clips."""
        folder = Algonauts2021Layout(self.root).clips
        return "first:900" if not folder.is_dir() or len(list_videos(folder)) >= N_CLIPS else Dataset.split

    def subjects(self) -> tuple[str, ...]:
        """Subjects of the mini track, then those of the full track."""
        layout = Algonauts2021Layout(self.root)
        mini, full = (_people(layout.participants / track) for track in ("mini_track", "full_track"))
        return (*mini, *(f"{person}{FULL}" for person in full))

    def roi_names(self) -> Mapping[str, tuple[str, ...]]:
        return ROIS

    def how_to_get(self) -> str:
        layout = Algonauts2021Layout(self.root)
        terms = "Agree to the terms at algonauts.csail.mit.edu"
        return f"{terms} and unpack the 2021 data so that {layout.clips} and {layout.participants} exist."

    def is_ready(self, subject: str, store: Store) -> bool:
        """Whether the averaged responses are in the Store and no file has changed since."""
        layout, files = self._layout(subject)
        clips = list_videos(layout.clips) if layout.clips.is_dir() else []
        pickles = list(files.values())
        if not all(path.is_file() for path in pickles) or not is_remembered(clips + pickles, store):
            return False
        key = _key(files, store)
        needed = (key, _surface_key(key)) if subject.endswith(FULL) else (key,)
        return all(one in store for one in needed)

    def watched(self, subject: str) -> list[Path]:
        layout, files = self._layout(subject)
        return [layout.clips, layout.marker, *files.values()]

    def open(self, subject: str, store: Store, report: Report = silent) -> Subject:
        """Open a subject. On first use its pickles are converted; the averaged responses are kept in ``store`` and memory-mapped."""
        layout, files = self._layout(subject)
        clips = read_clips(layout.clips)
        key = _key(files, store, subprogress(report, 0, 0.1))
        made_from = {"files": {roi: str(path) for roi, path in files.items()}, "simulated": layout.marker.exists()}
        averaged = store.memo(key, lambda: tracks.convert(files, subprogress(report, 0.1, 0.5)), made_from)
        n_clips = len(averaged["responses"])
        if len(clips) < n_clips:
            raise BadData(
                f"{layout.clips} holds {counted(len(clips), 'clip')}, but the responses have {counted(n_clips, 'row')}. "
                "Unpack the clips again."
            )
        edges = averaged["edges"]
        rois = {roi: np.arange(start, stop) for roi, start, stop in zip(files, edges[:-1], edges[1:], strict=True)}
        return Subject(
            dataset=self.name,
            name=subject,
            stimuli=VideoFiles(clips[:n_clips], fingerprint=files_fingerprint(clips[:n_clips], store, subprogress(report, 0.5, 0.9))),
            unlabelled=VideoFiles(clips[n_clips:], fingerprint=files_fingerprint(clips[n_clips:], store, subprogress(report, 0.9, 1))),
            responses={BLOCK: averaged["responses"]},
            fingerprints={BLOCK: key},
            rois={BLOCK: {} if subject.endswith(FULL) else rois},
            groups=first_equal_files(clips[:n_clips], store),
            sampled=_sampled(key, averaged["voxels"], store) if subject.endswith(FULL) else None,
            ceiling={BLOCK: averaged["ceiling"]},
            simulated=layout.marker.exists(),
        )

    def _layout(self, subject: str) -> tuple[Algonauts2021Layout, dict[str, Path]]:
        self.check_subject(subject)
        return Algonauts2021Layout(self.root), Algonauts2021Layout(self.root).files(subject)


def read_clips(folder: Path) -> list[Path]:
    """List the clips in the order of the responses' rows.

    Raises
    ------
    BadData where the folder is missing or empty, or a file's name does not give its row.
    """
    paths = list_videos(folder)
    if not paths:
        raise BadData(f"{folder} holds no clips. Unpack the challenge's clips there.")
    check_numbers(paths, CLIP, "clip", "0001_0-0-1-6-7-2-8-0-17500167280.mp4")
    return paths


def _people(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if PERSON.fullmatch(path.name) and path.is_dir())


def _key(files: Mapping[str, Path], store: Store, report: Report = silent) -> str:
    """The name of what is made of the pickles: of their bytes."""
    for path in files.values():
        if not path.is_file():
            raise BadData(f"{path} is missing. {tracks.AGAIN}")
    bytes_of_each = file_facts(files.values(), store, name="sha256", learn=sha256, report=report)
    return digest("responses", tracks.VERSION, layout=Algonauts2021.name, files=dict(zip(files, bytes_of_each, strict=True)))


def _surface_key(responses_key: str) -> str:
    return digest("surface", _volumes.VERSION, voxels=responses_key)


def _sampled(key: str, voxels: np.ndarray, store: Store) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Which voxel each vertex lies in, worked out once."""

    def make() -> dict[str, np.ndarray]:
        at = _volumes.on_surface(voxels, tracks.VOLUME, tracks.AFFINE)
        return {f"{hemi}_{what}": values for hemi, pair in at.items() for what, values in zip(("vertices", "columns"), pair, strict=True)}

    found = store.memo(_surface_key(key), make, {"voxels": key})
    return {hemi: (found[f"{hemi}_vertices"], found[f"{hemi}_columns"]) for hemi in ("lh", "rh")}


DATASETS.register(Algonauts2021.name, Algonauts2021())
