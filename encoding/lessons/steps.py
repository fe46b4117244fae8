"""Lesson: the steps of an encoding model: features, components, regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encoding.backbones.gabor import Pyramid
from encoding.evaluation.scores import score
from encoding.fits.plan import Plan
from encoding.readouts import READOUTS
from encoding.readouts._moments import Moments


@dataclass(frozen=True)
class Steps:
    """Scores of fits with increasing numbers of components.

    Attributes
    ----------
    n_components : the numbers tried, rising.
    explained : (m,) share of the training features' variance that so many components hold, 0 … 1.
    train, test : (m,) mean r over vertices on the images that trained and on those that did not.
    """

    n_components: tuple[int, ...]
    explained: np.ndarray
    train: np.ndarray
    test: np.ndarray


def steps(plan: Plan, scores: np.ndarray, total_variance: float, responses: np.ndarray, n_components: Sequence[int]) -> Steps:
    """The mean r of fits that see the first components only, each the very fit that so many components make.

    Parameters
    ----------
    plan : of the fit with most components; ridge with its own choice of alpha, one fold.
    scores : (n_stimuli, k) float32, that fit's components, k at least the largest number asked for.
    total_variance : of all features over training images, summed.
    responses : (n_stimuli, t) float32 of the vertices in question.
    """
    fold = plan.folds[0]
    inner, variance = plan.inner(fold), scores[fold.train].var(axis=0, ddof=1, dtype=np.float64)
    pairs = []
    for n in n_components:
        Z = np.ascontiguousarray(scores[:, :n])
        pairs.append(ridge_r(Z, responses, fold.train, fold.test, inner))
    explained = np.cumsum(variance)[np.array(n_components) - 1] / total_variance
    return Steps(tuple(n_components), explained, *np.array(pairs).T)


def drawn(values: np.ndarray, frequency: int) -> np.ndarray:
    """Gabor energy at one spatial frequency, or weights on it, as an image.

    Parameters
    ----------
    values : (n_features,) of layer ``energy`` of the backbone ``gabor``, pooled ``none``.
    frequency : cycles per image.

    Returns
    -------
    (frequency, frequency), the mean over orientations at each place, top row first.
    """
    kinds = Pyramid().wavelets()
    at = kinds["frequency"] == frequency
    return values[at].reshape(-1, frequency, frequency).mean(axis=0)


def ridge_r(Z: np.ndarray, Y: np.ndarray, train: np.ndarray, test: np.ndarray, inner: np.ndarray) -> tuple[float, float]:
    """Mean r over targets on training and on test rows, of ridge whose alpha is chosen for each target within training rows.

    Parameters
    ----------
    Z : (n_stimuli, p) float32. Y : (n_stimuli, t) float32.
    inner : (n_train,) the fold on which each training row is held out while alpha is chosen.
    """
    readout = READOUTS["ridge"]
    model = readout.fit(Moments.of(Z, Y, inner, rows=train), readout.read({}))
    predicted = (Z @ model.weights + model.intercept).astype(np.float32)
    return tuple(float(np.nanmean(score(predicted[rows], Y[rows])["r"])) for rows in (train, test))
