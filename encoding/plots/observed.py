"""Scatter of measured against predicted responses, one point per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.look import LINE, SMALL, STROKE, TEST, theme

if TYPE_CHECKING:
    import plotly.graph_objects as go

MANY = 2_000  # points; more are drawn by WebGL


def observed_predicted(
    measured: np.ndarray,
    predicted: np.ndarray,
    names: Sequence[str],
    *,
    title: str = "",
    r: float | None = None,
    selected: int | None = None,
    colour: str = TEST,
    counted: str = "images",
) -> go.Figure:
    """Measured (y) against predicted (x) responses with identity line and least-squares line.

    Parameters
    ----------
    measured, predicted : (n,) responses of one vertex, or means over an ROI, to n test images, in equal units. An image where either is
        NaN is not drawn.
    names : (n,) image names, shown on hover.
    title : whose responses they are.
    r : correlation, shown with the number of images.
    selected : index of the highlighted image.
    counted : what the points are, such as trials of images.

    Notes
    -----
    Both axes share one scale and range: a cloud flatter than the identity line means that predictions vary too much, a steeper one that
    they vary too little. Each point's customdata is its index.
    """
    import plotly.graph_objects as go

    measured, predicted = paired(measured, predicted, names)
    fig = go.Figure()
    low, high = limits(measured, predicted)
    ends = np.array([low, high])
    line = {"color": LINE, "width": 1.5, "dash": "dash"}
    fig.add_scatter(x=ends, y=ends, mode="lines", line=line, name="Perfect prediction", hoverinfo="skip")
    fig.add_trace(points(predicted, measured, names, what=("predicted", "measured"), colour=colour))
    if (line := best_line(predicted, measured)) is not None:
        slope, intercept = line
        x = np.array([np.nanmin(predicted), np.nanmax(predicted)])
        name = f"Best line, slope {slope:z.2f}"
        fig.add_scatter(x=x, y=intercept + slope * x, mode="lines", line={"color": colour, "width": 2.5}, name=name, hoverinfo="skip")
    if selected is not None:
        ring(fig, predicted, measured, names, selected)
    text = "" if r is None else f"r = {r:z.2f}, {np.isfinite(measured + predicted).sum():,} {counted}"
    return theme(
        fig,
        height=440,
        title={"text": " · ".join(part for part in (title, text) if part)},
        xaxis={"title": {"text": "Predicted response"}, "range": [low, high], "constrain": "domain"},
        yaxis={
            "title": {"text": "Measured response"},
            "range": [low, high],
            "constrain": "domain",
            "scaleanchor": "x",
            "scaleratio": 1,
        },
    )


def paired(measured: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Convert both to (n,) arrays.

    Raises
    ------
    ValueError
        If their lengths differ from each other or from the number of names.
    """
    measured, predicted = np.asarray(measured), np.asarray(predicted)
    if not measured.shape == predicted.shape == (len(names),):
        raise ValueError(f"Measured {measured.shape}, predicted {predicted.shape} and {len(names)} names should be of one length.")
    return measured, predicted


def points(x: np.ndarray, y: np.ndarray, names: Sequence[str], *, what: tuple[str, str], colour: str) -> go.Scatter | go.Scattergl:
    """One marker per image, with its name on hover and its index as customdata."""
    import plotly.graph_objects as go

    kind = go.Scattergl if len(x) > MANY else go.Scatter
    return kind(
        x=x,
        y=y,
        mode="markers",
        marker={"color": colour, "size": 7, "opacity": 0.55},
        name="Test image",
        hovertext=list(names),
        customdata=np.arange(len(x)),
        hovertemplate=f"<b>%{{hovertext}}</b><br>{what[0]} %{{x:.2f}}<br>{what[1]} %{{y:.2f}}<extra></extra>",
        showlegend=False,
    )


def ring(fig: go.Figure, x: np.ndarray, y: np.ndarray, names: Sequence[str], selected: int) -> None:
    """Circle one point and write its name beside it, on the side away from the others."""
    marker = {"symbol": "circle-open", "color": STROKE, "size": 15, "line": {"width": 2.5}}
    fig.add_scatter(x=x[[selected]], y=y[[selected]], mode="markers", marker=marker, hoverinfo="skip", showlegend=False)
    if np.isfinite(x[selected] + y[selected]):
        ax, ay = (34 if x[selected] >= np.nanmean(x) else -34), (-30 if y[selected] >= np.nanmean(y) else 30)
        place = {"x": float(x[selected]), "y": float(y[selected]), "ax": ax, "ay": ay, "standoff": 8}
        fig.add_annotation(text=names[selected], arrowcolor=STROKE, arrowwidth=1, arrowhead=0, font_size=SMALL, **place)


def limits(*arrays: np.ndarray) -> tuple[float, float]:
    """Range of all finite values with a margin of 5 %."""
    values = np.concatenate([np.ravel(a) for a in arrays])
    values = values[np.isfinite(values)]
    if not len(values):
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def best_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float] | None:
    """Slope and intercept of the least-squares line of y on x; None where x is constant."""
    both = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x, float)[both], np.asarray(y, float)[both]
    if len(x) < 2 or np.ptp(x) == 0:
        return None
    slope = float(np.cov(x, y)[0, 1] / np.var(x, ddof=1))
    return slope, float(y.mean() - slope * x.mean())
