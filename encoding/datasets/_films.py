"""Films as stimuli of samples (TRs): each stimulus is a window of a film, of which some frames are decoded on access with PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from encoding.datasets._base import BadData, Stimuli
from encoding.datasets._frames import BadClip, Crop, as_shown
from encoding.datasets._images import require_regular
from encoding.datasets._videos import ADVICE, N_FRAMES, container_and_crop, opened_video
from encoding.storage.files import raise_passing
from encoding.storage.keys import digest

FILMS_VERSION = 1  # raised when other frames are taken, or other pixels made of them
FACTS = "films-1"  # name of what :func:`film_facts` learns
ROUNDING = 1e-4  # seconds by which times of frames are rounded in a file


@dataclass(frozen=True)
class Window:
    """A stretch of a film: seconds from its beginning to ``start``, and the ``seconds`` that it lasts."""

    film: Path
    start: float
    seconds: float

    def times(self, n_frames: int) -> list[float]:
        """Times of evenly spaced frames, in the middle of as many equal parts.

        Examples
        --------
        >>> Window(Path("film.mkv"), 3.0, 1.5).times(3)
        [3.25, 3.75, 4.25]
        """
        return [self.start + self.seconds * (number + 0.5) / n_frames for number in range(n_frames)]


class FilmSamples(Stimuli):
    """One window of a film per stimulus; sound is ignored.

    Parameters
    ----------
    windows : in the order of the stimuli.
    files : SHA-256 of each film.
    n_frames : how many frames :meth:`frames` takes of each window, 1 or more.
    """

    def __init__(self, windows: Sequence[Window], files: dict[Path, str], *, n_frames: int = N_FRAMES) -> None:
        if n_frames < 1:
            raise ValueError(f"One frame of each sample is needed at least, not {n_frames}.")
        self._windows, self._files, self.n_frames = tuple(windows), files, n_frames
        self.names = tuple(f"{window.film.stem} at {window.start:.1f} s" for window in self._windows)

    @property
    def fingerprint(self) -> str:
        """Digest of the films' content and of the windows and frames that are taken."""
        number = {path: place for place, path in enumerate(dict.fromkeys(window.film for window in self._windows))}
        windows = [[number[window.film], window.start, window.seconds] for window in self._windows]
        return digest("films", FILMS_VERSION, files=[self._files[path] for path in number], windows=windows, n_frames=self.n_frames)

    def sampled(self, n_frames: int) -> FilmSamples:
        """Return these samples with ``n_frames`` frames each."""
        return FilmSamples(self._windows, self._files, n_frames=n_frames).with_tables(self.tables)

    def __getitem__(self, index: int) -> Image.Image:
        """The frame in the middle of window ``index`` as RGB; BadData naming the film where it cannot be read."""
        window = self._windows[index]
        return frames_of_film(window.film, window.times(1))[0]

    def frames(self, index: int) -> list[Image.Image]:
        """Decode the :attr:`n_frames` frames of window ``index`` as RGB; BadData where the film is damaged."""
        window = self._windows[index]
        return frames_of_film(window.film, window.times(self.n_frames))


def film_facts(path: Path) -> dict[str, Any]:
    """Seconds that a film lasts, or why it cannot be read: ``{"seconds": 3600.0, "error": ""}``."""
    try:
        return {"seconds": _about(path, *_state(path))[2], "error": ""}
    except BadData as error:
        return {"seconds": 0.0, "error": str(error)}


def frames_of_film(path: Path, times: Sequence[float]) -> list[Image.Image]:
    """Decode the frames that a player shows at some times, from the key frame before the first of them on.

    Parameters
    ----------
    times : seconds from the beginning, ascending.

    Raises
    ------
    BadData where the film is missing, damaged or no video, or ends before. OSError where the system cannot read it now.
    """
    import av

    kind, crop, seconds = _about(path, *_state(path))
    if times[0] >= seconds:
        raise BadData(f"{path} lasts {seconds:,.1f} s, so there is no frame at {times[0]:,.1f} s.")
    try:
        with opened_video(path, kind) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # features are made by several threads, each with a film of its own
            begin = float((stream.start_time or 0) * stream.time_base)
            container.seek(int((times[0] + begin) / stream.time_base), stream=stream)
            shown = _frames_from(container, begin, times, crop)
            if shown is None:  # no key frame before the first time is in the index
                container.seek(stream.start_time or 0, stream=stream)
                shown = _frames_from(container, begin, times, crop)
    except BadClip as error:
        raise BadData(f"{path} {error}. {ADVICE}") from error
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        if not isinstance(error, av.FFmpegError):
            raise_passing(error, path)
        raise BadData(f"{path} cannot be read as a video ({error}). {ADVICE}") from error
    if shown is None:
        raise BadData(f"{path} gives no frame at {times[0]:,.1f} s. {ADVICE}")
    return shown


def _frames_from(container: Any, begin: float, times: Sequence[float], crop: Crop) -> list[Image.Image] | None:
    """The frame shown at each of the times, decoding onwards; None where the first that is decoded comes after the first time."""
    stream, last, found = container.streams.video[0], None, []
    for frame in container.decode(stream):
        if frame.is_corrupt:
            raise BadClip(f"is damaged at {frame.time:,.1f} s")
        at = (frame.time or 0.0) - begin
        while len(found) < len(times) and last is not None and at > times[len(found)] + ROUNDING:
            found.append(last)
        if len(found) == len(times):
            break
        if last is None and at > times[0] + ROUNDING and at > ROUNDING:
            return None
        last = frame
    if last is None:
        return None
    found += [last] * (len(times) - len(found))  # the last frame stays until the end
    images = {id(frame): as_shown(frame, stream, crop) for frame in found}
    return [images[id(frame)] for frame in found]


def _state(path: Path) -> tuple[int, int]:
    require_regular(path)
    about = path.stat()
    return about.st_mtime_ns, about.st_size


@lru_cache(maxsize=64)
def _about(path: Path, *state: int) -> tuple[str, Crop, float]:
    """Container, cropping and length in seconds of a film; BadData where it is no complete video."""
    import av

    try:
        kind, crop = container_and_crop(path)
        with opened_video(path, kind) as container:
            stream = container.streams.video[0]
            if stream.duration:
                return kind, crop, float(stream.duration * stream.time_base)
            if container.duration:
                return kind, crop, container.duration / av.time_base
            raise BadClip("does not say how long it lasts: convert it to MP4 or MKV")
    except BadClip as error:
        raise BadData(f"{path} {error}. {ADVICE}") from error
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise BadData(f"{path} cannot be read as a video ({error}). {ADVICE}") from error
