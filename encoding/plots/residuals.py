"""Residuals against fitted values, to show structure that the readout does not explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.look import STROKE, TEST, level, rimmed, theme
from encoding.plots.observed import limits, paired, points, ring

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from encoding.analysis.summaries import ResidualDensity

LEAST_IN_BIN = 12  # images; a mean of fewer says little
LEAST_BINS = 3
MOST_BINS = 10
COUNT_COLOURS = [[0, "rgba(40,120,181,0.15)"], [1, "rgb(40,120,181)"]]  # on light and dark pages


def residual_fitted(
    measured: np.ndarray,
    predicted: np.ndarray,
    names: Sequence[str],
    *,
    groups: np.ndarray | None = None,
    selected: int | None = None,
    colour: str = TEST,
    counted: str = "images",
) -> go.Figure:
    """Residual (measured minus predicted) against the predicted response, with the residuals' histogram at the right.

    Parameters
    ----------
    measured, predicted : (n,) responses to n test images, in equal units. An image where either is NaN is not drawn.
    names : (n,) image names, shown on hover.
    groups : (n,) which of them belong together, such as repeats of one image; None where each stands for itself.
    selected : index of the highlighted image.
    counted : what the points are, such as trials of images.

    Notes
    -----
    The running mean is taken over equally populated bins along x, with its 95 % interval (1.96 standard errors, over groups); with fewer
    groups than fill three bins it has none. Zero throughout:
    no linear structure is left; a slope: predictions are systematically too small or too large; a bend: responses are a non-linear
    function of the components; a fan: noise grows with the response. Each point's customdata is its index.
    """
    import plotly.graph_objects as go

    measured, predicted = paired(measured, predicted, names)
    residual = measured - predicted
    fig = go.Figure()
    level(fig, 0, x=limits(predicted), name="Residual 0", dash="dot", showlegend=False)
    fig.add_trace(points(predicted, residual, names, what=("predicted", "residual"), colour=colour))
    _running_mean(fig, predicted, residual, groups)
    if selected is not None:
        ring(fig, predicted, residual, names, selected)
    counts, edges = histogram(residual)
    fig.add_bar(
        x=counts,
        y=(edges[:-1] + edges[1:]) / 2,
        width=np.diff(edges),
        orientation="h",
        xaxis="x2",
        marker={"color": colour, "opacity": 0.55},
        name="Residuals",
        showlegend=False,
        hovertemplate="%{x} residuals near %{y:.2f}<extra></extra>",
    )
    return theme(
        fig,
        height=380,
        xaxis={"title": {"text": "Predicted response"}, "domain": [0, 0.84], "range": limits(predicted)},
        xaxis2={"domain": [0.86, 1], "title": {"text": counted.capitalize()}, "showgrid": False, "nticks": 3},
        yaxis={"title": {"text": "Residual, measured − predicted"}, "range": limits(residual)},
        bargap=0,
    )


def residual_density(density: ResidualDensity, *, what: str = "pairs of an image and a vertex") -> go.Figure:
    """Heatmap of residuals over predicted responses, of every pair of a test stimulus and a vertex, with the running mean.

    Parameters
    ----------
    density : from :func:`encoding.analysis.summaries.residual_density`.
    what : what is counted, for the colour bar.

    Notes
    -----
    Colours are log10 of the counts; empty cells have none. The running mean is left out where a bin holds fewer than
    :data:`LEAST_IN_BIN` pairs.
    """
    import plotly.graph_objects as go

    x, y = ((edges[:-1] + edges[1:]) / 2 for edges in (density.predicted_edges, density.residual_edges))
    with np.errstate(divide="ignore"):
        logs = np.where(density.counts > 0, np.log10(density.counts), np.nan)
    means = np.where(density.counts.sum(0) >= LEAST_IN_BIN, density.means, np.nan)
    most = int(np.ceil(np.nanmax(logs, initial=0.0)))
    ticks = list(range(most + 1))
    fig = go.Figure()
    fig.add_heatmap(
        x=x, y=y, z=logs, customdata=density.counts, colorscale=COUNT_COLOURS, zmin=0, zmax=max(1, most), name=what,
        colorbar={
            "title": {"text": what, "side": "right"}, "tickvals": ticks, "ticktext": [f"{10**tick:,}" for tick in ticks], "thickness": 12,
        },
        hovertemplate="predicted %{x:.2f}, residual %{y:.2f}<br>%{customdata:,}<extra></extra>",
    )  # fmt: skip
    level(fig, 0, x=(float(x[0]), float(x[-1])), name="Residual 0", dash="dot", showlegend=False)
    rimmed(fig, x, means, width=2.5, showlegend=False)
    fig.add_scatter(
        x=x, y=means, mode="lines", line={"color": STROKE, "width": 2.5}, name="Running mean",
        hovertemplate="mean residual %{y:.3f}<extra></extra>",
    )  # fmt: skip
    fig.update_layout(
        xaxis={"title": {"text": "Predicted response"}, "range": [density.predicted_edges[0], density.predicted_edges[-1]]},
        yaxis={"title": {"text": "Residual, measured − predicted"}, "range": [density.residual_edges[0], density.residual_edges[-1]]},
    )
    return theme(fig, height=380)


def _running_mean(fig: go.Figure, predicted: np.ndarray, residual: np.ndarray, groups: np.ndarray | None) -> None:
    centres, means, errors = binned_means(predicted, residual, groups)
    if not len(centres):
        return
    known = bool(np.isfinite(errors).any())
    rimmed(fig, centres, means, width=2.5, showlegend=False)
    fig.add_scatter(
        x=centres,
        y=means,
        error_y={"type": "data", "array": 1.96 * errors, "color": STROKE, "thickness": 1.5, "width": 0} if known else None,
        mode="lines+markers",
        line={"color": STROKE, "width": 2.5},
        marker={"color": STROKE, "size": 7, "line": {"color": "white", "width": 1.5}},
        name="Running mean ± 95 %" if known else "Running mean",
        hovertemplate="mean residual %{y:.3f}<extra></extra>",
    )


def binned_means(x: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean x, mean y and standard error of y in equally populated bins along x, (n_bins,) each.

    Errors are over ``groups``, (n,) as of x, whose points are not independent of each other. Bins hold as many points as
    :data:`LEAST_IN_BIN` groups have on average, or more. Too few groups for three such bins: bins of as many points, and errors of NaN;
    too few points: empty arrays.
    """
    both = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x, float)[both], np.asarray(y, float)[both]
    groups = np.arange(len(x)) if groups is None else np.unique(np.asarray(groups)[both], return_inverse=True)[1]
    n_groups = len(np.unique(groups))
    enough = n_groups // LEAST_IN_BIN >= LEAST_BINS
    n_bins = min(MOST_BINS, (n_groups if enough else len(x)) // LEAST_IN_BIN)
    if n_bins < LEAST_BINS:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    bins = np.array_split(np.argsort(x, kind="stable"), n_bins)
    centres, means = (np.array([values[rows].mean() for rows in bins]) for values in (x, y))
    return centres, means, np.array([_error(y[rows], groups[rows]) if enough else np.nan for rows in bins])


def _error(y: np.ndarray, groups: np.ndarray) -> float:
    """Standard error of the mean of y, whose deviations add up within groups; without groups, that of independent values."""
    sums = np.bincount(groups, y - y.mean())
    n_groups = len(np.unique(groups))
    return float(np.sqrt(n_groups / (n_groups - 1) * (sums**2).sum()) / len(y)) if n_groups > 1 else np.nan


def histogram(values: np.ndarray, *, most: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Counts (n_bins,) and edges (n_bins + 1,) over the finite values."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return np.histogram(values, bins=int(np.clip(np.sqrt(len(values)) * 1.5, 5, most)))
