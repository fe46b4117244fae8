"""What the page of one fit draws: a brain and bars per score, predictions per ROI, and other charts."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding import plots
from encoding.analysis.bootstrap import interval_text, intervals_of, score_intervals
from encoding.analysis.summaries import best_roi, mean_prediction
from encoding.datasets._placement import Placement
from encoding.evaluation.scores import SCORES
from encoding.fits.result import Result
from encoding.fits.score_tables import EVERY_VERTEX, ScoreTables
from encoding.plots.brain.score_maps import score_brain
from encoding.plots.observed import best_line, limits
from encoding.runs.labels import labelled_classes
from encoding.runs.report import fit_charts

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from numpy.typing import ArrayLike

MOST_POINTS = 1_000  # test stimuli drawn of each region
N_DECIMALS = 4  # of responses in a file
TITLE_LINE = 20  # px


def fit_data(result: ScoreTables) -> dict[str, Any]:
    """Collect what the page of a fit draws, JSON-serialisable.

    Returns
    -------
    dict
        ``scores``: key to short name, definition and the sentence on its intervals. ``bars``: score to figure. ``brains``: score to the
        base64 of :meth:`~encoding.plots.brain.brain_map.BrainMap.to_bytes`; empty where places are unknown. ``rois``: those that have
        predicted vertices. ``best``: the ROI of the highest mean r. ``only``: hemisphere and fsaverage index of the vertex, where the fit
        predicts a single one, else None. ``predictions``: as :func:`_predictions`, or None. ``charts``: other figures.
    """
    table, bounds, classes = result.rois(), intervals_of(result), labelled_classes(result.plan.subject)
    unit, source = result.plan.subject.unit, plots.caption(result.provenance, result.plan.spec, tested=result.counted("test"))
    bars, about, brains = {}, {}, {}
    for score in result.score_names:
        ends = {hemi: None if bounds is None else score_intervals(bounds, hemi, score) for hemi in result.plan.hemis}
        known = all(each is not None for each in ends.values())
        figure = plots.roi_bars(table, score=score, intervals=ends if known else None, classes=classes, unit=unit, horizontal=True)
        bars[score] = drawn(plots.add_source(figure, source))
        definition = unit.fill(SCORES[score].definition)
        about[score] = {"short": SCORES[score].short, "about": f"{definition} {interval_text(result, score, available=known)}"}
        if (brain := score_brain(result, score)) is not None:
            brains[score] = base64.b64encode(brain.to_bytes(height=420)).decode()
    rois = [roi for roi in dict.fromkeys(table["roi"]) if (table.loc[table["roi"] == roi, "n_vertices"] > 0).any()]
    charts = [
        {"title": title, "caption": caption.strip(), "figure": drawn(plots.add_source(figure, source))}
        for title, caption, figure in fit_charts(result, classes, "")[1:]
    ]
    best = best_roi(table)
    return {
        "scores": about,
        "bars": bars,
        "brains": brains,
        "rois": rois,
        "best": best,
        "only": _only_vertex(result),
        "unit": unit.one,
        "predictions": _predictions(result, [roi for roi in rois if roi != EVERY_VERTEX] or rois, source),
        "charts": charts,
    }


def _only_vertex(result: ScoreTables) -> dict[str, Any] | None:
    """The one vertex that a fit predicts, which is too small to be found on a brain."""
    found = [(hemi, column) for hemi in result.plan.hemis for column in result.predicted_columns(EVERY_VERTEX, hemi)]
    placement = Placement.of(result.plan.subject)
    place = placement.place(found[0]) if placement is not None and len(found) == 1 else None
    return None if place is None else {"hemi": place[0], "vertex": int(placement.vertices[place[0]][place[1]])}


def drawn(figure: go.Figure) -> dict[str, Any]:
    """Traces and layout of a figure, JSON-serialisable."""
    return {name: part for name, part in json.loads(figure.to_json()).items() if name in ("data", "layout")}


def _predictions(result: ScoreTables, rois: list[str], source: str) -> dict[str, Any] | None:
    """Predicted against measured responses, averaged over each region; None where the fit's models or its data are not here.

    Returns
    -------
    dict
        ``figure`` of the first region, ``names`` of the stimuli that are drawn, ``n`` of all, and ``rois``: region to what its figure
        has in place of that: per trace x, y and name, and the layout's title and range.
    """
    if not (isinstance(result, Result) and result.is_complete() and result.n_test):
        return None
    rows = result.test_rows()
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_POINTS)).round().astype(int))
    stimuli, found, figure = result.plan.subject.stimuli, {}, None
    for roi in rois:
        columns = {hemi: result.columns(roi, hemi) for hemi in result.plan.hemis}
        columns = {hemi: chosen[np.isfinite(result.score(hemi)[chosen])] for hemi, chosen in columns.items()}
        if not any(map(len, columns.values())):
            continue
        means = mean_prediction(result, {hemi: chosen for hemi, chosen in columns.items() if len(chosen)})
        measured, predicted = means.measured[some], means.predicted[some]
        own = f"mean of the {result.plan.subject.unit.many}' own r {means.mean_r:z.2f}"
        found[roi] = _changes(measured, predicted) | {"title": f"Responses averaged over {roi}: r = {means.r:z.2f}<br>({own})"}
        if figure is None or len(figure.data) < len(found[roi]["traces"]):
            figure = plots.observed_predicted(measured, predicted, [""] * len(some), title=roi, r=means.r, counted=result.row_word("test"))
    if figure is None:
        return None
    figure.update_layout(margin_t=figure.layout.margin.t + TITLE_LINE, title={"y": 0.99, "yanchor": "top"})
    first = drawn(plots.add_source(figure, source))
    for trace in first["data"]:
        trace.pop("hovertext", None)
    return {"figure": first, "names": [stimuli.names[rows[place]] for place in some], "n": len(rows), "rois": found}


def _changes(measured: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """What the figures of two regions differ in: data and names of :func:`encoding.plots.observed_predicted`'s traces, and range."""
    ends = limits(measured, predicted)
    traces = [_trace(ends, ends, "Perfect prediction"), _trace(predicted, measured, "Test image")]
    if (line := best_line(predicted, measured)) is not None:
        slope, intercept = line
        x = np.array([np.nanmin(predicted), np.nanmax(predicted)])
        traces.append(_trace(x, intercept + slope * x, f"Best line, slope {slope:z.2f}"))
    return {"traces": traces, "range": list(ends)}


def _trace(x: ArrayLike, y: ArrayLike, name: str) -> dict[str, Any]:
    return {
        "x": np.round(np.asarray(x, float), N_DECIMALS).tolist(),
        "y": np.round(np.asarray(y, float), N_DECIMALS).tolist(),
        "name": name,
    }
