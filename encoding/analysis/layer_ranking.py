"""Rank layers by ROI score: scores and draws per ROI, bootstrap probability of being the best layer, and the best layer per vertex."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.bootstrap import drawn_scores, draws_name, intervals_of, roi_intervals, score_intervals
from encoding.analysis.summaries import highest_possible
from encoding.evaluation.resampling import SCALES, interval
from encoding.evaluation.scores import SCORES, Score
from encoding.fits.result import Result
from encoding.fits.score_tables import BOTH, EVERY_VERTEX
from encoding.runtime.registry import unknown

if TYPE_CHECKING:
    import pandas as pd

SURE = 0.95  # share of draws from which the best layer of a region is certain
MOST_NAMED = 4  # uncertain regions that a sentence names, those of the smallest share first


def roi_rows(result: Result) -> pd.DataFrame:
    """Tabulate every score of a fit per ROI and hemisphere, with 95 % intervals of means where they are stored.

    Returns
    -------
    DataFrame
        Columns roi, hemi, n_vertices; of each score of the fit the mean over vertices (its key), where it is defined the median
        (``<key>_median``), and the best (``<key>_best``, of an error the lowest); low and high, the bootstrap interval of the mean r, and
        ``<key>_low`` and ``<key>_high`` of other means; key.
        Where the noise ceiling is known also ceiling_r (mean root of the ceiling) and ceiling_r2 (mean ceiling). Normalised scores
        leave out vertices whose ceiling is below :data:`~encoding.evaluation.scores.LEAST_CEILING`. In rows of :data:`BOTH` hemispheres
        each vertex counts once, and only the scores whose draws are stored have intervals
        (:func:`encoding.analysis.bootstrap.drawn_scores`).
    """
    import pandas as pd

    hemis, intervals = result.plan.hemis, intervals_of(result) or {}
    measures = {name: {hemi: result.score(hemi, name) for hemi in hemis} for name in result.score_names}
    ceilings = {SCORES[name].ceiling_column: most for name in ("r", "r2") if (most := highest_possible(result, name)) is not None}
    rows, drawn = [], drawn_scores(intervals, hemis)
    for hemi in (BOTH, *hemis) if len(hemis) > 1 else hemis:
        ends = {}
        for name in result.score_names:
            if name in drawn and (hemi == BOTH or SCALES.get(name) == "fisher"):
                ends[name] = interval_of_draws(roi_draws(result, hemi, name), name, int(intervals["df"]))
            elif hemi != BOTH and (found := score_intervals(intervals, hemi, name)) is not None:
                ends[name] = found
        for number, roi in enumerate(result.selected_rois):
            columns = {each: result.columns(roi, each) for each in (hemis if hemi == BOTH else (hemi,))}
            row: dict[str, Any] = {"roi": roi, "hemi": hemi, "n_vertices": sum(map(len, columns.values()))}
            for name, values in measures.items():
                row[name] = _over(np.mean, values, columns)
                if SCORES[name].has_median:
                    row[f"{name}_median"] = _over(np.median, values, columns)
                row[f"{name}_best"] = _over(np.min if SCORES[name].lower_is_better else np.max, values, columns)
                low, high = ends.get(name, (np.full(number + 1, np.nan),) * 2)
                row |= {column: float(end[number]) for column, end in zip(interval_columns(name), (low, high), strict=True)}
            row |= {column: _over(np.mean, most, columns) for column, most in ceilings.items()}
            rows.append(row | {"key": result.key})
    return pd.DataFrame(rows)


def interval_of_draws(draws: np.ndarray, score: str, df: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends (n_rois,) of the 95 % interval of a score with these draws (n_draws, n_rois), which have its standard error."""
    low, high = interval(draws.mean(0), draws.std(0, ddof=1), df, scale=SCALES.get(score, ""))
    top = SCORES[score].ceiling_level if SCALES.get(score) == "root" else None
    return low, high if top is None else np.minimum(high, top)


def interval_columns(score: str) -> tuple[str, str]:
    """Names of the columns of :func:`roi_rows` that hold the ends of a mean score's interval."""
    return ("low", "high") if score == "r" else (f"{score}_low", f"{score}_high")


