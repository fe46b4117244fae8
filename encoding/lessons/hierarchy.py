"""Lesson: the visual hierarchy: which regions early and late feature spaces predict best.

The simulated subject's early areas follow Gabor energy and its category areas follow what is in the image, so the answer is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from encoding.evaluation.scores import score
from encoding.evaluation.splits import Fold
from encoding.lessons._linear import fitted

LAYERS = ("pixels", "energy", "categories")  # from early to late
SIMULATED_STAGES: Mapping[str, int] = {  # regions in the order of the cortex, and at which stage of the simulation they stand
    "V1v": 1, "V2v": 2, "V3v": 3, "hV4": 4, "OPA": 5, "PPA": 5, "RSC": 5, "EBA": 5, "OFA": 5, "FFA-1": 5, "VWFA-1": 5,
}  # fmt: skip


def layer_scores(spaces: Mapping[str, np.ndarray], Y: np.ndarray, fold: Fold) -> dict[str, np.ndarray]:
    """r of every vertex on the test images, for ridge on each of the feature spaces.

    Parameters
    ----------
    spaces : layer to its features (n, p). Y : (n, t) responses.

    Returns
    -------
    Layer to (t,) float64, as Explore's r of the same settings.
    """
    return {layer: score(fitted(X, Y, fold).predict(X[fold.test]), Y[fold.test])["r"] for layer, X in spaces.items()}


def region_scores(r: np.ndarray, ceiling: np.ndarray, regions: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean r of each region over the mean of the highest r that noise leaves possible there. -> (n_regions,), NaN for an empty one.

    Parameters
    ----------
    r, ceiling : (t,), the noise ceiling as a share of variance. regions : name to columns.
    """
    highest = np.sqrt(ceiling)
    return np.array([r[here].mean() / highest[here].mean() if len(here) else np.nan for here in regions.values()])


def best_layers(scores: np.ndarray) -> np.ndarray:
    """(n_layers, n_regions) -> the position of each region's best layer, (n_regions,) int."""
    return np.argmax(np.nan_to_num(scores, nan=-np.inf), axis=0)


def hierarchy_index(best: Sequence[int] | np.ndarray, stages: Sequence[int]) -> float:
    """Spearman's correlation of the best layer's position with the region's stage; NaN where either is the same everywhere.

    >>> hierarchy_index([0, 0, 1, 1], [1, 2, 3, 4]) > 0.8
    True
    """
    from scipy.stats import spearmanr

    return float(spearmanr(best, stages).statistic) if np.ptp(best) and np.ptp(stages) else float("nan")
