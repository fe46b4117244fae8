"""Keep the decoded frames of stimuli in memory while several networks, or poolings, take the same ones one after another.

Where a GPU computes, decoding an image or a clip takes longer than most networks' pass of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import count

from PIL import Image

from encoding.datasets import Stimuli

DECODED_BYTES = 600 * 10**6  # of frames in memory: a shard of photographs of 640 x 480 pixels


class _Memory:
    """Frames of stimuli with the number of the pass that took them last, those taken longest ago first."""

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[str, int], tuple[int, list[Image.Image]]] = OrderedDict()
        self._lock, self._n_bytes = threading.Lock(), 0

    def take(self, key: tuple[str, int], number: int) -> list[Image.Image] | None:
        """The frames under a key, which pass ``number`` takes; None where they are not kept."""
        with self._lock:
            if key not in self._frames:
                return None
            _, frames = self._frames.pop(key)
            self._frames[key] = number, frames
            return frames

    def keep(self, key: tuple[str, int], number: int, frames: list[Image.Image]) -> None:
        """Keep frames where they fit; those of earlier passes make room for them."""
        with self._lock:
            n_bytes = _n_bytes(frames)
            while self._frames and self._n_bytes + n_bytes > DECODED_BYTES:
                oldest = next(iter(self._frames))
                if self._frames[oldest][0] >= number:
                    return
                self._n_bytes -= _n_bytes(self._frames.pop(oldest)[1])
            if n_bytes <= DECODED_BYTES and key not in self._frames:
                self._frames[key] = number, frames
                self._n_bytes += n_bytes

    def clear(self) -> None:
        """Free the memory of all frames."""
        with self._lock:
            self._frames.clear()
            self._n_bytes = 0


_memory, _passes = _Memory(), count()


class DecodedOnce(Stimuli):
    """Stimuli whose frames stay in the memory of this process for the next pass of the same ones.

    Frames of earlier passes make room for those of this pass; what does not fit in :data:`DECODED_BYTES` is decoded again each time.
    """

    def __init__(self, stimuli: Stimuli) -> None:
        self._stimuli, self._pass, self._name = stimuli, next(_passes), f"{stimuli.fingerprint} {stimuli.n_frames}"
        self.names, self.n_frames = stimuli.names, stimuli.n_frames
        self.without_images, self.tables = stimuli.without_images, stimuli.tables

    @property
    def fingerprint(self) -> str:
        return self._stimuli.fingerprint

    def __getitem__(self, index: int) -> Image.Image:
        return self._stimuli[index]

    def frames(self, index: int) -> list[Image.Image]:
        key = (self._name, index)
        frames = _memory.take(key, self._pass)
        if frames is None:
            frames = self._stimuli.frames(index)
            _memory.keep(key, self._pass, frames)
        return frames


def forget_decoded() -> None:
    """Free the memory of all frames."""
    _memory.clear()


def _n_bytes(frames: list[Image.Image]) -> int:
    return sum(3 * frame.width * frame.height for frame in frames)