def layer_column(score: str, statistic: str = "mean") -> str:
    """Name of the column of :func:`roi_rows` that holds the mean, median or best of a score."""
    return score if statistic == "mean" else f"{score}_{statistic}"


def score_of_column(column: str) -> Score:
    """The score whose mean, median or best a column of :func:`roi_rows` holds."""
    return SCORES[_score_key(column)]


def _score_key(column: str) -> str:
    return column.removesuffix("_median").removesuffix("_best")


def roi_draws(result: Result, hemi: str = BOTH, score: str = "r") -> np.ndarray:
    """Bootstrap draws of a mean score of a fit's ROIs, (n_draws, n_rois); NaN for an empty ROI.

    For :data:`BOTH`, hemispheres are weighted by their number of vertices that have the score. The draws come from
    :func:`encoding.analysis.bootstrap.roi_intervals`; KeyError where an entry of an earlier release has none of the score.
    """
    intervals = roi_intervals(result)
    hemis = result.plan.hemis if hemi == BOTH else (hemi,)
    known = {each: np.isfinite(result.score(each, score)) for each in hemis}
    sizes = np.array([[known[each][result.columns(roi, each)].sum() for roi in result.selected_rois] for each in hemis], float)
    drawn = [np.where(size > 0, intervals[draws_name(each, score)], 0) for each, size in zip(hemis, sizes, strict=True)]
    with np.errstate(invalid="ignore"):
        return np.einsum("hdr,hr->dr", np.stack(drawn), sizes) / sizes.sum(0)


def has_draws(result: Result, score: str) -> bool:
    """Whether draws of a score are stored for :func:`roi_draws`: none without interval, of earlier releases those of r and pooled r."""
    return score in drawn_scores(intervals_of(result) or {}, result.plan.hemis)


