"""Rank layers by ROI score: scores and draws per ROI, bootstrap probability of being the best layer, and the best layer per vertex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.bootstrap import roi_intervals
from encoding.evaluation.resampling import interval
from encoding.fits.result import Result
from encoding.runtime.registry import unknown

if TYPE_CHECKING:
    import pandas as pd

LAYER_SCORES = ("r", "pooled_r", "normalised_r2")  # by which layers are ranked
BOTH = "both"  # in tables: the vertices of all hemispheres together


def roi_rows(result: Result) -> pd.DataFrame:
    """Tabulate a fit's mean r per ROI and hemisphere with its 95 % interval and noise-normalised score.

    Returns
    -------
    DataFrame
        Columns roi, hemi, n_vertices, r (mean over vertices), low and high (bootstrap interval), key; where the noise ceiling is known
        also ceiling_r (mean root of the ceiling) and normalised_r2 (mean r² over ceiling, without vertices whose ceiling is below
        :data:`~encoding.evaluation.scores.LEAST_CEILING`); of several folds pooled_r.
        In rows of :data:`BOTH` hemispheres each vertex counts once.
    """
    import pandas as pd

    hemis = result.plan.hemis
    measures: dict[str, dict[str, np.ndarray]] = {"r": {hemi: result.score(hemi) for hemi in hemis}}
    if result.plan.subject.ceiling is not None:
        measures["ceiling_r"] = {hemi: np.sqrt(result.ceiling(hemi)) for hemi in hemis}
        measures["normalised_r2"] = {hemi: result.score(hemi, "normalised_r2") for hemi in hemis}
    rows, df = [], int(roi_intervals(result)["df"])
    if result.has_pooled:
        measures["pooled_r"] = {hemi: result.pooled(hemi) for hemi in hemis}
    for hemi in (BOTH, *hemis) if len(hemis) > 1 else hemis:
        draws = roi_draws(result, hemi)
        low, high = interval(draws.mean(0), draws.std(0, ddof=1), df, scale="fisher")
        for number, roi in enumerate(result.selected_rois):
            columns = {each: result.columns(roi, each) for each in (hemis if hemi == BOTH else (hemi,))}
            row: dict[str, Any] = {"roi": roi, "hemi": hemi, "n_vertices": sum(map(len, columns.values()))}
            row |= {name: _mean(values, columns) for name, values in measures.items()}
            rows.append(row | {"low": low[number], "high": high[number], "key": result.key})
    return pd.DataFrame(rows)


def roi_draws(result: Result, hemi: str = BOTH) -> np.ndarray:
    """Bootstrap draws of the mean r of a fit's ROIs, (n_draws, n_rois); NaN for an empty ROI.

    For :data:`BOTH`, hemispheres are weighted by their number of vertices. The draws come from
    :func:`encoding.analysis.bootstrap.roi_intervals`.
    """
    intervals = roi_intervals(result)
    hemis = result.plan.hemis if hemi == BOTH else (hemi,)
    sizes = np.array([[len(result.columns(roi, each)) for roi in result.selected_rois] for each in hemis], float)  # (n_hemis, n_rois)
    draws = np.stack([np.where(size > 0, intervals[f"{each}_draws"], 0) for each, size in zip(hemis, sizes, strict=True)])
    with np.errstate(invalid="ignore"):
        return np.einsum("hdr,hr->dr", draws, sizes) / sizes.sum(0)


def _mean(values: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> float:
    some = np.concatenate([values[hemi][chosen] for hemi, chosen in columns.items()])
    some = some[np.isfinite(some)]
    return float(some.mean()) if len(some) else float("nan")


def win_shares(draws: np.ndarray) -> np.ndarray:
    """Bootstrap probability that each layer is the best: the share of draws in which it has the highest mean r.

    Parameters
    ----------
    draws : (n_layers, n_draws, n_rois), :meth:`SweepResult.draws`. Layers share each draw, so variation common to all of them cancels.

    Returns
    -------
    ndarray
        (n_layers, n_rois), summing to 1 over layers; tied layers share a draw. NaN for an empty ROI.
    """
    wins = (draws == draws.max(0)).astype(float)
    with np.errstate(invalid="ignore"):
        return (wins / wins.sum(0)).mean(1)


def best_layers(table: pd.DataFrame, shares: np.ndarray, *, score: str = "r") -> pd.DataFrame:
    """Find the best layer of each ROI that has a score.

    Parameters
    ----------
    table : rows of one hemisphere of :meth:`SweepResult.table`.
    shares : (n_layers, n_rois), :func:`win_shares` of the same hemisphere.
    score : one of :data:`LAYER_SCORES`. Shares refer to r for each of them.

    Returns
    -------
    DataFrame
        One row per ROI: roi, label, place (position of the layer in the table), the score, share, and second (the layer with the
        largest share among the others).
    """
    import pandas as pd

    layers, rois = list(dict.fromkeys(table["label"])), list(dict.fromkeys(table["roi"]))
    values = by_layer(table, score, layers, rois)
    rows = []
    for number, roi in enumerate(rois):
        if not np.isfinite(values[:, number]).any():
            continue
        place = int(np.nanargmax(values[:, number]))
        others = np.delete(np.arange(len(layers)), place)
        second = layers[others[np.argmax(shares[others, number])]] if len(others) else ""
        row = {"roi": roi, "label": layers[place], "place": place, score: values[place, number]}
        rows.append(row | {"share": shares[place, number], "second": second})
    return pd.DataFrame(rows, columns=["roi", "label", "place", score, "share", "second"])


def by_layer(table: pd.DataFrame, score: str, layers: Sequence[str], rois: Sequence[str]) -> np.ndarray:
    """Pivot one column of a table of one hemisphere to (n_layers, n_rois) float64; NaN where there is no row.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    if score not in table:
        why = " It needs a noise ceiling, which is not known here." if score == "normalised_r2" else ""
        raise ValueError(unknown("score", score, [name for name in LAYER_SCORES if name in table]) + why)
    return table.pivot(index="label", columns="roi", values=score).reindex(index=layers, columns=rois).to_numpy(float)


