"""Histogram of a score over vertices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from encoding.datasets._unit import VERTEX, Unit
from encoding.plots.look import CEILING, LINE, SMALL, hemi_colour, hemi_name, theme, translucent

if TYPE_CHECKING:
    import plotly.graph_objects as go

N_BINS = 50


def score_histogram(
    values: Mapping[str, np.ndarray],
    *,
    selected: float | None = None,
    ceiling: Mapping[str, np.ndarray] | None = None,
    label: str = "Pearson correlation r",
    unit: Unit = VERTEX,
) -> go.Figure:
    """Histogram of a score over the vertices of each hemisphere, in percent, with medians.

    Parameters
    ----------
    values : hemisphere to (n_vertices,) scores. NaN (no score) is not counted.
    selected : score of the selected vertex, marked by a line.
    ceiling : hemisphere to (n_vertices,) highest r that noise allows (the root of the noise ceiling), drawn as an
        outline over all hemispheres together, of those with a score.
    label : title of the x axis.
    unit : what a column of the responses is called.

    Notes
    -----
    All hemispheres share their bins. Percentages refer to a hemisphere's own scored vertices, so that hemispheres of unequal size are
    comparable; counts are on hover.
    """
    import plotly.graph_objects as go

    scored = {hemi: _finite(scores) for hemi, scores in values.items()}
    highest = [np.ravel(each)[np.isfinite(values[hemi])] for hemi, each in (ceiling or {}).items()]
    highest = _finite(np.concatenate([*highest, np.zeros(0)]))
    edges = _edges(np.concatenate([*scored.values(), highest]))
    fig = go.Figure()
    for hemi, scores in scored.items():
        fig.add_trace(_outline(scores, edges, hemi_name(hemi), hemi_colour(hemi), unit))
    if len(highest):
        fig.add_trace(_outline(highest, edges, "Highest r", CEILING, unit, fill=False))
    for hemi, scores in scored.items():
        if len(scores):
            fig.add_vline(x=float(np.median(scores)), line={"color": hemi_colour(hemi), "width": 2, "dash": "dash"})
    if selected is not None and np.isfinite(selected):
        fig.add_vline(x=float(selected), line={"color": LINE, "width": 2})
        note = {"text": f"selected {unit}, {selected:.2f}", "showarrow": False, "xanchor": "left", "yanchor": "top", "xshift": 4}
        fig.add_annotation(x=float(selected), y=1, yref="paper", font_size=SMALL, **note)
    return theme(fig, height=340, xaxis={"title": {"text": label}}, yaxis={"title": {"text": f"Share of {unit.many} (%)"}})


def fits_histogram(
    values: Mapping[str, np.ndarray], *, colours: Sequence[str], label: str = "Pearson correlation r", unit: Unit = VERTEX
) -> go.Figure:
    """Histograms of several fits' scores over each other, in percent of each fit's scored vertices, with medians.

    Parameters
    ----------
    values : name of a fit to (n_vertices,) scores. NaN (no score) is not counted. All fits share their bins.
    colours : one for each fit; repeated where there are fewer.
    """
    import plotly.graph_objects as go

    scored = {name: _finite(scores) for name, scores in values.items()}
    edges = _edges(np.concatenate(list(scored.values())))
    fig = go.Figure()
    for (name, scores), colour in zip(scored.items(), cycle(colours), strict=False):
        fig.add_trace(_outline(scores, edges, name, colour, unit))
        if len(scores):
            fig.add_vline(x=float(np.median(scores)), line={"color": colour, "width": 2, "dash": "dash"})
    return theme(fig, height=340, xaxis={"title": {"text": label}}, yaxis={"title": {"text": f"Share of {unit.many} (%)"}})


def _outline(scores: np.ndarray, edges: np.ndarray, name: str, colour: str, unit: Unit, *, fill: bool = True) -> go.Scatter:
    """The distribution as steps, filled down to zero. x (n_bins,) centres, y percent, customdata counts."""
    import plotly.graph_objects as go

    counts = np.histogram(scores, edges)[0]
    return go.Scatter(
        x=(edges[:-1] + edges[1:]) / 2,
        y=100 * counts / max(1, len(scores)),
        mode="lines",
        line={"color": colour, "width": 2, "shape": "hvh"},
        fill="tozeroy" if fill else None,
        fillcolor=translucent(colour, 0.25),
        name=f"{name}, median {np.median(scores):z.2f}" if len(scores) else f"{name}, no scores",
        customdata=counts,
        hovertemplate=f"{name}<br>near %{{x:.2f}}: %{{customdata:,}} {unit.many}, %{{y:.1f}} %<extra></extra>",
    )


def _finite(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, float)
    return values[np.isfinite(values)]


def _edges(values: np.ndarray) -> np.ndarray:
    """Bins over every value and an empty one at either end, where outlines come down to zero."""
    edges = np.histogram_bin_edges(values, bins=N_BINS)
    step = edges[1] - edges[0]
    return np.concatenate([[edges[0] - step], edges, [edges[-1] + step]])