def _over(statistic: Callable[[np.ndarray], Any], values: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> float:
    """The statistic over the finite values of some columns of each hemisphere; NaN where there is none."""
    some = np.concatenate([values[hemi][chosen] for hemi, chosen in columns.items()])
    some = some[np.isfinite(some)]
    return float(statistic(some)) if len(some) else float("nan")


def win_shares(draws: np.ndarray, *, lower_is_better: bool = False) -> np.ndarray:
    """Bootstrap probability that each layer is the best: the share of draws in which its mean score is the highest, or the lowest.

    Parameters
    ----------
    draws : (n_layers, n_draws, n_rois), :meth:`SweepResult.draws`. Layers share each draw, so variation common to all of them cancels.

    Returns
    -------
    ndarray
        (n_layers, n_rois), summing to 1 over layers; tied layers share a draw. NaN for an empty ROI.
    """
    wins = (draws == (draws.min(0) if lower_is_better else draws.max(0))).astype(float)
    with np.errstate(invalid="ignore"):
        return (wins / wins.sum(0)).mean(1)


def best_layers(table: pd.DataFrame, shares: np.ndarray | None, *, score: str = "r") -> pd.DataFrame:
    """Find the best layer of each ROI that has a score: the highest, or of an error the lowest.

    Parameters
    ----------
    table : rows of one hemisphere of :meth:`SweepResult.table`.
    shares : (n_layers, n_rois), :func:`win_shares` of the same hemisphere and score; None where no draws of the score are stored.
    score : a column of the table, such as ``rmse`` or ``r_median`` (:func:`layer_column`).

    Returns
    -------
    DataFrame
        One row per ROI: roi, label, place (position of the layer in the table), the score, share, and second (the layer with the
        largest share among the others). Without shares, share is NaN and second the layer with the next best score.
    """
    import pandas as pd

    layers, rois = list(dict.fromkeys(table["label"])), list(dict.fromkeys(table["roi"]))
    values, sign = by_layer(table, score, layers, rois), -1 if score_of_column(score).lower_is_better else 1
    rows = []
    for number, roi in enumerate(rois):
        if not np.isfinite(values[:, number]).any():
            continue
        merit = np.where(np.isfinite(values[:, number]), sign * values[:, number], -np.inf)
        place = int(merit.argmax())
        others = np.delete(np.arange(len(layers)), place)
        by = merit if shares is None else shares[:, number]
        second = layers[others[np.argmax(by[others])]] if len(others) else ""
        share = np.nan if shares is None else shares[place, number]
        rows.append({"roi": roi, "label": layers[place], "place": place, score: values[place, number], "share": share, "second": second})
    return pd.DataFrame(rows, columns=["roi", "label", "place", score, "share", "second"])


def headline(best: pd.DataFrame) -> str:
    """Say in a sentence which layer is the best of most regions, and where that is not certain.

    Parameters
    ----------
    best : :func:`best_layers`; the row of all vertices is left out where there are others.

    Examples
    --------
    >>> import pandas as pd
    >>> best = pd.DataFrame({"roi": ["V1v", "V2v", "OPA"], "label": ["energy", "energy", "rgb"], "share": [1, 0.98, 0.69]})
    >>> headline(best)
    'energy wins in 2 of 3 regions, rgb in 1; in OPA the lead is not certain (69 %).'
    """
    regions = best[best["roi"] != EVERY_VERTEX]
    regions = regions if len(regions) else best
    counts = regions["label"].value_counts()
    first, *others = [f"{name} wins in {n}" if place == 0 else f"{name} in {n}" for place, (name, n) in enumerate(counts.items())]
    text = f"{first} of {len(regions)} region{'s' if len(regions) > 1 else ''}"
    text += "".join(f", {other}" for other in others[:2]) + (f", others in {counts.iloc[3:].sum()}" if len(others) > 2 else "")
    if regions["share"].isna().all():
        return f"{text}."
    doubtful = regions[regions["share"] < SURE].sort_values("share", kind="stable")
    if not len(doubtful):
        return f"{text}; every lead is certain ({SURE:.0%} of draws or more).".replace("%", " %")
    named = [f"{row.roi} ({row.share:.0%})".replace("%", " %") for row in doubtful.head(MOST_NAMED).itertuples()]
    if len(doubtful) == 1:
        return f"{text}; in {named[0].replace(' (', ' the lead is not certain (')}."
    more = f" and {len(doubtful) - MOST_NAMED} more" if len(doubtful) > MOST_NAMED else ""
    return f"{text}; the lead is not certain in {', '.join(named)}{more}."


def mean_over_rois(table: pd.DataFrame, column: str, *, left_out: Sequence[str] = (EVERY_VERTEX,)) -> pd.Series:
    """Mean over ROIs of each layer's ROI scores, so that small ROIs count as much as large ones, by label and in the table's order.

    Parameters
    ----------
    table : rows of one hemisphere of :meth:`SweepResult.table`.
    column : :func:`layer_column`.
    left_out : rows that are no ROI. Of ROIs without a score nothing counts.
    """
    return table[~table["roi"].isin(left_out)].groupby("label", sort=False)[column].mean()


def by_layer(table: pd.DataFrame, score: str, layers: Sequence[str], rois: Sequence[str]) -> np.ndarray:
    """Pivot one column of a table of one hemisphere to (n_layers, n_rois) float64; NaN where there is no row.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    if score not in table:
        known = SCORES.get(_score_key(score))
        why = ""
        if known is not None and known.needs_ceiling:
            why = " It needs a noise ceiling, which is not known here."
        elif known is not None and not known.has_median and score.endswith("_median"):
            why = f" The {known.title} of an ROI is defined as a mean."
        raise ValueError(unknown("score", score, [name for name in SCORES if name in table]) + why)
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
    n_test : number of different test stimuli over all folds; with no degree of freedom left the bound is NaN.
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
        return float("nan")
    bound = t.isf(p / n_layers, df)
    if n_folds > 1:
        return float(min(1.0, bound * np.sqrt(2 / (n_test - n_folds))))
    return float(bound / np.sqrt(df + bound**2))


def count_per_layer(best: np.ndarray, n_layers: int) -> np.ndarray:
    """Count the vertices that each layer predicts best, (n_layers,) int, from :func:`best_per_vertex`; NaN is not counted."""
    return np.bincount(best[np.isfinite(best)].astype(int), minlength=n_layers)
