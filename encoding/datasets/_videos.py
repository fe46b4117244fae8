"""Video files as stimuli, decoded with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from encoding.datasets._base import BadData, Stimuli
from encoding.datasets._frames import BadClip, check_complete, container_kind, frames_at, is_cut_short
from encoding.datasets._images import list_files, require_regular
from encoding.storage.files import passing_errors_of, raise_passing

if TYPE_CHECKING:
    from av.container import InputContainer

    from encoding.datasets._frames import Crop

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})
N_FRAMES = 16  # as the Algonauts 2021 development kit takes of each clip
FRAMES_VERSION = 2  # raised when other frames are taken, or other pixels made of them
ADVICE = "Copy this file again from where it came."


class VideoFiles(Stimuli):
    """One video file per stimulus, decoded on access; its sound, if any, is ignored.

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
        """Digest of the files' content and of the sampled frames."""
        return f"{self._files}-{self.n_frames}-frames-{FRAMES_VERSION}"

    def sampled(self, n_frames: int) -> VideoFiles:
        """Return these clips with ``n_frames`` sampled frames each."""
        return VideoFiles(self.paths, fingerprint=self._files, n_frames=n_frames).with_tables(self.tables)

    def __getitem__(self, index: int) -> Image.Image:
        """The middle frame of clip ``index`` as RGB; :class:`BadData` naming the file where it cannot be read."""
        return read_frames(self.paths[index], lambda n_there: [(n_there - 1) // 2])[0]

    def frames(self, index: int) -> list[Image.Image]:
        """Decode the :attr:`n_frames` :func:`evenly_spaced` frames of clip ``index`` as RGB; BadData where it is damaged."""
        return read_frames(self.paths[index], lambda n_there: evenly_spaced(n_there, self.n_frames))


def evenly_spaced(n_there: int, n_frames: int) -> list[int]:
    """Indices of evenly spaced frames: ``linspace(0, n_there - 1, n_frames)``, each rounded down.

    The first and the last frame are included, as in the Algonauts 2021 development kit (``numpy.linspace(..., dtype=int)``). Clips shorter
    than ``n_frames`` repeat some frames; a single frame is the first.

    Examples
    --------
    >>> evenly_spaced(90, 4)
    [0, 29, 59, 89]
    """
    return np.linspace(0, n_there - 1, n_frames, dtype=int).tolist()


def read_frames(path: Path, choose: Callable[[int], Sequence[int]]) -> list[Image.Image]:
    """Decode some frames of a video as RGB, as a player shows them, in one pass.

    Parameters
    ----------
    choose : maps the number of frames to the 0-based display indices of the frames to decode.

    Raises
    ------
    BadData where the file is missing, special, damaged, cut short or no video. OSError where the system cannot read it now.
    """
    import av

    require_regular(path)
    try:
        kind, crop = container_and_crop(path)
        with opened_video(path, kind) as container:
            n_packets = n_frames = 0
            for packet in container.demux(container.streams.video[0]):
                n_packets += packet.size > 0
                n_frames += packet.size > 0 and not packet.is_discard
            if is_cut_short(container.streams.video[0], n_packets):
                raise BadClip("is cut short: its index names more frames than it holds")
        places = choose(max(1, n_frames))
        found, n_decoded = _decode(path, kind, places, crop)
        if len(found) < len(set(places)):  # some packets held no frame to be shown
            if n_decoded == 0:
                raise BadClip("holds no frames")
            places = choose(n_decoded)
            found, _ = _decode(path, kind, places, crop)
        if len(found) < len(set(places)):
            raise BadClip("is damaged: it gives other frames each time it is read")
    except BadClip as error:
        raise BadData(f"{path} {error}. {ADVICE}") from error
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        if not isinstance(error, av.FFmpegError):  # whose numbers tell of content too
            raise_passing(error, path)
        raise BadData(f"{path} cannot be read as a video ({error}). {ADVICE}") from error
    return [found[place] for place in places]


def _decode(path: Path, kind: str, places: Sequence[int], crop: Crop) -> tuple[dict[int, Image.Image], int]:
    with opened_video(path, kind) as container:
        container.streams.video[0].codec_context.thread_count = 1  # features are made by several threads, each with a clip of its own
        return frames_at(container, places, crop)


def container_and_crop(path: Path) -> tuple[str, Crop]:
    """Container and cropping of a video file; BadClip where it is of no container or cut short, OSError where it cannot be read now."""
    with passing_errors_of(path), path.open("rb") as file:
        kind = container_kind(file.read(12))
        if kind is None:
            raise BadClip("cannot be read as a video: its first bytes are of no container (MP4, MOV, MKV, WebM, AVI)")
        return kind, check_complete(file, kind)


@contextmanager
def opened_video(path: Path, kind: str) -> Iterator[InputContainer]:
    """Open a file in a container of its own, so that any thread may read any clip."""
    import av

    with av.open(str(path), format=kind) as container:
        if not container.streams.video or container.streams.video[0].codec_context is None:
            raise BadClip("holds no video that can be decoded")
        yield container


def list_videos(folder: Path) -> list[Path]:
    """List the video files directly in a folder in natural order, hidden ones left out; BadData where there is no such folder."""
    if not folder.is_dir():
        raise BadData(f"There is no folder {folder}. Unpack the clips there.")
    return list_files(folder, SUFFIXES)