def best_per_vertex(results: Sequence[Result], hemi: str, *, least: float = 0.0) -> np.ndarray:
    """Find the fit that predicts each vertex best.

    Parameters
    ----------
    least : lowest r; vertices whose highest r is below it get NaN. See :func:`chance_bound`.

    Returns
    -------
    ndarray
        (n_vertices,) float64, index into ``results``; NaN where the highest r is below ``least`` or undefined.
    """
    r = np.stack([result.score(hemi) for result in results])
    r = np.where(np.isfinite(r), r, -np.inf)
    highest = r.max(0)
    return np.where(np.isfinite(highest) & (highest >= least), r.argmax(0), np.nan)


def chance_bound(n_test: int, n_layers: int = 1, *, n_folds: int = 1, p: float = 0.05) -> float:
    """Critical r: under the null hypothesis the best of ``n_layers`` exceeds it in at most a share ``p`` of vertices.

    From Student's t, one-sided, at p / n_layers (Bonferroni, since the maximum of several is taken).

    Parameters
    ----------
    n_test : number of different test stimuli over all folds.
    n_layers : number of layers compared.
    n_folds : number of folds that r is averaged over. Each fold costs a degree of freedom, and without signal the mean has twice the
        variance of independent folds (:func:`encoding.evaluation.resampling.shared_noise`).
    p : significance level, 0 to 1.

    Examples
    --------
    >>> round(chance_bound(100), 3), round(chance_bound(100, n_folds=5), 3)
    (0.165, 0.241)
    """
    from scipy.stats import t

    df = n_test - 2 * n_folds
    if df < 1:
        return 1.0
    bound = t.isf(p / n_layers, df)
    if n_folds > 1:
        return float(min(1.0, bound * np.sqrt(2 / (n_test - n_folds))))
    return float(bound / np.sqrt(df + bound**2))


def count_per_layer(best: np.ndarray, n_layers: int) -> np.ndarray:
    """Count the vertices that each layer predicts best, (n_layers,) int, from :func:`best_per_vertex`; NaN is not counted."""
    return np.bincount(best[np.isfinite(best)].astype(int), minlength=n_layers)
