"""Stimuli that are video files in a folder, decoded with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from encoding.datasets._base import BadData, Stimuli
from encoding.datasets._images import natural_order

if TYPE_CHECKING:
    from av.video.stream import VideoStream

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})
N_FRAMES = 16  # as the Algonauts 2021 development kit takes of each clip
FRAMES_VERSION = 1  # raised when other frames are taken, or other pixels made of them
MEND = "Copy this file again from where it came."


class VideoFiles(Stimuli):
    """One video file per stimulus, decoded when asked for. Its sound, if any, is not looked at.

    Parameters
    ----------
    paths : the files, in the order of the stimuli.
    fingerprint : names their bytes in that order (:func:`encoding.storage.fingerprints.files_fingerprint`).
    n_frames : how many frames :meth:`frames` takes of each, 1 or more.
    """

    def __init__(self, paths: Iterable[Path], *, fingerprint: str, n_frames: int = N_FRAMES) -> None:
        if n_frames < 1:
            raise ValueError(f"One frame of each clip is needed at least, not {n_frames}.")
        self.paths = tuple(paths)
        self.names = tuple(path.stem for path in self.paths)
        self.n_frames = n_frames
        self._files = fingerprint

    @property
    def fingerprint(self) -> str:
        """Names the bytes of the files and which frames are taken."""
        return f"{self._files}-{self.n_frames}-frames-{FRAMES_VERSION}"

    def sampled(self, n_frames: int) -> VideoFiles:
        return VideoFiles(self.paths, fingerprint=self._files, n_frames=n_frames)

    def __getitem__(self, index: int) -> Image.Image:
        """The middle frame of clip ``index`` as RGB; :class:`BadData` naming the file where it cannot be read."""
        return read_frames(self.paths[index], lambda n_there: [(n_there - 1) // 2])[0]

    def frames(self, index: int) -> list[Image.Image]:
        """The :attr:`n_frames` frames at :func:`evenly_spaced` places of clip ``index``, as RGB; BadData as for one."""
        return read_frames(self.paths[index], lambda n_there: evenly_spaced(n_there, self.n_frames))


def evenly_spaced(n_there: int, n_frames: int) -> list[int]:
    """Which of ``n_there`` frames are taken: ``linspace(0, n_there - 1, n_frames)``, each rounded down.

    The first and the last are among them. So does the Algonauts 2021 development kit (``numpy.linspace(..., dtype=int)``).
    Of clips shorter than ``n_frames`` some frames are taken more than once; a single frame is the first.

    Examples
    --------
    >>> evenly_spaced(90, 4)
    [0, 29, 59, 89]
    """
    return np.linspace(0, n_there - 1, n_frames, dtype=int).tolist()


def read_frames(path: Path, choose: Callable[[int], Sequence[int]]) -> list[Image.Image]:
    """Some frames of a video as RGB, decoded in one pass; the others are let go at once.

    Parameters
    ----------
    choose : the number of frames to the places of those wanted (counted from 0, in the order shown).

    Raises
    ------
    BadData where the file is missing, damaged, cut short or no video.
    """
    places = choose(_count_packets(path))
    found, n_decoded = _decode(path, places)
    if len(found) < len(set(places)):  # some packets held no frame to be shown
        if n_decoded == 0:
            raise BadData(f"{path} holds no frames. {MEND}")
        places = choose(n_decoded)
        found, _ = _decode(path, places)
    return [found[place] for place in places]


def list_videos(folder: Path) -> list[Path]:
    """The video files directly in a folder in natural order, hidden ones left out; BadData where there is no such folder."""
    if not folder.is_dir():
        raise BadData(f"There is no folder {folder}. Unpack the clips there.")
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(found, key=lambda path: natural_order(path.name))


def _count_packets(path: Path) -> int:
    """How many frames a video has by its packets, which are read and not decoded."""
    with _opened(path) as stream:
        return max(1, sum(packet.size > 0 and not packet.is_discard for packet in stream.container.demux(stream)))


def _decode(path: Path, places: Iterable[int]) -> tuple[dict[int, Image.Image], int]:
    """The frames at ``places`` so far as they are there, and how many were decoded to get to the last of them."""
    found, n_decoded = {}, 0
    with _opened(path) as stream:
        stream.codec_context.thread_count = 1  # features are made by several threads, each with a clip of its own
        for place, frame in enumerate(stream.container.decode(stream)):
            if frame.is_corrupt:
                raise BadData(f"{path} is damaged at frame {place} (counted from 0). {MEND}")
            n_decoded += 1
            if place in places:
                found[place] = frame.to_image()
            if place == max(places):
                break
    return found, n_decoded


@contextmanager
def _opened(path: Path) -> Iterator[VideoStream]:
    """The file's first video in a container of its own, so that any thread may read any clip."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise BadData(f"{path} holds no video that can be decoded. {MEND}")
            yield container.streams.video[0]
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, BadData):
            raise
        raise BadData(f"{path} cannot be read as a video ({error}). {MEND}") from error
