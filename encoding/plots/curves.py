"""Learning curves: score against number of training images, loss against epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from encoding.plots.look import CEILING, LINE, SMALL, TEST, TRAIN, level, theme

if TYPE_CHECKING:
    import plotly.graph_objects as go


FEW = 30  # points that are marked each by a dot


def learning_curve(
    sizes: ArrayLike,
    train: ArrayLike,
    test: ArrayLike,
    *,
    label: str,
    ceiling: float | None = None,
    counted: str = "images",
) -> go.Figure:
    """r on training and test images against the number of training images, on a logarithmic axis.

    Parameters
    ----------
    sizes : (n_sizes,) numbers of training images, from :func:`encoding.analysis.learning_curve.learning_curve`.
    train, test : (n_sizes,) r, averaged over vertices; NaN leaves a gap.
    label : title of the y axis, such as "Mean r in V1v".
    ceiling : highest possible r, the mean root of the noise ceiling; None or NaN draws no line.
    counted : what the sizes count, such as trials of images.

    Notes
    -----
    A test score that still rises at the right suggests that more images would help. Curves that meet below the ceiling suggest that
    they would not, and that a richer layer or readout might.
    """
    import plotly.graph_objects as go

    sizes = np.asarray(sizes)
    fig = go.Figure()
    ends = (float(sizes.min()), float(sizes.max()))
    level(fig, 0.0, x=ends, name="Chance", dash="dot", showlegend=False)
    _name_level(fig, "chance, 0", 0.0)
    if ceiling is not None and np.isfinite(ceiling):
        level(fig, ceiling, x=ends, name="Highest r", colour=CEILING, showlegend=False)
        _name_level(fig, f"highest r, {ceiling:.2f}", ceiling)
    for values, name, colour, dash in ((test, "Test images", TEST, "solid"), (train, "Training images", TRAIN, "dash")):
        fig.add_scatter(
            **_line(sizes, values, name, colour, dash), hovertemplate=f"%{{x:,}} {counted}<br>{name.lower()}: %{{y:.3f}}<extra></extra>"
        )
    ticks = {"type": "log", "tickvals": sizes, "ticktext": [f"{size:,}" for size in sizes]}
    title = {"title": {"text": f"Training {counted}"}}
    return theme(fig, height=340, xaxis=title | ticks, yaxis={"title": {"text": label}, "rangemode": "tozero"})


def epoch_losses(
    train: ArrayLike,
    validation: ArrayLike,
    *,
    stopped: int | Sequence[int] | None = None,
    learning_rates: ArrayLike | None = None,
    height: int = 340,
) -> go.Figure:
    """Training and validation loss after each epoch.

    Parameters
    ----------
    train, validation : (n_epochs,) mean squared error, or the loss that the readout minimises; NaN leaves a gap.
    learning_rates : (n_epochs,) shown on hover.
    height : px.
    stopped : epoch, from 1, whose weights were kept (early stopping), or several, of ROIs that stop apart; None marks none.
    """
    import plotly.graph_objects as go

    epochs = np.arange(1, len(np.asarray(train)) + 1)
    rate = "" if learning_rates is None else "<br>learning rate: %{customdata:.3g}"
    fig = go.Figure()
    for values, name, colour, dash in ((train, "Training images", TRAIN, "dash"), (validation, "Validation images", TEST, "solid")):
        fig.add_scatter(
            **_line(epochs, values, name, colour, dash),
            customdata=learning_rates,
            hovertemplate=f"epoch %{{x}}<br>{name.lower()}: %{{y:.4f}}{rate}<extra></extra>",
        )
    kept = sorted(np.atleast_1d(stopped).tolist()) if stopped is not None else []
    for epoch in kept:
        fig.add_vline(x=epoch, line={"color": LINE, "width": 1.5, "dash": "dash"})
    if kept:
        near_end = kept[-1] > len(epochs) / 2
        text = f"weights of epoch {kept[0]} kept" if len(kept) == 1 else f"weights of epochs {kept[0]} to {kept[-1]} kept, by ROI"
        note = {"text": text, "showarrow": False, "font_size": SMALL}
        fig.add_annotation(
            x=kept[0] if near_end else kept[-1], y=1, yref="paper", xanchor="right" if near_end else "left", yanchor="top", **note
        )
    return theme(fig, height=height, xaxis={"title": {"text": "Epoch"}}, yaxis={"title": {"text": "Loss, lower is better"}})


def _line(x: np.ndarray, y: ArrayLike, name: str, colour: str, dash: str) -> dict[str, Any]:
    mode = "lines+markers" if len(x) <= FEW else "lines"
    return {"x": x, "y": np.asarray(y), "name": name, "mode": mode, "line": {"color": colour, "width": 2.5, "dash": dash}, "marker_size": 7}


def _name_level(fig: go.Figure, text: str, y: float) -> None:
    """Write what a level is above its right end."""
    fig.add_annotation(x=1, xref="paper", xanchor="right", y=y, yanchor="bottom", text=text, showarrow=False, font_size=SMALL)
