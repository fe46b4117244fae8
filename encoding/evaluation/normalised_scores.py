"""Scores relative to the noise ceiling, computed from r, and their mean over ROIs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from encoding.evaluation.scores import LEAST_CEILING

UNDEFINED_CEILING = 1e-14  # the challenge's own stand-in for a noise ceiling of 0


def normalised_r2(r: np.ndarray, ceiling: np.ndarray, *, least: float = 0.0) -> np.ndarray:
    """Share of the explainable variance that is explained, r² / ceiling, in 0 … 1; negative r counts as 0.

    Parameters
    ----------
    ceiling : noise ceiling, the explainable share of variance, 0 … 1.
    least : vertices with a lower ceiling, or one of 0, are left out (NaN).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.clip(np.maximum(r, 0) ** 2 / ceiling, 0, 1)
    return np.where((ceiling > 0) & (ceiling >= least), value, np.nan)


def normalised_r(r: np.ndarray, ceiling: np.ndarray, *, least: float = 0.0) -> np.ndarray:
    """r over the highest r that noise leaves possible, ``r / sqrt(ceiling)``: 1 is as good as noise allows.

    The noise-normalised score of the Algonauts 2021 challenge, which averages it over the voxels of each ROI, then over ROIs
    (:func:`mean_of_roi_means`). Nothing is clipped: r below 0 stays so, and a voxel whose ceiling was estimated too low may exceed 1.

    Parameters
    ----------
    r : (n_voxels,) Pearson correlation.
    ceiling : (n_voxels,) in 0 … 1, the reliability of the responses (:func:`encoding.evaluation.noise_ceiling.from_repeats`).
    least : voxels with a lower ceiling, or one of 0, are left out (NaN). Without such a bound a few voxels of hardly any
        ceiling decide the mean.

    Returns
    -------
    (n_voxels,) float64.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value = r / np.sqrt(ceiling)
    return np.where((ceiling > 0) & (ceiling >= least), value, np.nan)


def algonauts2023_score(r: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    """Score of the Algonauts 2023 challenge per vertex, in percent; its mean over all vertices ranks a submission.

    Parameters
    ----------
    r, ceiling : Pearson's r and noise ceilings as fractions, of one shape.

    Notes
    -----
    ``100 * min(max(r, 0)**2 / ceiling, 1)``, where a ceiling of 0 is replaced by 1e-14. A vertex without a ceiling therefore scores 100
    as soon as r > 0: :func:`normalised_r2` leaves such vertices out. One whose response is constant, so that r is NaN, scores 0.
    """
    squared = np.maximum(np.nan_to_num(r), 0) ** 2
    return 100 * np.minimum(squared / np.where(ceiling == 0, UNDEFINED_CEILING, ceiling), 1)


def has_model(r: np.ndarray, rmse: np.ndarray | None) -> np.ndarray:
    """Whether vertices were fitted, (n_vertices,) bool: their errors are known, also where r is NaN since the response is constant.

    Parameters
    ----------
    r, rmse : (n_vertices,) stored scores, NaN where nothing was fitted or tested; ``rmse`` None where a fit was stored without it.
    """
    return np.isfinite(r if rmse is None else rmse)


def from_r(name: str, r: np.ndarray, ceiling: np.ndarray, *, least: float = LEAST_CEILING, fitted: np.ndarray | None = None) -> np.ndarray:
    """Compute a score that needs a noise ceiling from r.

    Parameters
    ----------
    name : one of the scores that are normalised by a noise ceiling.
    r : (…, n_vertices)
    ceiling : (n_vertices,), fractions.
    least : the lowest ceiling at which a vertex has a score; the challenge's own score ignores it.
    fitted : (n_vertices,) bool, :func:`has_model`; the others are left out (NaN). None: all are.

    Returns
    -------
    (…, n_vertices)
    """
    if name == "algonauts2023":
        score = algonauts2023_score(r, ceiling)
        return score if fitted is None else np.where(fitted, score, np.nan)
    return {"normalised_r2": normalised_r2, "normalised_r": normalised_r}[name](r, ceiling, least=least)


def mean_of_roi_means(values: np.ndarray, rois: Mapping[str, np.ndarray]) -> float:
    """The mean over ROIs of each ROI's mean, so that small ROIs count as much as large ones.

    Parameters
    ----------
    values : (n_voxels,), NaN where a voxel is left out.
    rois : name to columns. ROIs without a value are left out; NaN where none has one.
    """
    finite = [values[columns][np.isfinite(values[columns])] for columns in rois.values()]
    means = [roi.mean() for roi in finite if len(roi)]
    return float(np.mean(means)) if means else float("nan")
