"""Heatmap of several fits of one subject: a row per fit, a column per ROI, over all hemispheres together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding import plots
from encoding.analysis.bootstrap import intervals_of
from encoding.analysis.comparison import why_unpaired
from encoding.analysis.layer_ranking import BOTH, best_layers, has_draws, roi_draws, roi_rows, win_shares
from encoding.evaluation.scores import SCORES
from encoding.fits.result import Result
from encoding.fits.score_tables import EVERY_VERTEX, ScoreTables
from encoding.runs.labels import labelled_classes, part_label
from encoding.sites.fit_data import drawn

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("r", "pooled_r", "normalised_r2", "r2")  # scores of a heatmap, where all fits have them


def heatmap_rows(results: Sequence[ScoreTables], labels: Sequence[str]) -> pd.DataFrame:
    """Tabulate the ROI scores of several fits over all of their hemispheres together.

    Returns
    -------
    DataFrame
        A row per fit and ROI: ``label``, ``key``, ``roi``, ``n_vertices``, each score of :data:`SHOWN` (mean over vertices), ``low`` and
        ``high`` of the mean r where intervals are stored, and ``ceiling_r`` where noise ceilings are known.
    """
    import pandas as pd

    parts = [_rows(result).assign(label=label, key=result.key) for result, label in zip(results, labels, strict=True)]
    return pd.concat(parts, ignore_index=True)


def _rows(result: ScoreTables) -> pd.DataFrame:
    import pandas as pd

    hemis = result.plan.hemis
    if isinstance(result, Result) and intervals_of(result) is not None:
        rows = roi_rows(result)
        rows = rows[rows["hemi"] == (BOTH if len(hemis) > 1 else hemis[0])]
        return rows[[name for name in ("roi", "n_vertices", *SHOWN, "low", "high", "ceiling_r") if name in rows]]
    rows = []
    for roi in result.selected_rois:
        columns = {hemi: result.columns(roi, hemi) for hemi in hemis}
        row: dict[str, Any] = {"roi": roi, "n_vertices": sum(map(len, columns.values()))}
        for score in SHOWN:
            if score in result.score_names:
                row[score] = _mean([result.score(hemi, score)[chosen] for hemi, chosen in columns.items()])
        if result.plan.subject.ceiling is not None:
            row["ceiling_r"] = _mean([np.sqrt(result.ceiling(hemi)[chosen]) for hemi, chosen in columns.items()])
        rows.append(row)
    return pd.DataFrame(rows)


def _mean(parts: Sequence[np.ndarray]) -> float:
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def heatmap_data(results: Sequence[ScoreTables], labels: Sequence[str]) -> dict[str, Any]:
    """Collect what a heatmap page draws, JSON-serialisable.

    Returns
    -------
    dict
        ``scores``: key to short name. ``heatmaps``: score to figure, with stars on the best fit of each ROI of which all fits predict the
        same vertices. ``rows``: every label, and ``headline``, how many of these ROIs each fit wins by mean r. ``where``: what the means
        are over.
    """
    table, subject = heatmap_rows(results, labels), results[0].plan.subject
    table, hemis = table[table["n_vertices"] > 0], results[0].plan.hemis
    scores = [score for score in SHOWN if all(score in result.score_names for result in results)]
    heatmaps, wins = {}, {}
    for score in scores:
        shares = _shares(results, score)
        best = best_layers(table, shares, score=score)
        best = best[best["roi"].isin(_same_vertices(results, score))]
        heatmaps[score] = drawn(
            plots.layer_heatmap(
                table, score=score, layers=list(labels), best=best, classes=labelled_classes(subject), unit=subject.unit, narrow=True
            )
        )
        if score == "r":
            wins = best[best["roi"] != EVERY_VERTEX]["label"].value_counts().to_dict()
    n = sum(wins.values())
    of = f"region{'s' if n > 1 else ''}{'' if n == len(set(table['roi']) - {EVERY_VERTEX}) else ' that all predict'}"
    headline = f"By mean r, {', '.join(f'{label} is best in {count} of {n} {of}' for label, count in list(wins.items())[:3])}."
    return {
        "scores": {score: {"short": SCORES[score].short} for score in scores},
        "heatmaps": heatmaps,
        "rows": list(labels),
        "headline": headline if n else "",
        "where": f"{subject.unit.many} of {part_label(hemis[0] if len(hemis) == 1 else BOTH, hemis)}",
    }


def _same_vertices(results: Sequence[ScoreTables], score: str) -> list[str]:
    """ROIs of which all fits have this score for the same vertices, and for one at least."""

    def known(result: ScoreTables, roi: str) -> list[list[int]]:
        columns = [(hemi, result.columns(roi, hemi)) for hemi in result.plan.hemis]
        return [some[np.isfinite(result.score(hemi, score)[some])].tolist() for hemi, some in columns]

    first, *others = results
    rois = [roi for roi in first.selected_rois if all(roi in other.selected_rois for other in others)]
    return [roi for roi in rois if any(there := known(first, roi)) and all(known(other, roi) == there for other in others)]


def _shares(results: Sequence[ScoreTables], score: str) -> np.ndarray | None:
    """Bootstrap probability that each fit is best by a mean score, (n_fits, n_rois with vertices); None without paired draws."""
    first = results[0]
    if not all(isinstance(result, Result) and intervals_of(result) is not None and has_draws(result, score) for result in results):
        return None
    if any(result.selected_rois != first.selected_rois or why_unpaired(first, result) for result in results[1:]):
        return None
    there = [sum(len(first.columns(roi, hemi)) for hemi in first.plan.hemis) > 0 for roi in first.selected_rois]
    draws = np.stack([roi_draws(result, score=score) for result in results])[:, :, np.array(there)]
    return win_shares(draws, lower_is_better=SCORES[score].lower_is_better)
