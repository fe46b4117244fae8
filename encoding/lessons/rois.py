"""Lesson: regions of interest: their location, and their mean response to each category of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from encoding.datasets import Subject


@dataclass(frozen=True)
class Profile:
    """The response of a region to each kind of image.

    Attributes
    ----------
    names : the kinds, in the order given.
    means : (k,) mean over a kind's images of the mean over vertices, in standard deviations of single vertices.
    errors : (k,) standard error of each mean over images.
    """

    names: tuple[str, ...]
    means: np.ndarray
    errors: np.ndarray

    @property
    def best(self) -> int:
        """The kind with the largest mean."""
        return int(np.argmax(self.means))

    @property
    def spread(self) -> float:
        """The largest mean less the second largest, in standard errors of that difference: how clearly one kind stands out."""
        second, first = np.argsort(self.means)[-2:]
        return self._apart(first, second)

    @property
    def range(self) -> float:
        """The largest mean less the smallest, in standard errors of that difference: how clearly kinds of images differ at all."""
        order = np.argsort(self.means)
        return self._apart(order[-1], order[0])

    def _apart(self, first: int, second: int) -> float:
        return float((self.means[first] - self.means[second]) / np.hypot(self.errors[first], self.errors[second]))


def responses_of(subject: Subject, roi: str) -> np.ndarray:
    """(n_stimuli, n) float32, the responses of a region's vertices, left hemisphere first; n is 0 where no hemisphere has it."""
    return np.concatenate([np.asarray(subject.responses[hemi][:, subject.rois[hemi][roi]], np.float32) for hemi in subject.hemis], axis=1)


def profile(responses: np.ndarray, kind: np.ndarray, names: Sequence[str]) -> Profile:
    """The mean response of a region to each kind of image.

    Parameters
    ----------
    responses : (n_stimuli, n_vertices), one vertex at least.
    kind : (n_stimuli,) text, what each image mainly shows.
    names : the kinds to tell apart; each with two images at least.

    Raises
    ------
    ValueError where there is no vertex, or a kind has fewer than two images.
    """
    if not responses.shape[1]:
        raise ValueError("This region has no vertices in this subject, so nothing drives it.")
    mean = np.asarray(responses, np.float64).mean(axis=1)
    groups = [mean[kind == name] for name in names]
    few = [name for name, values in zip(names, groups, strict=True) if len(values) < 2]
    if few:
        raise ValueError(f"Fewer than two images show {', '.join(few)}: too few for a mean with an error.")
    return Profile(
        names=tuple(names),
        means=np.array([values.mean() for values in groups]),
        errors=np.array([values.std(ddof=1) / np.sqrt(len(values)) for values in groups]),
    )


def found_rois(subject: Subject) -> Mapping[str, int]:
    """Region to its number of vertices over hemispheres; those that no localiser found in this subject are left out."""
    names = dict.fromkeys(name for hemi in subject.hemis for name in subject.rois[hemi])
    sizes = {name: sum(len(subject.rois[hemi].get(name, ())) for hemi in subject.hemis) for name in names}
    return {name: size for name, size in sizes.items() if size}
