"""Simulate short clips of drawn scenes and the responses of the simulated cortex to them.

The camera moves over a scene along a straight line and a little closer or farther, so that objects change place and size while the
content stays the same. The signal of a vertex is the mean of its responses to single frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from encoding.datasets.simulation import responses
from encoding.datasets.simulation.cortex import Hemisphere
from encoding.datasets.simulation.scenes import DEGREES, SIZE, Scenes, scenes
from encoding.runtime.progress import Report, silent

VERSION = 1
FRAMES_PER_SECOND = 10
N_FRAMES = 3 * FRAMES_PER_SECOND
SEEN = (0, 10, 19, 29)  # the frames whose answers are averaged
DRIFT = 0.12  # most way of the camera to either side of the middle, as a share of the scene's width
ZOOM = (0.72, 0.85)  # least and most share of the scene's width in view


@dataclass(frozen=True)
class Clips:
    """Scenes with a camera path over each.

    Attributes
    ----------
    scenes : what is filmed.
    boxes : (n, 2, 3) float64, at the first and last frame: left, top (pixels of the scene) and width of what is in view.
    """

    scenes: Scenes
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    def first(self, n: int) -> Clips:
        """Return the first ``n`` clips."""
        filmed = self.scenes
        return Clips(Scenes(filmed.images[:n], filmed.strength[:n], filmed.things[filmed.things[:, 0] < n]), self.boxes[:n])

    def box(self, clip: int, frame: int) -> np.ndarray:
        """Left, top and width of the camera's view in pixels, clipped to the scene."""
        start, stop = self.boxes[clip]
        left, top, width = start + (stop - start) * frame / (N_FRAMES - 1)
        return np.array([max(left, 0.0), max(top, 0.0), width])

    def frame(self, clip: int, frame: int) -> np.ndarray:
        """Render one frame, (SIZE, SIZE, 3) uint8."""
        left, top, width = self.box(clip, frame)
        view = Image.fromarray(self.scenes.images[clip])
        right, bottom = min(left + width, SIZE), min(top + width, SIZE)
        return np.asarray(view.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=(left, top, right, bottom)))

    def at(self, frame: int) -> Scenes:
        """Return frame ``frame`` of every clip, with the positions of its objects."""
        boxes = np.array([self.box(clip, frame) for clip in range(len(self))])
        left, top, width = boxes[self.scenes.things[:, 0].astype(int)].T
        scale, degrees = SIZE / width, DEGREES / SIZE
        things = self.scenes.things.copy()
        things[:, 2] = scale * (things[:, 2] - (left + width / 2 - SIZE / 2) * degrees)  # y is up, rows go down
        things[:, 3] = scale * (things[:, 3] + (top + width / 2 - SIZE / 2) * degrees)
        things[:, 4] *= scale
        images = np.stack([self.frame(clip, frame) for clip in range(len(self))])
        return Scenes(images, self.scenes.strength, things)


def clips(n: int, *, seed: int, report: Report = silent) -> Clips:
    """Simulate ``n`` clips, deterministic given ``seed``. Clip i depends on the seed and on i alone."""
    filmed = scenes(n, seed=seed, report=report)
    ways = np.empty((n, 2, 3))
    for clip in range(n):
        rng = np.random.default_rng([seed, clip, VERSION])
        width = rng.uniform(*ZOOM, 2) * SIZE
        way = rng.uniform(-DRIFT, DRIFT, 2) * SIZE
        for end, side in enumerate((-1, 1)):
            left, top = np.clip((SIZE - width[end]) / 2 + side * way, 0, SIZE - width[end])
            ways[clip, end] = left, top, width[end]
    return Clips(filmed, ways)


def signals(cortex: Mapping[str, Hemisphere], filmed: Clips, report: Report = silent) -> dict[str, np.ndarray]:
    """Compute the noiseless responses to clips, per hemisphere (n_clips, n_vertices) float32 of mean 0 and variance 1."""
    answers = responses.signals(cortex, _one_after_the_other([filmed.at(frame) for frame in SEEN]), report)
    mean = {hemi: values.reshape(len(SEEN), len(filmed), -1).mean(axis=0) for hemi, values in answers.items()}
    return {hemi: (values - values.mean(axis=0)) / values.std(axis=0) for hemi, values in mean.items()}


def repetitions(signal: np.ndarray, ceiling: np.ndarray, rng: np.random.Generator, *, n: int = 3) -> np.ndarray:
    """The signal seen ``n`` times with fresh noise, so that the *mean* over repetitions has the ceiling.

    Parameters
    ----------
    signal : (n_clips, n_voxels), of mean 0 and variance 1 per voxel.
    ceiling : (n_voxels,) in 0 … 1; the signal's share of the variance of the mean.

    Returns
    -------
    (n_clips, n, n_voxels) float32; the mean over repetitions has variance 1 in expectation.
    """
    noise = rng.standard_normal((len(signal), n, signal.shape[1]), np.float32)
    noise *= np.sqrt(n * (1 - ceiling)).astype(np.float32)
    noise += (np.sqrt(ceiling) * signal).astype(np.float32)[:, None]
    return noise


def _one_after_the_other(parts: Sequence[Scenes]) -> Scenes:
    """Concatenate sets of scenes; scene numbers of their things continue."""
    starts = np.cumsum([0, *(len(part.images) for part in parts)])
    things = [part.things + np.eye(1, 6, dtype=np.float32) * start for part, start in zip(parts, starts, strict=False)]
    return Scenes(
        np.concatenate([part.images for part in parts]), np.concatenate([part.strength for part in parts]), np.concatenate(things)
    )
