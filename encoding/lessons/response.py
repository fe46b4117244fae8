"""Lesson: what a vertex response is. One number an image, part signal and part noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Answer:
    """Response of a vertex to an image, split into signal and noise, in standard deviations of its responses to all images.

    Attributes
    ----------
    measured : the response.
    signal : the part of it that the same image would bring again.
    weaker : the share of all images, 0 … 1, that it answered to less.
    """

    measured: float
    signal: float
    weaker: float

    @property
    def noise(self) -> float:
        """The part that another showing of the image would not repeat."""
        return self.measured - self.signal


def answer(responses: np.ndarray, signal: np.ndarray, ceiling: float, image: int) -> Answer:
    """Split the response of a simulated vertex to one image into signal and noise.

    Parameters
    ----------
    responses : (n,) of mean 0 and variance 1.
    signal : (n,) before noise, of mean 0 and variance 1.
    ceiling : the signal's share of the responses' variance, 0 … 1.
    image : row of both.
    """
    return Answer(
        measured=float(responses[image]),
        signal=float(np.sqrt(ceiling) * signal[image]),
        weaker=float(np.mean(responses < responses[image])),
    )


def strongest(responses: np.ndarray, n: int) -> np.ndarray:
    """The rows of the ``n`` largest of (n_images,) responses, largest first."""
    return np.argsort(-np.asarray(responses), kind="stable")[:n]
