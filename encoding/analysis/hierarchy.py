"""Hierarchy index: rank correlation between best layers and cortical stages, with a published table for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.datasets._rois import ROI_CLASSES
from encoding.evaluation.scores import pearson

if TYPE_CHECKING:
    import pandas as pd

CATEGORY_AREAS = tuple(roi for kind, rois in ROI_CLASSES.items() if kind.startswith("floc-") for roi in rois)

CORTICAL_STAGES: Mapping[str, int] = {"V1": 1, "V2": 2, "V3": 3, "hV4": 4, "V4": 4} | dict.fromkeys(
    (*CATEGORY_AREAS, "FFA", "LOC", "STS"), 5
)
"""ROI to its stage along the visual hierarchy.

V1 to V4 are in the order in which anatomy connects them (Felleman & Van Essen 1991, Distributed hierarchical processing in the primate
cerebral cortex). Areas selective for categories lie beyond V4 on the ventral and lateral surface (Grill-Spector & Weiner 2014, The
functional architecture of the ventral temporal cortex and its role in categorization); no order among them is agreed, so they share
one stage. Streams, and "all", span stages and have none.
"""

N_LEAST = 3  # ROIs with a stage; two points always agree or disagree

PUBLISHED_LAYERS = ("features.1", "features.4", "features.7", "features.9", "features.12")
PUBLISHED_ROIS = ("V1v", "hV4", "EBA", "FFA-1", "PPA", "RSC", "early", "ventral", "all")
PUBLISHED = (
    (0.539, 0.316, 0.150, 0.203, 0.260, 0.354, 0.425, 0.204, 0.238),
    (0.670, 0.423, 0.292, 0.348, 0.409, 0.523, 0.554, 0.332, 0.367),
    (0.613, 0.493, 0.398, 0.472, 0.493, 0.601, 0.569, 0.423, 0.450),
    (0.525, 0.497, 0.443, 0.527, 0.551, 0.643, 0.520, 0.477, 0.474),
    (0.379, 0.469, 0.470, 0.568, 0.561, 0.633, 0.405, 0.500, 0.454),
)
PUBLISHED_ORIGIN = (
    "Published for Algonauts 2023 subj01: AlexNet trained on ImageNet, 2,048 principal components, ridge; the median over vertices of "
    "noise-normalised r² (not r) on the tenth of the images that the challenge's kit sets aside. No intervals were published."
)


def stage(roi: str) -> int | None:
    """Cortical stage of an ROI, 1 (V1) to 5; None for an ROI without one.

    >>> stage("V2d"), stage("FFA-1"), stage("ventral")
    (2, 5, None)
    """
    return CORTICAL_STAGES.get(roi) or (CORTICAL_STAGES.get(roi[:-1]) if roi[-1:] in ("v", "d") else None)


@dataclass(frozen=True)
class Hierarchy:
    """Rank correlation between the position of the best layer and the cortical stage of each ROI.

    Attributes
    ----------
    rois : (n_rois,) names of the ROIs that have a stage and a score.
    stages : (n_rois,) int, 1 to 5.
    depths : (n_rois,) int, position of the best layer, 0 for the first.
    index : Spearman's rho of ``depths`` and ``stages``, -1 to 1; NaN where undefined: fewer than three ROIs, a single stage, or one
        layer that is best everywhere.
    low, high : ends of its 95 % interval over bootstrap draws of test stimuli in which it is defined.
    defined : share of draws in which it is defined, 0 to 1.
    """

    rois: tuple[str, ...]
    stages: np.ndarray
    depths: np.ndarray
    index: float
    low: float = float("nan")
    high: float = float("nan")
    defined: float = float("nan")


def hierarchy(means: np.ndarray, rois: Sequence[str], draws: np.ndarray | None = None) -> Hierarchy:
    """Compute the hierarchy index of the layers of one network (Spearman's rank correlation, ties get their mean rank).

    Parameters
    ----------
    means : (n_layers, n_rois) scores, early layers first; NaN for an ROI without one.
    rois : (n_rois,) names; those without a stage are left out.
    draws : (n_layers, n_draws, n_rois) bootstrap draws of ``means``, for the interval. It covers the sampling of test stimuli, not of
        ROIs or subjects.
    """
    staged = [number for number, roi in enumerate(rois) if stage(roi) and np.isfinite(means[:, number]).all()]
    stages = np.array([stage(rois[number]) for number in staged], float)
    depths = means[:, staged].argmax(0)
    index = float(_rank_correlations(stages, depths[None])[0])
    result = Hierarchy(tuple(rois[number] for number in staged), stages, depths, index)
    if draws is None or not staged:
        return result
    drawn = _rank_correlations(stages, draws[:, :, staged].argmax(0))
    finite = drawn[np.isfinite(drawn)]
    low, high = np.percentile(finite, [2.5, 97.5]) if len(finite) else (np.nan, np.nan)
    return Hierarchy(result.rois, stages, depths, index, float(low), float(high), len(finite) / len(drawn))


def _rank_correlations(stages: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """Spearman's correlation of stages (n_rois,) with each row of depths (n, n_rois). -> (n,), NaN where undefined."""
    from scipy.stats import rankdata

    if len(stages) < N_LEAST or np.ptp(stages) == 0:
        return np.full(len(depths), np.nan)
    return pearson(rankdata(stages)[None], rankdata(depths, axis=1), axis=1)  # scipy's spearmanr takes one pair of samples at a time


def published() -> pd.DataFrame:
    """Read the published table for AlexNet: columns label, roi, normalised_r2, one row per layer and ROI. See :data:`PUBLISHED_ORIGIN`."""
    import pandas as pd

    rows = [
        {"label": layer, "roi": roi, "normalised_r2": PUBLISHED[i][j]}
        for i, layer in enumerate(PUBLISHED_LAYERS)
        for j, roi in enumerate(PUBLISHED_ROIS)
    ]
    return pd.DataFrame(rows)


def published_hierarchy() -> Hierarchy:
    """Hierarchy index of the published table, without interval."""
    return hierarchy(np.array(PUBLISHED), PUBLISHED_ROIS)


def published_best() -> pd.DataFrame:
    """The best layer of each ROI in the published table, as :func:`~encoding.analysis.layer_sweep.best_layers`; without probabilities."""
    table = published()
    best = table.loc[table.groupby("roi", sort=False)["normalised_r2"].idxmax()]
    return best.assign(share=float("nan"))
